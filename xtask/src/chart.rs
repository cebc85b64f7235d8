//! `cargo xtask chart`: writes what is generated from the Helm chart.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::test::deploy_judges;

/// Renews the table of values in the chart's README, and the manifests for `kubectl apply -k`.
pub(crate) fn run(root: &Path) -> Result<bool> {
    let status = Command::new("python3")
        .args(["check.py", "--write"])
        .current_dir(root.join("deploy/check"))
        .env("PYTHONPATH", deploy_judges(root)?)
        .status()
        .context("run python3")?;
    Ok(status.success())
}
