//! From functions to tests that can be skipped.

use std::process::ExitCode;

use libtest_mimic::{Arguments, Completion, Trial};

use super::need::{self, Need};

/// A test: its name is a sentence about behaviour.
pub(crate) struct Test {
    name: String,
    needs: &'static [Need],
    run: fn(),
}

impl Test {
    pub(crate) fn new(module: &str, name: &str, needs: &'static [Need], run: fn()) -> Self {
        let module = module.split_once("::").map_or(module, |(_, module)| module);
        Self {
            name: format!("{module}::{name}"),
            needs,
            run,
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    fn into_trial(self) -> Trial {
        let Self { name, needs, run } = self;
        Trial::ignorable_test(name, move || {
            if let Some(missing) = need::missing(needs)? {
                return Ok(Completion::ignored_with(missing));
            }
            run();
            Ok(Completion::Completed)
        })
    }
}

/// Declares the tests of a module: `fn name() needs [Need, ...] { ... }`.
macro_rules! tests {
    ($($(#[$meta:meta])* fn $name:ident() needs [$($need:ident),*] $body:block)*) => {
        /// The tests of this module.
        pub(crate) fn tests() -> Vec<$crate::support::harness::Test> {
            vec![$($crate::support::harness::Test::new(
                module_path!(),
                stringify!($name),
                &[$($crate::support::need::Need::$need),*],
                $name,
            )),*]
        }
        $($(#[$meta])* fn $name() $body)*
    };
}
pub(crate) use tests;

/// Runs the tests that the command line asks for.
pub(crate) fn main(tests: Vec<Test>) -> ExitCode {
    let arguments = Arguments::from_args();
    let trials = tests.into_iter().map(Test::into_trial).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}
