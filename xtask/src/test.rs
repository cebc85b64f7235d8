//! `cargo xtask test`: install what is missing, run every suite within its budget, add up.

mod breaker;
pub(crate) mod bugs;
mod process;
mod screen;
mod suites;
mod tally;
mod tools;

use std::fs;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;

pub(crate) use breaker::{Options as BreakOptions, run as run_breaker};
use process::End;
use screen::Screen;
use suites::Suite;
use tally::Tally;
use tools::Tool;

/// What `cargo xtask image` needs besides Rust.
const IMAGE_BUILDERS: [Tool; 2] = [Tool::Musl, Tool::Syft];

/// What the caller asked for.
#[derive(Args)]
pub(crate) struct Options {
    /// Install what is missing without asking (as where nobody is at a terminal).
    #[arg(long)]
    yes: bool,
    /// Run the long forms too: hours of crashes and races instead of minutes.
    #[arg(long)]
    long: bool,
    /// Run only these suites; separate several with commas.
    #[arg(long, value_name = "SUITE", value_delimiter = ',')]
    only: Vec<String>,
    /// Show the suites with their budgets and stop.
    #[arg(long)]
    list: bool,
}

/// How one suite went.
struct Report {
    suite: Suite,
    took: Duration,
    tally: Tally,
    /// What went wrong, in a few words; `None` when nothing did.
    problem: Option<String>,
}

/// Runs what was asked for; `false` when anything failed.
pub(crate) fn run(root: &Path, options: &Options) -> Result<bool> {
    let suites = chosen(root, options)?;
    let screen = Screen::new();
    screen.plan(&suites);
    if options.list {
        return Ok(true);
    }
    let needs: Vec<_> = suites.iter().flat_map(|suite| suite.needs.iter().copied()).collect();
    tools::provide(root, &needs, may_install(options.yes), &screen)?;
    process::kill_the_running_suite_on_interrupt()?;

    let logs = root.join("target/xtask");
    fs::create_dir_all(&logs).with_context(|| format!("make {}", logs.display()))?;
    screen.heading("running");
    let mut reports = Vec::new();
    for suite in suites {
        reports.push(run_suite(root, &logs, suite, &screen)?);
    }

    screen.table(&reports);
    let total = reports.iter().map(|report| report.tally).sum::<Tally>();
    println!("\n{} passed, {} failed", total.passed, total.failed);
    Ok(reports.iter().all(|report| report.problem.is_none()))
}

/// Where Helm and what else judges the deployments is, installed if it was not there.
pub(crate) fn deploy_judges(root: &Path) -> Result<PathBuf> {
    tools::deploy_judges(root)
}

/// What builds the container image, installed if it was not there.
pub(crate) fn image_builders(root: &Path) -> Result<()> {
    tools::provide(root, &IMAGE_BUILDERS, may_install(false), &Screen::new())
}

/// The suites to run, in order.
fn chosen(root: &Path, options: &Options) -> Result<Vec<Suite>> {
    let all = suites::all(root, options.long);
    if let Some(unknown) = options.only.iter().find(|name| all.iter().all(|suite| suite.name != *name)) {
        let names: Vec<_> = all.iter().map(|suite| suite.name).collect();
        bail!("there is no suite {unknown:?}; there are {}", names.join(", "));
    }
    let asked = |suite: &Suite| options.only.is_empty() || options.only.iter().any(|name| name == suite.name);
    Ok(all.into_iter().filter(asked).collect())
}

/// Whether things may be installed without a question: the command says that it does, so it asks only
/// where somebody can answer.
fn may_install(yes: bool) -> bool {
    #[expect(clippy::disallowed_methods, reason = "a command reads its environment here")]
    let in_ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false");
    yes || in_ci || !at_a_terminal()
}

/// Runs one suite's commands one after the other, within one budget, into one log.
fn run_suite(root: &Path, logs: &Path, suite: Suite, screen: &Screen) -> Result<Report> {
    let log = logs.join(format!("{}.log", suite.name));
    let line = screen.begin(&suite);
    let (end, took) = process::run(root, &suite.steps, suite.budget, &log, |elapsed| line.tick(elapsed))
        .with_context(|| format!("run suite {}", suite.name))?;
    let text = fs::read_to_string(&log).with_context(|| format!("read {}", log.display()))?;
    let mut tally = suite.counts.read(&text, matches!(end, End::Passed));
    let mut problem = match end {
        End::Passed => None,
        End::Failed(status) => Some(status),
        End::OverBudget => Some(format!("over its budget of {} min", suite.budget.as_secs() / 60)),
    };
    if problem.is_none() && tally.failed > 0 {
        problem = Some("tests failed".into());
    }
    if problem.is_none() && tally.passed == 0 {
        problem = Some("ran no test".into());
    }
    if problem.is_some() && tally.failed == 0 {
        // Not a test but a command failed: a compiler, a crash, the budget.
        tally.failed = 1;
    }
    line.end(took, tally, problem.as_deref());
    text.lines().filter(|line| line.starts_with("SKIPPED ")).for_each(|line| screen.note(line));
    if problem.is_some() {
        screen.log(&log, &text);
    }
    Ok(Report { suite, took, tally, problem })
}

/// Whether a person sits in front of this.
fn at_a_terminal() -> bool {
    std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
}
