//! One connection's conversation as a state machine: (message, now) → answers and actions. Sans I/O.

use pixel_canvas::history::RETRACED_STEPS_MAX;
use pixel_canvas::{
    Author, Canvas, ChunkId, Epoch, Key, Name, Placement, Point, Refusal, Sequence, Timestamp,
};
use pixel_protocol::websocket::{Message, Opcode, close, close_payload, write_frame};
use pixel_protocol::{CHUNKS_SUBSCRIBED_MAX, IN_FLIGHT_PLACEMENTS_MAX, binary, json};
use pixel_store::{Accepted, Act, Outcome, Pixel, Position, Submission, SubmissionKey};

use super::encode::write_binary;

/// When placing may work again, as a JSON connection is told.
const STALE_RETRY_MS: u64 = 1_000;
/// What a JSON client is told whose placement may or may not have happened: it has no key to ask again with.
const JSON_UNKNOWN: &str = "it is not known whether this was painted; if so, its pixel_updated still comes: look before you paint it again";

/// Which dialect a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Json,
    Binary,
}

/// What a session wants done outside itself.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Place this; the outcome comes back with the ticket.
    Submit(Submission, Ticket),
    /// View these chunks, from what the client has of them in this epoch.
    Subscribe(Epoch, Vec<(ChunkId, Sequence)>),
    /// View these chunks no more.
    Unsubscribe(Vec<ChunkId>),
    /// Go back to just after this position.
    Resume(Position),
    /// The connection took a name, or laid it down.
    Rename(Option<Name>),
    /// Be who this token says.
    Identify(String),
    /// Look up who painted this pixel; it counts as one placement in flight.
    LookUp(Point),
    /// Close the connection; its close frame was answered already.
    Close,
}

/// What the answer to a submission needs to know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    placements: u32,
    reply: Reply,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Reply {
    Binary { key: u64 },
    Json { reference: Option<json::Ref> },
}

/// One connection's side of the conversation.
#[derive(Debug)]
pub(crate) struct Session {
    dialect: Dialect,
    author: Author,
    name: Option<Name>,
    person: u32,
    in_flight: u32,
}

/// What a greeting tells.
pub(crate) struct Greeting<'a> {
    pub(crate) canvas: &'a Canvas,
    pub(crate) position: Position,
    pub(crate) now: Timestamp,
    /// The token to come back with; empty when the client has one.
    pub(crate) token: &'a str,
    /// The store is away: what is seen may be old.
    pub(crate) stale: bool,
}

impl Session {
    pub(crate) fn new(dialect: Dialect, author: Author, person: u32) -> Self {
        Self { dialect, author, name: None, person, in_flight: 0 }
    }

    pub(crate) fn dialect(&self) -> Dialect {
        self.dialect
    }

    pub(crate) fn person(&self) -> u32 {
        self.person
    }

    /// Whether reading must wait until placements were answered.
    pub(crate) fn is_full(&self) -> bool {
        self.in_flight as usize >= IN_FLIGHT_PLACEMENTS_MAX
    }

    /// Another identity, proven by a token.
    pub(crate) fn identify(&mut self, author: Author) {
        self.author = author;
    }

    pub(crate) fn author(&self) -> Author {
        self.author
    }

    /// The first message, and later the one that brings changed rules.
    pub(crate) fn greet(&self, greeting: &Greeting<'_>, out: &mut Vec<u8>) {
        let Position { epoch, sequence } = greeting.position;
        match self.dialect {
            Dialect::Binary => {
                let mut hello = binary::Hello::new(
                    greeting.canvas,
                    epoch,
                    sequence,
                    greeting.now,
                    self.person,
                    greeting.token,
                );
                hello.stale = greeting.stale;
                write_binary(out, &binary::ToClient::Hello(hello), greeting.canvas);
            }
            Dialect::Json => {
                let mut text = Vec::new();
                json::connected(&mut text, self.person, epoch, sequence);
                write_frame(out, Opcode::Text, &text);
                if greeting.stale {
                    json_stale(out);
                }
            }
        }
    }

    /// Takes one message; answers go to `out` as whole frames.
    pub(crate) fn receive(
        &mut self,
        message: Message<'_>,
        canvas: &Canvas,
        now: Timestamp,
        out: &mut Vec<u8>,
        actions: &mut Vec<Action>,
    ) {
        match (message, self.dialect) {
            (Message::Ping(payload), _) => write_frame(out, Opcode::Pong, payload),
            (Message::Pong(_), _) => {}
            (Message::Close(code), _) => {
                write_frame(out, Opcode::Close, &close_payload(code.unwrap_or(close::NORMAL), ""));
                actions.push(Action::Close);
            }
            (Message::Text(text), Dialect::Json) => self.receive_json(text, canvas, now, out, actions),
            (Message::Binary(bytes), Dialect::Binary) => {
                self.receive_binary(bytes, canvas, now, out, actions);
            }
            (Message::Text(_) | Message::Binary(_), dialect) => {
                let sentence = match dialect {
                    Dialect::Json => "this dialect is text, one JSON object a frame",
                    Dialect::Binary => "this dialect is binary, see the protocol",
                };
                write_frame(out, Opcode::Close, &close_payload(close::UNSUPPORTED, sentence));
                actions.push(Action::Close);
            }
        }
    }

