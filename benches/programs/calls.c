/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The system calls of `clonebox -- PROGRAM` as a straight C program: the least that a command which
 * makes this box, and supervises it, can take. Not a part of clonebox: benches/command.rs compiles it
 * statically, to have something to compare with. It checks nothing that it does not need. */

#define _GNU_SOURCE
#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE SYS_CHROOT SETFCAP */
#define KEPT 0x800405fbull
#define STACK (16 * 1024)

extern char **environ;

static char **command;
static struct pollfd parent;
static uint64_t bounding, ignored;
static int last_cap;
static volatile uint32_t running = 1;
static char stack[STACK] __attribute__((aligned(16)));

static void check(long result)
{
	if (result < 0)
		syscall(SYS_exit_group, 125);
}

static int child(void)
{
	struct timespec now = {0};
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	uint64_t kept = KEPT & bounding;
	struct __user_cap_data_struct sets[2] = {
		{kept, kept, 0}, {kept >> 32, kept >> 32, 0}};
	uint64_t action[4] = {0}, mask = 0;

	check(prctl(PR_SET_PDEATHSIG, SIGKILL));
	check(syscall(SYS_setsid));
	check(syscall(SYS_ppoll, &parent, 1, &now, 0, 8));
	check(syscall(SYS_keyctl, 1 /* KEYCTL_JOIN_SESSION_KEYRING */, 0));
	check(sethostname("bench-box", 9));
	check(mount(0, "/", 0, MS_REC | MS_PRIVATE, 0));
	check(mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, 0));
	check(syscall(SYS_close_range, 3, ~0u, CLOSE_RANGE_CLOEXEC));
	for (int cap = 0; cap <= last_cap; cap++)
		if (bounding & ~KEPT & 1ull << cap)
			check(prctl(PR_CAPBSET_DROP, cap));
	check(syscall(SYS_capset, &header, sets));
	check(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0));
	check(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	for (int number = 1; number <= 64; number++)
		if (ignored & 1ull << (number - 1) || number == SIGPIPE || number == SIGCHLD)
			check(syscall(SYS_rt_sigaction, number, action, 0, 8));
	check(syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, 0, 8));
	check(execve(command[0], command, environ));
	return 125;
}

static long start(int *pidfd)
{
	struct clone_args args = {
		.flags = CLONE_VM | CLONE_PIDFD | CLONE_CHILD_CLEARTID | CLONE_CLEAR_SIGHAND |
			 CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWPID,
		.pidfd = (uintptr_t)pidfd,
		.child_tid = (uintptr_t)&running,
		.exit_signal = SIGCHLD,
		.stack = (uintptr_t)stack,
		.stack_size = STACK,
	};
	long pid;
#if defined(__x86_64__)
	__asm__ volatile("syscall\n\ttest %%rax, %%rax\n\tjnz 1f\n\txor %%ebp, %%ebp\n\tcall *%3\n\tud2\n1:"
			 : "=a"(pid)
			 : "0"(SYS_clone3), "D"(&args), "r"((void *)child), "S"(sizeof args)
			 : "rcx", "r11", "memory");
#elif defined(__aarch64__)
	register long x8 __asm__("x8") = SYS_clone3;
	register long x0 __asm__("x0") = (long)&args;
	register long x1 __asm__("x1") = sizeof args;
	__asm__ volatile("svc 0\n\tcbnz x0, 1f\n\tblr %3\n\tbrk 1\n1:"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(child)
			 : "x30", "memory");
	pid = x0;
#endif
	return pid;
}

int main(int argc, char **argv)
{
	int pidfd = -1;
	siginfo_t info;
	sigset_t set;
	uint64_t mask = ~0ull, before;
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct sets[2];
	const int forwarded[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1,
				 SIGUSR2, SIGWINCH, SIGCONT, SIGTSTP, SIGCHLD};

	if (argc < 2)
		return 125;
	command = argv + 1;
	sigemptyset(&set);
	for (size_t i = 0; i < sizeof forwarded / sizeof *forwarded; i++)
		sigaddset(&set, forwarded[i]);
	int signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	sigprocmask(SIG_BLOCK, &set, 0);

	for (; last_cap < 64; last_cap++) {
		int has = prctl(PR_CAPBSET_READ, last_cap);
		if (has < 0)
			break;
		bounding |= (uint64_t)has << last_cap;
	}
	last_cap--;
	for (int number = 1; number <= 64; number++) {
		uint64_t action[4] = {0};
		if (syscall(SYS_rt_sigaction, number, 0, action, 8) == 0 && action[0] == 1)
			ignored |= 1ull << (number - 1);
	}
	parent.fd = syscall(SYS_pidfd_open, getpid(), 0);
	parent.events = POLLIN;
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, &before, 8);
	if (start(&pidfd) < 0)
		return 125;
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, 0, 8);
	while (running)
		syscall(SYS_futex, &running, FUTEX_WAIT, 1, 0, 0, 0);
	close(parent.fd);

	memset(sets, 0, sizeof sets);
	sets[0].effective = sets[0].permitted = 1u << CAP_KILL;
	for (int cap = 0; cap <= last_cap; cap++)
		prctl(PR_CAPBSET_DROP, cap);
	syscall(SYS_capset, &header, sets);

	struct pollfd fds[] = {{.fd = pidfd, .events = POLLIN}, {.fd = signals, .events = POLLIN}};
	do
		poll(fds, 2, -1);
	while (!fds[0].revents);
	syscall(SYS_waitid, P_PIDFD, pidfd, &info, WEXITED, 0);
	return info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
}
