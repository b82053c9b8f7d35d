// SPDX-License-Identifier: MIT OR Apache-2.0
//! `--report` and `--timings`: where they go, and what the report says.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{BorrowedFd, RawFd};

use clonebox::{Arch, RefusedCall};
use serde_json::{Value, json};

use crate::descriptors::is_inherited;
use crate::render::answer;
use crate::{Ended, Failure};

/// A file that was opened before the box is started: what cannot be written is an error before
/// anything is done, and needs no privilege afterwards.
#[derive(Debug)]
pub(crate) struct Sink(File);

impl Sink {
    /// Opens a file, which is made or emptied; `-` is standard error, a number a descriptor of the
    /// caller.
    pub(crate) fn open(word: &str) -> io::Result<Self> {
        let number = if word == "-" {
            Ok(2)
        } else {
            word.parse::<RawFd>()
        };
        let file = match number {
            Ok(number) if number >= 0 => {
                if !is_inherited(number) {
                    return Err(io::Error::from_raw_os_error(libc::EBADF));
                }
                // SAFETY: it is the caller's, who has left it open, and is only duplicated.
                unsafe { BorrowedFd::borrow_raw(number) }
                    .try_clone_to_owned()?
                    .into()
            }
            _ => File::create(word)?,
        };
        Ok(Self(file))
    }

    pub(crate) fn write(mut self, text: &str) -> io::Result<()> {
        self.0.write_all(text.as_bytes())
    }
}

fn refused_call(call: &RefusedCall) -> Value {
    json!({
        "name": call.name,
        "arch": call.arch.map(Arch::name),
        "number": call.number,
        "args": call.args,
        "answer": answer(call),
        "times": call.times,
    })
}

/// The report about a box, with the mount points that were `made` in its root filesystem and what `landlock`
/// has restricted (`abi`, and the names of the `access`), or about a start that failed: then `exit_code` and
/// `error`.
pub(crate) fn of(ended: &Result<Ended, Failure>) -> String {
    let report: Value = match ended {
        Ok(ended) => {
            let mut report = ended.outcome.to_json();
            if !ended.made.is_empty() {
                let made = ended.made.iter().map(|path| path.to_string_lossy());
                report["made"] = made.collect();
            }
            if let Some(refused) = &ended.refused {
                report["seccomp_refused"] = refused.iter().map(refused_call).collect();
            }
            if let Some(landlock) = ended.landlock {
                report["landlock"] = json!({ "abi": landlock.abi, "access": landlock.names() });
            }
            report
        }
        Err(failure) => {
            let error = match failure {
                Failure::Usage(error) => error.to_string(),
                Failure::Box(error) => error.to_string(),
                Failure::Io(action, error) => format!("cannot {action}: {error}"),
            };
            json!({ "exit_code": failure.exit_code(), "error": error })
        }
    };
    format!("{report}\n")
}
