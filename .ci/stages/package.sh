# shellcheck shell=bash
# What is installed: by cargo, from the tarball, and as a Debian package in a root filesystem of its own. Building
# for release takes minutes: only on request.
[ -n "${CLONEBOX_CI_PACKAGE:-}" ] || skip 'nothing is packaged unless asked for (CLONEBOX_CI_PACKAGE=1)'

# The completions and the manual page, in the shells and readers that they are for.
has=ptmx
for pair in bash: zsh: fish: man:man-db mandoc: groff:groff-base; do
  # shellcheck disable=SC2086 # no package, or one
  if need "${pair%%:*}" ${pair#*:}; then has+=,${pair%%:*}; else skipped "${pair%%:*} is not here and cannot be installed"; fi
done
has=${has//,groff/}
binaries
suite 'completions and manual page' env CLONEBOX_BIN="$CI_TMP/bin/clonebox" CLONEBOX_TEST_HAS="$has" "$CI_TMP/bin/it" completion

export PATH=$CI_CACHE/tools/bin:$PATH
forms=(tarball)
if ! command -v cargo-deb >/dev/null; then
  cargo install --quiet --locked --root "$CI_CACHE/tools" --target-dir "$CI_CACHE/tools/target" cargo-deb || true
  rm -rf "$CI_CACHE/tools/target"
fi
if command -v cargo-deb >/dev/null; then forms+=(deb); else skipped 'deb: cargo-deb cannot be built'; fi
packaging/build "${forms[@]}" >"$CI_TMP/packages"
cat "$CI_TMP/packages"

tarball=$(grep '\.tar\.gz$' "$CI_TMP/packages")
mkdir "$CI_TMP/unpacked"
tar -C "$CI_TMP/unpacked" --strip-components=1 -xzf "$tarball"
check 'tarball: the program is static' sh -c "! readelf -l '$CI_TMP/unpacked/bin/clonebox' | grep -q INTERP"
check 'tarball: the program tells its version' "$CI_TMP/unpacked/bin/clonebox" --version
suite 'tarball: what the program does first' env CLONEBOX_BIN="$CI_TMP/unpacked/bin/clonebox" "$CI_TMP/bin/zone" start::
# keeps_little: what keeps a detached box has less than 1 MiB resident.
keeps_little() {
  local program=$CI_TMP/unpacked/bin/clonebox keeper size
  export CLONEBOX_STATE_DIR=$CI_TMP/state
  "$program" -d --name small -- sleep 60 >/dev/null
  keeper=$(awk '/^PPid:/ { print $2 }' "/proc/$("$program" ps --json | sed 's/.*"pid":\([0-9]*\).*/\1/')/status")
  sleep 0.5 # it has just told us that the box runs
  size=$(awk '/^VmRSS:/ { print $2 }' "/proc/$keeper/status")
  "$program" rm -f small
  echo "$size kB"
  [ "$size" -lt 1024 ]
}
if "$CI_TMP/unpacked/bin/clonebox" -- true; then
  check 'tarball: the keeper of a detached box has less than 1 MiB' keeps_little
else
  skipped 'no box can be started here'
fi
packaging/build tarball >/dev/null
check 'tarball: the same sources give the same bytes' cmp "$tarball" <(cat target/package/*.tar.gz)
check 'cargo install' cargo install --quiet --locked --path . --root "$CI_TMP/installed"
check 'cargo install: the program tells its version' "$CI_TMP/installed/bin/clonebox" --version

[ ${#forms[@]} -gt 1 ] || exit 0
packaging/build deb >"$CI_TMP/packages"
deb=$(grep '\.deb$' "$CI_TMP/packages")
if need lintian; then
  check 'deb: lintian' lintian --fail-on error,warning "$deb"
else
  skipped 'deb: lintian is not here and cannot be installed'
fi
require_root
require debootstrap
# Without a network of its own choice: the machine's mirror.
mirror=$(tests/vm/mirror)
root=$CI_TMP/debian
as_root debootstrap --variant=minbase bookworm "$root" "$mirror" >"$CI_TMP/debootstrap.log" 2>&1 ||
  skip "deb: no root filesystem: $(tail -n 1 "$CI_TMP/debootstrap.log")"
as_root cp "$deb" "$root/clonebox.deb"
inside() { as_root chroot "$root" "$@"; }
check 'deb: it is installed' inside dpkg --install /clonebox.deb
check 'deb: the program runs' inside clonebox --version
as_root mount -t proc proc "$root/proc"
undo sh -c "umount -q '$root/proc' || true"
# It says by its exit code, too, that no box can be started.
names_the_chroot() {
  inside clonebox doctor >"$CI_TMP/doctor" || true
  grep -q '^ *hint *this process is in a chroot, whose root is no mount' "$CI_TMP/doctor"
}
check 'deb: doctor names what is in the way in a chroot' names_the_chroot
as_root umount "$root/proc"
as_root mount --bind "$root" "$root"
undo umount "$root"
as_root mount -t proc proc "$root/proc"
check 'deb: a box starts' inside clonebox -- true
as_root umount "$root/proc"
for file in man/man1/clonebox.1.gz bash-completion/completions/clonebox zsh/vendor-completions/_clonebox \
  fish/vendor_completions.d/clonebox.fish doc/clonebox/copyright; do
  check "deb: /usr/share/$file" inside sh -c "dpkg-query -L clonebox | grep -qx /usr/share/$file"
done
check 'deb: it is removed' inside dpkg --purge clonebox
check 'deb: nothing is left of it' sh -c "! find '$root/usr' '$root/etc' -name '*clonebox*' | grep ."
