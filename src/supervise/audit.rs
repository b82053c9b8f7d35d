// SPDX-License-Identifier: MIT OR Apache-2.0
//! The kernel's audit record of a process that a seccomp filter has ended: which call it was, the wait status does
//! not say. See `SECCOMP_RET_KILL_PROCESS` in seccomp(2).

use clonebox_seccomp::calls;

use crate::spec::Arch;

/// The system call for which a seccomp filter has ended a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForbiddenCall {
    /// The architecture that it is a call of; `None` for one that is unknown here.
    pub arch: Option<Arch>,
    /// Its number there.
    pub number: u32,
}

impl ForbiddenCall {
    /// Its name; `None` if the table of this version has none for it.
    pub fn name(&self) -> Option<&'static str> {
        let mut known = calls(self.arch?);
        let found = known.find(|(_, number)| *number == self.number);
        found.map(|(name, _)| name)
    }
}

/// What a record of /dev/kmsg says, if it is the kernel's own and says that a filter has killed the process of this
/// id: `PRIORITY,SEQUENCE,TIME,FLAGS[,…];audit: type=1326 audit(…): KEY=VALUE …`.
///
/// Values with a blank, a quote or a byte that is not printed are written in hexadecimal by the kernel (`comm`,
/// `exe`), so that blanks separate; a key that is there twice would mean that one is not the kernel's, and nothing
/// is believed.
pub(super) fn killed(record: &str, pid: u32) -> Option<ForbiddenCall> {
    /// `AUDIT_SECCOMP` in `linux/audit.h`.
    const SECCOMP: &str = "audit: type=1326 audit(";
    let (prefix, rest) = record.split_once(';')?;
    // The facility is in the bits above the level; only the kernel writes with 0.
    let priority: u32 = prefix.split(',').next()?.parse().ok()?;
    let fields = rest.lines().next()?.strip_prefix(SECCOMP)?;
    let value = |key: &str| {
        let values = fields.split(' ').filter_map(|word| word.split_once('='));
        let mut values = values.filter(|(name, _)| *name == key);
        let (_, value) = values.next()?;
        values.next().is_none().then_some(value)
    };
    let number = |key: &str| value(key)?.parse::<u32>().ok();
    // Refusals that are only logged have 0 for the signal.
    let is_kill = number("sig")? == libc::SIGSYS.cast_unsigned();
    if priority > 7 || !is_kill || number("pid")? != pid {
        return None;
    }
    let audit = u32::from_str_radix(value("arch")?, 16).ok()?;
    Some(ForbiddenCall {
        arch: Arch::ALL.into_iter().find(|arch| arch.audit() == audit),
        number: number("syscall")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELDS: &str = "auid=4294967295 uid=0 gid=0 ses=4294967295 pid=8354 comm=\"it\" exe=\"/tmp/it\" sig=31 \
                          arch=c000003e syscall=110 compat=0 ip=0x7fbb98c4ec09 code=0x80000000";

    fn record(fields: &str) -> String {
        format!("5,1234,44967836099,-;audit: type=1326 audit(1795598785.944:120): {fields}\n")
    }

    #[test]
    fn the_kernels_record_tells_the_call() {
        let call = killed(&record(FIELDS), 8354).expect("a call");
        assert_eq!((call.arch, call.number), (Some(Arch::X86_64), 110));
        assert_eq!(call.name(), Some("getppid"));
        let others = record(FIELDS).replace("0;", "0,caller=T8354;");
        assert_eq!(killed(&others, 8354), Some(call));
        let compat = record(&FIELDS.replace("c000003e", "40000003"));
        let compat = killed(&compat, 8354).expect("a call");
        assert_eq!(
            (compat.arch, compat.name()),
            (Some(Arch::X86), Some("iopl"))
        );
    }

    #[test]
    fn a_call_without_a_name_has_a_number() {
        let x32 = record(&FIELDS.replace("syscall=110", "syscall=1073741934"));
        let x32 = killed(&x32, 8354).expect("a call");
        assert_eq!((x32.number, x32.name()), (0x4000_006e, None));
        let foreign = record(&FIELDS.replace("c000003e", "c00000f3"));
        let foreign = killed(&foreign, 8354).expect("a call");
        assert_eq!((foreign.arch, foreign.name()), (None, None));
    }

    #[test]
    fn names_that_look_like_fields_are_none() {
        // What the kernel makes of such names: with a blank or a quote they are written in hexadecimal.
        for comm in [
            "comm=\"syscall=1\"",
            "comm=\"pid=1;audit:\"",
            "comm=612073797363616C6C3D31",
            "comm=\"sig=0\\x0a\"",
        ] {
            let text = record(&FIELDS.replace("comm=\"it\"", comm));
            let call = killed(&text, 8354).map(|call| call.number);
            assert_eq!(call, Some(110), "{text}");
        }
    }

    #[test]
    fn what_is_said_twice_is_not_believed() {
        // A kernel that wrote names as they are, and the label of a security module, which may have blanks.
        for more in [
            "comm=\"a syscall=1 b\"",
            "comm=\"it\" subj=a pid=8354",
            "comm=\"it\" subj=a sig=31 b",
            "comm=\"it\" subj=a arch=c000003e",
        ] {
            let text = record(&FIELDS.replace("comm=\"it\"", more));
            assert_eq!(killed(&text, 8354), None, "{text}");
        }
    }

    #[test]
    fn other_records_tell_nothing() {
        let good = record(FIELDS);
        for text in [
            "".to_owned(),
            "5,1,2,-;\n".to_owned(),
            good.replace("type=1326", "type=1701"),
            good.replace("sig=31", "sig=0"),
            good.replace("syscall=110", "syscall=-1"),
            good.replace("syscall=110", "syscall=99999999999"),
            good.replace(" arch=c000003e", ""),
            // Of a process that may write to /dev/kmsg: LOG_USER.
            good.replacen("5,", "13,", 1),
            good.replacen(";audit:", ";x audit:", 1),
            // A line of the record's dictionary.
            good.replacen(";audit:", ";text\n audit:", 1),
        ] {
            assert_eq!(killed(&text, 8354), None, "{text}");
        }
        for pid in [0, 1, 835, 83541] {
            assert_eq!(killed(&good, pid), None, "{pid}");
        }
    }
}
