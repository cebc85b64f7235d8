//! A playground of one chunk that keeps everything in memory, and one lie.

use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use pixel_canvas::{Canvas, ChunkId, Color, Epoch, Placement, Sequence, Standing, Timestamp};
use pixel_protocol::binary::{self, Hello, Reason, ToClient, ToServer};
use pixel_protocol::websocket::{Decoder, Message, Opcode, accept_key, write_frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

const EPOCH: Epoch = Epoch(7);
const CHUNK: ChunkId = ChunkId { cx: 0, cy: 0 };
/// The placement that the lie is about; those after it are told honestly.
const LIE_AT: Sequence = Sequence(20);

/// What is wrong with this server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lie {
    None,
    SkipsAnUpdate,
    RepeatsAnUpdate,
    AcknowledgesNothing,
    BurnsASequence,
    AnswersTwice,
    SendsAnotherColor,
    ForgetsTheLast,
    SwallowsAnAnswer,
    /// No lie, but trouble: it paints and says that it does not know; asked again it is away, then it knows.
    DoubtsAnAnswer,
}

struct Board {
    lie: Lie,
    lied: bool,
    canvas: Canvas,
    pixels: Vec<u8>,
    sequence: Sequence,
    /// What was painted and doubted: its key and sequence, and whether it was asked for again.
    doubted: Option<(u64, Sequence, bool)>,
    /// Whoever is connected, in the order of coming.
    viewers: Vec<UnboundedSender<Vec<u8>>>,
}

type Shared = Arc<Mutex<Board>>;

/// Serves until the test's runtime ends.
pub(crate) async fn start(lie: Lie) -> SocketAddr {
    let canvas = Canvas::default_canvas();
    let pixels = vec![0xff; canvas.size.pixels() as usize * 3];
    let sequence = Sequence::ZERO;
    let board = Board { lie, lied: false, canvas, pixels, sequence, doubted: None, viewers: Vec::new() };
    let board: Shared = Arc::new(Mutex::new(board));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, Arc::clone(&board)));
        }
    });
    address
}

async fn serve(mut stream: TcpStream, board: Shared) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return };
        head.push(byte);
    }
    let head = String::from_utf8(head).expect("headers are text");
    let key = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("sec-websocket-key").then(|| value.to_owned())
    });
    match key {
        Some(key) => converse(stream, &key, board).await,
        None => {
            let answer = board.lock().expect("no test panics here").snapshot();
            // A test that ended does not read its answers.
            let _ = stream.write_all(&answer).await;
        }
    }
}

async fn converse(mut stream: TcpStream, key: &str, board: Shared) {
    let accept = accept_key(key);
    let subprotocol = binary::SUBPROTOCOL;
    let upgrade = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: {subprotocol}\r\n\r\n"
    );
    if stream.write_all(upgrade.as_bytes()).await.is_err() {
        return;
    }
    let (mut reader, writer) = stream.into_split();
    let (lane, frames) = unbounded_channel();
    tokio::spawn(send(frames, writer));
    board.lock().expect("no test panics here").greet(&lane);
    let mut decoder = Decoder::new(pixel_protocol::MESSAGE_BYTES_MAX);
    let mut buffer = [0; 4_096];
    while let Ok(count @ 1..) = reader.read(&mut buffer).await {
        let decoded = decoder.decode(&buffer[..count], &mut |message| {
            if let Message::Binary(bytes) = message {
                board.lock().expect("no test panics here").receive(bytes, &lane);
            }
            ControlFlow::Continue(())
        });
        decoded.expect("the load generator frames its messages well");
    }
}

async fn send(mut frames: UnboundedReceiver<Vec<u8>>, mut writer: tokio::net::tcp::OwnedWriteHalf) {
    while let Some(frame) = frames.recv().await {
        if writer.write_all(&frame).await.is_err() {
            return;
        }
    }
}

