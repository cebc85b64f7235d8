//! The wiring: real sockets against a gateway over a real store.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use pixel_canvas::{Canvas, CanvasId, ChunkId, Color, Placement, Point};
use pixel_protocol::binary;
use pixel_protocol::websocket::{Opcode, write_masked_frame};
use pixel_store::Limits;
use pixel_store::embedded::{Embedded, Options};
use serde_json::{Value, json};

use super::*;
use crate::identity::{HostToken, IdentityKey};
use crate::observe::Observer;
use crate::telemetry::Metrics;
use crate::{clarity, listen};

const CHUNK: ChunkId = ChunkId { cx: 0, cy: 0 };

/// A gateway on a port of its own.
struct Running {
    gateway: Arc<Gateway>,
    store: Arc<Embedded>,
    address: SocketAddr,
    _stop: watch::Sender<bool>,
    _folder: tempfile::TempDir,
}

async fn run() -> Running {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Clock;
    let limits = Limits { identity: None, address: None, guests_per_address: 64 };
    let options = Options::new(limits, Arc::new(move || clock.unix()));
    let store = Arc::new(Embedded::open(folder.path(), options).expect("a store"));
    store.create(Canvas::default_canvas()).await.expect("the store writes");
    let metrics = Metrics::new("test", pixel_canvas::Timestamp(0));
    let gateway = start(
        Needs {
            store: Arc::clone(&store) as Arc<dyn Store>,
            placer: Placer::new(Arc::clone(&store) as Arc<dyn Store>, metrics.placing.clone(), clock),
            identities: Arc::new(Identities::new(IdentityKey([1; 32]), HostToken::new(None))),
            origins: Arc::new(Origins::default()),
            proxies: Arc::new(TrustedProxies::default()),
            addresses: AddressConnections::new(100),
            metrics: metrics.gateway.clone(),
            clock,
            sweep_interval: Duration::from_millis(16),
            threads: 2,
        },
        None,
    )
    .expect("threads start");
    let (stop, stopped) = watch::channel(false);
    let bound = listen::bind("--gateway-listen", "127.0.0.1:0".parse().expect("an address")).expect("a port");
    let address = bound.address();
    let here = Arc::new(std::sync::OnceLock::from(Arc::clone(&gateway)));
    let observer = Observer { service: "gateway", metrics: metrics.http.clone(), clock };
    let serving =
        listen::Serving::new(100, None, stopped).with(handshake::shortcut(here, Door::Own, observer));
    tokio::spawn(bound.serve(clarity::guard(router(Arc::clone(&gateway)), |_| true), serving));
    Running { gateway, store, address, _stop: stop, _folder: folder }
}

/// A client that reads and writes one frame at a time.
struct Client {
    stream: TcpStream,
    canvas: Canvas,
}

impl Client {
    async fn connect(address: SocketAddr, subprotocol: Option<&'static str>) -> Self {
        tokio::task::spawn_blocking(move || {
            let (status, client) = Self::try_connect(address, subprotocol, "");
            assert!(status.starts_with("HTTP/1.1 101"), "{status}");
            client
        })
        .await
        .expect("no panic")
    }

