// SPDX-License-Identifier: MIT OR Apache-2.0
//! The page: what was measured, how, and what came of it, from the raw numbers.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::questions::{self, Question};
use crate::runs::{Group, Runs, Summary};
use crate::targets;

const METHOD: &str = include_str!("method.md");

type Groups = BTreeMap<Group, BTreeMap<String, Summary>>;

/// docs/evaluation.md.
pub(crate) fn page(runs: &Runs) -> String {
    let groups = runs.groups();
    let mut page = METHOD.to_owned();
    // Writing to a String does not fail.
    let _ = write!(page, "\n## Targets\n\n{}", verdicts(&groups));
    page.push_str("\n## Results\n");
    for question in &questions::ALL {
        page.push_str(&answer(question, &groups).unwrap_or_default());
    }
    page.push_str("\n## Machine and versions\n\n| what | is |\n|---|---|\n");
    for (name, value) in &runs.facts {
        let _ = writeln!(page, "| {name} | {value} |");
    }
    page.push_str("\n## All numbers\n");
    for (group, contenders) in &groups {
        let _ = write!(
            page,
            "\n### {}\n\n{}",
            heading(group),
            details(group, contenders)
        );
    }
    page
}

/// A table of the targets, and which of them are missed.
fn verdicts(groups: &Groups) -> String {
    let targets = targets::all(groups);
    let count = |wanted| targets.iter().filter(|one| one.is_met() == wanted).count();
    let (met, missed, unknown) = (count(Some(true)), count(Some(false)), count(None));
    let mut text = format!("Ratios of medians. {met} are met, {missed} missed");
    if unknown > 0 {
        let _ = write!(text, ", {unknown} not measured");
    }
    text.push_str(".\n\n| target | at | measured | |\n|---|--:|--:|---|\n");
    for target in &targets {
        let measured = target
            .measured
            .map_or("".to_owned(), |ratio| format!("{ratio:.2}"));
        let verdict = match target.is_met() {
            Some(true) => "met",
            Some(false) => "**missed**",
            None => "not measured",
        };
        let bound = if target.at_least { "least" } else { "most" };
        let (said, limit) = (target.said, target.limit);
        let _ = writeln!(
            text,
            "| {said} | {bound} {limit:.2} | {measured} | {verdict} |"
        );
    }
    text
}

/// A column for each group: the median, and what part it is of the unit's.
fn answer(question: &Question, groups: &Groups) -> Option<String> {
    let columns = groups.iter().filter(|(group, _)| (question.answers)(group));
    let columns: Vec<(&Group, &BTreeMap<String, Summary>)> = columns.collect();
    let (first, kinds) = columns.first()?;
    let units = question.unit.iter();
    let unit = units.copied().find(|unit| kinds.contains_key(*unit))?;
    let mut text = format!("\n### {}\n\n", question.title);
    if !question.text.is_empty() {
        let _ = writeln!(text, "{}\n", wrapped(question.text));
    }
    let own = questions::said(&first.kind, unit).contains("clonebox");
    let said = if own { "clonebox" } else { "the floor" };
    let (mut head, mut rule) = ("|".to_owned(), "|---".to_owned());
    for (group, _) in &columns {
        let _ = write!(head, " | {} | of {said}", (question.column)(group));
        rule.push_str("|--:|--:");
    }
    let _ = writeln!(text, "{head} |\n{rule}|");
    let median =
        |name: &str, column: &BTreeMap<String, Summary>| Some(column.get(name)?.wall.median());
    let mut rows: Vec<&String> = kinds.keys().collect();
    rows.sort_by(|one, other| {
        let at = |name: &str| median(name, kinds).unwrap_or(f64::INFINITY);
        at(one).total_cmp(&at(other))
    });
    for name in rows {
        let _ = write!(text, "| {}", questions::said(&first.kind, name));
        for (_, column) in &columns {
            let cells = median(name, column).zip(median(unit, column));
            let _ = match cells {
                Some((us, unit)) if first.kind == "rate" => {
                    write!(text, " | {:.0} | {:.2}", 1e6 / us, unit / us)
                }
                Some((us, unit)) => write!(text, " | {} | {:.2}", time(us), us / unit),
                None => write!(text, " | | "),
            };
        }
        text.push_str(" |\n");
    }
    let _ = write!(text, "\n{}", faster(&first.kind, kinds).unwrap_or_default());
    Some(text)
}

