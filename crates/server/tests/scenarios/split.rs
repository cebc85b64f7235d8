//! Three services over Redis: as exact as one process, whichever of them is killed.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use loadgen::history::Others;
use pixel_canvas::Sequence;
use serde_json::json;

use crate::support::history::{self, Acknowledged, Seen};
use crate::support::json::Json;
use crate::support::redis::Redis;
use crate::support::socket::Opening;
use crate::support::split::Split;
use crate::support::{Request, eventually, get, http, long};

const RACERS: u64 = 20;
const RACE_PIXELS: u64 = 10;
const RACE_WRITES: u64 = 1_000;
/// Of the canvas with a limit of one; longer than a hundred clients take to ask on a busy machine.
const COOLDOWN_MS: u64 = 10_000;

#[test]
fn people_on_two_gateways_paint_one_canvas() {
    let split = Split::start(2, 2, &["--rate-limit", "off"]);
    let mut here = Json::open(&split.gateways[0]);
    let mut there = Json::open(&split.gateways[1]);
    let mut through = Json::open_at(split.frontend.frontend(), &Opening::at("/ws")).expect("it is handed on");
    here.paint_as(3, 4, "#A1B2C3", 1);
    let seen = here.update_text();
    assert_eq!(here.hear()["sequence"], 1, "accepted behind its update");
    assert_eq!((there.update_text(), through.update_text()), (seen.clone(), seen));
    let body = json!({"x": 5, "y": 6, "color": "#010203"});
    let placed = Request::new("PUT", "/api/pixel").json(&body).send(split.frontend.frontend());
    assert_eq!((placed.status, &placed.json()["sequence"]), (200, &json!(2)));
    for client in [&mut here, &mut there, &mut through] {
        assert_eq!(client.update()["sequence"], 2);
    }
    for api in &split.apis {
        assert_eq!(get(api.api(), "/api/pixel/3/4").json()["color"], "#A1B2C3");
        assert_eq!(get(api.api(), "/health").json()["redis"], "connected");
        let ready = get(api.ops(), "/readyz").json();
        assert_eq!((&ready["status"], &ready["durability"]), (&json!("ready"), &json!("fsync")));
    }
    assert_eq!(get(split.frontend.frontend(), "/").status, 200);
    // A guest of one process is the same guest to all.
    let guest = Request::new("POST", "/api/guests").send(split.apis[0].api()).json();
    let token = guest["token"].as_str().expect("a token");
    Json::open_at(split.gateways[1].gateway(), &Opening::at("/").bearer(token))
        .expect("it is known here too");
}

#[test]
fn twenty_clients_on_two_gateways_race_for_ten_pixels() {
    let runs = if long() { 100 } else { 2 };
    for _ in 0..runs {
        race();
    }
    println!(
        "race over two gateways and two apis: {RACERS} clients, {RACE_PIXELS} pixels, {RACE_WRITES} writes: \
         one order and one canvas in {runs} of {runs} runs"
    );
}

fn race() {
    // The contract's own limits: what they allow has to work.
    let split = Split::start(2, 2, &[]);
    let start = Barrier::new(RACERS as usize);
    let results: Vec<(Vec<Seen>, Vec<Acknowledged>)> = thread::scope(|scope| {
        let spawn = |number: u64| {
            let (gateway, start) = (split.gateways[number as usize % 2].gateway(), &start);
            scope.spawn(move || race_as(gateway, number, start))
        };
        let clients: Vec<_> = (0..RACERS).map(spawn).collect();
        clients.into_iter().map(|client| client.join().expect("a client did not panic")).collect()
    });
    let log = &results[0].0;
    assert_eq!((log[0].sequence, log.len() as u64), (1, RACE_WRITES));
    history::assert_contiguous(log);
    for (stream, _) in &results {
        assert!(stream == log, "two clients saw different histories");
    }
    let acknowledged: Vec<_> = results.iter().flat_map(|(_, acknowledged)| acknowledged.clone()).collect();
    assert_eq!(acknowledged.len() as u64, RACE_WRITES);
    assert_eq!(history::lost(log, &acknowledged), 0);
    history::assert_one_order(&acknowledged, Others::None(Sequence::ZERO, Sequence(RACE_WRITES)));
    for api in &split.apis {
        history::assert_leads_to(log, &api.canvas());
    }
}

