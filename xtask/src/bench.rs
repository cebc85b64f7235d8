//! `cargo xtask bench`: build what is compared as it ships, then hand over to the driver.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use clap::Args;

/// The core that the driver and its clients run on; it puts the servers on the first one.
const CLIENT_CORE: &str = "1";
/// The folder of the peer that npm installs.
const NODE_PEER: &str = "benches/peers/ws";

/// What the caller asked for.
#[derive(Args)]
pub(crate) struct Options {
    /// Run only these rows; separate several with commas.
    #[arg(long, value_name = "ROW", value_delimiter = ',')]
    only: Vec<String>,
    /// Rounds that count for each contestant.
    #[arg(long, value_name = "N", default_value_t = 5)]
    rounds: usize,
    /// One short round: shows that it works, not how fast.
    #[arg(long)]
    quick: bool,
    /// Show the rows and stop.
    #[arg(long)]
    list: bool,
}

/// Builds and runs; `false` when a row did not get through.
pub(crate) fn run(root: &Path, options: &Options) -> Result<bool> {
    for (program, package) in
        [("node", "nodejs"), ("npm", "npm"), ("taskset", "util-linux"), ("redis-server", "redis-server")]
    {
        ensure!(answers(program), "the benchmarks need {program}: Debian package {package}");
    }
    // Ours alone, as it ships: built with the others it would get the features that they ask of what they share.
    for packages in ["--package pixel-playground", "--package bench-peer-axum --package bench-driver"] {
        let build = format!("build --locked --release {packages}");
        must(Command::new("cargo").args(build.split(' ')).current_dir(root))?;
    }
    must(Command::new("npm").args(["ci", "--no-audit", "--no-fund"]).current_dir(root.join(NODE_PEER)))?;

    let mut driver = if cores() > 1 {
        let mut pinned = Command::new("taskset");
        pinned.args(["-c", CLIENT_CORE]).arg(root.join("target/release/bench-driver"));
        pinned
    } else {
        Command::new(root.join("target/release/bench-driver"))
    };
    driver.arg("run").arg("--root").arg(root).args(["--rounds", &options.rounds.to_string()]);
    let flags = [("--quick", options.quick), ("--list", options.list)];
    driver.args(flags.iter().filter(|(_, set)| *set).map(|(flag, _)| flag));
    if !options.only.is_empty() {
        driver.args(["--only".into(), OsString::from(options.only.join(","))]);
    }
    let status = driver.current_dir(root).status().context("run the driver")?;
    Ok(status.success())
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

fn must(command: &mut Command) -> Result<()> {
    let shown = format!("{command:?}").replace('"', "");
    println!("$ {shown}");
    let status = command.stdin(Stdio::null()).status().with_context(|| format!("run {shown}"))?;
    ensure!(status.success(), "{shown} ended with {status}");
    Ok(())
}

fn answers(program: &str) -> bool {
    let asked = Command::new(program).arg("--version").stdin(Stdio::null()).output();
    asked.is_ok_and(|output| output.status.success())
}
