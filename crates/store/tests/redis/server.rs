//! A Redis server of a test's own, in a folder that vanishes.

use std::ffi::OsStr;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use pixel_store::redis::Address;
use redis::{Client, Connection, RedisResult};
use tempfile::TempDir;

use super::guard::{Guard, rules};

/// Who does not take a connection within this time is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How often a server that is starting is asked whether it is there.
const ASK_INTERVAL: Duration = Duration::from_millis(10);
/// How often in all: some 30 s.
const ASKS_MAX: usize = 3_000;

/// Stands in an argument for a port that nobody uses.
pub(crate) const FREE_PORT: &str = "FREE-PORT";

/// Where a server runs: its address, and the words before its own that put it there.
#[derive(Clone)]
pub(crate) struct Host {
    pub(crate) ip: Ipv4Addr,
    pub(crate) under: Vec<String>,
}

impl Host {
    /// This machine, as everybody on it sees it.
    pub(crate) fn here() -> Self {
        Self { ip: Ipv4Addr::LOCALHOST, under: Vec::new() }
    }

    /// A command that is run there.
    pub(crate) fn command(&self, program: &OsStr) -> Command {
        let mut words = self.under.iter().map(OsStr::new).chain([program]);
        let mut command = Command::new(words.next().expect("at least the program"));
        command.args(words);
        command
    }
}

/// A server, killed when it is dropped.
pub(crate) struct Server {
    host: Host,
    /// Who is let in, where that is not everybody.
    guard: Option<Arc<Guard>>,
    port: u16,
    /// What [`FREE_PORT`] stood for.
    second_port: u16,
    arguments: Vec<String>,
    folder: TempDir,
    process: Child,
}

impl Server {
    /// Starts a server that keeps nothing, unless the arguments say otherwise.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_on(&Host::here(), arguments)
    }

    /// The same on a host of its own.
    pub(crate) fn start_on(host: &Host, arguments: &[&str]) -> Self {
        Self::start_behind(None, host, arguments)
    }

    /// The same behind a guard.
    pub(crate) fn start_behind(guard: Option<&Arc<Guard>>, host: &Host, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        // Another may take a port between looking and binding: then look again.
        for _ in 0..10 {
            let (port, second_port) = (free_port(), free_port());
            let argument = |argument: &&str| argument.replace(FREE_PORT, &second_port.to_string());
            let arguments: Vec<String> = arguments.iter().map(argument).collect();
            let at = SocketAddr::from((host.ip, port));
            let guard = guard.map(Arc::clone);
            let mut process = run(host, port, guard.as_deref(), &arguments, &folder);
            if wait_until_up(at, guard.as_deref(), &mut process) {
                return Self { host: host.clone(), guard, port, second_port, arguments, folder, process };
            }
        }
        panic!("redis-server does not start: is the Debian package redis-server installed?");
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn at(&self) -> SocketAddr {
        (self.host.ip, self.port).into()
    }

    pub(crate) fn second_port(&self) -> u16 {
        self.second_port
    }

    pub(crate) fn address(&self) -> Address {
        Address::parse(&format!("redis://{}/0", self.at())).expect("an address")
    }

    /// A connection to look behind the store's back.
    pub(crate) fn connection(&self) -> Connection {
        self.try_connection().expect("the server is up")
    }

    /// The same, where the server may be down.
    pub(crate) fn try_connection(&self) -> RedisResult<Connection> {
        connect(self.at(), self.guard.as_deref())
    }

    /// Gives a user the rights that the handbook lists.
    pub(crate) fn make_user(&self, user: &str, password: &str) {
        let mut set = redis::cmd("ACL");
        set.arg("SETUSER").arg(user);
        for rule in rules(user, password, false).split_whitespace() {
            set.arg(rule);
        }
        set.exec(&mut self.connection()).expect("the rules can be read");
    }

    /// Where it keeps its files.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Kills it as a crash would.
    pub(crate) fn kill(&mut self) {
        self.process.kill().expect("a process of ours");
        self.process.wait().expect("it was killed");
    }

    /// Starts it again, on what it kept.
    pub(crate) fn restart(&mut self) {
        let guard = self.guard.as_deref();
        self.process = run(&self.host, self.port, guard, &self.arguments, &self.folder);
        assert!(wait_until_up(self.at(), guard, &mut self.process), "the server starts again");
    }

    /// Stops it in its tracks: connections stay open and nothing is answered.
    pub(crate) fn freeze(&self) {
        self.signal("-STOP");
    }

    pub(crate) fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.process.id().to_string()]).status();
        assert!(sent.expect("kill is there").success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have been killed before.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound").port()
}

/// The server's executable: Debian's Redis, or the one that the tests are told to try.
#[expect(clippy::disallowed_methods, reason = "tests are told by the environment what to do")]
pub(crate) fn executable() -> std::ffi::OsString {
    std::env::var_os("PIXEL_PLAYGROUND_REDIS_SERVER").unwrap_or_else(|| "redis-server".into())
}

fn run(host: &Host, port: u16, guard: Option<&Guard>, arguments: &[String], folder: &TempDir) -> Child {
    let listen = match guard {
        Some(guard) => guard.arguments(port),
        None => vec!["--port".to_owned(), port.to_string()],
    };
    host.command(&executable())
        .args(listen)
        // Who is on another host is let in, too.
        .args(["--bind", &host.ip.to_string(), "--protected-mode", "no", "--save", ""])
        .arg("--dir")
        .arg(folder.path())
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server is there: install the Debian package redis-server")
}

/// Whether it answers; `false` when it ended instead.
fn wait_until_up(at: SocketAddr, guard: Option<&Guard>, process: &mut Child) -> bool {
    for _ in 0..ASKS_MAX {
        if process.try_wait().expect("a process of ours").is_some() {
            return false;
        }
        let up = connect(at, guard).is_ok_and(|mut connection| {
            match redis::cmd("PING").query::<String>(&mut connection) {
                Ok(answer) => answer == "PONG",
                // It asks for a password: it is there.
                Err(error) => error.code() == Some("NOAUTH"),
            }
        });
        if up {
            return true;
        }
        std::thread::sleep(ASK_INTERVAL);
    }
    false
}

/// A way to whoever listens there, as this guard lets in.
pub(crate) fn connect(at: SocketAddr, guard: Option<&Guard>) -> RedisResult<Connection> {
    let client = match guard {
        Some(guard) => guard.client(at),
        None => Client::open(format!("redis://{at}/0")),
    };
    client?.get_connection_with_timeout(CONNECT_TIMEOUT)
}

/// Waits until something holds; two minutes at most, since a sentinel takes its time.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..4 * ASKS_MAX {
        if holds() {
            return;
        }
        std::thread::sleep(ASK_INTERVAL);
    }
    panic!("{what}");
}
