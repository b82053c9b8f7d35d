//! The black-box suite: it runs the command and looks at what it does. `tests/zone` has the proofs
//! about the child.
//!
//! Its harness is libtest-mimic, because a test that cannot run here must say so when it runs, and be
//! counted as ignored. A program inside a box is often this binary itself: `it __probe WHAT`.

mod support;

mod boxes;
mod caps;
mod completion;
mod config;
mod confine;
mod death;
mod debian;
mod delegation;
mod detach;
mod doctor;
mod env;
mod errors;
mod escape;
mod exec;
mod explain;
mod hostile;
mod init;
mod join;
mod keyring;
mod landlock;
mod launch;
mod leftovers;
mod library;
mod limit_files;
mod limits;
mod mounts;
mod names;
mod namespaces;
mod network;
mod open_files;
mod pool;
mod process;
mod profiles;
mod readme;
mod registry;
mod remedy;
mod report;
mod rootfs;
mod seccomp;
mod security;
mod signals;
mod template;
mod templates;
mod timeout;
mod timings;
mod trace;
mod tty;
mod unrecorded;
mod usage;
mod user;
mod userns;
mod volumes;

use std::process::ExitCode;

use support::harness::Test;

fn main() -> ExitCode {
    if let Some(code) = support::probe::run() {
        return code;
    }
    support::harness::main(all())
}

/// Every test there is.
fn all() -> Vec<Test> {
    let modules = [
        boxes::tests(),
        caps::tests(),
        completion::tests(),
        config::tests(),
        confine::tests(),
        death::tests(),
        detach::tests(),
        debian::tests(),
        delegation::tests(),
        doctor::tests(),
        env::tests(),
        errors::tests(),
        escape::tests(),
        exec::tests(),
        explain::tests(),
        hostile::tests(),
        hostile::paths::tests(),
        init::tests(),
        join::tests(),
        keyring::tests(),
        landlock::tests(),
        launch::tests(),
        leftovers::tests(),
        library::tests(),
        limit_files::tests(),
        limits::tests(),
        mounts::tests(),
        names::tests(),
        namespaces::tests(),
        network::tests(),
        open_files::tests(),
        pool::tests(),
        process::tests(),
        profiles::tests(),
        readme::tests(),
        registry::tests(),
        remedy::tests(),
        report::tests(),
        rootfs::tests(),
        seccomp::tests(),
        security::tests(),
        signals::tests(),
        template::tests(),
        templates::tests(),
        timeout::tests(),
        timings::tests(),
        trace::tests(),
        tty::tests(),
        unrecorded::tests(),
        usage::tests(),
        user::tests(),
        userns::tests(),
        volumes::tests(),
    ];
    modules.into_iter().flatten().collect()
}
