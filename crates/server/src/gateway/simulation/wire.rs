//! One simulated TCP connection: bytes arrive late, in pieces, in order, or not at all.

use std::collections::VecDeque;
use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use mio::event::Source;
use mio::{Interest, Registry, Token};
use rand::RngExt;
use rand::rngs::SmallRng;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::clock::Clock;
use crate::gateway::sweep::Ready;

/// Where nothing is to be waited for.
const NEVER: Duration = Duration::from_secs(3_600);

/// How a lane ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// After everything that was sent.
    Fin,
    /// Whatever is under way is lost.
    Reset,
}

/// Bytes on their way in one direction.
struct Lane {
    flight: VecDeque<(Instant, Vec<u8>)>,
    arrived: VecDeque<u8>,
    /// Sent and not read.
    bytes: usize,
    last: Instant,
    end: Option<(Instant, End)>,
    /// The end has arrived.
    ended: Option<End>,
}

impl Lane {
    fn new(now: Instant) -> Self {
        let (flight, arrived) = Default::default();
        Self { flight, arrived, bytes: 0, last: now, end: None, ended: None }
    }

    fn send(&mut self, bytes: Vec<u8>, at: Instant) {
        if self.end.is_none() {
            self.last = self.last.max(at);
            self.bytes += bytes.len();
            self.flight.push_back((self.last, bytes));
        }
    }

    fn finish(&mut self, end: End, at: Instant) {
        let at = match end {
            End::Fin => self.last.max(at),
            End::Reset => at,
        };
        if self.end.is_none_or(|(_, known)| known == End::Fin && end == End::Reset) {
            self.end = Some((at, end));
        }
    }

    /// Lets arrive what is due; whether anything did.
    fn advance(&mut self, now: Instant) -> bool {
        let before = (self.arrived.len(), self.ended);
        if let Some((at, End::Reset)) = self.end
            && at <= now
        {
            self.flight.clear();
            self.arrived.clear();
            self.bytes = 0;
            self.ended = Some(End::Reset);
        }
        while let Some((at, _)) = self.flight.front()
            && *at <= now
        {
            let (_, bytes) = self.flight.pop_front().expect("it was looked at");
            self.arrived.extend(bytes);
        }
        if let Some((at, End::Fin)) = self.end
            && at <= now
            && self.flight.is_empty()
        {
            self.ended = Some(End::Fin);
        }
        before != (self.arrived.len(), self.ended)
    }

    fn next(&self) -> Option<Instant> {
        let end = self.end.filter(|_| self.ended.is_none()).map(|(at, _)| at);
        self.flight.front().map(|(at, _)| *at).into_iter().chain(end).min()
    }

    fn take(&mut self, most: usize) -> Vec<u8> {
        let taken: Vec<u8> = self.arrived.drain(..most.min(self.arrived.len())).collect();
        self.bytes -= taken.len();
        taken
    }
}

/// What both ends share.
struct Shared {
    /// From the client to the gateway.
    up: Lane,
    /// From the gateway to the client.
    down: Lane,
    /// Bytes that may be under way or unread on the way down.
    capacity: usize,
    latency_ms: (u64, u64),
    dice: SmallRng,
    /// Nothing arrives while it is.
    held: bool,
    /// Nothing ever arrives any more, and neither end is told.
    silent: bool,
    place: Option<usize>,
    /// The gateway has closed its end.
    dropped: bool,
    readable: bool,
    closed: bool,
    blocked: bool,
    writable: bool,
}

impl Shared {
    fn arrival(&mut self, now: Instant) -> Instant {
        let (least, most) = self.latency_ms;
        now + Duration::from_millis(self.dice.random_range(least..=most))
    }

    fn is_stuck(&self) -> bool {
        self.held || self.silent
    }

    fn advance(&mut self, now: Instant) {
        if self.is_stuck() {
            return;
        }
        if self.up.advance(now) {
            self.readable = true;
            self.closed |= self.up.ended.is_some();
        }
        self.down.advance(now);
        if self.blocked && self.down.bytes < self.capacity {
            (self.blocked, self.writable) = (false, true);
        }
    }
}

/// A connection, as the network knows it.
#[derive(Clone)]
pub(super) struct Line {
    shared: Arc<Mutex<Shared>>,
    gateway: Arc<Notify>,
    client: Arc<Notify>,
}

