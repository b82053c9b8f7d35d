//! The caller's terminal: what is typed into it is a command of the caller's shell. CVE-2016-2779, CVE-2017-5226.

use std::fs;

use crate::support::pty::Terminal;
use crate::support::tests;

/// What the shell reads after a box that has typed, with a request that has these bits above its 32.
fn next_line(options: &str, high: u32) -> Terminal {
    let mut terminal = Terminal::new();
    let attack = format!("\"$BOX\" {options} -- \"$IT\" __probe type {high} stolen");
    terminal.run_script(&format!(
        "{attack}; echo ready; read line; echo \"<$line>\""
    ));
    terminal.expect("ready\r\n");
    terminal.send("mine\r");
    terminal
}

tests! {
    fn on_an_inherited_terminal_a_box_types_for_its_caller() needs [Root, Userns, Idmap, Ptmx] {
        let allowed = fs::read_to_string("/proc/sys/dev/tty/legacy_tiocsti");
        // Kernels without the file allow it always.
        if allowed.is_ok_and(|allowed| allowed.trim() == "0") {
            next_line("--tty inherit --cap-add SYS_ADMIN", 0).expect("<stolen>");
            return;
        }
        for high in [0, 1, u32::MAX] {
            next_line("--tty inherit", high).expect("<stolen>");
            next_line("--tty inherit --userns auto --cap-add ALL --seccomp off", high).expect("<stolen>");
        }
    }

    /// CVE-2019-7303, CVE-2019-10063: the kernel looks at 32 bits of a request, and so must the filter.
    fn on_an_inherited_terminal_the_filter_refuses_to_type() needs [Userns, Seccomp, Ptmx] {
        for high in [0, 1, u32::MAX] {
            let mut terminal = next_line("--tty inherit --userns auto --cap-add ALL", high);
            terminal.expect("<mine>");
            terminal.has_not_seen("<stolen>");
        }
    }

    fn on_a_terminal_of_its_own_a_box_types_for_itself() needs [Box, Ptmx] {
        for options in ["", "--tty new", "--tty new --pid host"] {
            for high in [0, 1, u32::MAX] {
                let mut terminal = next_line(options, high);
                terminal.expect("<mine>");
                terminal.has_not_seen("<stolen>");
            }
        }
    }

    fn on_a_terminal_that_does_not_control_it_a_box_types_nothing() needs [Box, Ptmx] {
        let mut terminal = next_line("--tty none", 0);
        terminal.expect("<mine>");
        terminal.has_not_seen("<stolen>");
    }
}
