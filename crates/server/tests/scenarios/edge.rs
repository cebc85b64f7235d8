//! A crowd behind a real caching proxy (nginx, as `deploy/edge` sets it up), while people paint.

use std::collections::HashSet;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use pixel_canvas::{ChunkId, Sequence};
use pixel_protocol::binary::ToClient;
use serde_json::json;

use crate::support::binary::Binary;
use crate::support::json::Json;
use crate::support::server::unused_address;
use crate::support::socket::Opening;
use crate::support::split::{HOST_TOKEN, Split};
use crate::support::{AtTheEnd, Request, Server, eventually, get};

const PORT: u16 = 8_080;
const CHUNK: ChunkId = ChunkId { cx: 0, cy: 0 };
const CHUNK_PATH: &str = "/api/canvases/main/chunks/0/0";
const VISITORS: usize = 1_000;
/// Visitors that come at the same time.
const AT_ONCE: usize = 8;
/// The most times that one visitor may be told to load afresh: once for each epoch, once for being late.
const RESYNCS_MAX: u64 = 3;

/// nginx, killed when dropped.
struct Edge {
    child: Child,
    ip: Ipv4Addr,
    _folder: tempfile::TempDir,
}

impl Edge {
    /// Before this server, by the configuration that is deployed.
    fn before(server: SocketAddr) -> Self {
        let (folder, ip) = (tempfile::tempdir().expect("a folder"), unused_address());
        let deployed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/edge/nginx.conf");
        let deployed = fs::read_to_string(deployed).expect("the configuration");
        let at = |name: &str| folder.path().join(name).display().to_string();
        let site = deployed
            .replace("/var/cache/nginx/playground", &at("cache"))
            .replace("127.0.0.1:3000", &server.to_string())
            .replace("listen 80;", &format!("listen {ip}:{PORT};"));
        fs::write(at("site.conf"), site).expect("a file is written");
        let paths: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .iter()
            .map(|kind| format!("{kind}_temp_path {};\n", at(kind)))
            .collect();
        // It gives up root for a user that may not write here.
        let root = fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
        let user = if root { "user root;" } else { "" };
        let main = format!(
            "daemon off;\n{user}\nworker_processes 1;\nworker_rlimit_nofile 8192;\npid {};\nerror_log {};\n\
             events {{ worker_connections 8000; }}\nhttp {{ access_log off;\n{paths}include {};\n}}\n",
            at("pid"),
            at("error.log"),
            at("site.conf"),
        );
        fs::write(at("nginx.conf"), main).expect("a file is written");
        let child = Command::new("nginx")
            .args(["-c", &at("nginx.conf"), "-e", &at("error.log")])
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(Stdio::null())
            .spawn()
            .expect("nginx is installed");
        let edge = Self { child, ip, _folder: folder };
        eventually("nginx answers", || TcpStream::connect(edge.address()).is_ok());
        edge
    }

    fn address(&self) -> SocketAddr {
        (self.ip, PORT).into()
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        // Its master takes the worker along only when it is asked to.
        let id = self.child.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &id]).status();
        let _ = self.child.wait();
    }
}

/// Answers about chunks that the api gave: whole ones, and that nothing changed.
fn chunks_asked_of(api: &Server) -> u64 {
    let text = get(api.ops(), "/metrics").text();
    let counts = |line: &&str| {
        line.starts_with("pixel_http_chunk_cache_lookups_total")
            || line.starts_with("pixel_http_requests_total{service=\"api\",answer=\"not_modified\"}")
    };
    let value = |line: &str| line.rsplit(' ').next().and_then(|value| value.parse::<u64>().ok());
    text.lines().filter(counts).filter_map(value).sum()
}

/// What a first visit does: the page, the chunk, the socket; and from then on it follows.
fn visit(edge: SocketAddr) -> Binary {
    let page = get(edge, "/");
    assert_eq!(page.status, 200, "{page:?}");
    let mut came = None;
    // A copy of another epoch is an old one, or the host reset the canvas just then: the socket would say so,
    // and a page goes on with it. Who does not read it comes again.
    eventually("socket and copy are of one epoch", || {
        let opened = Binary::open_through(edge, edge, &Opening::at("/ws"));
        let mut visitor = opened.expect("the edge lets sockets through");
        visitor.load(CHUNK, Sequence::ZERO);
        let fits = visitor.replica.chunk(CHUNK).is_some();
        came = Some(visitor);
        fits
    });
    let mut visitor = came.expect("it came in");
    subscribe(&mut visitor);
    visitor
}

/// Loads what it views again, until a copy is of its epoch, and subscribes.
fn enter(visitor: &mut Binary) {
    eventually("the edge has a copy of this epoch", || {
        visitor.load(CHUNK, Sequence::ZERO);
        visitor.replica.chunk(CHUNK).is_some()
    });
    subscribe(visitor);
}

fn subscribe(visitor: &mut Binary) {
    let have = visitor.replica.chunk(CHUNK).expect("it was loaded").sequence;
    visitor.subscribe(visitor.replica.epoch(), CHUNK, have);
}

/// Follows to this sequence; counts how often it was told to load afresh.
fn follow(visitor: &mut Binary, sequence: u64) -> u64 {
    let mut resyncs = 0;
    while visitor.replica.chunk(CHUNK).is_none_or(|held| held.sequence.0 < sequence) {
        if let ToClient::Resync { chunks, .. } = visitor.hear() {
            resyncs += 1;
            if chunks.is_empty() {
                enter(visitor);
            }
        }
    }
    resyncs
}

