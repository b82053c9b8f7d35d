//! Filters that answer one system call in the kernel's place, or hold it. See seccomp(2),
//! seccomp_unotify(2).

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Where the filtered process has the listener, for this one to take.
const LISTENER: RawFd = 200;
/// How long a process may take to get to the call that is held.
const PATIENCE_MS: u16 = 60_000;

nix::ioctl_readwrite!(receive, b'!', 0, libc::seccomp_notif);
nix::ioctl_readwrite!(send, b'!', 1, libc::seccomp_notif_resp);

/// A program for one call with one value of one argument (of which the low half is looked at).
fn program(call: libc::c_long, arg: u32, value: u32, action: u32) -> [libc::sock_filter; 6] {
    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let number = u32::try_from(call).expect("a small number");
    let line = |code, jf, k| libc::sock_filter { code, jt: 0, jf, k };
    [
        line(LOAD, 0, 0),
        line(EQUAL, 3, number),
        line(LOAD, 0, 16 + 8 * arg),
        line(EQUAL, 1, value),
        line(RETURN, 0, action),
        line(RETURN, 0, libc::SECCOMP_RET_ALLOW),
    ]
}

/// A program for one call, whatever its arguments.
fn whatever(call: libc::c_long, action: u32) -> [libc::sock_filter; 6] {
    let mut program = program(call, 0, 0, action);
    // Instead of the comparison of an argument: nothing is skipped.
    program[3].jf = 0;
    program
}

/// Filters the calls of this thread, and of what it becomes: the listener, if the flags ask for one.
fn install(program: &[libc::sock_filter; 6], flags: libc::c_ulong) -> io::Result<RawFd> {
    let filter = libc::sock_fprog {
        len: 6,
        filter: program.as_ptr().cast_mut(),
    };
    // SAFETY: the call takes numbers.
    Errno::result(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) })?;
    let mode = libc::SECCOMP_SET_MODE_FILTER;
    // SAFETY: the kernel copies the program, which lives during the call.
    let fd = unsafe { libc::syscall(libc::SYS_seccomp, mode, flags, &raw const filter) };
    Ok(Errno::result(fd)? as RawFd)
}

/// Makes close_range(2) what it is before Linux 5.11: it cannot mark descriptors.
pub(super) fn refuse_marking() {
    let flags = libc::CLOSE_RANGE_CLOEXEC;
    let action = libc::SECCOMP_RET_ERRNO | libc::EINVAL.cast_unsigned();
    install(&program(libc::SYS_close_range, 2, flags, action), 0).expect("a filter");
}

/// Lets a command, and all that it starts, find no open_tree(2) that makes mount namespaces, as before Linux 7.0.
pub(crate) fn refuse_new_namespaces_to(command: &mut Command) {
    /// What it is asked for without a tree to be copied as a whole: `OPEN_TREE_NAMESPACE` is 2.
    const FLAGS: u32 = 2 | (libc::O_CLOEXEC | libc::AT_EMPTY_PATH).cast_unsigned();
    let action = libc::SECCOMP_RET_ERRNO | libc::EINVAL.cast_unsigned();
    let program = program(libc::SYS_open_tree, 2, FLAGS, action);
    let filter = move || install(&program, 0).map(drop);
    // SAFETY: only system calls are made between fork(2) and execve(2).
    unsafe { command.pre_exec(filter) };
}

/// A process one of whose children is in a call that has not been made yet.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) child: Child,
    listener: OwnedFd,
    call: u64,
    /// The process that makes the call.
    pub(crate) caller: u32,
}

/// Starts a command and waits until it, or a child of it, makes this prctl(2).
pub(crate) fn hold_at(option: libc::c_int, command: Command) -> Held {
    let notify = libc::SECCOMP_RET_USER_NOTIF;
    let program = program(libc::SYS_prctl, 0, option.cast_unsigned(), notify);
    hold(program, command)
}

/// The same for a call, whatever its arguments.
pub(crate) fn hold_at_call(call: libc::c_long, command: Command) -> Held {
    hold(whatever(call, libc::SECCOMP_RET_USER_NOTIF), command)
}

