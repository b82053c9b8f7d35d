//! Descriptions that are made up, launched: each box runs, or says which step failed and why.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clonebox::{Command, Error, ErrorKind, ParentDeath, Setting, Spec, Tty};

use crate::choices::Choices;
use crate::kit::{Kit, asked};

/// What the boxes are made of.
pub(crate) struct Launches {
    directories: Vec<PathBuf>,
    program: PathBuf,
}

impl Launches {
    /// In a directory that has nothing in it yet.
    pub(crate) fn new(base: &Path, program: &Path) -> Self {
        Self {
            directories: directories(base, program),
            program: program.to_owned(),
        }
    }

    /// The box that the bytes describe.
    pub(crate) fn spec(&self, data: &[u8]) -> Spec {
        let kit = Kit {
            directories: &self.directories,
            launched: true,
        };
        let mut spec = kit.spec(&self.program, &mut Choices::new(data));
        spec.parent_death = Setting::default_of(ParentDeath::KillWithThread);
        spec.start_timeout = Some(asked(Duration::from_secs(30)));
        if spec.tty.value == Tty::Inherit {
            spec.tty = asked(Tty::None);
        }
        spec
    }
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

/// Starts a box and waits for its end; a failure says what it has to.
pub(crate) fn runs_or_tells(spec: &Spec) -> Result<(), Error> {
    let mut child = Command::from(spec.clone())
        .spawn()
        .inspect_err(assert_told)?;
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