/// One client: its share of the writes, each awaited, and everything that it saw.
fn race_as(gateway: SocketAddr, number: u64, start: &Barrier) -> (Vec<Seen>, Vec<Acknowledged>) {
    let mut client = Json::open_at(gateway, &Opening::at("/")).expect("the gateway takes clients");
    let (mut seen, mut acknowledged) = (Vec::new(), Vec::new());
    start.wait();
    for write in 0..RACE_WRITES / RACERS {
        let x = ((write * 7 + number) % RACE_PIXELS) as u16;
        let (color, sent) = (format!("#{:06X}", number * 1_000 + write), Instant::now());
        client.paint_as(x, 0, &color, write);
        let sequence = loop {
            let message = client.hear();
            match message["type"].as_str() {
                Some("pixel_updated") => seen.push(Seen::from_update(&message)),
                Some("accepted") => break message["sequence"].as_u64().expect("a sequence"),
                _ => panic!("{message}"),
            }
        };
        let placed = Seen { sequence, x, y: 0, color };
        acknowledged.push(Acknowledged { seen: placed, sent, answered: Instant::now() });
    }
    while (seen.len() as u64) < RACE_WRITES {
        seen.push(Seen::from_update(&client.update()));
    }
    (seen, acknowledged)
}

#[test]
fn a_limit_of_one_lets_one_of_a_hundred_through() {
    let rounds = if long() { 100 } else { 3 };
    let split = Split::start(2, 3, &[]);
    split.make_canvas(
        &json!({"id": "slow", "name": "Slow", "width": 50, "height": 50, "cooldown_ms": COOLDOWN_MS}),
    );
    for round in 0..rounds {
        let guest = Request::new("POST", "/api/guests").send(split.apis[0].api()).json();
        let opening = Opening::at("/?canvas=slow").bearer(guest["token"].as_str().expect("a token"));
        let mut clients: Vec<Json> = (0..100)
            .map(|number: usize| {
                let gateway = split.gateways[number % 3].gateway();
                Json::open_at(gateway, &opening).expect("the gateway takes clients")
            })
            .collect();
        // A new guest starts cooling: its one placement is there after the cooldown.
        thread::sleep(Duration::from_millis(COOLDOWN_MS + 100));
        let start = Barrier::new(clients.len());
        let accepted = AtomicU32::new(0);
        thread::scope(|scope| {
            for (number, client) in clients.iter_mut().enumerate() {
                let (start, accepted) = (&start, &accepted);
                scope.spawn(move || {
                    start.wait();
                    client.paint_as((number % 50) as u16, (number / 50) as u16, "#112233", 7);
                    loop {
                        let message = client.hear();
                        match message["type"].as_str() {
                            Some("accepted") => return accepted.fetch_add(1, Ordering::SeqCst),
                            Some("error") => return 0,
                            _ => {}
                        }
                    }
                });
            }
        });
        assert_eq!(accepted.load(Ordering::SeqCst), 1, "round {round}");
    }
    println!(
        "100 racers over 3 gateways and 2 apis against a limit of one: exactly one, {rounds} times of {rounds}"
    );
}

