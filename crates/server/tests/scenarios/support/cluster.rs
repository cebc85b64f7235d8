//! What the chart says, run on this host: each pod's command, environment, files and probes as processes on a loopback
//! address of its own, behind a real Traefik that reads the Ingress.
//!
//! It does what kubelets, controllers and kube-proxy do, as far as it matters to whoever paints: probes decide who is in an
//! endpoint slice, a pod that is to end leaves it before it is told, and a container that ended is started again.

mod control;
mod pod;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use serde_json::{Value, json};

use self::control::Control;
pub use self::pod::Pod;
use super::server::{executable, unused_address};
use super::stores::authority::Authority;
use super::{PATIENCE, eventually, get};

/// Where Traefik listens: k3s' is at 80, through its load balancer.
const DOOR_PORT: u16 = 8_000;
const REDIS_PORT: u16 = 6_379;
const DEPLOYMENTS: [&str; 3] = ["frontend", "canvas-api", "websocket-gateway"];
/// Where the chart's Redis has its name from: its pod's, in its headless Service.
const REDIS: &str = "redis-0.redis";
/// The last year of its certificate: long after any test.
const CERTIFIED_UNTIL: i32 = 2100;

/// Objects by kind and name.
type Objects = BTreeMap<(String, String), Value>;

/// Everything that the chart makes.
pub struct Cluster {
    objects: Arc<Objects>,
    pods: BTreeMap<&'static str, Vec<Pod>>,
    redis: Pod,
    control: Control,
    /// What names mean: services' addresses, by what stands in the manifests.
    names: Vec<(String, String)>,
    traefik: Child,
    pub door: SocketAddr,
    folder: tempfile::TempDir,
}

impl Cluster {
    /// Starts all pods of the default values, and waits until the door leads to each service.
    pub fn start() -> Self {
        Self::of(rendered("default"), unused_address())
    }

    /// The same where Redis speaks TLS, by a certificate that an operator's authority signed for its name.
    pub fn with_tls_to_redis() -> Self {
        let (mut objects, redis_at) = (rendered("redis-tls"), unused_address());
        let folder = tempfile::tempdir().expect("a temporary folder");
        // On loopback its address stands for its name.
        Authority::new("ours").sign_for(&[REDIS, &redis_at.to_string()], folder.path(), CERTIFIED_UNTIL);
        let data: BTreeMap<&str, String> = [("tls.crt", "cert"), ("tls.key", "key"), ("ca.crt", "ca")]
            .map(|(key, file)| (key, fs::read(folder.path().join(file)).expect("it was written")))
            .map(|(key, bytes)| (key, base64::engine::general_purpose::STANDARD.encode(bytes)))
            .into();
        objects.insert(("Secret".to_owned(), "redis-tls".to_owned()), json!({ "data": data }));
        Self::of(objects, redis_at)
    }

    fn of(objects: Objects, redis_at: Ipv4Addr) -> Self {
        let objects = Arc::new(objects);
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut names = vec![
            (REDIS.to_owned(), redis_at.to_string()),
            // Pods' network: on loopback, everybody comes from here.
            ("10.42.0.0/16".to_owned(), "127.0.0.1".to_owned()),
        ];
        let services = DEPLOYMENTS.map(|name| {
            let ports = &objects[&("Service".to_owned(), name.to_owned())]["spec"]["ports"];
            let port = ports[0]["port"].as_u64().expect("a port") as u16;
            (name, SocketAddr::from((unused_address(), port)))
        });
        names.extend(services.map(|(name, at)| (format!("{name}:{}", at.port()), at.to_string())));
        let redis = Pod::start(&objects, ("StatefulSet", "redis"), &names, redis_at, folder.path());
        let control = Control::serve(&objects);
        let door = SocketAddr::from((unused_address(), DOOR_PORT));
        let mut cluster = Self {
            pods: DEPLOYMENTS.into_iter().map(|name| (name, Vec::new())).collect(),
            redis,
            traefik: traefik(door, control.address(), &folder.path().join("traefik.log")),
            objects,
            control,
            names,
            door,
            folder,
        };
        for name in DEPLOYMENTS {
            let object = &cluster.objects[&("Deployment".to_owned(), name.to_owned())];
            for _ in 0..object["spec"]["replicas"].as_u64().expect("a number of pods") {
                cluster.add(name);
            }
        }
        services.into_iter().for_each(|(name, at)| cluster.forward(at, name));
        cluster.wait_until_ready();
        let served = |path: &str| get(door, path).status;
        eventually("the door leads to the page", || served("/") == 200);
        eventually("the door leads to the api", || served("/api/canvas") == 200);
        // A gateway says that it wants an upgrade.
        eventually("the door leads to the gateways", || served("/ws") == 426);
        cluster
    }

