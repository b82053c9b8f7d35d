//! Completions, in the shells that they are for, at a terminal; and the manual page.

use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::support::clonebox::run;
use crate::support::pty::Terminal;
use crate::support::{files, tests};

/// A shell at a terminal that completes the words of clonebox. What stands for clonebox there prints them.
struct Shell {
    terminal: Terminal,
    home: TempDir,
}

impl Shell {
    /// Starts one that loads the completion by these lines, in which `$script` is its file.
    fn start(name: &str, options: &[&str], lines: &[&str]) -> Self {
        let home = files::directory();
        let script = run(["completion", name])
            .succeeds()
            .says_nothing_else()
            .stdout();
        let script = files::write(home.path(), "script", "644", script);
        let said = "#!/bin/sh\nprintf '<%s>' \"$@\"\necho\n";
        files::executable(home.path(), "clonebox", said);
        files::executable(home.path(), "a-program-of-mine", "#!/bin/sh\n");
        std::fs::create_dir(home.path().join("a-directory")).expect("a directory");
        files::write(home.path(), "a-file", "644", "");
        let mut command = Command::new(name);
        command
            .args(options)
            .env("HOME", home.path())
            .env("script", script)
            .env("PATH", format!("{}:/usr/bin:/bin", home.path().display()))
            .env("TERM", "dumb");
        let mut terminal = Terminal::new();
        terminal.resize(24, 200);
        terminal.start("front", command);
        for line in lines {
            terminal.send(format!("{line}\n"));
        }
        terminal.send("echo it is \"\"ready\n");
        terminal.expect("it is ready");
        Self { terminal, home }
    }

    /// Types the beginning of a line and the key that completes it: the words that are run.
    #[track_caller]
    fn completes(&mut self, typed: &str, expected: &[&str]) {
        self.terminal.send(format!("clonebox {typed}\t"));
        self.terminal.send("\n");
        let words: String = expected.iter().map(|word| format!("<{word}>")).collect();
        // zsh takes the slash behind a directory back where the line ends.
        self.terminal.expect(words.trim_end_matches("/>"));
    }

    /// What every shell completes.
    fn completes_all(mut self) {
        let home = self.home.path().to_str().expect("UTF-8").to_owned();
        let directory = format!("{home}/a-directory/");
        self.completes("--env-cl", &["--env-clear"]);
        self.completes("--init --read-o", &["--init", "--read-only"]);
        self.completes("--tty inh", &["--tty", "inherit"]);
        self.completes("--tty=inh", &["--tty=inherit"]);
        self.completes(&format!("--rootfs {home}/a-d"), &["--rootfs", &directory]);
        self.completes(
            &format!("--env-file {home}/a-f"),
            &["--env-file", &format!("{home}/a-file")],
        );
        self.completes("doct", &["doctor"]);
        self.completes("doctor --js", &["doctor", "--json"]);
        self.completes("run --userns aut", &["run", "--userns", "auto"]);
        self.completes("a-program-of-m", &["a-program-of-mine"]);
        self.completes(
            "--tty none a-program-of-m",
            &["--tty", "none", "a-program-of-mine"],
        );
        self.completes(
            "--name web -- a-program-of-m",
            &["--name", "web", "--", "a-program-of-mine"],
        );
        // What follows the command is the command's.
        self.completes(
            &format!("ls {home}/a-f"),
            &["ls", &format!("{home}/a-file")],
        );
    }
}

/// The long options that the help names.
fn options() -> Vec<String> {
    let help = run(["--help"]).succeeds().stdout();
    let words = help.split(|c: char| c.is_whitespace() || "=[],():".contains(c));
    let mut options: Vec<String> = words
        .filter(|word| word.starts_with("--") && word.len() > 2)
        .map(str::to_owned)
        .collect();
    options.sort();
    options.dedup();
    assert!(options.len() > 50, "{options:?}");
    options
}

/// Whether a text has an option, and not only a longer one that begins so: `--memory` and `--memory-swap`.
fn has(text: &str, option: &str) -> bool {
    let goes_on = |next: char| next.is_ascii_alphanumeric() || next == '-';
    text.match_indices(option)
        .any(|(at, _)| !text[at + option.len()..].starts_with(goes_on))
}

/// What a program says about a file: nothing if all is well.
#[track_caller]
fn says_nothing(program: &str, words: &[&str], environment: &[(&str, &str)]) {
    let mut command = Command::new(program);
    command
        .args(words)
        .envs(environment.iter().copied())
        .stdout(Stdio::null());
    let output = command.output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.is_empty(), "{said}");
}

