//! Coming back: the contiguous tail, or a plain order to load afresh, and nothing in between.

use pixel_canvas::{ChunkId, Epoch, Sequence};
use pixel_protocol::binary::ToClient;

use crate::support::binary::Binary;
use crate::support::json::Json;
use crate::support::{Request, Server};

const CHUNK: ChunkId = ChunkId { cx: 0, cy: 0 };

/// Paints `count` pixels, each with a colour of its own, and waits until all are in the log.
fn paint(client: &mut Json, count: u64) {
    for _ in 0..count {
        let next = client.sequence();
        client.paint((next % 50) as u16, (next / 50) as u16 % 50, &format!("#{next:06X}"));
        client.connected["sequence"] = client.update()["sequence"].clone();
    }
}

#[test]
fn a_json_client_gets_the_contiguous_tail_and_then_what_is_live() {
    let server = Server::start();
    let mut author = Json::open(&server);
    paint(&mut author, 50);
    let mut back = Json::open(&server);
    assert_eq!(back.sequence(), 50);
    back.resume(author.epoch(), 20);
    for sequence in 21..=50 {
        assert_eq!(back.update()["sequence"], sequence);
    }
    paint(&mut author, 3);
    for sequence in 51..=53 {
        assert_eq!(back.update()["sequence"], sequence);
    }
}

#[test]
fn a_json_client_that_missed_nothing_gets_nothing_twice() {
    let server = Server::start();
    let mut author = Json::open(&server);
    paint(&mut author, 5);
    let mut back = Json::open(&server);
    back.resume(author.epoch(), 5);
    paint(&mut author, 1);
    assert_eq!(back.update()["sequence"], 6);
}

#[test]
fn a_json_client_of_another_epoch_or_the_future_is_told_to_load_afresh() {
    let server = Server::start();
    let mut author = Json::open(&server);
    paint(&mut author, 5);
    for (epoch, sequence) in [("0123456789abcdef", 3), (author.epoch(), 6), (author.epoch(), 1 << 52)] {
        let mut back = Json::open(&server);
        back.resume(epoch, sequence);
        let resync = back.hear();
        assert_eq!(resync["type"], "resync", "from {epoch} {sequence}: {resync}");
        assert_eq!(resync["epoch"], author.epoch());
        assert_eq!(resync["sequence"], 5);
    }
}

#[test]
fn a_history_survives_a_restart_and_so_does_its_epoch() {
    let mut server = Server::start();
    let mut author = Json::open(&server);
    paint(&mut author, 30);
    server.kill();
    server.run();
    let mut back = Json::open(&server);
    assert_eq!((back.epoch(), back.sequence()), (author.epoch(), 30));
    back.resume(author.epoch(), 10);
    for sequence in 11..=30 {
        assert_eq!(back.update()["sequence"], sequence);
    }
}

#[test]
fn a_page_that_holds_a_chunk_gets_only_what_it_lacks() {
    let server = Server::start();
    let mut author = Json::open(&server);
    paint(&mut author, 20);
    let mut page = Binary::open(&server);
    page.view(CHUNK);
    page.follow_to(CHUNK, 20);
    let held = page.replica.clone();
    drop(page);
    paint(&mut author, 40);

    let mut back = Binary::open(&server);
    back.replica = held;
    back.subscribe(back.replica.epoch(), CHUNK, Sequence(20));
    let after = back.hear_until(|message| match message {
        ToClient::Frame(frame) => Some(frame.after),
        ToClient::Resync { .. } => panic!("the log reaches back: {message:?}"),
        _ => None,
    });
    assert!(after <= Sequence(20), "a gap: {after}");
    back.follow_to(CHUNK, 60);
    assert!(back.agrees(CHUNK));
    paint(&mut author, 1);
    back.follow_to(CHUNK, 61);
    assert!(back.agrees(CHUNK));
}

/// It would drop every frame as old, for as long as it believed that.
#[test]
fn a_page_that_claims_to_hold_what_never_was_is_told_to_load() {
    let server = Server::start();
    let mut author = Json::open(&server);
    paint(&mut author, 5);
    let mut page = Binary::open(&server);
    page.subscribe(page.replica.epoch(), CHUNK, Sequence(1 << 50));
    let named = page.hear_until(|message| match message {
        ToClient::Resync { chunks, .. } => Some(chunks.clone()),
        _ => None,
    });
    let [(CHUNK, since)] = named[..] else { panic!("{named:?}") };
    page.load(CHUNK, since);
    paint(&mut author, 5);
    page.follow_to(CHUNK, 10);
    assert!(page.agrees(CHUNK));
}

#[test]
fn a_page_of_another_epoch_is_told_to_load_afresh_and_stays_connected() {
    let server = Server::start();
    let mut author = Json::open(&server);
    paint(&mut author, 5);
    let mut page = Binary::open(&server);
    page.subscribe(Epoch(1), CHUNK, Sequence(3));
    let named = page.hear_until(|message| match message {
        ToClient::Resync { epoch, chunks } => Some((*epoch, chunks.clone())),
        _ => None,
    });
    assert_eq!(named.0.to_string(), author.epoch());
    if named.1.is_empty() {
        page.view(CHUNK);
    }
    paint(&mut author, 5);
    page.follow_to(CHUNK, 10);
    assert!(page.agrees(CHUNK));
}

#[test]
fn a_reset_makes_pages_load_afresh() {
    let server = Server::start();
    let mut author = Json::open(&server);
    paint(&mut author, 10);
    let mut page = Binary::open(&server);
    page.view(CHUNK);
    let before = page.replica.epoch();
    assert_eq!(server.as_host(Request::new("POST", "/api/canvas/reset")).status, 200);
    let epoch = page.hear_until(|message| match message {
        ToClient::Resync { epoch, .. } => Some(*epoch),
        _ => None,
    });
    assert_ne!(epoch, before);
    page.view(CHUNK);
    let mut back = Json::open(&server);
    back.paint(1, 1, "#0000FF");
    let sequence = back.update()["sequence"].as_u64().expect("a sequence");
    page.follow_to(CHUNK, sequence);
    assert!(page.agrees(CHUNK));
}

#[test]
fn a_chunk_is_never_older_than_asked_for() {
    let server = Server::start();
    let mut author = Json::open(&server);
    for sequence in 1..=30 {
        paint(&mut author, 1);
        let path = format!("/api/canvases/main/chunks/0/0?since={sequence}");
        let answer = crate::support::get(server.api(), &path);
        assert_eq!(answer.status, 200);
        let current: u64 = answer.header("sequence").parse().expect("a sequence");
        assert!(current >= sequence, "asked for {sequence}, got {current}");
    }
}
