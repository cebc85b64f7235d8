//! `cargo xtask bugs`: known bugs planted one at a time, each to be caught by the test that is named beside it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde::Deserialize;

use super::process::{self, End};
use super::screen::Screen;
use super::suites::Step;
use super::tally::{Counts, Tally};
use super::tools::{self, Tool};

/// The bugs, from the repository's root.
const LIST: &str = "xtask/bugs.toml";
/// What one test may take, what it builds included: the first builds everything.
const TEST_MINUTES_MAX: u64 = 20;

/// What the caller asked for.
#[derive(Args)]
pub(crate) struct Options {
    /// Plant only these; all of them where none is named.
    names: Vec<String>,
    /// Show the bugs and stop.
    #[arg(long)]
    list: bool,
    /// Install what is missing without asking (as where nobody is at a terminal).
    #[arg(long)]
    yes: bool,
}

#[derive(Deserialize)]
struct List {
    bug: Vec<Bug>,
}

/// A bug, and the test that catches it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Bug {
    name: String,
    /// The promise that it breaks, where it breaks one.
    promise: Option<u8>,
    /// What it does wrong.
    story: String,
    /// A command, its words separated by spaces.
    test: String,
    edit: Vec<Edit>,
}

/// What is changed in a file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Edit {
    /// From the repository's root.
    file: PathBuf,
    from: String,
    to: String,
}

/// Plants what was asked for; `false` when a bug was not caught.
pub(crate) fn run(root: &Path, options: &Options) -> Result<bool> {
    let bugs = chosen(load(root)?, &options.names)?;
    let screen = Screen::new();
    screen.heading(&format!("Pixel Playground: {} bugs, each planted alone", bugs.len()));
    if options.list {
        for bug in &bugs {
            let promise = bug.promise.map_or_else(String::new, |number| format!(" (promise {number})"));
            screen.note(&format!("{}: {}{promise}", bug.name, bug.story));
            screen.note(&format!("    $ {}", bug.test));
        }
        return Ok(true);
    }
    tools::provide(root, &[Tool::RedisServer, Tool::Node], super::may_install(options.yes), &screen)?;
    process::kill_the_running_suite_on_interrupt()?;

    let field = Field::fence(root)?;
    let mut sound = BTreeSet::new();
    let mut caught = 0;
    for bug in &bugs {
        match field.catch(bug, &mut sound)? {
            Ok(by) => {
                caught += 1;
                screen.note(&format!("✓ {}: caught by {by}", bug.name));
            }
            Err(why) => screen.note(&format!("✗ {}: {why}", bug.name)),
        }
    }
    println!("\n{caught} of {} bugs caught", bugs.len());
    Ok(caught == bugs.len())
}

/// Every bug, of which each fits into the tree as it is.
fn load(root: &Path) -> Result<Vec<Bug>> {
    let text = fs::read_to_string(root.join(LIST)).with_context(|| format!("read {LIST}"))?;
    let List { bug: bugs } = toml::from_str(&text).with_context(|| format!("read {LIST}"))?;
    for bug in &bugs {
        for edit in &bug.edit {
            edit.apply(root).with_context(|| format!("{LIST}: bug {}", bug.name))?;
        }
    }
    Ok(bugs)
}

fn chosen(bugs: Vec<Bug>, names: &[String]) -> Result<Vec<Bug>> {
    if let Some(unknown) = names.iter().find(|name| bugs.iter().all(|bug| bug.name != **name)) {
        let known: Vec<_> = bugs.iter().map(|bug| bug.name.as_str()).collect();
        bail!("there is no bug {unknown:?}; there are {}", known.join(", "));
    }
    Ok(bugs.into_iter().filter(|bug| names.is_empty() || names.contains(&bug.name)).collect())
}

impl Edit {
    /// The file's text with the bug in it.
    fn apply(&self, root: &Path) -> Result<String> {
        let file = self.file.display();
        let text = fs::read_to_string(root.join(&self.file)).with_context(|| format!("read {file}"))?;
        let count = text.matches(&self.from).count();
        ensure!(count == 1, "{:?} stands {count} times in {file}, and must stand there once", self.from);
        ensure!(self.from != self.to, "nothing would change in {file}");
        Ok(text.replacen(&self.from, &self.to, 1))
    }
}

/// A copy of the tree, where bugs do no harm.
struct Field {
    root: PathBuf,
    tree: PathBuf,
    target: PathBuf,
    log: PathBuf,
}