impl Board {
    fn snapshot(&self) -> Vec<u8> {
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nEpoch: {EPOCH}\r\nSequence: {}\r\nConnection: close\r\n\r\n",
            self.pixels.len(),
            self.sequence
        );
        [head.as_bytes(), &self.pixels].concat()
    }

    fn tell(&self, lane: &UnboundedSender<Vec<u8>>, message: &ToClient) {
        let (mut payload, mut frame) = (Vec::new(), Vec::new());
        message.encode(&self.canvas.palette, &mut payload);
        write_frame(&mut frame, Opcode::Binary, &payload);
        // Whoever left hears nothing more.
        let _ = lane.send(frame);
    }

    fn greet(&mut self, lane: &UnboundedSender<Vec<u8>>) {
        let hello = Hello::new(&self.canvas, EPOCH, self.sequence, Timestamp(1), 1, "");
        self.tell(lane, &ToClient::Hello(hello));
    }

    fn receive(&mut self, bytes: &[u8], lane: &UnboundedSender<Vec<u8>>) {
        let canvas = self.canvas.clone();
        match ToServer::decode(bytes, &canvas).expect("the load generator speaks the dialect") {
            ToServer::Subscribe { .. } => {
                self.viewers.push(lane.clone());
                self.tell(lane, &ToClient::Progress { epoch: EPOCH, sequence: self.sequence });
            }
            ToServer::Ping(echo) => self.tell(lane, &ToClient::Pong { echo, now: Timestamp(1) }),
            ToServer::Submit { key, placements } => {
                let placements = placements.expect("the load generator places well");
                self.place(key, placements[0], lane);
            }
            _ => {}
        }
    }

    fn place(&mut self, key: u64, placement: Placement, lane: &UnboundedSender<Vec<u8>>) {
        if let Some((doubted, first, asked_again)) = &mut self.doubted
            && *doubted == key
        {
            let (first, is_away) = (*first, !std::mem::replace(asked_again, true));
            return match is_away {
                true => self.refuse(key, Reason::Unavailable, lane),
                false => self.accept(key, first, lane),
            };
        }
        let lie = if self.sequence >= LIE_AT && !self.lied { self.lie } else { Lie::None };
        self.lied |= lie != Lie::None;
        if lie == Lie::AcknowledgesNothing {
            return self.accept(key, self.sequence, lane);
        }
        if lie == Lie::BurnsASequence {
            self.sequence = self.sequence.next();
        }
        let after = self.sequence;
        self.sequence = after.next();
        if self.lie != Lie::ForgetsTheLast || self.sequence < LIE_AT {
            let index = usize::from(placement.at.y) * self.canvas.size.width() as usize;
            let start = (index + usize::from(placement.at.x)) * 3;
            self.pixels[start..start + 3].copy_from_slice(&placement.color.0);
        }
        self.broadcast(placement, after, lie);
        match lie {
            Lie::SwallowsAnAnswer => {}
            Lie::DoubtsAnAnswer => {
                self.doubted = Some((key, self.sequence, false));
                self.refuse(key, Reason::Unknown, lane);
            }
            _ => self.accept(key, self.sequence, lane),
        }
        if lie == Lie::AnswersTwice {
            self.accept(key, self.sequence, lane);
        }
    }

    fn broadcast(&self, placement: Placement, after: Sequence, lie: Lie) {
        for (index, viewer) in self.viewers.iter().enumerate() {
            let lie = if index == 0 { lie } else { Lie::None };
            let times = match lie {
                Lie::SkipsAnUpdate => 0,
                Lie::RepeatsAnUpdate => 2,
                _ => 1,
            };
            let Color([red, green, blue]) = placement.color;
            // From then on to the end: no later update paints over it.
            let altered = self.lie == Lie::SendsAnotherColor && self.lied && index == 0;
            let color = if altered { Color([red ^ 1, green, blue]) } else { placement.color };
            for _ in 0..times {
                let pixels = vec![(placement.at.offset(), color)];
                let (to, epoch) = (self.sequence, EPOCH);
                let frame = pixel_canvas::Frame { epoch, chunk: CHUNK, after, to, pixels };
                self.tell(viewer, &ToClient::Frame(frame));
            }
        }
    }

    fn refuse(&self, key: u64, reason: Reason, lane: &UnboundedSender<Vec<u8>>) {
        let sentence = "come back in a moment".to_owned();
        self.tell(lane, &ToClient::Refused { key, reason, retry_after_ms: Some(1), sentence });
    }

    fn accept(&self, key: u64, first: Sequence, lane: &UnboundedSender<Vec<u8>>) {
        self.tell(lane, &ToClient::Accepted { key, first, count: 1, standing: Standing::UNLIMITED });
    }
}
