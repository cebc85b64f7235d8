//! One simulated person's client: what it holds, what it asked for, and what it was answered.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use loadgen::remote::Snapshot;
use loadgen::view::{View, Viewing};
use pixel_canvas::{Canvas, ChunkId, Epoch, Identity, Placement, Point, Sequence, Turn};
use pixel_protocol::binary::{self, Reason};
use pixel_protocol::json;
use pixel_protocol::websocket::{Opcode, write_masked_frame};
use pixel_store::Act;
use tokio::time::Instant;

use super::judge::Answer;
use super::town::Loaded;
use super::world::World;
use crate::gateway::session::Dialect;

/// The most placements of one submission.
const PLACEMENTS_MAX: u64 = 4;
/// People paint in this corner, so that they meet.
const CORNER: (u64, u64) = (6, 3);
/// A client shows this often that it lives.
const PING_INTERVAL: Duration = Duration::from_secs(12);
/// Keys of one client.
const KEYS_MAX: u64 = 4_000;
/// Submissions under way at a time.
const UNDER_WAY_MAX: usize = 8;

/// What became of a submission, as its client sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// There may be an answer yet.
    Pending,
    /// It was acknowledged.
    Accepted(Answer),
    /// Nothing of it happened, and it is not asked for again.
    Refused,
    /// Nobody will ever say.
    Unknown,
}

/// One submission.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) key: u64,
    pub(super) act: Act,
    /// When it was sent first, in microseconds of the run.
    pub(super) sent_us: u64,
    /// How often it was sent without hearing of it.
    unheard: u32,
    on_wire: bool,
    again: Instant,
    pub(super) fate: Fate,
}

/// One client.
pub(super) struct Client {
    pub(super) number: u32,
    pub(super) dialect: Dialect,
    pub(super) identity: Identity,
    pub(super) token: String,
    canvas: Arc<Canvas>,
    pub(super) view: View,
    /// Everything it ever asked for, by key.
    pub(super) asked: BTreeMap<u64, Asked>,
    next_key: u64,
    next_act: Instant,
    next_ping: Instant,
    barrier: u64,
    resuming_from: Option<Sequence>,
    /// It has what it wants to look at, and the server said that it goes on from there.
    pub(super) settled: bool,
    pub(super) connected: bool,
    /// It reads nothing until then.
    pub(super) slow_until: Option<Instant>,
    /// Falling behind is nobody's fault here: the logs are short, or nothing came for a while.
    pub(super) may_fall_behind: bool,
    /// Chunks that it looked away from.
    pub(super) away: BTreeSet<ChunkId>,
    /// The page is about to be loaded afresh.
    pub(super) reloads: bool,
    /// Open sockets, as it was told last.
    pub(super) people: Option<u32>,
    /// What no server may say or do.
    pub(super) wrongs: Vec<String>,
}

impl Client {
    pub(super) fn new(
        number: u32,
        dialect: Dialect,
        (identity, token): (Identity, String),
        canvas: &Arc<Canvas>,
        now: Instant,
    ) -> Self {
        Self {
            number,
            dialect,
            identity,
            token,
            view: View::new(Viewing::Pixels, canvas, Epoch(0)),
            canvas: Arc::clone(canvas),
            asked: BTreeMap::new(),
            // Its own, where another client is the same person.
            next_key: u64::from(number) * KEYS_MAX + 1,
            next_act: now,
            next_ping: now,
            barrier: 0,
            resuming_from: None,
            settled: false,
            connected: false,
            slow_until: None,
            may_fall_behind: false,
            away: BTreeSet::new(),
            reloads: false,
            people: None,
            wrongs: Vec::new(),
        }
    }

    /// Chunks of the canvas.
    pub(super) fn chunks(&self) -> Vec<ChunkId> {
        self.canvas.size.chunks().collect()
    }

    /// Whether it waits for answers.
    pub(super) fn is_waiting(&self) -> bool {
        self.asked.values().any(|asked| asked.fate == Fate::Pending)
    }

