// SPDX-License-Identifier: MIT OR Apache-2.0
//! Many boxes: how many a second from how many threads, how many at once, and what is left of very many.
//!
//! ```text
//! cargo bench --bench scale                 everything; some minutes. benches/results/scale.txt is such a run
//! cargo bench --bench scale -- --test       a little of each: it is right, whatever it takes
//! ```
//!
//! It ends with 1 if a box fails, if one takes more memory than it should, or if something is left.

#[path = "support/host.rs"]
mod host;
#[path = "support/target.rs"]
mod target;

use std::error::Error;
use std::fs;
use std::io::{Write, stdout};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clonebox::{Child, Command, Pool, Template};
use target::Target;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

const THREADS: [usize; 5] = [1, 2, 4, 8, 64];
/// What a box that does nothing may take of the machine's memory, in KiB, the kernel's included. Our own limit: some
/// twice of what it takes.
const EACH: f64 = 256.0;
/// How many objects of the kernel may be more than before: what other programs make meanwhile. A leak would be one a
/// box, and so hundreds of times as many.
const OTHERS: u64 = 1000;
/// How long the kernel may take to free what nobody has any more.
const PATIENCE: Duration = Duration::from_secs(30);

/// ppoll(NULL, 0, NULL, NULL), for ever.
#[cfg(target_arch = "x86_64")]
const PAUSE: &[u8] =
    b"\xb8\x0f\x01\0\0\x31\xff\x31\xf6\x31\xd2\x45\x31\xd2\x45\x31\xc0\x0f\x05\xeb\xeb";
#[cfg(target_arch = "aarch64")]
const PAUSE: &[u8] = b"\0\0\x80\xd2\x01\0\x80\xd2\x02\0\x80\xd2\x03\0\x80\xd2\x04\0\x80\xd2\x28\x09\x80\xd2\x01\0\0\xd4\xf9\xff\xff\x17";

/// How much of each.
struct Amount {
    throughput: Duration,
    alive: usize,
    soak: usize,
}

fn main() -> Result {
    let test = std::env::args().any(|word| word == "--test");
    let amount = if test {
        Amount {
            throughput: Duration::from_millis(200),
            alive: 100,
            soak: 300,
        }
    } else {
        Amount {
            throughput: Duration::from_secs(3),
            alive: 10_000,
            soak: 200_000,
        }
    };
    let target = Target::new()?;
    if let Err(error) = Command::new(target.exit()).status() {
        return say(&format!("skipped: boxes cannot be made here: {error}"));
    }
    for (name, value) in host::facts() {
        say(&format!("{name}: {value}"))?;
    }
    let root = target.exit().parent().ok_or("a path")?;
    target::write(&root.join("pause"), PAUSE)?;
    let plain = Command::new(target.exit()).prepare()?;
    let full = Command::new("/exit").rootfs(root).prepare()?;
    throughput(&amount, &plain, &full)?;
    alive(&amount, &root.join("pause"))?;
    soak(&amount, "a plain box", &plain)?;
    soak(&amount, "a box with a root filesystem", &full)
}

fn say(line: &str) -> Result {
    Ok(writeln!(stdout(), "{line}")?)
}

fn run(spawned: std::result::Result<Child, clonebox::Error>) -> Result {
    let status = spawned?.wait()?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("a box has ended with {status}").into())
    }
}

/// Boxes a second, launched and waited for, by so many threads.
fn throughput(amount: &Amount, plain: &Template, full: &Template) -> Result {
    say("boxes a second, launched and reaped, by number of threads")?;
    let pool = Pool::new(plain, 16)?;
    let shared = if full.shares_mounts() {
        ""
    } else {
        ", mounts made each time"
    };
    let of_plain = || run(plain.spawn());
    let of_full = || run(full.spawn());
    let of_pool = || run(pool.spawn());
    let all: [(String, &(dyn Fn() -> Result + Sync)); 3] = [
        ("a plain box".to_owned(), &of_plain),
        (format!("a box with a root filesystem{shared}"), &of_full),
        ("a plain box of a pool".to_owned(), &of_pool),
    ];
    for (name, launch) in all {
        let mut line = format!("  {name:<32}");
        for threads in THREADS {
            let rate = rate(launch, threads, amount.throughput)?;
            line.push_str(&format!(" {threads:>3}: {rate:>6.0}"));
        }
        say(&line)?;
    }
    Ok(())
}

