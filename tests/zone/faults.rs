//! Every step can fail, and says so: its number, its call, who asked for it, and the errno. Nothing is
//! left then. And what does not fail may hang, or be killed.

use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use clonebox::{
    Child, Command, Error, ErrorKind, FailedStep, ParentDeath, Plan, PlannedStep, Pool, Template,
};
use nix::errno::Errno;
use nix::poll::PollTimeout;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getpgrp, gettid, tcgetpgrp};

use crate::support::filter::{self, Listener};
use crate::support::harness::Test;
use crate::support::host::Host;
use crate::support::need::Need;
use crate::support::process::{assert_no_child, children, descriptors};
use crate::support::program::Program;
use crate::support::recipe::{self, RECIPES, Recipe};
use crate::support::running;

/// Errors that no step gives by itself.
const ODD: [Errno; 7] = [
    Errno::EDOM,
    Errno::ERANGE,
    Errno::EL2HLT,
    Errno::ENOANO,
    Errno::EXFULL,
    Errno::EUCLEAN,
    Errno::ENOTUNIQ,
];
/// Long enough for a step on an emulated processor to be seen hanging.
const START_TIMEOUT: Duration = Duration::from_secs(1);

/// The tests of this module.
pub(crate) fn tests() -> Vec<Test> {
    let module = module_path!();
    let test = |name, needs: &[Need], run: fn()| Test::new(module, name, needs, run);
    let here = &[Need::Box, Need::Seccomp];
    let joins = &[Need::Box, Need::Execveat, Need::Seccomp, Need::Clone3];
    let clone3 = &[Need::Box, Need::Seccomp, Need::Clone3];
    // Where filters are installed, newuidmap(1) has no privilege.
    let filtered = RECIPES.iter().filter(|recipe| !recipe.needs(Need::Subids));
    let of_recipes = filtered.map(|recipe| {
        let name = "every_step_of_{}_can_fail_and_leaves_nothing";
        recipe.test(module, name, &[Need::Seccomp], every_step_fails)
    });
    let of_templates = RECIPES
        .iter()
        .filter(|recipe| recipe.is_template())
        .map(|recipe| {
            let name = "every_step_that_makes_the_mounts_of_{}_can_fail_and_leaves_nothing";
            recipe.test(
                module,
                name,
                &[Need::Seccomp],
                every_step_of_the_mounts_fails,
            )
        });
    of_recipes
        .chain(of_templates)
        .chain([
            test("a_program_that_is_not_there_is_127", here, missing_program),
            test("a_box_starts_without_clone3", clone3, no_clone3),
            test(
                "a_box_starts_where_clone3_is_forbidden",
                clone3,
                clone3_forbidden,
            ),
            test(
                "a_clone_that_fails_both_ways_is_told_and_not_remembered",
                clone3,
                no_clone,
            ),
            test(
                "a_step_that_hangs_is_ended_by_the_start_timeout",
                here,
                hang_here,
            ),
            test(
                "a_step_that_hangs_on_another_thread_is_ended",
                here,
                hang_on_a_thread,
            ),
            test(
                "a_step_that_hangs_under_vfork_is_ended",
                here,
                hang_under_vfork,
            ),
            test(
                "a_step_that_hangs_under_vfork_on_another_thread_is_ended",
                here,
                hang_there_under_vfork,
            ),
            test(
                "a_child_that_is_killed_in_a_step_is_told",
                here,
                killed_here,
            ),
            test(
                "a_child_that_is_killed_in_a_step_under_vfork_is_told",
                here,
                killed_under_vfork,
            ),
            test(
                "an_init_whose_program_hangs_is_ended_by_the_start_timeout",
                here,
                init_hangs,
            ),
            test(
                "an_init_that_cannot_start_its_program_says_so",
                here,
                init_fails,
            ),
            test(
                "every_step_until_a_box_of_a_pool_stands_can_fail_and_leaves_nothing",
                &[Need::Box, Need::Execveat, Need::Seccomp],
                || every_step_of_a_pool_fails(recipe::of_a_pool),
            ),
            test(
                "every_step_until_a_limited_box_of_a_pool_stands_can_fail_and_leaves_nothing",
                &[Need::Root, Need::Limits, Need::Execveat, Need::Seccomp],
                || every_step_of_a_pool_fails(recipe::of_a_limited_pool),
            ),
            test(
                "what_cannot_enter_a_process_namespace_says_so",
                joins,
                no_process,
            ),
            test(
                "what_hangs_before_it_is_in_a_process_namespace_is_ended_by_the_start_timeout",
                joins,
                entering_hangs,
            ),
        ])
        .collect()
}

