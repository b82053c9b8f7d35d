// SPDX-License-Identifier: MIT OR Apache-2.0
//! The page: what was measured, how, and what came of it, from the raw numbers.

use std::fmt::Write;

use crate::runs::{Group, Runs, Summary};

const METHOD: &str = include_str!("method.md");

/// docs/evaluation.md.
pub(crate) fn page(runs: &Runs) -> String {
    let mut page = METHOD.to_owned();
    page.push_str("\n## Machine and versions\n\n| what | is |\n|---|---|\n");
    for (name, value) in &runs.facts {
        // Writing to a String does not fail.
        let _ = writeln!(page, "| {name} | {value} |");
    }
    page.push_str("\n## Results\n");
    for (group, contenders) in runs.groups() {
        let _ = write!(page, "\n### {}\n\n", heading(&group));
        page.push_str(
            "| | runs | p50 µs | p90 µs | p99 µs | processor µs | peak KiB | of clonebox |\n",
        );
        page.push_str("|---|--:|--:|--:|--:|--:|--:|--:|\n");
        let own = contenders
            .iter()
            .find(|(name, _)| *name == reference(&group));
        let own = own.map(|(_, summary)| summary.wall.median());
        let mut rows: Vec<(&String, &Summary)> = contenders.iter().collect();
        rows.sort_by(|one, other| one.1.wall.median().total_cmp(&other.1.wall.median()));
        for (name, Summary { wall, cpu, peak }) in rows {
            let peak = match peak.median() {
                0.0 => "".to_owned(),
                kib => format!("{kib:.0}"),
            };
            let ratio = own.map_or(String::new(), |own| format!("{:.2}", wall.median() / own));
            let [p50, p90, p99] = [50, 90, 99].map(|percent| wall.percentile(percent));
            let _ = writeln!(
                page,
                "| {name} | {} | {p50:.0} | {p90:.0} | {p99:.0} | {:.0} | {peak} | {ratio} |",
                wall.len(),
                cpu.median()
            );
        }
    }
    page
}

/// What the others are compared with.
fn reference(group: &Group) -> &'static str {
    match &*group.kind {
        "library" => "template",
        "root" => "clonebox-template-root",
        _ => "clonebox",
    }
}

fn heading(group: &Group) -> String {
    let many = match group.at_once {
        1 => String::new(),
        count => format!(", {count} at once"),
    };
    match &*group.kind {
        "library" => format!(
            "From a program with {} MiB resident and {} threads",
            group.resident_mib, group.threads
        ),
        "root" => format!(
            "Commands, a root filesystem, {} host mounts{many}",
            group.mounts
        ),
        _ => format!("Commands, a plain box{many}"),
    }
}
