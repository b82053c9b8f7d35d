//! The black-box suite: it runs the command and looks at what it does. `tests/zone` has the proofs
//! about the child.
//!
//! Its harness is libtest-mimic, because a test that cannot run here must say so when it runs, and be
//! counted as ignored. A program inside a box is often this binary itself: `it __probe WHAT`.

mod support;

mod namespaces;

use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(code) = support::probe::run() {
        return code;
    }
    support::harness::main([namespaces::tests()])
}
