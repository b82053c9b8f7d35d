# shellcheck shell=bash
# In containers: a privileged one, one whose seccomp profile answers ENOSYS to clone3, and an ordinary one.
has=root,userns,ptmx,seccomp,clone3,box,$(of_the_kernel)
has_no_clone3=root,ptmx,box,execveat,mount_setattr

require_root
require busybox busybox-static
if ! need podman || ! need crun; then
  docker info >/dev/null 2>&1 || skip 'podman cannot be installed, and no docker engine answers'
fi
if need strace; then has+=,strace; else skipped 'strace is not here and cannot be installed'; fi
binaries
rootfs=$CI_TMP/rootfs
tests/container/rootfs "$rootfs" "$CI_TMP/bin"
cp tests/container/unprivileged "$rootfs/clonebox/"

# contained HAS TEST-BINARY OPTION...
contained() {
  as_root tests/container/run "$rootfs" --env=CLONEBOX_BIN=/clonebox/clonebox \
    --env=CLONEBOX_TEST_HAS="$1" "${@:3}" -- "/clonebox/$2"
}
for name in it zone; do
  suite "$name, privileged" contained "$has" "$name" --privileged
  suite "$name, without clone3" contained "$has_no_clone3" "$name" --cap-add=all --security-opt="seccomp=$PWD/tests/container/no-clone3.json"
done
suite unprivileged contained '' unprivileged
