//! One pod: its container's process, kept alive and probed as a kubelet does it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use serde_json::Value;

use super::super::http::Request;
use super::super::server::executable;

/// How soon a kubelet sees that a container ended.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// A pod. Its process is killed when it is dropped.
pub struct Pod {
    pub ip: Ipv4Addr,
    shared: Arc<Running>,
    grace: Duration,
    sleep: Duration,
}

/// What the pod and its kubelet share.
struct Running {
    ip: Ipv4Addr,
    container: Value,
    /// What stands in the manifest, and what it means here; the longest first.
    means: Vec<(String, String)>,
    log: PathBuf,
    child: Mutex<Option<Child>>,
    ready: AtomicBool,
    /// It is to end: nobody starts it again.
    ending: AtomicBool,
    killed_by_liveness: AtomicUsize,
}

impl Pod {
    /// Starts the one container of a workload's pods.
    pub fn start(
        objects: &BTreeMap<(String, String), Value>,
        (kind, name): (&str, &str),
        names: &[(String, String)],
        ip: Ipv4Addr,
        folder: &Path,
    ) -> Self {
        let spec = &objects[&(kind.to_owned(), name.to_owned())]["spec"]["template"]["spec"];
        let container = spec["containers"][0].clone();
        let home = folder.join(format!("{name}-{ip}"));
        let mut means = names.to_vec();
        for mount in container["volumeMounts"].as_array().into_iter().flatten() {
            let volume = mount["name"].as_str().expect("a volume's name");
            let at = home.join(volume);
            fs::create_dir_all(&at).expect("a folder is made");
            fill(objects, spec, volume, &at, ip);
            means.push((mount["mountPath"].as_str().expect("a path").to_owned(), at.display().to_string()));
        }
        // Every pod has the same ports, and here an address of its own too.
        means.push(("0.0.0.0".to_owned(), ip.to_string()));
        means.push((" ping ".to_owned(), format!(" -h {ip} ping ")));
        means.sort_by_key(|(written, _)| std::cmp::Reverse(written.len()));
        if kind == "StatefulSet" {
            // Its settings name its volume.
            for file in files_below(&home) {
                let text = fs::read_to_string(&file).expect("a setting is text");
                fs::write(&file, here(&text, &means)).expect("a file is written");
            }
        }
        fs::create_dir_all(&home).expect("a folder is made");
        let seconds = |value: &Value| Duration::from_secs(value.as_u64().unwrap_or(0));
        let shared = Arc::new(Running {
            ip,
            means,
            log: home.join("log"),
            child: Mutex::default(),
            ready: AtomicBool::new(false),
            ending: AtomicBool::new(false),
            killed_by_liveness: AtomicUsize::new(0),
            container,
        });
        let kubelet = Arc::clone(&shared);
        thread::spawn(move || kubelet.keep());
        let sleep = seconds(&shared.container["lifecycle"]["preStop"]["sleep"]["seconds"]);
        Self { ip, shared, grace: seconds(&spec["terminationGracePeriodSeconds"]), sleep }
    }

    pub fn is_ready(&self) -> bool {
        self.shared.ready.load(Ordering::SeqCst)
    }

    pub fn restarts_by_liveness(&self) -> usize {
        self.shared.killed_by_liveness.load(Ordering::SeqCst)
    }

    /// kill -9.
    pub fn kill(&self) {
        let mut child = self.shared.child.lock().expect("nobody panicked");
        child.as_mut().expect("it runs").kill().expect("a child can be killed");
        // Its kubelet sees it soon; whoever waits for readiness waits for the next life.
        self.shared.ready.store(false, Ordering::SeqCst);
    }