    fn receive_json(
        &mut self,
        text: &str,
        canvas: &Canvas,
        now: Timestamp,
        out: &mut Vec<u8>,
        actions: &mut Vec<Action>,
    ) {
        match json::parse(text) {
            Err(wrong) => json_error(out, &wrong.message, wrong.reference.as_ref(), None),
            Ok(json::ToServer::Ping) => {
                let mut pong = Vec::new();
                json::pong(&mut pong, now);
                write_frame(out, Opcode::Text, &pong);
            }
            Ok(json::ToServer::SetUsername(raw)) => {
                self.name = Name::parse(&raw);
                actions.push(Action::Rename(self.name.clone()));
            }
            Ok(json::ToServer::Resume { epoch, sequence }) => {
                actions.push(Action::Resume(Position { epoch, sequence }));
            }
            Ok(json::ToServer::Retrace { turn, count, reference }) => {
                let act = Act::Retrace { turn, count };
                self.submit(act, self.name.clone(), None, Reply::Json { reference }, actions);
            }
            Ok(json::ToServer::PixelUpdate { x, y, color, username, reference }) => {
                match Placement::parse(x, y, &color, canvas) {
                    Err(refusal) => json_refusal(out, &refusal, None, reference.as_ref()),
                    Ok(placement) => {
                        let own = username.as_deref().and_then(Name::parse);
                        let name = own.or_else(|| self.name.clone());
                        let act = Act::Place(vec![placement]);
                        self.submit(act, name, None, Reply::Json { reference }, actions);
                    }
                }
            }
        }
    }

    fn receive_binary(
        &mut self,
        bytes: &[u8],
        canvas: &Canvas,
        now: Timestamp,
        out: &mut Vec<u8>,
        actions: &mut Vec<Action>,
    ) {
        let message = match binary::ToServer::decode(bytes, canvas) {
            Ok(message) => message,
            Err(wrong) => {
                write_binary(out, &binary::ToClient::Error(wrong.to_string()), canvas);
                return;
            }
        };
        match message {
            binary::ToServer::Ping(echo) => {
                write_binary(out, &binary::ToClient::Pong { echo, now }, canvas);
            }
            binary::ToServer::Name(raw) => {
                self.name = Name::parse(raw);
                actions.push(Action::Rename(self.name.clone()));
            }
            binary::ToServer::Identify(token) => actions.push(Action::Identify(token.to_owned())),
            binary::ToServer::Subscribe { epoch, chunks } => actions.push(Action::Subscribe(epoch, chunks)),
            binary::ToServer::Unsubscribe { chunks } => actions.push(Action::Unsubscribe(chunks)),
            binary::ToServer::Submit { key, placements } => {
                let reply = Reply::Binary { key };
                match placements {
                    Err(refusal) => answer_refusal(out, &reply, &refusal, None, canvas),
                    Ok(placements) => {
                        let key = SubmissionKey::Client(socket_key(key));
                        self.submit(Act::Place(placements), self.name.clone(), Some(key), reply, actions);
                    }
                }
            }
            binary::ToServer::Retrace { turn, key, count } => {
                let (reply, max) = (Reply::Binary { key }, RETRACED_STEPS_MAX);
                if !(1..=max).contains(&usize::from(count)) {
                    return answer_refusal(
                        out,
                        &reply,
                        &Refusal::Count { count: count.into(), max },
                        None,
                        canvas,
                    );
                }
                let key = SubmissionKey::Client(socket_key(key));
                self.submit(Act::Retrace { turn, count }, self.name.clone(), Some(key), reply, actions);
            }
            binary::ToServer::Who(at) => {
                self.in_flight += 1;
                actions.push(Action::LookUp(at));
            }
        }
    }

    fn submit(
        &mut self,
        act: Act,
        name: Option<Name>,
        key: Option<SubmissionKey>,
        reply: Reply,
        actions: &mut Vec<Action>,
    ) {
        let ticket = Ticket { placements: act.placements_max() as u32, reply };
        self.in_flight += ticket.placements;
        let name = name.unwrap_or_else(Name::anonymous);
        actions.push(Action::Submit(Submission { author: self.author, name, key, act }, ticket));
    }

    /// The outcome of a submission came back: it is in flight no more.
    pub(crate) fn settle(&mut self, ticket: &Ticket) {
        self.in_flight = self.in_flight.saturating_sub(ticket.placements);
    }

