// SPDX-License-Identifier: MIT OR Apache-2.0
//! What each option does, at length: for the manual page and `clonebox help --OPTION`. The short form is the
//! comment in `args.rs`.

/// An option at length.
#[derive(Clone, Copy, Debug)]
pub(super) struct Text {
    /// With its two dashes.
    pub(super) long: &'static str,
    /// What stands for its value: words with `|` between them are all there are; `DIR` and `FILE` are paths;
    /// empty if it takes none.
    pub(super) value: &'static str,
    /// Whole sentences.
    pub(super) text: &'static str,
}

const fn text(long: &'static str, value: &'static str, text: &'static str) -> Text {
    Text { long, value, text }
}

/// One for each option of `args.rs`.
pub(super) const ALL: &[Text] = &[
    text(
        "--profile",
        "shell|build|untrusted",
        "Stands for options that belong together: shell, for a shell with processes and temporary files of its own; build, for compiling the working directory without network; untrusted, for programs that you do not trust. Later words win. clonebox help profiles has them all. May be repeated.",
    ),
    text(
        "--config",
        "FILE",
        "Stands for the options in a file in TOML: their names without dashes, as in net = \"none\", read-only = true, tmpfs = [\"/tmp\", \"/run\"], profile = \"build\". false takes back what was said before. Later words win. clonebox config writes such a file. May be repeated.",
    ),
    text(
        "--name",
        "NAME",
        "Names the box: letters, digits, underscores, points and dashes, at most 64. Without it the name is random. The name is also the host name unless --hostname sets another.",
    ),
    text(
        "--hostname",
        "NAME",
        "Sets the host name inside, 1 to 64 bytes.",
    ),
    text(
        "--env",
        "NAME[=VALUE]",
        "Sets a variable of the environment. NAME alone passes the caller's value on, if there is one. May be repeated; it wins over --env-file.",
    ),
    text(
        "--env-file",
        "FILE",
        "Reads variables from a file: lines of NAME=VALUE, taken to the letter; NAME alone passes the caller's value on; empty lines and lines that begin with # are left out. May be repeated.",
    ),
    text("--env-clear", "", "Leaves the caller's environment out."),
    text(
        "--workdir",
        "DIR",
        "Sets the working directory: an absolute path inside. Without it, it is the caller's, or / with a root filesystem.",
    ),
    text(
        "--user",
        "USER[:GROUP]",
        "Runs the program as this user, by number or by a name in the box's own /etc/passwd, which also tells the groups and HOME.",
    ),
    text(
        "--umask",
        "OCTAL",
        "Sets the file mode creation mask, 000 to 777.",
    ),
    text(
        "--ulimit",
        "NAME=SOFT[:HARD]",
        "Sets a resource limit, as in nofile=1024:4096; unlimited is one. See setrlimit(2). May be repeated.",
    ),
    text("--nice", "N", "Sets the nice value, -20 to 19."),
    text(
        "--oom-score-adj",
        "N",
        "Sets what is added to the program's badness when memory runs out, -1000 to 1000.",
    ),
    text(
        "--fd",
        "N",
        "Passes descriptor N of the caller on, under the same number. All others from 3 on are closed. May be repeated.",
    ),
    text(
        "--tty",
        "auto|new|inherit|none",
        "Chooses the terminal. new makes one, which clonebox relays; inherit leaves the caller's, with the box in the foreground; none leaves standard streams alone, in a session without terminal; auto is new if standard input is a terminal, and none otherwise.",
    ),
    text(
        "--init",
        "",
        "Puts a tiny PID 1 into the box, which forwards signals and reaps orphans.",
    ),
    text(
        "--rootfs",
        "DIR",
        "Makes DIR the root of the box. What the box writes there stays there. system is the programs of the host, read-only, in a root in memory; ./system is a directory of that name. Mount points that are missing are made.",
    ),
    text(
        "--rootfs-overlay",
        "DIR",
        "Makes DIR the root of the box and leaves it as it is: what the box writes goes with it.",
    ),
    text(
        "--upper",
        "DIR",
        "With --rootfs-overlay: keeps what the box writes in DIR, where the next box finds it.",
    ),
    text(
        "--template",
        "NAME",
        "Starts a box of the template that clonebox template create has made: its options come before those given here, and its mounts are there already. What is given here may be anything but other mounts.",
    ),
    text(
        "--read-only",
        "",
        "Makes the root filesystem read-only. Mounts in it are as they say themselves.",
    ),
    text(
        "--volume",
        "SRC:DST[:OPTIONS]",
        "Mounts the file or directory SRC of the host on DST. OPTIONS, with commas between them, are ro, nosuid, nodev, noexec, bind, rslave and their opposites, and idmap: its files have inside the ids that they have on the disk. Its devices can be used unless nodev is said. May be repeated; mounts are made in the order in which they are given.",
    ),
    text(
        "--ro-bind",
        "SRC[:DST]",
        "Mounts SRC on DST, or on the same path, read-only. May be repeated.",
    ),
    text(
        "--dev-bind",
        "SRC[:DST]",
        "Mounts SRC on DST, or on the same path: bubblewrap's word for the same as --volume, in which devices can be used too, as with docker. May be repeated.",
    ),
    text(
        "--bind-try",
        "SRC[:DST]",
        "Mounts SRC on DST, or on the same path, if there is an SRC. May be repeated.",
    ),
    text(
        "--tmpfs",
        "DST[:OPTIONS]",
        "Mounts an empty filesystem in memory on DST. OPTIONS are size=64m, mode=1777, ro, noexec. May be repeated.",
    ),
    text(
        "--mount",
        "WORDS",
        "Mounts in docker's words: type=bind,src=SRC,dst=DST,ro, or another type: tmpfs, overlay (with lowerdir=, upperdir=, workdir=), proc, sysfs, devpts, mqueue. May be repeated.",
    ),
    text(
        "--file",
        "FD:DST",
        "Makes a file at DST that holds what can be read from descriptor FD. May be repeated.",
    ),
    text(
        "--proc",
        "private|off",
        "Chooses whether /proc is one of the box's own.",
    ),
    text(
        "--dev",
        "minimal|host|none",
        "Chooses what a root filesystem has in /dev: null, zero, full, random, urandom, tty and a devpts of its own; what the host has; or what is there.",
    ),
    text(
        "--memory",
        "SIZE",
        "Limits memory, as in 64m or 1.5g. A box that needs more is killed, and clonebox says so.",
    ),
    text(
        "--memory-reservation",
        "SIZE",
        "Leaves that much memory to the box as long as there is other to be had.",
    ),
    text(
        "--memory-swap",
        "SIZE",
        "Limits memory and swap together; -1 does not limit swap.",
    ),
    text(
        "--cpus",
        "N",
        "Limits the time of processors, as in 1.5: from 0.01 on.",
    ),
    text(
        "--cpu-shares",
        "N",
        "Sets the share of the processors where they are not enough for all, on docker's scale: 2 to 262144; 1024 is usual.",
    ),
    text(
        "--cpu-weight",
        "N",
        "Sets the share of the processors where they are not enough for all, 1 to 10000; 100 is usual.",
    ),
    text(
        "--cpuset-cpus",
        "LIST",
        "Chooses the processors that may be used, as in 0-2,4.",
    ),
    text(
        "--cpuset-mems",
        "LIST",
        "Chooses the memory nodes that may be used, as in 0-2,4.",
    ),
    text("--pids-limit", "N", "Limits processes and threads."),
    text(
        "--io-weight",
        "N",
        "Sets the share of disks whose scheduler is bfq, or that io.cost controls: 1 to 10000; 100 is usual.",
    ),
    text(
        "--device-read-bps",
        "DEVICE:RATE",
        "Limits the bytes a second that are read from a block device, as in /dev/sda:1m. May be repeated.",
    ),
    text(
        "--device-write-bps",
        "DEVICE:RATE",
        "Limits the bytes a second that are written to a block device. May be repeated.",
    ),
    text(
        "--device-read-iops",
        "DEVICE:RATE",
        "Limits the reads a second from a block device. May be repeated.",
    ),
    text(
        "--device-write-iops",
        "DEVICE:RATE",
        "Limits the writes a second to a block device. May be repeated.",
    ),
    text(
        "--cgroup-conf",
        "FILE=VALUE",
        "Writes VALUE to a file of the box's cgroup, as in memory.high=32m. May be repeated.",
    ),
    text(
        "--cgroup-parent",
        "PATH",
        "Makes the box's cgroup in this one: a path below the root of its hierarchy.",
    ),
    text(
        "--best-effort-limits",
        "",
        "Goes on without the limits for which there is no controller here, or no cgroup that you may make, and names them.",
    ),
    text(
        "--pid",
        "private|host",
        "Chooses the PID namespace: with one of its own, the default, the program is PID 1.",
    ),
    text(
        "--uts",
        "private|host",
        "Chooses the UTS namespace, which has the host name. The default is private.",
    ),
    text(
        "--ipc",
        "private|host",
        "Chooses the IPC namespace. The default is host.",
    ),
    text(
        "--net",
        "none|pasta|host|container:NAME|PATH",
        "Chooses the network. none is one of its own with nothing but loopback, which is up. pasta is one of its own that pasta(1), of the package passt, connects to the host's, without privileges; -p opens ports. container:NAME is that of a box that runs, and PATH, or ns:PATH, the one that a file stands for, such as /run/netns/web: both are for root, and for boxes without a user namespace. The default is host.",
    ),
    text(
        "--publish",
        "[ADDRESS:]HOST:BOX[/udp]",
        "Opens a port of the host that leads to one of the box, with --net pasta: on an address of the host, or else on all of them. May be repeated.",
    ),
    text(
        "--cgroupns",
        "private|host",
        "Chooses the cgroup namespace. The default is host.",
    ),
    text(
        "--userns",
        "auto|keep-id|nomap|host",
        "Chooses whether there is a user namespace, and whose ids it has. auto: an ordinary user is root, with the subordinate ids of /etc/subuid and /etc/subgid, and root is nobody of the host, with those of clonebox, root or containers there, or 65536 ids from 1879048192 on. keep-id: the caller's ids are the same as outside. nomap: the caller has none. host: none. Without it there is one if the caller may not make the other namespaces without, and the caller is alone in it.",
    ),
    text(
        "--uidmap",
        "CONTAINER:HOST:SIZE",
        "Gives the user namespace these user ids instead; the group ids are the same unless --gidmap gives others. May be repeated.",
    ),
    text(
        "--gidmap",
        "CONTAINER:HOST:SIZE",
        "The same for group ids. May be repeated.",
    ),
    text(
        "--time-offset",
        "SECONDS",
        "Shifts the clocks that count from the boot: both, or as in monotonic=SECONDS,boottime=SECONDS.",
    ),
    text(
        "--cap-add",
        "CAP",
        "Keeps a capability besides the eleven: a name with or without CAP_, or ALL. May be repeated.",
    ),
    text(
        "--cap-drop",
        "CAP",
        "Drops one of the eleven capabilities, or ALL. May be repeated.",
    ),
    text(
        "--seccomp",
        "FILE",
        "Chooses the filter of system calls: default, the one that boxes with a user namespace or a root filesystem have anyway; off, none; or a file, which is a BPF program if its name ends with .bpf, and otherwise a profile in JSON as of OCI or docker. Which call a program was killed for, is told where the kernel's log can be read. See seccomp(2).",
    ),
    text(
        "--seccomp-log",
        "",
        "Has the kernel log the calls that the filter refuses.",
    ),
    text(
        "--seccomp-trace",
        "",
        "Makes the calls that the filter refuses, and prints at the end which they were. Such a box is not confined: it is for finding out what a program needs.",
    ),
    text(
        "--seccomp-allow-arch",
        "x86|arm",
        "Filters programs of the machine's 32-bit architecture as others. Without it every call of theirs fails.",
    ),
    text(
        "--allow-new-privs",
        "",
        "Lets execve grant privileges, so that set-user-id programs have their effect.",
    ),
    text(
        "--ll-ro",
        "FILE",
        "Restricts the box's files by Landlock: what is at or below this path can be read. May be repeated.",
    ),
    text(
        "--ll-exec",
        "FILE",
        "The same: what is at or below this path can be read and executed. May be repeated.",
    ),
    text(
        "--ll-rw",
        "FILE",
        "The same: what is at or below this path can be read and written. May be repeated.",
    ),
    text(
        "--ll-strict",
        "",
        "Fails if the kernel's Landlock can restrict only a part of what is asked for.",
    ),
    text(
        "--ll-connect",
        "PORT",
        "Restricts the box to TCP connections to this port, by Landlock. May be repeated.",
    ),
    text(
        "--ll-bind",
        "PORT",
        "Restricts the box to TCP servers on this port, by Landlock. May be repeated.",
    ),
    text(
        "--disable-userns",
        "",
        "Lets nobody make user namespaces inside.",
    ),
    text(
        "--keyring",
        "private|host",
        "Chooses the session keyring: one of the box's own, the default, or the caller's.",
    ),
    text(
        "--security-opt",
        "WORD",
        "Takes docker's words: no-new-privileges[=false], systempaths=unconfined, mask=PATH, unmask=PATH or ALL, seccomp=unconfined or FILE, apparmor=unconfined, label=disable. May be repeated.",
    ),
    text("--survive", "", "Lets the box live on when clonebox dies."),
    text(
        "--detach",
        "bare",
        "Returns when the program runs, and prints the name of the box, which goes on. A process stays with it \
         that keeps what it writes in a log (clonebox logs), lets others in (clonebox attach) and sees its end; the box dies \
         with it. With bare nobody stays: the box is on its own, and its standard streams are /dev/null.",
    ),
    text(
        "--log-size",
        "SIZE",
        "How much is kept of what a detached box writes; 2 MiB without it. What is older is forgotten.",
    ),
    text(
        "--timeout",
        "TIME",
        "Kills the box after this time, as in 10, 1.5s, 200ms, 2m or 1h. The exit code is then 124.",
    ),
    text(
        "--start-timeout",
        "TIME",
        "Gives up if the program has not been executed by then.",
    ),
    text(
        "--quiet",
        "",
        "Says nothing of its own but errors: neither of limits that --best-effort-limits leaves out nor of signals that the command ignores.",
    ),
    text(
        "--explain",
        "json",
        "Prints the plan, call by call with who asked for it, and does nothing. The value is optional.",
    ),
    text(
        "--timings",
        "FILE",
        "Prints how long each step took, or writes it to FILE. The value is optional.",
    ),
    text(
        "--report",
        "FILE",
        "Writes JSON about the end of the box to a file, or to a descriptor of this number.",
    ),
];

/// The text of an option, if there is one.
pub(super) fn find(long: &str) -> Option<&'static Text> {
    ALL.iter().find(|text| text.long == long)
}