tests! {
    fn bash_completes_options_values_and_commands() needs [Bash, Ptmx] {
        Shell::start("bash", &["--norc", "--noprofile", "-i"], &["source \"$script\""]).completes_all();
    }

    fn bash_completes_with_the_package_for_it_too() needs [BashCompletion, Ptmx] {
        let load = "source /usr/share/bash-completion/bash_completion";
        Shell::start("bash", &["--norc", "--noprofile", "-i"], &[load, "source \"$script\""]).completes_all();
    }

    fn zsh_completes_options_values_and_commands() needs [Zsh, Ptmx] {
        let load = ["autoload -U compinit", "compinit -D -u", "source \"$script\"", "unsetopt zle_bracketed_paste"];
        Shell::start("zsh", &["-f", "-i"], &load).completes_all();
    }

    fn fish_completes_options_values_and_commands() needs [Fish, Ptmx] {
        Shell::start("fish", &["--no-config", "-i"], &["source $script"]).completes_all();
    }

    fn every_option_is_in_the_manual_page_and_in_every_completion() needs [] {
        let page = run(["help", "--man"]).succeeds().says_nothing_else().stdout();
        let page = page.replace("\\-", "-");
        // Which lines have the options of a box, and what is around each there: others have them too, of subcommands.
        let scripts = [("bash", "    local cur=", "", ""), ("zsh", "    '", "'", ""), ("fish", "complete -c clonebox -n __clonebox_in_options", "-l ", "--")];
        let scripts = scripts.map(|(shell, begin, before, without)| {
            let script = run(["completion", shell]).succeeds().stdout();
            let lines: Vec<&str> = script.lines().filter(|line| line.starts_with(begin)).collect();
            // In zsh a star is before what may be repeated.
            (shell, lines.join("\n").replace("'*", "'"), before, without)
        });
        for option in options() {
            assert!(page.contains(&format!("\\fB{option}\\fR")), "{option} in the manual page");
            for (shell, lines, before, without) in &scripts {
                let word = format!("{before}{}", option.trim_start_matches(without));
                assert!(has(lines, &word), "{option} in the completion of {shell}");
            }
            run(["help", &option[2..]]).succeeds().says_nothing_else();
        }
    }

    fn the_manual_page_is_clean() needs [Man, Mandoc] {
        let directory = files::directory();
        let page = run(["help", "--man"]).succeeds().stdout();
        let page = files::write(directory.path(), "clonebox.1", "644", page);
        let page = page.to_str().expect("UTF-8");
        says_nothing("man", &["--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", page], &[("MANROFFSEQ", ""), ("MANWIDTH", "80"), ("LC_ALL", "C.UTF-8")]);
        says_nothing("mandoc", &["-T", "lint", "-W", "style", page], &[]);
    }

    fn the_manual_page_says_each_thing_once() needs [] {
        let page = run(["help", "--man"]).succeeds().stdout().replace("\\-", "-");
        for subcommand in ["exec", "ps", "stop", "doctor", "template"] {
            let help = run(["help", subcommand]).succeeds().stdout();
            let sentence = help.lines().nth(1).expect("what it does");
            // A line of it may end anywhere.
            assert_eq!(page.replace('\n', " ").matches(sentence).count(), 1, "{sentence}");
        }
        for variable in ["XDG_RUNTIME_DIR", "CLONEBOX_STATE_DIR", "NO_COLOR"] {
            assert!(page.contains(&format!(".B {variable}\n")), "{variable}");
        }
    }

    fn a_topic_is_a_heading_of_the_help_or_an_option() needs [] {
        let text = run(["help", "tty"]).succeeds().says_nothing_else().stdout();
        assert!(text.starts_with("--tty auto|new|inherit|none\n      Chooses the terminal."), "{text}");
        run(["help", "--", "--tty"]).succeeds().prints(&text);
        let files = run(["help", "Files"]).succeeds().stdout();
        assert!(files.contains("--rootfs DIR\n") && files.contains("-v, --volume SRC:DST"), "{files}");
        assert!(!files.contains("--memory"), "{files}");
        run(["help", "no\x1bne"]).exits_with(125).complains("the topics box, files, ").says_nothing_of("\x1b");
        run(["completion", "csh"]).exits_with(125).complains("clonebox: completion takes one shell: bash, zsh or fish\n");
    }
}
