# shellcheck shell=bash
# What fetch-kernel and fetch-programs share: packages of a Debian suite for an architecture, from this machine's mirror
# and keyring. apt's state is in CACHE: the machine's own package sources stay as they are. Sourced.

# prepare_apt SUITE ARCHITECTURE CACHE: 1 without a mirror, 2 if the package lists cannot be fetched.
prepare_apt() {
  local suite=$1 architecture=$2 mirror
  mirror=$("$(dirname "${BASH_SOURCE[0]}")/mirror")
  [ -n "$mirror" ] || return 1
  state=$3/apt/$suite
  mkdir -p "$state/lists/partial" "$state/cache/archives/partial"
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >"$state/sources.list"
  apt=(-qq -o Dir::Etc::sourcelist="$state/sources.list" -o Dir::Etc::sourceparts=- -o Dir::State::lists="$state/lists"
    -o Dir::Cache="$state/cache" -o APT::Sandbox::User=root -o Acquire::Languages=none
    -o APT::Architecture="$architecture" -o APT::Architectures="$architecture"
    -o APT::Update::Error-Mode=any -o Acquire::Check-Valid-Until=false) # a mirror may be a snapshot
  apt-get "${apt[@]}" update >&2 || return 2
}

# depends PACKAGE PATTERN: which of the packages that it depends on are called so.
depends() { apt-cache "${apt[@]}" depends "$1" | sed -n "s/.*Depends: \($2\)$/\1/p"; }

# unpack PACKAGE FOLDER: puts its files into the folder.
unpack() {
  (cd "$state" && apt-get "${apt[@]}" download "$1" >&2) || return
  dpkg -x "$state/$1"_*.deb "$2"
  rm -f "$state/$1"_*.deb
}
