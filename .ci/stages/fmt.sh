# shellcheck shell=bash
check 'cargo fmt' cargo fmt --all --check
# No crate of the workspace: build.rs compiles it.
check 'rustfmt, the init' rustfmt --check src/init/main.rs
# A workspace of its own.
check 'rustfmt, the fuzzer' rustfmt --edition 2024 --check fuzz/targets/*.rs
