// SPDX-License-Identifier: MIT OR Apache-2.0
//! Capabilities. See capabilities(7), capset(2).

use super::call::{Call, Value};
use super::draft::Draft;
use super::step::Steps;
use crate::spec::{CapabilitySet, Origin, capability_name};

/// `_LINUX_CAPABILITY_VERSION_3` in `linux/capability.h`.
const VERSION_3: u32 = 0x2008_0522;

/// What the program may have: what it was given, as far as the caller has it. In a new user
/// namespace the child starts with everything.
pub(super) fn kept(draft: &Draft<'_>) -> CapabilitySet {
    let all = CapabilitySet(u64::MAX >> (63 - draft.facts.last_cap.min(63)));
    let limit = if draft.userns.is_some() {
        all
    } else {
        draft.facts.permitted
    };
    CapabilitySet(draft.spec.caps.kept().0 & limit.0 & all.0)
}

/// Who asked for the capabilities to be as they are.
fn origin<'a>(draft: &'a Draft<'_>) -> &'a Origin {
    let caps = &draft.spec.caps;
    caps.drop
        .iter()
        .chain(&caps.add)
        .next()
        .map_or(&Origin::Default, |one| &one.origin)
}

/// Without these no execve(2) can bring a capability back, whoever runs it. Dropping needs
/// CAP_SETPCAP, so it comes before [`set`].
pub(super) fn bounding(draft: &Draft<'_>, steps: &mut Steps) {
    let has = if draft.userns.is_some() {
        CapabilitySet::ALL
    } else {
        draft.facts.bounding
    };
    let gone = CapabilitySet(has.0 & !kept(draft).0);
    for number in gone.numbers(draft.facts.last_cap) {
        let name = Value::Name("PR_CAPBSET_DROP", libc::PR_CAPBSET_DROP as usize);
        let call = Call::new("prctl", libc::SYS_prctl, [name, Value::Capability(number)]);
        steps.push(
            origin(draft),
            "drop a capability from the bounding set",
            call,
        );
    }
}

/// Permitted and effective as asked, inheritable and ambient empty (CVE-2022-29162 and its kin).
///
/// A program that does not run as root gets none: the kernel would give it ambient ones only.
pub(super) fn set(draft: &Draft<'_>, steps: &mut Steps) {
    let kept = if draft.as_root() {
        kept(draft)
    } else {
        CapabilitySet::NONE
    };
    let header = [VERSION_3.to_ne_bytes(), 0u32.to_ne_bytes()]
        .concat()
        .into_boxed_slice();
    let low = (kept.0 as u32).to_ne_bytes();
    let high = ((kept.0 >> 32) as u32).to_ne_bytes();
    let none = [0; 4];
    let data = [low, low, none, high, high, none]
        .concat()
        .into_boxed_slice();
    let capset = Call::new(
        "capset",
        libc::SYS_capset,
        [
            Value::Struct(header, |_| {
                "{version=_LINUX_CAPABILITY_VERSION_3, pid=0}".to_owned()
            }),
            Value::Struct(data, show_sets),
        ],
    );
    let clear = Call::new(
        "prctl",
        libc::SYS_prctl,
        [
            Value::Name("PR_CAP_AMBIENT", libc::PR_CAP_AMBIENT as usize),
            Value::Name(
                "PR_CAP_AMBIENT_CLEAR_ALL",
                libc::PR_CAP_AMBIENT_CLEAR_ALL as usize,
            ),
            Value::Int(0),
            Value::Int(0),
            Value::Int(0),
        ],
    );
    steps.push(origin(draft), "set the capabilities", capset);
    steps.push(origin(draft), "clear the ambient capabilities", clear);
}

fn show_sets(data: &[u8]) -> String {
    let (words, _) = data.as_chunks::<4>();
    let set = |index: usize| {
        let word = |at: usize| u64::from(u32::from_ne_bytes(words[at]));
        let set = CapabilitySet(word(index) | word(index + 3) << 32);
        let names: Vec<String> = set
            .numbers(63)
            .map(|number| format!("1<<{}", capability_name(number)))
            .collect();
        if names.is_empty() {
            "0".to_owned()
        } else {
            names.join("|")
        }
    };
    format!(
        "{{effective={}, permitted={}, inheritable={}}}",
        set(0),
        set(1),
        set(2)
    )
}
