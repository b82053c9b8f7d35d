// SPDX-License-Identifier: MIT OR Apache-2.0
//! The numbers as a file, and the report of them.
//!
//! A file has a line for each way under each load, with all its samples; what is known of the host
//! stands before, in lines that begin with `#`.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use super::Result;
use super::host::Fact;
use super::load::Load;
use super::plot;
use super::stats::Samples;
use super::verdict;

const COLUMNS: &str = "resident_mib,busy_threads,host_mounts,way,us";

/// All samples of one bench.
#[derive(Clone, Debug, Default)]
pub(crate) struct Measured {
    facts: Vec<Fact>,
    series: Vec<(Load, String, Samples)>,
}

impl Measured {
    pub(crate) fn of_host(facts: Vec<Fact>) -> Self {
        Self {
            facts,
            series: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, load: Load, way: &str, us: f64) {
        let known = |(at, name, _): &&mut (Load, String, Samples)| *at == load && name == way;
        match self.series.iter_mut().find(known) {
            Some((.., samples)) => samples.push(us),
            None => {
                let samples = [us].into_iter().collect();
                self.series.push((load, way.to_owned(), samples));
            }
        }
    }

    pub(crate) fn fact(&self, name: &str) -> Option<&str> {
        let (_, value) = self.facts.iter().find(|(known, _)| known == name)?;
        Some(value)
    }

    /// The median, if the way was measured.
    pub(crate) fn median(&self, load: Load, way: &str) -> Option<f64> {
        self.samples(load, way).map(Samples::median)
    }

    fn samples(&self, load: Load, way: &str) -> Option<&Samples> {
        let known = |(at, name, _): &&(Load, String, Samples)| *at == load && name == way;
        self.series.iter().find(known).map(|(.., samples)| samples)
    }

    pub(crate) fn loads(&self) -> Vec<Load> {
        let mut loads: Vec<Load> = self.series.iter().map(|(load, ..)| *load).collect();
        loads.sort_by_key(|load| (load.threads, load.mounts, load.resident_mib));
        loads.dedup();
        loads
    }

    pub(crate) fn write(&self, path: &Path) -> Result {
        let mut text = String::new();
        for (name, value) in &self.facts {
            writeln!(text, "# {name}: {value}")?;
        }
        writeln!(text, "{COLUMNS}")?;
        let mut series: Vec<_> = self.series.iter().collect();
        series.sort_by_key(|(load, way, _)| (load.threads, load.mounts, load.resident_mib, way));
        for (load, way, samples) in series {
            let samples: Vec<String> = samples.iter().map(|us| format!("{us:.1}")).collect();
            let (mib, threads, mounts) = (load.resident_mib, load.threads, load.mounts);
            writeln!(text, "{mib},{threads},{mounts},{way},{}", samples.join(" "))?;
        }
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir)?;
        }
        Ok(fs::write(path, text)?)
    }

    fn read(path: &Path) -> Result<Option<Self>> {
        let Ok(text) = fs::read_to_string(path) else {
            return Ok(None);
        };
        let mut measured = Self::default();
        for line in text.lines().filter(|&line| line != COLUMNS) {
            if let Some(fact) = line.strip_prefix("# ") {
                let (name, value) = fact.split_once(": ").ok_or("a fact without a value")?;
                measured.facts.push((name.to_owned(), value.to_owned()));
                continue;
            }
            let cells: Vec<&str> = line.splitn(5, ',').collect();
            let [mib, threads, mounts, way, samples] = cells[..] else {
                return Err(format!("{}: {line}", path.display()).into());
            };
            let load = Load {
                resident_mib: mib.parse()?,
                threads: threads.parse()?,
                mounts: mounts.parse()?,
            };
            let samples = samples.split(' ').map(str::parse);
            let samples = samples.collect::<std::result::Result<Samples, _>>()?;
            measured.series.push((load, way.to_owned(), samples));
        }
        Ok(Some(measured))
    }
}

