//! A real Redis server, on a loopback address and a folder of its own.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};

use super::eventually;
use super::server::unused_address;

pub const PORT: u16 = 6_379;

/// One server that syncs each write before it answers. It is killed when dropped.
pub struct Redis {
    child: Option<Child>,
    ip: Ipv4Addr,
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
        Self { child: None, ip: unused_address(), folder: tempfile::tempdir().expect("a temporary folder") }
    }

    /// Starts it, again or for the first time, and waits until it answers.
    pub fn run(&mut self) {
        assert!(self.child.is_none(), "it runs already");
        let log = File::options().create(true).append(true).open(self.folder.path().join("log"));
        let child = Command::new("redis-server")
            .args(["--bind", &self.ip.to_string(), "--port", &PORT.to_string(), "--save", ""])
            .args(["--appendonly", "yes", "--appendfsync", "always", "--dir"])
            .arg(self.folder.path())
            .stdin(Stdio::null())
            .stdout(log.expect("a log file"))
            .spawn()
            .expect("redis-server is installed");
        self.child = Some(child);
        eventually("Redis answers", || self.pongs());
    }

    fn pongs(&self) -> bool {
        let ask = || {
            let mut stream = TcpStream::connect(self.address())?;
            stream.write_all(b"PING\r\n")?;
            let mut answer = [0; 5];
            stream.read_exact(&mut answer).map(|()| answer == *b"+PONG")
        };
        ask().unwrap_or(false)
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
    }

    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let id = self.child.as_ref().expect("it runs").id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().expect("kill runs").success());
    }

    pub fn address(&self) -> SocketAddr {
        (self.ip, PORT).into()
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
