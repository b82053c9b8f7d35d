// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who runs first, and who dies first. See setpriority(2), proc_pid_oom_score_adj(5).

use super::call::{Call, Value};
use super::draft::Draft;
use super::file;
use super::step::Steps;

pub(super) fn set(draft: &Draft<'_>, steps: &mut Steps) {
    if let Some(nice) = &draft.spec.nice {
        let call = Call::new(
            "setpriority",
            libc::SYS_setpriority,
            [
                Value::Name("PRIO_PROCESS", libc::PRIO_PROCESS as usize),
                Value::Int(0),
                Value::Int(i64::from(nice.value)),
            ],
        );
        steps.push(&nice.origin, "set the nice value", call);
    }
    if let Some(adj) = &draft.spec.oom_score_adj {
        let (action, path) = ("set the oom score adjustment", c"/proc/self/oom_score_adj");
        file::write(&adj.origin, action, path, adj.value.to_string(), steps);
    }
}
