# shellcheck shell=bash
# The same binaries, built for AArch64, on a kernel of that architecture in an emulated machine. Needs declared:
# tests/vm/suite. It takes most of an hour: only on request.
[ -n "${CLONEBOX_CI_AARCH64:-}" ] || skip 'nothing runs on AArch64 unless asked for (CLONEBOX_CI_AARCH64=1)'

require qemu-system-aarch64 qemu-system-arm
require aarch64-linux-gnu-gcc gcc-aarch64-linux-gnu
require aarch64-linux-gnu-strip binutils-aarch64-linux-gnu
require busybox busybox-static
require cpio
[ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || skip 'no debian-archive-keyring on this machine'
target=aarch64-unknown-linux-musl
need_target "$target" || skip "the target $target is not here and cannot be installed"

# gcc is for a C file without libc, of a dependency of the benchmarks.
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_LINKER=rust-lld \
  CC_aarch64_unknown_linux_musl=aarch64-linux-gnu-gcc CFLAGS_aarch64_unknown_linux_musl=-ffreestanding
binaries "$target"

cache=$CI_CACHE/arm64
FOREIGN=$(tests/vm/fetch-programs bookworm "$cache" arm64) || skip 'no programs for the guest'
export FOREIGN ARCHITECTURE=arm64
rootfs=$CI_TMP/aarch64-rootfs
tests/container/rootfs "$rootfs" "$CI_TMP/bin-$target"
install -m 755 tests/vm/suite "$rootfs/test"

log=$CI_TMP/aarch64.log status=0
TIMEOUT=3000 TMPDIR=$CI_TMP tests/vm/run "$rootfs" "$cache" bookworm >"$log" 2>&1 || status=$?
cat "$log"
[ "$status" -ne 3 ] || skip "no kernel: $(tail -n 1 "$log")"
tally 'bookworm on AArch64' "$log" "$status"
