//! docs/security.md says what is true: its table is what a survey finds, and it names tests that are there, for each
//! attack some, and each that is about one.

use std::fs;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixListener};

use crate::support::clonebox::{Clonebox, run};
use crate::support::processes::marker;
use crate::support::rootfs::Root;
use crate::support::segment::Segment;
use crate::support::status::Status;
use crate::support::tests;
use crate::support::user::{Place, USER};
use crate::support::ways::REFUSED;

const PAGE: &str = include_str!("../../docs/security.md");
const README: &str = include_str!("../../README.md");
const ZONE: [(&str, &str); 4] = [
    ("zone::exchanges", include_str!("../zone/exchanges.rs")),
    ("zone::hazards", include_str!("../zone/hazards.rs")),
    ("zone::strace", include_str!("../zone/strace.rs")),
    ("zone::threads", include_str!("../zone/threads.rs")),
];

/// The boxes of the table: its heading, whether an ordinary user starts it, whether it has a root filesystem,
/// and the options.
const BOXES: [(&str, bool, bool, &[&str]); 8] = [
    ("as root", false, false, &[]),
    ("as a user", true, false, &[]),
    ("`--rootfs`", false, true, &[]),
    (
        "`--rootfs --userns auto`",
        false,
        true,
        &["--userns", "auto"],
    ),
    (
        "closed",
        false,
        true,
        &[
            "--userns",
            "auto",
            "--net",
            "none",
            "--ipc",
            "private",
            "--read-only",
            "--cap-drop",
            "ALL",
            "--disable-userns",
        ],
    ),
    ("`shell`", false, false, &["--profile", "shell"]),
    ("`build`", false, true, &["--profile", "build"]),
    ("`untrusted`", false, true, &["--profile", "untrusted"]),
];

/// What there is outside, for a box to find.
pub(crate) struct Outside {
    directory: tempfile::TempDir,
    root: Root,
    loopback: TcpListener,
    socket: String,
    _listener: UnixListener,
    segment: Segment,
}

impl Outside {
    pub(crate) fn new() -> Self {
        let directory = crate::support::files::directory();
        for (name, mode) in [("file", 0o644), ("secret", 0o644)] {
            let path = directory.path().join(name);
            fs::write(&path, "").expect("a directory of ours");
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a file of ours");
        }
        let socket = marker("clonebox-test");
        let address = SocketAddr::from_abstract_name(&socket).expect("a name");
        Self {
            directory,
            root: Root::new(),
            loopback: TcpListener::bind("127.0.0.1:0").expect("an address"),
            _listener: UnixListener::bind_addr(&address).expect("nobody has the name"),
            socket,
            segment: Segment::new(),
        }
    }

    fn words(&self, rootfs: bool) -> Vec<String> {
        let path = |name: &str| self.directory.path().join(name).display().to_string();
        let port = self.loopback.local_addr().expect("an address").port();
        let node = if rootfs {
            "/node".to_owned()
        } else {
            path("node")
        };
        vec![
            format!("process={}", std::process::id()),
            format!("filters={}", Status::own().words("Seccomp_filters")[0]),
            format!("file={}", path("file")),
            format!("secret={}", path("secret")),
            format!("dev={}", fs::metadata("/dev").expect("/dev").dev()),
            format!("node={node}"),
            format!("port={port}"),
            format!("socket={}", self.socket),
            format!("segment={}", self.segment.key()),
            "key=clonebox-test".to_owned(),
        ]
    }

    /// What a survey in a box finds: what was looked for, and the answer.
    pub(crate) fn survey(
        &self,
        place: &Place,
        user: bool,
        rootfs: bool,
        options: &[&str],
    ) -> Vec<(String, String)> {
        let (program, volume) = (place.program(), self.root.program());
        let mut words = vec![
            program,
            "__probe",
            "with-key",
            "clonebox-test",
            "secret",
            place.command(),
        ];
        if user {
            words.splice(0..0, [program, "__probe", "as-user", USER, "--"]);
        }
        if rootfs {
            words.extend(["--rootfs", self.root.text()]);
        }
        // A profile has another.
        words.extend(options);
        if rootfs {
            words.extend(["-v", &volume, "--", "/it"]);
        } else {
            words.extend(["--", program]);
        }
        words.extend(["__probe", "survey"]);
        let mut command = std::process::Command::new(words[0]);
        let place = self.directory.path();
        command.args(&words[1..]).current_dir(place);
        let ran = Clonebox::of(command)
            .args(self.words(rootfs))
            .run()
            .succeeds();
        let said = ran.stdout();
        let lines = said.lines().filter_map(|line| line.split_once('\t'));
        lines
            .map(|(what, found)| (what.to_owned(), found.to_owned()))
            .collect()
    }
}

