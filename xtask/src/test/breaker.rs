//! `cargo xtask break`: each way of breaking the playground, within its budget, with the figure that came of it.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;

use super::process::{self, End};
use super::screen::Screen;
use super::suites::Step;
use super::tools::{self, Tool};
use crate::program;

/// What the caller asked for.
#[derive(Args)]
pub(crate) struct Options {
    /// Only these ways; without names, every one.
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// The long forms: hundreds of cuts, kills and failovers instead of a few.
    #[arg(long)]
    long: bool,
    /// Show the ways with their budgets and stop.
    #[arg(long)]
    list: bool,
    /// Install what is missing without asking (as where nobody is at a terminal).
    #[arg(long)]
    yes: bool,
}

/// One way of breaking: tests that say a figure when the promise held.
struct Way {
    name: &'static str,
    about: &'static str,
    /// Beyond this, in minutes, it has failed: of the short form, and of the long one.
    budget: (u64, u64),
    /// The tests' programs, and the words in the names of those that belong to it.
    tests: &'static [(Program, &'static [&'static str])],
}

/// A program of tests.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Program {
    /// The embedded store alone.
    Recovery,
    /// The store over Redis.
    Redis,
    /// The real executable.
    Scenarios,
}

use Program::{Recovery, Redis, Scenarios};

const WAYS: &[Way] = &[
    Way {
        name: "crash",
        about: "one process killed with -9 under load, and its store alone",
        budget: (5, 30),
        tests: &[(Recovery, &["kill::"]), (Scenarios, &["crash::"])],
    },
    Way {
        name: "kills",
        about: "apis, gateways, frontend and Redis killed with -9 and drained under load",
        budget: (5, 60),
        tests: &[(Redis, &["crash::"]), (Scenarios, &["kills::"])],
    },
    Way {
        name: "photograph",
        about: "a picture painted by a hundred while each process is killed",
        budget: (5, 10),
        tests: &[(Scenarios, &["photograph::"])],
    },
    Way {
        name: "power",
        about: "the power of a real ext4 cut under load, below a data folder and below Redis",
        budget: (5, 60),
        tests: &[(Scenarios, &["power::"])],
    },
    Way {
        name: "writes",
        about: "the embedded store cut off at every write, each torn, and in any order",
        budget: (5, 30),
        tests: &[(Recovery, &["power::"])],
    },
    Way {
        name: "torn",
        about: "Redis' log cut short at any byte of its last writes",
        budget: (5, 30),
        tests: &[(Redis, &["torn::"])],
    },
    Way {
        name: "disk",
        about: "a disk that is full, fails, or may not be written",
        budget: (5, 10),
        tests: &[(Recovery, &["trouble::"]), (Scenarios, &["disk::"])],
    },
    Way {
        name: "failover",
        about: "masters killed and frozen under Sentinel and of a cluster",
        budget: (8, 60),
        tests: &[(Redis, &["sentinel::", "cluster::"]), (Scenarios, &["failover::"])],
    },
    Way {
        name: "partition",
        about: "machines cut off by the network: masters, gateways, clients",
        budget: (8, 90),
        tests: &[(Scenarios, &["partitions::"])],
    },
    Way {
        name: "trouble",
        about: "Redis stopped, frozen, full, late, emptied; one master of three away",
        budget: (8, 20),
        tests: &[(Scenarios, &["degraded::", "late::", "emptied::", "shards::"])],
    },
    Way {
        name: "pause",
        about: "each process stopped in its tracks for seconds under load",
        budget: (5, 20),
        tests: &[(Scenarios, &["pauses::"])],
    },
    Way {
        name: "clock",
        about: "the machine's clock put back and on by an hour",
        budget: (3, 3),
        tests: &[(Scenarios, &["clocks::"])],
    },
    Way {
        name: "churn",
        about: "thousands who come and go, well-behaved or not",
        budget: (5, 15),
        tests: &[(Scenarios, &["churn::"])],
    },
    Way {
        name: "readers",
        about: "readers that are slow or never read",
        budget: (5, 10),
        tests: &[(Scenarios, &["slow::"])],
    },
    Way {
        name: "stampede",
        about: "a thousand first loads at once",
        budget: (3, 5),
        tests: &[(Scenarios, &["stampede::"])],
    },
];

