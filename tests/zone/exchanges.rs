//! What is found where something was mounted is looked at: somebody may have exchanged it in between.

use std::fs;
use std::path::Path;
use std::sync::mpsc;
use std::thread;

use clonebox::{Command, Error, ErrorKind, ParentDeath, Template};
use nix::errno::Errno;
use nix::poll::PollTimeout;
use nix::unistd::gettid;

use crate::support::filter::Listener;
use crate::support::process::{assert_no_child, descriptors};
use crate::support::program::Program;
use crate::support::tests;

tests! {
    fn a_proc_that_is_exchanged_after_the_mount_is_no_proc() needs [Root, Seccomp] {
        let program = Program::new();
        let path = program.path();
        let root = path.parent().expect("a path");
        let template = prepare(&program);
        assert!(template.spawn().expect("a box").wait().expect("its end").success());
        let before = descriptors();
        let error = launch_with_exchange(&template, root, "proc");
        assert_eq!((error.kind(), error.errno()), (ErrorKind::Setup, Some(Errno::ENODEV as i32)), "{error}");
        let step = error.step().expect("it names the step");
        assert!(step.call.starts_with("statfs("), "{}", step.call);
        assert_eq!(error.to_string(), "cannot find proc on /proc: No such device (ENODEV)");
        assert_no_child();
        assert_eq!(descriptors(), before);
        // What was mounted there has gone with the box.
        assert!(fs::read_dir(root.join("proc")).expect("a directory of ours").next().is_none());
    }
}

/// A box whose root filesystem is the directory of its program, on which proc is mounted for each.
fn prepare(program: &Program) -> Template {
    let path = program.path();
    let name = Path::new("/").join(path.file_name().expect("a path"));
    let mut command = Command::new(name);
    command
        .rootfs(path.parent().expect("a path"))
        .parent_death(ParentDeath::KillWithThread)
        .template_mounts(clonebox::TemplateMounts::EachLaunch);
    // The mount points are there after the first time.
    assert!(command.status().expect("a box").success());
    command.prepare().expect("a good description")
}

/// Launches the box, and exchanges a directory of its root filesystem for another one after something was mounted on
/// it and before it is opened again.
fn launch_with_exchange(template: &Template, root: &Path, name: &str) -> Error {
    let steps: Vec<_> = template.plan().steps().collect();
    let checked = steps.iter().position(|step| step.name() == "statfs");
    let (before, _) = steps.split_at(checked.expect("it looks at proc"));
    let opens = before
        .iter()
        .rposition(|step| step.name().starts_with("openat"));
    let opens = opens.expect("it opens what it looks at");
    let number = steps[opens].number();
    let mounts = |step: &&clonebox::PlannedStep<'_>| step.call().starts_with("mount(\"proc\"");
    assert!(
        steps[..opens].iter().any(|step| mounts(&step)),
        "it is mounted by then"
    );
    let to_pass = steps[..opens]
        .iter()
        .filter(|step| step.number() == number)
        .count();
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        let launcher = scope.spawn(move || {
            let listener = Listener::install(number as libc::c_long);
            sender.send((listener, gettid())).expect("somebody listens");
            template.spawn()
        });
        let (listener, launching) = receiver.recv().expect("a filter has been installed");
        let mut passed = 0;
        loop {
            let over = launcher.is_finished();
            match listener.next(PollTimeout::from(5u8)) {
                None if over => break,
                None => {}
                // The launcher's own thread opens files too.
                Some(waiting) if waiting.tid == launching.as_raw() => listener.pass(waiting),
                Some(waiting) => {
                    if passed == to_pass {
                        exchange(root, name);
                    }
                    passed += 1;
                    listener.pass(waiting);
                }
            }
        }
        assert!(passed > to_pass, "it was opened again");
        let launched = launcher.join().expect("it does not panic");
        launched.expect_err("what it finds is no proc")
    })
}

/// Puts an empty directory in the place of one, which may be a mount point elsewhere.
fn exchange(root: &Path, name: &str) {
    let aside = root.join("aside");
    fs::rename(root.join(name), &aside).expect("it is no mount point here");
    fs::create_dir(root.join(name)).expect("a directory of ours");
}
