//! Too much, too large, too slow, or not the protocol at all: closed, and nobody else notices.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::json;
use socket2::{Domain, Socket, Type};

use crate::support::binary::Binary;
use crate::support::json::Json;
use crate::support::socket::Ending;
use crate::support::{PATIENCE, Request, Server, http};

const FIN: u8 = 0x80;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CONTINUATION: u8 = 0;
const PING: u8 = 9;
const MASKED: u8 = 0x80;

/// A frame as a client sends it, with a mask of zeros.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..=125 => bytes.push(MASKED | length as u8),
        length => {
            bytes.push(MASKED | 126);
            bytes.extend_from_slice(&u16::try_from(length).expect("a length of 16 bits").to_be_bytes());
        }
    }
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(payload);
    bytes
}

/// What becomes of a JSON client that sends these bytes.
fn ending_of(server: &Server, bytes: &[u8]) -> Ending {
    let mut client = Json::open(server);
    let socket = client.socket();
    // The server may close while we still write: what counts is what it said.
    let _ = socket.stream().write_all(bytes);
    socket.ending()
}

#[test]
fn a_client_that_breaks_the_protocol_is_closed_with_the_reason() {
    let server = Server::start();
    let mut bystander = Json::open(&server);
    let large = vec![b' '; 4_097];
    let half = vec![b' '; 3_000];
    let rows: Vec<(&str, Vec<u8>, u16)> = vec![
        ("a message over 4 KiB", frame(FIN | TEXT, &large), 1009),
        (
            "its length alone says so",
            [&[FIN | TEXT, MASKED | 127][..], &(1_u64 << 40).to_be_bytes(), &[0; 4]].concat(),
            1009,
        ),
        (
            "fragments that together are over it",
            [frame(TEXT, &half), frame(FIN | CONTINUATION, &half)].concat(),
            1009,
        ),
        (
            "a flood of empty fragments",
            [frame(TEXT, b"x"), frame(CONTINUATION, b"y").repeat(10_000)].concat(),
            1009,
        ),
        ("no mask", vec![FIN | TEXT, 2, b'{', b'}'], 1002),
        ("a reserved bit", frame(FIN | 0x40 | TEXT, b"{}"), 1002),
        ("an unknown opcode", frame(FIN | 3, b"{}"), 1002),
        ("a continuation of nothing", frame(FIN | CONTINUATION, b"{}"), 1002),
        ("a message inside another", [frame(TEXT, b"{"), frame(FIN | TEXT, b"}")].concat(), 1002),
        ("a fragmented ping", frame(PING, b"x"), 1002),
        ("a long ping", frame(FIN | PING, &[0; 126]), 1002),
        ("text that is not UTF-8", frame(FIN | TEXT, &[0xff, 0xfe]), 1007),
        ("binary to the JSON dialect", frame(FIN | BINARY, b"{}"), 1003),
        ("a close code that is none", frame(FIN | 8, &5_u16.to_be_bytes()), 1002),
        ("a close of one byte", frame(FIN | 8, &[3]), 1002),
    ];
    for (what, bytes, code) in rows {
        assert_eq!(ending_of(&server, &bytes), Some(code), "{what}");
    }
    bystander.paint(1, 1, "#000000");
    assert_eq!(bystander.update()["sequence"], 1);
}

#[test]
fn text_to_the_binary_dialect_is_closed() {
    let server = Server::start();
    let mut page = Binary::open(&server);
    page.socket().stream().write_all(&frame(FIN | TEXT, b"{}")).expect("it is sent");
    assert_eq!(page.socket().ending(), Some(1003));
}

#[test]
fn a_message_of_exactly_4_kib_in_fragments_is_taken() {
    let server = Server::start();
    let mut client = Json::open(&server);
    let mut text = br##"{"type":"pixel_update","x":1,"y":1,"color":"#0000FF"}"##.to_vec();
    text.resize(4_096, b' ');
    let (first, second) = text.split_at(2_000);
    let bytes =
        [frame(TEXT, first), frame(FIN | PING, b"between"), frame(FIN | CONTINUATION, second)].concat();
    client.socket().stream().write_all(&bytes).expect("it is sent");
    assert_eq!(client.update()["color"], "#0000FF");
}

#[test]
fn a_frame_that_comes_byte_by_byte_is_taken() {
    let server = Server::start();
    let mut client = Json::open(&server);
    for byte in frame(FIN | TEXT, br##"{"type":"ping"}"##) {
        client.socket().stream().write_all(&[byte]).expect("it is sent");
    }
    assert_eq!(client.hear()["type"], "pong");
}