impl Line {
    /// A connection to the process that `gateway` wakes.
    pub(super) fn new(gateway: Arc<Notify>, capacity: usize, latency_ms: (u64, u64), dice: SmallRng) -> Self {
        let now = Clock.tokio();
        let shared = Shared {
            up: Lane::new(now),
            down: Lane::new(now),
            capacity,
            latency_ms,
            dice,
            held: false,
            silent: false,
            place: None,
            dropped: false,
            readable: false,
            closed: false,
            blocked: false,
            writable: false,
        };
        Self { shared: Arc::new(Mutex::new(shared)), gateway, client: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().expect("no run goes on after a panic")
    }

    fn wake(&self) {
        self.gateway.notify_one();
        self.client.notify_one();
    }

    /// The gateway's end.
    pub(super) fn near(&self) -> Near {
        Near(self.clone())
    }

    /// What the gateway's end became ready for since it was asked last.
    pub(super) fn ready(&self, now: Instant) -> Option<Ready> {
        let mut shared = self.lock();
        shared.advance(now);
        let place = shared.place?;
        let ready = Ready {
            place,
            readable: std::mem::take(&mut shared.readable),
            read_closed: std::mem::take(&mut shared.closed),
            writable: std::mem::take(&mut shared.writable),
        };
        (ready.readable || ready.read_closed || ready.writable).then_some(ready)
    }

    /// When something arrives at the gateway next.
    pub(super) fn next_up(&self) -> Option<Instant> {
        let shared = self.lock();
        if shared.is_stuck() { None } else { shared.up.next() }
    }

    /// Whether the gateway's end is closed, or can hear nothing any more.
    pub(super) fn is_over(&self) -> bool {
        let shared = self.lock();
        shared.silent || shared.dropped
    }

    /// Breaks it: both ends hear of it.
    pub(super) fn cut(&self, end: End) {
        let now = Clock.tokio();
        let mut shared = self.lock();
        let at = shared.arrival(now);
        shared.up.finish(end, at);
        let at = shared.arrival(now);
        shared.down.finish(end, at);
        drop(shared);
        self.wake();
    }

    /// Nothing arrives until it is released.
    pub(super) fn hold(&self, held: bool) {
        self.lock().held = held;
        self.wake();
    }

    /// Nothing arrives ever again, and nobody is told.
    pub(super) fn silence(&self) {
        self.lock().silent = true;
    }

    /// The client sends bytes.
    pub(super) fn send(&self, bytes: Vec<u8>) {
        let now = Clock.tokio();
        let mut shared = self.lock();
        let at = shared.arrival(now);
        shared.up.send(bytes, at);
        drop(shared);
        self.gateway.notify_one();
    }

    /// The client waits for up to so many bytes. Safe to cancel.
    pub(super) async fn receive(&self, most: usize) -> Result<Vec<u8>, End> {
        loop {
            let now = Clock.tokio();
            let next = {
                let mut shared = self.lock();
                shared.advance(now);
                let bytes = shared.down.take(most);
                if !bytes.is_empty() {
                    shared.advance(now);
                    drop(shared);
                    self.gateway.notify_one();
                    return Ok(bytes);
                }
                if let Some(end) = shared.down.ended {
                    return Err(end);
                }
                if shared.is_stuck() { None } else { shared.down.next() }
            };
            tokio::select! {
                biased;
                () = self.client.notified() => {}
                () = sleep_until(next.unwrap_or(now + NEVER)) => {}
            }
        }
    }

    /// The client goes away.
    pub(super) fn leave(&self, end: End) {
        let now = Clock.tokio();
        let mut shared = self.lock();
        let at = shared.arrival(now);
        shared.up.finish(end, at);
        // Nobody reads what comes: it must not look like a reader that is slow.
        shared.capacity = usize::MAX;
        drop(shared);
        self.gateway.notify_one();
    }
}

/// The gateway's end of a simulated connection, in place of a socket.
pub(crate) struct Near(Line);

impl Read for Near {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut shared = self.0.lock();
        shared.advance(Clock.tokio());
        // What has arrived by now needs no event of its own.
        let bytes = shared.up.take(buffer.len());
        if !bytes.is_empty() {
            buffer[..bytes.len()].copy_from_slice(&bytes);
            return Ok(bytes.len());
        }
        match shared.up.ended {
            Some(End::Fin) => Ok(0),
            Some(End::Reset) => Err(io::ErrorKind::ConnectionReset.into()),
            None => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl Write for Near {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let now = Clock.tokio();
        let mut shared = self.0.lock();
        shared.advance(now);
        if shared.up.ended == Some(End::Reset) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let room = shared.capacity.saturating_sub(shared.down.bytes);
        if room == 0 {
            shared.blocked = true;
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).take(room).collect();
        let written = bytes.len();
        let at = shared.arrival(now);
        shared.down.send(bytes, at);
        drop(shared);
        self.0.client.notify_one();
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Near {
    /// As a socket's.
    pub(crate) fn shutdown(&self, _write: Shutdown) -> io::Result<()> {
        let now = Clock.tokio();
        let mut shared = self.0.lock();
        let at = shared.arrival(now);
        shared.down.finish(End::Fin, at);
        drop(shared);
        self.0.client.notify_one();
        Ok(())
    }
}

impl Source for Near {
    fn register(&mut self, _: &Registry, token: Token, _: Interest) -> io::Result<()> {
        self.0.lock().place = Some(token.0);
        Ok(())
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        self.register(registry, token, interest)
    }

    fn deregister(&mut self, _: &Registry) -> io::Result<()> {
        self.0.lock().place = None;
        Ok(())
    }
}

impl Drop for Near {
    fn drop(&mut self) {
        let now = Clock.tokio();
        let mut shared = self.0.lock();
        let at = shared.arrival(now);
        let end = if shared.dice.random_ratio(1, 2) { End::Fin } else { End::Reset };
        shared.down.finish(end, at);
        shared.dropped = true;
        drop(shared);
        self.0.client.notify_one();
    }
}
