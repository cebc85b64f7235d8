//! One canvas' place in the gateway: what upgrades need, and what its broadcast fills.

use std::sync::{Arc, Mutex, PoisonError};

use pixel_canvas::Canvas;
use tokio::sync::{Notify, watch};

use super::presence::Roster;

/// One canvas' place in the gateway: what upgrades need and what the broadcast fills.
pub(crate) struct Channel {
    /// The gateway's own number for it.
    pub(crate) number: u32,
    /// Name, size, rules; changes when the host amends it.
    pub(crate) canvas: watch::Receiver<Arc<Canvas>>,
    /// Whether every thread has the logs.
    pub(crate) ready: watch::Receiver<bool>,
    pub(crate) roster: Mutex<Roster>,
    pub(crate) roster_changed: Notify,
}

impl Channel {
    /// Changes who is here.
    pub(crate) fn roster<T>(&self, change: impl FnOnce(&mut Roster) -> T) -> T {
        let answer = self.roster_quietly(change);
        self.roster_changed.notify_one();
        answer
    }

    /// Looks at who is here; nobody is told of it.
    pub(crate) fn roster_quietly<T>(&self, look: impl FnOnce(&mut Roster) -> T) -> T {
        look(&mut self.roster.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