#[test]
fn a_thousand_first_visits_cost_the_api_a_handful_of_requests_and_all_see_the_same() {
    let split = Split::start(1, 1, &["--rate-limit", "off"]);
    // Painted on before anybody comes: who holds nothing but a blank canvas says so by 0, and loads once more.
    let first = Request::new("PUT", "/api/pixel").json(&json!({"x": 0, "y": 0, "color": "#FF0000"}));
    assert_eq!(first.send(split.apis[0].api()).status, 200);
    let edge = Edge::before(split.frontend.frontend());
    let (stop, painted) = (AtomicBool::new(false), AtomicU64::new(0));
    let visitors = Mutex::new(Vec::new());
    let (came, is_reset) = (AtomicU64::new(0), AtomicBool::new(false));
    let begun = Instant::now();
    let asked_before = chunks_asked_of(&split.apis[0]);
    thread::scope(|scope| {
        let end = AtTheEnd(&stop);
        scope.spawn(|| {
            let mut painter = Json::open(&split.gateways[0]);
            for number in 0_u32.. {
                let color = format!("#{:06X}", number % 0xff_ffff);
                painter.paint_as((number % 50) as u16, (number / 50 % 50) as u16, &color, number.into());
                let accepted = painter.hear_any("accepted");
                painted.store(accepted["sequence"].as_u64().expect("a sequence"), Ordering::SeqCst);
                if stop.load(Ordering::SeqCst) {
                    break;
                }
            }
        });
        let crowd: Vec<_> = (0..AT_ONCE)
            .map(|_| {
                scope.spawn(|| {
                    while came.fetch_add(1, Ordering::SeqCst) < VISITORS as u64 {
                        // Half way, history is replaced: what the edge keeps is of another epoch then.
                        if came.load(Ordering::SeqCst) > VISITORS as u64 / 2
                            && !is_reset.swap(true, Ordering::SeqCst)
                        {
                            let reset = Request::new("POST", "/api/canvas/reset").bearer(HOST_TOKEN);
                            assert_eq!(reset.send(split.apis[0].api()).status, 200);
                        }
                        let visitor = visit(edge.address());
                        visitors.lock().expect("no visitor panics").push(visitor);
                    }
                })
            })
            .collect();
        for part in crowd {
            part.join().expect("a part of the crowd comes in");
        }
        drop(end);
    });
    let took = begun.elapsed();
    let asked = chunks_asked_of(&split.apis[0]) - asked_before;

    let last = painted.load(Ordering::SeqCst);
    let truth = get(split.apis[0].api(), &format!("{CHUNK_PATH}?since={last}"));
    let mut visitors = visitors.into_inner().expect("no visitor panicked");
    assert_eq!(visitors.len(), VISITORS);
    let mut most = 0;
    for visitor in &mut visitors {
        most = most.max(follow(visitor, last));
        let held = visitor.replica.chunk(CHUNK).expect("it follows it");
        assert!(held.pixels == truth.body, "a visitor sees another canvas");
    }
    println!(
        "{VISITORS} first visits in {took:.1?} while {last} pixels were painted: {asked} asked of the api, \
         a visitor loaded afresh {most} times at most"
    );
    // One a second for the edge's copy, some more around the reset.
    let allowed = took.as_secs() + 12;
    assert!(asked <= allowed, "{asked} requests came to the api, {allowed} were expected at most");
    assert!(most <= RESYNCS_MAX, "a visitor loaded afresh {most} times");
}

#[test]
fn an_edge_keeps_what_everybody_may_have_and_nothing_else() {
    let server = Server::start();
    let edge = Edge::before(server.frontend());
    let cached = |path: &str| get(edge.address(), path);
    let status = |path: &str| cached(path).header("x-cache-status").to_owned();

    // The page hands out guests: nobody may get another's.
    let cookies: HashSet<String> = (0..5).map(|_| cached("/").header("set-cookie").to_owned()).collect();
    assert!(cookies.len() == 5 && cookies.iter().all(|cookie| cookie.starts_with("guest=")), "{cookies:?}");
    let page = cached("/").text();
    let asset =
        page.split(['"', '\'']).find(|part| part.starts_with("/assets/")).expect("the page has files");
    let first = cached(asset);
    assert_eq!((first.status, first.header("cache-control")), (200, "public, max-age=31536000, immutable"));
    assert_eq!(status(asset), "HIT");

    for (path, everybody, network) in [
        (CHUNK_PATH, "public, max-age=0, s-maxage=1", "max-age=1, stale-while-revalidate=9"),
        ("/api/canvases/main.png", "public, max-age=0, s-maxage=5", "max-age=5, stale-while-revalidate=25"),
    ] {
        let answer = cached(path);
        assert_eq!(answer.header("cache-control"), everybody);
        assert_eq!(answer.header("cdn-cache-control"), network);
        assert!(["HIT", "UPDATING", "STALE"].contains(&status(path).as_str()), "{path}");
        // Whoever has to see what was just painted says so, and does.
        let answer = Request::new("PUT", "/api/pixel")
            .json(&json!({"x": 1, "y": 1, "color": "#102030"}))
            .send(edge.address());
        let sequence = answer.json()["sequence"].as_u64().expect("a sequence");
        let fresh = cached(&format!("{path}?since={sequence}"));
        assert_eq!(fresh.header("sequence"), sequence.to_string());
    }
    // What holds at the moment only is asked for each time; what is not there may be there soon.
    for path in ["/api/canvas", "/api/canvases/main", "/health", "/api/canvases/none.png", "/nothing"] {
        cached(path);
        assert!(!["HIT", "UPDATING", "STALE"].contains(&status(path).as_str()), "{path}");
    }
    assert_eq!(cached("/api/canvases/none.png").header("cache-control"), "no-store");
}