fn every_step_fails(recipe: &Recipe) {
    let program = Program::new();
    let template = recipe.prepare(&program.path());
    let plan = template.plan();
    let foreground = tcgetpgrp(std::io::stdin()) == Ok(getpgrp());
    let host = Host::look();
    for (index, step) in plan.steps().enumerate() {
        let before = descriptors();
        let errno = ODD[index % ODD.len()];
        let error = launch_with_fault(&template, index, errno);
        let executes = step.name() == "execve";
        let expected = FailedStep {
            number: Some(index + 1),
            count: plan.steps().len(),
            call: step.call(),
            origin: step.origin().clone(),
        };
        assert_eq!(error.step(), Some(&expected), "{error}");
        assert_eq!(error.errno(), Some(errno as i32), "{error}");
        let message = format!("cannot {}: {} ({errno:?})", step.action(), errno.desc());
        assert_eq!(error.to_string(), message);
        assert_eq!(
            error.kind(),
            if executes {
                ErrorKind::Exec
            } else {
                ErrorKind::Setup
            }
        );
        assert_eq!(
            error.exit_code(),
            if executes { 126 } else { 125 },
            "{error}"
        );
        assert_no_child();
        assert_eq!(descriptors(), before, "{error}");
        host.assert_unchanged(&error);
        let still = tcgetpgrp(std::io::stdin()) == Ok(getpgrp());
        assert_eq!(still, foreground, "the terminal after: {error}");
    }
    let status = template.spawn().expect("nothing is wrong with it").wait();
    assert!(status.expect("it ends").success());
}

/// The same of the steps that are made once.
fn every_step_of_the_mounts_fails(recipe: &Recipe) {
    let program = Program::new();
    let mut template = recipe.prepare(&program.path());
    // The mount points are there after the first time, and stay.
    template.refresh().expect("nothing is wrong with it");
    let plan = template.mounts_plan().expect("it has mounts");
    let host = Host::look();
    // The last one ends the child: it does not come back to fail.
    for (index, step) in plan.steps().enumerate().take(plan.steps().len() - 1) {
        let before = descriptors();
        let errno = ODD[index % ODD.len()];
        let refresh = || template.clone().refresh().map(|()| None);
        let error = run_with_fault(plan, index, errno, refresh);
        let failed = error.step().expect("it names the step");
        assert_eq!(
            (failed.number, &failed.origin),
            (Some(index + 1), step.origin()),
            "{error}"
        );
        assert_eq!(
            (error.errno(), error.kind()),
            (Some(errno as i32), ErrorKind::Setup),
            "{error}"
        );
        assert_no_child();
        assert_eq!(descriptors(), before, "{error}");
        host.assert_unchanged(&error);
    }
    let status = template.spawn().expect("it is as it was").wait();
    assert!(status.expect("it ends").success());
}

