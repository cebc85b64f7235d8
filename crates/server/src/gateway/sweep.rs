//! The only code that writes to gateway sockets: a thread that sweeps its own connections.
//!
//! A thread waits for sockets and for its inbox, reads what came, hands submissions on in calls,
//! and writes to each connection that is owed something, as much as its socket takes, in one
//! vectored write. It never waits for a store, and a slow socket costs it nothing but its cursor.

mod calls;
mod inbox;
mod lookups;
mod receive;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::{Events, Poll, Registry, Token, Waker};
use pixel_canvas::Timestamp;
use pixel_protocol::websocket::{Opcode, close, close_payload, write_frame};
use pixel_protocol::{PING_INTERVAL_MS, binary};
use pixel_store::Store;
use rand::RngExt;
use rand::rngs::SmallRng;
use slab::Slab;
use tracing::{debug, error};

use self::inbox::Command;
pub(super) use self::inbox::Wake;
pub(crate) use self::inbox::{Inbox, Newcomer};
use self::lookups::LookUps;
use super::audience::{Audience, Seat};
use super::connection::{Connection, Goodbye};
use super::encode::write_binary;
use super::fanout::{Behind, Bounds, Fanout, Reader};
use super::fatal::EndWithPanic;
use super::news::News;
use super::session::{self, Dialect, Greeting, Session};
use crate::clock::Clock;
use crate::identity::Identities;
use crate::placing::Placer;
use crate::telemetry::GatewayMetrics;

/// Bytes read from a socket at once; one buffer serves a whole thread.
pub(super) const READ_BUFFER_BYTES: usize = 16 << 10;
/// How long a closing connection may take to say goodbye.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// How often silent, stuck and closing connections are looked for.
const HOUSEKEEPING_INTERVAL: Duration = Duration::from_secs(1);
const INBOX: Token = Token(usize::MAX);

/// What a thread works with.
#[derive(Clone)]
pub(crate) struct Tools {
    pub(crate) placer: Placer,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) identities: Arc<Identities>,
    pub(crate) runtime: tokio::runtime::Handle,
    pub(crate) clock: Clock,
    pub(crate) metrics: GatewayMetrics,
    pub(crate) bounds: Bounds,
}

/// Starts a thread that sweeps; it lives as long as the process.
pub(crate) fn start(name: String, tools: Tools, seed: u64) -> io::Result<Inbox> {
    let poll = Poll::new()?;
    let inbox = Inbox::new(Wake::Poll(Waker::new(poll.registry(), INBOX)?));
    let sweeper = Sweeper::new(poll.registry().try_clone()?, inbox.clone(), tools, seed);
    std::thread::Builder::new().name(name).spawn(move || {
        let _end = EndWithPanic;
        sweeper.run(poll);
    })?;
    Ok(inbox)
}

/// What a socket became ready for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ready {
    /// The connection's place.
    pub(super) place: usize,
    pub(super) readable: bool,
    /// Nothing comes after what can be read.
    pub(super) read_closed: bool,
    pub(super) writable: bool,
}

impl From<&Event> for Ready {
    fn from(event: &Event) -> Self {
        Self {
            place: event.token().0,
            readable: event.is_readable(),
            read_closed: event.is_read_closed() || event.is_error(),
            writable: event.is_writable(),
        }
    }
}

/// A thread's connections, and all that it does for them. It waits for nothing: [`Sweeper::run`] does.
pub(super) struct Sweeper {
    registry: Registry,
    inbox: Inbox,
    connections: Slab<Connection>,
    audiences: BTreeMap<u32, Audience>,
    /// Canvases with submissions or acknowledgements that wait, so that the others cost nothing.
    waiting: BTreeSet<u32>,
    /// Pixels that connections want to know more of.
    lookups: LookUps,
    /// Connections to write to, each once.
    owed: Vec<usize>,
    began: Instant,
    /// When the oldest change was heard of that the next sweep sends.
    heard: Option<Instant>,
    /// Connections with more to read than their turn allowed, or that may read again, each once.
    unfinished: Vec<usize>,
    draining: Option<Duration>,
    /// When each connection is closed while draining.
    leaving: BinaryHeap<Reverse<(Instant, Seat)>>,
    random: SmallRng,
    next_serial: u64,
    housekeeping: Instant,
    tools: Tools,
}

impl Sweeper {
    pub(super) fn new(registry: Registry, inbox: Inbox, tools: Tools, seed: u64) -> Self {
        Self {
            registry,
            inbox,
            connections: Slab::new(),
            audiences: BTreeMap::new(),
            waiting: BTreeSet::new(),
            lookups: LookUps::default(),
            owed: Vec::new(),
            began: tools.clock.now(),
            heard: None,
            unfinished: Vec::new(),
            draining: None,
            leaving: BinaryHeap::new(),
            random: rand::SeedableRng::seed_from_u64(seed),
            next_serial: 0,
            housekeeping: tools.clock.now(),
            tools,
        }
    }

