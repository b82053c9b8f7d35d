# shellcheck shell=bash
# On the kernels of Debian releases and the newest one, in virtual machines. Needs declared: tests/vm/suite.
suites=(bullseye bookworm trixie sid)

[ "$(uname -m)" = x86_64 ] || skip 'the kernels are for x86_64'
require qemu-system-x86_64 qemu-system-x86
require busybox busybox-static
require cpio
require xz xz-utils
require zstd
[ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || skip 'no debian-archive-keyring on this machine'
need strace || skipped 'strace is not here and cannot be installed'
binaries
rootfs=$CI_TMP/vm-rootfs
tests/container/rootfs "$rootfs" "$CI_TMP/bin"
install -m 755 tests/vm/suite "$rootfs/test"

boot() { # boot SUITE: leaves a log and a status
  local status=0
  TIMEOUT=1000 TMPDIR=$CI_TMP tests/vm/run "$rootfs" "$CI_CACHE/kernels" "$1" >"$CI_TMP/vm-$1.log" 2>&1 || status=$?
  echo "$status" >"$CI_TMP/vm-$1.status"
}
report() { # report SUITE: prints and counts them
  local status
  status=$(cat "$CI_TMP/vm-$1.status")
  echo "--- $1"
  cat "$CI_TMP/vm-$1.log"
  if [ "$status" -eq 3 ]; then
    skipped "$1: no kernel: $(tail -n 1 "$CI_TMP/vm-$1.log")"
  else
    tally "$1" "$CI_TMP/vm-$1.log" "$status"
  fi
}
# Two at a time: each takes a whole processor.
for ((i = 0; i < ${#suites[@]}; i += 2)); do
  for suite in "${suites[@]:i:2}"; do boot "$suite" & done
  wait
  for suite in "${suites[@]:i:2}"; do report "$suite"; done
done
