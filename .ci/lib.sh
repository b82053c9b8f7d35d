# shellcheck shell=bash
# What the stages share. They run with `set -euo pipefail`, in the project's root, with these variables:
# CI_TMP, removed at the end of the run, and CI_CACHE, which stays.

as_root() { if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -n "$@"; fi; }

# undo COMMAND...: runs COMMAND as root when the stage is over, however it ended.
undo() { printf '%q ' "$@" >>"$CI_TMP/undo"; echo >>"$CI_TMP/undo"; }
undo_all() {
  [ -e "$CI_TMP/undo" ] || return 0
  tac "$CI_TMP/undo" | while IFS= read -r line; do eval "as_root $line" || echo "could not undo: $line"; done
  rm -f "$CI_TMP/undo"
}

# need COMMAND [PACKAGE...]: true if COMMAND is there, or is after installing the Debian packages.
need() {
  local PATH=$PATH:/usr/sbin:/sbin command=$1 packages=("${@:2}")
  command -v "$command" >/dev/null && return
  command -v apt-get >/dev/null || return
  [ ${#packages[@]} -gt 0 ] || packages=("$command")
  echo "installing ${packages[*]}"
  if [ ! -e "$CI_TMP/apt-updated" ]; then as_root apt-get -qq update || return; touch "$CI_TMP/apt-updated"; fi
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install "${packages[@]}" \
    >"$CI_TMP/apt.log" 2>&1 || { tail -n 3 "$CI_TMP/apt.log"; return 1; }
  command -v "$command" >/dev/null
}

# of_the_kernel: the needs of tests that every machine with this kernel meets.
of_the_kernel() {
  local has=execveat,keys,mount_setattr
  case $(uname -r) in [1-5].* | 6.[0-9].* | 6.1[01].*) ;; *) has+=,landlock,memfd_noexec,timens ;; esac
  echo "$has"
}

# need_target TARGET: true if rustc compiles for it, or does after installing it.
need_target() {
  rustc --print target-libdir --target "$1" | xargs test -d || rustup target add "$1"
}

versions() {
  local tool
  uname -srm
  for tool in 'rustc -V' 'cargo -V' 'cargo clippy -V' 'cargo fmt --version' 'cargo deny -V' 'cc --version' 'bash --version' \
    'sudo -V' 'strace -V' 'podman --version' 'docker --version' 'qemu-system-x86_64 --version' 'shellcheck -V'; do
    # shellcheck disable=SC2086 # words
    printf '%-20s %s\n' "${tool% *}" "$( ($tool 2>/dev/null || echo 'not here') | sed -n '/[0-9]\.[0-9]\|not here/{p;q}')"
  done
}

count() { echo "$*" >>"$CI_TMP/counts"; }

# skipped WHY: says what is not tested here, and counts it. skip WHY: the same, and leaves the stage.
skipped() { echo "SKIPPED $CI_STAGE: $*" | tee -a "$CI_TMP/skips"; count 0 0 1; }
skip() { skipped "$@"; exit 0; }

# What a stage cannot do without.
require() { need "$@" || skip "$1 is not here and cannot be installed"; }
require_root() { as_root true 2>/dev/null || skip 'not root, and sudo wants a password'; }

# check NAME COMMAND...: one claim, true if COMMAND succeeds.
check() {
  if "${@:2}"; then echo "ok      $1"; count 1 0 0; else echo "FAILED  $1" | tee -a "$CI_TMP/failures"; count 0 1 0; fi
}

# suite NAME COMMAND...: runs test binaries (or cargo test) and counts what their closing lines say.
suite() {
  local log status=0
  log=$(mktemp "$CI_TMP/log.XXXXXX")
  echo "--- $1"
  "${@:2}" 2>&1 | tee "$log" || status=$?
  tally "$1" "$log" "$status"
}

