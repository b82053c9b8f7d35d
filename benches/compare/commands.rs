// SPDX-License-Identifier: MIT OR Apache-2.0
//! Commands, from spawn to reaped: a plain box, and one with a root filesystem on hosts with more and more mounts.

use std::io::{Write, stdout};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::Instant;

use crate::Budget;
use crate::contenders::{self, Contender, KEPT, oci};
use crate::peak;
use crate::runs::{Group, Run, Runs};
use crate::support::Result;
use crate::support::clock::micros;
use crate::support::host::said;
use crate::support::target::Target;

/// What takes tens of milliseconds is measured in one round of so many.
const SLOW_EVERY: usize = 5;
/// In how many rounds the memory of each is looked at, by another run.
const PEAKS: usize = 5;
const TEMPLATE: &str = "clonebox-template-root";

pub(crate) fn measure(budget: Budget, target: &Target, runs: &mut Runs) -> Result {
    let dir = tempfile::tempdir()?;
    let mut mounts = contenders::own_mounts(dir.path())?;
    let (mut all, missing) = contenders::all(target.exit(), dir.path())?;
    let mut missing: Vec<(&str, String)> = missing;
    // The page has one of each kind; the others are those of benches/command.rs.
    all.retain(|one| {
        !["c", "c-glibc", "tutorial"].contains(&one.name) && !one.name.ends_with("-limits")
    });
    for mut peer in peers(target.exit(), dir.path())? {
        match peer.try_once() {
            Ok(()) => all.push(peer),
            Err(why) => missing.push((peer.name, why)),
        }
    }
    runs.facts.extend(contenders::facts());
    for (program, option) in [
        ("nsjail", "--version"),
        ("systemd-nspawn", "--version"),
        ("firejail", "--version"),
    ] {
        runs.facts
            .push((program.to_owned(), said(program, &[option])));
    }
    missing.dedup();
    missing.retain(|(name, _)| !name.ends_with("-limits"));
    for (name, why) in missing {
        writeln!(stdout(), "skipped: {name}: {why}")?;
        runs.facts.push((
            format!("not measured, {name}"),
            why.lines().next().unwrap_or_default().to_owned(),
        ));
    }
    let (mut roots, mut plain): (Vec<Contender>, Vec<Contender>) = all
        .into_iter()
        .partition(|one| one.has_root() || one.name == "clonebox-userns");
    for at_once in [1, budget.at_once] {
        let group = Group {
            kind: "command".to_owned(),
            resident_mib: 0,
            threads: 1,
            mounts: 0,
            at_once,
        };
        in_turn(&group, &mut plain, budget, runs)?;
    }
    for count in budget.mounts {
        mounts.fill(count)?;
        let made = template(dir.path());
        roots.retain(|one| one.name != TEMPLATE);
        match made {
            Ok(one) => roots.push(one),
            Err(why) => writeln!(stdout(), "skipped: {TEMPLATE}: {why}")?,
        }
        for at_once in [1, budget.at_once] {
            let group = Group {
                kind: "root".to_owned(),
                resident_mib: 0,
                threads: 1,
                mounts: count,
                at_once,
            };
            in_turn(&group, &mut roots, budget, runs)?;
        }
    }
    Ok(())
}

fn in_turn(group: &Group, all: &mut [Contender], budget: Budget, runs: &mut Runs) -> Result {
    let began = Instant::now();
    let mut round = 0;
    while round < budget.rounds && (began.elapsed() < budget.time || round == 0) {
        for index in runs.shuffled(all.len()) {
            let one = &mut all[index];
            if one.slow && round % SLOW_EVERY != 0 {
                continue;
            }
            let commands = (0..group.at_once).map(|_| {
                let mut command = one.next();
                command.stderr(Stdio::null());
                command
            });
            match at_once(commands.collect()) {
                Ok(mut all) => {
                    if let ([run], true) = (&mut all[..], round < PEAKS * SLOW_EVERY) {
                        run.peak_kib = peak::kib(one.next()).unwrap_or(0.0);
                    }
                    for run in all {
                        runs.add(group, one.name, run);
                    }
                }
                // Others fail as they may: crun makes files in a root that it shares with itself.
                Err(_) if !one.name.starts_with("clonebox") => {
                    let failed = format!("failed at least once, {}", one.name);
                    runs.note(failed, "its runs of that round are left out");
                }
                Err(error) => return Err(error),
            }
        }
        round += 1;
    }
    Ok(())
}

/// Runs all of them at once.
fn at_once(commands: Vec<Command>) -> Result<Vec<Run>> {
    if let [_] = commands[..] {
        return commands
            .into_iter()
            .map(|command| Ok(run(command)?))
            .collect();
    }
    let runs: Vec<std::io::Result<Run>> = thread::scope(|scope| {
        let threads: Vec<_> = commands
            .into_iter()
            .map(|command| scope.spawn(|| run(command)))
            .collect();
        let panicked = || std::io::Error::other("a thread has panicked");
        threads
            .into_iter()
            .map(|thread| thread.join().map_err(|_| panicked())?)
            .collect()
    });
    runs.into_iter().map(|run| Ok(run?)).collect()
}

