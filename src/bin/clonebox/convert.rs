// SPDX-License-Identifier: MIT OR Apache-2.0
//! From options to a Spec: what each word means. Everything that is wrong is an error here, before
//! anything is done.

use std::env;
use std::ffi::OsString;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use clonebox::{
    Dev, Exec, Namespace, Origin, ParentDeath, PinnedTemplate, Rootfs, Setting, Spec, Tty,
    UserNamespace, Writes, parse_bytes, parse_env_file, system_root,
};

use crate::confine::confine;
use crate::descriptors::is_inherited;
use crate::detach::{self, Detach};
use crate::limits::limits;
use crate::mounts;
use crate::network;
use crate::report::Sink;
use crate::typed::Typed;
use crate::usage::UsageError;

/// How a plan is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// What was asked for.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) spec: Arc<Spec>,
    pub(crate) quiet: bool,
    pub(crate) explain: Option<Form>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) timings: Option<Sink>,
    pub(crate) report: Option<Sink>,
    pub(crate) detach: Option<Detach>,
    /// What is kept of what a detached box writes, in bytes.
    pub(crate) log_bytes: Option<u64>,
    /// Whose mounts the box has.
    pub(crate) template: Option<PinnedTemplate>,
}

/// Converts what was typed. Files of variables are read, files of reports opened.
pub(crate) fn options(args: &Typed, command: Vec<OsString>) -> Result<Options, UsageError> {
    let explain = args.optional("--explain", args.explain.as_deref(), |word| match word {
        "text" => Ok(Form::Text),
        "json" => Ok(Form::Json),
        _ => Err("expected --explain or --explain=json"),
    })?;
    let timeout = args.optional("--timeout", args.timeout.as_deref(), duration)?;
    // A plan that is only printed makes no file.
    let file = |word: &Option<String>| word.clone().filter(|_| explain.is_none());
    let timings = args.optional("--timings", file(&args.timings).as_deref(), Sink::open)?;
    let report = args.optional("--report", file(&args.report).as_deref(), Sink::open)?;
    let quiet = args.quiet;
    let detach = args.optional("--detach", args.detach.as_deref(), detach::parse)?;
    let log_size = args.optional("--log-size", args.log_size.as_deref(), parse_bytes)?;
    if let (Some(size), None) = (&log_size, &detach) {
        let typed = &size.origin;
        return Err(UsageError::new(format!(
            "{typed}: expected --detach as well"
        )));
    }
    let mut spec = spec(args, command)?;
    spec.timings = timings.is_some();
    Ok(Options {
        spec: Arc::new(spec),
        quiet,
        explain: explain.map(|form| form.value),
        timeout: timeout.map(|timeout| timeout.value),
        timings: timings.map(|sink| sink.value),
        report: report.map(|sink| sink.value),
        detach: detach.map(|detach| detach.value),
        log_bytes: log_size.map(|size| size.value),
        template: None,
    })
}

fn spec(args: &Typed, command: Vec<OsString>) -> Result<Spec, UsageError> {
    let mut words = command.into_iter();
    let mut spec = Spec::new(words.next().unwrap_or_default());
    spec.exec = Exec {
        args: words.collect(),
        origin: Origin::text("COMMAND"),
        ..spec.exec
    };
    spec.name = args.optional("--name", args.name.as_deref(), parse)?;
    spec.hostname = args.optional("--hostname", args.hostname.as_deref(), parse)?;
    environment(&mut spec, args)?;
    spec.workdir = args.optional("--workdir", args.workdir.as_deref(), |path| {
        parse::<PathBuf>(path)
    })?;
    spec.login = args.optional("--user", args.user.as_deref(), parse)?;
    spec.umask = args.optional("--umask", args.umask.as_deref(), octal)?;
    spec.rlimits = args.repeated("--ulimit", &args.ulimit, parse)?;
    spec.nice = args.optional("--nice", args.nice.as_deref(), number)?;
    spec.oom_score_adj = args.optional("--oom-score-adj", args.oom_score_adj.as_deref(), number)?;
    spec.fds = args.repeated("--fd", &args.fd, descriptor)?;
    spec.start_timeout =
        args.optional("--start-timeout", args.start_timeout.as_deref(), duration)?;
    spec.caps.add = args.repeated("--cap-add", &args.cap_add, parse)?;
    spec.caps.drop = args.repeated("--cap-drop", &args.cap_drop, parse)?;
    namespaces(&mut spec, args)?;
    root(&mut spec, args)?;
    spec.mounts.extend(mounts::in_order(args.words())?);
    spec.limits = limits(args)?;
    // The command's own default differs from the library's: it is at a terminal more often.
    spec.tty = args
        .optional("--tty", args.tty.as_deref(), tty)?
        .unwrap_or(Setting::default_of(Tty::Auto));
    confine(&mut spec, args)?;
    if args.survive {
        spec.parent_death = Setting::new(ParentDeath::Survive, args.origin("--survive", None));
    }
    spec.init = args.switch("--init", args.init);
    Ok(spec)
}

