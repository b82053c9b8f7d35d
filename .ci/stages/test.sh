# shellcheck shell=bash
# `cargo test` as root: the builds are the caller's, only the test binaries run as root.
has=root,box,userns,ptmx,seccomp,unfiltered,clone3,pids,bash,rustc,sources,examples,$(of_the_kernel)

require_root
if ! need pasta passt; then
  skipped 'pasta is not here and cannot be installed'
elif as_root pasta --config-net --runas 0:0 -- true >/dev/null 2>&1; then
  has+=,pasta
fi # otherwise there is no /dev/net/tun, or no network to connect
if need_target aarch64-unknown-linux-musl; then has+=,rustc-aarch64; else skipped 'the target for AArch64 cannot be installed'; fi
for tool in strace sudo; do
  if need $tool; then has+=,$tool; else skipped "$tool is not here and cannot be installed"; fi
done
case $(stat -f -c %T "${TMPDIR:-/tmp}") in ext2/ext3 | xfs | btrfs) has+=,idmap ;; esac
if [ "$(id -u)" -ne 0 ]; then
  host=$(rustc -vV | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')
  export "CARGO_TARGET_${host}_RUNNER=sudo -n -E env PATH=$PATH"
fi
if debian_root; then
  has+=,debian
  # shellcheck disable=SC2154 # debian_root sets debian
  export CLONEBOX_TEST_DEBIAN=$debian
else
  skipped 'a root filesystem of Debian cannot be made here'
fi
suite 'cargo test' env CLONEBOX_TEST_HAS="$has" cargo test --workspace --locked --no-fail-fast
