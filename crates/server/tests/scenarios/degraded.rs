//! A Redis in every kind of trouble: readers keep what they have, placements are refused in time and
//! in words, and all of it mends by itself.

use std::net::SocketAddr;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use pixel_canvas::ChunkId;
use pixel_protocol::binary::{Reason, ToClient};
use serde_json::{Value, json};

use crate::support::binary::{Answered, Binary};
use crate::support::json::Json;
use crate::support::redis::Redis;
use crate::support::socket::Opening;
use crate::support::split::Split;
use crate::support::{ANSWERED_WITHIN, Answer, Request, Server, eventually, get};

const CHUNK: ChunkId = ChunkId { cx: 0, cy: 0 };
const CHUNK_PATH: &str = "/api/canvases/main/chunks/0/0";
const CLIENTS: usize = 100;

/// Two viewers and a painter of one gateway, with something painted and read.
struct Scene {
    split: Split,
    json: Json,
    binary: Binary,
    painted: u16,
}

impl Scene {
    fn over(redis: Redis) -> Self {
        let split = Split::over(redis, 1, 1, &["--rate-limit", "off"]);
        split.wait_until_ready();
        let json = Json::open(&split.gateways[0]);
        let mut binary = open_binary(&split);
        binary.view(CHUNK);
        let mut scene = Self { split, json, binary, painted: 0 };
        scene.paint();
        // Read once, in another encoding than later, so that the api has something to remember.
        for path in [CHUNK_PATH, "/api/canvas"] {
            let answer = Request::new("GET", path).header("accept-encoding", "gzip").send(scene.api());
            assert_eq!((answer.status, answer.header("content-encoding")), (200, "gzip"));
        }
        let list = get(scene.api(), "/api/canvases");
        assert_eq!((list.status, list.header("cache-status")), (200, ""));
        scene
    }

    fn api(&self) -> SocketAddr {
        self.split.apis[0].api()
    }

    fn ready(&self, server: &Server) -> (u16, Value) {
        let answer = get(server.ops(), "/readyz");
        (answer.status, answer.json())
    }

    fn put(&self) -> (Answer, Duration) {
        let began = Instant::now();
        let body = json!({"x": 0, "y": 1, "color": "#000001"});
        let answer = Request::new("PUT", "/api/pixel").json(&body).send(self.api());
        (answer, began.elapsed())
    }

    /// Paints over a socket; both viewers see it.
    fn paint(&mut self) {
        let number = self.painted;
        self.painted += 1;
        let color = format!("#{:06X}", 0x1000 + u32::from(number));
        let answered = self.binary.place(u64::from(number), &[(number % 50, 0, &color)]);
        let Answered::Accepted { first, .. } = answered else { panic!("{answered:?}") };
        self.binary.follow_to(CHUNK, first);
        loop {
            let update = self.json.hear();
            if update["type"] == "pixel_updated" && update["color"] == color.as_str() {
                break;
            }
        }
    }

    /// Everything that places is refused in time, with a reason and a time to come back.
    fn assert_placing_is_refused(&mut self, words: &str) {
        let (answer, took) = self.put();
        assert!(took < ANSWERED_WITHIN, "REST took {took:?}");
        let sentence = answer.refused(503);
        assert!(sentence.contains(words), "{sentence:?} does not say {words:?}");
        assert_eq!(answer.header("retry-after"), "1");
        let began = Instant::now();
        self.json.paint_as(1, 1, "#000002", 77);
        let error = self.json.answer_to(77);
        assert!(began.elapsed() < ANSWERED_WITHIN, "JSON took {:?}", began.elapsed());
        assert_eq!((&error["type"], error["retryAfter"].as_f64()), (&json!("error"), Some(1.0)), "{error}");
        assert!(error["message"].as_str().is_some_and(|said| said.contains(words)), "{error}");
        let began = Instant::now();
        self.binary.submit(1 << 40, &[(2, 1, "#000003")]);
        let (reason, retry_after_ms, said) = self.binary.hear_until(|message| match message {
            ToClient::Refused { key, reason, retry_after_ms, sentence } if *key == 1 << 40 => {
                Some((*reason, *retry_after_ms, sentence.clone()))
            }
            _ => None,
        });
        assert!(began.elapsed() < ANSWERED_WITHIN, "binary took {:?}", began.elapsed());
        assert_eq!((reason, retry_after_ms), (Reason::Unavailable, Some(1_000)));
        assert!(said.contains(words), "{said:?} does not say {words:?}");
    }