    /// A pixel was looked up, or not: it is in flight no more.
    pub(crate) fn looked_up(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }
}

/// Answers who painted a pixel; `None` where it cannot be known now.
pub(crate) fn answer_painter(out: &mut Vec<u8>, at: Point, pixel: Option<&Pixel>, canvas: &Canvas) {
    let Some(pixel) = pixel else {
        let sentence =
            format!("who painted ({}, {}) cannot be looked up now; ask again in a moment", at.x, at.y);
        return write_binary(out, &binary::ToClient::Error(sentence), canvas);
    };
    let painted = pixel.painted.as_ref();
    let message = binary::ToClient::Painter {
        at,
        color: pixel.color,
        sequence: painted.map_or(Sequence::ZERO, |by| by.sequence),
        painted: painted.map_or(Timestamp::default(), |by| by.at),
        name: painted.and_then(|by| by.name.clone()),
    };
    write_binary(out, &message, canvas);
}

/// Answers a submission. What was accepted is told after the updates that carry it; where it is known why
/// it was refused, `why` says more than the refusal itself.
pub(crate) fn answer(
    out: &mut Vec<u8>,
    ticket: &Ticket,
    outcome: &Outcome,
    why: Option<String>,
    canvas: &Canvas,
) {
    match outcome {
        Outcome::Refused(refusal) => answer_refusal(out, &ticket.reply, refusal, why, canvas),
        Outcome::Accepted(accepted) => answer_accepted(out, &ticket.reply, accepted, canvas),
    }
}

fn answer_accepted(out: &mut Vec<u8>, reply: &Reply, accepted: &Accepted, canvas: &Canvas) {
    match reply {
        Reply::Binary { key } => {
            let message = binary::ToClient::Accepted {
                key: *key,
                first: accepted.first,
                count: accepted.count as u16,
                standing: accepted.standing,
            };
            write_binary(out, &message, canvas);
        }
        Reply::Json { reference: Some(reference) } => {
            let mut text = Vec::new();
            json::accepted(&mut text, reference, accepted.last());
            write_frame(out, Opcode::Text, &text);
        }
        Reply::Json { reference: None } => {}
    }
}

fn answer_refusal(out: &mut Vec<u8>, reply: &Reply, refusal: &Refusal, why: Option<String>, canvas: &Canvas) {
    match reply {
        Reply::Binary { key } => {
            let message = binary::ToClient::Refused {
                key: *key,
                reason: binary::Reason::from(refusal),
                retry_after_ms: refusal.retry_after_ms().map(|ms| ms.min(u64::from(u32::MAX - 1)) as u32),
                sentence: why.unwrap_or_else(|| refusal.to_string()),
            };
            write_binary(out, &message, canvas);
        }
        Reply::Json { reference } => json_refusal(out, refusal, why, reference.as_ref()),
    }
}

/// Tells a JSON connection from where it goes on; it must load the canvas afresh.
pub(crate) fn json_resync(out: &mut Vec<u8>, position: Position) {
    let mut text = Vec::new();
    json::resync(&mut text, position.epoch, position.sequence);
    write_frame(out, Opcode::Text, &text);
}

/// Tells a JSON connection that what it sees may be old.
pub(crate) fn json_stale(out: &mut Vec<u8>) {
    let sentence = "the store is away: what you see may be old, and nothing can be placed";
    json_error(out, sentence, None, Some(STALE_RETRY_MS));
}

/// Refuses to view more chunks than one connection may.
pub(crate) fn too_many_chunks(out: &mut Vec<u8>, canvas: &Canvas) {
    let sentence = format!("at most {CHUNKS_SUBSCRIBED_MAX} chunks at a time: unsubscribe from some first");
    write_binary(out, &binary::ToClient::Error(sentence), canvas);
}

fn json_refusal(out: &mut Vec<u8>, refusal: &Refusal, why: Option<String>, reference: Option<&json::Ref>) {
    let sentence = why.unwrap_or_else(|| match refusal {
        // This dialect has no keys.
        Refusal::Unknown => JSON_UNKNOWN.to_owned(),
        refusal => refusal.to_string(),
    });
    json_error(out, &sentence, reference, refusal.retry_after_ms());
}

fn json_error(out: &mut Vec<u8>, message: &str, reference: Option<&json::Ref>, retry_after_ms: Option<u64>) {
    let mut text = Vec::new();
    json::error(&mut text, message, reference, retry_after_ms);
    write_frame(out, Opcode::Text, &text);
}

/// A socket's key among all keys: marked, so that no other kind of key equals it.
pub(super) fn socket_key(key: u64) -> Key {
    let mut bytes = *b"socket\0\0........";
    bytes[8..].copy_from_slice(&key.to_be_bytes());
    Key(bytes)
}

#[cfg(test)]
mod tests;
