// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where the numbers come from.

use std::fs;
use std::process::Command;

/// What is said of a machine or of a program, and what it is.
pub(crate) type Fact = (String, String);

/// The machine, the kernel and the compiler.
pub(crate) fn facts() -> Vec<Fact> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let (cpus, memory) = (read("/proc/cpuinfo"), read("/proc/meminfo"));
    let cpu = field(&cpus, "model name").unwrap_or_else(|| "unknown".to_owned());
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    let virtual_machine = cpus
        .lines()
        .any(|line| line.starts_with("flags") && line.split(' ').any(|flag| flag == "hypervisor"));
    let kib: u64 = field(&memory, "MemTotal")
        .and_then(|text| text.split(' ').next()?.parse().ok())
        .unwrap_or(0);
    let mounts = read("/proc/self/mounts").lines().count();
    let kind = if virtual_machine {
        ", virtual machine"
    } else {
        ""
    };
    [
        ("date", said("date", &["-u", "+%F"])),
        ("kernel", said("uname", &["-srm"])),
        ("processor", format!("{cpu}, {count} in use{kind}")),
        ("memory", format!("{} GiB", kib.div_ceil(1 << 20))),
        ("mounts in the host's table", mounts.to_string()),
        (
            "transparent huge pages",
            read("/sys/kernel/mm/transparent_hugepage/enabled")
                .trim()
                .to_owned(),
        ),
        ("rustc", said("rustc", &["--version"])),
        ("clonebox", env!("CARGO_PKG_VERSION").to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

fn field(text: &str, name: &str) -> Option<String> {
    let (_, rest) = text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then_some((key, value))
    })?;
    Some(rest.trim().to_owned())
}

/// The first line that a command prints.
pub(crate) fn said(program: &str, args: &[&str]) -> String {
    let Ok(output) = Command::new(program).args(args).output() else {
        return "not installed".to_owned();
    };
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().next().unwrap_or("unknown").trim().to_owned()
}