    fn run(mut self, mut poll: Poll) {
        let mut events = Events::with_capacity(1024);
        let mut buffer = vec![0; READ_BUFFER_BYTES];
        loop {
            let timeout = self.timeout();
            match poll.poll(&mut events, Some(timeout)) {
                Ok(()) => {}
                Err(failure) if failure.kind() == io::ErrorKind::Interrupted => continue,
                Err(failure) => {
                    error!(error = ?failure, "a gateway thread cannot wait for its sockets");
                    std::thread::sleep(HOUSEKEEPING_INTERVAL);
                    continue;
                }
            }
            let ready = events.iter().filter(|event| event.token() != INBOX).map(Ready::from);
            self.turn(ready, &mut buffer);
        }
    }

    /// Since the thread began.
    fn seconds(&self) -> u32 {
        self.tools.clock.now().duration_since(self.began).as_secs() as u32
    }

    /// Does all that there is to do now; `buffer` is what sockets are read into.
    pub(super) fn turn(&mut self, ready: impl Iterator<Item = Ready>, buffer: &mut [u8]) {
        self.take_commands();
        for Ready { place, readable, read_closed, writable } in ready {
            let Some(connection) = self.connections.get_mut(place) else { continue };
            if writable && connection.blocked {
                connection.blocked = false;
                self.owe(place);
            }
            if readable || read_closed {
                if let Some(connection) = self.connections.get_mut(place) {
                    connection.readable = true;
                    connection.read_closed |= read_closed;
                }
                self.read(place, buffer);
            }
        }
        for place in std::mem::take(&mut self.unfinished) {
            if let Some(connection) = self.connections.get_mut(place) {
                connection.unfinished = false;
            }
            self.read(place, buffer);
        }
        self.call();
        self.look_up();
        self.release();
        self.leave();
        self.keep_house();
        self.sweep();
    }

    /// How long the next turn may be waited for, should nothing happen meanwhile.
    pub(super) fn timeout(&self) -> Duration {
        if !self.unfinished.is_empty() || !self.owed.is_empty() {
            return Duration::ZERO;
        }
        let now = self.tools.clock.now();
        let waiting = self.waiting.iter().filter_map(|canvas| self.audiences.get(canvas));
        let holds = waiting.filter_map(Audience::hold_deadline);
        let leaving = self.leaving.peek().map(|Reverse((at, _))| *at);
        let next = holds.chain(leaving).chain([self.housekeeping]).min().unwrap_or(self.housekeeping);
        next.saturating_duration_since(now)
    }

    fn take_commands(&mut self) {
        for command in self.inbox.take() {
            match command {
                Command::Open(channel, started) => {
                    let number = channel.number;
                    let fanout = Fanout::bounded(self.tools.bounds, started);
                    self.audiences.insert(number, Audience::new(channel, fanout));
                }
                Command::Close(canvas) => drop(self.audiences.remove(&canvas)),
                Command::Adopt(newcomer) => self.adopt(*newcomer),
                Command::News(canvas, news) => self.hear(canvas, news),
                Command::Outcomes(canvas, outcomes) => self.settle(canvas, outcomes),
                Command::LookedUp(found) => self.tell_painters(found),
                Command::Drain(window) => self.drain(window),
            }
        }
    }

    // ---- Connections come and go.

    fn adopt(&mut self, newcomer: Newcomer) {
        let Newcomer { mut socket, mut opening, sent, dialect, author, token, channel, guard } = newcomer;
        let Some(audience) = self.audiences.get_mut(&channel.number).filter(|audience| !audience.deleted)
        else {
            debug!("a new connection came just when its canvas was deleted");
            self.inbox.dropped();
            return;
        };
        let place = self.connections.vacant_key();
        if let Err(failure) = socket.register(&self.registry, Token(place)) {
            debug!(error = ?failure, "a new connection went away at once");
            self.inbox.dropped();
            return;
        }
        let binary = dialect == Dialect::Binary;
        let session = Session::new(dialect, author, channel.roster(super::presence::Roster::join));
        let mut reader = Reader::new(binary, &audience.fanout);
        let greeting = Greeting {
            canvas: &audience.canvas,
            position: audience.fanout.position(),
            now: self.tools.clock.unix(),
            token: &token,
            stale: audience.stale,
        };
        session.greet(&greeting, &mut opening);
        if binary {
            opening.extend_from_slice(&audience.everyone);
        }
        // What the logs get before the first write must not overtake it.
        reader.begin_with(opening.into());
        audience.join(place, binary);
        self.next_serial += 1;
        let (serial, heard_s) = (self.next_serial, self.seconds());
        let mut connection = Connection::new(serial, channel.number, socket, session, reader, heard_s, guard);
        connection.keep_unread(&sent);
        self.connections.insert(connection);
        self.tools.metrics.opened.inc();
        self.tools.metrics.sockets.inc();
        self.owe(place);
        if !sent.is_empty() {
            self.read_on(place);
        }
        if let Some(window) = self.draining {
            self.plan_leave(place, window);
        }
    }