    /// Readers keep the canvas, marked as stale; both sockets stay and are told.
    fn assert_readers_keep_it_stale(&mut self) {
        let stale = self.binary.hear_until(|message| match message {
            ToClient::Hello(hello) => Some(hello.stale),
            _ => None,
        });
        assert!(stale, "the binary viewer is told");
        loop {
            let message = self.json.hear_any("error");
            if message["ref"].is_null() {
                break;
            }
        }
        for path in [CHUNK_PATH, "/api/canvas"] {
            eventually("it is served from memory", || {
                let answer = get(self.api(), path);
                answer.status == 200 && answer.header("cache-status").contains("ttl=-")
            });
            let old = get(self.api(), path);
            assert!(old.header("age").parse::<u64>().is_ok(), "{old:?}");
            assert_eq!((old.header("sequence"), old.header("cache-control")), ("1", "no-store"));
        }
        let list = get(self.api(), "/api/canvases");
        assert!(list.status == 200 && list.header("cache-status").contains("ttl=-"), "{list:?}");
        assert_eq!(
            (&list.json()["canvases"][0]["id"], list.header("cache-control")),
            (&json!("main"), "no-store")
        );
        let never_read = get(self.api(), "/api/canvases/main/chunks/0/0?since=5");
        never_read.refused(503);
        // Who comes new finds the canvas that the gateway has, and hears that it may be old.
        assert!(open_binary(&self.split).hello.stale);
    }

    /// By itself: no process was restarted and no socket was lost.
    fn assert_it_mends(&mut self) {
        self.split.wait_until_ready();
        eventually("placing works again", || self.put().0.status == 200);
        // What was left unknown may have been painted: the key of the next is a fresh one.
        self.painted += 10;
        let number = self.painted;
        let color = format!("#{:06X}", 0x2000 + u32::from(number));
        let mut key = u64::from(number) << 20;
        let first = loop {
            match self.binary.place(key, &[(number % 50, 0, &color)]) {
                Answered::Accepted { first, .. } => break first,
                Answered::Refused { .. } => key += 1,
            }
        };
        self.follow_to(first);
        loop {
            let message = self.json.hear();
            let resynced = message["type"] == "resync" && message["sequence"].as_u64() >= Some(first);
            if resynced || message["color"] == color.as_str() {
                break;
            }
        }
        assert!(self.binary.agrees(CHUNK), "the viewer holds what the api has");
        let fresh = get(self.api(), CHUNK_PATH);
        assert_eq!(fresh.header("cache-status"), "", "{fresh:?}");
        assert!(!open_binary(&self.split).hello.stale);
        for server in self.split.apis.iter().chain(&self.split.gateways) {
            let all_well = ["pixel_store_readable", "pixel_store_writable"];
            eventually("the metrics say so", || all_well.iter().all(|name| server.metric(name) == 1));
        }
    }

    /// As a page does: after a restart of Redis history has another epoch, and is loaded afresh.
    fn follow_to(&mut self, sequence: u64) {
        while self.binary.replica.chunk(CHUNK).is_none_or(|held| held.sequence.0 < sequence) {
            if self.binary.replica.chunk(CHUNK).is_none() {
                self.binary.view(CHUNK);
            } else {
                self.binary.hear();
            }
        }
    }

    /// One line when it begins and one when it ends, however many came meanwhile.
    fn assert_the_log_is_short(&self) {
        for server in self.split.apis.iter().chain(&self.split.gateways) {
            let loud = server.said(&["warn", "error"]);
            assert!(loud.len() <= 4, "{}", loud.join("\n"));
        }
    }
}

fn open_binary(split: &Split) -> Binary {
    Binary::open_through(split.gateways[0].gateway(), split.apis[0].api(), &Opening::at("/"))
        .expect("the gateway takes clients")
}

/// The path of a chunk that was read, and then found unchanged at the sequence that the path asks for.
fn confirm_by_tag(scene: &Scene) -> String {
    scene.split.make_canvas(&json!({"id": "wide", "width": 300, "height": 1}));
    let chunk = "/api/canvases/wide/chunks/0/0";
    let read = get(scene.api(), chunk);
    let far = json!({"pixels": [{"x": 299, "y": 0, "color": "#000001"}]});
    let painted = Request::new("PUT", "/api/canvases/wide/pixels").json(&far).send(scene.api());
    assert_eq!((read.header("sequence"), painted.status), ("0", 200));
    let again = Request::new("GET", chunk).header("if-none-match", read.header("etag")).send(scene.api());
    assert_eq!((again.status, again.header("sequence")), (304, "1"));
    format!("{chunk}?since=1")
}

/// How long each of a hundred waits who all place at once, and again right after.
fn assert_a_crowd_is_answered_in_time(scene: &Scene, name: &str) {
    assert_these_are_answered_in_time(scene, name, CLIENTS);
}

