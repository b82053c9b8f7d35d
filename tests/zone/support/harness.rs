//! From functions to tests, each in a process of its own: `zone __alone NAME`.

use std::env;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::unix::process::CommandExt;
use std::panic;
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use super::need::{self, Need};
use super::recipe;

const ALONE: &str = "__alone";
/// Launches a box of a recipe, for somebody who watches.
pub(crate) const LAUNCH: &str = "__launch";
/// A test that takes longer hangs: the slowest one takes two minutes on an emulated processor.
const HANGS_AFTER: Duration = Duration::from_secs(900);

/// A test: its name is a sentence about behaviour.
pub(crate) struct Test {
    name: String,
    needs: Vec<Need>,
    run: Box<dyn Fn()>,
}

impl Test {
    pub(crate) fn new(module: &str, name: &str, needs: &[Need], run: impl Fn() + 'static) -> Self {
        let module = module.rsplit("::").next().unwrap_or(module);
        Self {
            name: format!("{module}::{name}"),
            needs: needs.to_vec(),
            run: Box::new(run),
        }
    }

    fn into_trial(self) -> Trial {
        let Self { name, needs, .. } = self;
        Trial::ignorable_test(name.clone(), move || {
            if let Some(missing) = need::missing(&needs)? {
                return Ok(Completion::ignored_with(missing));
            }
            run_alone(&name)?;
            Ok(Completion::Completed)
        })
    }
}

/// Declares the tests of a module: `fn name() needs [Need, ...] { ... }`.
macro_rules! tests {
    ($($(#[$meta:meta])* fn $name:ident() needs [$($need:ident),*] $body:block)*) => {
        /// The tests of this module.
        pub(crate) fn tests() -> Vec<$crate::support::harness::Test> {
            vec![$($crate::support::harness::Test::new(
                module_path!(),
                stringify!($name),
                &[$($crate::support::need::Need::$need),*],
                $name,
            )),*]
        }
        $($(#[$meta])* fn $name() $body)*
    };
}
pub(crate) use tests;

/// Runs the tests that the command line asks for, or the one that this process is for.
pub(crate) fn main<const N: usize>(modules: [Vec<Test>; N]) -> ExitCode {
    let mut tests = modules.into_iter().flatten();
    let mut words = env::args().skip(1);
    if words.next().as_deref() == Some(ALONE) {
        let name = words.next();
        let test = tests.find(|test| Some(&test.name) == name.as_ref());
        let test = test.unwrap_or_else(|| panic!("there is no test {name:?}"));
        end_with_the_first_panic();
        (test.run)();
        return ExitCode::SUCCESS;
    }
    let mut words = env::args().skip(1);
    if words.next().as_deref() == Some(LAUNCH) {
        recipe::launch(&words.next().unwrap_or_default());
        return ExitCode::SUCCESS;
    }
    let arguments = Arguments::from_args();
    let trials = tests.map(Test::into_trial).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// A panic ends the process, on whatever thread: the others may wait for what will not happen.
fn end_with_the_first_panic() {
    let tell = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        tell(panic);
        // SAFETY: the process ends here; what other threads do does not matter any more.
        unsafe { libc::_exit(101) };
    }));
}

/// Runs this binary again for one test. What it says goes to a file: a process that a broken launch
/// leaves behind could hold a pipe open for ever.
fn run_alone(name: &str) -> Result<(), Failed> {
    let mut output = tempfile::tempfile()?;
    let mut command = Command::new(env::current_exe()?);
    command
        .args([ALONE, name])
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output.try_clone()?);
    // SAFETY: only system calls are made between fork(2) and execve(2).
    let mut child = unsafe { command.pre_exec(share_mounts) }.spawn()?;
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if began.elapsed() > HANGS_AFTER {
            child.kill()?;
            child.wait()?;
            return Err(format!("hangs\n{}", read(&mut output)?).into());
        }
        thread::sleep(Duration::from_millis(10));
    };
    judge(status, &mut output)
}

/// Gives root a table of mounts that nobody else changes, and to which what a box mounts would come back, as on most
/// hosts: mount_namespaces(7). Who may not has the one that is there.
fn share_mounts() -> io::Result<()> {
    let none: Option<&str> = None;
    let all_are = |how| mount(none, "/", none, MsFlags::MS_REC | how, none);
    let _ = unshare(CloneFlags::CLONE_NEWNS)
        .and_then(|()| all_are(MsFlags::MS_PRIVATE))
        .and_then(|()| all_are(MsFlags::MS_SHARED));
    Ok(())
}

fn judge(status: ExitStatus, output: &mut File) -> Result<(), Failed> {
    if status.success() {
        return Ok(());
    }
    Err(format!("{status}\n{}", read(output)?).into())
}

fn read(output: &mut File) -> Result<String, Failed> {
    let mut bytes = Vec::new();
    output.rewind()?;
    output.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
