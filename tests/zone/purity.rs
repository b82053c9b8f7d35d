//! The child's object has no undefined symbol: so it can call no allocator, no libc, no panic, and it
//! has no thread-local of its own, nor anybody else's. That is the proof, as far as its compiler is
//! right: what is not there cannot be called.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use object::read::elf::ElfFile64;
use object::{
    Architecture, Endianness, Object, ObjectSection, ObjectSymbol, RelocationFlags, SectionKind,
    SymbolKind,
};
use tempfile::TempDir;

use crate::support::tests;

const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/child");
/// What the compiler may call for copies and comparisons; wherever they come from, they only do that.
const MEMORY: [&str; 5] = ["memcpy", "memmove", "memset", "memcmp", "bcmp"];

/// A line of the interpreter, where a variant puts something impure.
const PLACE: &str = "shared.progress.set(index);";

tests! {
    fn the_child_has_no_undefined_symbol() needs [Rustc] {
        assert_pure_in_every_optimised_build(&[]);
    }

    fn the_child_has_no_undefined_symbol_on_aarch64() needs [RustcAarch64] {
        assert_pure_in_every_optimised_build(&["--target", "aarch64-unknown-linux-musl"]);
    }

    fn the_child_without_optimisation_has_but_one_that_is_never_reached() needs [Rustc] {
        // A program that uses the library has profiles of its own, and perhaps this one. Every load and
        // store that is not inlined checks its ordering; ours are constants that it takes.
        for panic in PANICS {
            let found = impurities(&compile(Path::new(SOURCES), &["-C", "opt-level=0", "-C", panic, "-C", CHECKS[0]]));
            let others: Vec<_> = found
                .iter()
                .filter(|what| !["panic_fmt", "panic_cannot_unwind", "rust_eh_personality"].iter().any(|known| what.ends_with(known)))
                .collect();
            assert!(others.is_empty(), "{others:?}");
        }
    }

    fn the_child_that_this_binary_is_linked_with_has_no_undefined_symbol() needs [Sources] {
        let objects = linked();
        assert!(!objects.is_empty(), "no object of the child");
        assert_eq!(impurities(&objects), BTreeSet::new());
    }

    fn a_panic_would_be_found() needs [Rustc] {
        assert_found("let _ = core::hint::black_box(&shared.scratch)[index as usize];", "panic_bounds_check");
        assert_found("core::hint::black_box(denied).unwrap();", "unwrap_failed");
        assert_found("core::hint::black_box(1 / core::hint::black_box(index));", "panic_const_div_by_zero");
    }

    fn a_call_of_libc_would_be_found() needs [Rustc] {
        assert_found("unsafe extern \"C\" { fn getpid() -> i32; } unsafe { getpid() };", "getpid");
        assert_found("unsafe extern \"C\" { fn __errno_location() -> *mut i32; } unsafe { *__errno_location() = 0 };", "__errno_location");
    }

    fn an_allocation_would_be_found() needs [Rustc] {
        assert_found("extern crate alloc; core::hint::black_box(alloc::format!(\"{index}\"));", "alloc");
        assert_found("extern crate alloc; core::hint::black_box(alloc::boxed::Box::new(index));", "alloc");
    }

    fn a_thread_local_would_be_found() needs [Rustc] {
        // Stable Rust without std has no word for one; assembler has.
        let there = "mod own { core::arch::global_asm!(\".section .tbss,\\\"awT\\\",@nobits\", \"own: .zero 8\", \".text\"); }";
        assert_found(there, ".tbss");
        let elsewhere = if cfg!(target_arch = "x86_64") {
            "unsafe { core::arch::asm!(\"mov {0}, fs:errno@tpoff\", out(reg) _) };"
        } else {
            "unsafe { core::arch::asm!(\"mrs {0}, tpidr_el0\", \"add {0}, {0}, :tprel_lo12:errno\", out(reg) _) };"
        };
        assert_found(elsewhere, "errno");
    }
}

/// With and without the checks that the package's profiles turn off.
const CHECKS: [&str; 2] = ["debug-assertions=off", "debug-assertions=on"];
const PANICS: [&str; 2] = ["panic=abort", "panic=unwind"];

#[track_caller]
fn assert_pure_in_every_optimised_build(target: &[&str]) {
    for level in ["opt-level=1", "opt-level=2", "opt-level=3", "opt-level=s"] {
        for (checks, panic) in CHECKS
            .into_iter()
            .flat_map(|checks| PANICS.map(|panic| (checks, panic)))
        {
            let flags = [target, &["-C", level, "-C", checks, "-C", panic]].concat();
            let found = impurities(&compile(Path::new(SOURCES), &flags));
            assert!(found.is_empty(), "{found:?} with {flags:?}");
        }
    }
}

