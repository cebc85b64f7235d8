//! Other programs: whether they are there, and running them so that one sees what is run.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// The benchmarks' peer that npm installs.
pub(crate) const NODE_PEER: &str = "benches/peers/ws";
/// Where the page, its tests, and what looks at it in a browser are.
pub(crate) const PAGE: &str = "web";

/// Shows and runs it; an error unless it ends well.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = format!("{command:?}").replace('"', "");
    println!("  $ {shown}");
    let status = command.stdin(Stdio::null()).status().with_context(|| format!("run {shown}"))?;
    ensure!(status.success(), "{shown} ended with {status}");
    Ok(())
}

/// What a program prints when asked; `None` when it is not there or fails.
pub(crate) fn says(program: &Path, argument: &str) -> Option<String> {
    let output = Command::new(program).arg(argument).stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether a program is there and tells its version.
pub(crate) fn is_installed(program: impl AsRef<Path>) -> bool {
    says(program.as_ref(), "--version").is_some()
}

/// Installs what the folder's package-lock.json says.
pub(crate) fn npm_install(root: &Path, folder: &str) -> Result<()> {
    run(Command::new("npm").args(["ci", "--no-audit", "--no-fund"]).current_dir(root.join(folder)))
}
