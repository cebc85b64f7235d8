//! `cargo xtask fuzz`: every fuzz target under libFuzzer, one after the other.
//!
//! Targets are tests whose name begins with `fuzz_`; they are built once more, so that libFuzzer sees which ways an
//! input takes. That needs a C++ compiler, and nothing that stable Rust does not have.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde_json::Value;

/// Crates with targets.
const PACKAGES: [&str; 3] = ["pixel-protocol", "pixel-store", "pixel-playground"];
/// What tells the code that it is fuzzed, and libFuzzer which ways an input takes.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
                     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
                     -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares";
/// Where it is built, what is found on the way, and what fails, from the repository's root.
const FOLDER: &str = "target/fuzz";
/// What is kept for every test run.
const CORPUS: &str = "fuzz/corpus";
/// Longer inputs are not made: the longest message is as long.
const INPUT_BYTES_MAX: u32 = 4_096;
/// One that takes longer is a failure.
const INPUT_SECONDS_MAX: u32 = 10;

/// What the caller asked for.
#[derive(Args)]
pub(crate) struct Options {
    /// Only targets whose name contains this.
    #[arg(long)]
    target: Option<String>,
    /// Executions of each target.
    #[arg(long, default_value_t = 1_000_000)]
    executions: u64,
}

/// One target: the program that holds it, and its test.
struct Target {
    program: PathBuf,
    test: String,
}

impl Target {
    fn name(&self) -> &str {
        self.test.rsplit_once("fuzz_").map_or(&*self.test, |(_, name)| name)
    }
}

/// Runs what was asked for; `false` when an input failed.
pub(crate) fn run(root: &Path, options: &Options) -> Result<bool> {
    let (mut total, mut count, mut failed) = (0, 0, Vec::new());
    for package in PACKAGES {
        let program = build(root, package)?;
        let mut targets = targets_in(&program)?;
        targets.retain(|target| options.target.as_ref().is_none_or(|wanted| target.name().contains(wanted)));
        for target in targets {
            let (executions, is_good) = fuzz(root, &target, options.executions)?;
            let ending = if is_good { "" } else { "  FAILED" };
            println!("{:<24} {executions:>12} executions{ending}", target.name());
            total += executions;
            count += 1;
            if !is_good {
                failed.push(target.name().to_owned());
            }
        }
    }
    ensure!(count > 0, "there is no such target");
    println!("{:<24} {total:>12} executions, {count} targets, {} failed", "all", failed.len());
    for name in &failed {
        println!("{name}: the input is in {FOLDER}/failed, what was said in {FOLDER}/{name}.log");
    }
    Ok(failed.is_empty())
}

/// Builds the unit tests of a crate with targets; the program that they are.
fn build(root: &Path, package: &str) -> Result<PathBuf> {
    let mut cargo = Command::new("cargo");
    cargo.args([
        "test",
        "--locked",
        "--no-run",
        "--profile",
        "fuzz",
        "--lib",
        "--bins",
        "--message-format",
        "json",
    ]);
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
        .map(|test| Target { program: program.to_owned(), test: test.to_owned() })
        .collect())
}

/// Runs one target; says how many executions it had, and whether all went well.
fn fuzz(root: &Path, target: &Target, executions: u64) -> Result<(u64, bool)> {
    let name = target.name();
    let (seeds, found) = (format!("{FOLDER}/seeds/{name}"), format!("{FOLDER}/found/{name}"));
    let (corpus, failed) = (format!("{CORPUS}/{name}"), format!("{FOLDER}/failed"));
    for folder in [&seeds, &found, &corpus, &failed] {
        fs::create_dir_all(root.join(folder)).with_context(|| format!("make {folder}"))?;
    }
    let program = |key, value: OsString| {
        let mut program = Command::new(&target.program);
        program.args([&*target.test, "--exact", "--nocapture", "--test-threads", "1"]).env(key, value);
        program.current_dir(root);
        program
    };
    // The target knows its seeds.
    let wrote = program("PIXEL_PLAYGROUND_FUZZ_SEEDS", root.join(&seeds).into()).output()?;
    ensure!(wrote.status.success(), "{name} cannot write its seeds");
    let arguments = format!(
        "{found} {corpus} {seeds} -runs={executions} -max_len={INPUT_BYTES_MAX} -timeout={INPUT_SECONDS_MAX} \
         -artifact_prefix={failed}/{name}- -print_final_stats=1 -verbosity=0"
    );
    let ran = program("PIXEL_PLAYGROUND_FUZZ_ARGUMENTS", arguments.into()).output()?;
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    fs::write(root.join(FOLDER).join(format!("{name}.log")), &said)?;
    let counted = said.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    match counted.and_then(|count| count.trim().parse().ok()) {
        Some(counted) => Ok((counted, ran.status.success())),
        None if ran.status.success() => bail!("{name} did not say how often it ran: {said}"),
        None => Ok((0, false)),
    }
}
