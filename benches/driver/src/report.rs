//! What a row found: tables, goals and charts, kept as JSON, shown on a terminal and written into the document.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::contest::{Spread, Standing, ratio};

/// [`Section::claims`]: CPU per frame at 50 px/s, the dearer dialect, against Node `ws`.
pub(crate) const CPU_PER_FRAME: &str = "cpu per frame";
/// [`Section::claims`]: p99 to the last receiver at 50 px/s, the slower dialect, against Node `ws`.
pub(crate) const LAST_P99: &str = "p99 to the last";
/// [`Section::claims`]: memory of an idle connection, the greater dialect, against Node `ws`.
pub(crate) const MEMORY: &str = "memory";

/// One row of the benchmarks, run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Section {
    pub(crate) name: String,
    pub(crate) title: String,
    /// What was done, in sentences.
    pub(crate) about: String,
    pub(crate) tables: Vec<Table>,
    pub(crate) goals: Vec<Goal>,
    /// Ratios that the document's opening words speak of, by name.
    #[serde(default)]
    pub(crate) claims: BTreeMap<String, f64>,
    /// Rounds that were dropped, faults, and what else a reader should know.
    pub(crate) notes: Vec<String>,
    /// Files beside the document, and what they show.
    pub(crate) charts: Vec<(String, String)>,
    /// What repeats it.
    pub(crate) command: String,
    /// Of the machine that it ran on.
    pub(crate) machine: Vec<(String, String)>,
}

/// A table; the first column names, the others hold figures.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Table {
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<Vec<String>>,
}

/// A figure to reach.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Goal {
    pub(crate) what: String,
    pub(crate) wanted: String,
    pub(crate) reached: String,
    pub(crate) met: bool,
}

impl Goal {
    /// A ratio that may be at most this.
    pub(crate) fn at_most(what: &str, limit: f64, reached: f64) -> Self {
        let met = reached <= limit;
        Self {
            what: what.to_owned(), wanted: format!("≤ {}×", short(limit)), reached: times(reached), met
        }
    }

    /// A ratio that has to be at least this.
    pub(crate) fn at_least(what: &str, limit: f64, reached: f64) -> Self {
        let met = reached >= limit;
        Self {
            what: what.to_owned(), wanted: format!("≥ {}×", short(limit)), reached: times(reached), met
        }
    }

    fn verdict(&self) -> &'static str {
        if self.met { "yes" } else { "no" }
    }
}

fn times(ratio: f64) -> String {
    if ratio.is_nan() { "not measured".to_owned() } else { format!("{}×", short(ratio)) }
}

/// A number with about three digits that matter.
pub(crate) fn short(value: f64) -> String {
    let size = value.abs();
    if value.is_nan() {
        "–".to_owned()
    } else if size >= 1e6 {
        format!("{} M", three_digits(value / 1e6))
    } else if size >= 1e4 {
        format!("{} k", three_digits(value / 1e3))
    } else {
        three_digits(value)
    }
}

fn three_digits(value: f64) -> String {
    let size = value.abs();
    let digits = match size {
        _ if size >= 100.0 => 0,
        _ if size >= 10.0 => 1,
        _ if size >= 1.0 => 2,
        _ if size == 0.0 => 0,
        _ => 3,
    };
    format!("{value:.digits$}")
}

