//! Many clients, few pixels: one order, and the same canvas for all.

use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use loadgen::history::Others;
use pixel_canvas::{ChunkId, Sequence};

use crate::support::binary::Binary;
use crate::support::history::{self, Acknowledged, Seen};
use crate::support::json::Json;
use crate::support::{Server, long};

const CLIENTS: u64 = 20;
const PIXELS: u64 = 10;
const WRITES: u64 = 1_000;
const CHUNK: ChunkId = ChunkId { cx: 0, cy: 0 };

#[test]
fn twenty_clients_race_for_ten_pixels() {
    let runs = if long() { 100 } else { 3 };
    for _ in 0..runs {
        race();
    }
    println!(
        "race: {CLIENTS} clients, {PIXELS} pixels, {WRITES} writes: one order and one canvas in {runs} of {runs} runs"
    );
}

fn race() {
    // The contract's own limits: what they allow has to work.
    let server = Server::with(&[]);
    let start = Barrier::new(CLIENTS as usize);
    let mut page = Binary::open(&server);
    page.view(CHUNK);
    let results: Vec<_> = thread::scope(|scope| {
        let spawn = |number| {
            let (server, start) = (&server, &start);
            scope.spawn(move || race_as(server, number, start))
        };
        let clients: Vec<_> = (0..CLIENTS).map(spawn).collect();
        clients.into_iter().map(|client| client.join().expect("a client did not panic")).collect()
    });
    page.follow_to(CHUNK, WRITES);

    let log = &results[0].0;
    assert_eq!((log[0].sequence, log.len() as u64), (1, WRITES));
    history::assert_contiguous(log);
    for (stream, _) in &results {
        assert!(stream == log, "two clients saw different histories");
    }
    let acknowledged: Vec<_> = results.iter().flat_map(|(_, acknowledged)| acknowledged.clone()).collect();
    assert_eq!(acknowledged.len() as u64, WRITES);
    assert_eq!(history::lost(log, &acknowledged), 0);
    history::assert_one_order(&acknowledged, Others::None(Sequence::ZERO, Sequence(WRITES)));
    history::assert_leads_to(log, &server.canvas());
    assert!(page.agrees(CHUNK), "the page's replica differs from the server's canvas");
}

/// One client: its share of the writes, each awaited, and everything that it saw.
fn race_as(server: &Server, number: u64, start: &Barrier) -> (Vec<Seen>, Vec<Acknowledged>) {
    let mut client = Json::open(server);
    let mut seen = Vec::new();
    let mut acknowledged = Vec::new();
    start.wait();
    for write in 0..WRITES / CLIENTS {
        let (x, color) = ((write * 7 + number) % PIXELS, format!("#{:06X}", number * 1_000 + write));
        let sent = Instant::now();
        client.paint_as(x as u16, 0, &color, write);
        loop {
            let message = client.hear();
            match message["type"].as_str() {
                Some("pixel_updated") => seen.push(Seen::from_update(&message)),
                Some("accepted") => {
                    assert_eq!(message["ref"], write);
                    let sequence = message["sequence"].as_u64().expect("a sequence");
                    let seen = Seen { sequence, x: x as u16, y: 0, color };
                    acknowledged.push(Acknowledged { seen, sent, answered: Instant::now() });
                    break;
                }
                _ => panic!("unexpected: {message}"),
            }
        }
    }
    while (seen.len() as u64) < WRITES {
        seen.push(Seen::from_update(&client.update()));
    }
    (seen, acknowledged)
}
