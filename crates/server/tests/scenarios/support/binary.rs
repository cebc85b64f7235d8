//! A client of the binary dialect that holds what it subscribed to, as the page does.

use std::net::SocketAddr;

use pixel_canvas::{ChunkId, Color, Epoch, Placement, Point, Replica, Sequence, Verdict};
use pixel_protocol::binary::{Hello, Reason, SUBPROTOCOL, ToClient, ToServer};
use tungstenite::Message;

use super::http::{Request, get};
use super::socket::{Ending, Opening, Socket};
use super::{Server, eventually};

/// One client.
pub struct Binary {
    socket: Socket,
    api: SocketAddr,
    pub hello: Hello,
    pub replica: Replica,
    /// Subscriptions that the server did not answer yet.
    subscribing: u32,
}

/// What is asked behind a subscription: the answer says that it was heard.
const SUBSCRIBED: [u8; 8] = *b"heard me";

/// What became of a submission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answered {
    Accepted { first: u64, count: u16 },
    Refused { reason: Reason, retry_after_ms: Option<u32> },
}

impl Binary {
    /// A client of the default canvas.
    pub fn open(server: &Server) -> Self {
        Self::open_at(server, &Opening::at("/")).expect("the gateway takes clients")
    }

    /// A client of any canvas, with any headers; or the status it was refused with.
    pub fn open_at(server: &Server, opening: &Opening) -> Result<Self, u16> {
        Self::open_through(server.gateway(), server.api(), opening)
    }

    /// The same where gateway and api are processes of their own.
    pub fn open_through(gateway: SocketAddr, api: SocketAddr, opening: &Opening) -> Result<Self, u16> {
        let mut socket = Socket::open(gateway, &opening.clone().dialect(SUBPROTOCOL))?;
        let greeting = socket.hear().map_err(|_| 0_u16)?;
        let palette = pixel_canvas::Palette::TrueColor;
        let Ok(Some(ToClient::Hello(hello))) = ToClient::decode(&greeting.into_data(), &palette) else {
            panic!("HELLO comes first");
        };
        let replica = Replica::new(hello.canvas.size, hello.canvas.palette.clone(), hello.epoch);
        Ok(Self { socket, api, hello, replica, subscribing: 0 })
    }

    pub fn say(&mut self, message: &ToServer<'_>) -> bool {
        let mut bytes = Vec::new();
        message.encode(&self.hello.canvas, &mut bytes);
        self.say_bytes(bytes)
    }

    pub fn say_bytes(&mut self, bytes: Vec<u8>) -> bool {
        self.socket.say(Message::binary(bytes))
    }

    /// Submits without waiting for the answer.
    pub fn submit(&mut self, key: u64, placements: &[(u16, u16, &str)]) -> bool {
        let place = |&(x, y, color): &(u16, u16, &str)| Placement {
            at: Point { x, y },
            color: Color::parse(color).expect("a colour"),
        };
        let placements = Ok(placements.iter().map(place).collect());
        self.say(&ToServer::Submit { key, placements })
    }

    /// Submits, and waits for the answer; frames on the way are applied.
    pub fn place(&mut self, key: u64, placements: &[(u16, u16, &str)]) -> Answered {
        self.submit(key, placements);
        self.answer(key)
    }

    /// The answer to a submission; frames on the way are applied.
    pub fn answer(&mut self, key: u64) -> Answered {
        self.try_answer(key).unwrap_or_else(|ending| panic!("no answer to {key}: it ended: {ending:?}"))
    }

    pub fn try_answer(&mut self, key: u64) -> Result<Answered, Ending> {
        loop {
            match self.try_hear()? {
                ToClient::Accepted { key: of, first, count, .. } if of == key => {
                    return Ok(Answered::Accepted { first: first.0, count });
                }
                ToClient::Refused { key: of, reason, retry_after_ms, .. } if of == key => {
                    return Ok(Answered::Refused { reason, retry_after_ms });
                }
                _ => {}
            }
        }
    }

    /// The next message, or how it ended. Frames are applied, resyncs obeyed.
    pub fn try_hear(&mut self) -> Result<ToClient, Ending> {
        loop {
            let bytes = self.socket.hear()?.into_data();
            let message = ToClient::decode(&bytes, &self.hello.canvas.palette);
            let Some(message) = message.unwrap_or_else(|wrong| panic!("{wrong}: {bytes:02x?}")) else {
                continue;
            };
            self.follow(&message);
            return Ok(message);
        }
    }

