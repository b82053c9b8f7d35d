// SPDX-License-Identifier: MIT OR Apache-2.0
//! How a supervised box has ended.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use serde_json::{Value, json};

use super::audit::ForbiddenCall;
use crate::cgroup::LimitsUsage;
use crate::pidfd::Usage;
use crate::spec::Arch;

/// How a box has ended, and what it has used.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// The status of its program.
    pub status: ExitStatus,
    /// The box was killed because its time was up.
    pub timed_out: bool,
    /// From the execution of the program to its end.
    pub wall: Duration,
    /// What it has used.
    pub usage: Usage,
    /// What has been counted for its limits, if it had any.
    pub limits: Option<LimitsUsage>,
    /// The box has a seccomp filter that ends whoever makes a call that it forbids.
    pub deadly_filter: bool,
    /// The call for which that has ended its program, where the kernel's log could be asked: see
    /// [`Child::forbidden_call`](crate::Child::forbidden_call).
    pub forbidden_call: Option<ForbiddenCall>,
}

impl Outcome {
    /// What docker and coreutils would exit with: 124 after a timeout, 128+N after signal N,
    /// otherwise the program's own code.
    pub fn exit_code(&self) -> u8 {
        if self.timed_out {
            124
        } else {
            exit_code(self.status)
        }
    }

    /// The outcome for a program: an object with `exit_code` (as [`exit_code`](Self::exit_code)),
    /// `signal` (a number or null), `timed_out`, `wall_s`, `user_s`, `system_s` (seconds) and
    /// `max_rss_bytes`; if the seccomp filter has ended it, `seccomp_killed`, which is true, and
    /// `seccomp_call`, an object with `name`, `arch` and `number`, which is null where nobody knows the call; with limits also `limits`, an object with `oom_killed`, `memory_peak_bytes`,
    /// `cpu_s`, `throttled`, `throttled_s` and `pids_peak`, each null where the kernel has not counted it.
    pub fn to_json(&self) -> Value {
        let mut report = json!({
            "exit_code": self.exit_code(),
            "signal": self.status.signal(),
            "timed_out": self.timed_out,
            "wall_s": self.wall.as_secs_f64(),
            "user_s": self.usage.user.as_secs_f64(),
            "system_s": self.usage.system.as_secs_f64(),
            "max_rss_bytes": self.usage.max_rss_bytes,
        });
        if self.is_killed_by_filter() {
            report["seccomp_killed"] = true.into();
            report["seccomp_call"] = self.forbidden_call.map_or(Value::Null, |call| {
                json!({ "name": call.name(), "arch": call.arch.map(Arch::name), "number": call.number })
            });
        }
        if let Some(limits) = self.limits {
            report["limits"] = json!({
                "oom_killed": limits.oom_killed,
                "memory_peak_bytes": limits.memory_peak_bytes,
                "cpu_s": limits.cpu.map(|time| time.as_secs_f64()),
                "throttled": limits.throttled.map(|(times, _)| times),
                "throttled_s": limits.throttled.map(|(_, time)| time.as_secs_f64()),
                "pids_peak": limits.pids_peak,
            });
        }
        report
    }

    /// Whether its program was ended by SIGSYS, in a box whose seccomp filter does that. Which call it was,
    /// [`forbidden_call`](Self::forbidden_call) has.
    pub fn is_killed_by_filter(&self) -> bool {
        self.deadly_filter && self.status.signal() == Some(libc::SIGSYS)
    }

    /// Whether its program was killed because the memory of the box was used up.
    pub fn is_out_of_memory(&self) -> bool {
        let killed = self.status.signal() == Some(libc::SIGKILL) && !self.timed_out;
        killed && self.limits.and_then(|limits| limits.oom_killed) == Some(true)
    }
}

/// The program's own code, or 128+N after signal N.
pub(crate) fn exit_code(status: ExitStatus) -> u8 {
    match (status.code(), status.signal()) {
        (Some(code), _) => (code & 0xff) as u8,
        (None, Some(signal)) => (128 + (signal & 0x7f)) as u8,
        (None, None) => 125,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(raw: i32, timed_out: bool) -> u8 {
        let status = ExitStatus::from_raw(raw);
        Outcome {
            status,
            timed_out,
            wall: Duration::ZERO,
            usage: Usage::default(),
            limits: None,
            deadly_filter: false,
            forbidden_call: None,
        }
        .exit_code()
    }

    #[test]
    fn exit_codes_are_those_of_docker_and_coreutils() {
        assert_eq!(code(3 << 8, false), 3);
        assert_eq!(code(libc::SIGKILL, false), 137);
        assert_eq!(code(libc::SIGSEGV | 0x80, false), 139);
        assert_eq!(code(libc::SIGKILL, true), 124);
    }
}