/// Breaks what was asked for; `false` when a promise was.
pub(crate) fn run(root: &Path, options: &Options) -> Result<bool> {
    let ways = chosen(&options.names)?;
    let screen = Screen::new();
    screen.heading("ways to break it");
    for way in &ways {
        screen.note(&format!("{:12}{:>4} min   {}", way.name, way.minutes(options.long), way.about));
    }
    if options.list {
        return Ok(true);
    }
    let needs = [Tool::RedisServer, Tool::Worlds];
    tools::provide(root, &needs, super::may_install(options.yes), &screen)?;
    process::kill_the_running_suite_on_interrupt()?;
    let logs = root.join("target/xtask");
    fs::create_dir_all(&logs).with_context(|| format!("make {}", logs.display()))?;
    for program in [Recovery, Redis, Scenarios] {
        if ways.iter().any(|way| way.tests.iter().any(|(of, _)| *of == program)) {
            program.build(root)?;
        }
    }
    screen.heading("breaking");
    let mut broken = 0;
    for way in &ways {
        broken += usize::from(!way.run(root, &logs, options.long, &screen)?);
    }
    println!("\n{} of {} ways broke a promise", broken, ways.len());
    Ok(broken == 0)
}

fn chosen(names: &[String]) -> Result<Vec<&'static Way>> {
    if let Some(unknown) = names.iter().find(|name| WAYS.iter().all(|way| way.name != *name)) {
        let known: Vec<_> = WAYS.iter().map(|way| way.name).collect();
        bail!("there is no way {unknown:?}; there are {}", known.join(", "));
    }
    Ok(WAYS.iter().filter(|way| names.is_empty() || names.iter().any(|name| name == way.name)).collect())
}

impl Way {
    fn minutes(&self, long: bool) -> u64 {
        if long { self.budget.1 } else { self.budget.0 }
    }

    /// Whether every promise held; what was not tried here is said.
    fn run(&self, root: &Path, logs: &Path, long: bool, screen: &Screen) -> Result<bool> {
        let log = logs.join(format!("break-{}.log", self.name));
        let complaints = logs.join(format!("break-{}.stderr.log", self.name));
        fs::write(&complaints, "").with_context(|| format!("write {}", complaints.display()))?;
        let step = |(program, words): &(Program, &[&str])| program.step(words, long, &complaints);
        let steps: Vec<Step> = self.tests.iter().map(step).collect();
        let budget = Duration::from_secs(self.minutes(long) * 60);
        let (end, took) =
            process::run(root, &steps, budget, &log, |_| {}).with_context(|| format!("run {}", self.name))?;
        let text = fs::read_to_string(&log).with_context(|| format!("read {}", log.display()))?;
        let problem = match end {
            End::Passed => None,
            End::Failed(how) => Some(how),
            End::OverBudget => Some(format!("over its budget of {} min", self.minutes(long))),
        };
        let verdict = problem
            .as_deref()
            .map_or("held".to_owned(), |how| format!("BROKEN: {how}: {}", complaints.display()));
        screen.note(&format!("{:12}{:>4} s   {verdict}", self.name, took.as_secs()));
        figures(&text).for_each(|figure| screen.note(&format!("{:21}{figure}", "")));
        Ok(problem.is_none())
    }
}

impl Program {
    /// The arguments with which cargo builds or runs it.
    fn arguments(self) -> [&'static str; 7] {
        let (package, test) = match self {
            Self::Recovery => ("pixel-store", "recovery"),
            Self::Redis => ("pixel-store", "redis"),
            Self::Scenarios => ("pixel-playground", "scenarios"),
        };
        ["test", "--quiet", "--locked", "--package", package, "--test", test]
    }

    /// So that no way's budget is spent on a compiler.
    fn build(self, root: &Path) -> Result<()> {
        program::run(Command::new("cargo").args(self.arguments()).arg("--no-run").current_dir(root))
    }

    /// One test after the other, so that a figure is of nothing but its own; what they complain of goes to a file of
    /// its own, so that what is left are figures.
    fn step(self, words: &[&str], long: bool, complaints: &Path) -> Step {
        let runner = ["--", "--nocapture", "--test-threads", "1"];
        let apart: [&OsStr; 3] = ["-c".as_ref(), "exec \"$@\" 2>>\"$0\"".as_ref(), complaints.as_os_str()];
        let arguments = self.arguments();
        let words = ["cargo"].iter().chain(&arguments).chain(&runner).chain(words).map(OsStr::new);
        Step::new("sh", apart.into_iter().chain(words))
            .with("PIXEL_PLAYGROUND_LONG", if long { "1" } else { "0" })
    }
}

/// What tests said of what they found, or could not try: all but the runner's own lines.
fn figures(said: &str) -> impl Iterator<Item = &str> {
    let is_of_runner = |line: &str| {
        ["running ", "test result: ", "$ "].iter().any(|start| line.starts_with(start))
            || line.trim().is_empty()
    };
    // A dot stands for each test that passed, before whatever is said next.
    said.lines().map(|line| line.trim_start_matches('.')).filter(move |line| !is_of_runner(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_told_from_what_the_runner_says() {
        let said =
            "$ sh -c …\n\nrunning 2 tests\n3 cuts, lost 0\n.SKIPPED cuts: no rights\n.\n\ntest result: ok.\n";
        assert_eq!(figures(said).collect::<Vec<_>>(), ["3 cuts, lost 0", "SKIPPED cuts: no rights"]);
    }
}
