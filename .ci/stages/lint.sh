# shellcheck shell=bash
check 'cargo clippy' cargo clippy --workspace --all-targets --locked -- -D warnings

if need shellcheck; then
  mapfile -t scripts < <(grep -rlE '^#!.*sh$|^# shellcheck shell=' .ci tests/vm tests/container packaging fuzz/run)
  check shellcheck shellcheck --external-sources "${scripts[@]}"
else
  skipped 'shellcheck is not here and cannot be installed'
fi
