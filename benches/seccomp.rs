//! What a filter costs: installing it, and each call afterwards. Ours against libseccomp's and seccompiler's of the same
//! rules, one after the other in turn, each in a process of its own.
//!
//! `cargo bench --bench seccomp`; libseccomp needs the system's python3-seccomp.

#![expect(clippy::print_stdout, reason = "a bench prints what it has measured")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write;
use std::process::{Command, Stdio};
use std::ptr;
use std::time::Instant;

use clonebox_seccomp::{
    ALLOW, Answer, Arch, Condition, Instruction, Policy, Verdict, calls, compile, default_profile,
    errno,
};

const ROUNDS: usize = 300;
const CALLS: u32 = 1_000;

/// What a process has measured, in nanoseconds: the installation, and a call that is allowed, one whose arguments
/// are looked at, and one that is refused.
type Measured = [f64; 4];

fn main() {
    let machine = Arch::named(std::env::consts::ARCH).expect("a machine of ours");
    let profile = default_profile().expect("a good profile");
    let policy = profile.policy(machine);
    let kept = clonebox::CapabilitySet::DEFAULT.0;
    let ours = compile(std::slice::from_ref(&policy), Answer::always(errno(38)))
        .expect("it is short")
        .resolve(kept);
    let compat = machine.compat().expect("each of ours has one");
    let policies = [policy.clone(), profile.policy(compat)];
    let both = compile(&policies, Answer::always(errno(38)))
        .expect("it is short")
        .resolve(kept);
    let least = Instruction {
        code: 6,
        jt: 0,
        jf: 0,
        k: ALLOW,
    };
    let mut variants = vec![
        ("no filter", Vec::new()),
        ("one instruction: the floor", vec![least]),
        ("clonebox, the default profile", ours),
        ("clonebox, with 32 bits", both),
        ("seccompiler, the same rules", seccompiler(&policy, kept)),
    ];
    for (name, arches) in [
        ("libseccomp, the same rules", ""),
        (
            "libseccomp, with 32 bits, x32",
            "f.add_arch(seccomp.Arch.X86); f.add_arch(seccomp.Arch.X32)\n",
        ),
    ] {
        match libseccomp(&policy, machine, kept, arches) {
            Some(program) => variants.push((name, program)),
            None => println!("{name}: not measured, the system's python3-seccomp is missing"),
        }
    }
    let mut measured: Vec<Vec<Measured>> = vec![Vec::new(); variants.len()];
    // As criterion has it: only whether it works.
    let test = std::env::args().any(|word| word == "--test");
    let rounds = if test { 1 } else { ROUNDS };
    for _ in 0..rounds {
        for ((_, program), measured) in variants.iter().zip(&mut measured) {
            measured.push(measure(program));
        }
    }
    println!("medians of {rounds} rounds");
    println!(
        "{:<32} {:>6} {:>11} {:>9} {:>9} {:>9}",
        "", "length", "install", "getppid", "ioctl", "keyctl"
    );
    for ((name, program), measured) in variants.iter().zip(&measured) {
        let [install, allowed, looked, refused] = [0, 1, 2, 3].map(|field| {
            let mut values: Vec<f64> = measured.iter().map(|one| one[field]).collect();
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        });
        println!(
            "{name:<32} {:>6} {:>8.1} µs {allowed:>6.0} ns {looked:>6.0} ns {refused:>6.0} ns",
            program.len(),
            install / 1000.0
        );
    }
}

