// SPDX-License-Identifier: MIT OR Apache-2.0
//! The box's name and host name.

/// The longest host name in bytes. The kernel's limit (`__NEW_UTS_LEN` in `linux/utsname.h`).
pub const HOST_NAME_MAX: usize = 64;

const FIRST: [&str; 32] = [
    "amber", "bold", "brave", "bright", "calm", "clear", "clever", "cosy", "crisp", "eager",
    "early", "fair", "gentle", "glad", "happy", "keen", "kind", "lively", "lucky", "merry", "mild",
    "neat", "nimble", "proud", "quick", "quiet", "rapid", "sunny", "swift", "tidy", "warm",
    "witty",
];
const SECOND: [&str; 32] = [
    "badger", "beaver", "bee", "crane", "deer", "dove", "eagle", "falcon", "finch", "fox", "gecko",
    "hare", "hawk", "heron", "ibis", "jay", "koala", "lark", "lemur", "lynx", "mole", "newt",
    "otter", "owl", "panda", "robin", "seal", "stork", "swan", "tern", "wren", "yak",
];

/// A readable name made of random bits: two words and four hexadecimal digits, such as
/// `brave-otter-3f2a`. There are 2^26 of them.
pub fn random_name(bits: u64) -> String {
    let pick = |words: &[&'static str; 32], shift: u32| words[(bits >> shift) as usize % 32];
    format!(
        "{}-{}-{:04x}",
        pick(&FIRST, 16),
        pick(&SECOND, 21),
        bits & 0xffff
    )
}

/// Whether `name` can name a box.
pub(crate) fn is_name(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    name.len() <= HOST_NAME_MAX
        && name.bytes().all(inner)
        && name
            .bytes()
            .next()
            .is_some_and(|first| first.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_names_are_names() {
        for bits in [0, u64::MAX, 0x1234_5678_9abc_def0] {
            assert!(is_name(&random_name(bits)), "{}", random_name(bits));
        }
        assert_ne!(random_name(1 << 16), random_name(0));
    }

    #[test]
    fn names_are_plain_words() {
        for wrong in ["", "-x", ".x", "a b", "a/b", "\u{e9}", &"x".repeat(65)] {
            assert!(!is_name(wrong), "{wrong:?}");
        }
        assert!(is_name("Web_1.b-2"));
    }
}
