//! What holds for every string that is read, whoever wrote it.

use std::os::unix::ffi::OsStrExt;
use std::str::FromStr;

use clonebox::{
    Cpus, IdMapping, Login, Mount, MountKind, Rlimit, SeccompFilter, Selection, Spec, Swap,
    TimeOffset, User, parse_bytes, parse_env_file,
};

use crate::choices::Choices;
use crate::kit::{asked, profile};

/// All of them.
pub(crate) const ALL: [fn(&[u8]); 7] =
    [mounts, env_file, sizes, words, id_maps, profiles, programs];

const MOUNT: [&str; 48] = [
    "/a",
    "/b",
    "/",
    "..",
    ":",
    ",",
    "=",
    "type=",
    "bind",
    "tmpfs",
    "overlay",
    "proc",
    "sysfs",
    "devpts",
    "mqueue",
    "src=",
    "source=",
    "dst=",
    "target=",
    "ro",
    "rw",
    "readonly",
    "=true",
    "=false",
    "=0",
    "=1",
    "nosuid",
    "suid",
    "nodev",
    "dev",
    "noexec",
    "exec",
    "rbind",
    "bind-nonrecursive",
    "rslave",
    "slave",
    "private",
    "shared",
    "bind-propagation=",
    "size=",
    "tmpfs-size=",
    "mode=",
    "64m",
    "1777",
    "lowerdir=",
    "upperdir=",
    "workdir=",
    "18446744073709551615",
];

/// `--volume`, `--mount`, `--tmpfs`, the binds.
pub(crate) fn mounts(data: &[u8]) {
    let text = match str::from_utf8(data) {
        Ok(text) if data.len().is_multiple_of(2) => text.to_owned(),
        _ => Choices::new(data).text(&MOUNT),
    };
    type Reader = fn(&str) -> Result<Mount, clonebox::MountParseError>;
    let readers: [Reader; 4] = [
        Mount::parse,
        Mount::parse_volume,
        Mount::parse_tmpfs,
        Mount::parse_bind,
    ];
    for read in readers {
        match read(&text) {
            Ok(mount) => holds_for_a_mount(&text, mount),
            Err(error) => assert_harmless(&error, &text),
        }
    }
    let pairs = text.split(',');
    let propagation = pairs.filter_map(|pair| pair.strip_prefix("bind-propagation="));
    for word in propagation {
        let known = ["private", "rprivate", "slave", "rslave"].contains(&word);
        assert!(
            known || Mount::parse(&text).is_err(),
            "{word:?} is no propagation: {text:?}"
        );
    }
}

/// An error says something, and drives no terminal.
fn assert_harmless(error: &impl ToString, of: &str) {
    let error = error.to_string();
    let harmless = error.chars().all(|c| !c.is_control());
    assert!(harmless && !error.is_empty(), "{error:?} of {of:?}");
}

fn holds_for_a_mount(text: &str, mount: Mount) {
    let target = mount.target.as_os_str().as_bytes();
    assert!(!target.is_empty(), "{text:?}");
    assert!(
        text.as_bytes()
            .windows(target.len())
            .any(|part| part == target),
        "{text:?}: {mount:?}"
    );
    match &mount.kind {
        MountKind::Bind { source, .. } => assert!(!source.as_os_str().is_empty(), "{text:?}"),
        MountKind::Tmpfs { size, mode } => {
            assert!(
                *size != Some(0) && mode.is_none_or(|mode| mode <= 0o7777),
                "{text:?}"
            );
        }
        MountKind::Overlay { lower, .. } => assert!(!lower.is_empty(), "{text:?}"),
        _ => {}
    }
    // What can be read can be judged.
    let mut spec = Spec::new("true");
    spec.mounts.push(asked(mount));
    for violation in spec.validate() {
        assert!(!violation.reason.is_empty(), "{text:?}");
    }
}

/// Files of variables: every variable is a line of the file, to the letter.
pub(crate) fn env_file(data: &[u8]) {
    let Ok(variables) = parse_env_file(data) else {
        return;
    };
    assert!(variables.len() <= data.split(|&byte| byte == b'\n').count());
    for (name, value) in &variables {
        let name = name.as_bytes();
        assert!(!name.is_empty() && !name.iter().any(|byte| b"=\0\n".contains(byte)));
        let mut line = name.to_vec();
        if let Some(value) = value {
            line.push(b'=');
            line.extend(value.as_bytes());
        }
        assert!(!line.contains(&0) && !line.contains(&b'\n'));
        let is_there = data.windows(line.len()).any(|part| part == line);
        assert!(is_there, "{:?}", line.escape_ascii().to_string());
    }
}

const SIZE: [&str; 16] = [
    "0",
    "1",
    "9",
    ".",
    "5",
    "k",
    "m",
    "G",
    "t",
    "b",
    "-",
    "+",
    "e",
    " ",
    "18446744073709551616",
    "9223372036854775807",
];

