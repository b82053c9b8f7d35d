// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which functions the command executes at a start: `src/bin/clonebox/start.order`, by which its build for musl has
//! them one after the other. The kernel maps 64 KiB of a file's pages with a page fault, so that a start pays for each
//! such piece that it executes something of.
//!
//! ```text
//! cargo bench --bench order                  how much of a start lies together, and how much does not
//! cargo bench --bench order -- --write       as root: writes the list anew
//! cargo bench --bench order -- --test        fails if the list has nine tenths of a start no more
//! ```
//!
//! The command is built with its symbols, and runs with a breakpoint at the beginning of each function, which goes when
//! it is reached. Those of the child have none: it runs in the same memory, and would end by them.

#[cfg(target_arch = "x86_64")]
#[path = "order/traced.rs"]
mod traced;

use std::collections::BTreeSet;
use std::error::Error;
use std::io::{Write, stdout};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

use object::read::elf::ElfFile64;
use object::{Endianness, Object, ObjectSection, ObjectSymbol, SymbolKind};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

const LIST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/bin/clonebox/start.order");
/// What the list begins with: what is executed and cannot be seen.
const HEAD: &str = "\
# What a start executes, by the names of the linker's sections, in which * is any text. Written by
# `cargo bench --bench order -- --write`; build.rs reads it.
.text.*clonebox_child*
";
/// The pieces of a file that the kernel maps at once: `fault_around_bytes` in mm/memory.c.
const PIECE: u64 = 64 * 1024;
/// Starts of which the list is made, each with what it needs.
const STARTS: [&[&str]; 3] = [
    &[],
    &["--rootfs=system"],
    &["--rootfs=system", "--memory=64m", "--pids-limit=100"],
];

/// A function of the command.
#[derive(Debug)]
struct Function {
    address: u64,
    size: u64,
    /// A function of musl's has several; the section is called by one of them.
    names: Vec<String>,
}

fn main() -> Result {
    let asked = |word: &str| env::args().any(|one| one == word);
    let Some(program) = built()? else {
        return skip("the target for musl is not installed: rustup target add");
    };
    let file = fs::read(&program)?;
    let elf = ElfFile64::<Endianness>::parse(&*file)?;
    let functions = functions(&elf);
    let mut starts = Vec::new();
    for options in STARTS {
        match traced(&program, options, &functions) {
            Ok(executed) => starts.push((options, executed)),
            Err(why) if options.is_empty() || asked("--write") => return Err(why),
            Err(why) => writeln!(stdout(), "skipped: {options:?}: {why}")?,
        }
    }
    if asked("--write") {
        return write(starts.iter().flat_map(|(_, executed)| executed), &functions);
    }
    let together = elf.section_by_name(".text.start").ok_or("no .text.start")?;
    let range = together.address()..together.address() + together.size();
    for (options, executed) in starts {
        let executed = executed.iter().map(|&at| &functions[at]);
        let size =
            |some: &mut dyn Iterator<Item = &Function>| some.map(|one| one.size).sum::<u64>();
        let all = size(&mut executed.clone());
        let is_in = |one: &&Function| range.contains(&one.address);
        let found = size(&mut executed.clone().filter(is_in));
        let pieces: BTreeSet<u64> = executed.clone().map(|one| one.address / PIECE).collect();
        writeln!(
            stdout(),
            "a start with {options:?} executes {} functions of {all} bytes, of which {found} lie together, among {}; in {} pieces of {PIECE}",
            executed.count(),
            together.size(),
            pieces.len(),
        )?;
        if asked("--test") && found < all / 10 * 9 {
            return Err("less than nine tenths: write the list anew, with --write".into());
        }
    }
    Ok(())
}

