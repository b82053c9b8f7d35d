# The system calls that a box may make unless it is told otherwise. docs/seccomp.md has the reasons.
#
# A line that begins in the first column says what is done with the calls that are named below it:
#
#   allow                       they are made
#   allow if CAP_X or CAP_Y     they are made if the box keeps one of these capabilities
#   allow where CONDITION       they are made if all conditions hold, which are joined by `and`
#   refuse ERRNO [where ...]    the kernel answers with this error
#
# A condition is `argN == NUMBER` or `argN & MASK == NUMBER`; `argN:32` is the low half of argument N, which is all that
# the kernel reads of an int. Sections with conditions are tried first, in their order; then those without.

# Everything else: EPERM. What the profile cannot know because it is newer, or has no name: ENOSYS, so that a C library
# falls back on what is older. The same for other architectures: as if the kernel did not have them.
otherwise EPERM
unknown ENOSYS

# Files and directories.
allow
    access chdir chmod chown chown32 close close_range creat dup dup2 dup3 faccessat faccessat2 fchdir fchmod fchmodat
    fchmodat2 fchown fchown32 fchownat fcntl fcntl64 fstat fstat64 fstatat64 fstatfs fstatfs64 ftruncate ftruncate64
    getcwd getdents getdents64 lchown lchown32 link linkat lstat lstat64 mkdir mkdirat mknod mknodat name_to_handle_at
    newfstatat open openat openat2 readlink readlinkat rename renameat renameat2 rmdir stat stat64 statfs statfs64 statx
    symlink symlinkat truncate truncate64 umask unlink unlinkat
    file_getattr file_setattr fgetxattr flistxattr fremovexattr fsetxattr getxattr getxattrat lgetxattr listxattr
    listxattrat llistxattr lremovexattr lsetxattr removexattr removexattrat setxattr setxattrat
    futimesat utime utimensat utimensat_time64 utimes
    inotify_add_watch inotify_init inotify_init1 inotify_rm_watch fanotify_mark
    listmount statmount

# Reading and writing.
allow
    _llseek copy_file_range fadvise64 fadvise64_64 fallocate fdatasync flock fsync lseek pread64 preadv preadv2 pwrite64
    pwritev pwritev2 read readahead readv sendfile sendfile64 splice sync sync_file_range syncfs tee vmsplice write writev
    io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit
    _newselect epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd eventfd2 pipe pipe2 poll
    ppoll ppoll_time64 pselect6 pselect6_time64 select

# Memory.
allow
    brk cachestat madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock mlock2 mlockall mmap mmap2
    mprotect mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect remap_file_pages

# Processes, threads, scheduling.
allow
    execve execveat exit exit_group fork vfork wait4 waitid waitpid
    futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake get_robust_list get_thread_area restart_syscall rseq
    rseq_slice_yield set_robust_list set_thread_area set_tid_address arch_prctl modify_ldt
    getpgid getpgrp getpid getppid getsid gettid setpgid setsid pidfd_open pidfd_send_signal process_mrelease
    getcpu getpriority getrlimit getrusage ioprio_get ioprio_set prlimit64 sched_get_priority_max sched_get_priority_min
    sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64
    sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield setpriority setrlimit ugetrlimit
    prctl seccomp landlock_add_rule landlock_create_ruleset landlock_restrict_self lsm_get_self_attr lsm_list_modules

# Debuggers: since Linux 4.8 a filter sees what a tracer has changed, and which processes can be traced is for other
# rules of the kernel to say.
allow
    process_vm_readv process_vm_writev ptrace uprobe uretprobe

# Signals.
allow
    kill pause rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait
    rt_sigtimedwait_time64 rt_tgsigqueueinfo sigaltstack signalfd signalfd4 sigprocmask sigreturn tgkill tkill

# Users and groups. What they may change is for capabilities to say.
allow
    capget capset getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getresgid getresgid32 getresuid
    getresuid32 getuid getuid32 setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setregid
    setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setuid setuid32

# Time.
allow
    adjtimex alarm clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64
    clock_nanosleep clock_nanosleep_time64 getitimer gettimeofday nanosleep setitimer time timer_create timer_delete
    timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime
    timerfd_gettime64 timerfd_settime timerfd_settime64 times

# System V and POSIX communication.
allow
    ipc mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink
    msgctl msgget msgrcv msgsnd semctl semget semop semtimedop semtimedop_time64 shmat shmctl shmdt shmget

# The system: what it is, and chance.
allow
    getrandom sysinfo uname

# Sockets. The families that programs of a box need: AF_UNIX, AF_INET, AF_INET6, AF_NETLINK, and AF_PACKET, which needs
# CAP_NET_RAW anyway. The others reach the hypervisor (AF_VSOCK), the kernel's cryptography (AF_ALG) or a protocol that
# hardly anybody has looked at, whose module the kernel loads for whoever asks.
allow
    accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg recvmmsg_time64 recvmsg
    send sendmmsg sendmsg sendto setsockopt shutdown socketcall
allow where arg0:32 == 1
    socket socketpair
allow where arg0:32 == 2
    socket socketpair
allow where arg0:32 == 10
    socket socketpair
allow where arg0:32 == 16
    socket socketpair
allow where arg0:32 == 17
    socket socketpair
refuse EAFNOSUPPORT
    socket socketpair

# TIOCSTI pushes input into a terminal, TIOCLINUX does on a console (CVE-2017-5226). The kernel reads 32 bits: a compare
# of 64 could be passed by (CVE-2019-10063).
refuse EPERM where arg1:32 == 0x5412
    ioctl
refuse EPERM where arg1:32 == 0x541c
    ioctl
allow
    ioctl

# New namespaces (CLONE_NEWUSER and its kin) need CAP_SYS_ADMIN in the box. The flags of clone3 are in memory, which a
# filter cannot read: where it is missing a C library takes clone.
allow where arg0 & 0x7e020000 == 0
    clone
allow where arg0:32 & 0x7e020080 == 0
    unshare
refuse ENOSYS
    clone3

# personality: PER_LINUX, PER_LINUX32, both with UNAME26, and the question for what it is.
allow where arg0:32 == 0
    personality
allow where arg0:32 == 8
    personality
allow where arg0:32 == 0x20000
    personality
allow where arg0:32 == 0x20008
    personality
allow where arg0:32 == 0xffffffff
    personality

# AArch32's own.
allow
    arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush get_tls set_tls

# What a capability is for.
allow if CAP_SYS_ADMIN
    clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount mount_setattr move_mount open_tree
    open_tree_attr pivot_root quotactl quotactl_fd setdomainname sethostname setns umount umount2 unshare
allow if CAP_SYS_ADMIN or CAP_BPF
    bpf
allow if CAP_SYS_ADMIN or CAP_PERFMON
    perf_event_open
allow if CAP_SYS_ADMIN or CAP_SYSLOG
    syslog
allow if CAP_DAC_READ_SEARCH
    open_by_handle_at
allow if CAP_SYS_BOOT
    reboot
allow if CAP_SYS_CHROOT
    chroot
allow if CAP_SYS_MODULE
    delete_module finit_module init_module
allow if CAP_SYS_NICE
    get_mempolicy mbind set_mempolicy set_mempolicy_home_node
allow if CAP_SYS_PACCT
    acct
allow if CAP_SYS_PTRACE
    kcmp pidfd_getfd process_madvise
allow if CAP_SYS_RAWIO
    ioperm iopl
allow if CAP_SYS_TIME
    clock_settime clock_settime64 settimeofday stime
allow if CAP_SYS_TTY_CONFIG
    vhangup