    /// Forgets a connection; `reason` is what the metric says of it.
    fn remove(&mut self, place: usize, reason: &'static str) {
        let Some(mut connection) = self.connections.try_remove(place) else { return };
        if let Err(failure) = connection.socket.deregister(&self.registry) {
            debug!(error = ?failure, "a socket was not registered any more");
        }
        let binary = connection.session.dialect() == Dialect::Binary;
        if let Some(audience) = self.audiences.get_mut(&connection.canvas) {
            audience.leave(place, binary, connection.reader.viewed());
            audience.channel.roster(|roster| roster.leave(connection.session.person()));
        }
        self.forget_deserted(connection.canvas);
        self.inbox.dropped();
        self.tools.metrics.sockets.dec();
        self.tools.metrics.closed(reason);
    }

    /// Forgets a deleted canvas when its last connection is gone.
    fn forget_deserted(&mut self, canvas: u32) {
        if self.audiences.get(&canvas).is_some_and(|audience| audience.deleted && audience.is_empty()) {
            self.audiences.remove(&canvas);
        }
    }

    /// Says goodbye: what is owed, then a close frame, then nothing more is read as a message.
    fn close(&mut self, place: usize, code: u16, sentence: &str, reason: &'static str) {
        let Some(connection) = self.connections.get_mut(place) else { return };
        if connection.goodbye().is_none() {
            write_frame(connection.reader.direct(), Opcode::Close, &close_payload(code, sentence));
            self.end(place, reason);
        }
    }

