// SPDX-License-Identifier: MIT OR Apache-2.0
//! `clonebox doctor`: what works here, what does not, and the way out.

use std::ffi::OsString;
use std::fmt::Write as _;

use argh::{ArgsInfo, FromArgs};
use clonebox::{Diagnosis, Finding};

use super::words::{self, Asked};
use crate::usage::UsageError;
use crate::{Failure, render};

pub(super) const HELP: &str = "\
Usage: clonebox doctor [--json]
Says what works here for this user, what does not, and what would help.

Boxes of every kind are tried, and what the kernel has is asked for; nothing
is left of it. Each line has ok; limited, which boxes can do without; or
missing. Run it as whom the boxes are to be started by.

      --json   one object, for programs

Exit code: 0 if a plain box can be started, 1 if not, 125 clonebox failed.
";

/// The options of doctor.
#[derive(ArgsInfo, Debug, FromArgs, PartialEq, Eq)]
pub(super) struct Options {
    /// one object, for programs
    #[argh(switch)]
    json: bool,
}

/// What it exits with if there are no boxes here.
const NO_BOX: u8 = 1;

pub(super) fn run(words: Vec<OsString>) -> Result<u8, Failure> {
    let json = match words::read::<Options>("doctor", words)? {
        Asked::Help => return Ok(render::page(HELP)),
        Asked::This(options, operands) if operands.is_empty() => options.json,
        Asked::This(..) => return Err(UsageError::new("doctor takes options only").into()),
    };
    crate::wait_for_children();
    let diagnosis = Diagnosis::examine();
    let text = if json {
        format!("{:#}\n", diagnosis.to_json())
    } else {
        page(&diagnosis)
    };
    let written = render::page(&text);
    Ok(match (written, diagnosis.can_start()) {
        (0, false) => NO_BOX,
        (written, _) => written,
    })
}

fn page(diagnosis: &Diagnosis) -> String {
    let verdict = if diagnosis.can_start() {
        "A plain box can be started"
    } else {
        "No box can be started"
    };
    let mut page = format!(
        "{verdict} by user {} on Linux {}.\n",
        diagnosis.uid, diagnosis.kernel
    );
    let (mut topic, mut fix) = ("", None);
    for finding in &diagnosis.findings {
        if finding.topic != topic {
            topic = finding.topic;
            // Writing to a String does not fail.
            let _ = writeln!(page, "\n{topic}");
        }
        page.push_str(&lines(finding, fix));
        fix = finding.fix.as_deref();
    }
    page
}

/// A line for what was seen, and one for what would help, if that is not above already. Long names push the column to the
/// right.
fn lines(finding: &Finding, above: Option<&str>) -> String {
    let Finding {
        name,
        health,
        detail,
        fix,
        ..
    } = finding;
    let detail = detail.replace('\n', "; ");
    let mut lines = format!("  {health:<8} {name:<18} {detail}\n");
    if let Some(fix) = fix.as_deref().filter(|fix| above != Some(fix)) {
        let _ = writeln!(lines, "           {:<18} {fix}", "hint");
    }
    lines
}
