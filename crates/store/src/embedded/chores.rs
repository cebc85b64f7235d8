//! Upkeep between commits, in steps so small that placing never waits long for one.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use pixel_canvas::{CanvasId, ChunkId, Sequence, Timestamp};
use redb::Durability;

use super::Options;
use super::ledger::Ledger;
use super::shared::Shared;
use super::tables::CheckpointRow;
use super::writer::{Failure, commit, stopwatch};

mod checkpoint;
mod removal;

use checkpoint::Part;
pub(crate) use checkpoint::keep_some;
use removal::remove_rubbish;
pub(crate) use removal::{Oldest, oldest_row};

/// How long a clean stop may spend on its last checkpoint; the next start replays the rest.
const CLOSE_CHECKPOINT_TIME: Duration = Duration::from_secs(3);

/// What is under way, and what is kept outside the log already.
#[derive(Default)]
pub(crate) struct Chores {
    kept: HashMap<u32, Kept>,
    under_way: VecDeque<Part>,
    rubbish: VecDeque<u32>,
    log_bytes: u64,
    /// Log written since the last checkpoint began.
    unsaved_bytes: u64,
    last_began: Timestamp,
}

/// How far one canvas is kept outside its log.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    pub(crate) checkpoint: CheckpointRow,
    /// Chunks painted since the last checkpoint began.
    pub(crate) dirty: HashSet<ChunkId>,
    /// What `changed` was when a chunk was written last. A reset leaves them: what is painted after
    /// it has higher sequences, so every row of marks that it needs is written.
    pub(crate) chunks: HashMap<ChunkId, Sequence>,
    /// How many authors of this layer are written.
    pub(crate) authors: usize,
    /// Where the log begins after what was trimmed, in bytes since its own beginning.
    pub(crate) log_starts_at: u64,
    /// The oldest row of the log, where it is known.
    pub(crate) oldest: Option<Oldest>,
}

impl Chores {
    pub(crate) fn keep(&mut self, number: u32, kept: Kept) {
        self.kept.insert(number, kept);
    }

    pub(crate) fn add_rubbish(&mut self, number: u32) {
        self.rubbish.push_back(number);
    }

    /// A canvas was reset: what it holds is kept in another layer from here on.
    pub(crate) fn begin_layer(&mut self, number: u32, old_layer: u32) {
        self.kept.entry(number).or_default().authors = 0;
        self.add_rubbish(old_layer);
    }

    pub(crate) fn set_log_bytes(&mut self, bytes: u64) {
        self.log_bytes = bytes;
    }

    /// Where the chunks go that an entry touched.
    pub(crate) fn dirty(&mut self, number: u32) -> &mut HashSet<ChunkId> {
        &mut self.kept.entry(number).or_default().dirty
    }

    /// Counts a row that was written.
    pub(crate) fn logged(&mut self, bytes: u64) {
        self.log_bytes += bytes;
        self.unsaved_bytes += bytes;
    }

    pub(crate) fn log_bytes(&self) -> u64 {
        self.log_bytes
    }

    /// A canvas was deleted, with `ledger` as its end.
    pub(crate) fn forget_canvas(&mut self, ledger: &Ledger) {
        let starts_at = self.kept.remove(&ledger.number).map_or(0, |kept| kept.log_starts_at);
        self.log_bytes = self.log_bytes.saturating_sub(ledger.ends_at.saturating_sub(starts_at));
        self.under_way.retain(|part| part.shown.number != ledger.number);
    }

    /// Whether a step should follow without a pause.
    pub(crate) fn is_busy(&self) -> bool {
        !self.under_way.is_empty() || !self.rubbish.is_empty()
    }

    /// Drops what is under way: the store cannot write any more.
    pub(crate) fn abandon(&mut self) {
        self.under_way.clear();
        self.rubbish.clear();
    }

    /// Whether the next step begins a checkpoint.
    pub(crate) fn begins(&self, options: &Options, now: Timestamp) -> bool {
        // Rows that no checkpoint covers are kept: the log must not outgrow its retention for want of one.
        let due = self.unsaved_bytes >= options.checkpoint_bytes.min(options.retention_bytes)
            || now.since(self.last_began) >= options.checkpoint_interval_ms;
        self.under_way.is_empty() && due
    }

    /// Does the next small piece, where there is one.
    pub(crate) fn step(
        &mut self,
        shared: &Shared,
        ledgers: &mut HashMap<CanvasId, Ledger>,
        options: &Options,
        now: Timestamp,
    ) -> Result<(), Failure> {
        if self.begins(options, now) {
            self.begin(shared, ledgers, now);
        }
        if !self.under_way.is_empty() {
            return self.step_checkpoint(shared, ledgers, now);
        }
        if let Some(number) = self.rubbish.front().copied() {
            if remove_rubbish(shared, number)? {
                self.rubbish.pop_front();
            }
            return Ok(());
        }
        self.trim(shared, ledgers, options, now)
    }

    /// A last checkpoint, as far as the time for it goes.
    pub(crate) fn finish(
        &mut self,
        shared: &Shared,
        ledgers: &mut HashMap<CanvasId, Ledger>,
        options: &Options,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let took = stopwatch();
        let in_time = || Duration::from_micros(took()) < CLOSE_CHECKPOINT_TIME;
        while !self.under_way.is_empty() && in_time() {
            self.step_checkpoint(shared, ledgers, now)?;
        }
        if self.under_way.is_empty() {
            self.begin(shared, ledgers, now);
        }
        while !self.under_way.is_empty() && in_time() {
            self.step_checkpoint(shared, ledgers, now)?;
        }
        self.trim(shared, ledgers, options, now)?;
        // What was removed without a sync is synced with this.
        commit(shared, Durability::Immediate, |_| Ok(()))
    }
}
