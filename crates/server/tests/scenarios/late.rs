//! A Redis whose answers come late: whoever places hears in time what became of it, though the canvas is
//! looked up first, and though the call before is waited for.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::json::Json;
use crate::support::redis::Redis;
use crate::support::socket::Opening;
use crate::support::split::Split;
use crate::support::way::Way;
use crate::support::{ANSWERED_WITHIN, Answer, Request, eventually, get, long};

/// How late each answer is: one is less than a call to the store may take, two are more than anybody who
/// places is to wait.
const LATE: Duration = Duration::from_millis(1_200);
/// A busy machine may spoil what a round is to show: that a write was given up which had been done.
const ROUNDS_MAX: u32 = 5;
/// Connections to the store that are ready for a write when answers become late.
const CONNECTIONS: u32 = 4;

/// Whom a late store kept from an answer.
struct Round {
    /// Over REST the write was given up, and had been done.
    write_was_cut: bool,
    /// Over a socket, what waited for the call before was refused.
    queue_was_cut: bool,
    /// How long anybody waited.
    longest: Duration,
}

#[test]
fn a_redis_that_answers_late_keeps_nobody_waiting_who_places() {
    let redis = Redis::start();
    let way = Way::to(redis.address());
    let url = format!("redis://{}/0", way.address());
    let flags = ["--store", &url, "--durability", "fsync", "--rate-limit", "off"];
    let split = Split::on(redis, (1, &flags), (1, &flags));
    split.wait_until_ready();
    let (mut write_was_cut, mut queue_was_cut, mut longest, mut rounds) = (false, false, Duration::ZERO, 0);
    while rounds < ROUNDS_MAX && !(write_was_cut && queue_was_cut) {
        let round = play(&split, &way, rounds);
        write_was_cut |= round.write_was_cut;
        queue_was_cut |= round.queue_was_cut;
        longest = longest.max(round.longest);
        rounds += 1;
    }
    println!("each answer of Redis {LATE:?} late: in {rounds} rounds the longest wait was {longest:?}");
    assert!(write_was_cut, "looking the canvas up counts: a second late answer is too late");
    assert!(queue_was_cut, "waiting for the call before counts: a second late answer is too late");
    assert!(!long() || longest < ANSWERED_WITHIN, "{longest:?}");
}

/// One request, and a socket whose second pixel waits for the call with its first.
fn play(split: &Split, way: &Way, round: u32) -> Round {
    eventually("placing works on many connections", || {
        let paint = |number| put(split, &format!("warm {round} {number}"), [number, 1], "#000001");
        thread::scope(|scope| {
            let all: Vec<_> = (0..CONNECTIONS).map(|number| scope.spawn(move || paint(number))).collect();
            all.into_iter().all(|one| one.join().expect("it did not panic").status == 200)
        })
    });
    let mut socket = Json::open_at(split.gateways[0].gateway(), &Opening::at("/")).expect("it takes clients");
    let (key, color, name) =
        (format!("late {round}"), format!("#{:06X}", 0x100 + round), format!("first {round}"));
    way.is_late_by(LATE);
    let ((answer, requested), (queue_was_cut, queued)) = thread::scope(|scope| {
        let request = scope.spawn(|| {
            let began = Instant::now();
            (put(split, &key, [round, 0], &color), began.elapsed())
        });
        socket.say(&json!({"type": "pixel_update", "x": 1, "y": 2, "color": "#000002", "username": name}));
        eventually("the call with its first is under way", || way.carried(&name));
        let began = Instant::now();
        socket.paint_as(2, 2, "#000003", 7);
        let told = socket.answer_to(7);
        let queued = began.elapsed();
        (request.join().expect("it did not panic"), (told["type"] == "error", queued))
    });
    way.is_late_by(Duration::ZERO);
    let write_was_cut = answer.status != 200 && was_painted(split, &answer, &key, [round, 0], &color);
    Round { write_was_cut, queue_was_cut, longest: requested.max(queued) }
}

/// Whether what was answered with a refusal is there; the refusal was true, and asking again paints nothing twice.
fn was_painted(split: &Split, refused: &Answer, key: &str, [x, y]: [u32; 2], color: &str) -> bool {
    refused.refused(503);
    let read = |path: &str| {
        let mut answer = None;
        eventually("the store is read", || {
            answer = Some(get(split.apis[0].api(), path)).filter(|answer| answer.status == 200);
            answer.is_some()
        });
        answer.expect("it was read").json()
    };
    let painted = read(&format!("/api/pixel/{x}/{y}"))["color"] == color;
    let unknown = refused.json()["outcome"] == "unknown";
    assert!(unknown || !painted, "it was said that nothing was changed: {refused:?}");
    let sequence = || read("/api/canvases/main")["sequence"].as_u64();
    let before = sequence().expect("a sequence");
    eventually("the same key is answered", || put(split, key, [x, y], color).status == 200);
    assert_eq!(sequence(), Some(before + u64::from(!painted)));
    painted
}

fn put(split: &Split, key: &str, [x, y]: [u32; 2], color: &str) -> Answer {
    let body = json!({"pixels": [{"x": x, "y": y, "color": color}]});
    let request = Request::new("PUT", "/api/canvases/main/pixels").header("idempotency-key", key);
    request.json(&body).send(split.apis[0].api())
}