/// The same of the steps until a box of a pool stands. The one that has the plan is full meanwhile.
fn every_step_of_a_pool_fails(template: fn(&Path) -> Template) {
    let program = Program::new();
    let template = template(&program.path());
    let pool = Pool::new(&template, 1).expect("nothing is wrong with it");
    let plan = pool.plan();
    let last = plan.steps().last().expect("it has steps");
    assert_eq!(last.name(), "execveat", "it has left our memory then");
    let host = Host::look();
    for (index, step) in plan.steps().enumerate() {
        let before = (descriptors(), children());
        let errno = ODD[index % ODD.len()];
        let make = || Pool::new(&template, 1).map(|_| None);
        let error = run_with_fault(plan, index, errno, make);
        let failed = error.step().expect("it names the step");
        assert_eq!(
            (failed.number, &failed.origin),
            (Some(index + 1), step.origin()),
            "{error}"
        );
        let message = format!("cannot {}: {} ({errno:?})", step.action(), errno.desc());
        assert_eq!(error.to_string(), message);
        assert_eq!(
            (error.errno(), error.kind()),
            (Some(errno as i32), ErrorKind::Setup),
            "{error}"
        );
        assert_eq!((descriptors(), children()), before, "{error}");
        host.assert_unchanged(&error);
    }
    let status = pool.spawn().expect("it stands").wait();
    assert!(status.expect("it ends").success());
}

/// Launches the box on a thread of its own, with an answer to one step that is not the kernel's.
fn launch_with_fault(template: &Template, index: usize, errno: Errno) -> Error {
    run_with_fault(template.plan(), index, errno, || template.spawn().map(Some))
}

/// The same with whatever follows the plan.
fn run_with_fault(
    plan: &Plan,
    index: usize,
    errno: Errno,
    run: impl FnOnce() -> Result<Option<Child>, Error> + Send,
) -> Error {
    let mut steps = plan.steps();
    let before: Vec<PlannedStep<'_>> = steps.by_ref().take(index).collect();
    let step = steps.next().expect("it is one of the steps");
    if before.iter().any(|one| one.call().contains("NEW_LISTENER")) {
        return run_refused(&step, errno, run);
    }
    // The child makes the steps and no other call; addresses are those of another plan after a refresh.
    let alike = before.iter().filter(|one| one.number() == step.number());
    let mut to_pass = alike.count();
    thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        let launcher = scope.spawn(move || {
            let listener = Listener::install(step.number() as libc::c_long);
            sender.send((listener, gettid())).expect("somebody listens");
            run()
        });
        let (listener, launching) = receiver.recv().expect("a filter has been installed");
        let mut done = false;
        loop {
            let over = launcher.is_finished();
            match listener.next(PollTimeout::from(5u8)) {
                None if over => break,
                None => {}
                Some(waiting) if waiting.tid != launching.as_raw() && !done => {
                    if to_pass == 0 {
                        done = true;
                        listener.fail(waiting, errno as i32);
                    } else {
                        to_pass -= 1;
                        listener.pass(waiting);
                    }
                }
                Some(waiting) => listener.pass(waiting),
            }
        }
        let launched = launcher.join().expect("it does not panic");
        let call = step.call();
        assert!(
            done,
            "step {} was not made: {call}: {launched:?}",
            index + 1
        );
        match launched {
            Err(error) => error,
            Ok(_) => panic!("{} failed, and the box has started", step.call()),
        }
    })
}

/// The same for a step that comes after a filter with a listener: there can be one such filter only.
fn run_refused(
    step: &PlannedStep<'_>,
    errno: Errno,
    run: impl FnOnce() -> Result<Option<Child>, Error> + Send,
) -> Error {
    let number = step.number() as libc::c_long;
    let launcher = move || {
        filter::refuse(&[number], errno as i32);
        run().expect_err("the call is refused")
    };
    thread::scope(|scope| scope.spawn(launcher).join()).expect("it does not panic")
}

fn missing_program() {
    let program = Program::new();
    let template = Recipe::plain().prepare(&program.path());
    let last = template.plan().steps().len() - 1;
    let error = launch_with_fault(&template, last, Errno::ENOENT);
    assert_eq!(
        (error.kind(), error.exit_code()),
        (ErrorKind::Exec, 127),
        "{error}"
    );
}