fn environment(spec: &mut Spec, args: &Typed) -> Result<(), UsageError> {
    spec.env.clear = args.switch("--env-clear", args.env_clear);
    for path in &args.env_file {
        let origin = args.origin("--env-file", Some(path));
        let error = |reason: &dyn Display| UsageError::new(format!("{origin}: {reason}"));
        let bytes = std::fs::read(path).map_err(|cause| error(&cause))?;
        for (name, value) in parse_env_file(&bytes).map_err(|cause| error(&cause))? {
            variable(spec, name, value, &origin);
        }
    }
    // Options win over files, as in docker.
    for word in &args.env {
        let origin = args.origin("--env", Some(word));
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value.into())),
            None => (word.as_str(), None),
        };
        variable(spec, name.into(), value, &origin);
    }
    Ok(())
}

/// Sets a variable; one without a value gets the caller's, and none if the caller has none.
fn variable(spec: &mut Spec, name: OsString, value: Option<OsString>, origin: &Origin) {
    // The library of std panics at a name that no variable can have; validation refuses it later.
    let valid = !name.is_empty()
        && !name
            .as_encoded_bytes()
            .iter()
            .any(|byte| b"=\0".contains(byte));
    let value = value.or_else(|| env::var_os(&name).filter(|_| valid));
    spec.env
        .changes
        .push(Setting::new((name, value), origin.clone()));
}

fn namespaces(spec: &mut Spec, args: &Typed) -> Result<(), UsageError> {
    let own = &mut spec.namespaces;
    for (option, word, private, setting) in [
        ("--pid", &args.pid, "private", &mut own.pid),
        ("--uts", &args.uts, "private", &mut own.uts),
        ("--ipc", &args.ipc, "private", &mut own.ipc),
        ("--cgroupns", &args.cgroupns, "private", &mut own.cgroup),
    ] {
        let read = |word: &str| match word {
            "host" => Ok(Namespace::Host),
            word if word == private => Ok(Namespace::Private),
            _ => Err(format!("expected {private} or host")),
        };
        if let Some(chosen) = args.optional(option, word.as_deref(), read)? {
            *setting = chosen;
        }
    }
    let net = args.optional("--net", args.net.as_deref(), network::read)?;
    own.net = net.unwrap_or_else(|| own.net.clone());
    let user = args.optional("--userns", args.userns.as_deref(), |word| match word {
        "auto" => Ok(UserNamespace::Auto),
        "keep-id" => Ok(UserNamespace::KeepId),
        "nomap" => Ok(UserNamespace::NoMap),
        "host" => Ok(UserNamespace::Host),
        _ => Err("expected auto, host, keep-id or nomap"),
    })?;
    own.uid_mappings = args.repeated("--uidmap", &args.uidmap, parse)?;
    own.gid_mappings = args.repeated("--gidmap", &args.gidmap, parse)?;
    own.user = user.unwrap_or_else(|| own.user.clone());
    own.time = args.optional("--time-offset", args.time_offset.as_deref(), parse)?;
    spec.ports = args.repeated("--publish", &args.publish, parse)?;
    Ok(())
}

/// The word for the system's programs as root filesystem. A directory of that name is `./system`.
const SYSTEM: &str = "system";