/// Compiles the child as the package does, with these flags: the one object file.
fn compile(sources: &Path, flags: &[&str]) -> [Vec<u8>; 1] {
    let directory = TempDir::new().expect("a directory can be made");
    let object = directory.path().join("child.o");
    let output = Command::new(rustc())
        .args([
            "--edition",
            "2024",
            "--crate-type",
            "lib",
            "--crate-name",
            "clonebox_child",
            "--emit",
            "obj",
        ])
        .args(["-C", "codegen-units=1", "--cap-lints", "allow"])
        .args(flags)
        .arg("-o")
        .arg(&object)
        .arg(sources.join("lib.rs"))
        .output()
        .expect("rustc can be started");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    [fs::read(object).expect("rustc has made an object")]
}

fn rustc() -> PathBuf {
    env::var_os("RUSTC").map_or_else(|| "rustc".into(), PathBuf::from)
}

/// Everything in the objects that reaches out of them, or into a thread.
fn impurities(objects: &[Vec<u8>]) -> BTreeSet<String> {
    let (mut defined, mut undefined, mut found) =
        (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for object in objects {
        let object = ElfFile64::<Endianness>::parse(object.as_slice()).expect("an ELF object");
        for symbol in object.symbols() {
            let name = symbol.name().unwrap_or("?").to_owned();
            if symbol.is_definition() {
                defined.insert(name);
            } else if symbol.is_undefined() && !name.is_empty() {
                undefined.insert(name);
            }
        }
        thread_locals(&object, &mut found);
    }
    undefined.retain(|name| !defined.contains(name) && !MEMORY.contains(&name.as_str()));
    found.extend(
        undefined
            .into_iter()
            .map(|name| format!("undefined {name}")),
    );
    found
}

fn thread_locals(object: &ElfFile64<'_>, found: &mut BTreeSet<String>) {
    for symbol in object.symbols() {
        let name = symbol.name().unwrap_or("?");
        if symbol.kind() == SymbolKind::Tls {
            found.insert(format!("thread-local {name}"));
        }
    }
    for section in object.sections() {
        let name = section.name().unwrap_or("?");
        if matches!(
            section.kind(),
            SectionKind::Tls | SectionKind::UninitializedTls
        ) {
            found.insert(format!("section {name}"));
        }
        for (offset, relocation) in section.relocations() {
            if let RelocationFlags::Elf { r_type } = relocation.flags()
                && is_thread_local(object.architecture(), r_type)
            {
                found.insert(format!("relocation {r_type} in {name} at {offset:#x}"));
            }
        }
    }
}

fn is_thread_local(architecture: Architecture, relocation: u32) -> bool {
    match architecture {
        Architecture::X86_64 => matches!(relocation, 16..=23 | 34..=36),
        Architecture::Aarch64 => matches!(relocation, 512..=573 | 1028..=1031),
        other => panic!("relocations of {other:?} are not known"),
    }
}

/// Compiles the child with this statement in the middle of its loop, and looks whether that is found.
#[track_caller]
fn assert_found(statement: &str, word: &str) {
    let directory = TempDir::new().expect("a directory can be made");
    copy(Path::new(SOURCES), directory.path());
    let place = directory.path().join("enter.rs");
    let text = fs::read_to_string(&place).expect("the interpreter is there");
    assert_eq!(text.matches(PLACE).count(), 1, "the place for {statement}");
    fs::write(&place, text.replace(PLACE, &format!("{PLACE} {statement}"))).expect("it is ours");
    let flags = ["-C", "opt-level=3", "-C", CHECKS[0], "-C", PANICS[0]];
    let found = impurities(&compile(directory.path(), &flags));
    assert!(
        found.iter().any(|what| what.contains(word)),
        "{statement} gives {found:?}"
    );
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("the sources are here") {
        let entry = entry.expect("it can be listed");
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            fs::create_dir(&to).expect("it is ours");
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).expect("it can be copied");
        }
    }
}

/// The objects in the child's library beside this binary, the newest if there are several.
fn linked() -> Vec<Vec<u8>> {
    let own = env::current_exe().expect("this binary has a path");
    let directory = fs::read_dir(own.parent().expect("a path")).expect("it can be listed");
    let libraries = directory.filter_map(Result::ok).filter(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        name.starts_with("libclonebox_child-") && name.ends_with(".rlib")
    });
    let newest =
        libraries.max_by_key(|entry| entry.metadata().and_then(|meta| meta.modified()).ok());
    let library =
        fs::read(newest.expect("cargo has left the library").path()).expect("it can be read");
    members(&library)
}

/// The object files of an archive: ar(5).
fn members(archive: &[u8]) -> Vec<Vec<u8>> {
    const HEADER: usize = 60;
    let mut rest = archive.strip_prefix(b"!<arch>\n").expect("an archive");
    let mut objects = Vec::new();
    while rest.len() >= HEADER {
        let (header, body) = rest.split_at(HEADER);
        let size = String::from_utf8_lossy(&header[48..58]);
        let size: usize = size.trim().parse().expect("a size");
        let (body, _) = body.split_at(size);
        if body.starts_with(b"\x7fELF") {
            objects.push(body.to_vec());
        }
        // Members begin at even offsets.
        rest = rest
            .get(HEADER + size.next_multiple_of(2)..)
            .unwrap_or_default();
    }
    objects
}
