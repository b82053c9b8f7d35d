//! Boxes that are made up, launched: each runs, or says which step failed and why. Nothing is left.
//!
//! `CLONEBOX_ZONE_LAUNCHES` is how many.

#![expect(
    clippy::print_stdout,
    reason = "what was made up is printed if a test fails"
)]

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use crate::launches::{Launches, runs_or_tells};
use crate::support::host::Host;
use crate::support::process::{assert_no_child, descriptors};
use crate::support::program::Program;
use crate::support::tests;

/// However many launches are asked for: an emulated processor is slow.
const ENOUGH: Duration = Duration::from_secs(20);

/// Numbers that look random, from a seed: xorshift64.
fn bytes(seed: &mut u64) -> Vec<u8> {
    let mut next = || {
        *seed ^= *seed << 13;
        *seed ^= *seed >> 7;
        *seed ^= *seed << 17;
        *seed
    };
    let length = next() % 160;
    (0..length).map(|_| (next() >> 32) as u8).collect()
}

tests! {
    fn any_box_runs_or_tells_the_step_that_failed_and_leaves_nothing() needs [Box] {
        let wanted = env::var("CLONEBOX_ZONE_LAUNCHES").map_or(1_000, |text| text.parse().expect("a number"));
        let now = std::time::UNIX_EPOCH.elapsed().expect("a clock").as_nanos() as u64;
        let first: u64 = env::var("CLONEBOX_ZONE_SEED").map_or(now, |text| text.parse().expect("a number"));
        let program = Program::new();
        let base = tempfile::tempdir().expect("a directory");
        fs::set_permissions(base.path(), fs::Permissions::from_mode(0o755)).expect("it is ours");
        let launches = Launches::new(base.path(), &program.path());
        let (began, open, host) = (Instant::now(), descriptors(), Host::look());
        let (mut ran, mut failed) = (0, 0);
        let mut seed = first | 1;
        for _ in 0..wanted {
            let drawn = seed;
            let made_up = bytes(&mut seed);
            let spec = launches.spec(&made_up);
            // To be read only if something is wrong.
            println!("CLONEBOX_ZONE_SEED={drawn}: {spec:?}");
            match runs_or_tells(&spec) {
                Ok(()) => ran += 1,
                Err(error) => {
                    println!("{error}");
                    failed += 1;
                }
            }
            assert_no_child();
            assert_eq!(descriptors(), open);
            if began.elapsed() > ENOUGH {
                break;
            }
        }
        host.assert_unchanged("all launches");
        println!("{ran} ran, {failed} failed");
        assert!(ran > 0 && failed > 0);
    }
}