/// The table as the page should have it.
fn table() -> String {
    let (outside, place) = (Outside::new(), Place::new());
    let surveys =
        BOXES.map(|(_, user, rootfs, options)| outside.survey(&place, user, rootfs, options));
    let headings = BOXES.map(|(heading, ..)| heading).join(" | ");
    let columns = ":-:|".repeat(BOXES.len());
    let mut table = format!("| a program in a box | {headings} |\n|---|{columns}\n");
    for (row, (what, _)) in surveys[0].iter().enumerate() {
        let cells = surveys.iter().map(|survey| {
            assert_eq!(&survey[row].0, what, "the surveys look for the same");
            match survey[row].1.as_str() {
                USER => "the user's",
                // 0, or a number that the machine's /etc/subuid decides about.
                found if what.contains("user id") && found != "0" => "nobody's",
                found => found,
            }
        });
        let cells: Vec<&str> = cells.collect();
        table += &format!("| {what} | {} |\n", cells.join(" | "));
    }
    table
}

/// The table of what a program in a box finds, but for the line below its head.
fn cells(page: &'static str) -> Vec<Vec<&'static str>> {
    let from = page.find("| a program in a box |").expect("a table");
    let lines = page[from..]
        .lines()
        .take_while(|line| line.starts_with('|'));
    let cells = |line: &'static str| -> Vec<&'static str> {
        line.trim_matches('|').split('|').map(str::trim).collect()
    };
    lines
        .filter(|line| !line.starts_with("|--"))
        .map(cells)
        .collect()
}

/// The profiles that there are, by the word of the command.
fn profiles() -> Vec<String> {
    let told = run(["--profile", "none", "--", "/bin/true"])
        .exits_with(125)
        .stderr();
    let (_, names) = told.trim_end().split_once("there are ").expect("a list");
    names.split(", ").map(str::to_owned).collect()
}

/// The names of tests in a text: `` `module::name` ``.
fn named(text: &str) -> Vec<&str> {
    let is_name = |piece: &&str| {
        let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_:".contains(c);
        piece.contains("::") && piece.chars().all(letters)
    };
    text.split('`').skip(1).step_by(2).filter(is_name).collect()
}

/// The lines of the table under this heading, but for its head.
fn rows(heading: &str) -> Vec<&'static str> {
    let (_, section) = PAGE
        .split_once(&format!("\n## {heading}\n"))
        .expect("a heading of the page");
    let section = section.split("\n## ").next().unwrap_or_default();
    section
        .lines()
        .filter(|line| line.starts_with('|'))
        .skip(2)
        .collect()
}

tests! {
    fn the_table_is_what_a_survey_finds() needs [Root, Pids, Userns, Idmap, Keys, Execveat, Limits] {
        let table = table();
        assert!(PAGE.contains(&table), "docs/security.md does not have this table:\n{table}");
    }

    fn the_table_of_the_readme_is_a_part_of_it() needs [] {
        let (all, some) = (cells(PAGE), cells(README));
        assert!(some.len() > 5, "README has a table");
        let find = |list: &[&str], wanted: &str| list.iter().position(|one| *one == wanted).expect("it is there as well");
        for row in &some {
            let whole = all.iter().find(|whole| whole[0] == row[0]).expect("a row of the page");
            for (heading, cell) in some[0].iter().zip(row) {
                assert_eq!(whole[find(&all[0], heading)], *cell, "{row:?}, {heading}");
            }
        }
        for profile in profiles() {
            find(&some[0], &format!("`{profile}`"));
        }
    }

    fn the_page_says_of_each_profile_whether_it_is_a_boundary() needs [] {
        let boxes = rows("Which boxes are a boundary");
        for profile in profiles() {
            let row = format!("| `--profile {profile}` | ");
            assert!(boxes.iter().any(|line| line.starts_with(&row)), "{profile}");
        }
    }

    fn the_tests_that_the_page_names_are_there() needs [] {
        let tests = crate::all();
        let in_zone = |name: &str| {
            let Some((module, name)) = name.rsplit_once("::") else { return false };
            ZONE.iter().any(|(zone, source)| *zone == module && source.contains(&format!("fn {name}(")))
        };
        let missing: Vec<&str> = named(PAGE)
            .into_iter()
            .filter(|name| !tests.iter().any(|test| test.name() == *name) && !in_zone(name))
            .collect();
        assert!(missing.is_empty(), "docs/security.md names tests that do not exist: {missing:#?}");
        assert!(named(PAGE).len() > 30, "it names tests");
    }

    fn each_attack_of_the_page_has_its_test_and_each_test_of_one_its_place() needs [] {
        for heading in ["Attacks", "What has happened to others"] {
            let rows = rows(heading);
            assert!(rows.len() > 10, "{heading}: a table");
            for row in rows {
                assert!(!named(row).is_empty(), "{heading}: {row}");
            }
        }
        let named = named(PAGE);
        let tests = crate::all();
        // A test of both ways down a path is named once.
        let names = tests.iter().map(|test| test.name());
        let names = names.map(|name| name.strip_suffix(REFUSED).unwrap_or(name));
        let of_attacks = names.filter(|name| name.starts_with("escape::") || name.starts_with("hostile::"));
        let missing: Vec<&str> = of_attacks.filter(|name| !named.contains(name)).collect();
        assert!(missing.is_empty(), "docs/security.md does not name {missing:#?}");
    }
}
