//! Readers that do not read: they hurt only themselves.

use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use pixel_canvas::ChunkId;
use pixel_protocol::binary::ToClient;
use serde_json::json;
use socket2::{Domain, Socket as RawSocket, Type};

use crate::support::binary::Binary;
use crate::support::json::Json;
use crate::support::socket::{Opening, Socket};
use crate::support::{AtTheEnd, Request, Server};

const CHUNK: ChunkId = ChunkId { cx: 0, cy: 0 };
/// A receive buffer that fills at once.
const SMALL_BUFFER_BYTES: usize = 4_096;
/// Who never reads, all at once.
const SLEEPERS: usize = 500;
/// Pixels of one request.
const BATCH: u64 = 1_000;
/// Requests after which far more than any wire log's bound has gone out in JSON: some 60 MB.
const BATCHES: u64 = 600;
/// What a server may grow by: its bounded logs and allocator, and nothing for each slow reader.
const GROWTH_BYTES_MAX: u64 = 160 << 20;

fn with_a_small_buffer(server: &Server, opening: &Opening) -> Socket {
    let raw = RawSocket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    raw.set_recv_buffer_size(SMALL_BUFFER_BYTES).expect("a small buffer");
    raw.connect(&server.gateway().into()).expect("the gateway listens");
    Socket::over(TcpStream::from(raw), server.gateway(), opening).expect("the gateway takes clients")
}

/// One request that changes many pixels, each time to another colour.
fn flood(server: &Server, batch: u64) {
    let pixels: Vec<_> = (0..BATCH)
        .map(|n| json!({"x": n % 50, "y": n / 50, "color": format!("#{:06X}", (batch * BATCH + n) & 0xff_ffff)}))
        .collect();
    let answer = Request::new("PUT", "/api/pixels").json(&json!({"pixels": pixels})).send(server.api());
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[test]
fn readers_that_never_read_are_closed_and_nobody_else_notices() {
    let server = Server::start();
    let mut sleepers: Vec<_> =
        (0..SLEEPERS).map(|_| with_a_small_buffer(&server, &Opening::at("/"))).collect();
    let mut page = Binary::open(&server);
    page.view(CHUNK);
    let mut reader = Json::open(&server);
    flood(&server, 0);
    let before = server.memory_bytes();
    for _ in 0..BATCH {
        reader.update();
    }
    for batch in 1..BATCHES {
        flood(&server, batch);
        for n in 1..=BATCH {
            assert_eq!(reader.update()["sequence"], batch * BATCH + n);
        }
    }
    page.follow_to(CHUNK, BATCH * BATCHES);
    assert!(page.agrees(CHUNK));
    let growth = server.memory_bytes().saturating_sub(before);
    println!(
        "{SLEEPERS} readers that never read, {} updates: the server grew by {} MiB in all",
        BATCH * BATCHES,
        growth >> 20
    );
    assert!(growth < GROWTH_BYTES_MAX, "the server grew by {growth} bytes");
    // Who never reads does not hear the goodbye either: it gets as far as the server could write.
    for sleeper in &mut sleepers {
        let ending = sleeper.ending();
        assert!(matches!(ending, Some(1013) | None), "closed with {ending:?}");
    }
}

#[test]
fn a_reader_that_is_too_slow_is_closed_with_1013() {
    let server = Server::start();
    let mut sluggard = with_a_small_buffer(&server, &Opening::at("/"));
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            // Until it is closed: 16 MiB behind takes some 160 requests.
            let mut batch = 0;
            while !stop.load(Ordering::SeqCst) {
                flood(&server, batch);
                batch += 1;
            }
        });
        let _end = AtTheEnd(&stop);
        // It reads all the time, a little at a time, and every update in order until the end.
        let mut last = 0;
        let ending = loop {
            match sluggard.hear() {
                Err(ending) => break ending,
                Ok(message) => {
                    let message: serde_json::Value =
                        serde_json::from_str(message.to_text().expect("text")).expect("JSON");
                    if message["type"] == "pixel_updated" {
                        assert_eq!(message["sequence"], last + 1);
                        last += 1;
                        if last % 10 == 0 {
                            thread::sleep(Duration::from_millis(1));
                        }
                    }
                }
            }
        };
        assert_eq!(ending, Some(1013));
    });
}

#[test]
fn a_page_that_falls_behind_is_told_to_load_afresh_and_stays_connected() {
    let server = Server::start();
    let opening = Opening::at("/").dialect(pixel_protocol::binary::SUBPROTOCOL);
    let mut sleeper = with_a_small_buffer(&server, &opening);
    let hello = sleeper.hear().expect("HELLO").into_data();
    let palette = pixel_canvas::Palette::TrueColor;
    let Ok(Some(ToClient::Hello(hello))) = ToClient::decode(&hello, &palette) else {
        panic!("HELLO comes first")
    };
    let mut subscribe = Vec::new();
    let chunks = vec![(CHUNK, pixel_canvas::Sequence::ZERO)];
    pixel_protocol::binary::ToServer::Subscribe { epoch: hello.epoch, chunks }
        .encode(&hello.canvas, &mut subscribe);
    assert!(sleeper.say(tungstenite::Message::binary(subscribe)));
    let mut reader = Binary::open(&server);
    reader.view(CHUNK);
    for batch in 0..BATCHES {
        flood(&server, batch);
    }
    reader.follow_to(CHUNK, BATCH * BATCHES);
    assert!(reader.agrees(CHUNK));

    let mut resynced = false;
    let mut newest = 0;
    while newest < BATCH * BATCHES {
        let bytes = sleeper.hear().expect("the socket stays open").into_data();
        match ToClient::decode(&bytes, &palette).expect("it is well formed") {
            Some(ToClient::Resync { chunks, .. }) => {
                resynced = true;
                newest = newest.max(chunks.iter().map(|(_, since)| since.0).max().unwrap_or(0));
            }
            Some(ToClient::Frame(frame)) => newest = newest.max(frame.to.0),
            Some(ToClient::Progress { sequence, .. }) => newest = newest.max(sequence.0),
            _ => {}
        }
    }
    assert!(resynced, "it fell behind, yet nobody told it");
}
