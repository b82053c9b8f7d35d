//! Files of users.
#![no_main]

#[path = "../../tests/properties/choices.rs"]
#[allow(dead_code, reason = "not all decisions are needed")]
mod choices;
#[path = "../../tests/properties/passwords.rs"]
mod passwords;

libfuzzer_sys::fuzz_target!(|data: &[u8]| passwords::nobody_becomes_somebody_else(data));
