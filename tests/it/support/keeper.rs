//! What `clonebox -d` and `clonebox attach` do, done by a program that has only the library.

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;

use clonebox::{Command, Registry, Stdio, Supervisor};

/// Keeps a box of this name in this directory until it has ended.
pub(super) fn keep(directory: &Path, name: &str, program: &[OsString]) {
    let (program, args) = program.split_first().expect("a program");
    let mut command = Command::new(program);
    command
        .args(args)
        .name(name)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let supervisor = Supervisor::new().expect("signals");
    let template = command.prepare().expect("a template");
    let registry = Registry::at(directory);
    let mut claim = registry.claim(&template).expect("a name");
    claim.detached();
    let mut log = claim.log(1 << 20).expect("a log");
    let door = claim.door().expect("a door");
    let mut child = template.spawn().expect("a box");
    claim.started(&child).expect("a record");
    let outcome = supervisor.keep(&mut child, Some(door), |stream, bytes| {
        log.append(stream, bytes).expect("a log");
    });
    claim.ended(&outcome.expect("its end")).expect("a record");
    claim.leave();
}

/// Stays with that box until one of both leaves, and prints why.
pub(super) fn visit(directory: &Path, name: &str) {
    let supervisor = Supervisor::new().expect("signals");
    let entry = Registry::at(directory).find(name).expect("a box");
    let socket = entry.attach().expect("a keeper");
    let why = supervisor.attach(&socket).expect("a visit");
    writeln!(std::io::stdout(), "{why:?}").expect("a reader");
}