/// A count as people write it: 10,000.
pub(crate) fn grouped(count: usize) -> String {
    let digits = count.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A column of figures: its heading, and the key of its figure.
pub(crate) type Column = (&'static str, &'static str);

impl Table {
    /// A line for each entrant: medians, and the spread where there was more than one round.
    pub(crate) fn of(standings: &[Standing], first: &str, columns: &[Column]) -> Self {
        let headings = [first].into_iter().chain(columns.iter().map(|(heading, _)| *heading));
        let rows = standings.iter().map(|standing| {
            let mark = if standing.disturbed { " *" } else { "" };
            let name = format!("{}{mark}", standing.name);
            [name].into_iter().chain(columns.iter().map(|(_, key)| figure(standing, key))).collect()
        });
        Self { columns: headings.map(str::to_owned).collect(), rows: rows.collect() }
    }

    /// Adds a column: each one's median against that of one of them.
    pub(crate) fn against(mut self, heading: &str, standings: &[Standing], to: &str, key: &str) -> Self {
        self.columns.push(heading.to_owned());
        for (row, standing) in self.rows.iter_mut().zip(standings) {
            let ratio = ratio(standings, &standing.name, to, key);
            row.push(if ratio.is_nan() { "–".to_owned() } else { times(ratio) });
        }
        self
    }

    fn markdown(&self, out: &mut String) {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        out.push_str(&line(&self.columns));
        out.push_str(&format!("|---{}|\n", "|---:".repeat(self.columns.len().saturating_sub(1))));
        self.rows.iter().for_each(|row| out.push_str(&line(row)));
        out.push('\n');
    }

    fn terminal(&self) -> String {
        let lines = || std::iter::once(&self.columns).chain(&self.rows);
        let width =
            |column: usize| lines().map(|line| line[column].chars().count()).max().unwrap_or_default();
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let mut out = String::new();
        for line in lines() {
            out.push_str("  ");
            for (index, (cell, width)) in line.iter().zip(&widths).enumerate() {
                let padding = " ".repeat(width - cell.chars().count());
                let (before, after) = if index == 0 { ("", &*padding) } else { (&*padding, "") };
                let _ = write!(out, "{before}{cell}{after}  ");
            }
            out.truncate(out.trim_end().len());
            out.push('\n');
        }
        out
    }
}

fn figure(standing: &Standing, key: &str) -> String {
    match standing.spreads.get(key) {
        None => "–".to_owned(),
        Some(Spread { median, .. }) if standing.rounds == 1 || median.is_nan() => short(*median),
        Some(Spread { median, min, max }) => format!("{} ({}–{})", short(*median), short(*min), short(*max)),
    }
}

impl Section {
    /// Notes what every row has to say of its rounds.
    pub(crate) fn note_rounds(&mut self, standings: &[Standing]) {
        if standings.iter().any(|standing| standing.disturbed) {
            let sentence =
                "*: others used over 10 % of the machine in every round, so that none could be left out.";
            self.notes.push(sentence.to_owned());
        }
        for Standing { name, dropped, disturbed, faults, failed, .. } in standings {
            if *dropped > 0 && !disturbed {
                self.notes.push(format!(
                    "{name}: {dropped} rounds were dropped, in which others used over 10 % of the machine."
                ));
            }
            if faults.total() > 0 {
                let first = faults.first.as_deref().unwrap_or("placements that never came");
                self.notes.push(format!(
                    "{name}: {} messages were lost, doubled or out of order: {first}.",
                    faults.total()
                ));
            }
            if let Some(failed) = failed {
                let first = failed.lines().next().unwrap_or_default();
                self.notes.push(format!("{name} did not get through: {first}."));
            }
        }
    }

    /// For people who wait.
    pub(crate) fn print(&self) {
        println!("\n{}\n", self.title);
        for table in &self.tables {
            println!("{}", table.terminal());
        }
        for Goal { what, wanted, reached, met } in &self.goals {
            println!("  {} {what}: {reached}, wanted {wanted}", if *met { "✓" } else { "✗" });
        }
        for note in &self.notes {
            println!("  {note}");
        }
    }

    fn markdown(&self, out: &mut String) {
        let _ = write!(out, "## {}\n\n{}\n\n", self.title, self.about);
        self.tables.iter().for_each(|table| table.markdown(out));
        for (file, shows) in &self.charts {
            let _ = write!(out, "![{shows}](performance/{file})\n\n");
        }
        if !self.notes.is_empty() {
            self.notes.iter().for_each(|note| {
                let _ = writeln!(out, "- {note}");
            });
            out.push('\n');
        }
        let _ = write!(out, "```sh\n{}\n```\n\n", self.command);
    }
}

/// Keeps a section, so that rows can be run one by one.
pub(crate) fn keep(root: &Path, section: &Section) -> Result<()> {
    let path = kept(root, &section.name);
    let folder = path.parent().expect("it was joined");
    fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    fs::write(&path, serde_json::to_vec_pretty(section)?).with_context(|| format!("write {}", path.display()))
}

fn kept(root: &Path, name: &str) -> PathBuf {
    root.join("target/bench/results").join(format!("{name}.json"))
}

/// Writes the document from everything that was kept, in this order.
pub(crate) fn write_document(root: &Path, names: &[&str]) -> Result<PathBuf> {
    let mut sections = Vec::new();
    for name in names {
        // A row that never ran has no section.
        let Ok(text) = fs::read(kept(root, name)) else { continue };
        sections.push(
            serde_json::from_slice::<Section>(&text).with_context(|| format!("read what {name} found"))?,
        );
    }
    let path = root.join("docs/performance.md");
    fs::write(&path, document(&sections)).with_context(|| format!("write {}", path.display()))?;
    Ok(path)
}

/// What ours adds to batching, in words and as measured.
fn ours_adds(sections: &[Section]) -> String {
    let claim = |name: &str| sections.iter().find_map(|section| section.claims.get(name)).copied();
    let said = [
        (CPU_PER_FRAME, "the processor time for each frame, when nobody is saturated"),
        (LAST_P99, "the p99 until the last of a thousand has a pixel"),
        (MEMORY, "the memory for each idle connection"),
    ];
    let words = said.iter().filter_map(|(name, what)| Some(format!("{} times {what}", short(claim(name)?))));
    let words: Vec<String> = words.collect();
    if words.is_empty() {
        return "Ours adds durability: what is acknowledged was synced to the disk.".to_owned();
    }
    format!(
        "Ours adds what batching alone does not give. Against the plain Node `ws` broadcaster it has {}. And it adds durability: what is \
         acknowledged was synced to the disk.",
        words.join(", ")
    )
}

fn document(sections: &[Section]) -> String {
    let mut out = include_str!("document/head.md").replace("{ours adds}", &ours_adds(sections));
    if let Some(section) = sections.last() {
        out.push_str("\n| the machine | |\n|---|---|\n");
        section.machine.iter().for_each(|(key, value)| {
            let _ = writeln!(out, "| {key} | {value} |");
        });
    }
    let goals: Vec<&Goal> = sections.iter().flat_map(|section| &section.goals).collect();
    if !goals.is_empty() {
        out.push_str("\n## What was wanted, and what was reached\n\n| what | wanted | reached | |\n|---|---:|---:|---|\n");
        for goal in goals {
            let _ =
                writeln!(out, "| {} | {} | {} | {} |", goal.what, goal.wanted, goal.reached, goal.verdict());
        }
    }
    out.push('\n');
    sections.iter().for_each(|section| section.markdown(&mut out));
    out.push_str(include_str!("document/tail.md"));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_keep_three_digits() {
        let written = [0.0, 0.0312, 4.777, 12.34, 5_519.0, 13_386.0, 35_115_014.5].map(short);
        assert_eq!(written, ["0", "0.031", "4.78", "12.3", "5519", "13.4 k", "35.1 M"]);
        assert_eq!([7, 1_000, 19_000, 1_234_567].map(grouped), ["7", "1,000", "19,000", "1,234,567"]);
    }

    #[test]
    fn what_was_not_measured_is_not_met() {
        for goal in [Goal::at_most("a", 1.0, f64::NAN), Goal::at_least("b", 1.0, f64::NAN)] {
            assert_eq!((goal.met, goal.reached.as_str()), (false, "not measured"));
        }
        assert!(Goal::at_most("a", 1.15, 1.15).met && Goal::at_least("b", 40.0, 40.0).met);
    }

    #[test]
    fn the_opening_words_are_those_that_were_measured() {
        let section = Section { claims: [(MEMORY.to_owned(), 0.116)].into(), ..Section::default() };
        let words = ours_adds(&[section]);
        assert!(words.contains("0.116 times the memory") && !words.contains("p99"), "{words}");
        assert!(!document(&[]).contains("{ours adds}"));
    }
}
