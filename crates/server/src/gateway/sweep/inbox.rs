//! The way to tell a sweeping thread something; never waits.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use mio::Waker;
use pixel_canvas::Author;
use pixel_store::{Outcome, Pixel, Position};
use tracing::error;

use super::lookups::LookUp;
use crate::address::AddressGuard;
use crate::gateway::audience::Seat;
use crate::gateway::channel::Channel;
use crate::gateway::connection::Socket;
use crate::gateway::news::News;
use crate::gateway::session::{Dialect, Ticket};

/// A connection that was just upgraded.
pub(crate) struct Newcomer {
    pub(crate) socket: Socket,
    /// What it is owed before the greeting: the answer to its request, where that is not out yet.
    pub(crate) opening: Vec<u8>,
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
pub(super) enum Command {
    Adopt(Box<Newcomer>),
    News(u32, News),
    Open(Arc<Channel>, Position),
    Close(u32),
    Outcomes(u32, Vec<(Seat, Ticket, Outcome)>),
    LookedUp(Vec<(LookUp, Option<Pixel>)>),
    Drain(Duration),
}

/// The way to tell a thread something; never waits.
#[derive(Clone)]
pub(crate) struct Inbox(Arc<Shared>);

struct Shared {
    waiting: Mutex<Waiting>,
    wake: Wake,
    connections: AtomicUsize,
}

/// What wakes the thread.
pub(in crate::gateway) enum Wake {
    Poll(Waker),
    #[cfg(test)]
    Simulated(Arc<tokio::sync::Notify>),
}

impl Wake {
    fn wake(&self) -> io::Result<()> {
        match self {
            Self::Poll(waker) => waker.wake(),
            #[cfg(test)]
            Self::Simulated(notify) => {
                notify.notify_one();
                Ok(())
            }
        }
    }
}

/// What the thread has not taken yet. Connections are bounded by their address', outcomes by one
/// call a canvas, pixels looked up by one batch, and news by who tells them: see [`Inbox::news_bytes`].
#[derive(Default)]
struct Waiting {
    commands: Vec<Command>,
    news_bytes: usize,
}

impl Inbox {
    /// The inbox of a thread that this wakes.
    pub(in crate::gateway) fn new(wake: Wake) -> Self {
        Self(Arc::new(Shared { waiting: Mutex::default(), wake, connections: AtomicUsize::new(0) }))
    }

    pub(super) fn send(&self, command: Command) {
        let mut waiting = self.waiting();
        let was_empty = waiting.commands.is_empty();
        if let Command::News(_, news) = &command {
            waiting.news_bytes += news.bytes();
        }
        waiting.commands.push(command);
        drop(waiting);
        if was_empty && let Err(failure) = self.0.wake.wake() {
            error!(error = ?failure, "cannot wake a gateway thread");
        }
    }

    /// A canvas that this thread will hear news of.
    pub(crate) fn open(&self, channel: Arc<Channel>, started: Position) {
        self.send(Command::Open(channel, started));
    }

    /// A canvas that nobody is at, and whose news end.
    pub(crate) fn close(&self, canvas: u32) {
        self.send(Command::Close(canvas));
    }

    pub(crate) fn tell(&self, canvas: u32, news: News) {
        self.send(Command::News(canvas, news));
    }

    pub(crate) fn adopt(&self, newcomer: Newcomer) {
        self.0.connections.fetch_add(1, Ordering::Relaxed);
        self.send(Command::Adopt(Box::new(newcomer)));
    }

    /// Bytes of news that the thread has not taken yet.
    pub(crate) fn news_bytes(&self) -> usize {
        self.waiting().news_bytes
    }

    /// Closes every connection with 1012 at a random moment of the window.
    pub(crate) fn drain(&self, window: Duration) {
        self.send(Command::Drain(window));
    }

    /// Everything told since the last time.
    pub(super) fn take(&self) -> Vec<Command> {
        std::mem::take(&mut *self.waiting()).commands
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection that was adopted is gone.
    pub(super) fn dropped(&self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }

    /// Connections of this thread, those on their way to it included.
    pub(crate) fn connections(&self) -> usize {
        self.0.connections.load(Ordering::Relaxed)
    }
}
