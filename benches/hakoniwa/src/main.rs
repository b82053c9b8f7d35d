// SPDX-License-Identifier: MIT OR Apache-2.0
//! A worker of benches/compare that launches with hakoniwa: for each line it answers with a line of times, the wall
//! time and the processor's, of as many launches as the line has words.
//!
//! The box has what clonebox's box with a root filesystem has, as far as hakoniwa's words go: UTS, PID and mount
//! namespaces, a root, /dev, /dev/pts, /proc, /sys read-only, no_new_privs. It drops no capability and covers
//! nothing in /proc.

#[path = "../../burden/mod.rs"]
mod burden;
#[path = "../../support/clock.rs"]
mod clock;
#[path = "../../mounts/mod.rs"]
mod mounts;

/// What the files that are shared with other benches find there.
mod support {
    pub(crate) type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;
}

use std::io::{BufRead, Write, stdin, stdout};
use std::path::PathBuf;

use hakoniwa::{Container, Namespace, Runctl};
use support::Result;

fn main() -> Result {
    let target = PathBuf::from(std::env::var_os("BENCH_TARGET").ok_or("no target")?);
    let root = target.parent().ok_or("no root filesystem")?;
    let numbers = std::env::args().skip(1).map(|word| word.parse());
    let numbers: Vec<usize> = numbers.collect::<std::result::Result<_, _>>()?;
    let [resident_mib, threads, mounts] = numbers[..] else {
        return Err("three numbers are wanted".into());
    };
    let mut table = mounts::Mounts::own(root.with_file_name("hakoniwa-mounts"))?;
    table.fill(mounts)?;
    let container = container(root);
    let _resident = burden::Resident::new(resident_mib);
    let busy = burden::Busy::new(threads);
    for line in stdin().lock().lines() {
        let mut answers = Vec::new();
        for _ in line?.split_whitespace() {
            let (wall, cpu) = busy.during(|| clock::measured(|| launch(&container)))?;
            answers.push(format!("{wall:.1} {cpu:.1}"));
        }
        writeln!(stdout(), "{}", answers.join(" "))?;
    }
    Ok(())
}

fn container(root: &std::path::Path) -> Container {
    let mut container = Container::empty();
    for namespace in [Namespace::Mount, Namespace::Uts, Namespace::Pid] {
        container.unshare(namespace);
    }
    container
        .rootdir(root)
        .runctl(Runctl::RootdirRW)
        .hostname("bench-box")
        .devfsmount("/dev")
        .bindmount_ro("/sys", "/sys")
        .procfsmount("/proc");
    container
}

fn launch(container: &Container) -> Result {
    let status = container.command("/exit").status()?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("hakoniwa: {status:?}").into())
    }
}
