//! From bytes that a socket received to what is done about them.

use std::io;
use std::ops::ControlFlow;

use pixel_canvas::{Author, ChunkId, Epoch, Refusal, Sequence, Timestamp};
use pixel_protocol::{CHUNKS_SUBSCRIBED_MAX, DIRECT_LANE_BYTES_MAX, binary};
use pixel_store::Outcome;

use super::Sweeper;
use crate::gateway::audience::{Audience, Seat};
use crate::gateway::connection::Connection;
use crate::gateway::encode::write_binary;
use crate::gateway::fanout::Start;
use crate::gateway::presence::Roster;
use crate::gateway::session::{self, Action};
use crate::identity::GUEST_LIFETIME_MS;

/// Reads from one socket before the others have their turn.
const READS_PER_TURN: usize = 4;
/// After how long a client that was refused as busy may come back, in milliseconds.
const BUSY_WAIT_MS: u64 = 1_000;

impl Sweeper {
    pub(super) fn read(&mut self, place: usize, buffer: &mut [u8]) {
        let now_s = self.seconds();
        for _ in 0..READS_PER_TURN {
            let Some(connection) = self.connections.get_mut(place) else { return };
            if is_paused(connection) {
                return;
            }
            if let Some(unread) = connection.take_unread() {
                self.receive(place, &unread);
                continue;
            }
            if !connection.readable {
                return;
            }
            match connection.socket.read(buffer) {
                Ok(0) => {
                    let reason = connection.end_reason();
                    return self.remove(place, reason);
                }
                Ok(count) => {
                    self.tools.metrics.received_bytes.inc_by(count as u64);
                    connection.heard_s = now_s;
                    connection.pinged = false;
                    // It had no more than this; what comes later is an event of its own.
                    connection.readable = count == buffer.len() || connection.read_closed;
                    if connection.goodbye().is_none() {
                        self.receive(place, &buffer[..count]);
                    }
                }
                Err(failure) if failure.kind() == io::ErrorKind::Interrupted => {}
                Err(failure) if failure.kind() == io::ErrorKind::WouldBlock => {
                    connection.readable = false;
                    return;
                }
                Err(_) => return self.remove(place, "broken"),
            }
        }
        self.read_on(place);
    }