    /// The next message.
    pub fn hear(&mut self) -> ToClient {
        self.try_hear().unwrap_or_else(|ending| panic!("the connection ended: {ending:?}"))
    }

    /// The next message that `wanted` takes something from, whatever else comes.
    pub fn hear_until<T>(&mut self, mut wanted: impl FnMut(&ToClient) -> Option<T>) -> T {
        loop {
            if let Some(found) = wanted(&self.hear()) {
                return found;
            }
        }
    }

    fn follow(&mut self, message: &ToClient) {
        match message {
            ToClient::Frame(frame) => {
                let verdict = self.replica.apply(frame);
                let fine = matches!(verdict, Verdict::Applied | Verdict::Dropped | Verdict::NotHeld);
                assert!(fine, "{verdict:?} at {frame:?}");
            }
            ToClient::Pong { echo, .. } if *echo == SUBSCRIBED => self.subscribing -= 1,
            // What was said before a subscription was heard says nothing of its chunks.
            ToClient::Progress { .. } if self.subscribing > 0 => {}
            ToClient::Progress { epoch, sequence } => self.replica.progress(*epoch, *sequence),
            ToClient::Resync { epoch, chunks } if chunks.is_empty() => self.replica.restart(*epoch),
            ToClient::Resync { chunks, .. } => {
                for (chunk, since) in chunks {
                    self.load(*chunk, *since);
                }
            }
            _ => {}
        }
    }

    /// Subscribes to a chunk that it does not hold, as a page does: load, then follow.
    pub fn view(&mut self, chunk: ChunkId) {
        self.load(chunk, Sequence::ZERO);
        let have = self.replica.chunk(chunk).expect("it was loaded").sequence;
        let epoch = self.replica.epoch();
        self.subscribe(epoch, chunk, have);
    }

    pub fn subscribe(&mut self, epoch: Epoch, chunk: ChunkId, have: Sequence) {
        self.say(&ToServer::Subscribe { epoch, chunks: vec![(chunk, have)] });
        self.say(&ToServer::Ping(SUBSCRIBED));
        self.subscribing += 1;
    }

    /// Goes on with what another connection held.
    pub fn carry_on(&mut self, replica: Replica) {
        if replica.epoch() != self.hello.epoch {
            return;
        }
        let held: Vec<_> = replica.chunks().map(|(chunk, held)| (chunk, held.sequence)).collect();
        self.replica = replica;
        for (chunk, have) in held {
            self.subscribe(self.hello.epoch, chunk, have);
        }
    }

    /// Loads a chunk over HTTP, at this sequence or later; the api may be away for a while.
    pub fn load(&mut self, chunk: ChunkId, since: Sequence) {
        let id = self.hello.canvas.id.clone();
        let query = if since == Sequence::ZERO { String::new() } else { format!("?since={since}") };
        let path = format!("/api/canvases/{id}/chunks/{}/{}{query}", chunk.cx, chunk.cy);
        let mut served = None;
        eventually("the chunk is served", || {
            served = Request::new("GET", &path).try_send(self.api).ok().filter(|answer| answer.status == 200);
            served.is_some()
        });
        let answer = served.expect("it was served");
        let epoch = Epoch::parse(answer.header("epoch")).expect("an epoch");
        let sequence: u64 = answer.header("sequence").parse().expect("a sequence");
        assert!(sequence >= since.0, "asked for {since}, got {sequence}");
        self.replica.load(chunk, epoch, Sequence(sequence), answer.body);
    }

    /// Follows until the chunk is exact up to this sequence.
    pub fn follow_to(&mut self, chunk: ChunkId, sequence: u64) {
        while self.replica.chunk(chunk).is_none_or(|held| held.sequence.0 < sequence) {
            self.hear();
        }
    }

    /// What it holds of a chunk is what the server has, byte for byte.
    pub fn agrees(&self, chunk: ChunkId) -> bool {
        let path = format!("/api/canvases/{}/chunks/{}/{}", self.hello.canvas.id, chunk.cx, chunk.cy);
        let mut answer = get(self.api, &path);
        eventually("the chunk is served", || {
            answer = get(self.api, &path);
            answer.status == 200
        });
        self.replica.chunk(chunk).is_some_and(|held| held.pixels == answer.body)
    }

    pub fn socket(&mut self) -> &mut Socket {
        &mut self.socket
    }
}