fn run(mut command: Command) -> std::io::Result<Run> {
    use std::os::unix::process::ExitStatusExt;
    let began = Instant::now();
    let child = command.spawn()?;
    let mut status = 0;
    // SAFETY: numbers, for all of which 0 is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes a status and a struct rusage, which live during the call.
    let reaped =
        unsafe { libc::wait4(child.id().cast_signed(), &raw mut status, 0, &raw mut usage) };
    let wall_us = began.elapsed().as_secs_f64() * 1e6;
    if reaped < 0 {
        return Err(std::io::Error::last_os_error());
    }
    let status = ExitStatus::from_raw(status);
    if !status.success() {
        return Err(std::io::Error::other(format!("{command:?}: {status}")));
    }
    Ok(Run {
        wall_us,
        cpu_us: micros(usage.ru_utime) + micros(usage.ru_stime),
        peak_kib: 0.0,
    })
}

/// A box of a template, which is made anew: it has the mounts that there are now.
fn template(dir: &Path) -> std::result::Result<Contender, String> {
    // The build for musl, if there is one.
    let program = contenders::builds().last().map(|(_, program)| program);
    let program = program.ok_or("there is no build of clonebox")?;
    let state = dir.join("state");
    let root = oci::rootfs(dir);
    let call = |words: &[&str]| {
        let made = Command::new(&program)
            .env("CLONEBOX_STATE_DIR", &state)
            .args(words)
            .output();
        let made = made.map_err(|error| error.to_string())?;
        let said = String::from_utf8_lossy(&made.stderr).trim().to_owned();
        if made.status.success() {
            Ok(())
        } else {
            Err(said)
        }
    };
    // There is none at first.
    let _ = call(&["template", "rm", "bench"]);
    call(&[
        "template",
        "create",
        "bench",
        "--rootfs",
        &root.to_string_lossy(),
    ])?;
    let mut one = Contender::new(TEMPLATE, &program).args(["--template", "bench", "--", "/exit"]);
    one.command.env("CLONEBOX_STATE_DIR", &state);
    one.try_once()?;
    Ok(one)
}

/// Those that only this comparison has, with the namespaces of a plain box as far as they can be told.
fn peers(exit: &Path, dir: &Path) -> Result<Vec<Contender>> {
    let root = oci::rootfs(dir);
    // It takes only what has a /usr, and makes more directories.
    let system = dir.join("system");
    std::fs::create_dir_all(system.join("usr"))?;
    std::fs::copy(exit, system.join("exit"))?;
    let nsjail = |name, root: &Path, program: &Path| {
        let shared = [
            "--disable_clone_newuser",
            "--disable_clone_newnet",
            "--disable_clone_newipc",
            "--disable_clone_newcgroup",
        ];
        let one = Contender::new(name, "nsjail")
            .args(["-Mo", "-Q", "--rw", "--chroot"])
            .args([root]);
        one.args(shared).args([Path::new("--"), program])
    };
    // All that it keeps by itself and clonebox does not. What is dropped here cannot be kept by another option.
    let dropped = [
        "DAC_READ_SEARCH",
        "IPC_OWNER",
        "LEASE",
        "LINUX_IMMUTABLE",
        "NET_BROADCAST",
        "NET_RAW",
        "SYS_ADMIN",
        "SYS_NICE",
        "SYS_PTRACE",
        "SYS_TTY_CONFIG",
        "SYS_RESOURCE",
        "SYS_BOOT",
        "AUDIT_WRITE",
        "AUDIT_CONTROL",
        "MKNOD",
    ]
    .map(|name| format!("CAP_{name}"))
    .join(",");
    let mut nspawn = Contender::new("nspawn-root", "systemd-nspawn")
        .args(["--quiet", "--register=no", "--keep-unit", "--settings=no"])
        .args(["--hostname=bench-box", "--no-new-privileges=yes"])
        .args([format!("--drop-capability={dropped}")])
        .args(["--link-journal=no", "--resolv-conf=off", "--timezone=off"])
        .args(["--console=pipe", "--machine", oci::NAME, "--directory"])
        .args([&system])
        .args(["--", "/exit"])
        .named();
    // It keeps others from the same directory otherwise.
    nspawn.command.env("SYSTEMD_NSPAWN_LOCK", "0");
    nspawn.slow = true;
    let kept = KEPT.join(",").replace("CAP_", "").to_lowercase();
    let mut firejail = Contender::new("firejail", "firejail")
        .args(["--quiet", "--noprofile", "--hostname=bench-box"])
        .args(["--nonewprivs", &format!("--caps.keep={kept}"), "--"])
        .args([exit]);
    firejail.slow = true;
    Ok(vec![
        bwrap(&root),
        nsjail("nsjail", Path::new("/"), exit),
        nsjail("nsjail-root", &root, Path::new("/exit")),
        nspawn,
        firejail,
    ])
}

/// bwrap with what clonebox has in a root filesystem.
fn bwrap(root: &Path) -> Contender {
    let mut one = Contender::new("bwrap-root", "bwrap")
        .args([
            "--unshare-uts",
            "--hostname",
            "bench-box",
            "--unshare-pid",
            "--as-pid-1",
        ])
        .args(["--die-with-parent", "--new-session", "--bind"])
        .args([root])
        .args([
            "/",
            "--proc",
            "/proc",
            "--dev",
            "/dev",
            "--ro-bind",
            "/sys",
            "/sys",
            "--cap-drop",
            "ALL",
        ]);
    for capability in KEPT {
        one = one.args(["--cap-add", capability]);
    }
    one.args(["--", "/exit"])
}
