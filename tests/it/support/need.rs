//! What a test needs from the machine. A closed list: each need is probed once, by trying.
//!
//! `CLONEBOX_TEST_HAS=root,ptmx` declares what a machine is supposed to have; a declared need that is
//! missing fails its tests, so that coverage cannot shrink in silence.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::Write;
use std::os::fd::{FromRawFd, OwnedFd};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use libtest_mimic::Failed;

use super::{binary, kernel_log};

/// Something that not every machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Need {
    /// Boxes can be started: as root, or with a user namespace.
    Box,
    /// The caller is root and may make namespaces without a user namespace.
    Root,
    /// The caller is not root.
    NotRoot,
    /// User namespaces can be made.
    Userns,
    /// The kernel maps the ids of a mount in the directory for temporary files, for root.
    Idmap,
    /// The caller is an ordinary user who has subordinate ids and can map them.
    Subids,
    /// There are pseudoterminals.
    Ptmx,
    /// Seccomp filters can be installed.
    Seccomp,
    /// The kernel has mount_setattr(2) (since Linux 5.12), and with it mounts that a template makes once.
    MountSetattr,
    /// open_tree(2) makes mount namespaces (since Linux 7.0), for this caller.
    OpenTreeNamespace,
    /// The ids of the caller's processes are above those of a box's own.
    Pids,
    /// The kernel's log can be read and tells of processes that filters kill, by the ids that this process sees.
    KernelLog,
    /// The kernel can forbid the processes of a box, and allow them again, to execute memory (since Linux 6.6).
    MemfdNoexec,
    /// None is in force: what one of a container's answers, a box's own cannot.
    Unfiltered,
    /// The system's python3 with the bindings of libseccomp.
    Libseccomp,
    /// The kernel has clone3(2) and it is not filtered.
    Clone3,
    /// Memory, processors and processes can be limited.
    Limits,
    /// The kernel executes a descriptor where there is no /dev/fd: TOMOYO of Linux 5.10 looks it up.
    Execveat,
    /// The kernel's Landlock restricts all that it ever did (6, since Linux 6.12).
    Landlock,
    /// The kernel keeps keys, and nobody forbids them.
    Keys,
    /// The kernel enters a time namespace at execve(2).
    TimeNamespace,
    /// strace(1), and the right to trace.
    Strace,
    /// sudo(8) that asks for no password, and an ordinary user to run it: for root.
    Sudo,
    /// bash(1).
    Bash,
    /// A root filesystem of Debian, whose directory `CLONEBOX_TEST_DEBIAN` names.
    Debian,
    /// The package bash-completion.
    BashCompletion,
    /// pasta(1) connects the network of a box of the caller's.
    Pasta,
    /// zsh(1).
    Zsh,
    /// fish(1).
    Fish,
    /// man(1), with what renders its pages.
    Man,
    /// mandoc(1).
    Mandoc,
    /// The sources that this binary is made of, and what cargo has made of them.
    Sources,
    /// The examples, where cargo puts them.
    Examples,
    /// rustc, and the sources.
    Rustc,
    /// rustc with the core library for AArch64, and the sources.
    RustcAarch64,
    /// Set-user-id programs in the directory for temporary files have their effect, and root can make
    /// some.
    SetId,
}

const ALL: [(Need, &str); 36] = [
    (Need::Box, "box"),
    (Need::Root, "root"),
    (Need::NotRoot, "notroot"),
    (Need::Userns, "userns"),
    (Need::Idmap, "idmap"),
    (Need::Subids, "subids"),
    (Need::Ptmx, "ptmx"),
    (Need::Seccomp, "seccomp"),
    (Need::Pids, "pids"),
    (Need::KernelLog, "kernel-log"),
    (Need::Unfiltered, "unfiltered"),
    (Need::MemfdNoexec, "memfd_noexec"),
    (Need::MountSetattr, "mount_setattr"),
    (Need::OpenTreeNamespace, "open_tree_namespace"),
    (Need::Libseccomp, "libseccomp"),
    (Need::Clone3, "clone3"),
    (Need::Limits, "limits"),
    (Need::Execveat, "execveat"),
    (Need::Landlock, "landlock"),
    (Need::Keys, "keys"),
    (Need::TimeNamespace, "timens"),
    (Need::Strace, "strace"),
    (Need::Sudo, "sudo"),
    (Need::Bash, "bash"),
    (Need::Debian, "debian"),
    (Need::BashCompletion, "bash-completion"),
    (Need::Pasta, "pasta"),
    (Need::Zsh, "zsh"),
    (Need::Fish, "fish"),
    (Need::Man, "man"),
    (Need::Mandoc, "mandoc"),
    (Need::Sources, "sources"),
    (Need::Examples, "examples"),
    (Need::Rustc, "rustc"),
    (Need::RustcAarch64, "rustc-aarch64"),
    (Need::SetId, "setid"),
];

