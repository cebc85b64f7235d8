//! How often one may paint: across sockets and requests, exactly.

use std::sync::Barrier;
use std::thread;

use pixel_protocol::binary::Reason;
use serde_json::json;

use crate::support::binary::{Answered, Binary};
use crate::support::json::Json;
use crate::support::socket::Opening;
use crate::support::{Answer, Request, Server, long};

/// An hour: no test lasts until it is over.
const COOLDOWN_MS: u64 = 3_600_000;

fn with_cooldown(charges_max: u32) -> Server {
    let server = Server::with(&[]);
    server.make_canvas(&json!({
        "id": "slow", "width": 64, "height": 64, "cooldown_ms": COOLDOWN_MS, "charges_max": charges_max,
    }));
    server
}

fn place(server: &Server, canvas: &str, x: u64) -> Answer {
    Request::new("PUT", &format!("/api/canvases/{canvas}/pixels"))
        .json(&json!({"pixels": [{"x": x % 64, "y": 0, "color": "#123456"}]}))
        .send(server.api())
}

#[test]
fn of_a_hundred_racers_against_a_cooldown_exactly_one_paints() {
    let runs = if long() { 100 } else { 3 };
    for _ in 0..runs {
        let server = with_cooldown(1);
        let start = Barrier::new(100);
        let accepted = thread::scope(|scope| {
            let spawn = |x| {
                let (server, start) = (&server, &start);
                scope.spawn(move || {
                    start.wait();
                    let answer = place(server, "slow", x);
                    assert!(matches!(answer.status, 200 | 429), "{answer:?}");
                    answer.status == 200
                })
            };
            let racers: Vec<_> = (0..100).map(spawn).collect();
            let won = racers.into_iter().map(|racer| racer.join().expect("a racer did not panic"));
            won.filter(|won| *won).count()
        });
        assert_eq!(accepted, 1);
    }
    println!("racers: 100 against a limit of one, exactly one painted in {runs} of {runs} runs");
}

#[test]
fn a_guest_s_limit_holds_over_all_its_sockets_and_requests() {
    let server = Server::with(&["--rate-limit", "1/h burst 1"]);
    let token = server.guest();
    let start = Barrier::new(60);
    let accepted: usize = thread::scope(|scope| {
        let spawn = |number: u16| {
            let (server, start, token) = (&server, &start, &token);
            scope.spawn(move || {
                let opening = Opening::at("/").bearer(token);
                match number % 3 {
                    0 => {
                        let mut client =
                            Json::open_at(server.gateway(), &opening).expect("a guest is let in");
                        start.wait();
                        client.paint_as(number % 50, 1, "#000000", 1);
                        loop {
                            match client.hear()["type"].as_str() {
                                Some("accepted") => break 1,
                                Some("error") => break 0,
                                _ => {}
                            }
                        }
                    }
                    1 => {
                        let mut page = Binary::open_at(server, &opening).expect("a guest is let in");
                        start.wait();
                        match page.place(u64::from(number), &[(number % 50, 2, "#000000")]) {
                            Answered::Accepted { .. } => 1,
                            Answered::Refused { reason: Reason::Rate, .. } => 0,
                            other => panic!("{other:?}"),
                        }
                    }
                    _ => {
                        start.wait();
                        let body = json!({"x": number % 50, "y": 3, "color": "#000000"});
                        let answer =
                            Request::new("PUT", "/api/pixel").bearer(token).json(&body).send(server.api());
                        usize::from(answer.status == 200)
                    }
                }
            })
        };
        let racers: Vec<_> = (0..60).map(spawn).collect();
        racers.into_iter().map(|racer| racer.join().expect("a racer did not panic")).sum()
    });
    assert_eq!(accepted, 1);
    assert_eq!(server.canvas()["sequence"], 1);
}

#[test]
fn charges_are_spent_then_waited_for() {
    let server = with_cooldown(3);
    for x in 0..3 {
        assert_eq!(place(&server, "slow", x).status, 200);
    }
    let refused = place(&server, "slow", 4);
    refused.refused(429);
    let wait: u64 = refused.header("retry-after").parse().expect("seconds");
    assert!((1..=COOLDOWN_MS / 1_000).contains(&wait), "{wait}");
    // Another canvas has its own rule.
    assert_eq!(place(&server, "main", 5).status, 200);
}

#[test]
fn many_pixels_cost_that_many_and_pass_all_or_none() {
    let server = with_cooldown(3);
    let many = |count: u64| {
        let pixels: Vec<_> = (0..count).map(|x| json!({"x": x, "y": 1, "color": "#654321"})).collect();
        let request = Request::new("PUT", "/api/canvases/slow/pixels").json(&json!({"pixels": pixels}));
        request.send(server.api())
    };
    many(4).refused(413);
    assert_eq!(many(2).json()["updated"], 2);
    many(2).refused(429);
    assert_eq!(many(1).json()["updated"], 1);
}

#[test]
fn a_new_guest_starts_cooling() {
    let server = with_cooldown(5);
    let mut original = Json::open_at(server.gateway(), &Opening::at("/?canvas=slow")).expect("it is let in");
    original.paint(1, 1, "#000000");
    let wait = original.error()["retryAfter"].as_f64().expect("seconds");
    assert!(wait > 60.0 && wait <= COOLDOWN_MS as f64 / 1_000.0, "{wait}");

    let mut page = Binary::open_at(&server, &Opening::at("/?canvas=slow")).expect("it is let in");
    assert!(page.hello.guests_start_cooling);
    let answer = page.place(1, &[(1, 1, "#000000")]);
    let Answered::Refused { reason: Reason::Cooldown, retry_after_ms: Some(wait) } = answer else {
        panic!("{answer:?}")
    };
    assert!(u64::from(wait) <= COOLDOWN_MS && wait > 60_000, "{wait}");

    let body = json!({"pixels": [{"x": 1, "y": 1, "color": "#000000"}]});
    let request = Request::new("PUT", "/api/canvases/slow/pixels").bearer(&server.guest()).json(&body);
    request.send(server.api()).refused(429);
}

#[test]
fn fresh_guests_share_their_address_limit() {
    let server = Server::with(&["--address-rate-limit", "1/h burst 5"]);
    let mut accepted = 0;
    for number in 0..12 {
        let mut page = Binary::open(&server);
        match page.place(number, &[(number as u16, 0, "#000000")]) {
            Answered::Accepted { .. } => accepted += 1,
            Answered::Refused { reason: Reason::Rate, .. } => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(accepted, 5);
}

#[test]
fn a_limit_outlives_a_crash() {
    let mut server = with_cooldown(1);
    assert_eq!(place(&server, "slow", 1).status, 200);
    place(&server, "slow", 2).refused(429);
    server.kill();
    server.run();
    place(&server, "slow", 3).refused(429);
}

#[test]
fn an_address_holds_only_so_many_sockets() {
    let server = Server::with(&["--address-connections", "3"]);
    let first = Json::open(&server);
    let _others = (Json::open(&server), Binary::open(&server));
    assert_eq!(Json::open_at(server.gateway(), &Opening::at("/")).err(), Some(429));
    drop(first);
    crate::support::eventually("a closed socket makes room", || {
        Json::open_at(server.gateway(), &Opening::at("/")).is_ok()
    });
}
