//! Mounts, files of variables, sizes, users: the first byte chooses.
#![no_main]

#[path = "../../tests/properties/choices.rs"]
mod choices;
#[path = "../../tests/properties/kit.rs"]
#[allow(dead_code, reason = "only the words are needed")]
mod kit;
#[path = "../../tests/properties/strings.rs"]
mod strings;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((first, data)) = data.split_first() else {
        return;
    };
    let all = strings::ALL;
    all[usize::from(*first) % all.len()](data);
});
