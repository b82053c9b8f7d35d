//! Boxes that are launched, by whoever runs this.
#![no_main]

#[path = "../../tests/properties/choices.rs"]
#[allow(dead_code, reason = "not all decisions are needed")]
mod choices;
#[path = "../../tests/properties/kit.rs"]
#[allow(dead_code, reason = "only descriptions are needed")]
mod kit;
#[path = "../../tests/properties/launches.rs"]
mod launches;
#[path = "../../tests/zone/support/nothing.rs"]
mod nothing;
#[path = "../../tests/zone/support/process.rs"]
#[allow(dead_code, reason = "only children are looked for")]
mod process;

use std::sync::OnceLock;

use launches::{Launches, runs_or_tells};

/// In a directory beside this program: nobody removes it at the end of a fuzzer.
fn launches() -> Launches {
    let own = std::env::current_exe().expect("this program has a path");
    let base = own.with_extension(std::process::id().to_string());
    std::fs::create_dir(&base).expect("a directory can be made");
    let program = base.join("nothing");
    nothing::write(&program);
    Launches::new(&base, &program)
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    static LAUNCHES: OnceLock<Launches> = OnceLock::new();
    let spec = LAUNCHES.get_or_init(launches).spec(data);
    let _ = runs_or_tells(&spec);
    process::assert_no_child();
});
