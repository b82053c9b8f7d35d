// SPDX-License-Identifier: MIT OR Apache-2.0
//! Resource limits. See setrlimit(2).

use super::call::{Call, Value};
use super::draft::Draft;
use super::step::Steps;
use crate::spec::Rlimit;

pub(super) fn set(draft: &Draft<'_>, steps: &mut Steps) {
    for limit in &draft.spec.rlimits {
        let Rlimit {
            resource,
            soft,
            hard,
        } = limit.value;
        let bytes = [soft.to_ne_bytes(), hard.to_ne_bytes()]
            .concat()
            .into_boxed_slice();
        let call = Call::new(
            "prlimit64",
            libc::SYS_prlimit64,
            [
                Value::Int(0),
                Value::Name(limit.value.name(), resource as usize),
                Value::Struct(bytes, show_rlimit),
                Value::Null,
            ],
        );
        steps.push(
            &limit.origin,
            format!("set the limit {}", limit.value.name()),
            call,
        );
    }
}

fn show_rlimit(bytes: &[u8]) -> String {
    let (words, _) = bytes.as_chunks::<8>();
    let show = |word: &[u8; 8]| match u64::from_ne_bytes(*word) {
        u64::MAX => "RLIM64_INFINITY".to_owned(),
        limit => limit.to_string(),
    };
    let shown: Vec<String> = words.iter().map(show).collect();
    format!("{{rlim_cur={}, rlim_max={}}}", shown[0], shown[1])
}
