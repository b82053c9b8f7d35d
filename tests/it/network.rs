//! The network: joined, or connected by pasta(1), whose life is tied to the box's.
//!
//! Most tests of that have a pasta of their own, a script, so that they need no device and no network.

use std::fs;
use std::io::Read;
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};

use crate::support::clonebox::run;
use crate::support::processes::{eventually, marked, marker};
use crate::support::state::State;
use crate::support::talk::Talk;
use crate::support::{Clonebox, files, probe, run_probe, tests};

/// Says that the network is connected, and stays: nobody ever writes to the pipe.
const CONNECTS: &str = "echo $$ >/proc/self/fd/2\nread line <DIRECTORY/pipe";

/// A script in the place of pasta.
struct Fake {
    directory: tempfile::TempDir,
    path: String,
}

impl Fake {
    fn new(script: &str) -> Self {
        let directory = files::directory();
        mkfifo(&directory.path().join("pipe"), Mode::S_IRWXU).expect("a pipe");
        let shown = directory.path().display().to_string();
        let script = format!("#!/bin/sh\n{}\n", script.replace("DIRECTORY", &shown));
        let path = files::executable(directory.path(), "pasta", script.into_bytes());
        Self {
            path: path.display().to_string(),
            directory,
        }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A run that finds it first.
    fn clonebox(&self, options: &[&str]) -> Clonebox {
        let path = format!("{}:/usr/bin:/bin", self.path().display());
        let clonebox = Clonebox::new().env("PATH", path);
        clonebox.args(["--net", "pasta"]).args(options)
    }

    /// It, and what ends it: both have its path on their command lines.
    fn processes(&self) -> Vec<u32> {
        marked(&self.path)
    }

    /// Both have their command lines, a little after they are known to run.
    #[track_caller]
    fn runs(&self) {
        let both = eventually(|| self.processes().len() == 2);
        assert!(both, "{:?}", self.processes());
    }

    /// It alone.
    fn process(&self) -> u32 {
        let ties = marked("tie");
        let mut found = self.processes().into_iter();
        let script = found.find(|pid| !ties.contains(pid));
        script.expect("it runs")
    }

    #[track_caller]
    fn is_gone(&self) {
        let gone = eventually(|| self.processes().is_empty());
        assert!(gone, "{:?}", self.processes());
    }
}

/// A port that nobody uses at this moment.
fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("an address");
    listener.local_addr().expect("an address").port()
}

/// What somebody says who listens there, as soon as somebody does.
fn greeting(port: u16) -> String {
    let mut said = String::new();
    let heard = eventually(|| {
        said.clear();
        let connected = TcpStream::connect((Ipv4Addr::LOCALHOST, port));
        connected.is_ok_and(|mut stream| stream.read_to_string(&mut said).is_ok())
            && !said.is_empty()
    });
    assert!(heard, "nobody says anything");
    said
}