/// Where cargo puts an example of this package.
pub(crate) fn example(name: &str) -> std::path::PathBuf {
    let own = env::current_exe().unwrap_or_default();
    let profile = own.ancestors().nth(2).unwrap_or(Path::new("/"));
    profile.join("examples").join(name)
}

impl Need {
    fn word(self) -> &'static str {
        ALL.into_iter()
            .find(|(need, _)| *need == self)
            .map_or("?", |(_, word)| word)
    }

    /// Tries; why not, if not.
    fn probe(self) -> Result<(), String> {
        let works = |args: &[&str]| {
            let output = Command::new(binary())
                .args(args)
                .stdin(Stdio::null())
                .output();
            match output {
                Ok(output) if output.status.success() => Ok(()),
                Ok(output) => Err(String::from_utf8_lossy(&output.stderr)
                    .lines()
                    .next()
                    .unwrap_or("no word")
                    .to_owned()),
                Err(error) => Err(error.to_string()),
            }
        };
        let when = |fine: bool, reason: &str| if fine { Ok(()) } else { Err(reason.to_owned()) };
        let root = nix::unistd::geteuid().is_root();
        match self {
            Self::Box => works(&["--", "/bin/true"]),
            Self::Root => {
                when(root, "not root").and_then(|()| works(&["--userns=host", "--", "/bin/true"]))
            }
            Self::Limits => works(&["-m=64m", "--cpus=1", "--pids-limit=64", "--", "/bin/true"]),
            Self::Examples => when(
                ["many", "tutorial"]
                    .iter()
                    .all(|name| example(name).is_file()),
                "not built",
            ),
            Self::MemfdNoexec => {
                let script = "cd /proc/sys/vm && echo 2 >memfd_noexec && echo 1 >memfd_noexec";
                works(&["--cap-add=ALL", "--", "/bin/sh", "-c", script])
            }
            Self::Execveat => {
                let root = tempfile::tempdir().map_err(|error| error.to_string())?;
                let root = format!("--rootfs={}", root.path().display());
                let program = env::current_exe().map_err(|error| error.to_string())?;
                let program = format!("--volume={}:/it:ro", program.display());
                works(&[&root, "--proc=off", &program, "--", "/it", "--list"])
            }
            Self::NotRoot => when(!root, "root"),
            Self::Userns => works(&["--userns=auto", "--", "/bin/true"]),
            Self::Idmap => {
                when(root, "not root")?;
                let source = tempfile::tempdir().map_err(|error| error.to_string())?;
                let volume = format!("--volume={}:/tmp:idmap", source.path().display());
                works(&["--userns=auto", &volume, "--workdir=/", "--", "/bin/true"])
            }
            Self::Subids => {
                when(!root, "root")?;
                works(&["--userns=nomap", "--", "/bin/true"])
            }
            Self::Ptmx => when(
                nix::pty::openpty(None, None).is_ok(),
                "no pseudoterminal can be opened",
            ),
            Self::KernelLog => kernel_log::is_readable(),
            Self::Seccomp => {
                let actions = fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail")
                    .unwrap_or_default();
                when(
                    actions.contains("errno") && actions.contains("user_notif"),
                    "the kernel has no seccomp filters",
                )
            }
            Self::Libseccomp => {
                let status = Command::new("/usr/bin/python3")
                    .args(["-c", "import seccomp"])
                    .stderr(Stdio::null())
                    .status();
                when(
                    status.is_ok_and(|status| status.success()),
                    "python3-seccomp is missing",
                )
            }
            Self::Clone3 => {
                // Without arguments it is EINVAL where it exists.
                // SAFETY: a size of 0 is refused before anything is read.
                unsafe { libc::syscall(libc::SYS_clone3, std::ptr::null::<u8>(), 0) };
                when(
                    nix::errno::Errno::last() == nix::errno::Errno::EINVAL,
                    "clone3(2) is missing or filtered",
                )
            }
            Self::Landlock => {
                // SAFETY: with this flag, LANDLOCK_CREATE_RULESET_VERSION, the call takes no memory.
                let abi = unsafe {
                    libc::syscall(
                        libc::SYS_landlock_create_ruleset,
                        std::ptr::null::<u8>(),
                        0,
                        1,
                    )
                };
                when(abi >= 6, "the kernel's Landlock is older than 6")
            }
            Self::Keys => {
                // SAFETY: KEYCTL_GET_KEYRING_ID takes numbers.
                let keyring = unsafe { libc::syscall(libc::SYS_keyctl, 0, -3, 0) };
                when(keyring >= 0, "keyctl(2) is missing or refused")
            }
            // A program that lasts: one that has ended is not asked whether it was in its namespace.
            Self::TimeNamespace => works(&["--time-offset=1", "--", "sleep", "0.1"]),
            Self::Strace => {
                let status = Command::new("strace")
                    .args(["-o", "/dev/null", "/bin/true"])
                    .stderr(Stdio::null())
                    .status();
                when(
                    status.is_ok_and(|status| status.success()),
                    "strace is missing, or may not trace",
                )
            }
            Self::Sudo => {
                let status = Command::new("sudo")
                    .args(["-n", "true"])
                    .stderr(Stdio::null())
                    .status();
                when(
                    status.is_ok_and(|status| status.success()),
                    "sudo is missing, or asks for a password",
                )
            }
            Self::MountSetattr => {
                // SAFETY: a size of 0 is refused before anything is read.
                let result = unsafe {
                    libc::syscall(
                        libc::SYS_mount_setattr,
                        -1,
                        c"".as_ptr(),
                        0,
                        std::ptr::null::<u8>(),
                        0,
                    )
                };
                let error = std::io::Error::last_os_error();
                when(
                    result < 0 && error.raw_os_error() == Some(libc::EINVAL),
                    "no mount_setattr(2)",
                )
            }
            Self::OpenTreeNamespace => {
                // OPEN_TREE_NAMESPACE|OPEN_TREE_CLOEXEC of `linux/mount.h`.
                let flags = 2 | libc::O_CLOEXEC;
                let root = c"/".as_ptr();
                // SAFETY: the string lives during the call.
                let result =
                    unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, root, flags) };
                if let Ok(fd) = i32::try_from(result)
                    && fd >= 0
                {
                    // SAFETY: the descriptor is new and nobody else's.
                    drop(unsafe { OwnedFd::from_raw_fd(fd) });
                }
                when(result >= 0, "open_tree(2) makes no mount namespaces")
            }
            Self::Pids => when(
                std::process::id() > 100,
                "this is one of the first processes of its PID namespace",
            ),
            Self::Unfiltered => {
                let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
                when(
                    status.contains("\nSeccomp:\t0\n"),
                    "a seccomp filter is in force",
                )
            }
            Self::Bash => when(Path::new("/bin/bash").exists(), "no /bin/bash"),
            Self::Debian => when(
                env::var_os("CLONEBOX_TEST_DEBIAN")
                    .is_some_and(|root| Path::new(&root).join("etc/debian_version").exists()),
                "CLONEBOX_TEST_DEBIAN names no root filesystem of Debian",
            ),
            Self::BashCompletion => when(
                Path::new("/usr/share/bash-completion/bash_completion").exists(),
                "the package bash-completion is not here",
            ),
            Self::Pasta => works(&["--net=pasta", "--", "/bin/true"]),
            Self::Zsh => starts("zsh", &["-f", "-c", "autoload -U compinit && compinit -D"]),
            Self::Fish => starts("fish", &["--no-config", "-c", "true"]),
            Self::Man => starts("groff", &["-man", "-Tutf8", "/dev/null"])
                .and_then(|()| starts("man", &["--version"])),
            Self::Mandoc => starts("mandoc", &["/dev/null"]),
            Self::Sources => {
                let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
                let own = env::current_exe().unwrap_or_default();
                let built = own
                    .parent()
                    .is_some_and(|directory| directory.ends_with("deps"));
                when(
                    Path::new(manifest).exists() && built,
                    "only the binaries are here",
                )
            }
            Self::Rustc => compiles_core(&[]),
            Self::RustcAarch64 => compiles_core(&["--target", "aarch64-unknown-linux-musl"]),
            Self::SetId => set_id(),
        }
    }
}

