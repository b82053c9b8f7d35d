// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tells the build script of clonebox where the sources of this crate are: it compiles them into the
//! init as well.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::metadata=source={}", env!("CARGO_MANIFEST_DIR"));
}
