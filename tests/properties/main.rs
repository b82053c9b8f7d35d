//! What holds for every input: proptest makes it up, for a bounded time. `fuzz/` has the same properties for
//! a fuzzer, which looks for longer.
//!
//! `PROPTEST_CASES` is how many of each are tried.

mod choices;
mod kit;
mod passwords;
mod plans;
mod strings;

use proptest::collection::vec;
use proptest::prelude::any;
use proptest::test_runner::{Config, TestError, TestRunner};

/// Tries a property with bytes of up to this length.
fn holds(most: usize, property: fn(&[u8])) {
    let config = Config {
        // A failure is to be made a test of its own, with a name.
        failure_persistence: None,
        ..Config::default()
    };
    let tried = TestRunner::new(config).run(&vec(any::<u8>(), 0..most), |data| {
        property(&data);
        Ok(())
    });
    match tried {
        Ok(()) => {}
        Err(TestError::Fail(reason, data)) => panic!("{reason}\nthe bytes: {data:?}"),
        Err(TestError::Abort(reason)) => panic!("{reason}"),
    }
}

#[test]
fn every_string_is_read_or_refused() {
    for property in strings::ALL {
        holds(96, property);
    }
}

#[test]
fn nobody_becomes_somebody_else_by_a_file_of_users() {
    holds(512, passwords::nobody_becomes_somebody_else);
}

#[test]
fn any_description_compiles_to_a_plan_or_to_what_is_wrong_with_it() {
    holds(768, plans::any_spec_compiles);
}