#[test]
fn a_flood_of_placements_is_held_back_and_each_is_answered() {
    let server = Server::start();
    let mut client = Json::open(&server);
    let one = frame(FIN | TEXT, br##"{"type":"pixel_update","x":1,"y":1,"color":"#0000FF"}"##);
    let flood = one.repeat(5_000);
    std::thread::scope(|scope| {
        let mut writer = client.socket().stream().try_clone().expect("a second handle");
        scope.spawn(move || writer.write_all(&flood).expect("it is taken in the end"));
        for sequence in 1..=5_000 {
            assert_eq!(client.update()["sequence"], sequence);
        }
    });
}

#[test]
fn a_flood_of_pings_from_who_never_reads_costs_no_memory() {
    let server = Server::start();
    let mut client = Json::open(&server);
    let before = server.memory_bytes();
    let flood = frame(FIN | PING, &[7; 125]).repeat(1_000);
    let stream = client.socket().stream();
    stream.set_write_timeout(Some(Duration::from_secs(2))).expect("a timeout");
    // It stops taking them, or closes; both are right.
    for _ in 0..2_000 {
        if stream.write_all(&flood).is_err() {
            break;
        }
    }
    let growth = server.memory_bytes().saturating_sub(before);
    assert!(growth < 32 << 20, "the server grew by {growth} bytes");
    let mut other = Json::open(&server);
    other.paint(0, 0, "#000000");
    assert_eq!(other.update()["sequence"], 1);
}

#[test]
fn a_huge_body_is_refused_before_it_is_read() {
    let server = Server::start();
    for path in ["/api/pixel", "/api/pixels", "/api/canvases/main/pixels"] {
        let body = vec![b' '; 8 << 20];
        let request = Request::new("PUT", path).header("content-type", "application/json");
        request.body(body).send(server.api()).refused(413);
    }
}

#[test]
fn an_endless_body_is_refused() {
    let server = Server::start();
    let mut stream = connect(server.api());
    let head = "PUT /api/pixels HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).expect("it is sent");
    let chunk = [b"10000\r\n".as_slice(), &vec![b' '; 0x10000], b"\r\n"].concat();
    for _ in 0..1_000 {
        if stream.write_all(&chunk).is_err() {
            break;
        }
    }
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    // After a reset the answer may be gone; what counts is that 64 MB were not swallowed.
    if !answer.is_empty() {
        assert_eq!(http::parse(&answer).expect("an answer").status, 413);
    }
    assert!(server.memory_bytes() < 256 << 20);
}

#[test]
fn a_huge_head_is_refused() {
    let server = Server::start();
    let long = Request::new("GET", "/api/canvas").header("x-long", &"x".repeat(64 << 10));
    assert!(matches!(long.try_send(server.api()).map(|answer| answer.status), Ok(431 | 400) | Err(_)));
    let path = Request::new("GET", &format!("/{}", "x".repeat(64 << 10)));
    assert!(matches!(path.try_send(server.api()).map(|answer| answer.status), Ok(414 | 431 | 400) | Err(_)));
    let mut many = Request::new("GET", "/api/canvas");
    for _ in 0..500 {
        many = many.header("x-many", "x");
    }
    assert!(matches!(many.try_send(server.api()).map(|answer| answer.status), Ok(431 | 400) | Err(_)));
}

#[test]
fn what_is_not_http_is_refused() {
    let server = Server::start();
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"\0\0\0\0\r\n\r\n",
        b"GET\r\n\r\n",
        b"hello\r\n\r\n",
    ] {
        let mut stream = connect(server.frontend());
        stream.write_all(bytes).expect("it is sent");
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(
            answer.is_empty() || answer.starts_with(b"HTTP/1.1 400"),
            "{}",
            String::from_utf8_lossy(&answer)
        );
    }
}

#[test]
fn a_slow_loris_and_who_says_nothing_are_closed_on_every_port() {
    let server = Server::start();
    let ports = [server.frontend(), server.api(), server.gateway(), server.ops()];
    // The second of each never says anything.
    let mut lorises: Vec<_> =
        ports.iter().flat_map(|port| [true, false].map(|speaks| (*port, speaks, connect(*port)))).collect();
    for (_, speaks, loris) in &mut lorises {
        if *speaks {
            loris.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n").expect("it is sent");
        }
        loris.set_read_timeout(Some(Duration::from_millis(100))).expect("a timeout");
    }
    let deadline = Instant::now() + PATIENCE;
    while !lorises.is_empty() {
        let left: Vec<_> = lorises.iter().map(|(port, speaks, _)| (port, speaks)).collect();
        assert!(Instant::now() < deadline, "still waited for: {left:?}");
        lorises.retain_mut(|(_, speaks, loris)| {
            (!*speaks || loris.write_all(b"x: y\r\n").is_ok()) && !is_closed(loris)
        });
    }
}

#[test]
fn who_holds_the_operators_port_does_not_keep_others_from_it() {
    let server = Server::start();
    let _held: Vec<_> = (0..200).map(|_| connect(server.ops())).collect();
    let from_elsewhere = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    from_elsewhere.bind(&SocketAddr::from((Ipv4Addr::new(127, 0, 1, 1), 0)).into()).expect("it is ours");
    from_elsewhere.connect(&server.ops().into()).expect("the port is open");
    let mut stream = TcpStream::from(from_elsewhere);
    stream.set_read_timeout(Some(PATIENCE / 4)).expect("a timeout");
    stream.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").expect("it is sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("it is answered beside them");
    assert_eq!(http::parse(&answer).expect("an answer").status, 200);
}

#[test]
fn a_body_that_never_comes_is_not_waited_for() {
    let server = Server::start();
    let mut stream = connect(server.api());
    let head =
        "PUT /api/pixel HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n{";
    stream.write_all(head.as_bytes()).expect("it is sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("it is answered and closed in time");
    assert_eq!(http::parse(&answer).expect("an answer").status, 408);
    let body = json!({"x": 1, "y": 1, "color": "#000000"});
    assert_eq!(Request::new("PUT", "/api/pixel").json(&body).send(server.api()).status, 200);
}

fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&to, PATIENCE).expect("the port is open");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
    stream
}

/// Whether the server has closed; what it says before that is swallowed.
fn is_closed(stream: &mut TcpStream) -> bool {
    let mut bytes = [0; 1_024];
    match stream.read(&mut bytes) {
        Ok(0) => true,
        Ok(_) => false,
        Err(error) => {
            !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
        }
    }
}