impl Field {
    /// The tree as it is now, uncommitted changes included.
    fn fence(root: &Path) -> Result<Self> {
        let at = root.join("target/bugs");
        let field = Self {
            root: root.to_owned(),
            tree: at.join("tree"),
            target: at.join("target"),
            log: at.join("test.log"),
        };
        let listed = Command::new("git")
            .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
            .current_dir(root)
            .output()
            .context("ask git for the files of the tree")?;
        ensure!(listed.status.success(), "git cannot list the files of {}", root.display());
        let names = String::from_utf8(listed.stdout).context("a file's name is not UTF-8")?;
        let names: BTreeSet<&Path> = names.split_terminator('\0').map(Path::new).collect();
        for name in names.into_iter().filter(|name| root.join(name).is_file()) {
            field.heal(name)?;
        }
        Ok(field)
    }

    /// Makes a file of the copy equal to the tree's. One that is equal keeps its time, so that only what
    /// changed is built again.
    fn heal(&self, name: &Path) -> Result<()> {
        let (from, to) = (self.root.join(name), self.tree.join(name));
        let text = fs::read(&from).with_context(|| format!("read {}", from.display()))?;
        if fs::read(&to).is_ok_and(|there| there == text) {
            return Ok(());
        }
        let folder = to.parent().context("a file lies in a folder")?;
        fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
        fs::write(&to, text).with_context(|| format!("write {}", to.display()))
    }

    /// Plants a bug and runs its test: which tests failed, or why it was not caught. Without the bug the test
    /// has to pass, so that its failure means something; `sound` are those that did.
    fn catch<'a>(&self, bug: &'a Bug, sound: &mut BTreeSet<&'a str>) -> Result<Result<String, String>> {
        if !sound.contains(bug.test.as_str()) {
            let (tally, _) = self.test(bug)?;
            if tally.passed == 0 || tally.failed > 0 {
                return Ok(Err(format!(
                    "without the bug, {} passed and {} failed",
                    tally.passed, tally.failed
                )));
            }
            sound.insert(&bug.test);
        }
        for edit in &bug.edit {
            let text = edit.apply(&self.tree)?;
            fs::write(self.tree.join(&edit.file), text).context("plant a bug")?;
        }
        let tested = self.test(bug);
        for edit in &bug.edit {
            self.heal(&edit.file)?;
        }
        let (tally, failed) = tested?;
        Ok(match (tally.failed, failed.first()) {
            (0, _) if tally.passed > 0 => Err(format!("not caught: {} passed", tally.passed)),
            (0, _) | (_, None) => Err(format!("no test ran to its end, see {}", self.log.display())),
            (count, Some(first)) if count > 1 => Ok(format!("{first} and {} more", count - 1)),
            (_, Some(first)) => Ok(first.clone()),
        })
    }

    /// Runs a bug's test in the copy: how many passed and failed, and the names of those that failed.
    fn test(&self, bug: &Bug) -> Result<(Tally, Vec<String>)> {
        let mut words = bug.test.split(' ');
        let program = words.next().context("a test is a command")?;
        let counts = if program == "node" { Counts::Node } else { Counts::Cargo };
        let step = Step::new(program, words)
            .with("CARGO_TARGET_DIR", &self.target)
            .with("PIXEL_PLAYGROUND_BIN", self.target.join("debug/pixel-playground"));
        let budget = Duration::from_secs(TEST_MINUTES_MAX * 60);
        let (end, _) = process::run(&self.tree, &[step], budget, &self.log, |_| ())?;
        let text = fs::read_to_string(&self.log).context("read what the test said")?;
        let tally = match end {
            End::OverBudget => Tally::default(),
            End::Passed | End::Failed(_) => counts.read(&text, matches!(end, End::Passed)),
        };
        Ok((tally, text.lines().filter_map(failed_test).map(str::to_owned).collect()))
    }
}

/// The name of a test that failed, as cargo's and node's runners write it.
fn failed_test(line: &str) -> Option<&str> {
    let of_cargo = || line.strip_prefix("test ")?.strip_suffix(" ... FAILED");
    let of_node = || Some(line.trim_start().strip_prefix("not ok ")?.split_once(" - ")?.1);
    of_cargo().or_else(of_node)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bug_fits_into_the_tree() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
        let bugs = load(root).unwrap();
        let names: BTreeSet<_> = bugs.iter().map(|bug| &bug.name).collect();
        assert_eq!(names.len(), bugs.len(), "names are given once");
    }

    #[test]
    fn failed_tests_are_found_by_their_names() {
        assert_eq!(failed_test("test a::b ... FAILED"), Some("a::b"));
        assert_eq!(failed_test("    not ok 3 - a refused one goes"), Some("a refused one goes"));
        assert_eq!(failed_test("test a::b ... ok"), None);
    }
}
