//! Starts contestants on one core, drives them from another, and tells what each delivered at what price.

mod chart;
mod clock;
mod contest;
mod contestant;
mod crowd;
mod fanout;
mod floor;
mod ledger;
mod loads;
mod machine;
mod report;
mod resp;
mod rows;
mod secure;
mod smoke;
mod wire;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand};

use contestant::Programs;
use rows::{Bench, Row};

/// Rounds of each entrant, where nothing else is said.
const ROUNDS: usize = 5;

/// The benchmarks; `cargo xtask bench` builds what they need and starts this.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run rows, print their tables, and write docs/performance.md.
    Run(Options),
    /// Judge that every contestant is measured rightly, with a few clients: nothing is timed.
    Smoke {
        /// The executable that ships.
        ours: PathBuf,
        /// The repository.
        #[arg(long, default_value = ".")]
        root: PathBuf,
    },
    /// Serve bare sends of messages of so many bytes.
    Floor {
        /// Where to listen.
        address: SocketAddr,
        /// Bytes of a message.
        bytes: usize,
    },
}

#[derive(Args)]
struct Options {
    /// The repository.
    #[arg(long, default_value = ".")]
    root: PathBuf,
    /// Run only these rows; separate several with commas.
    #[arg(long, value_name = "ROW", value_delimiter = ',')]
    only: Vec<String>,
    /// Rounds that count for each entrant.
    #[arg(long, default_value_t = ROUNDS)]
    rounds: usize,
    /// One short round: shows that it works, not how fast.
    #[arg(long)]
    quick: bool,
    /// Show the rows and stop.
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Run(options) => run(&options),
        Command::Smoke { ours, root } => smoke(&root, &ours).map(|()| true),
        Command::Floor { address, bytes } => floor::serve(address, bytes).map(|()| true),
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

/// Runs what was asked for; `false` when a row did not get through.
fn run(options: &Options) -> Result<bool> {
    let rows = chosen(&options.only)?;
    if options.list {
        rows.iter().for_each(|row| println!("{:16} {}", row.name, row.title));
        return Ok(true);
    }
    let root = options.root.canonicalize().context("find the repository")?;
    let programs = programs(&root, root.join("target/release/pixel-playground"))?;
    let rounds = if options.quick { 1 } else { options.rounds.max(1) };
    let bench = Bench { programs, rounds, quick: options.quick };
    let mut whole = true;
    for row in rows {
        eprintln!("{}: {}", row.name, row.title);
        match row.run(&bench) {
            Ok(section) => {
                section.print();
                // What one short round shows is not for the document.
                if !bench.quick {
                    report::keep(&bench.programs.root, &section)?;
                }
            }
            Err(error) => {
                eprintln!("{} did not get through: {error:#}", row.name);
                whole = false;
            }
        }
    }
    if options.quick {
        return Ok(whole);
    }
    let names: Vec<&str> = rows::ALL.iter().map(|row| row.name).collect();
    let written = report::write_document(&bench.programs.root, &names)?;
    println!("\nWritten to {}", written.display());
    Ok(whole)
}

/// What the smoke form is asked.
fn smoke(root: &Path, ours: &Path) -> Result<()> {
    let root = root.canonicalize().context("find the repository")?;
    smoke::run(&programs(&root, ours.canonicalize().context("find the executable")?)?)
}

/// The peers are built with this program, into the same folder.
fn programs(root: &Path, ours: PathBuf) -> Result<Programs> {
    let own = std::env::current_exe().context("find this program")?;
    let peers = own.parent().context("this program lies in a folder")?.to_owned();
    Ok(Programs { root: root.to_owned(), ours, peers })
}

fn chosen(only: &[String]) -> Result<Vec<Row>> {
    let names = || rows::ALL.iter().map(|row| row.name).collect::<Vec<_>>().join(", ");
    if let Some(unknown) = only.iter().find(|name| rows::ALL.iter().all(|row| row.name != **name)) {
        bail!("there is no row {unknown:?}; there are {}", names());
    }
    let asked = |row: &&Row| only.is_empty() || only.iter().any(|name| name == row.name);
    Ok(rows::ALL.iter().filter(asked).copied().collect())
}