/// A process that installs the filter and makes calls.
fn measure(program: &[Instruction]) -> Measured {
    // SAFETY: a new mapping at an address of the kernel's choice changes no other memory.
    let shared = unsafe {
        libc::mmap(
            ptr::null_mut(),
            4096,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    assert_ne!(shared, libc::MAP_FAILED, "a page can be mapped");
    let bytes: Vec<[u8; 8]> = program.iter().map(|one| one.to_bytes()).collect();
    // SAFETY: this process has one thread.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let told = in_child(&bytes);
        // SAFETY: the page is ours, aligned, and longer than that.
        unsafe { shared.cast::<Measured>().write(told) };
        // SAFETY: nothing is left to be done.
        unsafe { libc::_exit(0) };
    }
    let mut status = 0;
    // SAFETY: the status is ours.
    unsafe { libc::waitpid(pid, &raw mut status, 0) };
    assert_eq!(status, 0, "a process was ended");
    // SAFETY: the child has written it.
    let measured = unsafe { shared.cast::<Measured>().read() };
    // SAFETY: nobody uses the page any more.
    unsafe { libc::munmap(shared, 4096) };
    measured
}

fn in_child(program: &[[u8; 8]]) -> Measured {
    let filter = libc::sock_fprog {
        len: program.len() as u16,
        filter: program.as_ptr().cast_mut().cast(),
    };
    // SAFETY: the call takes numbers.
    unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    let began = Instant::now();
    if !program.is_empty() {
        // SAFETY: the kernel copies the program, which lives during the call.
        let result = unsafe {
            libc::syscall(
                libc::SYS_seccomp,
                libc::SECCOMP_SET_MODE_FILTER,
                0,
                &raw const filter,
            )
        };
        assert_eq!(result, 0, "a filter can be installed");
    }
    let installed = began.elapsed();
    let each = |call: fn() -> libc::c_long| {
        let began = Instant::now();
        for _ in 0..CALLS {
            std::hint::black_box(call());
        }
        began.elapsed().as_nanos() as f64 / f64::from(CALLS)
    };
    [
        installed.as_nanos() as f64,
        // SAFETY: the calls touch no memory.
        each(|| unsafe { libc::syscall(libc::SYS_getppid) }),
        // SAFETY: the same: no descriptor has this number.
        each(|| unsafe { libc::syscall(libc::SYS_ioctl, -1, 0, 0) }),
        // SAFETY: the same: there is no such operation.
        each(|| unsafe { libc::syscall(libc::SYS_keyctl, 9999) }),
    ]
}

/// For each call that may be made, the conditions of which one list must hold.
fn allowed(policy: &Policy, capabilities: u64) -> BTreeMap<u32, Vec<Vec<Condition>>> {
    let allows = |answer: Answer| answer.word == ALLOW || answer.unless & capabilities != 0;
    let lists = |verdict: &Verdict| {
        if allows(verdict.otherwise) {
            // What is refused of it: the others measure without, which is to their advantage.
            return Some(vec![Vec::new()]);
        }
        let rules = verdict.rules.iter().filter(|rule| allows(rule.answer));
        let lists: Vec<_> = rules.map(|rule| rule.conditions.clone()).collect();
        (!lists.is_empty()).then_some(lists)
    };
    policy
        .calls
        .iter()
        .filter_map(|(number, verdict)| Some((*number, lists(verdict)?)))
        .collect()
}

fn seccompiler(policy: &Policy, capabilities: u64) -> Vec<Instruction> {
    use seccompiler::{
        BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
        SeccompRule,
    };
    let rules = allowed(policy, capabilities)
        .into_iter()
        .map(|(number, lists)| {
            let lists = lists
                .into_iter()
                .filter(|list| !list.is_empty())
                .map(|list| {
                    let list = list.into_iter().map(|one| {
                        let op = SeccompCmpOp::MaskedEq(one.mask);
                        SeccompCondition::new(one.index, SeccompCmpArgLen::Qword, op, one.value)
                            .expect("a condition")
                    });
                    SeccompRule::new(list.collect()).expect("a rule")
                });
            (i64::from(number), lists.collect())
        });
    let arch = std::env::consts::ARCH
        .try_into()
        .expect("a machine of ours");
    let program: BpfProgram = SeccompFilter::new(
        rules.collect(),
        SeccompAction::Errno(1),
        SeccompAction::Allow,
        arch,
    )
    .and_then(TryInto::try_into)
    .expect("a filter");
    program
        .iter()
        .map(|one| Instruction {
            code: one.code,
            jt: one.jt,
            jf: one.jf,
            k: one.k,
        })
        .collect()
}

fn libseccomp(
    policy: &Policy,
    machine: Arch,
    capabilities: u64,
    arches: &str,
) -> Option<Vec<Instruction>> {
    let names: BTreeMap<u32, &str> = calls(machine)
        .map(|(name, number)| (number, name))
        .collect();
    let mut script = "import seccomp, sys\nf = seccomp.SyscallFilter(seccomp.ERRNO(1))\n\
                      def a(name, *args):\n    try: f.add_rule(seccomp.ALLOW, name, *args)\n    except RuntimeError: pass\n"
        .to_owned();
    script += arches;
    for (number, lists) in allowed(policy, capabilities) {
        for list in lists {
            let _ = write!(script, "a({:?}", names[&number]);
            for one in list {
                let _ = write!(
                    script,
                    ", seccomp.Arg({}, seccomp.MASKED_EQ, {}, {})",
                    one.index, one.mask, one.value
                );
            }
            script += ")\n";
        }
    }
    script += "f.export_bpf(sys.stdout)\n";
    let mut child = Command::new("/usr/bin/python3")
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    child.stdin.take()?.write_all(script.as_bytes()).ok()?;
    let output = child.wait_with_output().ok()?;
    let program = output.stdout.as_chunks::<8>().0;
    (output.status.success() && !program.is_empty()).then(|| {
        program
            .iter()
            .map(|one| Instruction::from_bytes(*one))
            .collect()
    })
}
