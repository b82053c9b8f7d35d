//! Probes about filters of system calls.

#![expect(
    clippy::print_stdout,
    reason = "a probe is a program of its own, which prints what it sees"
)]

use std::ffi::OsString;
use std::ptr;
use std::sync::atomic::{AtomicI64, Ordering};

use clonebox_seccomp::{
    ALLOW, Answer, Arch, Data, Instruction, calls, compile, default_profile, errno, run as answer,
};
use nix::errno::Errno;
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

/// Answers a probe of this file: whether there is one of that name.
pub(super) fn run(what: &str, words: &[OsString]) -> bool {
    match what {
        "calls" => words
            .iter()
            .for_each(|word| println!("{}", call(text(word)))),
        "i386" => println!("{}", getpid_of_i386()),
        "against-the-kernel" => against_the_kernel(),
        _ => return false,
    }
    true
}

fn text(word: &OsString) -> &str {
    word.to_str().expect("UTF-8")
}

/// Makes a call, which is a number and arguments with commas between them: `fine`, or the errno.
fn call(word: &str) -> String {
    let mut words = word.split(',').map(|word| word.parse().expect("a number"));
    let number = words.next().expect("a number");
    let args: [u64; 6] = std::array::from_fn(|_| words.next().unwrap_or(0));
    match make(number, args) {
        0.. => "fine".to_owned(),
        error => format!("{:?}", Errno::from_raw(-error as i32)),
    }
}

/// The result, or -errno.
fn make(number: u64, [a, b, c, d, e, f]: [u64; 6]) -> i64 {
    // SAFETY: whoever asks for a call wants what it does; pointers are not valid ones.
    let result = unsafe { libc::syscall(number.cast_signed(), a, b, c, d, e, f) };
    if result < 0 {
        -(Errno::last_raw() as i64)
    } else {
        result
    }
}

/// getpid(2) as a program of i386 asks for it: the result.
fn getpid_of_i386() -> i64 {
    #[cfg(target_arch = "x86_64")]
    {
        let mut result: i64 = 20;
        // SAFETY: a call without arguments, which touches no memory.
        unsafe {
            std::arch::asm!("int 0x80", inout("rax") result, out("r8") _, out("r9") _, out("r10") _, out("r11") _);
        };
        i64::from(result as i32)
    }
    #[cfg(not(target_arch = "x86_64"))]
    -38
}

/// What the default filter answers instead of allowing a call, so that none is made.
const INSTEAD: u16 = 200;

/// Lets a process make every call under the default filter, with arguments at every border, and compares what
/// the kernel answers with what the test's interpreter does.
fn against_the_kernel() {
    let machine = Arch::named(std::env::consts::ARCH).expect("a machine of ours");
    let profile = default_profile().expect("a good profile");
    let program =
        compile(&[profile.policy(machine)], Answer::always(errno(38))).expect("it is short");
    let exit = calls(machine)
        .find(|(name, _)| *name == "exit_group")
        .expect("a call")
        .1;
    let mut compared = 0;
    for capabilities in [0, clonebox::CapabilitySet::DEFAULT.0, u64::MAX] {
        let op = |code, jt, jf, k| Instruction { code, jt, jf, k };
        // exit_group is allowed, for the end.
        let mut code = vec![
            op(0x20, 0, 0, 0),
            op(0x15, 0, 1, exit),
            op(0x06, 0, 0, ALLOW),
        ];
        code.extend(
            program
                .resolve(capabilities)
                .into_iter()
                .map(|one| match (one.code, one.k) {
                    (0x06, ALLOW) => op(0x06, 0, 0, errno(INSTEAD)),
                    _ => one,
                }),
        );
        let asked = questions(machine, exit);
        let answers = ask_the_kernel(&code, &asked);
        for ((number, args), kernel) in asked.iter().zip(answers) {
            let data = Data {
                nr: *number as u32,
                arch: machine.audit(),
                instruction_pointer: 0,
                args: *args,
            };
            let ours = i64::from(answer(&code, &data).expect("an answer") & 0xffff);
            assert_eq!(-kernel, ours, "{number} {args:x?}");
            compared += 1;
        }
    }
    println!(
        "{}",
        if compared > 20_000 {
            "equal"
        } else {
            "too few"
        }
    );
}

