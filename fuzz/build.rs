//! What `build.rs` of the project tells the command.

fn main() {
    for name in ["COMMIT", "DATE", "TARGET"] {
        println!("cargo::rustc-env=CLONEBOX_{name}=fuzz");
    }
}
