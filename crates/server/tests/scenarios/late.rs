//! A Redis that answers everything, and each time a second late: whoever places hears in time what
//! became of it, though a canvas is looked up first and the call before is waited for.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::json::Json;
use crate::support::redis::Redis;
use crate::support::socket::Opening;
use crate::support::split::Split;
use crate::support::{Answer, Request, Server, eventually, get, long};

/// How long each answer takes: less than a call to the store may, and two are more than is promised.
const LATE: Duration = Duration::from_millis(1_200);
/// What is promised, and what a busy machine takes besides.
const ANSWERED_WITHIN: Duration = Duration::from_millis(2_500);
const REQUESTS: u32 = 8;
const SOCKETS: u32 = 24;
/// They come one after another, so that they meet the store at every point of its sleep.
const STEP: Duration = Duration::from_millis(150);

#[test]
fn a_redis_that_is_late_each_time_keeps_nobody_waiting_who_places() {
    let split =
        Split::over(Redis::with(&["--enable-debug-command", "local"]), 1, 1, &["--rate-limit", "off"]);
    split.wait_until_ready();
    for number in 0..REQUESTS {
        split.make_canvas(&json!({"id": format!("c{number}"), "width": 50, "height": 50}));
    }
    // It never heard of those canvases: a placement there asks the store three times.
    let url = split.redis.url();
    let both = Server::with(
        &[
            &["--target", "api,gateway", "--store", &url, "--durability", "fsync"][..],
            &["--rate-limit", "off"],
        ]
        .concat(),
    );
    eventually("it is ready", || get(both.ops(), "/readyz").status == 200);
    // With connections for all of them: a fresh one is waited for less.
    thread::scope(|scope| {
        (0..REQUESTS).for_each(|_| drop(scope.spawn(|| get(both.api(), "/api/canvas"))));
    });
    let gateways = [both.gateway(), split.gateways[0].gateway()];
    let sockets = (0..SOCKETS).map(|number| gateways[number as usize % 2]);
    let sockets: Vec<Json> =
        sockets.map(|at| Json::open_at(at, &Opening::at("/")).expect("it lets them in")).collect();

    let awake = AtomicBool::new(false);
    let (requested, painted) = thread::scope(|scope| {
        // Two, so that the next sleep begins when one ends.
        let sleepers = [(); 2].map(|()| scope.spawn(|| split.redis.sleep_until(&awake, LATE)));
        let api = both.api();
        let requests = (0..REQUESTS).map(|number| scope.spawn(move || request(api, number)));
        let requests: Vec<_> = requests.collect();
        let paintings = (0..).zip(sockets).map(|(number, socket)| scope.spawn(move || paint(socket, number)));
        let paintings: Vec<_> = paintings.collect();
        let requested: Vec<_> =
            requests.into_iter().map(|one| one.join().expect("it did not panic")).collect();
        let painted: Vec<_> =
            paintings.into_iter().map(|one| one.join().expect("it did not panic")).collect();
        awake.store(true, Ordering::Relaxed);
        sleepers.into_iter().for_each(|sleeper| sleeper.join().expect("it did not panic"));
        (requested, painted)
    });
    eventually("it is ready again", || get(both.ops(), "/readyz").status == 200);
    for (number, (answer, _)) in (0..).zip(&requested) {
        let stands = get(both.api(), &format!("/api/canvases/c{number}")).json()["sequence"].clone();
        if answer.status == 200 {
            assert_eq!(stands, 1, "{answer:?}");
            continue;
        }
        let sentence = answer.refused(503);
        if answer.json()["outcome"] != "unknown" {
            assert!(sentence.contains("nothing was changed"), "{answer:?}");
            assert_eq!(stands, 0, "{answer:?}");
        }
    }
    let refused = requested.iter().filter(|(answer, _)| answer.status == 503).count();
    assert!(refused > 0, "three late answers are too late for a placement: {requested:?}");
    let unknown = requested.iter().filter(|(answer, _)| answer.json()["outcome"] == "unknown").count();
    let waits = requested.iter().map(|(_, took)| *took).chain(painted.iter().map(|(_, took)| *took));
    let longest = waits.max().expect("there are some");
    println!(
        "each answer of Redis {LATE:?} late: {refused} of {REQUESTS} requests refused, {unknown} of them unknown, \
         and {} of {SOCKETS} sockets; longest {longest:?}",
        painted.iter().filter(|(refused, _)| *refused).count(),
    );
    assert!(!long() || longest < ANSWERED_WITHIN, "{longest:?}");
}

/// Places on a canvas of its own, and how long that took.
fn request(api: SocketAddr, number: u32) -> (Answer, Duration) {
    thread::sleep(STEP * number);
    let began = Instant::now();
    let body = json!({"pixels": [{"x": 0, "y": 0, "color": "#000001"}]});
    let answer = Request::new("PUT", &format!("/api/canvases/c{number}/pixels")).json(&body).send(api);
    (answer, began.elapsed())
}

/// Places over a socket: whether it was refused, and how long that took.
fn paint(mut socket: Json, number: u32) -> (bool, Duration) {
    thread::sleep(STEP * number);
    let began = Instant::now();
    socket.paint_as(number as u16, 0, "#000002", u64::from(number));
    loop {
        let message = socket.hear();
        if message["ref"] == number {
            return (message["type"] == "error", began.elapsed());
        }
    }
}
