// SPDX-License-Identifier: MIT OR Apache-2.0
//! Compiles the init (`src/init`), a static program without std, so that the library can embed it; the
//! default seccomp profile (`src/seccomp/default.profile`), so that no start has to; and tells the command
//! what commit, of what date, and target it is built from.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use clonebox_seccomp::{Answer, Arch, compile, default_profile, errno};

/// Small, without a panic's machinery, without symbols.
const PROFILE: [&str; 4] = [
    "-Copt-level=s",
    "-Cpanic=abort",
    "-Cstrip=symbols",
    "-Ccodegen-units=1",
];

/// No libc, no dynamic linker, and as few pages as it can have.
const LINK: [&str; 3] = [
    "-Crelocation-model=static",
    "-Clink-arg=-nostdlib",
    "-Clink-arg=-static",
];

/// What only a linker knows: a compiler that calls one is asked to hand it on.
const LINKER: [&str; 3] = ["--build-id=none", "-znorelro", "-znoseparate-code"];

fn main() {
    init();
    seccomp();
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]) {
        println!("cargo::rerun-if-changed={log}");
    }
    let commit = git(&["rev-parse", "--short=12", "HEAD"]);
    println!(
        "cargo::rustc-env=CLONEBOX_COMMIT={}",
        commit.as_deref().unwrap_or("unknown commit")
    );
    let date = git(&["log", "-1", "--format=%cs"]);
    println!(
        "cargo::rustc-env=CLONEBOX_DATE={}",
        date.as_deref().unwrap_or_default()
    );
    println!("cargo::rustc-env=CLONEBOX_TARGET={}", variable("TARGET"));
    relocations();
    order();
}

/// Has the linker put the functions that a start executes one after the other, which `benches/order.rs` has found. Of a
/// file's pages the kernel maps 64 KiB with each page fault, and without that they are all over the program. It is a linker script of GNU's, which others may not read.
fn order() {
    const LIST: &str = "src/bin/clonebox/start.order";
    println!("cargo::rerun-if-changed={LIST}");
    if variable("CARGO_CFG_TARGET_ENV") != "musl" || linker().is_some() || chooses_linker() {
        return;
    }
    let list = std::fs::read_to_string(LIST).unwrap_or_else(|error| panic!("{LIST}: {error}"));
    let names = list.lines().filter(|line| !line.starts_with('#'));
    // A function that is seldom called is in a section of another name.
    let sections: String = names
        .map(|name| {
            let unlikely = name.replacen(".text.", ".text.unlikely.", 1);
            format!("    *({name} {unlikely})\n")
        })
        .collect();
    let path = PathBuf::from(variable("OUT_DIR")).join("start.ld");
    let script =
        format!("SECTIONS {{\n  .text.start : {{\n{sections}  }}\n}}\nINSERT BEFORE .text;\n");
    std::fs::write(&path, script)
        .unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
    println!("cargo::rustc-link-arg-bins=-Wl,-T,{}", path.display());
}

/// Whether the flags of whoever builds say by what is linked.
fn chooses_linker() -> bool {
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    [
        "fuse-ld",
        "linker=",
        "linker-flavor",
        "linker-features",
        "link-self-contained",
    ]
    .iter()
    .any(|word| flags.contains(word))
}