    /// It has left its endpoint slice; preStop, then SIGTERM, and it ends well within its grace.
    pub fn end(self) {
        self.shared.ending.store(true, Ordering::SeqCst);
        let told = Instant::now();
        thread::sleep(self.sleep);
        let id = self.shared.child.lock().expect("nobody panicked").as_ref().expect("it runs").id();
        let status = Command::new("kill").args(["-TERM", &id.to_string()]).status().expect("kill runs");
        assert!(status.success(), "the pod was gone already");
        loop {
            let mut child = self.shared.child.lock().expect("nobody panicked");
            if let Some(status) = child.as_mut().expect("it runs").try_wait().expect("a child can be asked") {
                assert!(status.success(), "a drain ends with 0: {status}\n{}", self.log());
                return;
            }
            drop(child);
            assert!(told.elapsed() < self.grace, "a pod that does not end is killed after {:?}", self.grace);
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Has `redis-cli` in the pod ask, as its probes do.
    pub fn ask_redis(&self, words: &str) -> String {
        let probe =
            self.shared.container["readinessProbe"]["exec"]["command"][2].as_str().expect("a shell's words");
        let (asked, _) = probe.split_once(" ping").expect("it pings");
        let line = here(&format!("{asked} -h {} {words}", self.ip), &self.shared.means);
        let output = Command::new("sh").args(["-ec", &line]).output().expect("a shell runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.shared.log).unwrap_or_default()
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        self.shared.ending.store(true, Ordering::SeqCst);
        if let Some(child) = self.shared.child.lock().expect("nobody panicked").as_mut() {
            // It may have ended, as it should.
            let _ = child.kill();
            let _ = child.wait();
        }
        if thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            eprintln!("──── {} ────\n{}", self.ip, lines[lines.len().saturating_sub(15)..].join("\n"));
        }
    }
}

impl Running {
    /// Starts its container's process; what it says goes into the log.
    fn spawn(&self) -> Child {
        let log = File::options().create(true).append(true).open(&self.log).expect("a log file");
        let mut command = command(&self.container, &self.means);
        command.stdout(log.try_clone().expect("a second handle")).stderr(log);
        command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"))
    }

    /// Starts it, and starts it again whenever it ends, until it is to end; probes it all the time.
    fn keep(&self) {
        while !self.ending.load(Ordering::SeqCst) {
            *self.child.lock().expect("nobody panicked") = Some(self.spawn());
            self.watch_one_life();
            if !self.ending.load(Ordering::SeqCst) {
                self.ready.store(false, Ordering::SeqCst);
            }
        }
    }

    /// Probes it until it ends or is to end.
    fn watch_one_life(&self) {
        let (mut started, mut misses) =
            (false, BTreeMap::from([("livenessProbe", 0), ("readinessProbe", 0)]));
        let mut due = BTreeMap::<&str, Instant>::new();
        loop {
            if self.ending.load(Ordering::SeqCst) || self.ended() {
                return;
            }
            let probes: &[&'static str] =
                if started { &["livenessProbe", "readinessProbe"] } else { &["startupProbe"] };
            for name in probes {
                if due.get(name).is_some_and(|due| Instant::now() < *due) {
                    continue;
                }
                let probe = &self.container[*name];
                let period = probe["periodSeconds"].as_u64().expect("a period");
                due.insert(name, Instant::now() + Duration::from_secs(period));
                let passed = self.passes(probe);
                if *name == "startupProbe" {
                    started = passed;
                    continue;
                }
                let missed = misses.get_mut(name).expect("one of both");
                *missed = if passed { 0 } else { *missed + 1 };
                let failed = *missed >= probe["failureThreshold"].as_u64().expect("a threshold");
                match *name {
                    "readinessProbe" if passed || failed => {
                        self.ready.store(passed && !self.ended(), Ordering::SeqCst)
                    }
                    "livenessProbe" if failed => {
                        self.killed_by_liveness.fetch_add(1, Ordering::SeqCst);
                        let _ = self.child.lock().expect("nobody panicked").as_mut().expect("it runs").kill();
                    }
                    _ => {}
                }
            }
            thread::sleep(LOOK_INTERVAL);
        }
    }

    fn ended(&self) -> bool {
        let mut child = self.child.lock().expect("nobody panicked");
        child.as_mut().expect("it was started").try_wait().expect("a child can be asked").is_some()
    }

    fn passes(&self, probe: &Value) -> bool {
        if let Some(path) = probe["httpGet"]["path"].as_str() {
            let port = self.port(&probe["httpGet"]["port"]);
            let answer = Request::new("GET", path).try_send(SocketAddr::from((self.ip, port)));
            return answer.is_ok_and(|answer| (200..400).contains(&answer.status));
        }
        let words = words(&probe["exec"]["command"], &self.means);
        let output =
            Command::new(&words[0]).args(&words[1..]).stderr(Stdio::null()).output().expect("it runs");
        output.status.success()
    }

    /// A port by its name.
    fn port(&self, name: &Value) -> u16 {
        let ports = self.container["ports"].as_array().expect("ports");
        let port = ports.iter().find(|port| port["name"] == *name).expect("a port of that name");
        port["containerPort"].as_u64().expect("a number") as u16
    }
}

/// Runs a container that ends by itself, in an image's place; it has to end well.
pub fn run(container: &Value, means: &[(String, String)]) {
    let mut command = command(container, means);
    let output = command.output().unwrap_or_else(|error| {
        panic!("{command:?}: {error}: `cargo build --package loadgen` builds the load generator")
    });
    let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
    assert!(output.status.success(), "{command:?}: {}\n{}", output.status, said.join("\n"));
}

/// Its command, or the image's entrypoint where there is none, with its arguments and environment and nothing else.
fn command(container: &Value, means: &[(String, String)]) -> Command {
    let mut all = words(&container["command"], means);
    if all.is_empty() {
        all.push(executable().display().to_string());
    }
    all.extend(words(&container["args"], means));
    let mut command = Command::new(&all[0]);
    let path = std::env::var_os("PATH").unwrap_or_default();
    command.args(&all[1..]).env_clear().env("PATH", path).stdin(Stdio::null());
    for variable in container["env"].as_array().into_iter().flatten() {
        command.env(variable["name"].as_str().expect("a name"), variable["value"].as_str().expect("a value"));
    }
    command
}

fn words(list: &Value, means: &[(String, String)]) -> Vec<String> {
    let words = list.as_array().into_iter().flatten();
    words.map(|word| here(word.as_str().expect("a word"), means)).collect()
}

/// A text of the manifest with what it means here.
fn here(text: &str, means: &[(String, String)]) -> String {
    means.iter().fold(text.to_owned(), |text, (written, meant)| text.replace(written, meant))
}

/// Puts the files of a Secret or ConfigMap where it is mounted; a claim is empty at first.
fn fill(objects: &BTreeMap<(String, String), Value>, spec: &Value, volume: &str, at: &Path, ip: Ipv4Addr) {
    let volumes = spec["volumes"].as_array().expect("volumes");
    let Some(source) = volumes.iter().find(|one| one["name"] == *volume) else { return };
    if let Some(name) = source["secret"]["secretName"].as_str() {
        let data = &objects[&("Secret".to_owned(), name.to_owned())]["data"];
        let put = |path: &str, value: &Value| {
            fs::write(at.join(path), decoded(value.as_str().expect("a value"))).expect("a file is written");
        };
        match source["secret"]["items"].as_array() {
            Some(items) => items.iter().for_each(|item| {
                let key = item["key"].as_str().expect("a key");
                put(item["path"].as_str().expect("a path"), &data[key]);
            }),
            // Without a list, each of its keys is a file.
            None => data.as_object().expect("its data").iter().for_each(|(key, value)| put(key, value)),
        }
    } else if let Some(name) = source["configMap"]["name"].as_str() {
        let data =
            objects[&("ConfigMap".to_owned(), name.to_owned())]["data"].as_object().expect("its files");
        for (file, text) in data {
            // A pod has its address to itself; here it has to be said.
            let text = format!("bind {ip}\n{}", text.as_str().expect("text"));
            fs::write(at.join(file), text).expect("a file is written");
        }
    }
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder.join("config")).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

/// What a Secret holds.
pub fn decoded(data: &str) -> String {
    let bytes = base64::engine::general_purpose::STANDARD.decode(data).expect("base64");
    String::from_utf8(bytes).expect("text")
}