fn command(program: &Program) -> Command {
    let mut command = Command::new(program.path());
    command
        .parent_death(ParentDeath::KillWithThread)
        .hostname("stuck");
    command
}

fn no_clone3() {
    starts_without_clone3(Errno::ENOSYS);
}

fn clone3_forbidden() {
    starts_without_clone3(Errno::EPERM);
}

fn starts_without_clone3(errno: Errno) {
    let program = Program::new();
    let command = command(&program);
    let template = command.prepare().expect("a good description");
    assert_begins(&template.plan().to_string(), "clone3(");
    let before = descriptors();
    thread::scope(|scope| {
        scope.spawn(|| {
            filter::refuse(&[libc::SYS_clone3], errno as i32);
            for _ in 0..2 {
                let status = template.spawn().expect("clone(2) works").wait();
                assert!(status.expect("it ends").success());
            }
            assert!(command.status().expect("clone(2) works").success());
        });
    });
    assert_eq!(descriptors(), before);
    // Nobody tries in vain again, on whatever thread.
    assert_begins(&command.explain().expect("a good description"), "clone(");
}

fn no_clone() {
    let program = Program::new();
    let command = command(&program);
    let template = command.prepare().expect("a good description");
    let before = descriptors();
    thread::scope(|scope| {
        scope.spawn(|| {
            filter::refuse(&[libc::SYS_clone3, libc::SYS_clone], libc::EPERM);
            let error = template.spawn().expect_err("there is no way");
            assert_eq!(error.kind(), ErrorKind::Clone, "{error}");
            let told = (error.errno(), error.exit_code());
            assert_eq!(told, (Some(libc::EPERM), 125), "{error}");
            assert_begins(
                &error.step().expect("it names the call").call,
                "clone(flags=CLONE_VM",
            );
        });
    });
    assert_no_child();
    assert_eq!(descriptors(), before);
    assert_begins(&command.explain().expect("a good description"), "clone3(");
    let status = command.status().expect("nothing is in the way any more");
    assert!(status.success());
}

#[track_caller]
fn assert_begins(text: &str, start: &str) {
    assert!(text.trim_start().starts_with(start), "{text}");
}

/// Makes a launch hang in sethostname(2); `meet` is what happens to the child there.
///
/// The filter is this thread's, before any other is there: whoever makes the clone inherits it.
fn launch_stuck(command: &Command, there: bool, meet: impl FnOnce(Pid) + Send + 'static) -> Error {
    // The thread that watches comes before the filter, and does without it.
    let (sender, receiver) = mpsc::channel::<Listener>();
    let watcher = thread::spawn(move || {
        let listener = receiver.recv().expect("a filter has been installed");
        let waiting = listener
            .next(PollTimeout::NONE)
            .expect("the child makes the step");
        meet(Pid::from_raw(waiting.tid));
        // It is open until the launch is over: without a listener the call would go on.
        listener
    });
    let template = command.prepare().expect("a good description");
    let before = descriptors();
    let listener = Listener::install(libc::SYS_sethostname);
    sender.send(listener).expect("somebody listens");
    let launched = if there {
        thread::scope(|scope| {
            scope
                .spawn(|| template.spawn())
                .join()
                .expect("it does not panic")
        })
    } else {
        template.spawn()
    };
    drop(watcher.join().expect("it does not panic"));
    let error = launched.expect_err("the step hangs");
    assert_eq!(error.exit_code(), 125, "{error}");
    let step = error.step().expect("it names the step");
    assert_eq!(step.call, "sethostname(\"stuck\", 5)");
    assert_no_child();
    assert_eq!(descriptors(), before);
    error
}

