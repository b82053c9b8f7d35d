//! `--config` and `clonebox config`.

use std::fs;

use crate::support::clonebox::Clonebox;
use crate::support::{files, tests};

/// What `clonebox config` prints.
fn config(words: &[&str]) -> String {
    let ran = Clonebox::new().args(["config"]).args(words).run();
    ran.succeeds().says_nothing_else().stdout()
}

/// A file of words, and its path.
fn file(text: &str) -> (tempfile::TempDir, String) {
    let directory = files::directory();
    let path = files::write(directory.path(), "box.toml", "644", text);
    let path = path.to_str().expect("UTF-8").to_owned();
    (directory, path)
}

tests! {
    fn what_config_prints_config_reads() needs [] {
        for words in [
            &["--profile", "untrusted"][..],
            &["--profile", "build", "--net", "host", "--read-only=false"],
            &["--profile", "shell", "-e", "A=\"\\ \u{e9}\n\t", "-e", "B", "--cpus", "0.5", "-m", "64m", "--pids-limit", "7"],
            &["--tmpfs", "/a", "-v", "/b:/a/b", "--tmpfs", "/a/c", "--file=0:/x", "--ro-bind", "/usr"],
            &["--detach", "--explain=json", "--timings", "--init", "--nice=-5"],
        ] {
            let printed = config(words);
            let (_directory, path) = file(&printed);
            assert_eq!(config(&["--config", &path]), printed, "{words:?}");
        }
        assert_eq!(config(&[]), "");
    }

    fn a_plan_from_a_file_is_that_of_its_words() needs [] {
        let words = ["--name", "web", "--net", "none", "--rootfs", "system", "--cap-drop", "ALL", "--umask", "022"];
        let mounts = ["--tmpfs", "/a", "-v", "/usr:/a/b", "--tmpfs", "/a/c", "--tmpfs", "/b"];
        let words = [&words[..], &mounts].concat();
        let (_directory, path) = file(&config(&words));
        let plan = |words: &[&str]| -> String {
            let plan = Clonebox::new().args(["--explain=json"]).args(words).args(["--", "true"]).run().succeeds().stdout();
            let is_origin = |line: &&str| !line.contains("\"origin\"") && !line.contains("asked_by");
            plan.lines().filter(is_origin).collect::<Vec<_>>().join("\n")
        };
        assert_eq!(plan(&["--config", &path]), plan(&words));
        let later = plan(&["--config", &path, "--umask", "077"]);
        assert_ne!(later, plan(&words), "a later word wins");
        let last = plan(&["--umask", "077", "--config", &path]);
        assert_eq!(last, plan(&words), "and an earlier one does not");
    }

    fn what_is_wrong_in_a_file_names_the_file_the_line_and_the_way_out() needs [] {
        for (text, complaint) in [
            ("init = true\nhostnam = 'x'\n", ":2: there is no word hostnam; did you mean hostname?"),
            ("\n\nipc = 'nine'\n", ":3: ipc = 'nine': expected private or host"),
            ("net = none\n", ":1: "),
            ("name = 'a'\nname = 'b'\n", ":2: duplicate key"),
            ("frobnicate = 1\n", ":1: there is no word frobnicate: the words are the options of clonebox --help"),
            ("init = 1\n", ":1: init = 1: expected true or false"),
            ("tmpfs = ['/a',\n  'b']\n", ":2: tmpfs = 'b': the target \"b\" is not an absolute path without .."),
            ("read-only = true\n", ":1: read-only = true: this is about a root filesystem"),
        ] {
            let (_directory, path) = file(text);
            let complaint = format!("{path}{complaint}");
            for command in [&["config"][..], &[]] {
                let words = ["--config", &path, "--", "true"];
                let ran = Clonebox::new().args(command).args(words).run();
                ran.exits_with(125).complains(&complaint);
            }
        }
        let ran = Clonebox::new().args(["--config", "/nowhere/box.toml", "--", "true"]).run().exits_with(125);
        ran.complains("--config /nowhere/box.toml: No such file or directory");
        let directory = files::directory();
        fs::write(directory.path().join("bytes"), b"\xff").expect("ours");
        let path = directory.path().join("bytes");
        let words = ["--config", path.to_str().expect("UTF-8"), "--", "true"];
        Clonebox::new().args(words).run().exits_with(125).complains("UTF-8");
    }

    fn a_step_that_fails_names_the_line_that_asked_for_it() needs [Box] {
        let (_directory, path) = file("init = true\nworkdir = '/nowhere'\n");
        let ran = Clonebox::new().args(["--config", &path, "--", "true"]).run().exits_with(125);
        ran.complains(&format!("asked by     {path}:2: workdir = '/nowhere'"));
    }

    fn a_file_may_come_through_a_pipe() needs [] {
        let ran = Clonebox::new().args(["config", "--config", "/dev/stdin"]).input("net = 'none'\n").run();
        ran.succeeds().prints("net = \"none\"\n");
    }
}