    // ---- Going out.

    fn frame(opcode: Opcode, payload: &[u8], out: &mut Vec<u8>) {
        write_masked_frame(out, opcode, payload, [1, 2, 3, 4]);
    }

    fn say(&self, message: &binary::ToServer<'_>, out: &mut Vec<u8>) {
        let mut bytes = Vec::new();
        message.encode(&self.canvas, &mut bytes);
        Self::frame(Opcode::Binary, &bytes, out);
    }

    /// What is due goes out; when the next thing is.
    pub(super) fn due(&mut self, working: bool, world: &World, now: Instant, out: &mut Vec<u8>) -> Instant {
        if working && self.next_act <= now {
            self.next_act = now + world.ms(20..900);
            let waiting = self.asked.values().filter(|asked| asked.fate == Fate::Pending).count();
            match world.below(14) {
                0 => self.rename(world, out),
                1 => self.look_up(world, out),
                2 => self.look_away(world, out),
                3 => self.look_everywhere(out),
                _ if waiting < UNDER_WAY_MAX => self.ask(world, now),
                _ => {}
            }
        }
        if !working {
            self.look_everywhere(out);
        }
        let mut wake = if working { self.next_act } else { self.next_ping };
        let due: Vec<u64> = self
            .asked
            .iter()
            .filter(|(_, asked)| asked.fate == Fate::Pending && !asked.on_wire)
            .filter(|(_, asked)| {
                wake = wake.min(asked.again.max(now));
                asked.again <= now
            })
            .map(|(key, _)| *key)
            .collect();
        for key in due {
            self.submit(key, world, out);
        }
        if self.next_ping <= now {
            self.next_ping = now + PING_INTERVAL;
            self.ping(out);
        }
        wake.min(self.next_ping)
    }

