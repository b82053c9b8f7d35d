// SPDX-License-Identifier: MIT OR Apache-2.0
//! The commands that are compared: how each is called for a box like clonebox's, and how those that
//! are not installed anywhere are built.

pub(crate) mod oci;

use std::env;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::mounts::Mounts;
use crate::support::Result;
use crate::support::host::{Fact, said};

/// The command as cargo builds it for this bench: the release profile.
pub(crate) const CLONEBOX: &str = env!("CARGO_BIN_EXE_clonebox");

/// Where they look for programs themselves.
const SYSTEM: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// What clonebox keeps, in bwrap's words.
pub(crate) const KEPT: [&str; 11] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_SETFCAP",
];

/// A command that starts the target.
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    /// So much slower that it is measured less often.
    pub(crate) slow: bool,
    /// What it was built with.
    pub(crate) fact: Option<Fact>,
    pub(crate) command: Command,
    /// Its next container has a name of its own.
    container: Option<oci::Names>,
}

/// A program that is installed where this process looks for it, or where the system has its own.
fn found(program: PathBuf) -> PathBuf {
    if program.components().count() > 1 {
        return program;
    }
    let own = env::var_os("PATH").unwrap_or_default();
    let places = env::split_paths(&own).chain(env::split_paths(SYSTEM));
    let mut paths = places.map(|place| place.join(&program));
    paths.find(|path| path.is_file()).unwrap_or(program)
}

impl Contender {
    pub(crate) fn new(name: &'static str, program: impl Into<PathBuf>) -> Self {
        let mut command = Command::new(found(program.into()));
        command
            .env_clear()
            .env("PATH", SYSTEM)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        Self {
            name,
            slow: false,
            fact: None,
            command,
            container: None,
        }
    }

    pub(crate) fn args<I: IntoIterator>(mut self, args: I) -> Self
    where
        I::Item: AsRef<std::ffi::OsStr>,
    {
        self.command.args(args);
        self
    }

    /// A name of its own for each run, in the place of [`oci::NAME`].
    pub(crate) fn named(mut self) -> Self {
        self.container = Some(oci::Names::default());
        self
    }

    /// The next run of it, which is not yet started.
    pub(crate) fn next(&mut self) -> Command {
        match &mut self.container {
            Some(names) => names.command(&self.command),
            None => oci::copy(&self.command),
        }
    }

    /// Whether its box has a root filesystem.
    pub(crate) fn has_root(&self) -> bool {
        ["-root", "-limits"]
            .iter()
            .any(|kind| self.name.ends_with(kind))
    }

    /// Runs it to its end.
    pub(crate) fn run(&mut self) -> io::Result<Duration> {
        self.run_as(Stdio::inherit())
    }

    fn run_as(&mut self, stderr: Stdio) -> io::Result<Duration> {
        let mut command = self.next();
        command.stderr(stderr);
        let began = Instant::now();
        let status = command.spawn()?.wait()?;
        let time = began.elapsed();
        if status.success() {
            Ok(time)
        } else {
            Err(io::Error::other(format!("{}: {status}", self.name)))
        }
    }
}

/// Gives this process a mount table of its own, for crun 1.8: it refuses hosts with both versions of
/// cgroups, so the second is hidden. All contenders get the same table.
pub(crate) fn own_mounts(dir: &Path) -> Result<Mounts> {
    let mounts = Mounts::own(dir.join("mounts"))?;
    // SAFETY: the string ends with NUL and lives during the call. Where there is none, nothing has to be
    // hidden.
    unsafe { libc::umount2(c"/sys/fs/cgroup/unified".as_ptr(), libc::MNT_DETACH) };
    Ok(mounts)
}

/// Those that work here, and why others do not.
pub(crate) fn all(exit: &Path, dir: &Path) -> Result<(Vec<Contender>, Vec<Missing>)> {
    let mut wanted = vec![
        Ok(Contender::new("target", exit)),
        clonebox("clonebox", Path::new(CLONEBOX), exit, dir),
        musl().and_then(|path| clonebox("clonebox-musl", &path, exit, dir)),
        musl().and_then(|path| in_root("clonebox-root", &path, dir, &[])),
        musl().and_then(|path| in_root("clonebox-limits", &path, dir, &oci::LIMITS)),
        musl().and_then(|path| in_root("clonebox-userns", &path, dir, &["--userns", "auto"])),
        calls("c", "musl-gcc", exit, dir),
        calls("c-glibc", "gcc", exit, dir),
        tutorial(exit, dir),
        Ok(Contender::new("unshare", "unshare")
            .args(["-u", "-p", "-m", "-f", "--mount-proc"])
            .args([exit])),
        Ok(bwrap(exit)),
    ];
    wanted.extend(oci::all(exit, dir)?.into_iter().map(Ok));
    let (mut usable, mut missing) = (Vec::new(), Vec::new());
    for contender in wanted {
        match contender {
            Ok(mut contender) => match contender.try_once() {
                Ok(()) => usable.push(contender),
                Err(why) => missing.push((contender.name, why)),
            },
            Err(missed) => missing.push(missed),
        }
    }
    Ok((usable, missing))
}