fn hold(program: [libc::sock_filter; 6], mut command: Command) -> Held {
    let filter = move || {
        let fd = install(&program, libc::SECCOMP_FILTER_FLAG_NEW_LISTENER)?;
        // SAFETY: the call takes numbers.
        Errno::result(unsafe { libc::dup2(fd, LISTENER) })?;
        Ok(())
    };
    // SAFETY: only system calls are made between fork(2) and execve(2).
    let child = unsafe { command.pre_exec(filter) }
        .spawn()
        .expect("it starts");
    // SAFETY: the call takes numbers.
    let pidfd = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, child.id(), 0) });
    // SAFETY: the descriptor is new and nobody else's.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd.expect("a child") as RawFd) };
    // SAFETY: the call takes numbers.
    let copy = unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), LISTENER, 0) };
    let copy = Errno::result(copy).expect("its listener");
    // SAFETY: the descriptor is new and nobody else's.
    let listener = unsafe { OwnedFd::from_raw_fd(copy as RawFd) };
    let (call, caller) = wait_for_call(&listener);
    Held {
        child,
        listener,
        call,
        caller,
    }
}

/// The number of the next call that is held, and who makes it.
fn wait_for_call(listener: &OwnedFd) -> (u64, u32) {
    next_call(listener, PATIENCE_MS).expect("somebody makes the call")
}

/// The same, if there is one within a time.
fn next_call(listener: &OwnedFd, patience_ms: u16) -> Option<(u64, u32)> {
    let mut polled = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
    let ready = poll(&mut polled, PollTimeout::from(patience_ms));
    if ready != Ok(1) || !polled[0].revents()?.contains(PollFlags::POLLIN) {
        return None;
    }
    // SAFETY: zeros are a valid structure.
    let mut call: libc::seccomp_notif = unsafe { std::mem::zeroed() };
    // SAFETY: the structure is ours, and zeroed as the kernel demands.
    unsafe { receive(listener.as_raw_fd(), &raw mut call) }.ok()?;
    Some((call.id, call.pid))
}

impl Held {
    /// Lets the kernel make the call, and waits for the next.
    pub(crate) fn next(&mut self) {
        self.answer();
        (self.call, self.caller) = wait_for_call(&self.listener);
    }

    /// Lets the kernel make all calls, until the command ends: whether it succeeds.
    pub(crate) fn finish(mut self) -> bool {
        const PAUSE_MS: u16 = 20;
        loop {
            // A call that a signal has interrupted is made once more.
            let _ = self.try_answer();
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status.success();
            }
            match next_call(&self.listener, PAUSE_MS) {
                Some(call) => (self.call, self.caller) = call,
                None => thread::sleep(Duration::from_millis(PAUSE_MS.into())),
            }
        }
    }

    /// Lets the kernel make the call.
    pub(crate) fn let_go(self) {
        self.answer();
    }

    fn answer(&self) {
        self.try_answer().expect("a call that waits");
    }

    fn try_answer(&self) -> nix::Result<i32> {
        let mut answer = libc::seccomp_notif_resp {
            id: self.call,
            val: 0,
            error: 0,
            flags: libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32,
        };
        // SAFETY: the structure is ours.
        unsafe { send(self.listener.as_raw_fd(), &raw mut answer) }
    }
}

/// Answers a call with an error, whatever its arguments.
pub(super) fn refuse(call: libc::c_long, errno: i32) {
    let action = libc::SECCOMP_RET_ERRNO | errno.cast_unsigned();
    install(&whatever(call, action), 0).expect("a filter");
}

/// Lets a command, and all that it starts, do without a system call.
pub(crate) fn refuse_to(command: &mut Command, call: libc::c_long, errno: Errno) {
    let filter = move || {
        refuse(call, errno as i32);
        Ok(())
    };
    // SAFETY: only system calls are made between fork(2) and execve(2).
    unsafe { command.pre_exec(filter) };
}
