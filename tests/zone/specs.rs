//! Boxes that are made up, launched: each runs, or says which step failed and why. Nothing is left.
//!
//! `CLONEBOX_ZONE_LAUNCHES` is how many.

#![expect(
    clippy::print_stdout,
    reason = "what was made up is printed if a test fails"
)]

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clonebox::{Command, Error, ErrorKind, ParentDeath, Setting, Spec, Tty};

use crate::choices::Choices;
use crate::kit::{Kit, asked};
use crate::support::process::{assert_no_child, descriptors};
use crate::support::program::Program;
use crate::support::tests;

/// However many launches are asked for: an emulated processor is slow.
const ENOUGH: Duration = Duration::from_secs(20);

/// Numbers that look random, from a seed: xorshift64.
fn bytes(seed: &mut u64) -> Vec<u8> {
    let mut next = || {
        *seed ^= *seed << 13;
        *seed ^= *seed >> 7;
        *seed ^= *seed << 17;
        *seed
    };
    let length = next() % 160;
    (0..length).map(|_| (next() >> 32) as u8).collect()
}

/// Directories that a box may have, one of them a root filesystem with the program in it.
fn directories(base: &Path, program: &Path) -> Vec<PathBuf> {
    let root = base.join("root");
    for name in ["proc", "sys", "dev", "etc", "a"] {
        fs::create_dir_all(root.join(name)).expect("a directory");
    }
    fs::write(
        root.join("etc/passwd"),
        "root:x:0:0::/:\nweb:x:33:33::/a:\n",
    )
    .expect("a file");
    let inside = root.join(program.strip_prefix("/").expect("an absolute path"));
    fs::create_dir_all(inside.parent().expect("a directory")).expect("directories");
    fs::copy(program, inside).expect("a program");
    let [upper, work, file] = ["upper", "work", "file"].map(|name| base.join(name));
    fs::create_dir(&upper).expect("a directory");
    fs::create_dir(&work).expect("a directory");
    fs::write(&file, "file").expect("a file");
    vec![root, upper, work, file, base.join("none")]
}

/// The cgroups of this process's boxes.
fn cgroups() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left = vec![PathBuf::from("/sys/fs/cgroup")];
    let own = format!("-{}-", std::process::id());
    while let Some(directory) = left.pop() {
        let entries = fs::read_dir(&directory).into_iter().flatten().flatten();
        let below = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        for path in below.map(|entry| entry.path()) {
            if path.to_string_lossy().contains(&own) {
                found.push(path.clone());
            }
            left.push(path);
        }
    }
    found
}

fn mounts() -> String {
    fs::read_to_string("/proc/self/mountinfo").expect("/proc")
}

/// Starts a box and waits for its end.
fn launch(spec: &Spec) -> Result<(), Error> {
    let mut child = Command::from(spec.clone()).spawn()?;
    drop(child.take_terminal());
    child.wait().expect("it ends");
    Ok(())
}

/// What holds for every failure.
fn assert_told(error: &Error) {
    let text = format!("{error}\n{}", error.detail());
    let harmless = text.chars().all(|c| c == '\n' || !c.is_control());
    assert!(harmless && !text.trim().is_empty(), "{text:?}");
    assert!((125..=127).contains(&error.exit_code()), "{text}");
    if error.kind() == ErrorKind::Setup {
        assert!(error.errno().is_some(), "{text}");
    }
    if let Some(step) = error.step() {
        let fits = step
            .number
            .is_none_or(|number| (1..=step.count).contains(&number));
        assert!(fits && !step.call.is_empty(), "{text}");
    }
}

tests! {
    fn any_box_runs_or_tells_the_step_that_failed_and_leaves_nothing() needs [Box] {
        let wanted = env::var("CLONEBOX_ZONE_LAUNCHES").map_or(1_000, |text| text.parse().expect("a number"));
        let now = std::time::UNIX_EPOCH.elapsed().expect("a clock").as_nanos() as u64;
        let first: u64 = env::var("CLONEBOX_ZONE_SEED").map_or(now, |text| text.parse().expect("a number"));
        let program = Program::new();
        let base = tempfile::tempdir().expect("a directory");
        fs::set_permissions(base.path(), fs::Permissions::from_mode(0o755)).expect("it is ours");
        let directories = directories(base.path(), &program.path());
        let kit = Kit { directories: &directories, launched: true };
        let (began, open, mounted) = (Instant::now(), descriptors(), mounts());
        let (mut ran, mut failed) = (0, 0);
        let mut seed = first | 1;
        for _ in 0..wanted {
            let drawn = seed;
            let made_up = bytes(&mut seed);
            let mut spec = kit.spec(&program.path(), &mut Choices::new(&made_up));
            spec.parent_death = Setting::default_of(ParentDeath::KillWithThread);
            spec.start_timeout = Some(asked(Duration::from_secs(30)));
            if spec.tty.value == Tty::Inherit {
                spec.tty = asked(Tty::None);
            }
            // To be read only if something is wrong.
            println!("CLONEBOX_ZONE_SEED={drawn}: {spec:?}");
            match launch(&spec) {
                Ok(()) => ran += 1,
                Err(error) => {
                    println!("{error}");
                    assert_told(&error);
                    failed += 1;
                }
            }
            assert_no_child();
            assert_eq!(descriptors(), open);
            if began.elapsed() > ENOUGH {
                break;
            }
        }
        assert_eq!(mounts(), mounted);
        assert_eq!(cgroups(), [""; 0].map(PathBuf::from));
        println!("{ran} ran, {failed} failed");
        assert!(ran > 0 && failed > 0);
    }
}