#[test]
fn people_of_all_gateways_are_counted_and_those_of_a_killed_one_vanish() {
    let mut split = Split::start(1, 2, &[]);
    let mut here = Json::open(&split.gateways[0]);
    let mut there = Json::open(&split.gateways[1]);
    here.say(&json!({"type": "set_username", "username": "Ann"}));
    there.say(&json!({"type": "set_username", "username": "Bob"}));
    for client in [&mut here, &mut there] {
        while client.hear_any("stats")["activeUsers"] != 2 {}
    }
    let both = |users: &serde_json::Value| {
        let mut names: Vec<&str> =
            users.as_array().expect("names").iter().filter_map(|name| name.as_str()).collect();
        names.sort_unstable();
        names == ["Ann", "Bob"]
    };
    eventually("everybody is listed", || {
        let health = get(split.gateways[0].gateway(), "/health").json();
        both(&health["users"])
    });
    split.gateways[1].kill();
    while here.hear_any("stats")["activeUsers"] != 1 {}
    let health = get(split.gateways[0].gateway(), "/health").json();
    assert_eq!(health["users"], json!(["Ann"]));
}

#[test]
fn a_redis_that_is_absent_is_waited_for_and_one_that_freezes_is_said_to_be_away() {
    let mut split = Split::over(Redis::stopped(), 1, 1, &["--rate-limit", "off"]);
    let (api, gateway) = (split.apis[0].api(), split.gateways[0].gateway());
    assert_eq!(get(api, "/health").json()["redis"], "disconnected");
    assert_eq!(get(split.apis[0].ops(), "/readyz").status, 503);
    // Longer than the frontend waits for others.
    let frontend = split.frontend.frontend();
    let asked_through = thread::spawn(move || get(frontend, "/api/canvas").status);
    let looks_through = thread::spawn(move || Json::open_at(frontend, &Opening::at("/ws")).map(drop));
    thread::sleep(Duration::from_secs(4));
    split.redis.run();
    assert_eq!(asked_through.join().expect("it is answered"), 200);
    looks_through.join().expect("it is answered").expect("the gateway takes clients");
    // Asked before the first contact, answered after it.
    assert_eq!(get(api, "/api/canvas").json()["sequence"], 0);
    let mut client = Json::open_at(gateway, &Opening::at("/")).expect("the gateway takes clients");
    client.paint_as(0, 0, "#000001", 1);
    assert_eq!(client.update()["sequence"], 1);
    assert_eq!(client.hear()["type"], "accepted");

    split.redis.freeze();
    let body = json!({"x": 1, "y": 0, "color": "#000002"});
    let refused = Request::new("PUT", "/api/pixel").json(&body).send(api);
    assert_eq!(refused.status, 503, "{refused:?}");
    client.paint_as(2, 0, "#000003", 2);
    // The socket is also told that what it sees may be old.
    while client.error()["ref"] != 2 {}
    eventually("the api says why it is not ready", || get(split.apis[0].ops(), "/readyz").status == 503);
    split.redis.thaw();
    split.wait_until_ready();
    eventually("placing works again without a restart", || {
        Request::new("PUT", "/api/pixel").json(&body).send(api).status == 200
    });
    assert_eq!(get(api, "/api/pixel/1/0").json()["color"], "#000002");
}

