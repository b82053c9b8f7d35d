// SPDX-License-Identifier: MIT OR Apache-2.0
//! Why a program cannot be executed: what the kernel looks at when it is, looked at again.

use std::ffi::{CStr, OsStr};
use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit};

use super::memory;
use crate::plan::{Enforced, Plan, quoted_bare};
use crate::spec::{Access, Spec};

/// Why a program cannot be executed.
pub(in crate::error) fn exec(
    candidate: usize,
    errno: Errno,
    plan: &Plan,
    spec: &Spec,
) -> Option<String> {
    if let Some(hint) = forbidden(candidate, errno, plan, spec) {
        return Some(hint);
    }
    if let (Errno::ENOMEM | Errno::E2BIG, Some(hint)) = (errno, memory(spec)) {
        return Some(hint);
    }
    // The path is one of the root filesystem, which is not to be trusted with being looked at.
    if spec.rootfs.is_some() {
        return None;
    }
    let path = plan.exec.candidates.get(candidate)?;
    let path = Path::new(OsStr::from_bytes(path.to_bytes()));
    let shown = quoted_bare(path.as_os_str().as_bytes());
    match errno {
        Errno::ENOENT | Errno::ENOTDIR => missing_interpreter(plan).or_else(|| searched_path(plan)),
        Errno::EACCES if path.is_dir() => Some(format!("{shown} is a directory")),
        Errno::EACCES => {
            let mode = path.metadata().ok()?.permissions().mode();
            (mode & 0o111 == 0).then(|| {
                format!(
                    "nobody may execute {shown} (mode {:03o}): chmod +x",
                    mode & 0o777
                )
            })
        }
        Errno::ENOEXEC => {
            let (begin, _) = head(path)?;
            (!begin.starts_with(b"#!") && !begin.starts_with(b"\x7fELF"))
                .then(|| format!("{shown} is neither a program nor a script with a #! line"))
        }
        Errno::E2BIG => {
            let size = |strings: &[std::ffi::CString]| -> usize {
                strings
                    .iter()
                    .map(|one| one.as_bytes_with_nul().len() + size_of::<usize>())
                    .sum()
            };
            let (arguments, environment) = (
                size(plan.exec.argv.strings()),
                size(plan.exec.envp.strings()),
            );
            let (stack, _) = getrlimit(Resource::RLIMIT_STACK).ok()?;
            Some(format!(
                "{arguments} bytes of arguments and {environment} of environment; together the kernel takes at most a \
                 quarter of ulimit -s ({stack} bytes), and 6 MiB"
            ))
        }
        _ => None,
    }
}

/// A program, or its interpreter, that no Landlock rule allows to be executed. In a root filesystem, where
/// nothing is looked at, that is known if there is no such rule at all.
fn forbidden(candidate: usize, errno: Errno, plan: &Plan, spec: &Spec) -> Option<String> {
    let rules = &spec.landlock.paths;
    let restricts = plan.landlock.is_some_and(Enforced::restricts_files);
    if errno != Errno::EACCES || rules.is_empty() || !restricts {
        return None;
    }
    let executable = rules
        .iter()
        .filter(|rule| rule.value.access == Access::Execute);
    let allowed: Vec<&Path> = executable.map(|rule| rule.value.path.as_path()).collect();
    let path = plan.exec.candidates.get(candidate)?;
    let path = Path::new(OsStr::from_bytes(path.to_bytes()));
    if spec.rootfs.is_some() {
        return allowed.is_empty().then(|| {
            "Landlock lets no file be executed: add --ll-exec with a directory that has the program".to_owned()
        });
    }
    let real = path.canonicalize().ok()?;
    let others = [interpreter(&real).and_then(|path| path.canonicalize().ok())];
    let needed = others.into_iter().flatten();
    let needed = std::iter::once(real.clone()).chain(needed);
    let allowed: Vec<PathBuf> = allowed
        .iter()
        .filter_map(|path| path.canonicalize().ok())
        .collect();
    let denied = needed
        .into_iter()
        .find(|path| !allowed.iter().any(|above| path.starts_with(above)))?;
    let directory = if denied.starts_with("/usr") {
        Path::new("/usr")
    } else {
        denied.parent()?
    };
    let [denied, directory] =
        [denied.as_path(), directory].map(|path| quoted_bare(path.as_os_str().as_bytes()));
    Some(format!(
        "no Landlock rule lets {denied} be executed: add --ll-exec {directory}"
    ))
}

