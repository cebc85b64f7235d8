//! Clients on one thread: they connect, place, and read whatever comes into one shared buffer.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use pixel_canvas::{Epoch, Sequence};
use socket2::{Domain, Socket, Type};

use crate::clock::now_ns;
use crate::ledger::Ledger;
use crate::secure;
use crate::wire::{self, Dialect, Ground, Heard, NARROW};

/// Its segments are those of a network: the loopback's of 64 KiB would have the sender keep megabytes for it.
const SILENT_SEGMENT_BYTES: u32 = 1_460;
/// Sockets in the middle of their handshake: fewer than the shortest queue, of 128, of who listens.
const HANDSHAKES_MAX: usize = 100;
/// Sources on the loopback, so that ports do not run out: 127.0.0.2 and on.
const SOURCES: usize = 8;
/// What one read takes at most.
const READ_BYTES_MAX: usize = 1 << 20;
/// Events taken at a time.
const EVENTS_MAX: usize = 1_024;
/// Events after which a paced sender looks whether it is time.
const EVENTS_PER_LOOK: usize = 16;
/// How long a crowd may take to come together.
const PATIENCE_NS: u64 = 120_000_000_000;
/// What did not come while nothing came for so long is lost.
const SILENCE_NS: u64 = 10_000_000_000;
/// `connect` goes on in the background.
const EINPROGRESS: i32 = 115;
/// What a silent reader's socket takes in before it is full.
const SILENT_BUFFER_BYTES: usize = 4_096;

/// What a crowd does with its placements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Load {
    /// So many each second, whatever comes back.
    Paced(f64),
    /// So many are under way at any time: the next goes out when its sender has read the one before.
    Window(usize),
}

/// How a crowd is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) address: SocketAddr,
    /// Whether clients speak TLS.
    pub(crate) tls: bool,
    pub(crate) dialect: Dialect,
    /// Where the clients are, each at one chunk; they take the chunks in turn.
    pub(crate) ground: Ground,
    pub(crate) clients: usize,
    /// The first of the clients place.
    pub(crate) senders: usize,
    /// The last of the clients never read once the work begins.
    pub(crate) silent: usize,
    /// Of so many placements one has its latency taken.
    pub(crate) stride: usize,
    /// Where binary clients were before, to go on from there.
    pub(crate) resume: Option<(Epoch, Sequence)>,
}

