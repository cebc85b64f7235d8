//! `cargo xtask fuzz`: every fuzz target under libFuzzer, one after the other.
//!
//! Targets are tests whose name begins with `fuzz_`; they are built once more, so that libFuzzer sees which ways an
//! input takes. That needs a C++ compiler, and nothing that stable Rust does not have.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::Value;

/// Crates with targets, and which of a crate's programs holds them as its unit tests.
const PACKAGES: [(&str, &[&str]); 3] = [
    ("pixel-protocol", &["--lib"]),
    ("pixel-store", &["--lib"]),
    ("pixel-playground", &["--bin", "pixel-playground"]),
];
/// What tells the code that it is fuzzed, and libFuzzer which ways an input takes.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
                     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
                     -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares";
/// Where it is built, what is found on the way, and what fails, from the repository's root.
const FOLDER: &str = "target/fuzz";
/// What libFuzzer starts as itself, from the repository's root.
const ITSELF: &str = "target/fuzz/itself";
/// What is kept for every test run.
const CORPUS: &str = "fuzz/corpus";
/// Longer inputs are not made: the longest message is as long.
const INPUT_BYTES_MAX: u32 = 4_096;
/// One that takes longer is a failure.
const INPUT_SECONDS_MAX: u32 = 10;

/// How long a target has its turn, where executions of all are counted together.
const TURN_SECONDS: u32 = 20;

/// What the caller asked for.
#[derive(Args)]
pub(crate) struct Options {
    /// Only targets whose name contains this.
    #[arg(long)]
    target: Option<String>,
    /// Executions of each target.
    #[arg(long, default_value_t = 1_000_000, conflicts_with = "total")]
    executions: u64,
    /// Executions of all targets together: they take turns, so that quick ones have more.
    #[arg(long)]
    total: Option<u64>,
    /// Run none: add to fuzz/corpus the least of what was found that reaches more.
    #[arg(long, conflicts_with_all = ["executions", "total"])]
    keep: bool,
}

/// One target: the program that holds it, its test, and what came of it.
struct Target {
    program: PathBuf,
    test: String,
    executions: u64,
    has_failed: bool,
}

impl Target {
    fn name(&self) -> &str {
        self.test.rsplit_once("fuzz_").map_or(&*self.test, |(_, name)| name)
    }

    /// Hands it to libFuzzer with these arguments; what that said, and whether all went well.
    fn run(&self, root: &Path, arguments: String) -> Result<(String, bool)> {
        let ran = self.program(root, "PIXEL_PLAYGROUND_FUZZ_ARGUMENTS", arguments.into()).output()?;
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        fs::write(root.join(FOLDER).join(format!("{}.log", self.name())), &said)?;
        Ok((said, ran.status.success()))
    }

    fn program(&self, root: &Path, key: &str, value: OsString) -> Command {
        let mut program = Command::new(&self.program);
        program.args([&*self.test, "--exact", "--nocapture", "--test-threads", "1"]).env(key, value);
        program.current_dir(root);
        program
    }

    /// A program that takes its arguments as libFuzzer gives them, which merges inputs in another process.
    fn write_itself(&self, root: &Path) -> Result<()> {
        let script = format!(
            "#!/bin/sh\nPIXEL_PLAYGROUND_FUZZ_ARGUMENTS=\"$0 $*\" exec '{}' {} --exact --nocapture \
             --test-threads 1\n",
            self.program.display(),
            self.test
        );
        let file = root.join(ITSELF);
        fs::write(&file, script)?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755))?;
        Ok(())
    }
}

/// Runs what was asked for; `false` when an input failed.
pub(crate) fn run(root: &Path, options: &Options) -> Result<bool> {
    let mut targets = Vec::new();
    for (package, tests) in PACKAGES {
        targets.extend(targets_in(&build(root, package, tests)?)?);
    }
    targets.retain(|target| options.target.as_ref().is_none_or(|wanted| target.name().contains(wanted)));
    ensure!(!targets.is_empty(), "there is no such target");
    if options.keep {
        return targets.iter().try_for_each(|target| keep(root, target)).map(|()| true);
    }
    match options.total {
        Some(total) => take_turns(root, &mut targets, total)?,
        None => {
            for target in &mut targets {
                fuzz(root, target, &format!("-runs={}", options.executions))?;
            }
        }
    }
    for target in &targets {
        let ending = if target.has_failed { "  FAILED" } else { "" };
        println!("{:<24} {:>12} executions{ending}", target.name(), target.executions);
    }
    let failed: Vec<_> = targets.iter().filter(|target| target.has_failed).map(Target::name).collect();
    let (total, count) = (executed(&targets), targets.len());
    println!("{:<24} {total:>12} executions, {count} targets, {} failed", "all", failed.len());
    for name in &failed {
        println!("{name}: the input is in {FOLDER}/failed, what was said in {FOLDER}/{name}.log");
    }
    Ok(failed.is_empty())
}

