# shellcheck shell=bash
check 'cargo doc' env RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --locked