fn questions(machine: Arch, exit: u32) -> Vec<(u64, [u64; 6])> {
    let beyond = [1000, 0x4000_0000 - 1, 0x4000_0000, 0x4000_0001, 0x7fff_ffff];
    // Those two come from trampolines of the kernel's own: no filter sees them, and made by hand they end the
    // process.
    let probes = calls(machine).filter(|(name, _)| ["uprobe", "uretprobe"].contains(name));
    let mut unseen: Vec<u64> = probes.map(|(_, number)| number.into()).collect();
    unseen.push(exit.into());
    let numbers = (0..520)
        .filter(|number| !unseen.contains(number))
        .chain(beyond);
    let with_arguments = [
        "clone",
        "unshare",
        "ioctl",
        "socket",
        "socketpair",
        "personality",
    ];
    let watched: Vec<u64> = calls(machine)
        .filter(|(name, _)| with_arguments.contains(name))
        .map(|(_, number)| number.into())
        .collect();
    let mut values = vec![0, 1, 8, 17, 38, 40, u64::MAX, 0xffff_ffff];
    for value in [
        0x5412,
        0x541c,
        0x2_0000,
        0x2_0008,
        0x1000_0000,
        0x7e02_0000,
        0x7e02_0080,
        0x80,
    ] {
        values.extend([
            value - 1,
            value,
            value + 1,
            value | 1 << 32,
            value | 0xdead_beef << 32,
        ]);
    }
    let mut asked = Vec::new();
    for number in numbers {
        asked.push((number, [0; 6]));
        asked.push((number, [u64::MAX; 6]));
        let values = values.iter().filter(|_| watched.contains(&number));
        for &value in values {
            for index in 0..6 {
                for rest in [0, u64::MAX, 1 << 32, 1] {
                    let mut args = [rest; 6];
                    args[index] = value;
                    asked.push((number, args));
                }
            }
        }
    }
    asked
}

/// A process that installs the filter and makes the calls: what each returned.
fn ask_the_kernel(code: &[Instruction], asked: &[(u64, [u64; 6])]) -> Vec<i64> {
    let length = asked.len() * 8;
    let (protection, flags) = (
        libc::PROT_READ | libc::PROT_WRITE,
        libc::MAP_SHARED | libc::MAP_ANONYMOUS,
    );
    // SAFETY: a new mapping at an address of the kernel's choice changes no other memory.
    let memory = unsafe { libc::mmap(ptr::null_mut(), length, protection, flags, -1, 0) };
    assert_ne!(memory, libc::MAP_FAILED, "memory");
    // SAFETY: the mapping is zeroed, aligned and so long, and stays.
    let told: &[AtomicI64] = unsafe { std::slice::from_raw_parts(memory.cast(), asked.len()) };
    let bytes: Vec<[u8; 8]> = code.iter().map(|one| one.to_bytes()).collect();
    let filter = libc::sock_fprog {
        len: code.len() as u16,
        filter: bytes.as_ptr().cast_mut().cast(),
    };
    // SAFETY: this process has one thread; its copy makes system calls only.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        // SAFETY: the call takes numbers.
        unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
        // SAFETY: the kernel copies the program, which lives during the call.
        let installed = unsafe {
            libc::syscall(
                libc::SYS_seccomp,
                libc::SECCOMP_SET_MODE_FILTER,
                0,
                &raw const filter,
            )
        };
        for ((number, args), told) in asked.iter().zip(told) {
            told.store(make(*number, *args), Ordering::Relaxed);
        }
        // SAFETY: nothing is left to be done.
        unsafe { libc::_exit(installed as i32) };
    }
    let status = waitpid(Pid::from_raw(pid), None).expect("a child");
    assert_eq!(
        status,
        nix::sys::wait::WaitStatus::Exited(Pid::from_raw(pid), 0)
    );
    told.iter().map(|one| one.load(Ordering::Relaxed)).collect()
}
