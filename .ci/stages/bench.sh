# shellcheck shell=bash
# Proves that the benches run. What they measure on a busy machine means nothing.
benches=(startup rootfs command compare scale seccomp order)
cargo bench --locked --no-run "${benches[@]/#/--bench=}"
for bench in "${benches[@]}"; do
  check "$bench" cargo bench --locked --bench "$bench" -- --test
done