/// Runs one target after the other for a while each, again and again; one that failed has no more turns.
fn take_turns(root: &Path, targets: &mut [Target], total: u64) -> Result<()> {
    while executed(targets) < total && !targets.iter().all(|target| target.has_failed) {
        for target in targets.iter_mut().filter(|target| !target.has_failed) {
            fuzz(root, target, &format!("-max_total_time={TURN_SECONDS}"))?;
        }
        println!("{:<24} {:>12} executions so far", "all", executed(targets));
    }
    Ok(())
}

fn executed(targets: &[Target]) -> u64 {
    targets.iter().map(|target| target.executions).sum()
}

/// Builds the unit tests of a crate with targets; the program that they are.
fn build(root: &Path, package: &str, tests: &[&str]) -> Result<PathBuf> {
    let mut cargo = Command::new("cargo");
    cargo.args(["test", "--locked", "--no-run", "--profile", "fuzz", "--message-format", "json"]).args(tests);
    // The platform is named, so that the flags are for the targets alone, not for what builds them.
    cargo.args(["--package", package, "--target", &host()?, "--target-dir"]).arg(root.join(FOLDER));
    let built = cargo.env("RUSTFLAGS", FLAGS).current_dir(root).stderr(Stdio::inherit()).output()?;
    ensure!(built.status.success(), "the targets of {package} could not be built");
    let lines = built.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let messages =
        lines.map(serde_json::from_slice).collect::<Result<Vec<Value>, _>>().context("what cargo said")?;
    let mut tests = messages.iter().filter(|message| message["profile"]["test"] == true);
    let program = tests.find_map(|message| message["executable"].as_str());
    program.map(PathBuf::from).with_context(|| format!("cargo built no tests of {package}"))
}

/// The platform of this machine.
fn host() -> Result<String> {
    let said = Command::new("rustc").arg("-vV").output().context("run rustc")?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("rustc does not say its host")
}

fn targets_in(program: &Path) -> Result<Vec<Target>> {
    let said = Command::new(program).args(["fuzz_", "--list", "--format", "terse"]).output()?;
    let said = String::from_utf8(said.stdout).context("names of tests")?;
    let tests = said.lines().filter_map(|line| line.strip_suffix(": test"));
    let is_target = |test: &&str| test.rsplit("::").next().is_some_and(|name| name.starts_with("fuzz_"));
    Ok(tests
        .filter(is_target)
        .map(|test| Target {
            program: program.to_owned(),
            test: test.to_owned(),
            executions: 0,
            has_failed: false,
        })
        .collect())
}

/// Runs one target up to a limit, and adds up how often it ran.
fn fuzz(root: &Path, target: &mut Target, limit: &str) -> Result<()> {
    let name = target.name();
    let (seeds, found) = (format!("{FOLDER}/seeds/{name}"), format!("{FOLDER}/found/{name}"));
    let (corpus, failed) = (format!("{CORPUS}/{name}"), format!("{FOLDER}/failed"));
    for folder in [&seeds, &found, &corpus, &failed] {
        fs::create_dir_all(root.join(folder)).with_context(|| format!("make {folder}"))?;
    }
    // The target knows its seeds.
    let wrote = target.program(root, "PIXEL_PLAYGROUND_FUZZ_SEEDS", root.join(&seeds).into()).output()?;
    ensure!(wrote.status.success(), "{name} cannot write its seeds");
    let (said, is_good) = target.run(
        root,
        format!(
            "fuzz {found} {corpus} {seeds} {limit} -max_len={INPUT_BYTES_MAX} -timeout={INPUT_SECONDS_MAX} \
             -artifact_prefix={failed}/{name}- -print_final_stats=1 -verbosity=0"
        ),
    )?;
    let counted = said.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    match counted.and_then(|count| count.trim().parse::<u64>().ok()) {
        Some(counted) => target.executions += counted,
        None => ensure!(!is_good, "{name} did not say how often it ran: {said}"),
    }
    target.has_failed |= !is_good;
    Ok(())
}

/// Adds the least of what was found that reaches more to what every test run tries.
fn keep(root: &Path, target: &Target) -> Result<()> {
    let name = target.name();
    let (corpus, found) = (format!("{CORPUS}/{name}"), format!("{FOLDER}/found/{name}"));
    for folder in [&corpus, &found] {
        fs::create_dir_all(root.join(folder)).with_context(|| format!("make {folder}"))?;
    }
    // How often a way is taken does not count: ten times as many inputs would be kept.
    let arguments = "-set_cover_merge=1 -use_counters=0 -verbosity=0";
    target.write_itself(root)?;
    let (said, is_good) =
        target.run(root, format!("{ITSELF} {corpus} {found} {arguments} -max_len={INPUT_BYTES_MAX}"))?;
    ensure!(is_good && said.contains("MERGE-OUTER: successful"), "{name} could not be made small: {said}");
    println!("{name:<24} {:>12} inputs kept", fs::read_dir(root.join(&corpus))?.count());
    Ok(())
}
