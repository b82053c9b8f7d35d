# shellcheck shell=bash
# Proves that the benches run. What they measure on a busy machine means nothing.
for bench in startup command; do
  check "$bench" cargo bench --locked --bench "$bench" -- --test
done
