# shellcheck shell=bash
# Through the real sudo, as people start it: with sudo's own terminal (use_pty) and without.
has=sudo,ptmx,notroot  # what the user has who may use sudo
has_root=root,ptmx     # what sudo makes of the test binary itself
subset=sudo            # the tests whose names contain this word call sudo themselves

require_root
require sudo
require useradd passwd
require script bsdutils
binaries
ordinary_user
box=$CI_TMP/bin/clonebox
rules=/etc/sudoers.d/clonebox-ci-$$
undo rm -f "$rules"

# shellcheck disable=SC2154 # ordinary_user sets user
allow() { # allow DEFAULTS: the user may sudo anything, with these Defaults
  printf 'Defaults:%s %s\n%s ALL=(ALL:ALL) NOPASSWD: ALL\n' "$user" "$1" "$user" >"$CI_TMP/rules"
  as_root visudo -cqf "$CI_TMP/rules"
  as_root install -m 440 "$CI_TMP/rules" "$rules"
}

# prints EXPECTED COMMAND...: COMMAND's output, a terminal's line ends undone, ends with EXPECTED.
prints() {
  local out
  out=$("${@:2}" 2>&1 | tr -d '\r') || true
  [[ $out == *"$1" ]] || { echo "expected: $1"; echo "printed: $out"; false; }
}
status() { "$@" >/dev/null 2>&1 && echo 0 || echo $?; }
# A shell on a terminal. One that has no controlling terminal complains about its job control.
shell() { printf 'test -t 0 && echo on a terminal\nexit 5\n' | as_user script -qefc "sudo -n '$box' -- /bin/sh -i" /dev/null; }
shell_has_job_control() {
  local out
  out=$(shell 2>&1) || true
  ! grep -iE "can't access tty|job control turned off|no job control|cannot set" <<<"$out"
}

for defaults in use_pty '!use_pty'; do
  allow "$defaults"
  check "$defaults: the program is PID 1" prints 1 as_user sudo -n "$box" -- /bin/sh -c 'echo $$'
  check "$defaults: success" prints 0 status as_user sudo -n "$box" -- /bin/true
  check "$defaults: the program's exit status" prints 7 status as_user sudo -n "$box" -- /bin/sh -c 'exit 7'
  check "$defaults: a shell on the terminal" prints 5 status shell
  check "$defaults: job control in that shell" shell_has_job_control
  suite "$defaults: tests that call sudo" as_user CLONEBOX_BIN="$box" CLONEBOX_TEST_HAS="$has" "$CI_TMP/bin/it" "$subset"
done
suite 'the suite by sudo' as_user sudo -n CLONEBOX_BIN="$box" CLONEBOX_TEST_HAS="$has_root" "$CI_TMP/bin/it"
