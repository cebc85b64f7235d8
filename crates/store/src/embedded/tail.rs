//! A reader of one canvas' log: from memory where it is at hand, from the rows below that.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use pixel_canvas::{Canvas, Entry, Sequence};
use tokio::sync::watch;
use tokio::task::spawn_blocking;

use super::log::read_after;
use super::shared::{Shared, Shown};
use crate::{Position, StoreError, Tail, Tailed};

/// A position in the log, and a small stretch of rows read ahead of it.
pub(crate) struct LogTail {
    shared: Arc<Shared>,
    shown: Arc<Shown>,
    changes: watch::Receiver<()>,
    position: Position,
    revision: u64,
    ahead: VecDeque<Arc<Entry>>,
}

/// What there is to do next.
enum Next {
    Say(Tailed),
    Entry(Arc<Entry>),
    Amended(Arc<Canvas>, u64),
    ReadRows { until: Sequence },
    Wait,
}

impl LogTail {
    pub(crate) fn new(shared: Arc<Shared>, shown: Arc<Shown>, after: Position) -> Self {
        let changes = shown.listen();
        let revision = shown.picture().revision;
        Self { shared, shown, changes, position: after, revision, ahead: VecDeque::new() }
    }

    fn look(&mut self) -> Next {
        let picture = self.shown.picture();
        if picture.deleted {
            return Next::Say(Tailed::Deleted);
        }
        if picture.revision != self.revision {
            return Next::Amended(Arc::clone(&picture.canvas), picture.revision);
        }
        if !picture.stood_at(self.position) {
            return Next::Say(Tailed::Lost);
        }
        if self.position.sequence == picture.sequence {
            return Next::Wait;
        }
        if let Some(entry) = self.ahead.pop_front().or_else(|| picture.recent_after(self.position.sequence)) {
            return Next::Entry(entry);
        }
        Next::ReadRows { until: picture.sequence }
    }

    /// Fills `ahead`; `false` when the log does not reach back.
    async fn read_rows(&mut self, until: Sequence) -> Result<bool, StoreError> {
        let (shared, number, after) = (Arc::clone(&self.shared), self.shown.number, self.position.sequence);
        let read = spawn_blocking(move || read_after(&shared.database, number, after, until)).await;
        let entries = read
            .map_err(|stopped| StoreError::Unavailable(stopped.into()))?
            .map_err(StoreError::Unavailable)?;
        self.ahead = entries.into();
        Ok(!self.ahead.is_empty())
    }
}

#[async_trait]
impl Tail for LogTail {
    async fn next(&mut self) -> Result<Tailed, StoreError> {
        loop {
            if self.shared.is_closed() {
                return Err(StoreError::Unavailable("the store was closed".into()));
            }
            match self.look() {
                Next::Say(tailed) => return Ok(tailed),
                Next::Entry(entry) => {
                    self.position = Position { epoch: entry.epoch, sequence: entry.last };
                    return Ok(Tailed::Entry(entry));
                }
                Next::Amended(canvas, revision) => {
                    self.revision = revision;
                    return Ok(Tailed::Amended(canvas));
                }
                Next::ReadRows { until } => {
                    if !self.read_rows(until).await? {
                        return Ok(Tailed::Lost);
                    }
                }
                Next::Wait => {
                    // Whatever came since the last wait ends this one: nothing is missed.
                    let ended = |error: watch::error::RecvError| StoreError::Unavailable(error.into());
                    self.changes.changed().await.map_err(ended)?;
                }
            }
        }
    }
}