/// The same with so many besides the sockets who place by requests.
fn assert_these_are_answered_in_time(scene: &Scene, name: &str, requests: usize) {
    let (api, gateway) = (scene.api(), scene.split.gateways[0].gateway());
    let sockets: Vec<Json> =
        (0..CLIENTS).map(|_| Json::open_at(gateway, &Opening::at("/")).expect("it lets them in")).collect();
    let start = Barrier::new(CLIENTS + requests);
    let mut waits: Vec<Duration> = thread::scope(|scope| {
        let start = &start;
        let over_sockets = sockets.into_iter().enumerate().map(|(number, mut client)| {
            scope.spawn(move || {
                start.wait();
                let mut longest = Duration::ZERO;
                // They do not come in step: some wait behind a call that is under way.
                for turn in 0..4_u64 {
                    thread::sleep(Duration::from_millis((number as u64 * 7) % 190));
                    let began = Instant::now();
                    client.paint_as((number % 50) as u16, 2, "#000004", turn);
                    while client.hear_any("error")["ref"] != turn {}
                    longest = longest.max(began.elapsed());
                }
                longest
            })
        });
        let over_rest = (0..requests).map(|_| {
            scope.spawn(move || {
                start.wait();
                let began = Instant::now();
                let body = json!({"x": 3, "y": 3, "color": "#000005"});
                let answer = Request::new("PUT", "/api/pixel").json(&body).send(api);
                assert_eq!(answer.status, 503, "{answer:?}");
                began.elapsed()
            })
        });
        let all: Vec<_> = over_sockets.chain(over_rest).collect();
        all.into_iter().map(|client| client.join().expect("a client did not panic")).collect()
    });
    waits.sort_unstable();
    let (median, longest) = (waits[waits.len() / 2], waits[waits.len() - 1]);
    println!(
        "{name}: {CLIENTS} sockets and {requests} requests refused: median {median:?}, longest {longest:?}"
    );
    assert!(longest < ANSWERED_WITHIN, "{longest:?}");
}

#[test]
fn redis_stopped_and_started_again() {
    let mut scene = Scene::over(Redis::start());
    let confirmed = confirm_by_tag(&scene);
    scene.split.redis.stop();
    scene.assert_readers_keep_it_stale();
    let old = get(scene.api(), &confirmed);
    assert_eq!((old.status, old.header("sequence")), (200, "1"), "{old:?}");
    scene.assert_placing_is_refused("the store is away");
    let api = &scene.split.apis[0];
    eventually("the api is not ready", || scene.ready(api).0 == 503);
    assert!(scene.ready(api).1["reason"].as_str().expect("a reason").contains("the store is away"));
    assert_eq!(get(scene.api(), "/health").json()["redis"], "disconnected");
    assert_eq!((api.metric("pixel_store_readable"), api.metric("pixel_store_writable")), (0, 0));
    assert_a_crowd_is_answered_in_time(&scene, "stopped");
    scene.split.redis.run();
    scene.assert_it_mends();
    scene.assert_the_log_is_short();
}

#[test]
fn redis_frozen_and_thawed() {
    let mut scene = Scene::over(Redis::start());
    scene.split.redis.freeze();
    // Before anybody has noticed: the worst moment to come.
    assert_a_crowd_is_answered_in_time(&scene, "frozen");
    scene.assert_readers_keep_it_stale();
    scene.assert_placing_is_refused("the store does not answer");
    scene.split.redis.thaw();
    scene.assert_it_mends();
    scene.assert_the_log_is_short();
}

#[test]
fn no_api_answers() {
    let mut scene = Scene::over(Redis::start());
    scene.split.apis[0].freeze();
    assert_these_are_answered_in_time(&scene, "frozen api", 0);
    scene.split.apis[0].thaw();
    scene.assert_it_mends();
    scene.split.apis[0].kill();
    assert_these_are_answered_in_time(&scene, "killed api", 0);
    scene.split.apis[0].run();
    scene.assert_it_mends();
}

/// In these the log can be read: nothing is stale, and the process stays ready for readers.
fn read_only(scene: &mut Scene, words: &str) {
    scene.assert_placing_is_refused(words);
    let (api, gateway) = (&scene.split.apis[0], &scene.split.gateways[0]);
    eventually("the api says that it is read-only", || scene.ready(api).1["status"] == "read-only");
    let (status, body) = scene.ready(api);
    assert_eq!(status, 200, "{body}");
    assert!(body["reason"].as_str().expect("a reason").contains(words), "{body}");
    assert_eq!(scene.ready(gateway).1["status"], "ready", "a gateway only reads");
    let health = get(scene.api(), "/health").json();
    assert_eq!((&health["redis"], &health["store"]), (&json!("connected"), &json!("read-only")));
    assert_eq!((api.metric("pixel_store_readable"), api.metric("pixel_store_writable")), (1, 0));
    assert_eq!(get(scene.api(), CHUNK_PATH).header("cache-status"), "");
    assert!(!open_binary(&scene.split).hello.stale);
    assert_a_crowd_is_answered_in_time(scene, words);
}

