//! Those that are compared: each a process of its own, on the first core, with whatever it needs beside it.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::clock::now_ns;
use crate::machine;
use crate::secure;
use crate::wire::{Dialect, Ground, NARROW, SMALL, WIDE};

/// The core that servers run on.
pub(crate) const SERVER_CORE: &str = "0";
/// The core that everything else runs on.
pub(crate) const CLIENT_CORE: &str = "1";
/// How long a server may take to answer.
const START_PATIENCE_NS: u64 = 30_000_000_000;
/// Sockets that one address may open at ours: more than any crowd has.
const ADDRESS_CONNECTIONS: &str = "100000";

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Contestant {
    /// Bare sends of messages of so many bytes.
    Floor {
        /// Bytes of a message.
        bytes: usize,
    },
    /// The plain broadcaster with Node's `ws`.
    NodeWs,
    /// axum with a broadcast channel for each connection.
    Axum,
    /// The shipped executable, in the JSON dialect.
    OursJson,
    /// The shipped executable, in the binary dialect.
    OursBinary,
}

/// Bytes of the floor's messages, about those of a frame in the JSON dialect.
pub(crate) const FRAME_BYTES: usize = 128;

impl Contestant {
    /// Everybody.
    pub(crate) const ALL: [Self; 5] =
        [Self::Floor { bytes: FRAME_BYTES }, Self::NodeWs, Self::Axum, Self::OursJson, Self::OursBinary];

    pub(crate) fn name(self) -> String {
        match self {
            Self::Floor { bytes } => format!("floor, {bytes} B"),
            Self::NodeWs => "Node ws".to_owned(),
            Self::Axum => "axum, broadcast".to_owned(),
            Self::OursJson => "ours, JSON".to_owned(),
            Self::OursBinary => "ours, binary".to_owned(),
        }
    }

    pub(crate) fn dialect(self) -> Dialect {
        match self {
            Self::Floor { bytes } => Dialect::Raw { bytes },
            Self::NodeWs | Self::Axum => Dialect::PlainJson,
            Self::OursJson => Dialect::Json,
            Self::OursBinary => Dialect::Binary,
        }
    }

    /// The colour that it has in every chart.
    pub(crate) fn color(self) -> &'static str {
        match self {
            Self::Floor { .. } => "#6b7280",
            Self::NodeWs => "#b45309",
            Self::Axum => "#7c3aed",
            Self::OursJson => "#0369a1",
            Self::OursBinary => "#15803d",
        }
    }

    pub(crate) fn is_ours(self) -> bool {
        matches!(self, Self::OursJson | Self::OursBinary)
    }
}

/// Where the programs are.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    /// The repository.
    pub(crate) root: PathBuf,
    /// The executable that ships.
    pub(crate) ours: PathBuf,
    /// The folder of the peers that are built.
    pub(crate) peers: PathBuf,
}

impl Programs {
    /// A folder on the repository's disk, since a temporary one may lie in memory, where syncing costs nothing.
    pub(crate) fn folder(&self) -> Result<tempfile::TempDir> {
        let above = self.root.join("target/bench");
        fs::create_dir_all(&above).with_context(|| format!("make {}", above.display()))?;
        tempfile::tempdir_in(&above).context("make a folder for a store")
    }
}

/// A server that runs. It is killed when dropped, and its folder goes with it.
pub(crate) struct Running {
    child: Child,
    /// Where clients connect.
    pub(crate) address: SocketAddr,
    /// Where ours tells its metrics.
    ops: Option<SocketAddr>,
    /// Where ours answers REST.
    pub(crate) api: Option<SocketAddr>,
    /// Where ours has its page.
    frontend: Option<SocketAddr>,
    folder: tempfile::TempDir,
}

