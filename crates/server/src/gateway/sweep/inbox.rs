//! The way to tell a sweeping thread something; never waits.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use mio::Waker;
use pixel_canvas::Author;
use pixel_store::{Outcome, Position};
use tracing::error;

use crate::address::AddressGuard;
use crate::gateway::audience::Seat;
use crate::gateway::broadcast::{Channel, News};
use crate::gateway::connection::Socket;
use crate::gateway::session::{Dialect, Ticket};

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
pub(super) enum Command {
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
    /// The inbox of a thread that this waker wakes.
    pub(super) fn new(waker: Waker) -> Self {
        Self(Arc::new(Shared { commands: Mutex::default(), waker, connections: AtomicUsize::new(0) }))
    }

    pub(super) fn send(&self, command: Command) {
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

    /// Everything told since the last time.
    pub(super) fn take(&self) -> Vec<Command> {
        std::mem::take(&mut *self.0.commands.lock().unwrap_or_else(PoisonError::into_inner))
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
