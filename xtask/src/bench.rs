//! `cargo xtask bench`: build what is compared as it ships, then hand over to the driver.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::program::{self, NODE_PEER, PAGE, is_installed, npm_install};

/// The core that the driver and its clients run on; it puts the servers on the first one.
const CLIENT_CORE: &str = "1";

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
    if options.list {
        // The driver alone knows the rows, and needs nothing to tell them.
        let list = "run --quiet --locked --package bench-driver -- run --list";
        let status = Command::new("cargo").args(list.split(' ')).current_dir(root).status();
        return Ok(status.context("run the driver")?.success());
    }
    for (program, package) in [
        ("node", "nodejs"),
        ("npm", "npm"),
        ("taskset", "util-linux"),
        ("redis-server", "redis-server"),
        ("chromium", "chromium"),
    ] {
        ensure!(is_installed(program), "the benchmarks need {program}: Debian package {package}");
    }
    // Ours alone, as it ships: built with the others it would get the features that they ask of what they share.
    for packages in
        ["--package pixel-playground", "--package bench-peer-axum --package bench-driver --package loadgen"]
    {
        let build = format!("build --locked --release {packages}");
        program::run(Command::new("cargo").args(build.split(' ')).current_dir(root))?;
    }
    npm_install(root, NODE_PEER)?;
    npm_install(root, PAGE)?;

    let mut driver = if cores() > 1 {
        let mut pinned = Command::new("taskset");
        pinned.args(["-c", CLIENT_CORE]).arg(root.join("target/release/bench-driver"));
        pinned
    } else {
        Command::new(root.join("target/release/bench-driver"))
    };
    driver.arg("run").arg("--root").arg(root).args(["--rounds", &options.rounds.to_string()]);
    if options.quick {
        driver.arg("--quick");
    }
    if !options.only.is_empty() {
        driver.args(["--only".into(), OsString::from(options.only.join(","))]);
    }
    let status = driver.current_dir(root).status().context("run the driver")?;
    Ok(status.success())
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