tests! {
    fn a_box_with_pasta_starts_when_its_network_is_connected() needs [Box] {
        let fake = Fake::new(CONNECTS);
        fake.clonebox(&[]).probe(["pid"]).run().succeeds().prints("1\n").says_nothing_else();
        fake.is_gone();
    }

    fn detach_does_not_return_before_the_program_is_executed() needs [Box] {
        let fake = Fake::new(&format!("until test -e DIRECTORY/go; do sleep 0.02; done\n{CONNECTS}"));
        let (state, marker) = (State::new(), marker("executed"));
        let command = fake.clonebox(&["-d", "--name", "web"]).env(State::VARIABLE, state.path());
        let mut command = command.probe(["stay", &marker]).start();
        assert!(eventually(|| state.is("web", "starting")));
        assert!(eventually(|| !fake.processes().is_empty()));
        std::thread::sleep(Duration::from_millis(100));
        assert!(!command.has_ended() && state.is("web", "starting"));
        fs::write(fake.path().join("go"), "").expect("it is ours");
        command.end().succeeds().prints("web\n");
        assert!(state.is("web", "running"));
        state.run(&["rm", "-f", "web"]).succeeds();
        fake.is_gone();
    }

    fn pasta_is_given_the_network_namespace_of_the_box() needs [Box] {
        let fake = Fake::new(&format!("readlink /proc/self/fd/0 >DIRECTORY/net\n{CONNECTS}"));
        let inside = fake.clonebox(&[]).probe(["links", "/proc/self/ns/net"]).run().succeeds().stdout();
        assert_eq!(fs::read_to_string(fake.path().join("net")).expect("it was written"), inside);
        assert!(inside.starts_with("net:["), "{inside}");
    }

    fn pasta_hears_every_signal() needs [Box] {
        let fake = Fake::new(&format!("grep SigBlk /proc/self/status >DIRECTORY/mask\n{CONNECTS}"));
        fake.clonebox(&[]).probe(["pid"]).run().succeeds();
        let mask = fs::read_to_string(fake.path().join("mask")).expect("it was written");
        assert_eq!(mask, "SigBlk:\t0000000000000000\n");
    }

    fn pasta_is_asked_for_the_ports_and_for_no_others() needs [Box] {
        let fake = Fake::new(&format!("echo \"$@\" >DIRECTORY/words\n{CONNECTS}"));
        let words = |ports: &[&str]| {
            fake.clonebox(ports).probe(["exit", "0"]).run().succeeds();
            fs::read_to_string(fake.path().join("words")).expect("it was written")
        };
        let none = words(&[]);
        assert!(none.ends_with(" --tcp-ports none --udp-ports none --tcp-ns none --udp-ns none\n"), "{none}");
        let some = words(&["-p", "127.0.0.1:8080:80", "--publish=53:5353/udp", "-p", "[::1]:1:2"]);
        let expected = " --tcp-ports 127.0.0.1/8080:80 --tcp-ports ::1/1:2 --udp-ports 53:5353 --tcp-ns none --udp-ns none\n";
        assert!(some.ends_with(expected), "{some}");
    }

    fn a_box_with_pasta_starts_from_a_call_that_stands_still_until_it_has() needs [Box] {
        let fake = Fake::new(CONNECTS);
        fake.clonebox(&["--oom-score-adj", "1000"]).probe(["pid"]).run().succeeds().prints("1\n");
        fake.is_gone();
    }

    fn a_box_with_pasta_and_ids_of_others_starts() needs [Root, Userns] {
        let fake = Fake::new(CONNECTS);
        fake.clonebox(&["--userns", "auto"]).probe(["pid"]).run().succeeds().prints("1\n");
        fake.is_gone();
    }

    fn what_pasta_says_when_it_fails_is_told() needs [Box] {
        let fake = Fake::new("echo \"it's \x1bno use\" >&2; exit 1");
        let ran = fake.clonebox(&[]).probe(["pid"]).run().exits_with(125).prints("");
        ran.complains("clonebox: cannot connect the network of the box: pasta: it's \\u{1b}no use\n")
            .complains("  asked by     --net pasta\n");
        fake.is_gone();
    }

    fn a_port_that_the_user_may_not_open_is_told_with_the_first_that_he_may() needs [Box] {
        let fake = Fake::new("echo no >&2; exit 1");
        let first = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").expect("Linux");
        let (first, device) = (first.trim(), fs::File::options().read(true).write(true).open("/dev/net/tun"));
        let refused = |port: &str| {
            let ports = format!("{port}:80");
            fake.clonebox(&["-p", "5000:80", "-p", &ports]).probe(["pid"]).run().exits_with(125)
        };
        let hint = format!("  hint         this user may open ports from {first} on: take another than 1, or sysctl ");
        // What comes first is the device.
        if nix::unistd::geteuid().is_root() || first == "0" || device.is_err() {
            refused("1").says_nothing_of("may open ports");
        } else {
            refused("1").complains(&hint);
        }
        refused("4000").says_nothing_of("may open ports");
    }

    fn a_pasta_that_ends_without_a_word_is_told() needs [Box] {
        let fake = Fake::new("exit 0");
        fake.clonebox(&[]).probe(["pid"]).run().exits_with(125).complains("pasta: it has ended without a word\n");
    }

    fn a_pasta_that_cannot_be_executed_is_told() needs [Box] {
        let fake = Fake::new("");
        fs::write(fake.path().join("pasta"), "#!/dev/null/none\n").expect("it is ours");
        fake.clonebox(&[]).probe(["pid"]).run().exits_with(125).complains("pasta: it cannot be executed\n");
    }

    fn a_pasta_that_is_not_there_is_told_with_its_package() needs [] {
        let directory = files::directory();
        let clonebox = Clonebox::new().env("PATH", directory.path()).args(["--net", "pasta"]);
        clonebox.probe(["pid"]).run().exits_with(125)
            .complains("clonebox: --net pasta: there is no pasta in PATH: apt install passt\n");
    }

    fn a_root_that_may_not_look_into_its_box_is_told_so() needs [Root] {
        const CAP_SYS_PTRACE: libc::c_ulong = 19;
        let fake = Fake::new(CONNECTS);
        let mut command = fake.clonebox(&[]).probe(["pid"]).command();
        let drop_it = || {
            // SAFETY: the call takes numbers.
            match unsafe { libc::prctl(libc::PR_CAPBSET_DROP, CAP_SYS_PTRACE, 0, 0, 0) } {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            }
        };
        // SAFETY: one system call is made between fork(2) and execve(2).
        unsafe { command.pre_exec(drop_it) };
        let ran = Clonebox::of(command).run().exits_with(125);
        ran.complains("cannot open the box's network namespace: Permission denied (EACCES)\n")
            .complains("hint         this process has no CAP_SYS_PTRACE");
    }

    fn a_pasta_that_hangs_is_ended_by_the_start_timeout() needs [Box] {
        let fake = Fake::new("read line <DIRECTORY/pipe");
        let ran = fake.clonebox(&["--start-timeout", "1"]).probe(["pid"]).run().exits_with(125);
        ran.complains("the box did not start within 1 s").complains("futex(<gate>, FUTEX_WAIT, ");
        fake.is_gone();
    }

    fn pasta_is_gone_when_its_box_cannot_be_set_up() needs [Box] {
        let fake = Fake::new(CONNECTS);
        fake.clonebox(&["-w", "/dev/null/none"]).probe(["pid"]).run().exits_with(125).complains("ENOTDIR");
        fake.is_gone();
    }

    fn pasta_ends_with_a_clonebox_that_is_killed() needs [Box] {
        let fake = Fake::new(CONNECTS);
        let mut running = fake.clonebox(&[]).probe(["stay"]).start();
        running.ready();
        fake.runs();
        drop(running);
        fake.is_gone();
    }

    fn pasta_ends_with_a_box_that_survives_clonebox() needs [Box] {
        let (fake, marker) = (Fake::new(CONNECTS), marker("pasta"));
        let mut running = fake.clonebox(&["--survive"]).probe(["stay", &marker]).start();
        running.ready();
        let clonebox = running.pid();
        drop(running);
        let the_box = marked(&marker).into_iter().find(|&pid| pid != clonebox).expect("it runs");
        fake.runs();
        kill(Pid::from_raw(the_box.cast_signed()), Signal::SIGKILL).expect("it is ours");
        fake.is_gone();
    }

    fn the_end_of_pasta_is_told_and_the_box_goes_on() needs [Box] {
        let fake = Fake::new(CONNECTS);
        let mut talk = Talk::with(fake.clonebox(&[]).probe(["copy"]).command());
        talk.tell("hello");
        talk.says("hello");
        kill(Pid::from_raw(fake.process().cast_signed()), Signal::SIGKILL).expect("it is ours");
        assert_eq!(talk.complains(), "clonebox: pasta has ended: the box has no network any more");
        talk.tell("still here");
        talk.says("still here");
        let (status, _, rest) = talk.end();
        assert!(status.success() && rest.is_empty(), "{status} {rest}");
        fake.is_gone();
    }

    fn a_port_of_the_host_leads_into_the_box() needs [Pasta] {
        let port = free_port();
        let published = format!("127.0.0.1:{port}:8080");
        let running = Clonebox::new().args(["--net", "pasta", "-p", &published]).probe(["serve", "8080"]).start();
        assert_eq!(greeting(port), "hello\n");
        running.end().succeeds();
    }

    fn a_datagram_to_a_port_of_the_host_comes_into_the_box() needs [Pasta] {
        let port = free_port();
        // The same port inside: the pasta of Debian 12 loses answers of another one, on loopback.
        let published = format!("127.0.0.1:{port}:{port}/udp");
        let echo = ["echo", &port.to_string()];
        let running = Clonebox::new().args(["--net", "pasta", "-p", &published]).probe(echo).start();
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
        socket.connect((Ipv4Addr::LOCALHOST, port)).expect("an address");
        socket.set_read_timeout(Some(Duration::from_millis(50))).expect("a time");
        let mut answer = [0; 16];
        // One that comes before anybody listens is lost, and may be refused.
        let answered = eventually(|| {
            let _ = socket.send(b"hello");
            matches!(socket.recv(&mut answer), Ok(5))
        });
        assert!(answered && answer.starts_with(b"hello"), "{answer:?}");
        drop(running);
    }

    fn a_port_is_free_again_when_its_box_has_ended() needs [Pasta] {
        let published = format!("127.0.0.1:{}:80", free_port());
        for _ in 0..5 {
            run_probe(&["--net", "pasta", "-p", &published], &["pid"]).succeeds().prints("1\n");
        }
    }

    fn the_loopback_of_the_host_is_not_reached_through_pasta() needs [Pasta] {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("an address");
        let port = listener.local_addr().expect("an address").port().to_string();
        run_probe(&["--net", "pasta", "--timeout", "30s"], &["fetch", &port]).succeeds().prints("ConnectionRefused\n");
    }

    fn a_port_that_is_taken_is_told_in_pastas_words() needs [Pasta] {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("an address");
        let port = listener.local_addr().expect("an address").port();
        let published = format!("127.0.0.1:{port}:80");
        let ran = run_probe(&["--net", "pasta", "-p", &published], &["pid"]);
        ran.exits_with(125).complains("clonebox: cannot connect the network of the box: pasta: ").complains(&port.to_string());
    }

    fn boxes_of_one_network_talk_over_its_loopback() needs [Root] {
        let state = State::new();
        let served = state.clonebox().args(["--net", "none", "--name", "web"]).probe(["serve", "8080"]).start();
        assert!(eventually(|| state.is("web", "running")));
        let fetch = state.clonebox().args(["--net", "container:web"]).probe(["fetch", "8080"]);
        fetch.run().succeeds().prints("hello\n");
        served.end().succeeds();
    }

    fn a_network_is_joined_by_the_path_of_its_namespace() needs [Root] {
        let state = State::new();
        let _running = state.start("web", &["--net", "none"]);
        let path = format!("/proc/{}/ns/net", state.pid("web"));
        let expected = format!("{}\n", fs::read_link(&path).expect("it runs").display());
        for word in [path.clone(), format!("ns:{path}")] {
            let ran = run_probe(&["--net", &word], &["links", "/proc/self/ns/net"]);
            ran.succeeds().prints(&expected);
        }
    }

    fn a_root_filesystem_shows_the_network_that_was_joined() needs [Root, Execveat] {
        let state = State::new();
        let _running = state.start("web", &["--net", "none"]);
        let root = files::directory();
        let (rootfs, program) = (root.path().display().to_string(), probe::path());
        let volume = format!("{program}:/it:ro");
        let options = ["--rootfs", &rootfs, "-v", &volume, "--net", "container:web"];
        let words = ["--", "/it", "__probe", "list", "/sys/class/net"];
        let ran = state.clonebox().args(options).args(words).run().succeeds();
        assert_eq!(ran.stdout().lines().filter(|name| name.starts_with("eth")).count(), 0);
    }

    fn the_network_of_a_box_that_is_not_there_is_not_joined() needs [Box] {
        let state = State::new();
        state.run(&["--net", "container:web", "--", "/bin/true"]).exits_with(125)
            .complains("clonebox: --net container:web: there is no box web\n");
    }

    fn what_is_no_network_namespace_is_not_joined() needs [] {
        for (path, why) in [
            ("/dev/null", "cannot use /dev/null as a network namespace: Invalid argument (EINVAL)"),
            ("/proc/self/ns/uts", "cannot use /proc/self/ns/uts as a network namespace: Invalid argument (EINVAL)"),
            ("/dev/none", "cannot open /dev/none: No such file or directory (ENOENT)"),
        ] {
            run(["--net", path, "--", "/bin/true"]).exits_with(125).complains(&format!("clonebox: --net {path}: {why}\n"));
        }
    }

    fn a_box_with_a_user_namespace_joins_no_network() needs [Root, Userns] {
        run(["--userns", "auto", "--net", "/proc/self/ns/net", "--", "/bin/true"]).exits_with(125)
            .complains("clonebox: --net /proc/self/ns/net: a box with a user namespace of its own may join no network");
    }

    fn an_ordinary_user_is_told_that_no_network_can_be_joined() needs [NotRoot, Userns] {
        run(["--net", "/proc/self/ns/net", "--", "/bin/true"]).exits_with(125)
            .complains("clonebox: --net /proc/self/ns/net: the box of an ordinary user has a user namespace of its own");
    }

    fn words_about_the_network_that_make_no_sense_are_told() needs [] {
        for (words, why) in [
            (&["--net", "bridge"][..], "--net bridge: expected none, pasta, host, container:NAME or the path of a network namespace"),
            (&["-p", "80"], "--publish 80: expected [ADDRESS:]HOST:BOX[/udp], as in 8080:80 or 127.0.0.1:5353:53/udp"),
            (&["-p", "8080:80"], "--publish 8080:80: a port leads to a network that pasta connects: add --net pasta"),
            (&["--net", "none", "-p", "8080:80"], "--publish 8080:80: a port leads to a network that pasta connects: add --net pasta"),
        ] {
            run(words.iter().chain(&["--", "/bin/true"])).exits_with(125).complains(&format!("clonebox: {why}\n"));
        }
    }
}
