//! The executable under test, on a loopback address and a data folder of its own.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::http::{Answer, Request, get};
use super::stores::server::Host;
use super::{PATIENCE, eventually, redis, stands_still};

const FRONTEND_PORT: u16 = 3_000;
const API_PORT: u16 = 3_001;
const GATEWAY_PORT: u16 = 3_002;
const OPS_PORT: u16 = 3_009;
/// A socket's state in the kernel's table.
const LISTENING: &str = "0A";
/// So much of the server's log is shown when a scenario fails.
const LOG_LINES_SHOWN: usize = 40;

/// One server. It is killed when dropped; its folder goes with it.
pub struct Server {
    child: Option<Child>,
    flags: Vec<String>,
    executable: PathBuf,
    /// Its address, and what the executable is started under: a program that puts it elsewhere, or gives its arguments a
    /// poorer life.
    host: Host,
    folder: tempfile::TempDir,
}

impl Server {
    /// A server that anybody may paint on as fast as they like.
    pub fn start() -> Self {
        Self::with(&["--rate-limit", "off"])
    }

    /// A server with these flags besides its ports and folder.
    pub fn with(flags: &[&str]) -> Self {
        Self::on(own_host(), flags)
    }

    /// The same on a host that no other server is on.
    pub fn on(host: Host, flags: &[&str]) -> Self {
        let mut server = Self::stopped_on(host, flags);
        server.run();
        server
    }

    /// A server that is not running yet.
    pub fn stopped(flags: &[&str]) -> Self {
        Self::stopped_on(own_host(), flags)
    }

    fn stopped_on(host: Host, flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        Self { child: None, flags, executable: executable(), host, folder }
    }

    /// Starts it under another program from now on.
    pub fn put_under(&mut self, program: &[&str]) {
        self.host.under = program.iter().map(|word| (*word).to_owned()).collect();
    }

    /// Drains it, and starts another executable in its place.
    pub fn replace_with(&mut self, executable: &Path) {
        self.ask_to_stop();
        assert!(self.wait().success(), "a drain ends with 0");
        executable.clone_into(&mut self.executable);
        self.run();
    }