/// What is faster than the fastest of clonebox's in the first column.
fn faster(kind: &str, kinds: &BTreeMap<String, Summary>) -> Option<String> {
    let own = |name: &str| questions::said(kind, name).contains("clonebox");
    let all = || {
        kinds
            .iter()
            .map(|(name, summary)| (name, summary.wall.median()))
    };
    let best = all().filter(|(name, _)| own(name));
    let (best, us) = best.min_by(|one, other| one.1.total_cmp(&other.1))?;
    let faster = all().filter(|&(name, median)| !own(name) && median < us);
    let faster: Vec<&str> = faster
        .map(|(name, _)| questions::said(kind, name))
        .collect();
    let best = questions::said(kind, best);
    Some(if faster.is_empty() {
        format!("In the first column nothing is faster than {best}.\n")
    } else {
        format!(
            "In the first column, faster than {best}: {}.\n",
            faster.join("; ")
        )
    })
}

/// Each contender with its percentiles, the fastest first.
fn details(group: &Group, contenders: &BTreeMap<String, Summary>) -> String {
    let mut text = "| | runs | p50 µs | p90 µs | p99 µs | processor µs | peak KiB |\n".to_owned();
    text.push_str("|---|--:|--:|--:|--:|--:|--:|\n");
    let mut rows: Vec<(&String, &Summary)> = contenders.iter().collect();
    rows.sort_by(|one, other| one.1.wall.median().total_cmp(&other.1.wall.median()));
    for (name, Summary { wall, cpu, peak }) in rows {
        let known = |number: f64| match number {
            0.0 => String::new(),
            number => format!("{number:.0}"),
        };
        let [p50, p90, p99] = [50, 90, 99].map(|percent| wall.percentile(percent));
        let _ = writeln!(
            text,
            "| {} | {} | {p50:.0} | {p90:.0} | {p99:.0} | {} | {} |",
            questions::said(&group.kind, name),
            wall.len(),
            known(cpu.median()),
            known(peak.median())
        );
    }
    text
}

fn heading(group: &Group) -> String {
    let Group {
        kind,
        resident_mib,
        threads,
        mounts,
        at_once,
    } = group;
    match &**kind {
        "library" if *threads > 1 => format!("In a program with {threads} busy threads"),
        "library" => format!("In a program with {resident_mib} MiB resident"),
        "library-root" if *threads > 1 => format!(
            "In a program with {threads} busy threads, a root filesystem, {mounts} host mounts"
        ),
        "library-root" => format!(
            "In a program with {resident_mib} MiB resident, a root filesystem, {mounts} host mounts"
        ),
        "rate" => format!("All {threads} processors, time a box"),
        "root" => format!("Commands, a root filesystem, {mounts} host mounts, {at_once} at once"),
        _ => format!("Commands, a plain box, {at_once} at once"),
    }
}

/// A time with three digits.
fn time(us: f64) -> String {
    match us {
        0.0..1_000.0 => format!("{us:.0} µs"),
        _ => format!("{:.2} ms", us / 1000.0),
    }
}

/// Text in lines of the length that the other pages have.
fn wrapped(text: &str) -> String {
    let (mut lines, mut length) = (String::new(), 0);
    for word in text.split(' ') {
        if length > 0 && length + 1 + word.len() > 114 {
            lines.push('\n');
            length = 0;
        } else if length > 0 {
            lines.push(' ');
            length += 1;
        }
        lines.push_str(word);
        length += word.len();
    }
    lines
}