    fn rename(&self, world: &World, out: &mut Vec<u8>) {
        let name = format!("{}.{}", self.number, world.below(3));
        match self.dialect {
            Dialect::Binary => self.say(&binary::ToServer::Name(&name), out),
            Dialect::Json => {
                let text = format!(r#"{{"type":"set_username","username":"{name}"}}"#);
                Self::frame(Opcode::Text, text.as_bytes(), out);
            }
        }
    }

    fn look_up(&self, world: &World, out: &mut Vec<u8>) {
        if self.dialect == Dialect::Binary {
            self.say(&binary::ToServer::Who(self.somewhere(world)), out);
        }
    }

    /// Views a chunk no more.
    fn look_away(&mut self, world: &World, out: &mut Vec<u8>) {
        let chunks = self.chunks();
        let chunk = chunks[world.below(chunks.len() as u64) as usize];
        if self.dialect == Dialect::Binary && self.settled && self.view.follows(chunk) {
            self.view.lose(chunk);
            self.away.insert(chunk);
            self.say(&binary::ToServer::Unsubscribe { chunks: vec![chunk] }, out);
        }
    }

    /// Views the chunks again that it looked away from; the server says what to load.
    fn look_everywhere(&mut self, out: &mut Vec<u8>) {
        if self.settled && !self.away.is_empty() {
            self.subscribe(self.view.epoch(), out);
        }
    }

    /// A place where others paint too, on either side of the border between two chunks.
    fn somewhere(&self, world: &World) -> Point {
        let right = self.canvas.size.width() as u64 - CORNER.0;
        let left = if world.chance(70) { 0 } else { right };
        Point { x: (left + world.below(CORNER.0)) as u16, y: world.below(CORNER.1) as u16 }
    }

    fn ask(&mut self, world: &World, now: Instant) {
        let key = self.next_key;
        self.next_key += 1;
        let retraces = world.chance(15);
        let act = if retraces {
            let turn = if world.chance(60) { Turn::Undo } else { Turn::Redo };
            Act::Retrace { turn, count: 1 + world.below(3) as u16 }
        } else {
            let most = if self.dialect == Dialect::Json { 1 } else { PLACEMENTS_MAX };
            let count = 1 + world.below(most);
            // A colour says whose submission it was: no two are alike.
            let place = |part: u64| {
                let [.., high, low] = (key as u16).to_be_bytes();
                let color = pixel_canvas::Color([self.number as u8 * 16 + part as u8, high, low]);
                Placement { at: self.somewhere(world), color }
            };
            Act::Place((0..count).map(place).collect())
        };
        let fate = Fate::Pending;
        self.asked.insert(key, Asked { key, act, sent_us: 0, unheard: 0, on_wire: false, again: now, fate });
    }

    fn submit(&mut self, key: u64, world: &World, out: &mut Vec<u8>) {
        let Some(asked) = self.asked.get_mut(&key) else { return };
        if asked.sent_us == 0 {
            asked.sent_us = world.micros();
        }
        asked.on_wire = true;
        asked.unheard += 1;
        world.note(format_args!("{} asks {key}: {:?}", self.number, asked.act));
        let act = asked.act.clone();
        match (self.dialect, act) {
            (Dialect::Binary, Act::Place(placements)) => {
                self.say(&binary::ToServer::Submit { key, placements: Ok(placements) }, out);
            }
            (Dialect::Binary, Act::Retrace { turn, count }) => {
                self.say(&binary::ToServer::Retrace { turn, key, count }, out);
            }
            (Dialect::Json, Act::Place(placements)) => {
                for Placement { at: Point { x, y }, color } in placements {
                    let text =
                        format!(r#"{{"type":"pixel_update","x":{x},"y":{y},"color":"{color}","ref":{key}}}"#);
                    Self::frame(Opcode::Text, text.as_bytes(), out);
                }
            }
            (Dialect::Json, Act::Retrace { turn, count }) => {
                let turn = if turn == Turn::Undo { "undo" } else { "redo" };
                let text = format!(r#"{{"type":"{turn}","count":{count},"ref":{key}}}"#);
                Self::frame(Opcode::Text, text.as_bytes(), out);
            }
        }
    }

    fn ping(&self, out: &mut Vec<u8>) {
        match self.dialect {
            Dialect::Binary => self.say(&binary::ToServer::Ping(self.barrier.to_le_bytes()), out),
            Dialect::Json => Self::frame(Opcode::Text, br#"{"type":"ping"}"#, out),
        }
    }

    /// Subscribes to what it holds, and to a pong behind that.
    pub(super) fn subscribe(&mut self, epoch: Epoch, out: &mut Vec<u8>) {
        self.settled = false;
        let mut chunks = self.view.resume();
        chunks.extend(std::mem::take(&mut self.away).into_iter().map(|chunk| (chunk, Sequence::ZERO)));
        self.say(&binary::ToServer::Subscribe { epoch, chunks }, out);
        self.barrier += 1;
        self.ping(out);
    }

    /// Continues the updates where they broke off; `false` where they must begin anew (JSON).
    pub(super) fn continue_updates(&mut self, epoch: Epoch, sequence: Sequence, out: &mut Vec<u8>) -> bool {
        let at = self.view.updates_at();
        if epoch != self.view.epoch() || at == Sequence::ZERO {
            return false;
        }
        if at < sequence {
            self.resuming_from = Some(at);
            let text = format!(r#"{{"type":"resume","epoch":"{epoch}","sequence":{at}}}"#);
            Self::frame(Opcode::Text, text.as_bytes(), out);
        } else {
            // This gateway may be behind the one before: some of what is held comes again.
            self.view.updates_from(at);
        }
        self.settled = true;
        true
    }

    /// Forgets everything: updates begin anew (JSON).
    pub(super) fn restart_updates(&mut self, epoch: Epoch) {
        self.resuming_from = None;
        self.settled = false;
        self.view.restart(epoch);
    }

    /// All is loaded: updates go on from here (JSON).
    pub(super) fn begin_updates(&mut self, sequence: Sequence) {
        self.view.updates_from(sequence);
        self.settled = true;
    }

    /// Holds what was loaded; `false` where it is of another epoch.
    pub(super) fn loaded(&mut self, chunk: ChunkId, epoch: Epoch, loaded: Loaded) -> bool {
        let Loaded { epoch: of, sequence, pixels } = loaded;
        let fits = of == epoch;
        if fits {
            self.view.load(chunk, &Snapshot { epoch, sequence, pixels });
        }
        fits
    }

    // ---- Coming in.

    /// The connection is gone: what was on its way is sent again where a key makes that safe.
    pub(super) fn disconnected(&mut self, now: Instant) {
        (self.connected, self.settled) = (false, false);
        self.view.connected();
        self.next_ping = now;
        if std::mem::take(&mut self.reloads) {
            self.view.restart(Epoch(0));
        }
        let binary = self.dialect == Dialect::Binary;
        for asked in self.asked.values_mut().filter(|asked| asked.fate == Fate::Pending) {
            let on_wire = std::mem::take(&mut asked.on_wire);
            if on_wire && !binary {
                asked.fate = Fate::Unknown;
            }
        }
    }

    pub(super) fn updated(&mut self, placement: Placement, sequence: Sequence) {
        if let Some(from) = self.resuming_from {
            if sequence != from.next() {
                return;
            }
            self.resuming_from = None;
        }
        self.view.update(placement, sequence);
    }

    /// The answer to a ping with this number.
    pub(super) fn pong(&mut self, number: u64) {
        if number == self.barrier {
            self.view.confirm();
            self.settled = true;
        }
    }

    pub(super) fn accepted(&mut self, key: u64, first: Option<Sequence>, last: Sequence, world: &World) {
        let (us, epoch) = (world.micros(), self.view.epoch());
        let Some(asked) = self.asked.get_mut(&key).filter(|asked| asked.fate == Fate::Pending) else {
            return self.wrongs.push(format!("an answer to {key}, which nobody waits for"));
        };
        asked.fate = Fate::Accepted(Answer { first, last, us, epoch });
    }

    pub(super) fn refused(
        &mut self,
        key: u64,
        is_unknown: bool,
        retry_after: Option<Duration>,
        world: &World,
        now: Instant,
    ) {
        let json = self.dialect == Dialect::Json;
        let Some(asked) = self.asked.get_mut(&key).filter(|asked| asked.fate == Fate::Pending) else {
            return self.wrongs.push(format!("a refusal of {key}, which nobody waits for"));
        };
        if is_unknown {
            if json {
                asked.fate = Fate::Unknown;
                return;
            }
        } else {
            // What was sent over a connection that broke may still be under way.
            asked.unheard -= 1;
        }
        match retry_after {
            Some(wait) if is_unknown || world.chance(80) => {
                asked.on_wire = false;
                asked.again = now + wait.mul_f64(1.0 + world.below(100) as f64 / 100.0);
            }
            _ => asked.fate = if asked.unheard == 0 { Fate::Refused } else { Fate::Unknown },
        }
    }

    /// What the other end must never say.
    pub(super) fn complain(&mut self, wrong: String) {
        self.wrongs.push(wrong);
    }
}

/// Whether a refusal says that it may have happened.
pub(super) fn is_unknown(reason: Reason) -> bool {
    reason == Reason::Unknown
}

/// The same in the JSON dialect, which has words only.
pub(super) fn says_unknown(message: &str) -> bool {
    message.starts_with("it is not known")
}

/// A number that a client gave as its reference.
pub(super) fn reference(value: Option<&serde_json::Value>) -> Option<u64> {
    value.and_then(serde_json::Value::as_u64)
}

/// Reads a message of the JSON dialect.
pub(super) fn read_json(text: &[u8]) -> Option<json::ToClient> {
    serde_json::from_slice(text).ok()
}
