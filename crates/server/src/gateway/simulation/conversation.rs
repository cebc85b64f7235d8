//! A client's life: it connects, loads, listens and speaks, and comes back when the connection ends.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use pixel_canvas::{ChunkId, Color, Epoch, Placement, Point, Sequence};
use pixel_protocol::websocket::{Opcode, close, close_payload, write_masked_frame};
use pixel_protocol::{binary, json};
use tokio::sync::Notify;
use tokio::time::{sleep, sleep_until, timeout};

use super::client::{Client, is_unknown, read_json, reference, says_unknown};
use super::town::Town;
use super::wire::{End, Line};
use crate::clock::Clock;
use crate::gateway::session::Dialect;

/// A client that heard nothing for so long comes back on another connection.
const SILENCE_MAX: Duration = Duration::from_secs(35);
/// How long the handshake and the first message may take.
const GREETING_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes that a client reads at once.
const READ_BYTES_MAX: usize = 4_096;

/// What all clients do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// They paint.
    Work,
    /// They only finish what they began.
    Settle,
    /// They leave.
    Stop,
}

/// The phase, and the word that it is another.
pub(super) struct Told {
    phase: Mutex<Phase>,
    changed: Notify,
}

impl Told {
    pub(super) fn new() -> Self {
        Self { phase: Mutex::new(Phase::Work), changed: Notify::new() }
    }

    pub(super) fn tell(&self, phase: Phase) {
        *self.phase.lock().expect("no run goes on after a panic") = phase;
        self.changed.notify_waiters();
    }

    fn phase(&self) -> Phase {
        *self.phase.lock().expect("no run goes on after a panic")
    }
}

/// Why a conversation ended.
struct Broken(String);

/// One client with all that it needs.
pub(super) struct Life {
    pub(super) client: Arc<Mutex<Client>>,
    pub(super) town: Arc<Town>,
    pub(super) told: Arc<Told>,
}

/// A frame of the server: its opcode and payload.
type Frame = (u8, Vec<u8>);

/// Takes whole frames out of what was received.
fn take_frames(received: &mut Vec<u8>) -> Vec<Frame> {
    let (mut frames, mut at) = (Vec::new(), 0);
    while let Some((head, length)) = payload_of(&received[at..])
        && received.len() >= at + head + length
    {
        frames.push((received[at] & 0x0f, received[at + head..at + head + length].to_vec()));
        at += head + length;
    }
    received.drain(..at);
    frames
}

/// How long a frame's head and payload are; `None` where the head is not whole.
fn payload_of(bytes: &[u8]) -> Option<(usize, usize)> {
    let short = usize::from(*bytes.get(1)?);
    Some(match short {
        126 => (4, usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?))),
        127 => (10, u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?) as usize),
        length => (2, length),
    })
}

