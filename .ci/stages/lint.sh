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

# The fuzzer's targets are a workspace of their own. Nothing is linked, so its C++ need not be compiled.
if cargo fetch --quiet --locked --manifest-path fuzz/Cargo.toml; then
  check 'cargo clippy for fuzz' env CUSTOM_LIBFUZZER_PATH=/nowhere/libfuzzer.a RUSTFLAGS='--cfg fuzzing' \
    CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/fuzz" cargo clippy --locked --manifest-path fuzz/Cargo.toml -- -D warnings
else
  skipped 'the crates of the fuzzer cannot be fetched'
fi

if need shellcheck; then
  mapfile -t scripts < <(grep -rlE '^#!.*sh$|^# shellcheck shell=' .ci tests/vm tests/container packaging fuzz/run)
  check shellcheck shellcheck --external-sources "${scripts[@]}"
else
  skipped 'shellcheck is not here and cannot be installed'
fi