fn hang(command: &mut Command, there: bool) {
    command.start_timeout(START_TIMEOUT);
    let error = launch_stuck(command, there, |_| {});
    assert_eq!(error.kind(), ErrorKind::StartTimeout, "{error}");
    assert_eq!(error.errno(), None);
    assert_eq!(
        error.to_string(),
        "the box did not start within 1 s and was killed"
    );
}

fn hang_here() {
    let program = Program::new();
    hang(&mut command(&program), false);
}

fn hang_on_a_thread() {
    let program = Program::new();
    hang(command(&program).parent_death(ParentDeath::Kill), true);
}

fn hang_under_vfork() {
    let program = Program::new();
    hang(command(&program).oom_score_adj(1000), false);
}

fn hang_there_under_vfork() {
    let program = Program::new();
    hang(
        command(&program)
            .oom_score_adj(1000)
            .parent_death(ParentDeath::Kill),
        true,
    );
}

fn killed(command: &Command) {
    let error = launch_stuck(command, false, |pid| {
        kill(pid, Signal::SIGKILL).expect("it is ours");
    });
    assert_eq!(error.kind(), ErrorKind::Killed, "{error}");
    assert_eq!(
        error.to_string(),
        "the box was killed by SIGKILL before its program was executed"
    );
}

fn killed_here() {
    let program = Program::new();
    killed(&command(&program));
}

fn killed_under_vfork() {
    let program = Program::new();
    killed(command(&program).oom_score_adj(1000));
}

/// The init makes this call, and no step does.
const OF_THE_INIT: libc::c_long = libc::SYS_setpgid;

fn init_hangs() {
    let program = Program::new();
    let mut command = command(&program);
    command.init(true).start_timeout(START_TIMEOUT);
    let before = descriptors();
    let listener = Listener::install(OF_THE_INIT);
    let error = command.status().expect_err("the init hangs");
    let waiting = listener.next(PollTimeout::ZERO);
    assert!(waiting.is_none(), "it is dead: {waiting:?}");
    drop(listener);
    assert_eq!(error.kind(), ErrorKind::StartTimeout, "{error}");
    assert_no_child();
    assert_eq!(descriptors(), before);
}

fn init_fails() {
    let program = Program::new();
    let mut command = command(&program);
    command.init(true);
    let before = descriptors();
    filter::refuse(&[OF_THE_INIT], Errno::EDOM as i32);
    let error = command.status().expect_err("the init fails");
    assert_eq!(error.errno(), Some(Errno::EDOM as i32), "{error}");
    assert_eq!(error.exit_code(), 126, "{error}");
    assert_no_child();
    assert_eq!(descriptors(), before);
}

/// The process that enters a process namespace is made by this call, and the child by another.
const ENTERING: libc::c_long = libc::SYS_clone;

/// A program that joins a box, before any filter is there.
fn joining(program: &Program) -> Command {
    running::start(&program.path());
    let mut command = Command::new(program.path());
    command
        .parent_death(ParentDeath::KillWithThread)
        .join(running::join(&program.path()));
    command
}

fn no_process() {
    let program = Program::new();
    let template = joining(&program).prepare().expect("a good description");
    let before = descriptors();
    filter::refuse(&[ENTERING], Errno::EDOM as i32);
    let error = template.spawn().expect_err("there is no process");
    assert_eq!(
        error.to_string(),
        format!(
            "cannot make a process in the process namespace of the box: {} (EDOM)",
            Errno::EDOM.desc()
        )
    );
    assert_eq!((error.kind(), error.exit_code()), (ErrorKind::Setup, 125));
    assert_no_child();
    assert_eq!(descriptors(), before);
}

fn entering_hangs() {
    let program = Program::new();
    let mut command = joining(&program);
    command.start_timeout(START_TIMEOUT);
    let before = descriptors();
    let listener = Listener::install(ENTERING);
    let error = command.status().expect_err("it hangs");
    drop(listener);
    assert_eq!(error.kind(), ErrorKind::StartTimeout, "{error}");
    assert_no_child();
    assert_eq!(descriptors(), before);
}
