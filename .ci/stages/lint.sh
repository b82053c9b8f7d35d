# shellcheck shell=bash
check 'cargo clippy' cargo clippy --workspace --all-targets --locked -- -D warnings

# README installs the build for musl, whose types of the kernel's structures differ from glibc's.
musl=$(uname -m)-unknown-linux-musl
if rustc --print target-libdir --target "$musl" | xargs test -d || rustup target add "$musl"; then
  check "cargo check for $musl" cargo check --locked --lib --bins --target "$musl"
else
  skipped "the target $musl is not here and cannot be installed"
fi

if need shellcheck; then
  mapfile -t scripts < <(grep -rlE '^#!.*sh$|^# shellcheck shell=' .ci tests/vm tests/container packaging fuzz/run)
  check shellcheck shellcheck --external-sources "${scripts[@]}"
else
  skipped 'shellcheck is not here and cannot be installed'
fi