#[test]
fn redis_out_of_memory() {
    let mut scene = Scene::over(Redis::start());
    scene.split.redis.ask(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    scene.split.redis.ask(&["CONFIG", "SET", "maxmemory", "1mb"]);
    read_only(&mut scene, "the store is full");
    scene.split.redis.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    scene.assert_it_mends();
    scene.assert_the_log_is_short();
}

#[test]
fn redis_became_a_replica() {
    let mut scene = Scene::over(Redis::start());
    scene.split.redis.ask(&["REPLICAOF", "127.0.0.1", "1"]);
    read_only(&mut scene, "the store is read-only");
    scene.split.redis.ask(&["REPLICAOF", "NO", "ONE"]);
    scene.assert_it_mends();
    scene.assert_the_log_is_short();
}

#[test]
fn redis_cannot_save() {
    let mut scene = Scene::over(Redis::with(&["--save", "3600 1", "--enable-protected-configs", "yes"]));
    let folder = scene.split.redis.folder().join("no-folder");
    std::fs::create_dir(&folder).expect("a folder");
    scene.split.redis.ask(&["CONFIG", "SET", "dir", folder.to_str().expect("a plain path")]);
    std::fs::remove_dir(&folder).expect("it is empty");
    let last_save = |redis: &Redis| redis.ask(&["INFO", "persistence"]);
    scene.split.redis.ask(&["BGSAVE"]);
    let redis = &scene.split.redis;
    eventually("a save fails", || last_save(redis).contains("rdb_last_bgsave_status:err"));
    read_only(&mut scene, "the store cannot save to its disk");
    std::fs::create_dir(&folder).expect("a folder");
    // It stood in the folder that is gone.
    scene.split.redis.ask(&["CONFIG", "SET", "dir", folder.to_str().expect("a plain path")]);
    scene.split.redis.ask(&["BGSAVE"]);
    scene.assert_it_mends();
    scene.assert_the_log_is_short();
}

#[test]
fn a_password_that_changes_and_changes_back() {
    let mut redis = Redis::start();
    redis.set_password(Some("another"));
    // Wrong at the start: waited for, with a reason.
    let mut split = Split::over(redis, 1, 1, &["--rate-limit", "off"]);
    let api = split.apis[0].api();
    eventually("the api says why", || {
        let ready = get(split.apis[0].ops(), "/readyz");
        ready.status == 503
            && ready.json()["reason"].as_str().is_some_and(|why| why.contains("Authentication"))
    });
    let began = Instant::now();
    let body = json!({"x": 0, "y": 0, "color": "#000001"});
    Request::new("PUT", "/api/pixel").json(&body).send(api).refused(503);
    assert!(began.elapsed() < ANSWERED_WITHIN, "{:?}", began.elapsed());
    split.redis.set_password(None);
    split.wait_until_ready();
    drop(split);

    let mut scene = Scene::over(Redis::start());
    scene.split.redis.set_password(Some("another"));
    // Who is in stays in; only a new connection finds the door shut.
    scene.split.redis.ask(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    scene.assert_readers_keep_it_stale();
    scene.assert_placing_is_refused("the store does not let this server in");
    let log = scene.split.apis[0].log() + &scene.split.gateways[0].log();
    assert!(!log.contains("another"), "no password in a log");
    scene.split.redis.set_password(None);
    scene.assert_it_mends();
    scene.assert_the_log_is_short();
}

/// Trouble in which the store can be read: how it begins, how it ends, and the words for it.
const READ_ONLY: [(&[&str], &[&str], &str); 4] = [
    (&["CONFIG", "SET", "maxmemory", "1mb"], &["CONFIG", "SET", "maxmemory", "0"], "the store is full"),
    (&["REPLICAOF", "127.0.0.1", "1"], &["REPLICAOF", "NO", "ONE"], "the store is read-only"),
    (
        &["CONFIG", "SET", "min-replicas-to-write", "1"],
        &["CONFIG", "SET", "min-replicas-to-write", "0"],
        "too few copies of the store are there",
    ),
    (
        &["CONFIG", "SET", "appendfsync", "everysec"],
        &["CONFIG", "SET", "appendfsync", "always"],
        "the store does not promise to keep what is painted",
    ),
];

/// Nothing that a running process does needs another one than a process that starts.
#[test]
fn who_starts_while_the_store_takes_no_writes_serves_readers_and_mends() {
    let mut scene = Scene::over(Redis::start());
    let url = scene.split.redis.url();
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    let config = file.path().to_str().expect("a plain path");
    for (number, (begin, end, words)) in READ_ONLY.into_iter().enumerate() {
        let described =
            format!("[[canvas]]\nid = \"main\"\ncooldown_ms = {number}\n[[canvas]]\nid = \"late{number}\"\n");
        std::fs::write(file.path(), described).expect("a file is written");
        scene.split.redis.ask(begin);
        // No other process left its scripts there.
        scene.split.redis.ask(&["SCRIPT", "FLUSH"]);
        let flags = ["--target", "api", "--store", &url, "--durability", "fsync", "--config", config];
        let api = Server::with(&flags);
        let url_of_api = format!("http://{}", api.api());
        let gateway = Server::with(&["--target", "gateway", "--store", &url, "--api-url", &url_of_api]);
        eventually("it is ready for readers", || scene.ready(&api).0 == 200);
        let (_, body) = scene.ready(&api);
        assert_eq!(body["status"], "read-only", "{body}");
        assert!(body["reason"].as_str().expect("a reason").contains(words), "{body}");
        let (read, elsewhere) = (get(api.api(), CHUNK_PATH), get(scene.api(), CHUNK_PATH));
        assert_eq!((read.status, read.header("cache-status")), (200, ""));
        assert!(read.body == elsewhere.body, "it is what a running api has");
        let placed = json!({"x": 0, "y": 9, "color": "#000009"});
        let refused = Request::new("PUT", "/api/pixel").json(&placed).send(api.api()).refused(503);
        assert!(refused.contains(words), "{refused}");
        let late = format!("/api/canvases/late{number}");
        get(api.api(), &late).refused(404);
        eventually("the gateway is ready", || scene.ready(&gateway).0 == 200);
        let binary =
            Binary::open_through(gateway.gateway(), api.api(), &Opening::at("/")).expect("it lets in");
        assert!(!binary.hello.stale);

        scene.split.redis.ask(end);
        eventually("the canvas of the file is made", || get(api.api(), &late).status == 200);
        eventually("the rules of the file hold", || {
            get(api.api(), "/api/canvases/main").json()["cooldown_ms"] == number
        });
        eventually("placing works", || {
            Request::new("PUT", "/api/pixel").json(&placed).send(api.api()).status == 200
        });
    }
    // What is asked for was never there.
    let flags = ["--target", "api", "--store", &url, "--durability", "replicated:1"];
    let lonely = Server::with(&flags);
    eventually("it is ready for readers", || scene.ready(&lonely).1["status"] == "read-only");
    assert_eq!(get(lonely.api(), "/api/pixel/0/9").json()["color"], "#000009");
    scene.assert_it_mends();
}

#[test]
fn what_keeps_a_process_from_starting_is_said_to_whoever_places() {
    let mut redis = Redis::start();
    redis.set_password(Some("another"));
    let split = Split::over(redis, 1, 1, &[]);
    let api = &split.apis[0];
    eventually("the api knows why", || get(api.ops(), "/readyz").text().contains("Authentication"));
    let body = json!({"x": 0, "y": 0, "color": "#000001"});
    let refused = Request::new("PUT", "/api/pixel").json(&body).send(api.api());
    let sentence = refused.refused(503);
    assert!(sentence.contains("the store does not let this server in"), "{sentence}");
    assert_eq!(refused.header("retry-after"), "1");
}

#[test]
fn a_new_store_that_does_not_promise_fsync_is_refused_and_one_in_use_is_read() {
    let redis = Redis::start();
    redis.ask(&["CONFIG", "SET", "appendfsync", "everysec"]);
    let flags = ["--target", "api", "--store", &redis.url(), "--durability", "fsync"];
    let output = Server::stopped(&flags).run_to_the_end();
    assert_eq!(output.status.code(), Some(64), "{output:?}");
    redis.ask(&["CONFIG", "SET", "appendfsync", "always"]);
    let mut api = Server::with(&flags);
    eventually("main is made", || get(api.api(), "/api/canvas").status == 200);
    redis.ask(&["CONFIG", "SET", "appendfsync", "everysec"]);
    api.kill();
    api.run();
    eventually("it is read again", || get(api.ops(), "/readyz").status == 200);
    assert_eq!(get(api.api(), "/api/canvas").status, 200);
}
