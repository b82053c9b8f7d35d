// SPDX-License-Identifier: MIT OR Apache-2.0
//! The program that launches with hakoniwa: a package of its own, which is built when it is needed.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Its path, or why there is none. What cargo has not fetched before is fetched if that is asked for.
pub(crate) fn program(fetch: bool) -> Result<PathBuf, String> {
    let package = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/hakoniwa");
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("hakoniwa");
    let build = |more: &[&str]| {
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo
            .args(["install", "--quiet", "--locked", "--force", "--no-track"])
            .args(more)
            .args(["--path", package, "--root"])
            .arg(&dir)
            .arg("--target-dir")
            .arg(dir.join("target"));
        match cargo.output() {
            Ok(output) if output.status.success() => Ok(()),
            Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
            Err(error) => Err(error.to_string()),
        }
    };
    if fetch {
        build(&["--offline"]).or_else(|_| build(&[]))?;
    } else {
        // Whether it runs is seen without its being optimised.
        build(&["--offline", "--debug"])?;
    }
    Ok(dir.join("bin/hakoniwa-bench"))
}
