# shellcheck shell=bash
# The same test binaries as an ordinary user who has no sudo.
has=notroot,ptmx,seccomp,clone3,pids,bash,$(of_the_kernel)

require_root
require useradd passwd
binaries
ordinary_user
# Some distributions refuse a user namespace to an ordinary user; that is for unshare(1) to say, not for us.
if as_user unshare --user --map-root-user true; then
  has+=,userns
  if subordinate_ids; then has+=,subids; else skipped 'newuidmap is not here and cannot be installed'; fi
else
  skipped 'this machine refuses user namespaces to ordinary users'
fi
for name in it zone; do
  suite "$name as an ordinary user" as_user CLONEBOX_BIN="$CI_TMP/bin/clonebox" CLONEBOX_TEST_HAS="$has" "$CI_TMP/bin/$name"
done