fn rate(launch: &(dyn Fn() -> Result + Sync), threads: usize, time: Duration) -> Result<f64> {
    let count = AtomicU64::new(0);
    let began = Instant::now();
    let failed = thread::scope(|scope| {
        let one = || {
            while began.elapsed() < time {
                launch().map_err(|error| error.to_string())?;
                count.fetch_add(1, Ordering::Relaxed);
            }
            std::result::Result::<(), String>::Ok(())
        };
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
        workers.into_iter().find_map(|worker| {
            worker
                .join()
                .map_or(Some("a panic".to_owned()), std::result::Result::err)
        })
    });
    match failed {
        Some(error) => Err(error.into()),
        None => Ok(count.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64()),
    }
}

/// So many boxes at once, started and ended.
fn alive(amount: &Amount, program: &Path) -> Result {
    let room = descriptors_at_most().saturating_sub(100);
    let count = amount.alive.min(room);
    if count < amount.alive {
        say(&format!(
            "only {count} boxes at once: RLIMIT_NOFILE is {}",
            room + 100
        ))?;
    }
    let template = Command::new(program).prepare()?;
    let before = Left::now()?;
    let began = Instant::now();
    let boxes = (0..count).map(|_| template.spawn());
    let mut boxes = boxes.collect::<std::result::Result<Vec<Child>, _>>()?;
    let started = began.elapsed();
    let during = Left::now()?;
    let began = Instant::now();
    for one in &mut boxes {
        one.kill()?;
    }
    for one in &mut boxes {
        one.wait()?;
    }
    drop(boxes);
    let ended = began.elapsed();
    let each = before.available_kib.saturating_sub(during.available_kib) as f64 / count as f64;
    say(&format!(
        "{count} boxes at once: started in {:.2} s, ended in {:.2} s, {each:.0} KiB of memory each",
        started.as_secs_f64(),
        ended.as_secs_f64(),
    ))?;
    // Of few boxes the memory is lost in what others take and give.
    if count >= 1000 && each > EACH {
        return Err(format!("a box takes {each:.0} KiB of memory").into());
    }
    before.compare().map(drop)
}

/// So many boxes, one after the other.
fn soak(amount: &Amount, name: &str, template: &Template) -> Result {
    (0..100).try_for_each(|_| run(template.spawn()))?;
    let before = Left::now()?;
    (0..amount.soak).try_for_each(|_| run(template.spawn()))?;
    let after = before.compare()?;
    say(&format!(
        "{} times {name}: before {before}; after {after}",
        amount.soak
    ))
}

/// What a leak would show in.
struct Left {
    resident_kib: u64,
    descriptors: usize,
    available_kib: u64,
    /// Objects of the kernel's caches, where they are to be seen: mounts, and PID namespaces.
    kernel: Option<[u64; 2]>,
}

impl Left {
    fn now() -> Result<Self> {
        let kib = |file: &str, name: &str| -> Result<u64> {
            let text = fs::read_to_string(file)?;
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|line| line.split_whitespace().next());
            Ok(number.ok_or("a line without a number")?.parse()?)
        };
        Ok(Self {
            resident_kib: kib("/proc/self/status", "VmRSS:")?,
            descriptors: fs::read_dir("/proc/self/fd")?.count(),
            available_kib: kib("/proc/meminfo", "MemAvailable:")?,
            kernel: ["mnt_cache ", "pid_namespace "]
                .map(|cache| kib("/proc/slabinfo", cache).ok())
                .into_iter()
                .collect::<Option<Vec<_>>>()
                .and_then(|objects| objects.try_into().ok()),
        })
    }

    /// What there is after it, when the kernel has freed its own: as many descriptors, a MiB of memory more at most,
    /// and no more objects in the kernel than others may have made.
    fn compare(&self) -> Result<Self> {
        let began = Instant::now();
        loop {
            let after = Self::now()?;
            let kernel = self.kernel.iter().flatten();
            let leaks = kernel
                .zip(after.kernel.iter().flatten())
                .any(|(before, after)| *after > before + OTHERS);
            let grown = after.resident_kib.saturating_sub(self.resident_kib) > 1024;
            if after.descriptors == self.descriptors && !grown && !leaks {
                return Ok(after);
            }
            if began.elapsed() > PATIENCE {
                return Err(format!("something is left: {self}, and then {after}").into());
            }
            thread::sleep(Duration::from_millis(100));
        }
    }
}

impl std::fmt::Display for Left {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            resident_kib,
            descriptors,
            ..
        } = self;
        write!(f, "{resident_kib} KiB, {descriptors} descriptors")?;
        match self.kernel {
            Some([mounts, pids]) => {
                write!(f, ", {mounts} mounts and {pids} PID namespaces in slab")
            }
            None => write!(f, ", and what the kernel has cannot be seen"),
        }
    }
}

/// `RLIMIT_NOFILE`, raised as far as it goes.
fn descriptors_at_most() -> usize {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return 0;
    };
    let raised = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    usize::try_from(if raised.is_ok() { hard } else { soft }).unwrap_or(usize::MAX)
}
