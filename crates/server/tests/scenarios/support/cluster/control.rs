//! As much of a Kubernetes API server as Traefik asks: lists, and watches on endpoint slices.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::super::server::unused_address;
use super::pod::Pod;

const PORT: u16 = 8_001;
/// A watch on something that does not change looks so often whether its client is still there.
const IDLE: Duration = Duration::from_secs(1);

/// The API server.
pub struct Control {
    at: SocketAddr,
    slices: Slices,
}

/// Who is in which endpoint slice.
#[derive(Clone, Default)]
pub struct Slices(Arc<(Mutex<Table>, Condvar)>);

#[derive(Default)]
struct Table {
    /// Of the last change.
    version: u64,
    /// By service: the version of its last change, and its pods that are ready.
    services: BTreeMap<&'static str, (u64, Vec<Ipv4Addr>)>,
}

impl Slices {
    pub fn ready(&self, service: &str) -> Vec<Ipv4Addr> {
        let table = self.0.0.lock().expect("nobody panicked");
        table.services.get(service).map(|(_, pods)| pods.clone()).unwrap_or_default()
    }

    fn set(&self, service: &'static str, pods: Vec<Ipv4Addr>) {
        let mut table = self.0.0.lock().expect("nobody panicked");
        table.version += 1;
        let version = table.version;
        table.services.insert(service, (version, pods));
        self.0.1.notify_all();
    }
}

impl Control {
    /// Serves the chart's Ingress, Services and Secrets, with endpoint slices as they are shown.
    pub fn serve(objects: &Arc<BTreeMap<(String, String), Value>>) -> Self {
        let listener = TcpListener::bind((unused_address(), PORT)).expect("a free port");
        let at = listener.local_addr().expect("it is bound");
        let slices = Slices::default();
        let (objects, shared) = (Arc::clone(objects), slices.clone());
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (objects, slices) = (Arc::clone(&objects), shared.clone());
                // A client that leaves a watch is no failure.
                thread::spawn(move || answer(&client, &objects, &slices));
            }
        });
        Self { at, slices }
    }

    pub fn address(&self) -> SocketAddr {
        self.at
    }

    pub fn slices(&self) -> Slices {
        self.slices.clone()
    }

    /// These are a service's pods; those that are ready get work.
    pub fn show(&self, service: &'static str, pods: &[Pod]) {
        self.slices.set(service, pods.iter().filter(|pod| pod.is_ready()).map(|pod| pod.ip).collect());
    }
}

/// Answers the requests of one connection.
fn answer(
    client: &TcpStream,
    objects: &BTreeMap<(String, String), Value>,
    slices: &Slices,
) -> io::Result<()> {
    let mut lines = BufReader::new(client.try_clone()?).lines();
    while let Some(first) = lines.next().transpose()? {
        while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
        let target = first.split(' ').nth(1).unwrap_or("/").to_owned();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let resource = path.rsplit('/').next().unwrap_or("");
        if query.contains("watch=") {
            if query.contains("sendInitialEvents") {
                // As a server without streaming lists: clients then list first.
                reply(
                    client,
                    400,
                    &json!({"kind": "Status", "apiVersion": "v1", "code": 400, "reason": "BadRequest"}),
                )?;
                continue;
            }
            return watch(client, resource, query, slices);
        }
        let kind = match resource {
            "version" => {
                reply(client, 200, &json!({"major": "1", "minor": "37", "gitVersion": "v1.37.0"}))?;
                continue;
            }
            "ingresses" => "Ingress",
            "services" => "Service",
            "secrets" => "Secret",
            "endpointslices" => "EndpointSlice",
            "ingressclasses" => "IngressClass",
            _ => "",
        };
        let of_chart = objects.iter().filter(|((of, _), _)| of == kind).map(|(_, object)| placed(object));
        let items: Vec<Value> = match kind {
            "EndpointSlice" => {
                let table = slices.0.0.lock().expect("nobody panicked");
                table.services.iter().map(|(name, (version, pods))| slice(name, *version, pods)).collect()
            }
            "IngressClass" => vec![json!({
                "apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": "traefik"},
                "spec": {"controller": "traefik.io/ingress-controller"},
            })],
            _ => of_chart.collect(),
        };
        let version = slices.0.0.lock().expect("nobody panicked").version.to_string();
        let group = path.trim_start_matches("/apis/").trim_start_matches("/api/");
        let api_version = group.rsplit_once('/').map_or("v1", |(group, _)| group);
        let list = json!({
            "kind": format!("{kind}List"), "apiVersion": api_version,
            "metadata": {"resourceVersion": version}, "items": items,
        });
        reply(client, 200, &list)?;
    }
    Ok(())
}

/// An object as it is in the namespace.
fn placed(object: &Value) -> Value {
    let mut object = object.clone();
    object["metadata"]["namespace"] = "pixels".into();
    object["metadata"]["resourceVersion"] = "1".into();
    object
}

/// Tells every change after the version that the client names.
fn watch(mut client: &TcpStream, resource: &str, query: &str, slices: &Slices) -> io::Result<()> {
    let since = query.split('&').find_map(|pair| pair.strip_prefix("resourceVersion="));
    let mut seen: u64 = since.and_then(|version| version.parse().ok()).unwrap_or(0);
    client.write_all(
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n",
    )?;
    loop {
        let mut events = String::new();
        {
            let table = slices.0.0.lock().expect("nobody panicked");
            let is_old = |table: &mut Table| table.version <= seen;
            let (table, _) = slices.0.1.wait_timeout_while(table, IDLE, is_old).expect("nobody panicked");
            for (name, (version, pods)) in table.services.iter().filter(|(_, (version, _))| *version > seen) {
                if resource == "endpointslices" {
                    let event = json!({"type": "MODIFIED", "object": slice(name, *version, pods)});
                    events += &format!("{event}\n");
                }
            }
            seen = table.version;
        }
        if !events.is_empty() {
            write!(client, "{:x}\r\n{events}\r\n", events.len())?;
        }
    }
}

fn slice(service: &str, version: u64, pods: &[Ipv4Addr]) -> Value {
    let port = match service {
        "frontend" => 3_000,
        "canvas-api" => 3_001,
        _ => 3_002,
    };
    let endpoint = |pod: &Ipv4Addr| json!({"addresses": [pod.to_string()], "conditions": {"ready": true, "serving": true, "terminating": false}});
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {
            "name": format!("{service}-1"), "namespace": "pixels", "resourceVersion": version.to_string(),
            "labels": {"kubernetes.io/service-name": service},
        },
        "endpoints": pods.iter().map(endpoint).collect::<Vec<_>>(),
        "ports": [{"name": "http", "port": port, "protocol": "TCP"}],
    })
}

fn reply(mut client: &TcpStream, status: u16, body: &Value) -> io::Result<()> {
    let body = body.to_string();
    write!(
        client,
        "HTTP/1.1 {status} As it is\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}
