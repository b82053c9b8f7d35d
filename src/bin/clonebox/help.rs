// SPDX-License-Identifier: MIT OR Apache-2.0
//! `--help` and `--version`.

/// One screen.
pub(crate) const TEXT: &str = "\
Usage: clonebox [OPTIONS] [--] COMMAND [ARG...]
       clonebox exec|ps|logs|attach|stop|kill|rm|... (more: clonebox help WORD)
Puts a program into its own Linux namespaces. As root, or as anybody else.

  sudo clonebox -- /bin/sh                  a shell: own host name, processes...
  clonebox --net none --timeout 10s ./job   no network, killed after ten seconds
  clonebox --explain -- ls                  what would be done, call by call

Box
      --name NAME          name, and host name (random)   --hostname NAME
  -e, --env NAME[=VALUE]   set, or pass on, a variable    --env-file FILE
      --env-clear          without the caller's environment
  -w, --workdir DIR        working directory              --umask OCTAL
  -u, --user USER[:GROUP]  run as, by name or number      --nice N
      --ulimit NAME=SOFT[:HARD]   --fd N (pass it on)     --oom-score-adj N
      --tty auto|new|inherit|none   terminal (auto: new if stdin is one)
      --init               a tiny PID 1 that forwards signals and reaps orphans
      --profile shell|build|untrusted   --config FILE   many options at once
Files
      --rootfs DIR|system  root filesystem   --read-only   --template NAME
      --rootfs-overlay DIR   the same; DIR stays as it is, what is written goes
      --upper DIR            with the box, or is kept here
  -v, --volume SRC:DST[:ro,...]   --ro-bind, --dev-bind, --bind-try SRC[:DST]
      --tmpfs DST[:size=64m,mode=700]   --mount type=bind,src=SRC,dst=DST,...
      --file FD:DST        a file with what can be read from descriptor FD
      --proc private|off   --dev minimal|host|none   of a root filesystem
Limits
  -m, --memory SIZE   --memory-swap SIZE   --memory-reservation SIZE   (as 64m)
      --cpus N  --cpu-weight N, --cpu-shares N  --cpuset-cpus, --cpuset-mems 0-2
      --pids-limit N   --io-weight N   --device-read-bps, --device-write-bps,
      --device-read-iops, --device-write-iops DEVICE:RATE
      --cgroup-conf FILE=VALUE   --cgroup-parent PATH   --best-effort-limits
Namespaces
      --pid host, --uts host (shared)   --ipc private, --cgroupns private (new)
      --net none|pasta|container:NAME|PATH   -p, --publish [IP:]HOST:BOX
      --userns auto|keep-id|nomap|host   --uidmap, --gidmap CONTAINER:HOST:SIZE
      --time-offset SECONDS   (or monotonic=SECONDS,boottime=SECONDS)
Privileges
      --cap-add CAP   --cap-drop CAP   change the 11 that are kept; ALL, NONE
      --allow-new-privs   (set-user-id works)   --disable-userns   (inside)
      --ll-ro, --ll-exec, --ll-rw PATH   the only files to read; to execute too;
                           to write (Landlock); --ll-strict: fail if in part
      --ll-connect, --ll-bind PORT   the only TCP ports   --keyring private|host
      --seccomp default|off|FILE (.bpf)   --seccomp-log   --seccomp-trace
      --seccomp-allow-arch x86|arm   --security-opt WORD   docker's words
Life
      --timeout TIME       kill the box after TIME (10, 1.5s, 200ms, 2m, 1h)
      --start-timeout TIME give up if the program is not executed by then
      --survive            do not kill the box when clonebox dies
  -d, --detach[=bare]      return when it runs; keep a log (--log-size SIZE)
Looking
      --explain[=json]     print the plan, do nothing
      --timings[=FILE]     print how long each step took
      --report FILE|FD     write JSON about the end of the box
  -q, --quiet              say nothing but errors     -h, --help   -V, --version

Exit code: the command's; 128+N after signal N; 127 not found; 126 not
executable; 125 clonebox failed; 124 time is up. SIGINT or SIGTERM twice in a
second kills the box. As root, on the host's own files, a box is a view and no
security boundary; with --userns auto root inside is not root outside.
";

/// Version, commit, target.
pub(crate) fn version() -> String {
    let (version, commit, target) = (
        env!("CARGO_PKG_VERSION"),
        env!("CLONEBOX_COMMIT"),
        env!("CLONEBOX_TARGET"),
    );
    format!("clonebox {version} ({commit}, {target})\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Args, known};

    #[test]
    fn help_names_every_option_and_no_other() {
        let words: Vec<&str> = TEXT
            .split(|c: char| c.is_whitespace() || "=[],():".contains(c))
            .collect();
        for option in known::<Args>() {
            assert!(words.contains(&option.long), "{} is missing", option.long);
            if let Some(short) = option.short {
                assert!(
                    words.contains(&format!("-{short}").as_str()),
                    "-{short} is missing"
                );
            }
        }
        for word in words
            .iter()
            .filter(|word| word.starts_with("--") && word.len() > 2)
        {
            let there = known::<Args>().iter().any(|option| option.long == *word);
            assert!(
                there || ["--help", "--version"].contains(word),
                "{word} does not exist"
            );
        }
    }
}
