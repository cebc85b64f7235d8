//! What the log holds is written outside of it, so that a start has little to replay.
//!
//! A checkpoint is fuzzy. It notes where the log stands when it begins; a chunk that is written
//! later carries more, says so in its `changed`, and replay skips what it has already. A canvas'
//! checkpoint counts with its last step, and not before.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use pixel_canvas::chunk::MarkedPixel;
use pixel_canvas::{CanvasId, ChunkId, Identity, Mark, Timestamp};
use redb::{Durability, WriteTransaction};

use super::{Chores, Kept};
use crate::embedded::histories::Histories;
use crate::embedded::ledger::Ledger;
use crate::embedded::picture::Picture;
use crate::embedded::picture_rows::{encode_chunk, encode_marks};
use crate::embedded::shared::{Shared, Shown};
use crate::embedded::tables::{
    AUTHORS, CHECKPOINTS, CHUNKS, COOLDOWNS, CheckpointRow, HISTORIES, MARKS, RECORDS, chunk_key,
    encode_author, put_cooldown,
};
use crate::embedded::writer::{Failure, commit, stopwatch};

/// Once a step has written so many bytes of chunks and marks, it writes no more; one chunk is up to
/// 1.2 MiB with its marks.
const STEP_CHUNK_BYTES: usize = 1 << 20;
/// Once a step has written so many bytes of histories, it writes no more.
const STEP_HISTORY_BYTES: usize = 1 << 20;
/// The most histories that one step writes, however short.
const STEP_HISTORIES_MAX: usize = 4_096;
/// The most chunks that one step writes, however small.
const STEP_CHUNKS_MAX: usize = 256;
/// The most authors that one step writes.
const STEP_AUTHORS_MAX: usize = 4_096;
/// The most idempotency records that one step writes; 81 bytes each.
const STEP_RECORDS_MAX: usize = 8_192;
/// The most blobs of records that one step removes, which are over.
const STEP_BLOBS_MAX: usize = 1_024;

/// One canvas' share of the checkpoint under way.
pub(super) struct Part {
    pub(super) shown: Arc<Shown>,
    row: CheckpointRow,
    chunks: Vec<ChunkId>,
    histories: Vec<Identity>,
    /// How many of the records that are not saved were made before it began.
    records: usize,
    cooldowns: Vec<u8>,
}

impl Chores {
    /// Notes where every changed canvas stands; between two commits, so that it is one moment.
    pub(super) fn begin(&mut self, shared: &Shared, ledgers: &mut HashMap<CanvasId, Ledger>, now: Timestamp) {
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
                histories: ledger.histories.take_unsaved(),
                records: ledger.records.unsaved(),
                cooldowns,
            });
        }
    }

    pub(super) fn step_checkpoint(
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
        } else if !part.histories.is_empty() {
            let (id, layer) = {
                let picture = part.shown.picture();
                (picture.canvas.id.clone(), picture.layer)
            };
            match ledgers.get(&id) {
                Some(ledger) => commit(shared, Durability::Immediate, |transaction| {
                    write_histories(transaction, layer, &ledger.histories, &mut part.histories)
                })?,
                None => part.histories.clear(),
            }
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
            let written = commit_authors(shared, &picture, kept.authors)?;
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
}

/// Writes some of the listed chunks of a picture, or else of its authors; `false` when all is written.
pub(crate) fn keep_some(
    shared: &Shared,
    picture: &Picture,
    chunks: &mut Vec<ChunkId>,
    kept: &mut Kept,
) -> Result<bool, Failure> {
    if !chunks.is_empty() {
        commit(shared, Durability::Immediate, |transaction| {
            write_chunks(transaction, picture, chunks, kept)
        })?;
        return Ok(true);
    }
    let written = commit_authors(shared, picture, kept.authors)?;
    kept.authors += written;
    Ok(written > 0)
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
    for _ in 0..STEP_CHUNKS_MAX {
        let Some(id) = ids.pop() else { break };
        // A reset may have taken it away since the checkpoint began.
        let Some(chunk) = picture.chunk(id) else { continue };
        let key = chunk_key(id);
        let written = kept.chunks.insert(id, chunk.changed()).unwrap_or_default();
        let value = encode_chunk(chunk);
        bytes += value.len();
        chunks.insert((picture.layer, key), value.as_slice())?;
        for row in chunk.mark_rows() {
            let newer =
                |(_, mark): &MarkedPixel| Mark::from_bytes(*mark).is_some_and(|m| m.sequence > written);
            if row.pixels.iter().any(newer) {
                let value = encode_marks(row, chunk.size().width() as usize);
                bytes += value.len();
                marks.insert((picture.layer, key, row.y), value.as_slice())?;
            }
        }
        if bytes >= STEP_CHUNK_BYTES {
            break;
        }
    }
    Ok(())
}

/// Takes people from a list, up to a step's bytes, and writes their histories as they are now; those
/// that are forgotten are removed.
fn write_histories(
    transaction: &WriteTransaction,
    layer: u32,
    histories: &Histories,
    people: &mut Vec<Identity>,
) -> Result<(), Failure> {
    let mut table = transaction.open_table(HISTORIES)?;
    let mut bytes = 0;
    for _ in 0..STEP_HISTORIES_MAX {
        let Some(person) = people.pop() else { break };
        let key = (layer, u128::from_be_bytes(person.0));
        match histories.encode(person) {
            Some(value) => {
                bytes += value.len();
                table.insert(key, value.as_slice())?;
            }
            None => drop(table.remove(key)?),
        }
        if bytes >= STEP_HISTORY_BYTES {
            break;
        }
    }
    Ok(())
}

/// Writes some of the authors that are not written, and says how many.
fn commit_authors(shared: &Shared, picture: &Picture, saved: usize) -> Result<usize, Failure> {
    let mut written = 0;
    commit(shared, Durability::Immediate, |transaction| {
        let mut authors = transaction.open_table(AUTHORS)?;
        for (author, (identity, name)) in picture.authors.after(saved).take(STEP_AUTHORS_MAX) {
            authors.insert((picture.layer, author), encode_author(*identity, name).as_slice())?;
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
    for removed in records.extract_from_if(over, |_, _| true)?.take(STEP_BLOBS_MAX) {
        removed?;
    }
    transaction.open_table(COOLDOWNS)?.insert(number, part.cooldowns.as_slice())?;
    transaction.open_table(CHECKPOINTS)?.insert(number, part.row.encode().as_slice())?;
    Ok(())
}
