//! Upkeep in small steps between commits: checkpoints, trimming the log, removing rubbish.
//!
//! A checkpoint is fuzzy. It notes where the log stands when it begins; a chunk that is written
//! later carries more, says so in its `changed`, and replay skips what it has already. A canvas'
//! log is trimmed only below its last checkpoint.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use pixel_canvas::{CanvasId, ChunkId, Sequence, Timestamp};
use redb::{Durability, ReadableTable, WriteTransaction};

use super::Options;
use super::ledger::Ledger;
use super::picture::Picture;
use super::row::Row;
use super::shared::{Shared, Shown};
use super::tables::{
    AUTHORS, CHECKPOINTS, CHUNKS, COOLDOWNS, CheckpointRow, LOG, MARKS, RECORDS, RUBBISH, chunk_key,
    encode_author, encode_chunk, put_cooldown,
};
use super::writer::{Failure, commit, stopwatch};

/// Once a step has written so many bytes of chunks and marks, it writes no more; one chunk is up to
/// 1.2 MiB with its marks.
const STEP_CHUNK_BYTES: usize = 1 << 20;
/// How long a clean stop may spend on its last checkpoint; the next start replays the rest.
const CLOSE_CHECKPOINT_TIME: Duration = Duration::from_secs(3);
/// The most authors that one step writes.
const STEP_AUTHORS_MAX: usize = 4_096;
/// The most idempotency records that one step writes; 81 bytes each.
const STEP_RECORDS_MAX: usize = 8_192;
/// The most rows that one step removes.
const STEP_ROWS_MAX: usize = 1_024;

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
    pub(crate) authors: usize,
    /// Where the log begins after what was trimmed, in bytes since its own beginning.
    pub(crate) log_starts_at: u64,
    /// The oldest row of the log, where it is known.
    pub(crate) oldest: Option<Oldest>,
}

/// The oldest row of a log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Oldest {
    pub(crate) last: Sequence,
    pub(crate) at: Timestamp,
}

/// One canvas' share of the checkpoint under way.
struct Part {
    shown: Arc<Shown>,
    row: CheckpointRow,
    chunks: Vec<ChunkId>,
    /// How many of the records that are not saved were made before it began.
    records: usize,
    cooldowns: Vec<u8>,
}

impl Chores {
    pub(crate) fn keep(&mut self, number: u32, kept: Kept) {
        self.kept.insert(number, kept);
    }