    /// Starts it, again or for the first time, and waits until it answers.
    pub fn run(&mut self) {
        self.spawn();
        let deadline = Instant::now() + PATIENCE;
        while !self.answers() {
            let child = self.child.as_mut().expect("it was spawned");
            if let Some(status) = child.try_wait().expect("a child can be asked") {
                panic!("the server ended with {status}");
            }
            assert!(Instant::now() < deadline, "the server does not answer");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Starts it without waiting.
    pub fn spawn(&mut self) {
        assert!(self.child.is_none(), "it runs already");
        let log = File::options().create(true).append(true).open(self.log_path()).expect("a log file");
        let child = self
            .command()
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("the executable starts");
        self.child = Some(child);
    }

    /// Runs it to its end, which has to come by itself, and returns what it said.
    pub fn run_to_the_end(&self) -> Output {
        let child = self.command().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.expect("the executable starts");
        let deadline = Instant::now() + PATIENCE;
        while child.try_wait().expect("a child can be asked").is_none() {
            if Instant::now() > deadline {
                child.kill().expect("a child can be killed");
                panic!("it should have ended by itself");
            }
            thread::sleep(Duration::from_millis(5));
        }
        child.wait_with_output().expect("its output")
    }

    fn command(&self) -> Command {
        let mut command = self.host.command(self.executable.as_os_str());
        command.env_clear().stdin(Stdio::null());
        command.current_dir(self.folder.path()).args(self.own_flags()).args(&self.flags);
        command
    }

    /// The executable without any flag, and without this test's own environment.
    pub fn bare_command() -> Command {
        let mut command = Command::new(executable());
        command.env_clear().stdin(Stdio::null());
        command
    }

    /// The flags that keep this server apart from others, but for those that the scenario sets.
    fn own_flags(&self) -> Vec<String> {
        let listen = |flag: &str, port: u16| (flag.to_owned(), format!("{}:{port}", self.host.ip));
        let own = [
            listen("--frontend-listen", FRONTEND_PORT),
            listen("--api-listen", API_PORT),
            listen("--gateway-listen", GATEWAY_PORT),
            listen("--ops-listen", OPS_PORT),
            ("--store".to_owned(), format!("embedded:{}", self.data().display())),
        ];
        let missing = own.into_iter().filter(|(flag, _)| !self.flags.contains(flag));
        missing.flat_map(|(flag, value)| [flag, value]).collect()
    }

    fn answers(&self) -> bool {
        Request::new("GET", "/health").try_send(self.front()).is_ok_and(|answer| answer.status == 200)
    }

    /// The port of whichever service runs here.
    fn front(&self) -> SocketAddr {
        let target = self.flags.iter().skip_while(|flag| *flag != "--target").nth(1);
        match target.map(String::as_str) {
            Some("api" | "api,gateway") => self.api(),
            Some("gateway") => self.gateway(),
            _ => self.frontend(),
        }
    }

    /// kill -9.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().expect("a child can be killed");
        child.wait().expect("it is gone");
    }

    /// SIGTERM; [`Server::wait`] for what follows.
    pub fn ask_to_stop(&self) {
        self.signal("-TERM");
    }

    /// Stops it in its tracks: connections stay open and nothing is answered.
    pub fn freeze(&self) {
        self.signal("-STOP");
        stands_still(self.id(), false);
    }

    /// The same, with no call to the kernel under way.
    pub fn freeze_between_calls(&self) {
        self.signal("-STOP");
        stands_still(self.id(), true);
    }

    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.id().to_string()]).status().expect("kill runs");
        assert!(status.success(), "the server was gone already");
    }

    fn id(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// Waits for it to end by itself.
    pub fn wait(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("it runs");
        let mut status = None;
        eventually("the server ends", || {
            status = child.try_wait().expect("a child can be asked");
            status.is_some()
        });
        status.expect("it ended")
    }

    /// Resident memory in bytes.
    pub fn memory_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).expect("its status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its resident size");
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number of KiB");
        kib * 1_024
    }

    /// Files and sockets that it has open.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.id())).expect("its descriptors").count()
    }

    /// The connections that its gateway holds, as its kernel sees them: the sockets on that port that are a
    /// process's. Only for a server with a network of its own.
    pub fn clients(&self) -> usize {
        let table = fs::read_to_string(format!("/proc/{}/net/tcp", self.id())).expect("its sockets");
        let on_port = format!(":{GATEWAY_PORT:04X}");
        let rows = table.lines().skip(1).map(|row| row.split_ascii_whitespace().collect::<Vec<_>>());
        rows.filter(|row| row[1].ends_with(&on_port) && row[3] != LISTENING && row[9] != "0").count()
    }

    pub fn frontend(&self) -> SocketAddr {
        (self.host.ip, FRONTEND_PORT).into()
    }

    pub fn api(&self) -> SocketAddr {
        (self.host.ip, API_PORT).into()
    }

    pub fn gateway(&self) -> SocketAddr {
        (self.host.ip, GATEWAY_PORT).into()
    }

    pub fn ops(&self) -> SocketAddr {
        (self.host.ip, OPS_PORT).into()
    }

    /// A metric's value, which has to be a whole number.
    pub fn metric(&self, name: &str) -> u64 {
        let text = get(self.ops(), "/metrics").text();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name}:\n{text}")).parse().expect("a number")
    }

    /// The folder of its store.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A folder for whatever else a scenario needs.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Everything it said, over all its lives.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// The lines of its log that are of one of these levels.
    pub fn said(&self, levels: &[&str]) -> Vec<String> {
        let is_of = |line: &&str| {
            serde_json::from_str::<serde_json::Value>(line)
                .is_ok_and(|line| levels.iter().any(|level| line["log.level"] == *level))
        };
        self.log().lines().filter(is_of).map(str::to_owned).collect()
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("server.log")
    }

    /// Sends a request to the api as the host.
    pub fn as_host(&self, request: Request) -> Answer {
        let token = fs::read_to_string(self.data().join("admin-token")).expect("the host's token was made");
        request.header("authorization", &format!("Bearer {}", token.trim())).send(self.api())
    }

    /// Makes a canvas.
    pub fn make_canvas(&self, description: &serde_json::Value) {
        let answer = self.as_host(Request::new("POST", "/api/canvases").json(description));
        assert!(matches!(answer.status, 200 | 201), "{answer:?}");
    }

    /// A fresh guest's token.
    pub fn guest(&self) -> String {
        let answer = Request::new("POST", "/api/guests").send(self.api());
        assert!(matches!(answer.status, 200 | 201), "{answer:?}");
        answer.json()["token"].as_str().expect("a token").to_owned()
    }

    /// The default canvas: colours by "x,y", as the api answers them.
    pub fn canvas(&self) -> serde_json::Value {
        let answer = get(self.api(), "/api/canvas");
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may have ended by itself, which the scenario has noticed or does not mind.
            let _ = child.kill();
            let _ = child.wait();
        }
        if thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            let shown = &lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..];
            eprintln!("──── the server's last words ────\n{}\n────", shown.join("\n"));
        }
    }
}

/// The executable that `cargo xtask test` built, or else the one that cargo built for this test.
pub fn executable() -> PathBuf {
    let given = std::env::var_os("PIXEL_PLAYGROUND_BIN").map(PathBuf::from);
    given.unwrap_or_else(|| env!("CARGO_BIN_EXE_pixel-playground").into())
}

/// A loopback address of one server's own.
pub fn own_host() -> Host {
    Host { ip: unused_address(), under: Vec::new() }
}

/// A loopback address that no other scenario of this machine uses: by process, then by number.
pub fn unused_address() -> Ipv4Addr {
    static LAST: AtomicU16 = AtomicU16::new(0);
    let [.., high, low] = std::process::id().to_be_bytes();
    loop {
        let given = LAST.fetch_add(1, Ordering::Relaxed);
        // 1 to 254, then the same of another block: who is killed just now comes back to its own address.
        let (block, number) = ((given / 254) as u8, (given % 254) as u8 + 1);
        // 127.0.0.x is everybody's.
        let ip = Ipv4Addr::new(127, high | 0x80, low.wrapping_add(block.wrapping_mul(101)), number);
        let free = |port: u16| TcpListener::bind((ip, port)).is_ok();
        if free(OPS_PORT) && free(redis::PORT) {
            return ip;
        }
    }
}
