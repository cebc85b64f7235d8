//! What the writer shows and the readers see.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use pixel_canvas::CanvasId;
use redb::Database;
use tokio::sync::watch;

use super::figures::Counters;
use super::folder::Held;
use super::picture::Picture;
use crate::{Condition, Trouble};

// std RwLocks: never held across .await, and no holder panics.
const UNPOISONED: &str = "no holder of this lock panics";

/// Everything that readers share with the writer.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) database: Database,
    pub(crate) counters: Counters,
    canvases: RwLock<BTreeMap<CanvasId, Arc<Shown>>>,
    condition: RwLock<Condition>,
    closed: AtomicBool,
    /// Where it lies in a folder.
    pub(crate) held: Option<Held>,
}

/// One canvas, and the word that it changed.
#[derive(Debug)]
pub(crate) struct Shown {
    /// The number that its rows are kept under.
    pub(crate) number: u32,
    picture: RwLock<Picture>,
    changes: watch::Sender<()>,
}

impl Shared {
    pub(crate) fn new(database: Database, held: Option<Held>) -> Self {
        Self {
            database,
            counters: Counters::default(),
            canvases: RwLock::default(),
            condition: RwLock::new(Condition::Writable),
            closed: AtomicBool::new(false),
            held,
        }
    }

    pub(crate) fn find(&self, id: &CanvasId) -> Option<Arc<Shown>> {
        self.canvases.read().expect(UNPOISONED).get(id).cloned()
    }

    /// Every canvas, by id.
    pub(crate) fn all(&self) -> Vec<Arc<Shown>> {
        self.canvases.read().expect(UNPOISONED).values().cloned().collect()
    }

    pub(crate) fn show(&self, id: CanvasId, shown: Arc<Shown>) {
        self.canvases.write().expect(UNPOISONED).insert(id, shown);
    }

    pub(crate) fn hide(&self, id: &CanvasId) {
        self.canvases.write().expect(UNPOISONED).remove(id);
    }

    pub(crate) fn condition(&self) -> Condition {
        self.condition.read().expect(UNPOISONED).clone()
    }

    /// Writing ends for good; the first reason stays.
    pub(crate) fn stop_writing(&self, why: String) {
        let mut condition = self.condition.write().expect(UNPOISONED);
        if *condition == Condition::Writable {
            *condition = Condition::ReadOnly(Trouble::CannotSave, why);
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Ends every tail.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.all().iter().for_each(|shown| shown.changes.send_modify(|()| {}));
    }
}

impl Shown {
    pub(crate) fn new(number: u32, picture: Picture) -> Self {
        Self { number, picture: RwLock::new(picture), changes: watch::Sender::new(()) }
    }

    pub(crate) fn picture(&self) -> RwLockReadGuard<'_, Picture> {
        self.picture.read().expect(UNPOISONED)
    }

    /// Changes what readers see. Call [`Shown::tell`] after.
    pub(crate) fn change(&self) -> RwLockWriteGuard<'_, Picture> {
        self.picture.write().expect(UNPOISONED)
    }

    /// Wakes the tails.
    pub(crate) fn tell(&self) {
        self.changes.send_modify(|()| {});
    }

    pub(crate) fn listen(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }
}