    /// The host's token, from the Secret.
    pub fn host_token(&self) -> String {
        let secret = &self.objects[&("Secret".to_owned(), "pixel-playground-admin".to_owned())];
        pod::decoded(secret["data"]["token"].as_str().expect("a token"))
    }

    fn add(&mut self, name: &'static str) {
        let pod = Pod::start(
            &self.objects,
            ("Deployment", name),
            &self.names,
            unused_address(),
            self.folder.path(),
        );
        self.pods.get_mut(name).expect("one of ours").push(pod);
        self.control.show(name, &self.pods[name]);
    }

    fn wait_until_ready(&mut self) {
        let all =
            |cluster: &Self| cluster.redis.is_ready() && cluster.pods.values().flatten().all(Pod::is_ready);
        eventually("every pod is ready", || all(self));
        DEPLOYMENTS.into_iter().for_each(|name| self.control.show(name, &self.pods[name]));
    }

    /// `kubectl rollout restart`: one more, then one less, until all are new.
    pub fn roll(&mut self, name: &'static str) {
        let object = &self.objects[&("Deployment".to_owned(), name.to_owned())];
        let rolling = &object["spec"]["strategy"]["rollingUpdate"];
        assert_eq!((&rolling["maxSurge"], &rolling["maxUnavailable"]), (&1.into(), &0.into()), "{name}");
        let settle = Duration::from_secs(object["spec"]["minReadySeconds"].as_u64().unwrap_or(0));
        for _ in 0..self.pods[name].len() {
            self.add(name);
            self.wait_until_ready();
            thread::sleep(settle);
            let old = self.pods.get_mut(name).expect("one of ours").remove(0);
            self.control.show(name, &self.pods[name]);
            old.end();
        }
    }

    /// kill -9 of one of its processes; its kubelet starts it again.
    pub fn kill(&mut self, name: &'static str, one: usize) {
        self.pods[name][one].kill();
        self.control.show(name, &self.pods[name]);
        self.wait_until_ready();
    }

    /// kill -9 of Redis, which comes back on its volume.
    pub fn kill_redis(&mut self) {
        self.redis.kill();
        self.wait_until_ready();
    }

    /// A word with Redis, as its pod's probes have one.
    pub fn redis_memory_bytes(&self) -> u64 {
        let info = self.redis.ask_redis("info memory");
        let line = info.lines().find_map(|line| line.strip_prefix("used_memory:"));
        line.and_then(|bytes| bytes.trim().parse().ok()).expect("how much it holds")
    }

    /// What its port answers to who does not speak TLS.
    pub fn redis_says_in_plain_text(&self, words: &str) -> String {
        let mut stream = TcpStream::connect((self.redis.ip, REDIS_PORT)).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a connection");
        write!(stream, "{words}\r\n").expect("it takes bytes");
        let mut said = Vec::new();
        // It may break the connection instead of closing it.
        let _ = stream.read_to_end(&mut said);
        String::from_utf8_lossy(&said).into_owned()
    }