/// A file that is there and cannot be executed for want of another: the kernel says "no such file" of
/// both, and a search goes on to the next directory.
fn missing_interpreter(plan: &Plan) -> Option<String> {
    let paths = plan.exec.candidates.iter();
    let mut files = paths
        .map(|path| Path::new(OsStr::from_bytes(path.to_bytes())))
        .filter(|path| path.is_file());
    files.find_map(|path| {
        let interpreter = interpreter(path).filter(|interpreter| !interpreter.exists())?;
        let [shown, named] =
            [path, &interpreter].map(|path| quoted_bare(path.as_os_str().as_bytes()));
        Some(format!("{shown} exists; its interpreter {named} does not"))
    })
}

/// Where a program was looked for that was named without a path.
fn searched_path(plan: &Plan) -> Option<String> {
    if !plan.exec.is_searched() {
        return None;
    }
    let mut variables = plan.exec.envp.strings().iter();
    let path = variables.find_map(|pair| pair.as_bytes().strip_prefix(b"PATH="));
    Some(match path {
        Some(path) => format!("PATH is {}", quoted_bare(path)),
        None => "PATH is not set; the usual directories were searched".to_owned(),
    })
}

/// What the kernel executes instead of the file: the interpreter of a script, or the loader that an
/// ELF file asks for.
fn interpreter(path: &Path) -> Option<PathBuf> {
    let (begin, file) = head(path)?;
    if let Some(line) = begin.strip_prefix(b"#!") {
        let line = line.split(|&byte| byte == b'\n').next()?;
        let word = line
            .trim_ascii_start()
            .split(|byte| matches!(byte, b' ' | b'\t'))
            .next()?;
        return Some(PathBuf::from(OsStr::from_bytes(word)));
    }
    loader(&file)
}

/// The beginning of a file, and as much of it as program headers may be in.
fn head(path: &Path) -> Option<(Vec<u8>, Vec<u8>)> {
    /// The kernel looks at as many bytes for a `#!` line (`BINPRM_BUF_SIZE` in `linux/binfmts.h`).
    const BINPRM_BUF_SIZE: usize = 256;
    let mut file = Vec::new();
    fs::File::open(path)
        .ok()?
        .take(64 * 1024)
        .read_to_end(&mut file)
        .ok()?;
    Some((file[..file.len().min(BINPRM_BUF_SIZE)].to_vec(), file))
}

/// The string that a `PT_INTERP` program header of a 64-bit little-endian ELF file points to: elf(5).
fn loader(file: &[u8]) -> Option<PathBuf> {
    const PT_INTERP: u64 = 3;
    let number = |at: usize, length: usize| -> Option<u64> {
        let bytes = file.get(at..at.checked_add(length)?)?;
        Some(
            bytes
                .iter()
                .rev()
                .fold(0, |number, &byte| number << 8 | u64::from(byte)),
        )
    };
    let index = |at: usize, length: usize| usize::try_from(number(at, length)?).ok();
    if !file.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let (table, size, count) = (index(32, 8)?, index(54, 2)?, index(56, 2)?);
    let header = (0..count)
        .filter_map(|entry| table.checked_add(entry.checked_mul(size)?))
        .find(|&header| number(header, 4) == Some(PT_INTERP))?;
    let text = file.get(index(header + 8, 8)?..)?;
    let text = CStr::from_bytes_until_nul(text).ok()?;
    Some(PathBuf::from(OsStr::from_bytes(text.to_bytes())))
}