/// Sizes and limits: what is read is what is written, and a sign is no part of a number.
pub(crate) fn sizes(data: &[u8]) {
    let mut choices = Choices::new(data);
    let number = choices.number();
    let fits = (1..=i64::MAX as u64).contains(&number);
    assert_eq!(
        parse_bytes(&number.to_string()).ok(),
        fits.then_some(number)
    );
    let kib = number
        .checked_mul(1024)
        .filter(|bytes| i64::try_from(*bytes).is_ok() && *bytes > 0);
    assert_eq!(parse_bytes(&format!("{number}k")).ok(), kib);
    let text = choices.text(&SIZE);
    let digits = text.starts_with(|first: char| first.is_ascii_digit());
    if let Ok(bytes) = parse_bytes(&text) {
        assert!(
            digits && bytes > 0 && i64::try_from(bytes).is_ok(),
            "{text:?}"
        );
        assert_eq!(text.parse(), Ok(Swap::Bytes(bytes)));
        assert_eq!(parse_bytes(&text.to_uppercase()), Ok(bytes));
    }
    if let Ok(Cpus(thousandths)) = text.parse() {
        assert!(digits && thousandths >= 10, "{text:?}");
        let (whole, part) = (thousandths / 1000, thousandths % 1000);
        assert_eq!(format!("{whole}.{part:03}").parse(), Ok(Cpus(thousandths)));
    }
    for limits in [
        text.clone(),
        format!("{number}:{text}"),
        format!("{text}:{number}"),
    ] {
        if let Ok(limit) = Rlimit::from_str(&format!("nofile={limits}")) {
            assert!(
                limit.soft <= limit.hard && !limits.contains('+'),
                "{limits:?}"
            );
        }
    }
}

/// The other words: users, capabilities, clocks.
pub(crate) fn words(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(Login { user, group }) = text.parse() {
        let back = group.map_or(user.clone(), |group| format!("{user}:{group}"));
        assert_eq!(back, text);
        assert!(!text.bytes().any(|byte| byte < b'!'), "{text:?}");
    }
    if let Ok(User { uid, gid }) = text.parse() {
        assert!(uid != u32::MAX && gid != u32::MAX, "{text:?}");
        assert_eq!(format!("{uid}:{gid}").parse(), Ok(User { uid, gid }));
    }
    match Selection::from_str(&text) {
        Ok(one) => assert_eq!(Selection::from_str(&text.to_ascii_lowercase()), Ok(one)),
        Err(error) => assert_harmless(&error, &text),
    }
    match Rlimit::from_str(&text) {
        Ok(limit) => assert!(limit.soft <= limit.hard, "{text:?}"),
        Err(error) => assert_harmless(&error, &text),
    }
    if let Err(error) = TimeOffset::from_str(&text) {
        assert_harmless(&error, &text);
    }
}

const ID_MAP: [&str; 10] = [
    "0",
    "1",
    ":",
    "65536",
    "4294967295",
    "4294967296",
    "-1",
    "+1",
    " ",
    "100000",
];

/// Ranges of ids: what is read is what is written, and ranges that pass belong to one id each.
pub(crate) fn id_maps(data: &[u8]) {
    let mut choices = Choices::new(data);
    let text = choices.text(&ID_MAP);
    match IdMapping::from_str(&text) {
        Ok(one) => {
            let shown = [one.container_id, one.host_id, one.size].map(|number| number.to_string());
            assert_eq!(IdMapping::from_str(&shown.join(":")), Ok(one), "{text:?}");
            assert!(
                text.bytes()
                    .all(|byte| byte.is_ascii_digit() || byte == b':'),
                "{text:?}"
            );
        }
        Err(error) => assert_harmless(&error, &text),
    }
    let mut spec = Spec::new("true");
    while !choices.is_over() && spec.namespaces.uid_mappings.len() < 8 {
        let mut number = || choices.number() as u32 >> choices.below(32);
        let one = IdMapping {
            container_id: number(),
            host_id: number(),
            size: number(),
        };
        spec.namespaces.uid_mappings.push(asked(one));
    }
    if !spec.validate().is_empty() {
        return;
    }
    let mappings: Vec<IdMapping> = spec
        .namespaces
        .uid_mappings
        .iter()
        .map(|one| one.value)
        .collect();
    let ends = |first: u32, size: u32| (u64::from(first), u64::from(first) + u64::from(size));
    for (index, one) in mappings.iter().enumerate() {
        for first in [one.container_id, one.host_id] {
            assert!(
                one.size > 0 && ends(first, one.size).1 <= u64::from(u32::MAX),
                "{mappings:?}"
            );
        }
        for other in &mappings[..index] {
            for (this, that) in [
                (one.container_id, other.container_id),
                (one.host_id, other.host_id),
            ] {
                let ((first, end), (other_first, other_end)) =
                    (ends(this, one.size), ends(that, other.size));
                assert!(end <= other_first || other_end <= first, "{mappings:?}");
            }
        }
    }
}

/// Profiles of system calls in JSON, and what is almost one.
pub(crate) fn profiles(data: &[u8]) {
    let mut choices = Choices::new(data);
    let mut text = profile(&mut choices);
    if choices.yes() {
        let (at, end) = (choices.below(255), choices.below(8));
        let at = (at..text.len())
            .find(|&at| text.is_char_boundary(at))
            .unwrap_or(0);
        let end = (at + end..text.len())
            .find(|&end| text.is_char_boundary(end))
            .unwrap_or(text.len());
        text.replace_range(
            at..end,
            &choices.text(&["{", "}", "[", "]", "\"", ",", ":", "null", "-1", "\u{1b}"]),
        );
    }
    if let Err(error) = SeccompFilter::from_json(text.as_bytes()) {
        assert_harmless(&error, &text);
    }
}

/// Programs of a filter: what the kernel would not take is refused before it is asked.
pub(crate) fn programs(data: &[u8]) {
    if let Err(error) = SeccompFilter::from_program(data) {
        assert_harmless(&error, &String::from_utf8_lossy(data));
    }
}