/// Writes the list: what the first start executes, what the next one executes besides, and so on. Who starts without
/// options has all that he needs at the beginning.
fn write<'a>(executed: impl Iterator<Item = &'a usize>, functions: &[Function]) -> Result {
    let mut list = HEAD.to_owned();
    let mut listed = BTreeSet::new();
    for &at in executed {
        for name in functions[at].names.iter().map(|name| section(name)) {
            if listed.insert(name.clone()) {
                list += &name;
                list.push('\n');
            }
        }
    }
    fs::write(LIST, list)?;
    Ok(writeln!(stdout(), "{LIST}: {} names", listed.len())?)
}

fn skip(why: &str) -> Result {
    Ok(writeln!(stdout(), "skipped: {why}")?)
}

/// The command for musl as it is installed, but with its symbols; `None` where there is no such target.
fn built() -> Result<Option<PathBuf>> {
    let target = format!("{}-unknown-linux-musl", env::consts::ARCH);
    let sysroot = Command::new("rustc")
        .args(["--print=target-libdir", "--target", &target])
        .output()?;
    let sysroot = String::from_utf8(sysroot.stdout)?;
    if !cfg!(target_arch = "x86_64") || !Path::new(sysroot.trim_end()).exists() {
        return Ok(None);
    }
    let output = Command::new(env!("CARGO"))
        .args([
            "build",
            "--locked",
            "--quiet",
            "--release",
            "--bin=clonebox",
        ])
        .args(["--target", &target, "--config=profile.release.strip=false"])
        .args([
            "--target-dir",
            concat!(env!("CARGO_TARGET_TMPDIR"), "/order"),
        ])
        .arg("--message-format=json")
        .stderr(Stdio::inherit())
        .output()?;
    let text = String::from_utf8(output.stdout)?;
    let path = text.split("\"executable\":\"").nth(1);
    let path = path.and_then(|rest| rest.split('"').next());
    Ok(Some(path.ok_or("cargo has built no command")?.into()))
}

/// All of them but the child's, by address.
fn functions(elf: &ElfFile64<'_, Endianness>) -> Vec<Function> {
    let symbols = elf.symbols();
    let mut functions: Vec<Function> = symbols
        .filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.size() > 0)
        .filter_map(|symbol| {
            Some(Function {
                address: symbol.address(),
                size: symbol.size(),
                names: vec![symbol.name().ok()?.to_owned()],
            })
        })
        .filter(|function| !function.names[0].contains("clonebox_child"))
        .collect();
    functions.sort_by_key(|function| function.address);
    functions.dedup_by(|other, first| {
        let is_same = other.address == first.address;
        if is_same {
            first.names.append(&mut other.names);
        }
        is_same
    });
    functions
}

/// The functions that such a start executes.
#[cfg(target_arch = "x86_64")]
fn traced(program: &Path, options: &[&str], functions: &[Function]) -> Result<BTreeSet<usize>> {
    let addresses: Vec<u64> = functions.iter().map(|one| one.address).collect();
    let mut command = Command::new(program);
    command.args(options).args(["--", "/bin/true"]);
    Ok(traced::executed(&mut command, &addresses)?)
}

#[cfg(not(target_arch = "x86_64"))]
fn traced(_: &Path, _: &[&str], _: &[Function]) -> Result<BTreeSet<usize>> {
    Err("breakpoints are those of x86-64".into())
}

/// The section of a function, with * for what differs from build to build: of Rust's older names the hash at the end, of
/// the newer ones those of crates, and numbers that LLVM appends.
fn section(name: &str) -> String {
    let mut name = match name.split_once('.') {
        Some((name, number)) if number.bytes().all(|byte| byte.is_ascii_digit()) => {
            format!("{name}*")
        }
        _ => name.to_owned(),
    };
    if let Some(at) = name.rfind("17h").filter(|_| name.starts_with("_ZN")) {
        name.replace_range(at + 3.., "*");
    }
    if name.starts_with("_R") {
        let mut parts = name.split("Cs");
        let mut kept = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (start, rest) = match part.split_once('_') {
                Some((hash, rest)) if hash.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
                    ("Cs*_", rest)
                }
                _ => ("Cs", part),
            };
            kept += start;
            kept += rest;
        }
        name = kept;
    }
    format!(".text.{name}")
}