impl Contender {
    pub(crate) fn try_once(&mut self) -> std::result::Result<(), String> {
        let run = self.run_as(Stdio::null()).map(drop);
        run.map_err(|error| error.to_string())
    }
}

/// The builds of clonebox that are measured, and what they are called.
pub(crate) fn builds() -> impl Iterator<Item = (&'static str, PathBuf)> {
    let musl = musl().ok().map(|path| ("clonebox-musl", path));
    // In a virtual machine there is only the one that was brought.
    let here = Some(("clonebox", PathBuf::from(CLONEBOX))).filter(|(_, path)| path.exists());
    here.into_iter().chain(musl)
}

/// One that cannot be measured, and why.
pub(crate) type Missing = (&'static str, String);

type Wanted = std::result::Result<Contender, Missing>;

fn musl() -> std::result::Result<PathBuf, Missing> {
    env::var_os("CLONEBOX_MUSL")
        .map(PathBuf::from)
        .ok_or_else(|| ("clonebox-musl", "CLONEBOX_MUSL names no program".to_owned()))
}

fn clonebox(name: &'static str, program: &Path, exit: &Path, dir: &Path) -> Wanted {
    let program = installed(name, program, dir)?;
    Ok(Contender::new(name, program).args([Path::new("--"), exit]))
}

/// clonebox with the root filesystem of the runtimes' bundle.
fn in_root(name: &'static str, program: &Path, dir: &Path, options: &[&str]) -> Wanted {
    let program = installed(name, program, dir)?;
    let mut contender = Contender::new(name, program).args([Path::new("--rootfs")]);
    contender = contender.args([oci::rootfs(dir)]).args(options);
    Ok(contender.args(["--", "/exit"]))
}

/// A program as an installation leaves it: copied. What a linker has written lies in the page cache in
/// single pages, a copy in larger pieces, of which a start needs fewer page faults: 5 % of it.
fn installed(
    name: &'static str,
    program: &Path,
    dir: &Path,
) -> std::result::Result<PathBuf, Missing> {
    let copy = dir.join(format!("{name}.installed"));
    match std::fs::copy(program, &copy) {
        Ok(_) => Ok(copy),
        Err(error) => Err((name, format!("{}: {error}", program.display()))),
    }
}

/// `--as-pid-1`, because clonebox's program is PID 1 as well.
fn bwrap(exit: &Path) -> Contender {
    let mut contender = Contender::new("bwrap", "bwrap")
        .args(["--unshare-uts", "--hostname", "bench-box"])
        .args([
            "--unshare-pid",
            "--as-pid-1",
            "--die-with-parent",
            "--new-session",
        ])
        .args(["--dev-bind", "/", "/", "--proc", "/proc"])
        .args(["--cap-drop", "ALL"]);
    for capability in KEPT {
        contender = contender.args(["--cap-add", capability]);
    }
    contender.args([Path::new("--"), exit])
}

/// The C program. What glibc does at the start of a program is most of what the two differ in.
fn calls(name: &'static str, compiler: &str, exit: &Path, dir: &Path) -> Wanted {
    const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/programs/calls.c");
    let program = dir.join(name);
    let arch = said("gcc", &["-print-multiarch"]);
    let mut build = Command::new(compiler);
    build.args(["-O2", "-static", "-idirafter/usr/include"]);
    build.arg(format!("-idirafter/usr/include/{arch}"));
    match built(build.arg("-o").arg(&program).arg(SOURCE)) {
        Ok(()) => {
            let program = installed(name, &program, dir)?;
            let mut contender = Contender::new(name, program).args([exit]);
            let version = said("gcc", &["--version"]);
            contender.fact = Some((
                format!("C program {name}"),
                format!("{compiler}, {version}"),
            ));
            Ok(contender)
        }
        Err(why) => Err((name, why)),
    }
}

/// Built as clonebox is: static, optimised, without unwinding.
fn tutorial(exit: &Path, dir: &Path) -> Wanted {
    const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/programs/tutorial.rs");
    let program = dir.join("tutorial");
    let mut build = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    build.args([
        "--edition=2024",
        "-Copt-level=3",
        "-Cpanic=abort",
        "-Cstrip=symbols",
    ]);
    build.args([
        "-Clto=fat",
        "-Ccodegen-units=1",
        "-Ctarget-feature=+crt-static",
    ]);
    match built(build.arg("-o").arg(&program).arg(SOURCE)) {
        Ok(()) => {
            let program = installed("tutorial", &program, dir)?;
            Ok(Contender::new("tutorial", program).args([exit]))
        }
        Err(why) => Err(("tutorial", why)),
    }
}

fn built(build: &mut Command) -> std::result::Result<(), String> {
    match build.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Err(format!("{}: {error}", build.get_program().display())),
    }
}

/// The versions of those that are installed.
pub(crate) fn facts() -> Vec<Fact> {
    ["unshare", "bwrap", "crun", "runc", "youki"]
        .map(|program| (program.to_owned(), said(program, &["--version"])))
        .into()
}
