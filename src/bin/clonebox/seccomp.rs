// SPDX-License-Identifier: MIT OR Apache-2.0
//! The filter of system calls: `--seccomp` and its kin.

use std::fs::File;
use std::io::Read;

use clonebox::{Arch, Origin, SeccompFilter, Setting, Spec};

use crate::typed::Typed;
use crate::usage::UsageError;

/// Bytes of a file that are read: a profile of docker has 13,000, a program 32,768 at most.
const MOST: u64 = 4 << 20;

/// Reads the options, and the file that one may name.
pub(crate) fn options(spec: &mut Spec, args: &Typed) -> Result<(), UsageError> {
    let filter = args.optional("--seccomp", args.seccomp.as_deref(), filter)?;
    spec.seccomp.filter = filter.unwrap_or_default();
    spec.seccomp.log = args.switch("--seccomp-log", args.seccomp_log);
    spec.seccomp.trace = args.switch("--seccomp-trace", args.seccomp_trace);
    let arch = args.optional(
        "--seccomp-allow-arch",
        args.seccomp_allow_arch.as_deref(),
        |word| {
            let arch = Arch::named(word).filter(|arch| matches!(arch, Arch::X86 | Arch::Arm));
            arch.ok_or("expected x86 or arm")
        },
    )?;
    spec.seccomp.arches.extend(arch);
    Ok(())
}

/// The same by another option.
pub(crate) fn chosen(spec: &mut Spec, word: &str, origin: &Origin) -> Result<(), String> {
    spec.seccomp.filter = Setting::new(filter(word)?, origin.clone());
    Ok(())
}

/// `default`, `off`, or a file: a program if its name ends with `.bpf`, otherwise a profile in JSON.
fn filter(word: &str) -> Result<SeccompFilter, String> {
    match word {
        "default" => return Ok(SeccompFilter::Default),
        "off" => return Ok(SeccompFilter::Off),
        _ => {}
    }
    let read = |error: std::io::Error| format!("{error} (expected default, off or a file)");
    let mut bytes = Vec::new();
    let file = File::open(word).map_err(read)?;
    file.take(MOST + 1).read_to_end(&mut bytes).map_err(read)?;
    if bytes.len() as u64 > MOST {
        return Err(format!("the file has more than {MOST} bytes"));
    }
    let filter = if word.ends_with(".bpf") {
        SeccompFilter::from_program(&bytes)
    } else {
        SeccompFilter::from_json(&bytes)
    };
    filter.map_err(|error| error.to_string())
}