    pub(crate) fn add_rubbish(&mut self, number: u32) {
        self.rubbish.push_back(number);
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

    /// Does the next small piece, where there is one.
    pub(crate) fn step(
        &mut self,
        shared: &Shared,
        ledgers: &mut HashMap<CanvasId, Ledger>,
        options: &Options,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let due = self.unsaved_bytes >= options.checkpoint_bytes
            || now.since(self.last_began) >= options.checkpoint_interval_ms;
        if self.under_way.is_empty() && due {
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

    /// Notes where every changed canvas stands; between two commits, so that it is one moment.
    fn begin(&mut self, shared: &Shared, ledgers: &mut HashMap<CanvasId, Ledger>, now: Timestamp) {
        self.last_began = now;
        self.unsaved_bytes = 0;
        for ledger in ledgers.values_mut() {
            let kept = self.kept.entry(ledger.number).or_default();
            if ledger.sequence == kept.checkpoint.sequence {
                continue;
            }
            let Some(shown) = shared.find(&ledger.canvas.id) else {
                continue;
            };
            let mut cooldowns = Vec::new();
            for (identity, bucket) in ledger.cooldowns.live(now) {
                put_cooldown(&mut cooldowns, 0, identity.0, bucket);
            }
            for (address, bucket) in ledger.address_cooldowns.live(now) {
                put_cooldown(&mut cooldowns, 1, address.0, bucket);
            }
            self.under_way.push_back(Part {
                shown,
                row: CheckpointRow { sequence: ledger.sequence, ends_at: ledger.ends_at, at: now },
                chunks: kept.dirty.drain().collect(),
                records: ledger.records.unsaved(),
                cooldowns,
            });
        }
    }

    fn step_checkpoint(
        &mut self,
        shared: &Shared,
        ledgers: &mut HashMap<CanvasId, Ledger>,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let took = stopwatch();
        let Some(part) = self.under_way.front_mut() else { return Ok(()) };
        let number = part.shown.number;
        let kept = self.kept.entry(number).or_default();
        if !part.chunks.is_empty() {
            let picture = part.shown.picture();
            commit(shared, Durability::Immediate, |transaction| {
                write_chunks(transaction, &picture, &mut part.chunks, kept)
            })?;
        } else if part.records > 0 {
            let id = part.shown.picture().canvas.id.clone();
            let count = part.records.min(STEP_RECORDS_MAX);
            part.records -= count;
            if let Some(blob) = ledgers.get_mut(&id).and_then(|ledger| ledger.records.take_unsaved(count)) {
                let key = (number, blob.until.0, blob.from.0);
                commit(shared, Durability::Immediate, |transaction| {
                    transaction.open_table(RECORDS)?.insert(key, blob.bytes.as_slice())?;
                    Ok(())
                })?;
            }
        } else if part.shown.picture().authors.after(kept.authors).next().is_some() {
            let picture = part.shown.picture();
            let written = commit_authors(shared, number, &picture, kept.authors)?;
            kept.authors += written;
        } else {
            commit(shared, Durability::Immediate, |transaction| finish_part(transaction, number, part, now))?;
            kept.checkpoint = part.row;
            self.under_way.pop_front();
            if self.under_way.is_empty() {
                shared.counters.checkpoints.fetch_add(1, Relaxed);
            }
        }
        shared.counters.checkpoint_us.fetch_add(took(), Relaxed);
        Ok(())
    }

    /// Removes the oldest rows of the log that retention does not keep.
    fn trim(
        &mut self,
        shared: &Shared,
        ledgers: &HashMap<CanvasId, Ledger>,
        options: &Options,
        now: Timestamp,
    ) -> Result<(), Failure> {
        if self.log_bytes <= options.retention_bytes && options.retention_seconds.is_none() {
            return Ok(());
        }
        let oldest_kept =
            options.retention_seconds.map(|seconds| Timestamp(now.0.saturating_sub(seconds * 1_000)));
        for ledger in ledgers.values() {
            let kept = self.kept.entry(ledger.number).or_default();
            if kept.oldest.is_none() && kept.log_starts_at < ledger.ends_at {
                kept.oldest = find_oldest(shared, ledger.number)?;
            }
        }
        let oldest = self.kept.iter().filter_map(|(number, kept)| {
            let oldest = kept.oldest.filter(|oldest| oldest.last <= kept.checkpoint.sequence)?;
            Some((oldest.at, *number))
        });
        let Some((at, number)) = oldest.min() else {
            return Ok(());
        };
        if self.log_bytes <= options.retention_bytes && oldest_kept.is_none_or(|kept| at >= kept) {
            return Ok(());
        }
        let kept = self.kept.get_mut(&number).expect("just found there");
        let mut log_bytes = self.log_bytes;
        // Not synced: a row that comes back after a crash is trimmed again.
        commit(shared, Durability::None, |transaction| {
            let mut log = transaction.open_table(LOG)?;
            let mut remove = Vec::new();
            kept.oldest = None;
            for row in log.range((number, 0)..=(number, u64::MAX))? {
                let (key, value) = row?;
                let last = Sequence(key.value().1);
                let size = value.value().len() as u64;
                let (ends_at, at) = Row::peek(value.value()).unwrap_or_default();
                let unwanted =
                    log_bytes > options.retention_bytes || oldest_kept.is_some_and(|kept| at < kept);
                if last > kept.checkpoint.sequence || !unwanted || remove.len() == STEP_ROWS_MAX {
                    kept.oldest = Some(Oldest { last, at });
                    break;
                }
                remove.push(key.value());
                kept.log_starts_at = ends_at;
                log_bytes = log_bytes.saturating_sub(size);
            }
            for key in remove {
                log.remove(key)?;
            }
            Ok(())
        })?;
        self.log_bytes = log_bytes;
        Ok(())
    }
}

fn find_oldest(shared: &Shared, number: u32) -> Result<Option<Oldest>, Failure> {
    use redb::ReadableDatabase;
    let log = shared.database.begin_read()?.open_table(LOG)?;
    Ok(oldest_row(&log, number)?.map(|(oldest, _)| oldest))
}

/// The oldest row of a canvas' log, and where it begins.
pub(crate) fn oldest_row(
    log: &impl ReadableTable<(u32, u64), &'static [u8]>,
    number: u32,
) -> Result<Option<(Oldest, u64)>, redb::StorageError> {
    let Some(row) = log.range((number, 0)..=(number, u64::MAX))?.next() else {
        return Ok(None);
    };
    let (key, value) = row?;
    let (ends_at, at) = Row::peek(value.value()).unwrap_or_default();
    let starts_at = ends_at.saturating_sub(value.value().len() as u64);
    Ok(Some((Oldest { last: Sequence(key.value().1), at }, starts_at)))
}

/// Takes chunks from a list, up to a step's bytes, and writes them with those rows of marks that were
/// painted since they were written last.
fn write_chunks(
    transaction: &WriteTransaction,
    picture: &Picture,
    ids: &mut Vec<ChunkId>,
    kept: &mut Kept,
) -> Result<(), Failure> {
    let mut chunks = transaction.open_table(CHUNKS)?;
    let mut marks = transaction.open_table(MARKS)?;
    let mut bytes = 0;
    while bytes < STEP_CHUNK_BYTES {
        let Some(id) = ids.pop() else { break };
        // A reset may have taken it away since the checkpoint began.
        let Some(chunk) = picture.chunk(id) else { continue };
        let key = chunk_key(id);
        let written = kept.chunks.insert(id, chunk.changed()).unwrap_or_default();
        let value = encode_chunk(chunk);
        bytes += value.len();
        chunks.insert((picture.layer, key), value.as_slice())?;
        for (y, row) in chunk.mark_rows() {
            let newer =
                |mark: &[u8; 16]| pixel_canvas::Mark::from_bytes(*mark).is_some_and(|m| m.sequence > written);
            if row.iter().any(newer) {
                bytes += row.as_flattened().len();
                marks.insert((picture.layer, key, y), row.as_flattened())?;
            }
        }
    }
    Ok(())
}

/// Writes some of the authors that are not written, and says how many.
fn commit_authors(shared: &Shared, number: u32, picture: &Picture, saved: usize) -> Result<usize, Failure> {
    let mut written = 0;
    commit(shared, Durability::Immediate, |transaction| {
        let mut authors = transaction.open_table(AUTHORS)?;
        for (author, (identity, name)) in picture.authors.after(saved).take(STEP_AUTHORS_MAX) {
            authors.insert((number, author), encode_author(*identity, name).as_slice())?;
            written += 1;
        }
        Ok(())
    })?;
    Ok(written)
}

/// The step that makes a canvas' checkpoint count.
fn finish_part(
    transaction: &WriteTransaction,
    number: u32,
    part: &Part,
    now: Timestamp,
) -> Result<(), Failure> {
    let mut records = transaction.open_table(RECORDS)?;
    let over = (number, 0, 0)..(number, now.0, 0);
    for removed in records.extract_from_if(over, |_, _| true)?.take(STEP_ROWS_MAX) {
        removed?;
    }
    transaction.open_table(COOLDOWNS)?.insert(number, part.cooldowns.as_slice())?;
    transaction.open_table(CHECKPOINTS)?.insert(number, part.row.encode().as_slice())?;
    Ok(())
}

/// Removes rows of a number that is no longer used; `true` when none are left.
fn remove_rubbish(shared: &Shared, number: u32) -> Result<bool, Failure> {
    let mut left = STEP_ROWS_MAX;
    // Not synced: what comes back after a crash is removed again.
    commit(shared, Durability::None, |transaction| {
        macro_rules! remove {
            ($table:expr, $rows:expr) => {
                let mut table = transaction.open_table($table)?;
                for removed in table.extract_from_if($rows, |_, _| true)?.take(left) {
                    removed?;
                    left -= 1;
                }
            };
        }
        remove!(LOG, (number, 0)..=(number, u64::MAX));
        remove!(MARKS, (number, 0, 0)..=(number, u16::MAX, u8::MAX));
        remove!(CHUNKS, (number, 0)..=(number, u16::MAX));
        remove!(AUTHORS, (number, 0)..=(number, u32::MAX));
        remove!(RECORDS, (number, 0, 0)..=(number, u64::MAX, u64::MAX));
        remove!(COOLDOWNS, number..=number);
        remove!(CHECKPOINTS, number..=number);
        if left > 0 {
            transaction.open_table(RUBBISH)?.remove(number)?;
        }
        Ok(())
    })?;
    Ok(left > 0)
}
