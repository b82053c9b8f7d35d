// SPDX-License-Identifier: MIT OR Apache-2.0
//! The walls inside of a box: Landlock, keyring, user namespaces, and docker's words for some of them.

use std::path::{Path, PathBuf};

use clonebox::{Access, Landlock, Namespace, Origin, PathRule, Setting, Spec};

use crate::seccomp;
use crate::typed::Typed;
use crate::usage::UsageError;

/// Reads the options.
pub(crate) fn confine(spec: &mut Spec, args: &Typed) -> Result<(), UsageError> {
    spec.landlock = landlock(args)?;
    seccomp::options(spec, args)?;
    let keyring = args.optional("--keyring", args.keyring.as_deref(), |word| match word {
        "private" => Ok(Namespace::Private),
        "host" => Ok(Namespace::Host),
        _ => Err("expected private or host"),
    })?;
    spec.keyring = keyring.unwrap_or_else(|| spec.keyring.clone());
    spec.disable_userns = args.switch("--disable-userns", args.disable_userns);
    if args.allow_new_privs {
        spec.no_new_privs = Setting::new(false, args.origin("--allow-new-privs", None));
    }
    for word in &args.security_opt {
        let origin = args.origin("--security-opt", Some(word));
        security(spec, word, &origin)
            .map_err(|reason| UsageError::new(format!("{origin}: {reason}")))?;
    }
    Ok(())
}

fn landlock(args: &Typed) -> Result<Landlock, UsageError> {
    let mut paths = Vec::new();
    for (option, words, access) in [
        ("--ll-ro", &args.ll_ro, Access::Read),
        ("--ll-exec", &args.ll_exec, Access::Execute),
        ("--ll-rw", &args.ll_rw, Access::Write),
    ] {
        paths.extend(args.repeated(option, words, |path| {
            Ok::<_, &str>(PathRule {
                path: path.into(),
                access,
            })
        })?);
    }
    let port = |word: &str| word.parse().map_err(|_| "expected a port, 0 to 65535");
    Ok(Landlock {
        paths,
        connect: args.repeated("--ll-connect", &args.ll_connect, port)?,
        bind: args.repeated("--ll-bind", &args.ll_bind, port)?,
        strict: args.switch("--ll-strict", args.ll_strict),
    })
}

/// A word of docker's or podman's. Those that turn off what clonebox does not do are accepted: the box is
/// what they ask for.
fn security(spec: &mut Spec, word: &str, origin: &Origin) -> Result<(), String> {
    // Older words have a colon.
    let (name, value) = match word.split_once(['=', ':']) {
        Some((name, value)) => (name, Some(value)),
        None => (word, None),
    };
    match (name, value) {
        ("no-new-privileges", None | Some("true")) => no_new_privs(spec, true, origin),
        ("no-new-privileges", Some("false")) => no_new_privs(spec, false, origin),
        ("no-new-privileges", Some(_)) => Err("expected true or false".to_owned()),
        ("apparmor", Some("unconfined")) | ("label", Some("disable")) => Ok(()),
        ("apparmor" | "label", Some(_)) => Err(format!(
            "clonebox sets no {}; the box has the caller's",
            if name == "label" { "SELinux label" } else { "AppArmor profile" }
        )),
        ("seccomp", Some("unconfined")) => seccomp::chosen(spec, "off", origin),
        ("seccomp", Some("builtin")) => seccomp::chosen(spec, "default", origin),
        ("seccomp", Some(file)) => seccomp::chosen(spec, file, origin),
        ("systempaths", Some("unconfined")) => unmask(spec, "ALL", origin),
        ("systempaths", Some(_)) => Err("expected unconfined".to_owned()),
        ("unmask", Some(paths)) => unmask(spec, paths, origin),
        ("mask", Some(paths)) => {
            spec.masks.mask.extend(split(paths, origin)?);
            Ok(())
        }
        _ => Err(
            "expected no-new-privileges[=false], systempaths=unconfined, mask=PATH, unmask=PATH|ALL, \
             seccomp=unconfined|FILE, apparmor=unconfined or label=disable"
                .to_owned(),
        ),
    }
}

fn no_new_privs(spec: &mut Spec, on: bool, origin: &Origin) -> Result<(), String> {
    let earlier = &spec.no_new_privs;
    if earlier.origin != Origin::Default && earlier.value != on {
        return Err(format!("this is not what {} says", earlier.origin));
    }
    spec.no_new_privs = Setting::new(on, origin.clone());
    Ok(())
}

fn unmask(spec: &mut Spec, paths: &str, origin: &Origin) -> Result<(), String> {
    let paths = if paths == "ALL" { "/" } else { paths };
    spec.masks.unmask.extend(split(paths, origin)?);
    Ok(())
}

fn split(paths: &str, origin: &Origin) -> Result<Vec<Setting<PathBuf>>, String> {
    let paths = paths.split(':').map(|path| {
        if Path::new(path).is_absolute() {
            Ok(Setting::new(path.into(), origin.clone()))
        } else {
            Err(format!("{path:?} is no absolute path"))
        }
    });
    paths.collect()
}
