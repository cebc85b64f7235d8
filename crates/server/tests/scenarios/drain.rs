//! SIGTERM: a gentle end, with nothing lost.

use std::thread;

use crate::support::binary::Binary;
use crate::support::history::{self, Acknowledged, Seen};
use crate::support::json::Json;
use crate::support::socket::Opening;
use crate::support::{Request, Server, eventually, get};

#[test]
fn sigterm_closes_clients_with_1012_and_exits_with_0() {
    let mut server = Server::start();
    assert_eq!(get(server.ops(), "/readyz").status, 200);
    let mut clients: Vec<_> = (0..20).map(|_| Json::open(&server)).collect();
    let mut pages: Vec<_> = (0..5).map(|_| Binary::open(&server)).collect();
    server.ask_to_stop();
    eventually("readiness goes off while clients are closed", || {
        Request::new("GET", "/readyz").try_send(server.ops()).is_ok_and(|answer| answer.status == 503)
    });
    let refused = Json::open_at(server.gateway(), &Opening::at("/"));
    assert!(matches!(refused, Err(503 | 0)), "upgrades are refused while it drains");
    for client in &mut clients {
        assert_eq!(client.socket().ending(), Some(1012));
    }
    for page in &mut pages {
        assert_eq!(page.socket().ending(), Some(1012));
    }
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn what_was_acknowledged_while_draining_is_there_afterwards() {
    let mut server = Server::start();
    let mut probe = Json::open(&server);
    let epoch = probe.epoch().to_owned();
    let acknowledged: Vec<Acknowledged> = thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|row| {
                scope.spawn({
                    let server = &server;
                    move || write(server, row)
                })
            })
            .collect();
        for _ in 0..500 {
            probe.update();
        }
        server.ask_to_stop();
        writers.into_iter().flat_map(|writer| writer.join().expect("a writer did not panic")).collect()
    });
    assert_eq!(server.wait().code(), Some(0));
    server.run();
    let mut reader = Json::open(&server);
    assert_eq!(reader.epoch(), epoch);
    let last = reader.sequence();
    reader.resume(&epoch, 0);
    let log: Vec<_> = (0..last).map(|_| Seen::from_update(&reader.update())).collect();
    let lost = history::lost(&log, &acknowledged);
    println!("drain: {} acknowledged, {lost} lost", acknowledged.len());
    assert_eq!(lost, 0);
}

/// Paints until the connection ends; what was acknowledged.
fn write(server: &Server, row: u16) -> Vec<Acknowledged> {
    let mut client = Json::open(server);
    let mut acknowledged = Vec::new();
    for turn in 0..u64::MAX {
        let (x, color) = ((turn % 50) as u16, format!("#{:02X}{:04X}", row, turn & 0xffff));
        let sent = std::time::Instant::now();
        if !client.paint_as(x, row, &color, turn) {
            break;
        }
        let answer = loop {
            match client.try_hear() {
                Ok(message) if message["type"] == "pixel_updated" => {}
                Ok(message) => break Some(message),
                Err(_) => break None,
            }
        };
        let Some(answer) = answer else { break };
        if answer["type"] == "accepted" {
            let sequence = answer["sequence"].as_u64().expect("a sequence");
            let seen = Seen { sequence, x, y: row, color };
            acknowledged.push(Acknowledged { seen, sent, answered: std::time::Instant::now() });
        }
    }
    acknowledged
}

#[test]
fn a_stopped_server_leaves_a_folder_that_starts_again() {
    let mut server = Server::start();
    let mut client = Json::open(&server);
    client.paint(4, 4, "#414243");
    client.update();
    for _ in 0..3 {
        server.ask_to_stop();
        assert_eq!(server.wait().code(), Some(0));
        server.run();
        assert_eq!(server.canvas()["pixels"]["4,4"], "#414243");
    }
}