    fn try_connect(address: SocketAddr, subprotocol: Option<&str>, extra: &str) -> (String, Self) {
        let mut stream = TcpStream::connect(address).expect("the port accepts");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
        let subprotocol =
            subprotocol.map(|name| format!("Sec-WebSocket-Protocol: {name}\r\n")).unwrap_or_default();
        write!(
            stream,
            "GET /ws HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{subprotocol}{extra}\r\n"
        )
        .expect("a request is sent");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("an answer comes");
            head.push(byte[0]);
        }
        (String::from_utf8(head).expect("text"), Self { stream, canvas: Canvas::default_canvas() })
    }

    fn send(&mut self, opcode: Opcode, payload: &[u8]) {
        let mut frame = Vec::new();
        write_masked_frame(&mut frame, opcode, payload, [1, 2, 3, 4]);
        self.stream.write_all(&frame).expect("the socket takes it");
    }

    fn say(&mut self, message: Value) {
        self.send(Opcode::Text, message.to_string().as_bytes());
    }

    fn say_binary(&mut self, message: &binary::ToServer<'_>) {
        let mut bytes = Vec::new();
        message.encode(&self.canvas, &mut bytes);
        self.send(Opcode::Binary, &bytes);
    }

    fn frame(&mut self) -> (u8, Vec<u8>) {
        let mut head = [0; 2];
        self.stream.read_exact(&mut head).expect("a frame comes");
        let length = match head[1] {
            126 => {
                let mut length = [0; 2];
                self.stream.read_exact(&mut length).expect("its length");
                usize::from(u16::from_be_bytes(length))
            }
            length => usize::from(length),
        };
        let mut payload = vec![0; length];
        self.stream.read_exact(&mut payload).expect("its payload");
        (head[0] & 0x0f, payload)
    }

    /// The next JSON message of this kind.
    fn hear(&mut self, kind: &str) -> Value {
        loop {
            let (_, payload) = self.frame();
            let message: Value = serde_json::from_slice(&payload).expect("JSON");
            if message["type"] == kind {
                return message;
            }
        }
    }

    /// The next binary message that `wanted` picks.
    fn hear_binary<T>(&mut self, wanted: impl Fn(binary::ToClient) -> Option<T>) -> T {
        loop {
            let (_, payload) = self.frame();
            let message = binary::ToClient::decode(&payload, &self.canvas.palette).expect("well formed");
            if let Some(picked) = message.and_then(&wanted) {
                return picked;
            }
        }
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("no panic")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_paints_everyone_sees_in_one_order_and_both_dialects() {
    let running = run().await;
    let mut author = Client::connect(running.address, None).await;
    let mut watcher = Client::connect(running.address, Some("pixels.v1.json")).await;
    let mut viewer = Client::connect(running.address, Some("pixels.v1.bin")).await;
    blocking(move || {
        assert_eq!(author.hear("connected")["sequence"], 0);
        let hello = viewer.hear_binary(|message| match message {
            binary::ToClient::Hello(hello) => Some(hello),
            _ => None,
        });
        assert_eq!((hello.canvas.size.width(), hello.token.is_empty()), (50, false));
        viewer.say_binary(&binary::ToServer::Subscribe {
            epoch: hello.epoch,
            chunks: vec![(CHUNK, Sequence::ZERO)],
        });
        viewer.hear_binary(|message| matches!(message, binary::ToClient::Progress { .. }).then_some(()));

        author.say(json!({"type": "set_username", "username": "Ann"}));
        while watcher.hear("user_list")["users"] != json!(["Ann"]) {}
        author.say(json!({"type": "pixel_update", "x": 3, "y": 4, "color": "#a1b2c3", "ref": 1}));
        let seen = author.hear("pixel_updated");
        assert_eq!(
            (&seen["color"], &seen["username"], &seen["sequence"]),
            (&json!("#A1B2C3"), &json!("Ann"), &json!(1))
        );
        assert_eq!(author.hear("accepted"), json!({"type": "accepted", "ref": 1, "sequence": 1}));
        assert_eq!(watcher.hear("pixel_updated"), seen);
        let frame = viewer.hear_binary(|message| match message {
            binary::ToClient::Frame(frame) => Some(frame),
            _ => None,
        });
        assert_eq!(frame.pixels, [(4 * 256 + 3, Color([0xa1, 0xb2, 0xc3]))]);

        let placements = vec![Placement { at: Point { x: 1, y: 1 }, color: Color([1, 2, 3]) }; 3];
        let submit = binary::ToServer::Submit { key: 9, placements: Ok(placements) };
        for _retry in 0..2 {
            viewer.say_binary(&submit);
            let accepted = viewer.hear_binary(|message| match message {
                binary::ToClient::Accepted { key, first, count, .. } => Some((key, first, count)),
                _ => None,
            });
            assert_eq!(accepted, (9, Sequence(2), 3));
        }
        for sequence in 2..=4 {
            assert_eq!(watcher.hear("pixel_updated")["sequence"], sequence);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_back_gets_what_was_missed_or_is_told_to_load_afresh() {
    let running = run().await;
    let mut author = Client::connect(running.address, None).await;
    let mut back = Client::connect(running.address, None).await;
    let mut viewer = Client::connect(running.address, Some("pixels.v1.bin")).await;
    blocking(move || {
        let epoch = author.hear("connected")["epoch"].clone();
        for x in 0..5 {
            author.say(json!({"type": "pixel_update", "x": x, "y": 0, "color": "#000000", "ref": x}));
            author.hear("accepted");
        }
        // Its thread may be another than the author's: what it was sent live comes first.
        while back.hear("pixel_updated")["sequence"] != 5 {}
        back.say(json!({"type": "resume", "epoch": epoch, "sequence": 2}));
        back.say(json!({"type": "ping"}));
        let mut seen = Vec::new();
        loop {
            let (_, payload) = back.frame();
            let message: Value = serde_json::from_slice(&payload).expect("JSON");
            match message["type"].as_str() {
                Some("pixel_updated") => seen.push(message["sequence"].as_u64().expect("a number")),
                Some("pong") => break,
                _ => {}
            }
        }
        assert_eq!(seen, [3, 4, 5]);
        back.say(json!({"type": "resume", "epoch": "0123456789abcdef", "sequence": 2}));
        assert_eq!(back.hear("resync")["sequence"], 5);

        let epoch = Epoch::parse(epoch.as_str().expect("text")).expect("an epoch");
        viewer.say_binary(&binary::ToServer::Subscribe { epoch, chunks: vec![(CHUNK, Sequence(3))] });
        let frame = viewer.hear_binary(|message| match message {
            binary::ToClient::Frame(frame) => Some(frame),
            _ => None,
        });
        assert!(frame.after <= Sequence(3) && frame.to >= Sequence(4), "{frame:?}");
        let other = Epoch(epoch.0 ^ 1);
        viewer.say_binary(&binary::ToServer::Subscribe { epoch: other, chunks: vec![(CHUNK, Sequence(3))] });
        let resync = viewer.hear_binary(|message| match message {
            binary::ToClient::Resync { epoch, chunks } => Some((epoch, chunks)),
            _ => None,
        });
        assert_eq!(resync, (epoch, vec![]));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_is_an_update_for_json_and_a_new_epoch_for_binary() {
    let running = run().await;
    let mut author = Client::connect(running.address, None).await;
    let mut viewer = Client::connect(running.address, Some("pixels.v1.bin")).await;
    let mut author = blocking(move || {
        author.say(json!({"type": "pixel_update", "x": 7, "y": 0, "color": "#000000", "ref": 0}));
        author.hear("accepted");
        author
    })
    .await;
    let reset =
        running.store.reset(&CanvasId::default_canvas()).await.expect("it writes").expect("it exists");
    blocking(move || {
        let back = author.hear("pixel_updated");
        assert_eq!(
            (&back["x"], &back["color"], &back["sequence"]),
            (&json!(7), &json!("#FFFFFF"), &json!(2))
        );
        let resync = viewer.hear_binary(|message| match message {
            binary::ToClient::Resync { epoch, chunks } => Some((epoch, chunks)),
            _ => None,
        });
        assert_eq!(resync, (reset.epoch, vec![]));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_big_ends_with_1009_and_a_drain_with_1012() {
    let running = run().await;
    let mut loud = Client::connect(running.address, None).await;
    let mut calm = Client::connect(running.address, None).await;
    let calm = blocking(move || {
        loud.send(Opcode::Text, &[b'x'; 5_000]);
        loop {
            let (opcode, payload) = loud.frame();
            if opcode == 8 {
                break assert_eq!(payload[..2], 1009_u16.to_be_bytes());
            }
        }
        calm.hear("connected");
        calm
    });
    let mut calm = calm.await;
    let gateway = Arc::clone(&running.gateway);
    let drained = tokio::spawn(async move { gateway.drain().await });
    blocking(move || {
        loop {
            let (opcode, payload) = calm.frame();
            if opcode == 8 {
                break assert_eq!(payload[..2], 1012_u16.to_be_bytes());
            }
        }
    })
    .await;
    drained.await.expect("no panic");
    assert_eq!(running.gateway.connections(), 0);
    let address = running.address;
    let (status, _) = blocking(move || Client::try_connect(address, None, "")).await;
    assert!(status.starts_with("HTTP/1.1 503"), "{status}");
}

/// The answers fill the lane just when the thread's read buffer ends, and one more message waits.
#[tokio::test(flavor = "multi_thread")]
async fn what_came_while_the_lane_was_full_is_read_once_it_is_empty() {
    let running = run().await;
    let mut client = Client::connect(running.address, None).await;
    blocking(move || {
        let ping = br#"{"type":"ping"}"#;
        client.send(Opcode::Text, ping);
        let pong_bytes = 2 + client.hear("pong").to_string().len();
        let pings = pixel_protocol::DIRECT_LANE_BYTES_MAX.div_ceil(pong_bytes);

        let mut frames = Vec::new();
        let pad = sweep::READ_BUFFER_BYTES - pings * (6 + ping.len());
        let unanswered = format!("{:1$}", r#"{"type":"set_username","username":""}"#, pad - 8);
        write_masked_frame(&mut frames, Opcode::Text, unanswered.as_bytes(), [0; 4]);
        for _ in 0..=pings {
            write_masked_frame(&mut frames, Opcode::Text, ping, [0; 4]);
        }
        client.stream.write_all(&frames).expect("the socket takes it");
        for _ in 0..=pings {
            client.hear("pong");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_did_not_read_gets_the_rest_when_reading_again() {
    const PINGS: usize = 100_000;
    let running = run().await;
    let mut client = Client::connect(running.address, None).await;
    let mut speaker = client.stream.try_clone().expect("a socket");
    let spoken = tokio::task::spawn_blocking(move || {
        let mut frames = Vec::new();
        for _ in 0..PINGS {
            write_masked_frame(&mut frames, Opcode::Text, br#"{"type":"ping"}"#, [0; 4]);
        }
        speaker.write_all(&frames).expect("the socket takes it");
    });
    let blocked_writes = &running.gateway.needs.metrics.blocked_writes;
    let blocked = async {
        while blocked_writes.get() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), blocked).await.expect("the socket gets full");
    blocking(move || (0..PINGS).for_each(|_| drop(client.hear("pong")))).await;
    spoken.await.expect("no panic");
}

#[tokio::test(flavor = "multi_thread")]
async fn handshakes_that_are_none_are_told_why() {
    let running = run().await;
    let address = running.address;
    blocking(move || {
        let status = |subprotocol, extra: &str| Client::try_connect(address, subprotocol, extra).0;
        assert!(status(None, "Origin: http://evil.example\r\n").starts_with("HTTP/1.1 403"));
        assert!(status(Some("chat"), "").starts_with("HTTP/1.1 400"));
        assert!(status(None, "Authorization: Bearer nonsense\r\n").starts_with("HTTP/1.1 401"));
        assert!(status(Some("chat, pixels.v1.bin"), "").contains("sec-websocket-protocol: pixels.v1.bin"));
    })
    .await;
}

/// The head of a good handshake, with these lines besides.
fn head(extra: &str) -> String {
    format!(
        "GET /ws HTTP/1.1\r\nHost: here\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{extra}\r\n"
    )
}

async fn until_nobody_is_here(running: &Running) {
    let gone = async {
        while running.gateway.connections() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone).await.expect("they are forgotten");
}

/// All that comes until it ends in a JSON message of this kind, or with the connection.
fn until(stream: &mut TcpStream, kind: &str) -> String {
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    let (mut all, mut bytes) = (Vec::new(), [0; 4_096]);
    loop {
        let count = stream.read(&mut bytes).expect("more comes");
        all.extend_from_slice(&bytes[..count]);
        let text = String::from_utf8_lossy(&all);
        if count == 0 || (text.contains(kind) && text.ends_with('}')) {
            return text.into_owned();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_to_a_handshake_that_came_whole_is_written_with_the_greeting() {
    let running = run().await;
    // The first of all waits for the log to be read, which is the long way.
    drop(Client::connect(running.address, None).await);
    until_nobody_is_here(&running).await;
    let sent_bytes = &running.gateway.needs.metrics.sent_bytes;
    let (before, address) = (sent_bytes.get(), running.address);
    let answer = blocking(move || {
        let mut stream = TcpStream::connect(address).expect("the port accepts");
        stream.write_all(head("").as_bytes()).expect("it is sent");
        until(&mut stream, "connected")
    })
    .await;
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    // Only what the thread wrote is counted, and what people are told is less than the answer's head.
    let counted = async {
        while sent_bytes.get() - before < answer.chars().count() as u64 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), counted)
        .await
        .expect("all of it was written by the thread");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_in_pieces_or_with_much_to_say_opens_a_socket_too() {
    let running = run().await;
    drop(Client::connect(running.address, None).await);
    let address = running.address;
    blocking(move || {
        let pad = |count: usize, bytes: usize| format!("pad: {}\r\n", "x".repeat(bytes)).repeat(count);
        for (head, piece) in [
            (head(""), 1),
            (head(""), 60),
            (head("").replace("\r\n", "\n"), usize::MAX),
            (head(&pad(59, 1)), usize::MAX),
            (head(&pad(1, 3_000)), usize::MAX),
            (head(&pad(1, 12_000)), usize::MAX),
        ] {
            let mut stream = TcpStream::connect(address).expect("the port accepts");
            stream.set_nodelay(true).expect("a socket");
            let mut frames = head.clone().into_bytes();
            write_masked_frame(&mut frames, Opcode::Text, br#"{"type":"ping"}"#, [1, 2, 3, 4]);
            for piece in frames.chunks(piece.min(frames.len())) {
                stream.write_all(piece).expect("it is sent");
            }
            let answer = until(&mut stream, "pong");
            assert!(answer.starts_with("HTTP/1.1 101 ") && answer.contains("connected"), "{head}: {answer}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_is_refused_is_told_by_the_http_server() {
    let running = run().await;
    drop(Client::connect(running.address, None).await);
    let address = running.address;
    blocking(move || {
        let close = "Connection: close\r\n";
        for (request, status) in [
            (head(close).replace("Host", "Host: there\r\nHost"), "400"),
            (head(close).replace("/ws", "/ws?canvas=nowhere"), "404"),
            (head(close).replace("/ws", "/ws?canvas=a&canvas=b"), "400"),
            (head(close).replace("GET", "POST"), "426"),
            (head(close).replace(": 13", ": 12"), "426"),
            (head(&"pad: x\r\n".repeat(60)), "431"),
            (head(&format!("pad: {}\r\n", "x".repeat(17 << 10))), "431"),
            (head(close).replace("/ws", "/health"), "200"),
        ] {
            let mut stream = TcpStream::connect(address).expect("the port accepts");
            stream.write_all(request.as_bytes()).expect("it is sent");
            let answer = until(&mut stream, "");
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {answer}");
        }
    })
    .await;
    until_nobody_is_here(&running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_stops_speaking_half_way_leaves_nothing_behind() {
    let running = run().await;
    drop(Client::connect(running.address, None).await);
    let address = running.address;
    blocking(move || {
        let mut all = head("").into_bytes();
        let head_bytes = all.len();
        write_masked_frame(&mut all, Opcode::Text, br#"{"type":"ping"}"#, [1, 2, 3, 4]);
        for count in [0, 1, head_bytes / 2, head_bytes, head_bytes + 1, all.len()] {
            let mut stream = TcpStream::connect(address).expect("the port accepts");
            stream.write_all(&all[..count]).expect("it is sent");
            stream.shutdown(std::net::Shutdown::Write).expect("a socket");
            let answer = until(&mut stream, "nothing");
            assert_eq!(answer.starts_with("HTTP/1.1 101 "), count >= head_bytes, "{answer}");
        }
    })
    .await;
    until_nobody_is_here(&running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_see_how_much_the_wire_logs_hold() {
    let running = run().await;
    let mut client = Client::connect(running.address, None).await;
    blocking(move || {
        client.say(json!({"type": "pixel_update", "x": 3, "y": 4, "color": "#a1b2c3"}));
        client.hear("pixel_updated");
    })
    .await;
    let counted = async {
        while running.gateway.needs.metrics.log_bytes.get() == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), counted).await.expect("a message is held");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canvas_that_nobody_is_at_is_let_go_and_resumed_where_it_was() {
    let running = run().await;
    let gateway = Arc::clone(&running.gateway);
    let look = move |after: Duration| {
        gateway.leave_deserted(gateway.needs.clock.now() + after);
        gateway.channels().len()
    };
    let mut author = Client::connect(running.address, None).await;
    let (author, epoch) = blocking(move || {
        let epoch = author.hear("connected")["epoch"].clone();
        for x in 0..3 {
            author.say(json!({"type": "pixel_update", "x": x, "y": 0, "color": "#010203", "ref": x}));
            author.hear("accepted");
        }
        (author, epoch)
    })
    .await;
    // While somebody is there it stays, however often it is looked at.
    assert_eq!((look(Duration::ZERO), look(DESERTED_KEPT * 2)), (1, 1));
    drop(author);
    while running.gateway.connections() > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!((look(Duration::ZERO), look(DESERTED_KEPT / 2), look(DESERTED_KEPT * 2)), (1, 1, 0));

    let mut back = Client::connect(running.address, None).await;
    blocking(move || {
        assert_eq!(back.hear("connected")["sequence"], 3);
        back.say(json!({"type": "resume", "epoch": epoch, "sequence": 1}));
        assert_eq!(back.hear("pixel_updated")["sequence"], 2);
        assert_eq!(back.hear("pixel_updated")["sequence"], 3);
        back.say(json!({"type": "pixel_update", "x": 9, "y": 0, "color": "#010203"}));
        assert_eq!(back.hear("pixel_updated")["sequence"], 4);
    })
    .await;
}

/// One event tells of both, and no other one comes.
#[tokio::test(flavor = "multi_thread")]
async fn who_speaks_and_hangs_up_at_once_is_gone() {
    let running = run().await;
    let mut clients = Vec::new();
    for _ in 0..40 {
        clients.push(Client::connect(running.address, None).await);
    }
    for client in &mut clients {
        // The greeting: the gateway has it.
        client.frame();
        client.say(json!({"type": "ping"}));
        client.stream.shutdown(std::net::Shutdown::Write).expect("it is open");
    }
    let gone = async {
        while running.gateway.connections() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone).await.expect("all are gone");
}
