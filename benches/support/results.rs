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

const COLUMNS: &str = "resident_mib,busy_threads,way,us";

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
        loads.sort_by_key(|load| (load.threads, load.resident_mib));
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
        series.sort_by_key(|(load, way, _)| (load.threads, load.resident_mib, way));
        for (load, way, samples) in series {
            let samples: Vec<String> = samples.iter().map(|us| format!("{us:.1}")).collect();
            let (mib, threads) = (load.resident_mib, load.threads);
            writeln!(text, "{mib},{threads},{way},{}", samples.join(" "))?;
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
            let cells: Vec<&str> = line.splitn(4, ',').collect();
            let [mib, threads, way, samples] = cells[..] else {
                return Err(format!("{}: {line}", path.display()).into());
            };
            let load = Load {
                resident_mib: mib.parse()?,
                threads: threads.parse()?,
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
    let startup = Measured::read(&dir.join("startup.csv"))?;
    let command = Measured::read(&dir.join("command.csv"))?;
    let mut page = include_str!("intro.md").to_owned();
    let facts = startup.iter().chain(&command).flat_map(|one| &one.facts);
    let mut seen: Vec<&Fact> = Vec::new();
    for fact in facts.filter(|(name, _)| !name.starts_with("resident ")) {
        if !seen.contains(&fact) {
            seen.push(fact);
        }
    }
    page.push_str("\n## Where\n\n| | |\n|---|---|\n");
    for (name, value) in seen {
        writeln!(page, "| {name} | {value} |")?;
    }
    page.push_str("\n## Targets\n\n| target | measured | |\n|---|---|---|\n");
    for verdict in verdict::all(startup.as_ref(), command.as_ref()) {
        writeln!(page, "{verdict}")?;
    }
    if let Some(startup) = &startup {
        fs::write(dir.join("startup.svg"), plot::svg(startup)?)?;
        page.push_str("\n## In process: from launch to reaped\n\n");
        page.push_str("![Launch time against resident memory](startup.svg)\n");
        for load in startup.loads() {
            writeln!(page, "\n### {load}\n")?;
            table(&mut page, startup, load, "floor", verdict::STARTUP)?;
        }
    }
    if let Some(command) = &command {
        page.push_str("\n## Whole commands: from spawn to reaped\n\n");
        table(
            &mut page,
            command,
            Load::default(),
            "clonebox",
            verdict::COMMAND,
        )?;
    }
    Ok(fs::write(dir.join("README.md"), page)?)
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
