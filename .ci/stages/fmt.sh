# shellcheck shell=bash
check 'cargo fmt' cargo fmt --all --check
# No crate of the workspace: build.rs compiles it.
check 'rustfmt, the init' rustfmt --check src/init/main.rs
