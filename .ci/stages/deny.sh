# shellcheck shell=bash
# Building cargo-deny takes some minutes: only on request, and then it stays in the cache.
export PATH=$CI_CACHE/tools/bin:$PATH
if ! command -v cargo-deny >/dev/null; then
  [ -n "${CLONEBOX_CI_INSTALL_DENY:-}" ] || skip 'cargo-deny is not installed (CLONEBOX_CI_INSTALL_DENY=1 builds it)'
  cargo install --quiet --locked --root "$CI_CACHE/tools" --target-dir "$CI_CACHE/tools/target" cargo-deny
  rm -rf "$CI_CACHE/tools/target"
fi
check 'bans, licenses, sources' cargo deny --locked check bans licenses sources
if cargo deny --locked fetch db; then
  check advisories cargo deny --locked check --disable-fetch advisories
else
  skipped 'advisories: the database cannot be fetched'
fi