/// Whether a program is there and does what it is asked for.
fn starts(program: &str, words: &[&str]) -> Result<(), String> {
    let output = Command::new(program)
        .args(words)
        .stdin(Stdio::null())
        .output();
    match output {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!("{program}: {}", output.status)),
        Err(error) => Err(format!("{program}: {error}")),
    }
}

/// Whether the caller can make a program set-user-id that has its effect.
fn set_id() -> Result<(), String> {
    if !nix::unistd::geteuid().is_root() {
        return Err("not root".to_owned());
    }
    let file = tempfile::NamedTempFile::new().map_err(|error| error.to_string())?;
    std::os::unix::fs::chown(file.path(), Some(1234), Some(1234))
        .map_err(|error| format!("no file can be given to another user: {error}"))?;
    let mounted = nix::sys::statvfs::statvfs(file.path()).map_err(|errno| errno.to_string())?;
    let nosuid = mounted
        .flags()
        .contains(nix::sys::statvfs::FsFlags::ST_NOSUID);
    if nosuid || nix::sys::prctl::get_no_new_privs().unwrap_or(true) {
        return Err("set-user-id has no effect here".to_owned());
    }
    Ok(())
}

/// Whether rustc can compile a crate without std.
fn compiles_core(flags: &[&str]) -> Result<(), String> {
    Need::Sources.probe()?;
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    // Not /dev/null: rustc renames a file of its own to the output, which as root it may even there.
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    let mut child = Command::new(rustc)
        .args(["--crate-type", "lib", "--emit", "metadata", "-o"])
        .arg(directory.path().join("core"))
        .args(flags)
        .arg("-")
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("rustc: {error}"))?;
    let mut source = child.stdin.take().expect("a pipe");
    // A compiler that has ended already has said why.
    let _ = source.write_all(b"#![no_std]");
    drop(source);
    match child.wait() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(format!("rustc has no core library for {flags:?}")),
        Err(error) => Err(error.to_string()),
    }
}

