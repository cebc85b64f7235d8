//! What is no longer wanted is removed: the log beyond its retention, rows of what was deleted.
//!
//! A canvas' log is removed only below its last checkpoint: what only the log knows stays.

use std::collections::HashMap;

use pixel_canvas::{CanvasId, Sequence, Timestamp};
use redb::{Durability, ReadableDatabase, ReadableTable};

use super::Chores;
use crate::embedded::Options;
use crate::embedded::ledger::Ledger;
use crate::embedded::row::Row;
use crate::embedded::shared::Shared;
use crate::embedded::tables::{
    AUTHORS, CHECKPOINTS, CHUNKS, COOLDOWNS, HISTORIES, LOG, MARKS, RECORDS, RUBBISH,
};
use crate::embedded::writer::{Failure, commit};

/// The most rows that one step removes.
const STEP_ROWS_MAX: usize = 1_024;

/// The oldest row of a log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Oldest {
    pub(crate) last: Sequence,
    pub(crate) at: Timestamp,
}

impl Chores {
    /// Removes the oldest rows of the log that retention does not keep.
    pub(super) fn trim(
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
            if kept.oldest.is_none() && kept.log_starts_at < kept.checkpoint.ends_at {
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

/// Removes rows of a number that is no longer used; `true` when none are left.
pub(super) fn remove_rubbish(shared: &Shared, number: u32) -> Result<bool, Failure> {
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
        remove!(HISTORIES, (number, 0)..=(number, u128::MAX));
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
