//! What a run of the suites looks like: one calm line each, and a table at the end.

use std::io::{IsTerminal, Write, stdout};
use std::path::Path;
use std::time::Duration;

use super::Report;
use super::suites::Suite;
use super::tally::Tally;

const GREEN: &str = "\x1b[32m";
const RED: &str = "\x1b[31m";
const DIM: &str = "\x1b[2m";
const BOLD: &str = "\x1b[1m";
const PLAIN: &str = "\x1b[0m";
/// Goes back to the start of a line and wipes it.
const WIPE: &str = "\r\x1b[K";
/// The column of suites' names.
const NAME_WIDTH: usize = 11;

/// Standard output, with colours and running clocks where a person looks at it.
pub(super) struct Screen {
    terminal: bool,
}

/// One suite's line while it runs.
pub(super) struct Line<'a> {
    screen: &'a Screen,
    name: &'static str,
    about: &'static str,
}

impl Screen {
    pub(super) fn new() -> Self {
        #[expect(clippy::disallowed_methods, reason = "a command reads its environment here")]
        let plain = ["CI", "NO_COLOR"].iter().any(|key| std::env::var_os(key).is_some_and(|v| !v.is_empty()));
        Self { terminal: stdout().is_terminal() && !plain }
    }

    fn paint(&self, style: &str, text: &str) -> String {
        if self.terminal { format!("{style}{text}{PLAIN}") } else { text.to_owned() }
    }

    /// What begins now.
    pub(super) fn heading(&self, text: &str) {
        println!("\n{}\n", self.paint(BOLD, text));
    }

    /// One thing that is said on the way.
    pub(super) fn note(&self, text: &str) {
        println!("  {text}");
    }

    /// What will run, and how long it may take.
    pub(super) fn plan(&self, suites: &[Suite]) {
        let minutes: u64 = suites.iter().map(|suite| suite.budget.as_secs() / 60).sum();
        self.heading(&format!(
            "Pixel Playground: {}, at most {minutes} min",
            count(suites.len() as u64, "suite")
        ));
        for suite in suites {
            let budget = format!("{:>4} min", suite.budget.as_secs() / 60);
            println!("  {:NAME_WIDTH$}{}   {}", suite.name, self.paint(DIM, &budget), suite.about);
        }
    }

    /// Opens a suite's line.
    pub(super) fn begin(&self, suite: &Suite) -> Line<'_> {
        let line = Line { screen: self, name: suite.name, about: suite.about };
        if self.terminal {
            line.tick(Duration::ZERO);
        } else {
            print!("  {:NAME_WIDTH$}", suite.name);
            flush();
        }
        line
    }

    /// Everything that a failed suite said.
    pub(super) fn log(&self, path: &Path, text: &str) {
        println!("\n{}", self.paint(DIM, &format!("──── {} ────", path.display())));
        println!("{}", text.trim_end());
        println!("{}\n", self.paint(DIM, "────"));
    }

    /// Suite, time, budget, result.
    pub(super) fn table(&self, reports: &[Report]) {
        self.heading("result");
        let head = format!("{:NAME_WIDTH$}{:>8}{:>10}   {}", "suite", "time", "budget", "result");
        println!("  {}", self.paint(DIM, &head));
        for report in reports {
            let result = match &report.problem {
                None => self.paint(GREEN, &passed(report.tally)),
                Some(problem) => self.paint(RED, &format!("failed: {problem}, {}", counted(report.tally))),
            };
            let budget = format!("{} min", report.suite.budget.as_secs() / 60);
            println!("  {:NAME_WIDTH$}{:>8}{budget:>10}   {result}", report.suite.name, clock(report.took));
        }
        let total = reports.iter().map(|report| report.took).sum();
        let budget: u64 = reports.iter().map(|report| report.suite.budget.as_secs() / 60).sum();
        let foot = format!("{:NAME_WIDTH$}{:>8}{:>10}", "together", clock(total), format!("{budget} min"));
        println!("  {}", self.paint(DIM, &foot));
    }
}

impl Line<'_> {
    /// Shows how long it has taken so far, where a person looks at it.
    pub(super) fn tick(&self, elapsed: Duration) {
        if self.screen.terminal {
            let text = format!("{:>8}   {} …", clock(elapsed), self.about);
            print!("{WIPE}  {:NAME_WIDTH$}{}", self.name, self.screen.paint(DIM, &text));
            flush();
        }
    }

    /// Closes the line with the result.
    pub(super) fn end(&self, took: Duration, tally: Tally, problem: Option<&str>) {
        if self.screen.terminal {
            print!("{WIPE}  {:NAME_WIDTH$}", self.name);
        }
        let result = match problem {
            None => self.screen.paint(GREEN, &passed(tally)),
            Some(problem) => self.screen.paint(RED, &format!("✗ {problem}")),
        };
        println!("{:>8}   {result}", clock(took));
    }
}

fn passed(tally: Tally) -> String {
    format!("✓ {}", count(tally.passed, "test"))
}

fn count(number: u64, noun: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{ending}")
}

fn counted(tally: Tally) -> String {
    format!("{} passed, {} failed", tally.passed, tally.failed)
}

/// Minutes and seconds.
fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

fn flush() {
    // A screen that cannot be written to is no reason to stop testing.
    let _ = stdout().flush();
}
