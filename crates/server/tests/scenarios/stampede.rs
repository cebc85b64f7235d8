//! Everybody loads the same chunk at once, over Redis, while somebody paints on it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use serde_json::json;

use crate::support::http::parse;
use crate::support::split::Split;
use crate::support::{AtTheEnd, PATIENCE, Request};

const CLIENTS: u64 = 1_000;
/// Each client needs the canvas and its chunk; the services' own looks are counted too.
const READS_MAX: u64 = CLIENTS / 5;
const CHUNK: &str = "GET /api/canvases/main/chunks/0/0 HTTP/1.1\r\nhost: any\r\nconnection: close\r\naccept-encoding: zstd\r\n\r\n";

/// Scripts that only read, since Redis began.
fn reads(split: &Split) -> u64 {
    let info = split.redis.ask(&["INFO", "commandstats"]);
    let calls = |line: &str| line.split_once("calls=")?.1.split(',').next()?.parse::<u64>().ok();
    let lines = info.lines().filter(|line| line.starts_with("cmdstat_eval") && line.contains("_ro:"));
    lines.filter_map(calls).sum()
}

#[test]
fn a_thousand_first_loads_at_once_cost_a_few_reads_and_none_is_older_than_what_was_acknowledged() {
    let split = Split::start(1, 1, &["--rate-limit", "off"]);
    let api = split.apis[0].api();
    let (acknowledged, over) = (AtomicU64::new(0), AtomicBool::new(false));
    let paint = |number: u64| {
        let body = json!({"x": number % 50, "y": 0, "color": "#1C1917"});
        let answer = Request::new("PUT", "/api/pixel").json(&body).send(api);
        acknowledged.store(answer.json()["sequence"].as_u64().expect("it was placed"), Ordering::SeqCst);
    };
    paint(0);
    thread::scope(|scope| {
        let _end = AtTheEnd(&over);
        scope.spawn(|| {
            for number in 1.. {
                if over.load(Ordering::SeqCst) {
                    break;
                }
                paint(number);
            }
        });
        let connect = |_| TcpStream::connect(api).expect("the api takes everybody");
        let mut sockets: Vec<TcpStream> = (0..CLIENTS).map(connect).collect();
        let misses = || split.apis[0].metric("pixel_http_chunk_cache_lookups_total{result=\"miss\"}");
        let painted_before = split.apis[0].metric("pixel_placing_accepted_placements_total");
        let before = reads(&split);
        let mut asked = Vec::with_capacity(sockets.len());
        for socket in &mut sockets {
            asked.push(acknowledged.load(Ordering::SeqCst));
            socket.write_all(CHUNK.as_bytes()).expect("the api reads");
        }
        for (socket, least) in sockets.iter_mut().zip(asked) {
            socket.set_read_timeout(Some(PATIENCE)).expect("a socket takes its options");
            let mut received = Vec::new();
            socket.read_to_end(&mut received).expect("an answer");
            let answer = parse(&received).expect("an answer");
            assert_eq!(answer.status, 200, "{answer:?}");
            let sequence: u64 = answer.header("sequence").parse().expect("a sequence");
            assert!(sequence >= least, "{least} was acknowledged before it asked, and it got {sequence}");
        }
        let reads = reads(&split) - before;
        let painted = split.apis[0].metric("pixel_placing_accepted_placements_total") - painted_before;
        println!(
            "{CLIENTS} first loads of a chunk at once: {reads} reads, {} compressed, {painted} pixels painted meanwhile",
            misses()
        );
        assert!(reads <= READS_MAX + painted, "{reads} reads");
    });
}