    /// Takes received bytes through the connection's conversation.
    pub(super) fn receive(&mut self, place: usize, bytes: &[u8]) {
        let Some(connection) = self.connections.get_mut(place) else { return };
        let Some(audience) = self.audiences.get_mut(&connection.canvas) else { return };
        let now = self.tools.clock.unix();
        let (mut actions, mut answers) = (Vec::new(), Vec::new());
        let Connection { session, decoder, reader, .. } = connection;
        let metrics = &self.tools.metrics;
        let taken = decoder.decode(bytes, &mut |message| {
            metrics.received.inc();
            let ended_before = actions.len();
            session.receive(message, &audience.canvas, now, &mut answers, &mut actions);
            let ended = actions[ended_before..].contains(&Action::Close);
            let lane_full = reader.direct_bytes() + answers.len() >= DIRECT_LANE_BYTES_MAX;
            if ended || lane_full || session.is_full() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        let answered = !answers.is_empty();
        if answered {
            reader.direct().append(&mut answers);
        }
        match taken {
            Ok(taken) => connection.keep_unread(&bytes[taken..]),
            Err(violation) => {
                self.act(place, actions);
                return self.close(place, violation.close_code, violation.sentence, "violation");
            }
        }
        if answered {
            self.owe(place);
        }
        self.act(place, actions);
    }

    pub(super) fn act(&mut self, place: usize, actions: Vec<Action>) {
        let now = self.tools.clock.now();
        for action in actions {
            let Some(connection) = self.connections.get_mut(place) else { return };
            let Some(audience) = self.audiences.get_mut(&connection.canvas) else { return };
            let seat = Seat { place, serial: connection.serial };
            match action {
                Action::Submit(submission, ticket) => {
                    self.waiting.insert(connection.canvas);
                    if !audience.gather(seat, ticket.clone(), submission, now) {
                        let busy = Outcome::Refused(Refusal::Busy { wait_ms: BUSY_WAIT_MS });
                        self.tools.placer.count(std::slice::from_ref(&busy));
                        connection.session.settle(&ticket);
                        session::answer(connection.reader.direct(), &ticket, &busy, None, &audience.canvas);
                    }
                }
                Action::LookUp(at) => {
                    if !self.lookups.gather(connection.canvas, seat, at) {
                        connection.session.looked_up();
                        session::answer_painter(connection.reader.direct(), at, None, &audience.canvas);
                    }
                }
                Action::Subscribe(epoch, chunks) => subscribe(place, connection, audience, epoch, &chunks),
                Action::Unsubscribe(chunks) => {
                    for chunk in chunks {
                        if connection.reader.leave(chunk) {
                            audience.unview(place, chunk);
                        }
                    }
                }
                Action::Resume(from) => {
                    let position = audience.fanout.position();
                    let resumed = from.epoch == position.epoch
                        && connection.reader.resume(from.sequence, &audience.fanout);
                    if !resumed {
                        self.tools.metrics.resyncs.inc();
                        let mut frame = Vec::new();
                        session::json_resync(&mut frame, position);
                        connection.reader.start_again(frame, &audience.fanout);
                    }
                    // What it was to hear of people may have been left out with what it has.
                    audience.channel.roster(Roster::tell_again);
                }
                Action::Rename(name) => {
                    let person = connection.session.person();
                    audience.channel.roster(|roster| roster.rename(person, name));
                }
                Action::Identify(token) => {
                    let now = self.tools.clock.unix();
                    let known = self.tools.identities.verify(&token, now);
                    if let Some((identity, since)) = known {
                        let author = connection.session.author();
                        connection.session.identify(Author { identity, since: Some(since), ..author });
                    }
                    let (expires, token) = match known {
                        Some((_, since)) => (since.plus(GUEST_LIFETIME_MS), token),
                        None => (Timestamp::default(), String::new()),
                    };
                    let answer = binary::ToClient::Token { expires, token };
                    write_binary(connection.reader.direct(), &answer, &audience.canvas);
                }
                Action::Close => return self.end(place, "client"),
            }
            self.owe(place);
        }
    }
}

/// Whether a connection's messages must wait: too much of it is under way.
fn is_paused(connection: &Connection) -> bool {
    connection.session.is_full() || connection.reader.direct_bytes() >= DIRECT_LANE_BYTES_MAX
}

/// Views chunks for a connection, and tells it which it must load.
fn subscribe(
    place: usize,
    connection: &mut Connection,
    audience: &mut Audience,
    epoch: Epoch,
    chunks: &[(ChunkId, Sequence)],
) {
    let position = audience.fanout.position();
    let holds_something = chunks.iter().any(|(_, have)| *have > Sequence::ZERO);
    if holds_something && epoch != position.epoch {
        connection.reader.leave_all().into_iter().for_each(|chunk| audience.unview(place, chunk));
        let all = binary::ToClient::Resync { epoch: position.epoch, chunks: Vec::new() };
        return write_binary(connection.reader.direct(), &all, &audience.canvas);
    }
    let new = chunks.iter().filter(|(chunk, _)| !connection.reader.is_viewing(*chunk)).count();
    if connection.reader.views() + new > CHUNKS_SUBSCRIBED_MAX {
        return session::too_many_chunks(connection.reader.direct(), &audience.canvas);
    }
    let mut load = Vec::new();
    for &(chunk, have) in chunks {
        let have = (have > Sequence::ZERO).then_some(have);
        if let Start::Load(since) = connection.reader.view(chunk, have, &mut audience.fanout) {
            load.push((chunk, since));
        }
        audience.view(place, chunk);
    }
    if !load.is_empty() {
        let resync = binary::ToClient::Resync { epoch: position.epoch, chunks: load };
        let mut frame = Vec::new();
        write_binary(&mut frame, &resync, &audience.canvas);
        connection.reader.put_ahead(frame);
    }
    let progress = binary::ToClient::Progress { epoch: position.epoch, sequence: position.sequence };
    write_binary(connection.reader.direct(), &progress, &audience.canvas);
}
