# shellcheck shell=bash
check 'cargo fmt' cargo fmt --all --check