fn probe_once(need: Need) -> Result<(), String> {
    static KNOWN: Mutex<BTreeMap<Need, Result<(), String>>> = Mutex::new(BTreeMap::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    known.entry(need).or_insert_with(|| need.probe()).clone()
}

/// The needs that the machine is declared to meet. An unknown word is a mistake, not a need.
fn declared() -> Result<Vec<Need>, Failed> {
    let words = env::var("CLONEBOX_TEST_HAS").unwrap_or_default();
    let find = |word: &str| {
        let known = ALL.into_iter().find(|(_, known)| *known == word);
        known
            .map(|(need, _)| need)
            .ok_or_else(|| format!("CLONEBOX_TEST_HAS: there is no need {word:?}").into())
    };
    words
        .split(',')
        .filter(|word| !word.is_empty())
        .map(find)
        .collect()
}

/// The first need that the machine does not meet, and why; an error if it was declared to.
pub(crate) fn missing(needs: &[Need]) -> Result<Option<String>, Failed> {
    let declared = declared()?;
    for &need in needs {
        if let Err(reason) = probe_once(need) {
            let missing = format!("{}: {reason}", need.word());
            if declared.contains(&need) {
                return Err(format!("declared by CLONEBOX_TEST_HAS and missing: {missing}").into());
            }
            return Ok(Some(missing));
        }
    }
    Ok(None)
}
