//! `cargo xtask simulate`: runs seeds of the simulation, as many as one likes.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::program::run as run_program;

/// The test that runs them.
const TEST: &str = "gateway::simulation::no_seed_breaks_a_promise";

/// Which seeds.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// How many seeds.
    #[arg(long, default_value_t = 10_000)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// One seed alone, printing everything that happens in it.
    #[arg(long, conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
}

/// Runs them; an error where one of them broke a promise.
pub(crate) fn run(root: &Path, options: &Options) -> Result<bool> {
    let mut cargo = Command::new("cargo");
    cargo.args(["test", "--locked", "--package", "pixel-playground", "--bin", "pixel-playground"]);
    cargo.args(["--", "--exact", TEST, "--nocapture"]).current_dir(root);
    match options.seed {
        Some(seed) => cargo.env("PIXEL_PLAYGROUND_SEED", seed.to_string()),
        None => cargo
            .env("PIXEL_PLAYGROUND_SEEDS", options.seeds.to_string())
            .env("PIXEL_PLAYGROUND_SEEDS_FROM", options.from.to_string()),
    };
    run_program(&mut cargo)?;
    Ok(true)
}