# tally NAME LOG STATUS: a binary that cargo started and that never closed is a failure, and so are a bad exit
# status that no failed test explains, and a run in which no test ran.
tally() {
  local p f s
  read -r p f s < <(tr -d '\r' <"$2" | awk -v status="$3" '
    /^ +Running .*\)$/ || /^ +Doc-tests / { broken += open; open = 1 }
    /^test result: / { open = 0; p += $4; f += $6; s += $8 }
    END { f += broken + open; if (status && !f || p + f + s == 0) f++; print p + 0, f + 0, s + 0 }')
  # Why each failed is in the list of its suite; the summary names them.
  tr -d '\r' <"$2" | sed -n "s/^test \(.*[^ ]\) *\.\.\. FAILED.*/FAILED  $1: \1/p" >>"$CI_TMP/failures"
  echo "--- $1: $p passed, $f failed, $s skipped (status $3)"
  count "$p" "$f" "$s"
}

# binaries [TARGET]: builds clonebox and its black-box test binaries, once per run, and copies them to $CI_TMP/bin
# (bin-TARGET). They are static, so they run as any user, in any root filesystem, on any kernel.
binaries() {
  local name program strip=strip bin=$CI_TMP/bin${1:+-$1}
  [ ! -d "$bin" ] || return 0
  [ -z "${1:-}" ] || strip=${1%%-*}-linux-gnu-strip
  echo "--- building the test binaries"
  cargo test --workspace --locked --no-run ${1:+--target "$1" --bin clonebox --test it --test zone} \
    --message-format=json-render-diagnostics >"$CI_TMP/build.json"
  mkdir "$bin.new"
  for name in clonebox it zone; do
    program=$(sed -n "/\"kind\":\[\"\(bin\|test\)\"\].*\"name\":\"$name\"/s/.*\"executable\":\"\([^\"]*\)\".*/\1/p" "$CI_TMP/build.json" |
      grep -v "/deps/clonebox-" | tail -n 1)
    "$strip" --strip-debug -o "$bin.new/$name" "$program"
  done
  chmod -R a+rX "$bin.new"
  mv "$bin.new" "$bin"
}

# debian_root: puts the path of a root filesystem of Debian into $debian; it is made once.
debian_root() {
  local mirror
  debian=$CI_CACHE/debian
  [ ! -e "$debian/etc/debian_version" ] || return 0
  need debootstrap || return
  mirror=$(tests/vm/mirror)
  [ -n "$mirror" ] || return
  echo "making a root filesystem of Debian"
  as_root rm -rf "$debian" "$debian.new"
  as_root env PATH="$PATH:/usr/sbin:/sbin" debootstrap --variant=minbase bookworm "$debian.new" "$mirror" >"$CI_TMP/debootstrap.log" 2>&1 ||
    { tail -n 3 "$CI_TMP/debootstrap.log"; return 1; }
  as_root mv "$debian.new" "$debian"
}

# ordinary_user: makes a user for this stage and puts its name into $user, its home into $home.
ordinary_user() {
  user=clonebox-ci-$$ home=$CI_TMP/home-$$
  # Its processes may still run if the stage was stopped in the middle of a test: as this user, -1 means all of them.
  # sudo remembers everybody who tries it.
  undo rm -f "/run/sudo/ts/$user"
  undo sh -c "setpriv --reuid=$user --regid=$user --clear-groups sh -c 'kill -KILL -1'; sleep 0.2; userdel -f $user"
  as_root useradd --create-home --home-dir "$home" --shell /bin/sh "$user"
}

# subordinate_ids: sees to it that this user has some, and the programs that map them.
subordinate_ids() {
  need newuidmap uidmap || return
  grep -q "^$user:" /etc/subuid 2>/dev/null ||
    as_root usermod --add-subuids 300000-365535 --add-subgids 300000-365535 "$user"
}

# as_user NAME=VALUE... COMMAND...: runs COMMAND as that user, in an environment of its own, with no privilege.
as_user() {
  as_root setpriv --reuid="$user" --regid="$user" --init-groups --inh-caps=-all \
    env -i -C "$home" HOME="$home" USER="$user" PATH=/usr/local/bin:/usr/bin:/bin CI=true "$@"
}
