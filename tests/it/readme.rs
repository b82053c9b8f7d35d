//! README says what is true.

use crate::support::clonebox::run;
use crate::support::{Clonebox, files, tests};

const README: &str = include_str!("../../README.md");

/// The lines of the `console` blocks, a block each.
fn console_blocks() -> Vec<Vec<&'static str>> {
    let blocks = README.split("```console\n").skip(1);
    blocks
        .map(|block| block.split("```").next().unwrap_or("").lines().collect())
        .collect()
}

/// The words of a command as the shell reads them, without `sudo` and `clonebox`. README quotes none.
fn words(line: &str) -> Vec<&str> {
    line.split_whitespace()
        .skip_while(|word| ["$", "sudo", "clonebox"].contains(word))
        .collect()
}

tests! {
    /// The session at the top: what is typed at the shell's prompt is answered as printed. `ps` is
    /// left out: its numbers differ.
    fn the_session_is_real() needs [Box] {
        let block = &console_blocks()[0];
        let typed = block.iter().filter_map(|line| line.strip_prefix("# "));
        let script: Vec<&str> = typed.filter(|word| !word.starts_with("ps") && *word != "exit").collect();
        let mut answers = block.iter().skip(1).take_while(|line| **line != "# ps").filter(|line| !line.starts_with('#'));
        let mut arguments = words(block[0]);
        let script = script.join("; ");
        arguments.extend(["-c", &script]);
        let ran = run(arguments).succeeds();
        for line in ran.stdout().lines() {
            assert_eq!(Some(&line), answers.next(), "{block:#?}");
        }
        assert_eq!(answers.next(), None);
    }

    fn the_error_is_real() needs [Root] {
        let blocks = console_blocks();
        let block = blocks.iter().find(|block| block[0].contains("/nowhere")).expect("a session that fails");
        let ran = run(words(block[0])).exits_with(125);
        // How many steps there are, and which this one is, depends on the machine.
        let without_count = |line: &str| match line.split_once("chdir(") {
            Some((before, call)) if before.starts_with("  step ") => format!("  step chdir({call}"),
            _ => line.to_owned(),
        };
        let printed: Vec<String> = ran.stderr().lines().map(without_count).collect();
        let promised: Vec<String> = block[1..].iter().map(|line| without_count(line)).collect();
        assert_eq!(printed, promised);
    }

    fn the_limit_is_explained() needs [Limits] {
        let blocks = console_blocks();
        let block = blocks.iter().find(|block| block[0].contains("-m ")).expect("a session with a limit");
        let ran = run(words(block[0])).exits_with(137);
        // Old kernels do not tell the peak.
        let printed = ran.stderr().replace(", peak 64 MiB", "");
        assert_eq!(printed.trim_end(), block[1].replace(", peak 64 MiB", ""));
    }

    /// The table of recipes: every command makes a plan.
    fn every_recipe_makes_a_plan() needs [] {
        let cells = README.lines().filter(|line| line.starts_with("| ")).filter_map(|line| line.split(" | ").nth(1));
        let recipes: Vec<&str> = cells.filter(|cell| cell.contains("clonebox")).collect();
        assert!(recipes.len() >= 10, "{recipes:#?}");
        // Not every machine has pasta.
        let directory = files::directory();
        files::executable(directory.path(), "pasta", b"");
        let path = std::env::var("PATH").unwrap_or_default();
        let path = format!("{path}:{}", directory.path().display());
        for recipe in recipes {
            let command = recipe.trim_matches(|c: char| "`| ".contains(c));
            let command = command.split(r"\|").find(|part| part.contains("clonebox")).expect("a command");
            let command = command.split(" > ").next().expect("a command");
            // Not every machine has the controllers.
            let limits = command.contains("-m 64m") || command.contains("untrusted");
            let best_effort = limits.then_some("--best-effort-limits");
            let options = ["--explain"].into_iter().chain(best_effort);
            let ran = Clonebox::new().env("PATH", &path).args(options.chain(words(command))).run();
            // The box is not there.
            if command.contains("container:web") {
                ran.exits_with(125).complains("there is no box web");
            } else {
                ran.succeeds().says_nothing_else();
            }
        }
    }
}