impl Life {
    fn client(&self) -> MutexGuard<'_, Client> {
        self.client.lock().expect("no run goes on after a panic")
    }

    /// Lives until everybody stops.
    pub(super) async fn live(mut self) {
        loop {
            let (number, dialect, token) = {
                let client = self.client();
                (client.number, client.dialect, client.token.clone())
            };
            let opened = timeout(GREETING_TIMEOUT, self.town.connect(dialect, &token)).await;
            let line = opened.ok().flatten();
            if let Some(line) = &line {
                self.town.world.note(format_args!("{number} is connected"));
                let Err(Broken(why)) = self.converse(line).await;
                self.town.world.note(format_args!("{number} is disconnected: {why}"));
                line.leave(if self.town.world.chance(50) { End::Fin } else { End::Reset });
            }
            self.client().disconnected(Clock.tokio());
            if self.told.phase() == Phase::Stop {
                return;
            }
            sleep(self.town.world.ms(20..700)).await;
        }
    }

    async fn converse(&mut self, line: &Line) -> Result<std::convert::Infallible, Broken> {
        let world = Arc::clone(&self.town.world);
        let (mut received, mut heard) = (Vec::new(), Clock.tokio());
        let opened = heard;
        loop {
            let now = Clock.tokio();
            let told = Arc::clone(&self.told);
            let changed = told.changed.notified();
            let phase = told.phase();
            if phase == Phase::Stop {
                return Err(Broken("all is done".into()));
            }
            let (wake, slow) = {
                let mut out = Vec::new();
                let mut client = self.client();
                if client.reloads {
                    return Err(Broken("the page is loaded afresh".into()));
                }
                let greeted = client.connected;
                let wake = match greeted {
                    true => client.due(phase == Phase::Work, &world, now, &mut out),
                    false => opened + GREETING_TIMEOUT,
                };
                if !greeted && now >= wake {
                    return Err(Broken("nobody greets".into()));
                }
                let slow = client.slow_until.filter(|until| *until > now);
                drop(client);
                if !out.is_empty() {
                    line.send(out);
                }
                (wake, slow)
            };
            if now >= heard + SILENCE_MAX && slow.is_none() {
                return Err(Broken("nothing is heard".into()));
            }
            let wake = wake.min(slow.unwrap_or(heard + SILENCE_MAX).max(now));
            tokio::select! {
                biased;
                bytes = line.receive(READ_BYTES_MAX), if slow.is_none() => {
                    let bytes = bytes.map_err(|end| Broken(format!("{end:?}")))?;
                    heard = Clock.tokio();
                    received.extend(bytes);
                    for frame in take_frames(&mut received) {
                        self.hear(frame, line).await?;
                    }
                }
                () = changed => {}
                () = sleep_until(wake) => {}
            }
        }
    }

    async fn hear(&mut self, (opcode, payload): Frame, line: &Line) -> Result<(), Broken> {
        match opcode {
            1 => self.hear_json(&payload, line).await,
            2 => self.hear_binary(&payload, line).await,
            8 => {
                let code = payload.first_chunk().map_or(0, |code| u16::from_be_bytes(*code));
                let mut client = self.client();
                let expected = match code {
                    close::RESTART => true,
                    close::TRY_AGAIN => client.dialect == Dialect::Json && client.may_fall_behind,
                    _ => false,
                };
                if !expected {
                    client.complain(format!("closed with {code}"));
                }
                self.answer(Opcode::Close, &close_payload(code, ""), line);
                Err(Broken(format!("closed with {code}")))
            }
            9 => {
                self.answer(Opcode::Pong, &payload, line);
                Ok(())
            }
            other => Err(Broken(format!("a frame of kind {other}"))),
        }
    }

    fn answer(&self, opcode: Opcode, payload: &[u8], line: &Line) {
        let mut out = Vec::new();
        write_masked_frame(&mut out, opcode, payload, [1, 2, 3, 4]);
        line.send(out);
    }

    async fn hear_binary(&mut self, payload: &[u8], line: &Line) -> Result<(), Broken> {
        let world = Arc::clone(&self.town.world);
        let message = binary::ToClient::decode(payload, &pixel_canvas::Palette::TrueColor);
        let message = match message {
            Ok(Some(message)) => message,
            _ => {
                self.client().complain(format!("not a message: {payload:?}"));
                return Err(Broken("it cannot be read".into()));
            }
        };
        let number = self.client().number;
        match &message {
            // Half the trace would be the canvas' description.
            binary::ToClient::Hello(hello) => {
                world.note(format_args!("{number} hears hello {} {}", hello.epoch, hello.sequence));
            }
            message => world.note(format_args!("{number} hears {message:?}")),
        }
        match message {
            binary::ToClient::Hello(hello) => {
                let first = !std::mem::replace(&mut self.client().connected, true);
                if first {
                    self.view_chunks(hello.epoch, line).await?;
                }
            }
            binary::ToClient::Frame(frame) => {
                let whole = self.client().view.frame(&frame);
                if !whole {
                    self.load(frame.chunk, frame.epoch, frame.to).await?;
                }
            }
            binary::ToClient::Progress { epoch, sequence } => self.client().view.progress(epoch, sequence),
            binary::ToClient::Accepted { key, first, count, .. } => {
                let last = first.plus(u64::from(count) - 1);
                self.client().accepted(key, Some(first), last, &world);
            }
            binary::ToClient::Refused { key, reason, retry_after_ms, .. } => {
                let wait = retry_after_ms.map(|ms| Duration::from_millis(ms.into()));
                self.client().refused(key, is_unknown(reason), wait, &world, Clock.tokio());
            }
            binary::ToClient::Resync { epoch, chunks } if chunks.is_empty() => {
                self.client().view.restart(epoch);
                self.view_chunks(epoch, line).await?;
            }
            binary::ToClient::Resync { epoch, chunks } => {
                for (chunk, since) in chunks {
                    // It may have looked away meanwhile.
                    if self.client().away.contains(&chunk) {
                        continue;
                    }
                    self.load(chunk, epoch, since).await?;
                }
            }
            binary::ToClient::Presence { sockets, .. } => self.client().people = Some(sockets),
            binary::ToClient::Pong { echo, .. } => self.client().pong(u64::from_le_bytes(echo)),
            binary::ToClient::Error(sentence) if !sentence.starts_with("who painted") => {
                self.client().complain(format!("not understood: {sentence}"));
            }
            _ => {}
        }
        Ok(())
    }

    /// Subscribes to every chunk, from what is held or from a snapshot (binary).
    async fn view_chunks(&mut self, epoch: Epoch, line: &Line) -> Result<(), Broken> {
        let missing: Vec<ChunkId> = {
            let mut client = self.client();
            if epoch != client.view.epoch() {
                client.view.restart(epoch);
            }
            client.away.clear();
            client.chunks().into_iter().filter(|chunk| !client.view.follows(*chunk)).collect()
        };
        for chunk in missing {
            self.load(chunk, epoch, Sequence::ZERO).await?;
        }
        let mut out = Vec::new();
        self.client().subscribe(epoch, &mut out);
        line.send(out);
        Ok(())
    }

    async fn load(&mut self, chunk: ChunkId, epoch: Epoch, since: Sequence) -> Result<(), Broken> {
        // Should this fail, the chunk is loaded with the next connection.
        self.client().view.lose(chunk);
        let loaded = self.town.load(chunk, since).await.ok_or_else(|| Broken("a load failed".into()))?;
        let Client { number, .. } = *self.client();
        self.town
            .world
            .note(format_args!("{number} loads {chunk:?} at {} {}", loaded.epoch, loaded.sequence));
        if self.client().loaded(chunk, epoch, loaded) {
            Ok(())
        } else {
            Err(Broken("what was loaded is of another epoch".into()))
        }
    }

    async fn hear_json(&mut self, payload: &[u8], line: &Line) -> Result<(), Broken> {
        let world = Arc::clone(&self.town.world);
        let number = self.client().number;
        world.note(format_args!("{number} hears {}", String::from_utf8_lossy(payload)));
        let Some(message) = read_json(payload) else {
            self.client().complain(format!("not a message: {}", String::from_utf8_lossy(payload)));
            return Err(Broken("it cannot be read".into()));
        };
        match message {
            json::ToClient::Connected { epoch, sequence, .. } => {
                let (epoch, sequence) = (read_epoch(&epoch)?, Sequence(sequence));
                let mut out = Vec::new();
                let continued = {
                    let mut client = self.client();
                    client.connected = true;
                    client.continue_updates(epoch, sequence, &mut out)
                };
                line.send(out);
                if !continued {
                    self.begin_updates(epoch, sequence).await?;
                }
            }
            json::ToClient::Resync { epoch, sequence } => {
                self.begin_updates(read_epoch(&epoch)?, Sequence(sequence)).await?;
            }
            json::ToClient::PixelUpdated { x, y, color, sequence, .. } => {
                let color = Color::parse(&color).ok_or_else(|| Broken("no colour".into()))?;
                let placement = Placement { at: Point { x, y }, color };
                self.client().updated(placement, Sequence(sequence));
            }
            json::ToClient::Accepted { reference: key, sequence } => {
                if let Some(key) = reference(Some(&key)) {
                    self.client().accepted(key, None, Sequence(sequence), &world);
                }
            }
            json::ToClient::Error { message, reference: key, retry_after } => match reference(key.as_ref()) {
                Some(key) => {
                    let wait = retry_after.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
                    self.client().refused(key, says_unknown(&message), wait, &world, Clock.tokio());
                }
                // The store's trouble, told to everybody.
                None if retry_after.is_some() => {}
                None => self.client().complain(format!("not understood: {message}")),
            },
            json::ToClient::Stats { active_users, .. } => self.client().people = Some(active_users),
            _ => {}
        }
        Ok(())
    }

    /// Loads everything and goes on with the updates from here (JSON).
    async fn begin_updates(&mut self, epoch: Epoch, sequence: Sequence) -> Result<(), Broken> {
        self.client().restart_updates(epoch);
        let chunks = self.client().chunks();
        for chunk in chunks {
            self.load(chunk, epoch, sequence).await?;
        }
        self.client().begin_updates(sequence);
        Ok(())
    }
}

fn read_epoch(text: &str) -> Result<Epoch, Broken> {
    Epoch::parse(text).ok_or_else(|| Broken(format!("{text} is no epoch")))
}
