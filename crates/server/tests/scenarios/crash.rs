//! kill -9 under load: whatever was acknowledged is there afterwards, once, in its place.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use loadgen::history::Others;
use serde_json::json;

use crate::support::binary::{Answered, Binary};
use crate::support::history::{self, Acknowledged, Seen};
use crate::support::json::Json;
use crate::support::socket::Opening;
use crate::support::{AtTheEnd, Request, Server, eventually, long};

/// Acknowledgements between two kills.
const PER_LIFE: u64 = 150;

/// What all writers share.
#[derive(Default)]
struct Shared {
    acknowledged: Mutex<Vec<Acknowledged>>,
    count: AtomicU64,
    stop: AtomicBool,
    /// Each placement has a colour of its own, so that the log shows who is there twice.
    last_color: AtomicU64,
}

impl Shared {
    fn color(&self) -> String {
        format!("#{:06X}", self.last_color.fetch_add(1, Ordering::SeqCst) + 1)
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    fn acknowledge(&self, sequence: u64, x: u16, y: u16, color: String, sent: Instant) {
        let answered = Instant::now();
        let seen = Seen { sequence, x, y, color };
        self.acknowledged.lock().expect("no writer panics").push(Acknowledged { seen, sent, answered });
        self.count.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn nothing_acknowledged_is_lost_or_doubled_by_kill_9() {
    let kills = if long() { 200 } else { 10 };
    let mut server = Server::start();
    let epoch = Json::open(&server).epoch().to_owned();
    let shared = Shared::default();
    let token = server.guest();
    // The writers know the addresses, not the process: it comes and goes.
    let places = Places { api: server.api(), gateway: server.gateway() };

    thread::scope(|scope| {
        let _end = AtTheEnd(&shared.stop);
        for row in 0..3 {
            let (shared, places) = (&shared, &places);
            scope.spawn(move || write_json(shared, places, row));
        }
        for row in 3..6 {
            let (shared, places, token) = (&shared, &places, &token);
            scope.spawn(move || write_with_keys(shared, places, row, token));
        }
        let watcher = scope.spawn(|| watch(&shared, &places, &epoch));
        for _ in 0..kills {
            let goal = shared.count.load(Ordering::SeqCst) + PER_LIFE;
            eventually("writers make progress", || shared.count.load(Ordering::SeqCst) >= goal);
            server.kill();
            server.run();
        }
        let goal = shared.count.load(Ordering::SeqCst) + PER_LIFE;
        eventually("writers go on", || shared.count.load(Ordering::SeqCst) >= goal);
        shared.stop.store(true, Ordering::SeqCst);
        // The watcher looks up when it hears something.
        let last = json!({"x": 49, "y": 49, "color": shared.color()});
        assert_eq!(Request::new("PUT", "/api/pixel").json(&last).send(server.api()).status, 200);
        let watched = watcher.join().expect("the watcher did not panic");
        history::assert_contiguous(&watched);
    });

    let log = whole_log(&server, &epoch);
    let acknowledged = shared.acknowledged.into_inner().expect("no writer panicked");
    let lost = history::lost(&log, &acknowledged);
    println!("kill -9: {kills} kills, {} acknowledged, {lost} lost", acknowledged.len());
    assert_eq!(lost, 0, "acknowledged placements were lost");
    // Placements whose answer a crash cut off are in the log and in nobody's hands.
    history::assert_one_order(&acknowledged, Others::Some);
    history::assert_leads_to(&log, &server.canvas());
    let mut colors: HashMap<&str, u64> = HashMap::new();
    for seen in &log {
        let before = colors.insert(&seen.color, seen.sequence);
        assert_eq!(before, None, "painted twice: {seen:?}");
    }
}

struct Places {
    api: std::net::SocketAddr,
    gateway: std::net::SocketAddr,
}

impl Places {
    /// A client, as soon as there is a server; `None` when the scenario is over.
    fn json(&self, shared: &Shared) -> Option<Json> {
        while !shared.stopped() {
            if let Ok(client) = Json::open_at(self.gateway, &Opening::at("/")) {
                return Some(client);
            }
            thread::sleep(std::time::Duration::from_millis(5));
        }
        None
    }
}

/// Paints over JSON; what was under way when the connection broke is left to chance, as the
/// original's clients do.
fn write_json(shared: &Shared, places: &Places, row: u16) {
    while let Some(mut client) = places.json(shared) {
        for x in (0..50).cycle() {
            let (color, sent) = (shared.color(), Instant::now());
            if shared.stopped() || !client.paint_as(x, row, &color, 1) {
                break;
            }
            let answer = loop {
                match client.try_hear() {
                    Ok(message) if message["type"] == "accepted" => break Some(message),
                    Ok(message) => assert_eq!(message["type"], "pixel_updated", "{message}"),
                    Err(_) => break None,
                }
            };
            let Some(answer) = answer else { break };
            let sequence = answer["sequence"].as_u64().expect("a sequence");
            shared.acknowledge(sequence, x, row, color, sent);
        }
    }
}

/// Paints over REST under a key, and tries again under the same one until there is an answer.
fn write_with_keys(shared: &Shared, places: &Places, row: u16, token: &str) {
    for x in (0..50).cycle() {
        if shared.stopped() {
            return;
        }
        let (color, sent) = (shared.color(), Instant::now());
        let request = Request::new("PUT", "/api/canvases/main/pixels")
            .bearer(token)
            .header("idempotency-key", &format!("crash-{color}"))
            .json(&json!({"pixels": [{"x": x, "y": row, "color": color}]}));
        let answer = loop {
            match request.clone().try_send(places.api) {
                Ok(answer) if answer.status == 200 => break answer.json(),
                Ok(answer) => assert_eq!(answer.status, 503, "{answer:?}"),
                Err(_) => thread::sleep(std::time::Duration::from_millis(5)),
            }
        };
        let sequence = answer["sequence"].as_u64().expect("a sequence");
        shared.acknowledge(sequence, x, row, color, sent);
    }
}

/// Watches through every crash: reconnects, resumes, and returns all that it saw.
fn watch(shared: &Shared, places: &Places, epoch: &str) -> Vec<Seen> {
    let mut seen: Vec<Seen> = Vec::new();
    while let Some(mut client) = places.json(shared) {
        assert_eq!(client.epoch(), epoch, "a crash without loss keeps the epoch");
        let last = seen.last().map_or(0, |last| last.sequence);
        let mut resumed = client.sequence() == last;
        if !resumed {
            client.resume(epoch, last);
        }
        while let Ok(message) = client.try_hear() {
            assert_eq!(message["type"], "pixel_updated", "{message}");
            let update = Seen::from_update(&message);
            // What is live may come before the server has read the resume; it comes again.
            resumed |= update.sequence == last + 1;
            if resumed {
                seen.push(update);
            }
            if shared.stopped() {
                return seen;
            }
        }
    }
    seen
}

fn whole_log(server: &Server, epoch: &str) -> Vec<Seen> {
    let mut reader = Json::open(server);
    // A gateway follows the log: it may be a moment behind what was acknowledged to a request.
    let last = server.canvas()["sequence"].as_u64().expect("a sequence");
    reader.resume(epoch, 0);
    let mut log: Vec<Seen> = Vec::new();
    while log.last().is_none_or(|seen| seen.sequence < last) {
        let update = Seen::from_update(&reader.update());
        // What is live may come before the server has read the resume; it comes again.
        if !log.is_empty() || update.sequence == 1 {
            log.push(update);
        }
    }
    history::assert_contiguous(&log);
    log
}

#[test]
fn a_retry_after_kill_9_is_painted_once() {
    let mut server = Server::start();
    let token = server.guest();
    let opening = Opening::at("/").bearer(&token);
    let mut page = Binary::open_at(&server, &opening).expect("a guest is let in");
    let answer = page.place(4_711, &[(1, 1, "#AA0000"), (2, 1, "#00AA00")]);
    assert_eq!(answer, Answered::Accepted { first: 1, count: 2 });
    server.kill();
    server.run();
    let mut other = Binary::open(&server);
    assert_eq!(other.place(1, &[(9, 9, "#0000AA")]), Answered::Accepted { first: 3, count: 1 });
    let mut back = Binary::open_at(&server, &opening).expect("the same guest is let in");
    assert_eq!(back.place(4_711, &[(1, 1, "#AA0000"), (2, 1, "#00AA00")]), answer);
    assert_eq!(server.canvas()["sequence"], 3);
}