impl Running {
    /// Starts a contestant and waits until it answers. `flags` are for ours alone.
    pub(crate) fn start(programs: &Programs, contestant: Contestant, flags: &[&str]) -> Result<Self> {
        let folder = programs.folder()?;
        let address = free_address()?;
        let (mut ops, mut api, mut frontend) = (None, None, None);
        let mut command = on_core(SERVER_CORE);
        match contestant {
            Contestant::Floor { bytes } => {
                command
                    .arg(std::env::current_exe()?)
                    .arg("floor")
                    .arg(address.to_string())
                    .arg(bytes.to_string());
            }
            Contestant::NodeWs => {
                command
                    .arg("node")
                    .arg(programs.root.join("benches/peers/ws/server.js"))
                    .arg(address.to_string());
            }
            Contestant::Axum => {
                command.arg(programs.peers.join("bench-peer-axum")).arg(address.to_string());
            }
            Contestant::OursJson | Contestant::OursBinary => {
                let (page, api_listen, ops_listen) = (free_address()?, free_address()?, free_address()?);
                (ops, api, frontend) = (Some(ops_listen), Some(api_listen), Some(page));
                if flags == secure::FLAGS {
                    secure::write_certificate(folder.path())?;
                }
                command
                    .arg(&programs.ours)
                    .args(["--rate-limit", "off", "--address-connections", ADDRESS_CONNECTIONS])
                    .arg("--config")
                    .arg(write_config(folder.path())?)
                    .arg("--store")
                    .arg(format!("embedded:{}", folder.path().join("data").display()))
                    .args(["--gateway-listen", &address.to_string()])
                    .args(["--frontend-listen", &page.to_string()])
                    .args(["--api-listen", &api_listen.to_string()])
                    .args(["--ops-listen", &ops_listen.to_string()])
                    .args(flags);
            }
        }
        let log = File::create(folder.path().join("log"))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .current_dir(folder.path())
            .spawn()
            .with_context(|| format!("start {}", contestant.name()))?;
        let mut running = Self { child, address, ops, api, frontend, folder };
        running.wait_until_it_answers(&contestant.name())?;
        Ok(running)
    }

    fn wait_until_it_answers(&mut self, name: &str) -> Result<()> {
        let deadline = now_ns() + START_PATIENCE_NS;
        loop {
            let up = match self.ops {
                Some(ops) => get(ops, "/readyz").is_ok(),
                None => TcpStream::connect(self.address).is_ok(),
            };
            if up {
                return Ok(());
            }
            let ended = self.child.try_wait()?;
            if ended.is_some() || now_ns() > deadline {
                bail!("{name} does not answer: {}", self.log());
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// What it said.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn resident_bytes(&self) -> Result<u64> {
        machine::resident_bytes(self.process())
    }

    /// The address of its page, and of all that the page asks.
    pub(crate) fn origin(&self) -> Result<String> {
        Ok(format!("http://{}", self.frontend.context("ours has a page")?))
    }

    /// The page of a canvas.
    pub(crate) fn page(&self, canvas: &str) -> Result<String> {
        Ok(format!("{}/c/{canvas}", self.origin()?))
    }

    /// One of its metrics, as [`metric`] reads it; `None` for those that have none.
    pub(crate) fn metric(&self, name: &str) -> Result<Option<f64>> {
        self.ops.map(|ops| metric(ops, name)).transpose()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself, and then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command that runs its arguments on this core, where there is more than one.
pub(crate) fn on_core(core: &str) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", if machine::cores() > 1 { core } else { "0" }]);
    command
}

/// A metric of ours, summed over labels unless they are named.
pub(crate) fn metric(ops: SocketAddr, name: &str) -> Result<f64> {
    let text = String::from_utf8(get(ops, "/metrics")?)?;
    let values = text.lines().filter_map(|line| {
        let (key, value) = line.split_once(' ')?;
        (key == name || key.split('{').next() == Some(name)).then(|| value.parse::<f64>().ok())?
    });
    Ok(values.sum())
}

/// The canvas that everybody else has, too, and two of ours, which cost nothing while nobody is there.
pub(crate) fn write_config(folder: &Path) -> Result<PathBuf> {
    let path = folder.join("config.toml");
    let text = [NARROW, WIDE, SMALL].map(|Ground { canvas, side, .. }| {
        format!("[[canvas]]\nid = \"{canvas}\"\nname = \"Benchmark\"\nwidth = {side}\nheight = {side}\n")
    });
    fs::write(&path, text.concat())?;
    Ok(path)
}

/// An address that nobody listens on.
pub(crate) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// The body of a GET that was answered with 200.
pub(crate) fn get(address: SocketAddr, path: &str) -> Result<Vec<u8>> {
    Ok(get_as(address, path, "identity")?.1)
}

/// Head and body of a GET that asked for these encodings and was answered with 200.
pub(crate) fn get_as(address: SocketAddr, path: &str, encodings: &str) -> Result<(String, Vec<u8>)> {
    let mut stream = TcpStream::connect(address)?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept-Encoding: {encodings}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let end = answer
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .context("an answer without an end of its head")?;
    let body = answer.split_off(end + 4);
    let head = String::from_utf8_lossy(&answer).into_owned();
    if !head.starts_with("HTTP/1.1 200 ") {
        bail!("{path}: {head}");
    }
    Ok((head, body))
}
