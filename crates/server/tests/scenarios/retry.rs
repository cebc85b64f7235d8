//! Trying again: the same key means the same answer, and one placement.

use pixel_protocol::binary::Reason;
use serde_json::json;

use crate::support::binary::{Answered, Binary};
use crate::support::socket::Opening;
use crate::support::{Answer, Request, Server};

fn place(server: &Server, token: &str, key: &str, color: &str) -> Answer {
    Request::new("PUT", "/api/canvases/main/pixels")
        .bearer(token)
        .header("idempotency-key", key)
        .json(&json!({"pixels": [{"x": 1, "y": 2, "color": color}, {"x": 2, "y": 2, "color": color}]}))
        .send(server.api())
}

#[test]
fn a_request_tried_again_gets_the_same_answer() {
    let mut server = Server::start();
    let token = server.guest();
    let first = place(&server, &token, "one", "#010101");
    assert_eq!(first.status, 200, "{first:?}");
    let (sequence, epoch) = (first.json()["sequence"].clone(), first.json()["epoch"].clone());
    assert!(sequence.is_u64() && epoch.is_string(), "{first:?}");
    for _ in 0..3 {
        let again = place(&server, &token, "one", "#010101");
        assert_eq!((&again.json()["sequence"], &again.json()["epoch"]), (&sequence, &epoch));
        server.kill();
        server.run();
    }
    assert_eq!(server.canvas()["sequence"], 2);
}

#[test]
fn other_pixels_under_the_same_key_are_refused() {
    let server = Server::start();
    let token = server.guest();
    assert_eq!(place(&server, &token, "one", "#010101").status, 200);
    place(&server, &token, "one", "#020202").refused(409);
    assert_eq!(server.canvas()["sequence"], 2);
}

#[test]
fn keys_belong_to_one_guest() {
    let server = Server::start();
    let (ada, grace) = (server.guest(), server.guest());
    assert_eq!(place(&server, &ada, "one", "#010101").status, 200);
    assert_eq!(place(&server, &grace, "one", "#020202").status, 200);
    assert_eq!(server.canvas()["sequence"], 4);
}

#[test]
fn a_submission_tried_again_gets_the_same_sequences() {
    let server = Server::start();
    let opening = Opening::at("/").bearer(&server.guest());
    let pixels = [(1, 1, "#111111"), (2, 2, "#222222"), (3, 3, "#333333")];
    let mut page = Binary::open_at(&server, &opening).expect("a guest is let in");
    let first = page.place(1, &pixels);
    assert_eq!(first, Answered::Accepted { first: 1, count: 3 });
    assert_eq!(page.place(1, &pixels), first);
    let mut back = Binary::open_at(&server, &opening).expect("a guest is let in");
    assert_eq!(back.place(1, &pixels), first);
    let reused = back.place(1, &pixels[..2]);
    assert!(
        matches!(reused, Answered::Refused { reason: Reason::KeyReused, retry_after_ms: None }),
        "{reused:?}"
    );
    assert_eq!(server.canvas()["sequence"], 3);
}

#[test]
fn the_token_of_a_hello_brings_a_guest_back() {
    let server = Server::start();
    let mut fresh = Binary::open(&server);
    let first = fresh.place(5, &[(0, 0, "#0F0F0F")]);
    let token = fresh.hello.token.clone();
    assert!(!token.is_empty(), "a fresh guest gets a token");
    drop(fresh);
    let mut back = Binary::open_at(&server, &Opening::at("/").bearer(&token)).expect("the token is good");
    assert!(back.hello.token.is_empty(), "who has a token gets none");
    assert_eq!(back.place(5, &[(0, 0, "#0F0F0F")]), first);
}

#[test]
fn a_retry_is_answered_before_the_limits_are_asked() {
    let server = Server::with(&["--rate-limit", "1/h burst 2"]);
    let token = server.guest();
    let first = place(&server, &token, "one", "#010101");
    assert_eq!(first.status, 200, "{first:?}");
    let limited = place(&server, &token, "two", "#020202");
    limited.refused(429);
    assert!(limited.header("retry-after").parse::<u64>().is_ok_and(|seconds| seconds > 60), "{limited:?}");
    let again = place(&server, &token, "one", "#010101");
    assert_eq!(again.json()["sequence"], first.json()["sequence"]);
}

#[test]
fn a_refused_submission_leaves_its_key_free() {
    let server = Server::start();
    let mut page = Binary::open(&server);
    let refused = page.place(8, &[(50, 0, "#000000")]);
    assert!(matches!(refused, Answered::Refused { reason: Reason::Outside, .. }), "{refused:?}");
    assert_eq!(page.place(8, &[(49, 0, "#000000")]), Answered::Accepted { first: 1, count: 1 });
}
