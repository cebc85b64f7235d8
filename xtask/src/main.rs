//! The project's own commands: `cargo xtask test` and what stands beside it.

mod bench;
mod chart;
mod fuzz;
mod image;
mod program;
mod simulate;
mod test;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The project's own commands.
#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    about = "Pixel Playground's own commands.",
    after_help = "New here? `cargo run --release` opens a canvas on http://localhost:3000,\n\
                  `cargo xtask test` checks everything the way CI does, and\n\
                  `cargo xtask test --only unit` is the quick one to run while you work.",
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install what the tests need, then run every suite within its budget of minutes.
    Test(test::Options),
    /// Plant known bugs one at a time, and see each caught by its test.
    Bugs(test::bugs::Options),
    /// Kill, cut, fill, freeze and part whatever keeps pixels, and say what came of each.
    Break(test::BreakOptions),
    /// Measure the gateway beside others on this machine, and write docs/performance.md.
    Bench(bench::Options),
    /// Run the fuzz targets under libFuzzer, as often as asked.
    Fuzz(fuzz::Options),
    /// Run seeds of the simulation: gateways, clients and a model of the store in one thread.
    Simulate(simulate::Options),
    /// Build the container image as target/image/pixel-playground.tar, without a registry or a daemon.
    Image,
    /// Write what is generated from the Helm chart: its README's table, and plain manifests.
    Chart,
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Test(options) => test::run(&repository(), &options),
        Command::Bugs(options) => test::bugs::run(&repository(), &options),
        Command::Break(options) => test::run_breaker(&repository(), &options),
        Command::Bench(options) => bench::run(&repository(), &options),
        Command::Fuzz(options) => fuzz::run(&repository(), &options),
        Command::Simulate(options) => simulate::run(&repository(), &options),
        Command::Image => image::run(&repository()).map(|()| true),
        Command::Chart => chart::run(&repository()),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The folder that holds the workspace: the one above this crate.
fn repository() -> PathBuf {
    let above = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    above.expect("this crate lies inside the workspace").to_owned()
}
