//! Descriptions, on hosts that are made up.
#![no_main]

#[path = "../../tests/properties/choices.rs"]
mod choices;
#[path = "../../tests/properties/kit.rs"]
mod kit;
#[path = "../../tests/properties/plans.rs"]
mod plans;

libfuzzer_sys::fuzz_target!(|data: &[u8]| plans::any_spec_compiles(data));