    /// `helm test`: each container of its pods, one after the other. Answers with their names; one that fails fails here.
    pub fn helm_test(&self) -> Vec<String> {
        let programs = executable();
        let mut names = self.names.clone();
        names.push(("/loadgen".to_owned(), programs.with_file_name("loadgen").display().to_string()));
        let is_hook = |object: &&Value| {
            object["kind"] == "Pod" && object["metadata"]["annotations"]["helm.sh/hook"] == "test"
        };
        let mut ran = Vec::new();
        for pod in self.objects.values().filter(is_hook) {
            for kind in ["initContainers", "containers"] {
                for container in pod["spec"][kind].as_array().into_iter().flatten() {
                    pod::run(container, &names);
                    ran.push(container["name"].as_str().expect("a name").to_owned());
                }
            }
        }
        ran
    }

    /// Restarts that liveness probes asked for, which nothing here gives a reason for.
    pub fn restarts_by_liveness(&self) -> usize {
        self.pods.values().flatten().chain([&self.redis]).map(Pod::restarts_by_liveness).sum()
    }

    /// A Service's own address: each connection goes to one of the pods that are ready, as kube-proxy does it.
    fn forward(&self, at: SocketAddr, name: &'static str) {
        let listener = TcpListener::bind(at).expect("a free port");
        let slices = self.control.slices();
        thread::spawn(move || {
            for (turn, client) in listener.incoming().enumerate() {
                let pods = slices.ready(name);
                let (Ok(client), Some(pod)) = (client, pods.get(turn % pods.len().max(1)).copied()) else {
                    continue;
                };
                if let Ok(server) = TcpStream::connect((pod, at.port())) {
                    join(client, server);
                }
            }
        });
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.traefik.kill();
        let _ = self.traefik.wait();
        if thread::panicking() {
            let log = fs::read_to_string(self.folder.path().join("traefik.log")).unwrap_or_default();
            let lines: Vec<_> = log.lines().collect();
            eprintln!("──── Traefik ────\n{}", lines[lines.len().saturating_sub(15)..].join("\n"));
        }
    }
}

/// Carries both ways until either end closes.
fn join(client: TcpStream, server: TcpStream) {
    let ways = [(client.try_clone(), server.try_clone()), (Ok(server), Ok(client))];
    for (from, to) in ways {
        let (mut from, mut to) = (from.expect("a second handle"), to.expect("a second handle"));
        thread::spawn(move || {
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(std::net::Shutdown::Both);
            let _ = from.shutdown(std::net::Shutdown::Both);
        });
    }
}

/// The chart, rendered with some values: by `cargo xtask test`, or in the folder that `PIXEL_PLAYGROUND_CHART` names.
fn rendered(values: &str) -> Objects {
    let given = std::env::var_os("PIXEL_PLAYGROUND_CHART").map(PathBuf::from);
    let folder =
        given.unwrap_or_else(|| concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/xtask/chart").into());
    let file = folder.join(values).with_extension("json");
    let text = fs::read_to_string(&file).unwrap_or_else(|error| {
        panic!("{}: {error}: `cargo xtask test --only scenarios` renders the chart", file.display())
    });
    let all: Vec<Value> = serde_json::from_str(&text).expect("rendered objects");
    let word = |object: &Value, at: &str| object.pointer(at).and_then(Value::as_str).unwrap_or("").to_owned();
    let key = |object: &Value| (word(object, "/kind"), word(object, "/metadata/name"));
    all.into_iter().map(|object| (key(&object), object)).collect()
}

/// Traefik as k3s runs it: it reads Ingresses and endpoint slices, and goes to pods directly.
fn traefik(door: SocketAddr, control: SocketAddr, log: &Path) -> Child {
    let given = std::env::var_os("PIXEL_PLAYGROUND_TRAEFIK").map(PathBuf::from);
    let program = given.unwrap_or_else(|| {
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/tools/deploy/bin/traefik").into()
    });
    Command::new(&program)
        .arg(format!("--entrypoints.web.address={door}"))
        .arg("--providers.kubernetesingress=true")
        .arg(format!("--providers.kubernetesingress.endpoint=http://{control}"))
        .args(["--global.checknewversion=false", "--global.sendanonymoususage=false", "--log.level=WARN"])
        .env_clear()
        .stdin(Stdio::null())
        .stdout(File::create(log).expect("a log file"))
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}: `cargo xtask test` installs it", program.display()))
}