/// A body that is too large, and one that takes its time, are no trouble of the service behind.
#[test]
fn behind_the_frontend_bodies_are_answered_as_in_front_of_the_api() {
    let split = Split::start(2, 1, &["--rate-limit", "off"]);
    let (frontend, api) = (split.frontend.frontend(), split.apis[0].api());
    let send = |to: SocketAddr, head: &str, parts: &[&[u8]], pause: Duration| {
        let mut stream = TcpStream::connect(to).expect("it accepts");
        stream
            .write_all(format!("{head}\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes())
            .expect("it is sent");
        for part in parts {
            // Who refuses it early does not read it.
            let _ = stream.write_all(part);
            thread::sleep(pause);
        }
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        http::parse(&answer).unwrap_or_else(|error| panic!("{to}, {head}: {error}"))
    };
    for (path, bytes) in [("/api/pixel", 40_000), ("/api/canvases/main/pixels", 300_000)] {
        let head = format!("PUT {path} HTTP/1.1\r\ncontent-length: {bytes}");
        let body = vec![b' '; bytes];
        let direct = send(api, &head, &[&body], Duration::ZERO);
        assert_eq!(direct.status, 413);
        for _ in 0..10 {
            let through = send(frontend, &head, &[&body], Duration::ZERO);
            assert_eq!((through.status, &through.body), (413, &direct.body));
        }
    }
    let slow = "PUT /api/pixels HTTP/1.1\r\ntransfer-encoding: chunked";
    let (one, two) = (&br#"{"pixels":[{"x":1,"y":1,"#[..], &br##""color":"#123456"}]}"##[..]);
    let chunk = |part: &[u8]| [format!("{:x}\r\n", part.len()).as_bytes(), part, b"\r\n"].concat();
    let parts = [chunk(one), [chunk(two), b"0\r\n\r\n".to_vec()].concat()];
    let painted = send(frontend, slow, &[&parts[0], &parts[1]], Duration::from_secs(4));
    assert_eq!(painted.status, 200, "{painted:?}");
    assert_eq!(get(api, "/api/pixel/1/1").json()["color"], "#123456");
}

/// The api whose turn it is may be frozen or die with a request in hand: what may be asked twice is asked
/// of the other one, and of what may not it is never said that it did not happen.
#[test]
fn behind_the_frontend_a_lost_api_hides_nothing() {
    let mut split = Split::start(2, 1, &["--rate-limit", "off"]);
    let frontend = split.frontend.frontend();
    let put = |x: usize| {
        let body = json!({"x": x % 50, "y": x / 50, "color": "#00FF00"});
        Request::new("PUT", "/api/pixel").json(&body).try_send(frontend).expect("the frontend answers")
    };
    // What the client itself broke is said to be so.
    let broken = "PUT /api/pixel HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
                  transfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\n";
    let mut stream = TcpStream::connect(frontend).expect("the frontend accepts");
    stream.write_all(broken.as_bytes()).expect("it is sent");
    let mut status = [0; 12];
    stream.read_exact(&mut status).expect("an answer comes");
    assert_eq!(&status, b"HTTP/1.1 400");

    split.apis[0].freeze();
    let reads: Vec<u16> = (0..6).map(|_| get(frontend, "/api/canvas").status).collect();
    assert_eq!(reads, [200; 6], "the other api has the answer");
    // The frozen one is asked last from now on.
    let writes: Vec<u16> = (0..6).map(|x| put(x).status).collect();
    assert_eq!(writes, [200; 6]);
    split.apis[0].thaw();

    let stop = std::sync::atomic::AtomicBool::new(false);
    let answers = thread::scope(|scope| {
        let painters: Vec<_> = (0..4)
            .map(|painter| {
                let (stop, put) = (&stop, &put);
                scope.spawn(move || {
                    let mut answers = Vec::new();
                    for turn in 0..600 {
                        if stop.load(Ordering::SeqCst) {
                            break;
                        }
                        let x = 10 + painter * 600 + turn;
                        answers.push((x, put(x)));
                    }
                    answers
                })
            })
            .collect();
        for round in 0..4 {
            thread::sleep(Duration::from_millis(150));
            split.apis[round % 2].kill();
            split.apis[round % 2].run();
        }
        stop.store(true, Ordering::SeqCst);
        painters.into_iter().flat_map(|painter| painter.join().expect("no panic")).collect::<Vec<_>>()
    });
    let canvas = split.apis[1].canvas()["pixels"].take();
    for (x, answer) in &answers {
        let painted = canvas[format!("{},{}", x % 50, x / 50)] == "#00FF00";
        let unknown = answer.status == 503 && answer.json()["outcome"] == "unknown";
        match answer.status {
            200 => assert!(painted, "{x}: {answer:?}"),
            503 => assert!(unknown || !painted, "{x}: {answer:?}"),
            _ => panic!("{x}: {answer:?}"),
        }
    }
    assert!(answers.iter().any(|(_, answer)| answer.status == 200));
    let refused = answers.iter().filter(|(_, answer)| answer.status != 200).count();
    println!(
        "{} writes through the frontend while apis were killed, {refused} without an answer",
        answers.len()
    );
}
