# shellcheck shell=bash
# The same test binaries as an ordinary user who has no sudo.
has=ptmx,seccomp,clone3

require_root
require useradd passwd
binaries
ordinary_user
# Subordinate ids, if useradd has not given any, and the programs that map them.
if need newuidmap uidmap; then
  grep -q "^$user:" /etc/subuid ||
    as_root usermod --add-subuids 300000-365535 --add-subgids 300000-365535 "$user"
  has+=,subids
else
  skipped 'newuidmap is not here and cannot be installed'
fi
# Some distributions refuse a user namespace to an ordinary user; that is for unshare(1) to say, not for us.
if as_user unshare --user --map-root-user true; then
  has+=,userns
else
  skipped 'this machine refuses user namespaces to ordinary users'
fi
for name in it zone; do
  suite "$name as an ordinary user" as_user CLONEBOX_BIN="$CI_TMP/bin/clonebox" CLONEBOX_TEST_HAS="$has" "$CI_TMP/bin/$name"
done