impl Plan {
    /// So many clients at one chunk, of whom the first places and all read.
    pub(crate) fn new(address: SocketAddr, dialect: Dialect, clients: usize) -> Self {
        Self {
            address,
            tls: false,
            dialect,
            ground: NARROW,
            clients,
            senders: 1,
            silent: 0,
            stride: 1,
            resume: None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Upgrading,
    Greeted,
    Ready,
}

struct Member {
    stream: secure::Socket,
    phase: Phase,
    /// The beginning of a message whose rest is still to come.
    partial: Vec<u8>,
    /// What the socket did not take yet.
    outgoing: Vec<u8>,
    /// Which of the chunks it views.
    chunk: usize,
    /// Where it is in the chunk's stream of updates.
    place: usize,
    in_flight: usize,
}

/// Clients that are connected.
pub(crate) struct Crowd {
    plan: Plan,
    poll: Poll,
    events: Events,
    members: Vec<Member>,
    ready: usize,
    buffer: Vec<u8>,
    pub(crate) ledger: Ledger,
    /// What the first greeting told of the canvas.
    pub(crate) greeted_at: Option<(Epoch, Sequence)>,
    measured: bool,
    /// When the next paced placement is due, and by whom.
    due_ns: f64,
    next_sender: usize,
}

impl Crowd {
    /// Connects everybody and waits until the server has greeted all.
    pub(crate) fn gather(plan: Plan) -> Result<Self> {
        Self::gather_with(plan, Ledger::new(plan.dialect, plan.ground, plan.stride)?)
    }

    /// The same, with the book of those who were there before: everybody has to get what is in it.
    pub(crate) fn gather_with(plan: Plan, ledger: Ledger) -> Result<Self> {
        let mut crowd = Self {
            plan,
            poll: Poll::new()?,
            events: Events::with_capacity(EVENTS_MAX),
            members: Vec::with_capacity(plan.clients),
            ready: 0,
            buffer: vec![0; READ_BYTES_MAX],
            ledger,
            greeted_at: None,
            measured: false,
            due_ns: 0.0,
            next_sender: 0,
        };
        let deadline = now_ns() + PATIENCE_NS;
        while crowd.ready < plan.clients {
            while crowd.members.len() < plan.clients && crowd.members.len() - crowd.ready < HANDSHAKES_MAX {
                crowd.connect()?;
            }
            ensure!(now_ns() < deadline, "{} of {} clients were greeted in time", crowd.ready, plan.clients);
            crowd.turn(Duration::from_millis(100), None)?;
        }
        Ok(crowd)
    }

    fn connect(&mut self) -> Result<()> {
        let place = self.members.len();
        let mut stream = connect(self.plan.address, place, self.is_silent(place))?;
        self.poll.registry().register(&mut stream, Token(place), Interest::READABLE | Interest::WRITABLE)?;
        let stream = secure::Socket::new(stream, self.plan.tls)?;
        let Plan { address, dialect, ground, .. } = self.plan;
        let outgoing = wire::upgrade(dialect, ground.canvas, &address.to_string());
        let phase = if outgoing.is_empty() { Phase::Greeted } else { Phase::Upgrading };
        let chunk = ground.viewed(place);
        self.members.push(Member {
            stream,
            phase,
            partial: Vec::new(),
            outgoing,
            chunk,
            place: 0,
            in_flight: 0,
        });
        Ok(())
    }

    fn is_silent(&self, place: usize) -> bool {
        place >= self.plan.clients - self.plan.silent
    }

    /// Places under this load for so long, and reads what comes.
    pub(crate) fn drive(&mut self, load: Load, time: Duration, measured: bool) -> Result<()> {
        self.measured = measured;
        let start = now_ns();
        let end = start + time.as_nanos() as u64;
        if let Load::Window(placements) = load {
            let each = (placements / self.plan.senders).max(1);
            for place in 0..self.plan.senders {
                for _ in self.members[place].in_flight..each {
                    self.place(place)?;
                }
                self.flush(place)?;
            }
        }
        self.due_ns = self.due_ns.max(start as f64);
        loop {
            let now = now_ns();
            if now >= end {
                return Ok(());
            }
            let wake = self.place_due(load, end)?;
            // Rounded down, since the kernel rounds up: the rest is spent looking.
            self.turn(Duration::from_millis(wake.saturating_sub(now) / 1_000_000), Some(load))?;
        }
    }

    /// Reads until everybody has everything that was sent.
    pub(crate) fn settle(&mut self) -> Result<()> {
        let (mut had, mut deadline) = (self.ledger.deliveries, now_ns() + SILENCE_NS);
        let readers = self.plan.clients - self.plan.silent;
        while !self.members[..readers].iter().all(|member| self.ledger.is_whole(member.chunk, member.place)) {
            if now_ns() > deadline {
                break;
            }
            self.turn(Duration::from_millis(20), None)?;
            if self.ledger.deliveries > had {
                (had, deadline) = (self.ledger.deliveries, now_ns() + SILENCE_NS);
            }
        }
        let missing: u64 = self.members[..readers]
            .iter()
            .map(|member| self.ledger.missing(member.chunk, member.place))
            .sum();
        self.ledger.faults.missing += missing;
        Ok(())
    }

    /// Reads for so long, without placing.
    pub(crate) fn idle(&mut self, time: Duration) -> Result<()> {
        let end = now_ns() + time.as_nanos() as u64;
        while now_ns() < end {
            self.turn(Duration::from_millis(20), None)?;
        }
        Ok(())
    }

    /// Sends what is due by now; says when the next will be.
    fn place_due(&mut self, load: Load, end: u64) -> Result<u64> {
        let Load::Paced(per_second) = load else { return Ok(end) };
        while self.due_ns <= now_ns() as f64 {
            let place = self.next_sender;
            self.next_sender = (place + 1) % self.plan.senders;
            self.place(place)?;
            self.flush(place)?;
            self.due_ns += 1e9 / per_second;
        }
        Ok(end.min(self.due_ns as u64))
    }

    fn place(&mut self, place: usize) -> Result<()> {
        let member = &mut self.members[place];
        let chunk = self.plan.ground.painted(place);
        let pixel = self.ledger.send(place as u32, chunk, now_ns(), self.measured)?;
        member.in_flight += 1;
        wire::place(self.plan.dialect, pixel, &mut member.outgoing);
        Ok(())
    }

    /// One look at the sockets. Under a load of a window, what came back is followed by the next.
    fn turn(&mut self, timeout: Duration, load: Option<Load>) -> Result<()> {
        let mut events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        let polled = self.poll.poll(&mut events, Some(timeout));
        match polled {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error.into()),
            _ => {}
        }
        for (index, event) in events.iter().enumerate() {
            let place = event.token().0;
            if event.is_writable() {
                self.flush(place)?;
            }
            if event.is_readable() && !(self.is_silent(place) && self.ready == self.plan.clients) {
                self.read(place, load)?;
            }
            if let Some(load @ Load::Paced(_)) = load
                && index % EVENTS_PER_LOOK == 0
            {
                self.place_due(load, u64::MAX)?;
            }
        }
        self.events = events;
        Ok(())
    }

    fn flush(&mut self, place: usize) -> Result<()> {
        let member = &mut self.members[place];
        while !member.outgoing.is_empty() {
            match member.stream.write(&member.outgoing) {
                Ok(written) => drop(member.outgoing.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::NotConnected => return Ok(()),
                Err(error) => return Err(error).with_context(|| format!("client {place} writes")),
            }
        }
        // What the handshake took is not needed again: there are many members.
        if place >= self.plan.senders {
            member.outgoing.shrink_to_fit();
        }
        Ok(())
    }

    /// Reads all that is there.
    fn read(&mut self, place: usize, load: Option<Load>) -> Result<()> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut done = false;
        while !done {
            let member = &mut self.members[place];
            let kept = member.partial.len();
            buffer[..kept].copy_from_slice(&member.partial);
            match member.stream.read(&mut buffer[kept..]) {
                Ok(0) => bail!("the server closed client {place}"),
                Ok(read) => {
                    done = kept + read < buffer.len() && member.stream.short_read_is_last();
                    let taken = self.take(place, &buffer[..kept + read])?;
                    let partial = &mut self.members[place].partial;
                    partial.clear();
                    partial.extend_from_slice(&buffer[taken..kept + read]);
                    if partial.is_empty() && partial.capacity() > 0 {
                        *partial = Vec::new();
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => done = true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error).with_context(|| format!("client {place} reads")),
            }
        }
        self.buffer = buffer;
        if let Some(Load::Window(placements)) = load
            && place < self.plan.senders
        {
            let each = (placements / self.plan.senders).max(1);
            for _ in self.members[place].in_flight..each {
                self.place(place)?;
            }
        }
        self.flush(place)
    }

    /// Takes whole messages in; says how many bytes they were.
    fn take(&mut self, place: usize, bytes: &[u8]) -> Result<usize> {
        let now = now_ns();
        let dialect = self.plan.dialect;
        let sender = (place < self.plan.senders).then_some(place as u32);
        let mut at = 0;
        if self.members[place].phase == Phase::Upgrading {
            let Some(head) = wire::upgraded(bytes)? else { return Ok(0) };
            self.members[place].phase = Phase::Greeted;
            at = head;
        }
        while let Some((heard, length)) =
            wire::hear(dialect, &bytes[at..]).with_context(|| format!("client {place} hears"))?
        {
            at += length;
            let member = &mut self.members[place];
            match heard {
                Heard::Update(payload) => {
                    let own = self.ledger.receive(member.chunk, member.place, payload, now, sender)?;
                    member.place += 1;
                    member.in_flight = member.in_flight.saturating_sub(own);
                }
                Heard::Greeting(epoch, sequence) if dialect == Dialect::Binary => {
                    self.greeted_at.get_or_insert((epoch, sequence));
                    let (epoch, have) = self.plan.resume.unwrap_or((epoch, sequence));
                    wire::subscribe(self.ledger.chunk(member.chunk), epoch, have, &mut member.outgoing);
                }
                Heard::Greeting(..) | Heard::Subscribed => {
                    if std::mem::replace(&mut member.phase, Phase::Ready) != Phase::Ready {
                        self.ready += 1;
                    }
                }
                Heard::LoadAfresh => {
                    ensure!(self.ledger.sent() == 0, "client {place} was told to load afresh");
                }
                Heard::Ping(payload) => wire::pong(payload, &mut member.outgoing),
                Heard::Other => {}
            }
        }
        Ok(at)
    }
}

/// Begins a connection from the source that this place has; one that soon is full, where nobody will read.
pub(crate) fn connect(address: SocketAddr, place: usize, silent: bool) -> Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).context("open a socket")?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    // It leaves no port waiting behind it, among which the next crowd would have to look for free ones.
    socket.set_linger(Some(Duration::ZERO))?;
    if silent {
        socket.set_recv_buffer_size(SILENT_BUFFER_BYTES)?;
        socket.set_tcp_mss(SILENT_SEGMENT_BYTES)?;
    }
    let source = Ipv4Addr::new(127, 0, 0, 2 + (place % SOURCES) as u8);
    socket.bind(&SocketAddr::from((source, 0)).into())?;
    match socket.connect(&address.into()) {
        Ok(()) => {}
        // The kernel is at it.
        Err(error) if error.raw_os_error() == Some(EINPROGRESS) => {}
        Err(error) => return Err(error).context("connect"),
    }
    Ok(TcpStream::from_std(socket.into()))
}
