// SPDX-License-Identifier: MIT OR Apache-2.0
//! Compiles the init (`src/init`), a static program without std, so that the library can embed it;
//! and tells the command what commit and target it is built from.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=src/init");
    println!("cargo::rerun-if-changed=src/child");
    let out = PathBuf::from(variable("OUT_DIR"));
    let child = out.join("libclonebox_child.rlib");
    rustc(
        &["--crate-type", "rlib", "--crate-name", "clonebox_child"],
        "src/child/lib.rs",
        &child,
    );
    let init = out.join("init");
    let link = [
        "-nostartfiles",
        "-nostdlib",
        "-static",
        "-Wl,--build-id=none",
        "-Wl,-z,norelro",
        "-Wl,-z,noseparate-code",
    ];
    let mut args = vec![
        "--crate-type",
        "bin",
        "--crate-name",
        "init",
        "-C",
        "relocation-model=static",
    ];
    let arguments: Vec<String> = link
        .iter()
        .map(|argument| format!("link-arg={argument}"))
        .collect();
    for argument in &arguments {
        args.extend(["-C", argument]);
    }
    let external = format!("clonebox_child={}", child.display());
    args.extend(["--extern", &external]);
    if let Ok(linker) = env::var("RUSTC_LINKER") {
        let linker = format!("linker={linker}");
        args.extend(["-C", linker.leak()]);
    }
    rustc(&args, "src/init/main.rs", &init);

    println!("cargo::rerun-if-changed=.git/HEAD");
    println!("cargo::rerun-if-changed=.git/index");
    println!(
        "cargo::rustc-env=CLONEBOX_COMMIT={}",
        commit().unwrap_or_else(|| "unknown commit".to_owned())
    );
    println!("cargo::rustc-env=CLONEBOX_TARGET={}", variable("TARGET"));
}

fn rustc(args: &[&str], source: &str, output: &Path) {
    let mut command = Command::new(variable("RUSTC"));
    command
        .args(["--edition", "2024", "--target", &variable("TARGET")])
        .args([
            "-C",
            "opt-level=s",
            "-C",
            "panic=abort",
            "-C",
            "strip=symbols",
            "-C",
            "codegen-units=1",
        ])
        .args(args)
        .arg("-o")
        .arg(output)
        .arg(source);
    let status = command
        .status()
        .unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    assert!(status.success(), "cannot compile {source}: {status}");
}

/// The commit of the sources, if they are in a checkout that is theirs.
fn commit() -> Option<String> {
    if !Path::new(".git").exists() {
        return None;
    }
    let git = |args: &[&str]| {
        let output = Command::new("git")
            .args(args)
            .output()
            .ok()
            .filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    git(&["rev-parse", "--short=12", "HEAD"])
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"))
}
