//! The only code that writes to gateway sockets: a thread that sweeps its own connections.
//!
//! A thread waits for sockets and for its inbox, reads what came, hands submissions on in calls,
//! and writes to each connection that is owed something, as much as its socket takes, in one
//! vectored write. It never waits for a store, and a slow socket costs it nothing but its cursor.

use std::collections::HashMap;
use std::io::{self, IoSlice};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use mio::{Events, Poll, Token, Waker};
use pixel_canvas::{Author, ChunkId, Epoch, Refusal, Sequence, Timestamp};
use pixel_protocol::websocket::{Decoder, Opcode, close, close_payload, write_frame};
use pixel_protocol::{
    CHUNKS_SUBSCRIBED_MAX, DIRECT_LANE_BYTES_MAX, MESSAGE_BYTES_MAX, PING_INTERVAL_MS, binary,
};
use pixel_store::{Outcome, Position, Submission};
use rand::RngExt;
use rand::rngs::SmallRng;
use slab::Slab;
use tracing::{debug, error};

use super::audience::{ACKNOWLEDGEMENT_HOLD, Audience, Gathered, Held, Seat};
use super::broadcast::{Channel, News};
use super::connection::{Connection, Ending, Socket};
use super::fanout::{Behind, Fanout, Reader, Start, WRITE_SLICES_MAX};
use super::session::{self, Action, Dialect, Greeting, Session, Ticket};
use crate::address::AddressGuard;
use crate::clock::Clock;
use crate::identity::{GUEST_LIFETIME_MS, Identities};
use crate::placing::Placer;
use crate::telemetry::GatewayMetrics;

/// Bytes read from a socket at once; one buffer serves a whole thread.
const READ_BUFFER_BYTES: usize = 16 << 10;
/// Reads from one socket before the others have their turn.
const READS_PER_TURN: usize = 4;
/// How long a closing connection may take to say goodbye.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// How often silent, stuck and closing connections are looked for.
const HOUSEKEEPING_INTERVAL: Duration = Duration::from_secs(1);
/// After how long a client that was refused as busy may come back, in milliseconds.
const BUSY_WAIT_MS: u64 = 1_000;
const INBOX: Token = Token(usize::MAX);

/// A connection that was just upgraded.
pub(crate) struct Newcomer {
    pub(crate) socket: Socket,
    /// What the client sent right behind its request.
    pub(crate) sent: Bytes,
    pub(crate) dialect: Dialect,
    pub(crate) author: Author,
    /// The token to come back with; empty when the client has one.
    pub(crate) token: String,
    pub(crate) channel: Arc<Channel>,
    pub(crate) guard: AddressGuard,
}

/// What a thread is told.
enum Command {
    Adopt(Box<Newcomer>),
    News(u32, News),
    Open(Arc<Channel>, Position),
    Outcomes(u32, Vec<(Seat, Ticket, Outcome)>),
    Drain(Duration),
}

/// The way to tell a thread something; never waits.
#[derive(Clone)]
pub(crate) struct Inbox(Arc<Shared>);

struct Shared {
    commands: Mutex<Vec<Command>>,
    waker: Waker,
    connections: AtomicUsize,
}

impl Inbox {
    fn send(&self, command: Command) {
        let mut commands = self.0.commands.lock().unwrap_or_else(PoisonError::into_inner);
        let was_empty = commands.is_empty();
        commands.push(command);
        drop(commands);
        if was_empty && let Err(failure) = self.0.waker.wake() {
            error!(error = ?failure, "cannot wake a gateway thread");
        }
    }

    /// A canvas that this thread will hear news of.
    pub(crate) fn open(&self, channel: Arc<Channel>, started: Position) {
        self.send(Command::Open(channel, started));
    }

    pub(crate) fn tell(&self, canvas: u32, news: News) {
        self.send(Command::News(canvas, news));
    }