/// Makes `README.md` and `startup.svg` of what has been measured.
pub(crate) fn render(dir: &Path) -> Result {
    let read = |name: &str| Measured::read(&dir.join(name));
    let all = All {
        startup: read("startup.csv")?,
        command: read("command.csv")?,
        rootfs: read("rootfs.csv")?,
        vm_command: read("vm-command.csv")?,
        vm_rootfs: read("vm-rootfs.csv")?,
    };
    let mut page = include_str!("intro.md").to_owned();
    page.push_str("\n## Where\n\n");
    let here = [&all.startup, &all.command, &all.rootfs];
    facts(&mut page, here.into_iter().flatten())?;
    page.push_str("\n## Targets\n\n| target | measured | |\n|---|---|---|\n");
    for verdict in verdict::all(&all) {
        writeln!(page, "{verdict}")?;
    }
    if let Some(startup) = &all.startup {
        fs::write(dir.join("startup.svg"), plot::svg(startup)?)?;
        page.push_str("\n## In process: from launch to reaped\n\n");
        page.push_str("![Launch time against resident memory](startup.svg)\n");
        tables(&mut page, startup, "floor", verdict::STARTUP)?;
    }
    if let Some(rootfs) = &all.rootfs {
        page.push_str("\n## In process, with a root filesystem: from launch to reaped\n");
        tables(&mut page, rootfs, "floor", verdict::ROOTFS)?;
    }
    if let Some(command) = &all.command {
        page.push_str("\n## Whole commands: from spawn to reaped\n\n");
        let host = Load::default();
        let all = [verdict::COMMAND, verdict::IN_ROOT].concat();
        table(&mut page, command, host, "clonebox", &all)?;
        let mut loads = command.loads();
        loads.retain(|load| *load != host);
        for load in loads {
            writeln!(page, "\n### {load}\n")?;
            table(&mut page, command, load, "clonebox-root", verdict::IN_ROOT)?;
        }
    }
    if all.vm_command.is_some() || all.vm_rootfs.is_some() {
        page.push_str(include_str!("vm.md"));
        let there = [&all.vm_command, &all.vm_rootfs];
        facts(&mut page, there.into_iter().flatten())?;
        for (measured, unit, ways) in [
            (&all.vm_rootfs, "floor", verdict::ROOTFS),
            (&all.vm_command, "clonebox-root", verdict::IN_ROOT),
        ] {
            if let Some(measured) = measured {
                page.push('\n');
                ratios(&mut page, measured, unit, ways)?;
            }
        }
    }
    Ok(fs::write(dir.join("README.md"), page)?)
}

/// All that has been measured.
#[derive(Debug, Default)]
pub(crate) struct All {
    pub(crate) startup: Option<Measured>,
    pub(crate) command: Option<Measured>,
    pub(crate) rootfs: Option<Measured>,
    /// In a virtual machine with version 2 of cgroups.
    pub(crate) vm_command: Option<Measured>,
    pub(crate) vm_rootfs: Option<Measured>,
}

/// What is known of where something was measured, each thing once.
fn facts<'a>(page: &mut String, measured: impl Iterator<Item = &'a Measured>) -> Result {
    let mut seen: Vec<&Fact> = Vec::new();
    let all = measured.flat_map(|one| &one.facts);
    for fact in all.filter(|(name, _)| !name.starts_with("resident ")) {
        if !seen.contains(&fact) {
            seen.push(fact);
        }
    }
    page.push_str("| | |\n|---|---|\n");
    for (name, value) in seen {
        writeln!(page, "| {name} | {value} |")?;
    }
    Ok(())
}

/// A table for each load.
fn tables(page: &mut String, measured: &Measured, unit: &str, ways: &[(&str, &str)]) -> Result {
    for load in measured.loads() {
        writeln!(page, "\n### {load}\n")?;
        table(page, measured, load, unit, ways)?;
    }
    Ok(())
}

/// A table without times, which mean nothing where they are emulated.
fn ratios(page: &mut String, measured: &Measured, unit: &str, ways: &[(&str, &str)]) -> Result {
    let mut loads = measured.loads();
    loads.retain(|load| load.mounts > 0);
    write!(page, "| of {unit} |")?;
    for load in &loads {
        write!(page, " {load} |")?;
    }
    writeln!(page, "\n|---|{}", "--:|".repeat(loads.len()))?;
    for &(way, said) in ways {
        let is_missing = |load: &Load| measured.median(*load, way).is_none();
        if loads.iter().all(is_missing) {
            continue;
        }
        write!(page, "| {said} |")?;
        for &load in &loads {
            let ratio = measured.median(load, way).zip(measured.median(load, unit));
            match ratio {
                Some((way, one)) => write!(page, " {:.2} |", way / one)?,
                None => page.push_str(" |"),
            }
        }
        page.push('\n');
    }
    Ok(())
}

fn table(
    page: &mut String,
    measured: &Measured,
    load: Load,
    unit: &str,
    ways: &[(&str, &str)],
) -> Result {
    writeln!(page, "| way | median | p90 | p99 | of {unit} | samples |")?;
    page.push_str("|---|--:|--:|--:|--:|--:|\n");
    let one = measured.median(load, unit).unwrap_or(f64::NAN);
    for &(way, said) in ways {
        let Some(samples) = measured.samples(load, way) else {
            continue;
        };
        let [median, p90, p99] = [50, 90, 99].map(|percent| samples.percentile(percent));
        writeln!(
            page,
            "| {said} | {} | {} | {} | {:.2} | {} |",
            time(median),
            time(p90),
            time(p99),
            median / one,
            samples.len()
        )?;
    }
    Ok(())
}

/// A time with three digits.
fn time(us: f64) -> String {
    match us {
        0.0..10_000.0 => format!("{us:.0} µs"),
        _ => format!("{:.1} ms", us / 1000.0),
    }
}