/// Packs the program's relocations: 68 KiB fewer to be read at each start. The libc has to know the format, as the
/// musl does that comes with rustc. Where another linker than the compiler's may be in use, nothing is asked of it.
fn relocations() {
    if variable("CARGO_CFG_TARGET_ENV") == "musl" && !is_for_another_architecture() {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

fn init() {
    let child_sources = PathBuf::from(variable("DEP_CLONEBOX_CHILD_SOURCE"));
    println!("cargo::rerun-if-changed=src/init");
    println!("cargo::rerun-if-changed={}", child_sources.display());
    let out = PathBuf::from(variable("OUT_DIR"));
    let child = out.join("libclonebox_child.rlib");
    rustc(&child_sources.join("lib.rs"), &child, |command| {
        command.args(["--crate-type=rlib", "--crate-name=clonebox_child"])
    });
    rustc(
        Path::new("src/init/main.rs"),
        &out.join("init"),
        |command| {
            let linker = linker();
            if let Some(linker) = &linker {
                command.arg(format!("-Clinker={linker}"));
            }
            let hand_on = if linker.as_deref().is_some_and(is_bare) {
                ""
            } else {
                command.arg("-Clink-arg=-nostartfiles");
                "-Wl,"
            };
            command.args(LINKER.map(|option| format!("-Clink-arg={hand_on}{option}")));
            // The musl targets bring their own start files, which -nostartfiles does not leave out.
            if variable("CARGO_CFG_TARGET_ENV") == "musl" {
                command.arg("-Clink-self-contained=no");
            }
            let child = format!("--extern=clonebox_child={}", child.display());
            command
                .args(["--crate-type=bin", "--crate-name=init", &child])
                .args(LINK)
        },
    );
}

/// The linker that cargo is configured to use, else none (the target's own, `cc`): but that one links for the machine
/// that it runs on, so that for another architecture it is the linker that comes with rustc.
fn linker() -> Option<String> {
    env::var("RUSTC_LINKER")
        .ok()
        .or_else(|| is_for_another_architecture().then(|| "rust-lld".to_owned()))
}

fn is_for_another_architecture() -> bool {
    let architecture = |triple: &str| variable(triple).split('-').next().map(str::to_owned);
    architecture("HOST") != architecture("TARGET")
}

/// Whether it is a linker itself (ld, ld.lld, rust-lld, aarch64-linux-gnu-ld) and not a compiler that calls one.
fn is_bare(linker: &str) -> bool {
    let stem = Path::new(linker).file_stem();
    stem.is_some_and(|stem| stem.to_string_lossy().ends_with("ld"))
}

/// Two filters of the default profile, as Rust: the machine's own architecture, and with the 32-bit one.
fn seccomp() {
    const ENOSYS: u16 = 38;
    let profile = default_profile().unwrap_or_else(|error| panic!("default.profile: {error}"));
    let target = variable("CARGO_CFG_TARGET_ARCH");
    let native =
        Arch::named(&target).unwrap_or_else(|| panic!("{target} is no architecture of ours"));
    let mut text = String::new();
    for (name, arches) in [
        ("NATIVE", vec![native]),
        (
            "WITH_COMPAT",
            [native].into_iter().chain(native.compat()).collect(),
        ),
    ] {
        let policies: Vec<_> = arches.iter().map(|arch| profile.policy(*arch)).collect();
        let program = compile(&policies, Answer::always(errno(ENOSYS)))
            .unwrap_or_else(|error| panic!("default.profile: {error}"));
        text += &format!("static {name}: Compiled = Compiled {{ code: &[");
        for one in &program.code {
            text += &format!("i({}, {}, {}, {}), ", one.code, one.jt, one.jf, one.k);
        }
        text += "], leaves: &[";
        for leaf in &program.leaves {
            text += &format!("Leaf {{ at: {}, unless: {} }}, ", leaf.at, leaf.unless);
        }
        text += "] };\n";
    }
    let path = PathBuf::from(variable("OUT_DIR")).join("seccomp.rs");
    std::fs::write(&path, text)
        .unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
}

fn rustc(source: &Path, output: &Path, options: impl FnOnce(&mut Command) -> &mut Command) {
    let mut command = Command::new(variable("RUSTC"));
    command
        .args(["--edition=2024", "--target", &variable("TARGET")])
        .args(PROFILE);
    options(&mut command).arg("-o").arg(output).arg(source);
    let status = command
        .status()
        .unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    assert!(
        status.success(),
        "cannot compile {}: {status}",
        source.display()
    );
}

/// What git answers, if the sources are a checkout: not a package inside of somebody else's.
fn git(args: &[&str]) -> Option<String> {
    let output = Path::new(".git")
        .exists()
        .then(|| Command::new("git").args(args).output())?;
    let output = output.ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"))
}
