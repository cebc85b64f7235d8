//! A real Redis server, or the one that the store's tests are told to try, on a loopback address and a folder of its own.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::server::own_host;
use super::stores::server::{Host, executable};
use super::{eventually, stands_still};

pub const PORT: u16 = 6_379;

/// One server that syncs each write before it answers. It is killed when dropped.
pub struct Redis {
    child: Option<Child>,
    host: Host,
    /// Besides those that every server has.
    flags: Vec<String>,
    /// Needed by who asks it, once it has one.
    password: Option<String>,
    /// Where it keeps its data, if not in the folder.
    data: Option<PathBuf>,
    folder: tempfile::TempDir,
}

impl Redis {
    pub fn start() -> Self {
        let mut redis = Self::stopped();
        redis.run();
        redis
    }

    /// A server that is not running yet.
    pub fn stopped() -> Self {
        Self {
            child: None,
            host: own_host(),
            flags: Vec::new(),
            password: None,
            data: None,
            folder: tempfile::tempdir().expect("a temporary folder"),
        }
    }

    /// One that runs with these flags, too.
    pub fn with(flags: &[&str]) -> Self {
        let mut redis = Self::stopped();
        redis.flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        redis.run();
        redis
    }

    /// One that runs on this host, and keeps its data here.
    pub fn on(host: Host, data: &Path) -> Self {
        let mut redis = Self::stopped();
        redis.host = host;
        redis.data = Some(data.to_owned());
        redis.run();
        redis
    }

    /// Starts it, again or for the first time, and waits until it answers.
    pub fn run(&mut self) {
        assert!(self.child.is_none(), "it runs already");
        let log = File::options().create(true).append(true).open(self.folder.path().join("log"));
        let child = self
            .host
            .command(&executable())
            .args(["--bind", &self.host.ip.to_string(), "--port", &PORT.to_string(), "--save", ""])
            .args(["--appendonly", "yes", "--appendfsync", "always", "--dir"])
            .arg(self.data.as_deref().unwrap_or(self.folder.path()))
            .args(&self.flags)
            .stdin(Stdio::null())
            .stdout(log.expect("a log file"))
            .spawn()
            .expect("the server is installed: redis-server, or the one that was named");
        self.child = Some(child);
        eventually("Redis answers", || self.pongs());
    }

    /// Whatever its password is: one that is asked for is an answer too.
    fn pongs(&self) -> bool {
        let answer = self.try_ask(&["PING"]).unwrap_or_default();
        answer.starts_with("+PONG") || answer.starts_with("-NOAUTH") || answer.starts_with("-WRONGPASS")
    }

    /// Has it do something, and returns its answer as it came; not for lists.
    pub fn ask(&self, words: &[&str]) -> String {
        let answer = self.try_ask(words).expect("Redis answers");
        assert!(!answer.starts_with('-'), "{words:?}: {answer}");
        answer
    }

    fn try_ask(&self, words: &[&str]) -> std::io::Result<String> {
        let mut stream = BufReader::new(TcpStream::connect(self.address())?);
        if let Some(password) = &self.password {
            say(&mut stream, &["AUTH", password])?;
        }
        say(&mut stream, words)
    }

    /// Asks everybody who comes from now on for this password; `None` lets everybody in.
    pub fn set_password(&mut self, password: Option<&str>) {
        self.ask(&["CONFIG", "SET", "requirepass", password.unwrap_or_default()]);
        self.password = password.map(str::to_owned);
    }

    /// SIGTERM: it closes its connections, writes what it has and ends.
    pub fn stop(&mut self) {
        self.signal("-TERM");
        self.child.take().expect("it runs").wait().expect("it ends");
    }

    /// kill -9.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().expect("a child can be killed");
        child.wait().expect("it is gone");
    }

    /// Stops it in its tracks: connections stay open and nothing is answered.
    pub fn freeze(&self) {
        self.signal("-STOP");
        stands_still(self.child.as_ref().expect("it runs").id(), false);
    }

    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let id = self.child.as_ref().expect("it runs").id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().expect("kill runs").success());
    }

    /// Where it keeps its files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn address(&self) -> SocketAddr {
        (self.host.ip, PORT).into()
    }

    pub fn url(&self) -> String {
        format!("redis://{}/0", self.address())
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// One command and its answer: a line, and what it announces.
fn say(stream: &mut BufReader<TcpStream>, words: &[&str]) -> std::io::Result<String> {
    let mut command = format!("*{}\r\n", words.len());
    for word in words {
        command += &format!("${}\r\n{word}\r\n", word.len());
    }
    stream.get_mut().write_all(command.as_bytes())?;
    let mut answer = String::new();
    stream.read_line(&mut answer)?;
    if let Some(length) = answer.strip_prefix('$').and_then(|length| length.trim().parse::<usize>().ok()) {
        let mut text = vec![0; length + 2];
        stream.read_exact(&mut text)?;
        answer = String::from_utf8_lossy(&text[..length]).into_owned();
    }
    Ok(answer)
}