    pub(crate) fn adopt(&self, newcomer: Newcomer) {
        self.0.connections.fetch_add(1, Ordering::Relaxed);
        self.send(Command::Adopt(Box::new(newcomer)));
    }

    /// Closes every connection with 1012 at a random moment of the window.
    pub(crate) fn drain(&self, window: Duration) {
        self.send(Command::Drain(window));
    }

    /// Connections of this thread, those on their way to it included.
    pub(crate) fn connections(&self) -> usize {
        self.0.connections.load(Ordering::Relaxed)
    }
}

/// What a thread works with.
#[derive(Clone)]
pub(crate) struct Tools {
    pub(crate) placer: Placer,
    pub(crate) identities: Arc<Identities>,
    pub(crate) runtime: tokio::runtime::Handle,
    pub(crate) clock: Clock,
    pub(crate) metrics: GatewayMetrics,
}

/// Starts a thread that sweeps; it lives as long as the process.
pub(crate) fn start(name: String, tools: Tools, seed: u64) -> io::Result<Inbox> {
    let poll = Poll::new()?;
    let waker = Waker::new(poll.registry(), INBOX)?;
    let shared = Shared { commands: Mutex::default(), waker, connections: AtomicUsize::new(0) };
    let inbox = Inbox(Arc::new(shared));
    let sweeper = Sweeper {
        poll,
        inbox: inbox.clone(),
        connections: Slab::new(),
        audiences: HashMap::new(),
        owed: Vec::new(),
        unfinished: Vec::new(),
        draining: None,
        leaving: Vec::new(),
        random: rand::SeedableRng::seed_from_u64(seed),
        next_serial: 0,
        housekeeping: tools.clock.now(),
        tools,
    };
    std::thread::Builder::new().name(name).spawn(move || sweeper.run())?;
    Ok(inbox)
}

struct Sweeper {
    poll: Poll,
    inbox: Inbox,
    connections: Slab<Connection>,
    audiences: HashMap<u32, Audience>,
    /// Connections to write to, each once.
    owed: Vec<usize>,
    /// Connections with more to read than their turn allowed, or that may read again.
    unfinished: Vec<usize>,
    draining: Option<Duration>,
    /// When each connection is closed while draining, latest first.
    leaving: Vec<(Instant, Seat)>,
    random: SmallRng,
    next_serial: u64,
    housekeeping: Instant,
    tools: Tools,
}

impl Sweeper {
    fn run(mut self) {
        let mut events = Events::with_capacity(1024);
        let mut buffer = vec![0; READ_BUFFER_BYTES];
        loop {
            let timeout = self.timeout();
            match self.poll.poll(&mut events, Some(timeout)) {
                Ok(()) => {}
                Err(failure) if failure.kind() == io::ErrorKind::Interrupted => continue,
                Err(failure) => {
                    error!(error = ?failure, "a gateway thread cannot wait for its sockets");
                    std::thread::sleep(HOUSEKEEPING_INTERVAL);
                    continue;
                }
            }
            self.take_commands();
            for event in events.iter().filter(|event| event.token() != INBOX) {
                let place = event.token().0;
                let Some(connection) = self.connections.get_mut(place) else { continue };
                if event.is_writable() && connection.blocked {
                    connection.blocked = false;
                    self.owe(place);
                }
                if event.is_readable() || event.is_read_closed() || event.is_error() {
                    if let Some(connection) = self.connections.get_mut(place) {
                        connection.readable = true;
                    }
                    self.read(place, &mut buffer);
                }
            }
            for place in std::mem::take(&mut self.unfinished) {
                self.read(place, &mut buffer);
            }
            self.call();
            self.release();
            self.leave();
            self.keep_house();
            self.sweep();
        }
    }