    /// A close frame is owed: wait for it to go out, and for the other end.
    fn end(&mut self, place: usize, reason: &'static str) {
        let by = self.tools.clock.now() + CLOSE_TIMEOUT;
        if let Some(connection) = self.connections.get_mut(place) {
            connection.begin_goodbye(Goodbye { by, reason, sent: false });
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
        self.leaving.push(Reverse((at, seat)));
    }

    fn leave(&mut self) {
        let now = self.tools.clock.now();
        while let Some(&Reverse((at, seat))) = self.leaving.peek()
            && at <= now
        {
            self.leaving.pop();
            if self.seated(seat).is_some() {
                self.close(seat.place, close::RESTART, "the server restarts, come back", "drained");
            }
        }
    }

    fn seated(&mut self, seat: Seat) -> Option<&mut Connection> {
        self.connections.get_mut(seat.place).filter(|connection| connection.serial == seat.serial)
    }

    // ---- Telling.

    fn hear(&mut self, canvas: u32, news: News) {
        let Some(audience) = self.audiences.get_mut(&canvas) else { return };
        if let News::Painted { heard, .. } = &news {
            self.heard = self.heard.or(Some(*heard));
        }
        let effect = audience.hear(news);
        let position = audience.fanout.position();
        for place in effect.unviewed {
            if let Some(connection) = self.connections.get_mut(place) {
                // The audience forgot its viewers by itself.
                drop(connection.reader.leave_all());
            }
        }
        self.tools.metrics.resyncs.inc_by(effect.resyncs as u64);
        for place in effect.greet {
            if let (Some(connection), Some(audience)) =
                (self.connections.get_mut(place), self.audiences.get(&canvas))
            {
                let greeting = Greeting {
                    canvas: &audience.canvas,
                    position,
                    now: self.tools.clock.unix(),
                    token: "",
                    stale: audience.stale,
                };
                connection.session.greet(&greeting, connection.reader.direct());
            }
            self.owe(place);
        }
        for place in effect.stale_json {
            if let Some(connection) = self.connections.get_mut(place) {
                session::json_stale(connection.reader.direct());
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
        self.forget_deserted(canvas);
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

    /// Puts a connection in the line of those to read from, though no event says so.
    fn read_on(&mut self, place: usize) {
        if let Some(connection) = self.connections.get_mut(place)
            && !connection.unfinished
        {
            connection.unfinished = true;
            self.unfinished.push(place);
        }
    }

    /// Writes to every connection in line.
    fn sweep(&mut self) {
        let heard = self.heard.take();
        if self.owed.is_empty() {
            return;
        }
        self.tools.metrics.sweeps.inc();
        let mut owed = std::mem::take(&mut self.owed);
        // In the order in which they lie in memory.
        owed.sort_unstable();
        for place in owed.drain(..) {
            self.write(place);
        }
        if self.owed.is_empty() {
            self.owed = owed;
        }
        if let Some(heard) = heard {
            let took = self.tools.clock.now().saturating_duration_since(heard);
            self.tools.metrics.fanout_seconds.observe(took.as_secs_f64());
        }
    }

    fn write(&mut self, place: usize) {
        let Some(connection) = self.connections.get_mut(place) else { return };
        connection.queued = false;
        if connection.goodbye().is_some_and(|goodbye| goodbye.sent) {
            return;
        }
        let Some(audience) = self.audiences.get_mut(&connection.canvas) else { return };
        match connection.reader.skip_lost(&audience.fanout) {
            Behind::No => {}
            Behind::Lost => {
                debug!("a JSON connection fell too far behind and is closed");
                return self.fall_behind(place);
            }
            behind => {
                self.tools.metrics.resyncs.inc();
                if let Behind::Everything(viewed) = &behind {
                    viewed.iter().for_each(|chunk| audience.unview(place, *chunk));
                }
                resync(connection, audience, behind, self.tools.clock.unix());
            }
        }
        loop {
            let (bytes, more, written) = {
                let owed = connection.reader.owed(&audience.fanout);
                if owed.slices.is_empty() {
                    break;
                }
                (owed.bytes(), owed.more, connection.socket.write(&owed.slices))
            };
            match written {
                Ok(written) => {
                    self.tools.metrics.writes.inc();
                    self.tools.metrics.sent_bytes.inc_by(written as u64);
                    connection.reader.took(written, &audience.fanout);
                    if written == bytes && !more {
                        break;
                    }
                }
                Err(failure) if failure.kind() == io::ErrorKind::Interrupted => {}
                Err(failure) if failure.kind() == io::ErrorKind::WouldBlock => {
                    connection.blocked = true;
                    self.tools.metrics.blocked_writes.inc();
                    // Nearly none ever is: the others are spared an event for being ready to write.
                    if connection.socket.register_writes(&self.registry, Token(place)).is_err() {
                        self.remove(place, "broken");
                    }
                    return;
                }
                Err(_) => return self.remove(place, "broken"),
            }
        }
        if let Some(goodbye) = connection.goodbye_mut() {
            goodbye.sent = true;
            connection.socket.finish_writing();
        } else if connection.readable || connection.has_unread() {
            // Reading paused while the lane was full; no event would come for what is here already.
            self.read_on(place);
        }
    }

    /// A JSON connection lost updates for good: the rest of what is half sent, a close frame, the end.
    fn fall_behind(&mut self, place: usize) {
        if let Some(connection) = self.connections.get_mut(place)
            && connection.goodbye().is_none()
        {
            let mut frame = Vec::new();
            let goodbye = close_payload(close::TRY_AGAIN, "too far behind, come back");
            write_frame(&mut frame, Opcode::Close, &goodbye);
            connection.reader.end_with(frame.into());
            self.end(place, "behind");
        }
    }

    // ---- Once a second.

    fn keep_house(&mut self) {
        let now = self.tools.clock.now();
        if now < self.housekeeping {
            return;
        }
        self.housekeeping = now + HOUSEKEEPING_INTERVAL;
        let now_s = self.seconds();
        // The threads share the frames, so each of them counts the same.
        let log_bytes: usize = self.audiences.values().map(|audience| audience.fanout.bytes()).sum();
        self.tools.metrics.log_bytes.set(i64::try_from(log_bytes).unwrap_or(i64::MAX));
        let ping_after = Duration::from_millis(PING_INTERVAL_MS);
        let (mut dead, mut silent, mut behind) = (Vec::new(), Vec::new(), Vec::new());
        for (place, connection) in &self.connections {
            let silence = Duration::from_secs(now_s.saturating_sub(connection.heard_s).into());
            match connection.goodbye() {
                Some(goodbye) if goodbye.by <= now => dead.push((place, goodbye.reason)),
                // It is not read while its placements wait for the store: that is no silence of its own.
                None if connection.session.is_full() => {}
                None if silence >= ping_after * 2 => dead.push((place, "silent")),
                None if silence >= ping_after && !connection.pinged => silent.push(place),
                _ => {}
            }
            if connection.blocked
                && connection.goodbye().is_none()
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

/// Tells a binary connection that fell behind what it must load afresh.
fn resync(connection: &mut Connection, audience: &Audience, behind: Behind, now: Timestamp) {
    let position = audience.fanout.position();
    let mut frames = Vec::new();
    let chunks = match behind {
        Behind::Chunks(chunks) => chunks,
        _ => {
            let stale = audience.stale;
            let greeting = Greeting { canvas: &audience.canvas, position, now, token: "", stale };
            connection.session.greet(&greeting, &mut frames);
            frames.extend_from_slice(&audience.everyone);
            Vec::new()
        }
    };
    let resync = binary::ToClient::Resync { epoch: position.epoch, chunks };
    write_binary(&mut frames, &resync, &audience.canvas);
    connection.reader.put_ahead(frames);
}
