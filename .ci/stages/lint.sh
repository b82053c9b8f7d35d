# shellcheck shell=bash
check 'cargo clippy' cargo clippy --workspace --all-targets --locked -- -D warnings

# README installs the build for musl, whose types of the kernel's structures differ from glibc's; and this machine is
# one architecture of two.
for architecture in x86_64 aarch64; do
  musl=$architecture-unknown-linux-musl
  if need_target "$musl"; then
    check "cargo clippy for $musl" cargo clippy --workspace --locked --lib --bins --target "$musl" -- -D warnings
  else
    skipped "the target $musl is not here and cannot be installed"
  fi
done

if need shellcheck; then
  mapfile -t scripts < <(grep -rlE '^#!.*sh$|^# shellcheck shell=' .ci tests/vm tests/container packaging fuzz/run)
  check shellcheck shellcheck --external-sources "${scripts[@]}"
else
  skipped 'shellcheck is not here and cannot be installed'
fi