/// The root filesystem. What is mounted in it is in `mounts.rs`.
fn root(spec: &mut Spec, args: &Typed) -> Result<(), UsageError> {
    let through = args.optional("--rootfs", args.rootfs.as_deref(), parse::<PathBuf>)?;
    let over = args.optional(
        "--rootfs-overlay",
        args.rootfs_overlay.as_deref(),
        parse::<PathBuf>,
    )?;
    let upper = args.optional("--upper", args.upper.as_deref(), parse::<PathBuf>)?;
    let rootfs = |path: Setting<PathBuf>, writes| {
        let rootfs = Rootfs {
            path: path.value,
            writes,
        };
        Some(Setting::new(rootfs, path.origin))
    };
    spec.rootfs = match (through, over, upper) {
        (None, None, None) => None,
        (Some(word), None, None) if word.value == Path::new(SYSTEM) => {
            let (rootfs, mounts) = system_root(&word.origin);
            spec.mounts.extend(mounts);
            Some(rootfs)
        }
        (Some(path), None, None) => rootfs(path, Writes::Through),
        (None, Some(path), None) => rootfs(path, Writes::Discard),
        (None, Some(path), Some(upper)) => rootfs(path, Writes::Keep(upper.value)),
        (Some(one), Some(other), _) => {
            let (one, other) = (one.origin, other.origin);
            return Err(UsageError::new(format!(
                "{one} and {other}: a box has one root filesystem"
            )));
        }
        (_, None, Some(upper)) => {
            let typed = upper.origin;
            return Err(UsageError::new(format!(
                "{typed}: expected --rootfs-overlay DIR as well"
            )));
        }
    };
    spec.read_only = args.switch("--read-only", args.read_only);
    let proc = args.optional("--proc", args.proc.as_deref(), |word| match word {
        "private" => Ok(true),
        "off" => Ok(false),
        _ => Err("expected private or off"),
    })?;
    spec.proc = proc.unwrap_or_else(|| spec.proc.clone());
    let dev = args.optional("--dev", args.dev.as_deref(), |word| match word {
        "minimal" => Ok(Dev::Minimal),
        "host" => Ok(Dev::Host),
        "none" => Ok(Dev::None),
        _ => Err("expected minimal, host or none"),
    })?;
    spec.dev = dev.unwrap_or_else(|| spec.dev.clone());
    Ok(())
}

fn parse<T: FromStr>(word: &str) -> Result<T, T::Err> {
    word.parse()
}

fn number(word: &str) -> Result<i32, &'static str> {
    word.parse().map_err(|_| "expected a whole number")
}

/// A descriptor of the caller; which of them may be passed is for the library to say.
fn descriptor(word: &str) -> Result<i32, &'static str> {
    let number = number(word)?;
    if number < 3 || is_inherited(number) {
        Ok(number)
    } else {
        Err("the caller has no such descriptor open")
    }
}

fn octal(word: &str) -> Result<u32, &'static str> {
    let digits = !word.is_empty() && word.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
    u32::from_str_radix(word, 8)
        .ok()
        .filter(|_| digits)
        .ok_or("expected an octal number, as in 022")
}

fn tty(word: &str) -> Result<Tty, &'static str> {
    match word {
        "auto" => Ok(Tty::Auto),
        "new" => Ok(Tty::New),
        "inherit" => Ok(Tty::Inherit),
        "none" => Ok(Tty::None),
        _ => Err("expected auto, new, inherit or none"),
    }
}

/// A time: a decimal number with `ms`, `s`, `m` or `h`; seconds without.
pub(crate) fn duration(word: &str) -> Result<Duration, &'static str> {
    const EXPECTED: &str = "expected a time, as in 10, 1.5s, 200ms, 2m or 1h";
    let (digits, unit_s) = [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0)]
        .into_iter()
        .find_map(|(unit, seconds)| Some((word.strip_suffix(unit)?, seconds)))
        .unwrap_or((word, 1.0));
    let plain = digits
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    let number: f64 = digits.parse().ok().filter(|_| plain).ok_or(EXPECTED)?;
    let time = Duration::try_from_secs_f64(number * unit_s).map_err(|_| EXPECTED)?;
    if time.is_zero() {
        Err("a time is longer than nothing")
    } else {
        Ok(time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_and_without_a_unit() {
        assert_eq!(duration("10"), Ok(Duration::from_secs(10)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("200ms"), Ok(Duration::from_millis(200)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(duration("1h"), Ok(Duration::from_secs(3600)));
        for wrong in [
            "",
            "s",
            "-1",
            "1e3",
            "0",
            "inf",
            "1 s",
            "1d",
            "99999999999999999999h",
        ] {
            assert!(duration(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_umask_is_octal() {
        assert_eq!(octal("022"), Ok(0o22));
        for wrong in ["", "8", "0o22", "-1", "+7"] {
            assert!(octal(wrong).is_err(), "{wrong:?}");
        }
    }
}