    fn timeout(&self) -> Duration {
        if !self.unfinished.is_empty() || !self.owed.is_empty() {
            return Duration::ZERO;
        }
        let now = self.tools.clock.now();
        let holds = self.audiences.values().filter_map(Audience::hold_deadline);
        let leaving = self.leaving.last().map(|(at, _)| *at);
        let next = holds.chain(leaving).chain([self.housekeeping]).min().unwrap_or(self.housekeeping);
        next.saturating_duration_since(now)
    }

    fn take_commands(&mut self) {
        let commands = {
            let mut waiting = self.inbox.0.commands.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *waiting)
        };
        for command in commands {
            match command {
                Command::Open(channel, started) => {
                    let number = channel.number;
                    self.audiences.insert(number, Audience::new(channel, Fanout::new(started, [])));
                }
                Command::Adopt(newcomer) => self.adopt(*newcomer),
                Command::News(canvas, news) => self.hear(canvas, news),
                Command::Outcomes(canvas, outcomes) => self.settle(canvas, outcomes),
                Command::Drain(window) => self.drain(window),
            }
        }
    }

    // ---- Connections come and go.

    fn adopt(&mut self, newcomer: Newcomer) {
        let Newcomer { mut socket, sent, dialect, author, token, channel, guard } = newcomer;
        let place = self.connections.vacant_key();
        if let Err(failure) = socket.register(self.poll.registry(), Token(place)) {
            debug!(error = ?failure, "a new connection went away at once");
            self.inbox.0.connections.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        let audience =
            self.audiences.get_mut(&channel.number).expect("a canvas is opened before it is joined");
        let binary = dialect == Dialect::Binary;
        let session = Session::new(dialect, author, channel.roster(super::presence::Roster::join));
        let mut reader = Reader::new(binary, &audience.fanout);
        let greeting = Greeting {
            canvas: &audience.canvas,
            position: audience.fanout.position(),
            now: self.tools.clock.unix(),
            token: &token,
        };
        session.greet(&greeting, reader.direct());
        if binary {
            reader.direct().extend_from_slice(&audience.everyone);
        }
        audience.join(place, binary);
        self.next_serial += 1;
        self.connections.insert(Connection {
            serial: self.next_serial,
            canvas: channel.number,
            socket,
            session,
            decoder: Decoder::new(MESSAGE_BYTES_MAX),
            reader,
            unread: sent.to_vec(),
            readable: true,
            blocked: false,
            queued: false,
            heard: self.tools.clock.now(),
            pinged: false,
            ending: Ending::No,
            leaving: "client",
            _guard: guard,
        });
        self.tools.metrics.opened.inc();
        self.tools.metrics.sockets.inc();
        self.owe(place);
        self.unfinished.push(place);
        if let Some(window) = self.draining {
            self.plan_leave(place, window);
        }
    }

    /// Forgets a connection; `reason` is what the metric says of it.
    fn remove(&mut self, place: usize, reason: &'static str) {
        let Some(mut connection) = self.connections.try_remove(place) else { return };
        if let Err(failure) = connection.socket.deregister(self.poll.registry()) {
            debug!(error = ?failure, "a socket was not registered any more");
        }
        let binary = connection.session.dialect() == Dialect::Binary;
        if let Some(audience) = self.audiences.get_mut(&connection.canvas) {
            audience.leave(place, binary, connection.reader.viewed());
            audience.channel.roster(|roster| roster.leave(connection.session.person()));
        }
        self.inbox.0.connections.fetch_sub(1, Ordering::Relaxed);
        self.tools.metrics.sockets.dec();
        self.tools.metrics.closed(reason);
    }

    /// Says goodbye: what is owed, then a close frame, then nothing more is read as a message.
    fn close(&mut self, place: usize, code: u16, sentence: &str, reason: &'static str) {
        let Some(connection) = self.connections.get_mut(place) else { return };
        if connection.ending == Ending::No {
            connection.leaving = reason;
            write_frame(connection.reader.direct(), Opcode::Close, &close_payload(code, sentence));
            self.end(place);
        }
    }

    /// A close frame is owed: wait for it to go out, and for the other end.
    fn end(&mut self, place: usize) {
        let by = self.tools.clock.now() + CLOSE_TIMEOUT;
        if let Some(connection) = self.connections.get_mut(place) {
            connection.ending = Ending::Closing { by };
            connection.unread = Vec::new();
            self.owe(place);
        }
    }

    fn drain(&mut self, window: Duration) {
        self.draining = Some(window);
        let places: Vec<usize> = self.connections.iter().map(|(place, _)| place).collect();
        for place in places {
            self.plan_leave(place, window);
        }
    }

    fn plan_leave(&mut self, place: usize, window: Duration) {
        let at = self.tools.clock.now() + window.mul_f64(self.random.random::<f64>());
        let seat = Seat { place, serial: self.connections[place].serial };
        let index = self.leaving.partition_point(|(other, _)| *other > at);
        self.leaving.insert(index, (at, seat));
    }

    fn leave(&mut self) {
        let now = self.tools.clock.now();
        while let Some((_, seat)) = self.leaving.pop_if(|(at, _)| *at <= now) {
            if self.seated(seat).is_some() {
                self.close(seat.place, close::RESTART, "the server restarts, come back", "drained");
            }
        }
    }

    fn seated(&mut self, seat: Seat) -> Option<&mut Connection> {
        self.connections.get_mut(seat.place).filter(|connection| connection.serial == seat.serial)
    }

    // ---- Reading.

    fn read(&mut self, place: usize, buffer: &mut [u8]) {
        let Some(connection) = self.connections.get_mut(place) else { return };
        if !connection.unread.is_empty() {
            let unread = std::mem::take(&mut connection.unread);
            self.receive(place, &unread);
        }
        for _ in 0..READS_PER_TURN {
            let Some(connection) = self.connections.get_mut(place) else { return };
            if !connection.readable || is_paused(connection) {
                return;
            }
            match connection.socket.read(buffer) {
                Ok(0) => {
                    let reason = connection.leaving;
                    return self.remove(place, reason);
                }
                Ok(count) => {
                    self.tools.metrics.received_bytes.inc_by(count as u64);
                    connection.heard = self.tools.clock.now();
                    connection.pinged = false;
                    if connection.ending == Ending::No {
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
        self.unfinished.push(place);
    }

    /// Takes received bytes through the connection's conversation.
    fn receive(&mut self, place: usize, bytes: &[u8]) {
        let Some(connection) = self.connections.get_mut(place) else { return };
        let Some(audience) = self.audiences.get_mut(&connection.canvas) else { return };
        let now = self.tools.clock.unix();
        let mut actions = Vec::new();
        let Connection { session, decoder, reader, .. } = connection;
        let metrics = &self.tools.metrics;
        let taken = decoder.decode(bytes, &mut |message| {
            metrics.received.inc();
            let ended_before = actions.len();
            session.receive(message, &audience.canvas, now, reader.direct(), &mut actions);
            let ended = actions[ended_before..].contains(&Action::Close);
            let lane_full = reader.direct_bytes() >= DIRECT_LANE_BYTES_MAX;
            if ended || lane_full || session.is_full() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        match taken {
            Ok(taken) if taken < bytes.len() => connection.unread = bytes[taken..].to_vec(),
            Ok(_) => {}
            Err(violation) => {
                self.act(place, actions);
                return self.close(place, violation.close_code, violation.sentence, "violation");
            }
        }
        if !connection.reader.direct().is_empty() {
            self.owe(place);
        }
        self.act(place, actions);
    }

    fn act(&mut self, place: usize, actions: Vec<Action>) {
        for action in actions {
            let Some(connection) = self.connections.get_mut(place) else { return };
            let Some(audience) = self.audiences.get_mut(&connection.canvas) else { return };
            let seat = Seat { place, serial: connection.serial };
            match action {
                Action::Submit(submission, ticket) => {
                    if !audience.gather(seat, ticket.clone(), submission) {
                        let busy = Outcome::Refused(Refusal::Busy { wait_ms: BUSY_WAIT_MS });
                        connection.session.settle(&ticket);
                        session::answer(connection.reader.direct(), &ticket, &busy, &audience.canvas);
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
                        session::json_resync(connection.reader.direct(), position);
                    }
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
                    session::answer_binary(connection.reader.direct(), &answer, &audience.canvas);
                }
                Action::Close => return self.end(place),
            }
            self.owe(place);
        }
    }

    // ---- Placing.

    /// Hands what was gathered on, one call at a time for each canvas.
    fn call(&mut self) {
        for (&canvas, audience) in &mut self.audiences {
            let Some(call) = audience.next_call() else { continue };
            let (id, inbox) = (audience.canvas.id.clone(), self.inbox.clone());
            let placer = self.tools.placer.clone();
            self.tools.runtime.spawn(async move {
                let (tickets, submissions) = split(call);
                let outcomes = placer.place(&id, submissions).await;
                let settled = tickets.into_iter().zip(outcomes);
                let settled = settled.map(|((seat, ticket), outcome)| (seat, ticket, outcome)).collect();
                inbox.send(Command::Outcomes(canvas, settled));
            });
        }
    }

    fn settle(&mut self, canvas: u32, outcomes: Vec<(Seat, Ticket, Outcome)>) {
        let deadline = self.tools.clock.now() + ACKNOWLEDGEMENT_HOLD;
        if let Some(audience) = self.audiences.get_mut(&canvas) {
            audience.calling = false;
        }
        for (seat, ticket, outcome) in outcomes {
            let Some(audience) = self.audiences.get_mut(&canvas) else { return };
            match outcome {
                Outcome::Accepted(accepted) if !audience.carries(&accepted) => {
                    audience.hold(Held { seat, ticket, accepted, deadline });
                }
                outcome => self.answer(canvas, seat, &ticket, &outcome),
            }
        }
    }

    /// Sends acknowledgements whose updates are in the logs, or that waited long enough.
    fn release(&mut self) {
        let now = self.tools.clock.now();
        let canvases: Vec<u32> = self.audiences.keys().copied().collect();
        for canvas in canvases {
            while let Some(held) = self.audiences.get_mut(&canvas).and_then(|audience| audience.release(now))
            {
                self.answer(canvas, held.seat, &held.ticket, &Outcome::Accepted(held.accepted));
            }
        }
    }

    fn answer(&mut self, canvas: u32, seat: Seat, ticket: &Ticket, outcome: &Outcome) {
        let Some(audience) = self.audiences.get(&canvas) else { return };
        let Some(connection) = self.connections.get_mut(seat.place) else { return };
        if connection.serial != seat.serial {
            return;
        }
        connection.session.settle(ticket);
        if connection.ending == Ending::No {
            session::answer(connection.reader.direct(), ticket, outcome, &audience.canvas);
        }
        self.unfinished.push(seat.place);
        self.owe(seat.place);
    }

    // ---- Telling.

    fn hear(&mut self, canvas: u32, news: News) {
        let Some(audience) = self.audiences.get_mut(&canvas) else { return };
        let effect = audience.hear(news);
        let position = audience.fanout.position();
        for place in effect.unviewed {
            if let Some(connection) = self.connections.get_mut(place) {
                connection.reader.leave_all();
            }
        }
        for place in effect.resync_json {
            if let Some(connection) = self.connections.get_mut(place) {
                self.tools.metrics.resyncs.inc();
                session::json_resync(connection.reader.direct(), position);
            }
            self.owe(place);
        }
        for place in effect.greet {
            if let (Some(connection), Some(audience)) =
                (self.connections.get_mut(place), self.audiences.get(&canvas))
            {
                let greeting =
                    Greeting { canvas: &audience.canvas, position, now: self.tools.clock.unix(), token: "" };
                connection.session.greet(&greeting, connection.reader.direct());
            }
            self.owe(place);
        }
        for place in effect.restart {
            self.close(place, close::RESTART, "the canvas was reset, come back", "reset");
        }
        for place in effect.gone {
            self.close(place, close::POLICY, "this canvas was deleted", "deleted");
        }
        for place in effect.owed {
            self.owe(place);
        }
    }

    /// Puts a connection in the line of those to write to.
    fn owe(&mut self, place: usize) {
        if let Some(connection) = self.connections.get_mut(place)
            && !connection.queued
            && !connection.blocked
        {
            connection.queued = true;
            self.owed.push(place);
        }
    }

    /// Writes to every connection in line.
    fn sweep(&mut self) {
        if self.owed.is_empty() {
            return;
        }
        self.tools.metrics.sweeps.inc();
        let mut owed = std::mem::take(&mut self.owed);
        for place in owed.drain(..) {
            self.write(place);
        }
        if self.owed.is_empty() {
            self.owed = owed;
        }
    }

    fn write(&mut self, place: usize) {
        let Some(connection) = self.connections.get_mut(place) else { return };
        connection.queued = false;
        if matches!(connection.ending, Ending::Closed { .. }) {
            return;
        }
        let Some(audience) = self.audiences.get(&connection.canvas) else { return };
        let now = self.tools.clock.unix();
        match connection.reader.skip_lost(&audience.fanout) {
            Behind::No => {}
            Behind::Lost => {
                debug!("a JSON connection fell too far behind and is closed");
                return self.fall_behind(place);
            }
            behind => {
                self.tools.metrics.resyncs.inc();
                let viewed: Vec<ChunkId> = connection.reader.viewed().collect();
                resync(connection, audience, behind, now);
                if viewed.len() > connection.reader.views() {
                    let audience = self.audiences.get_mut(&connection.canvas).expect("looked up above");
                    viewed.into_iter().for_each(|chunk| audience.unview(place, chunk));
                }
            }
        }
        let Some(audience) = self.audiences.get(&connection.canvas) else { return };
        while connection.reader.is_owed(&audience.fanout) {
            let mut slices: Vec<IoSlice<'_>> = Vec::with_capacity(WRITE_SLICES_MAX);
            connection.reader.owed(&audience.fanout, &mut slices);
            match connection.socket.write(&slices) {
                Ok(written) => {
                    self.tools.metrics.writes.inc();
                    self.tools.metrics.sent_bytes.inc_by(written as u64);
                    connection.reader.took(written, &audience.fanout);
                }
                Err(failure) if failure.kind() == io::ErrorKind::Interrupted => {}
                Err(failure) if failure.kind() == io::ErrorKind::WouldBlock => {
                    connection.blocked = true;
                    self.tools.metrics.blocked_writes.inc();
                    return;
                }
                Err(_) => return self.remove(place, "broken"),
            }
        }
        if let Ending::Closing { by } = connection.ending {
            connection.ending = Ending::Closed { by };
            connection.socket.finish_writing();
        } else if !connection.unread.is_empty() {
            self.unfinished.push(place);
        }
    }

    /// A JSON connection lost updates for good: a close frame if its socket takes one, then the end.
    fn fall_behind(&mut self, place: usize) {
        if let Some(connection) = self.connections.get_mut(place) {
            let mut frame = Vec::new();
            write_frame(
                &mut frame,
                Opcode::Close,
                &close_payload(close::TRY_AGAIN, "too far behind, come back"),
            );
            // Only where no frame is half sent may a close frame follow; else the end must do.
            if !connection.reader.is_mid_frame() {
                let _ = connection.socket.write(&[IoSlice::new(&frame)]);
            }
            connection.socket.finish_writing();
            connection.leaving = "behind";
            connection.ending = Ending::Closed { by: self.tools.clock.now() + CLOSE_TIMEOUT };
        }
    }

    // ---- Once a second.

    fn keep_house(&mut self) {
        let now = self.tools.clock.now();
        if now < self.housekeeping {
            return;
        }
        self.housekeeping = now + HOUSEKEEPING_INTERVAL;
        let ping_after = Duration::from_millis(PING_INTERVAL_MS);
        let (mut dead, mut silent, mut behind) = (Vec::new(), Vec::new(), Vec::new());
        for (place, connection) in &self.connections {
            let silence = now.saturating_duration_since(connection.heard);
            match connection.ending {
                Ending::Closing { by } | Ending::Closed { by } if by <= now => {
                    dead.push((place, connection.leaving))
                }
                Ending::No if silence >= ping_after * 2 => dead.push((place, "silent")),
                Ending::No if silence >= ping_after && !connection.pinged => silent.push(place),
                _ => {}
            }
            if connection.blocked
                && connection.ending == Ending::No
                && let Some(audience) = self.audiences.get(&connection.canvas)
                && connection.reader.is_lost(&audience.fanout)
            {
                behind.push(place);
            }
        }
        for (place, reason) in dead {
            self.remove(place, reason);
        }
        for place in behind {
            self.fall_behind(place);
        }
        for place in silent {
            let connection = &mut self.connections[place];
            connection.pinged = true;
            write_frame(connection.reader.direct(), Opcode::Ping, &[]);
            self.owe(place);
        }
    }
}

/// Whether a connection's messages must wait: too much of it is under way.
fn is_paused(connection: &Connection) -> bool {
    !connection.unread.is_empty()
        || connection.session.is_full()
        || connection.reader.direct_bytes() >= DIRECT_LANE_BYTES_MAX
}

fn split(call: Gathered) -> (Vec<(Seat, Ticket)>, Vec<Submission>) {
    call.into_iter().map(|(seat, ticket, submission)| ((seat, ticket), submission)).unzip()
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
        let viewed: Vec<ChunkId> = connection.reader.viewed().collect();
        viewed.into_iter().for_each(|chunk| audience.unview(place, chunk));
        connection.reader.leave_all();
        let all = binary::ToClient::Resync { epoch: position.epoch, chunks: Vec::new() };
        return session::answer_binary(connection.reader.direct(), &all, &audience.canvas);
    }
    if connection.reader.views() + chunks.len() > CHUNKS_SUBSCRIBED_MAX {
        return session::too_many_chunks(connection.reader.direct(), &audience.canvas);
    }
    let mut load = Vec::new();
    for &(chunk, have) in chunks {
        let have = (have > Sequence::ZERO).then_some(have);
        if let Start::Load(since) = connection.reader.view(chunk, have, &audience.fanout) {
            load.push((chunk, since));
        }
        audience.view(place, chunk);
    }
    let direct = connection.reader.direct();
    if !load.is_empty() {
        let resync = binary::ToClient::Resync { epoch: position.epoch, chunks: load };
        session::answer_binary(direct, &resync, &audience.canvas);
    }
    let progress = binary::ToClient::Progress { epoch: position.epoch, sequence: position.sequence };
    session::answer_binary(direct, &progress, &audience.canvas);
}

/// Tells a binary connection that fell behind what it must load afresh.
fn resync(connection: &mut Connection, audience: &Audience, behind: Behind, now: Timestamp) {
    let position = audience.fanout.position();
    let direct = connection.reader.direct();
    let chunks = match behind {
        Behind::Chunks(chunks) => chunks,
        _ => {
            let greeting = Greeting { canvas: &audience.canvas, position, now, token: "" };
            connection.session.greet(&greeting, direct);
            direct.extend_from_slice(&audience.everyone);
            Vec::new()
        }
    };
    let resync = binary::ToClient::Resync { epoch: position.epoch, chunks };
    session::answer_binary(direct, &resync, &audience.canvas);
}
