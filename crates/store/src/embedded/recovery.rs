//! From the files to a running writer: checkpoints are loaded, the log after them is replayed.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use pixel_canvas::chunk::MarkRow;
use pixel_canvas::{Address, Chunk, Entry, Identity, Sequence, Timestamp};
use redb::{ReadTransaction, ReadableDatabase, ReadableTable, StorageBackend};

use super::Options;
use super::buckets::Buckets;
use super::bytes::Input;
use super::chores::{Chores, Kept, oldest_row};
use super::folder::OpenError;
use super::journal::Journal;
use super::ledger::Ledger;
use super::picture::Picture;
use super::picture_rows::{decode_chunk, decode_marks};
use super::records::Records;
use super::row::{Row, Unreadable};
use super::shared::{Shared, Shown};
use super::tables::{
    AUTHORS, CANVASES, CHECKPOINTS, CHUNKS, COOLDOWNS, CanvasRow, CheckpointRow, HISTORIES, LOG, MARKS, META,
    META_COMMITS, META_NEXT_NUMBER, RECORDS, RUBBISH, chunk_key, chunk_of_key, decode_author, read_cooldown,
};
use super::writer::{LogRow, Recent, Writer};

impl From<Unreadable> for OpenError {
    fn from(unreadable: Unreadable) -> Self {
        match unreadable {
            Unreadable::Version(found) => Self::Newer { found: found.into() },
            Unreadable::Damaged => damaged("a row of the log"),
        }
    }
}

fn damaged(what: impl Into<String>) -> OpenError {
    OpenError::Damaged { what: what.into() }
}

/// Reads everything, and shows it.
pub(crate) fn recover(
    shared: Arc<Shared>,
    journal: Box<dyn StorageBackend>,
    options: Options,
) -> Result<Writer, OpenError> {
    let transaction = shared.database.begin_read()?;
    let mut now = (options.clock)();
    let mut loaded = BTreeMap::new();
    for row in transaction.open_table(CANVASES)?.iter()? {
        let (number, value) = row?;
        let number = number.value();
        let canvas = CanvasRow::decode(value.value()).ok_or_else(|| damaged(format!("canvas {number}")))?;
        let mut loading = Loading::new(number, canvas);
        loading.load_checkpoint(&transaction, &mut now)?;
        loading.replay(&transaction, &mut now)?;
        loaded.insert(number, loading);
    }
    let meta = transaction.open_table(META)?;
    let commits = meta.get(META_COMMITS)?.map_or(0, |commits| commits.value());
    let (journal, commits) = Journal::read(journal, commits).map_err(redb::Error::Io)?;
    if let Some(held) = &shared.held {
        held.witness.check(commits)?;
    }
    for LogRow { key: (number, last), value } in journal.rows() {
        let loading = loaded.get_mut(number).ok_or_else(|| damaged("the journal"))?;
        loading.take_in(value, Sequence(*last), &mut now)?;
    }
    for loading in loaded.values() {
        // A chunk is written whole: it may hold what only the journal has.
        if loading.kept.chunks.values().any(|changed| *changed > loading.ledger.sequence) {
            return Err(loading.damaged("the log, which ends before what chunks hold"));
        }
    }
    let mut chores = Chores::default();
    let mut recent = Recent::new(options.tail_bytes);
    let mut ledgers = HashMap::new();
    let mut log_bytes = 0;
    for (number, loading) in loaded {
        let Loading { picture, ledger, kept, replayed, .. } = loading;
        log_bytes += ledger.ends_at.saturating_sub(kept.log_starts_at);
        shared.counters.replayed_entries.fetch_add(replayed.len() as u64, Relaxed);
        chores.keep(number, kept);
        let shown = Arc::new(Shown::new(number, picture));
        for (entry, bytes) in replayed {
            shown.change().remember(Arc::new(entry));
            recent.add(Arc::clone(&shown), bytes);
        }
        let id = ledger.canvas.id.clone();
        shared.show(id.clone(), shown);
        ledgers.insert(id, ledger);
    }
    for row in transaction.open_table(RUBBISH)?.iter()? {
        chores.add_rubbish(row?.0.value());
    }
    chores.set_log_bytes(log_bytes);
    shared.counters.log_bytes.store(log_bytes, Relaxed);
    let next_number = meta.get(META_NEXT_NUMBER)?.map_or(1, |next| next.value());
    let next_number = u32::try_from(next_number).map_err(|_| damaged("the next number"))?;
    drop((meta, transaction));
    Ok(Writer { shared, options, journal, ledgers, chores, recent, next_number, commits, now })
}

/// One canvas on its way into memory.
struct Loading {
    number: u32,
    picture: Picture,
    ledger: Ledger,
    kept: Kept,
    /// Entries after the checkpoint, and the sizes of their rows.
    replayed: Vec<(Entry, usize)>,
}

impl Loading {
    fn new(number: u32, row: CanvasRow) -> Self {
        let picture = Picture::new(Arc::clone(&row.canvas), row.layer, row.eras);
        let mut ledger = Ledger::new(number, row.canvas, picture.era().epoch);
        ledger.rule_from = row.rule_from;
        Self { number, picture, ledger, kept: Kept::default(), replayed: Vec::new() }
    }

    fn load_checkpoint(
        &mut self,
        transaction: &ReadTransaction,
        now: &mut Timestamp,
    ) -> Result<(), OpenError> {
        if let Some(row) = transaction.open_table(CHECKPOINTS)?.get(self.number)? {
            let row = CheckpointRow::decode(row.value()).ok_or_else(|| self.damaged("the checkpoint"))?;
            self.kept.checkpoint = row;
            *now = (*now).max(row.at);
        }
        self.picture.sequence = self.kept.checkpoint.sequence;
        self.ledger.sequence = self.kept.checkpoint.sequence;
        self.ledger.ends_at = self.kept.checkpoint.ends_at;
        self.load_chunks(transaction)?;
        self.load_authors(transaction)?;
        self.load_histories(transaction)?;
        self.load_records(transaction, *now)?;
        self.load_cooldowns(transaction)
    }

    fn load_chunks(&mut self, transaction: &ReadTransaction) -> Result<(), OpenError> {
        let layer = self.picture.layer;
        let mut marks = self.load_marks(transaction)?;
        for row in transaction.open_table(CHUNKS)?.range((layer, 0)..=(layer, u16::MAX))? {
            let (key, value) = row?;
            let id = chunk_of_key(key.value().1);
            let canvas = &self.picture.canvas;
            let chunk = canvas.size.chunk(id.cx.into(), id.cy.into()).and_then(|id| {
                let (changed, colors) = decode_chunk(value.value())?;
                let marks = marks.remove(&chunk_key(id)).unwrap_or_default();
                Chunk::restore(self.picture.blank(id), &canvas.palette, changed, colors, marks)
            });
            let chunk = chunk.ok_or_else(|| self.damaged(&format!("chunk {id:?}")))?;
            self.kept.chunks.insert(id, chunk.changed());
            self.picture.restore(id, chunk);
        }
        Ok(())
    }

    fn load_marks(&self, transaction: &ReadTransaction) -> Result<HashMap<u16, Vec<MarkRow>>, OpenError> {
        let layer = self.picture.layer;
        let mut marks: HashMap<u16, Vec<MarkRow>> = HashMap::new();
        let rows = (layer, 0, 0)..=(layer, u16::MAX, u8::MAX);
        for row in transaction.open_table(MARKS)?.range(rows)? {
            let (key, value) = row?;
            let (_, chunk, y) = key.value();
            let id = chunk_of_key(chunk);
            let chunk_id = self.picture.canvas.size.chunk(id.cx.into(), id.cy.into());
            let width = chunk_id.map(|id| self.picture.canvas.size.chunk_size(id).width() as usize);
            let pixels = width.and_then(|width| decode_marks(value.value(), width));
            let pixels = pixels.ok_or_else(|| self.damaged("a row of marks"))?;
            marks.entry(chunk).or_default().push(MarkRow { y, pixels });
        }
        Ok(marks)
    }

    fn load_authors(&mut self, transaction: &ReadTransaction) -> Result<(), OpenError> {
        let layer = self.picture.layer;
        for row in transaction.open_table(AUTHORS)?.range((layer, 0)..=(layer, u32::MAX))? {
            let (key, value) = row?;
            let (identity, name) = decode_author(value.value()).ok_or_else(|| self.damaged("an author"))?;
            self.kept.authors += 1;
            if self.picture.authors.number(identity, &name) != key.value().1 {
                return Err(self.damaged("the authors"));
            }
        }
        Ok(())
    }

    fn load_histories(&mut self, transaction: &ReadTransaction) -> Result<(), OpenError> {
        let layer = self.picture.layer;
        for row in transaction.open_table(HISTORIES)?.range((layer, 0)..=(layer, u128::MAX))? {
            let (key, value) = row?;
            let identity = Identity(key.value().1.to_be_bytes());
            let loaded = self.ledger.histories.load(identity, value.value());
            loaded.ok_or_else(|| self.damaged("a history"))?;
        }
        Ok(())
    }

    fn load_records(&mut self, transaction: &ReadTransaction, now: Timestamp) -> Result<(), OpenError> {
        // Those that were over before the last known moment are not worth reading.
        let rows = (self.number, now.0, 0)..=(self.number, u64::MAX, u64::MAX);
        let mut blobs = Vec::new();
        for row in transaction.open_table(RECORDS)?.range(rows)? {
            let (key, value) = row?;
            blobs.push((key.value().2, value.value().to_vec()));
        }
        // By sequence, since records end in the order in which they were made.
        blobs.sort_unstable_by_key(|(sequence, _)| *sequence);
        let mut records = Records::default();
        let loaded = blobs.iter().try_for_each(|(_, blob)| records.load(blob));
        loaded.ok_or_else(|| self.damaged("the idempotency records"))?;
        self.ledger.records = records;
        Ok(())
    }

    fn load_cooldowns(&mut self, transaction: &ReadTransaction) -> Result<(), OpenError> {
        if self.kept.checkpoint.sequence <= self.ledger.rule_from {
            // Of a cooldown that holds no longer.
            return Ok(());
        }
        let Some(blob) = transaction.open_table(COOLDOWNS)?.get(self.number)? else {
            return Ok(());
        };
        let (mut identities, mut addresses) = (Buckets::default(), Buckets::default());
        let mut input = Input(blob.value());
        while !input.0.is_empty() {
            match read_cooldown(&mut input).ok_or_else(|| self.damaged("the cooldowns"))? {
                (0, identity, bucket) => identities.set(Identity(identity), bucket),
                (_, address, bucket) => addresses.set(Address(address), bucket),
            }
        }
        self.ledger.cooldowns = identities;
        self.ledger.address_cooldowns = addresses;
        Ok(())
    }

    /// Takes in the log after the checkpoint, as far as the database has it.
    fn replay(&mut self, transaction: &ReadTransaction, now: &mut Timestamp) -> Result<(), OpenError> {
        let log = transaction.open_table(LOG)?;
        let after = self.kept.checkpoint.sequence;
        for row in log.range((self.number, after.next().0)..=(self.number, u64::MAX))? {
            let (key, value) = row?;
            self.take_in(value.value(), Sequence(key.value().1), now)?;
        }
        if self.ledger.sequence < self.picture.era().from {
            return Err(self.damaged("the log, which ends before its last reset"));
        }
        let oldest = oldest_row(&log, self.number)?;
        self.kept.oldest = oldest.map(|(oldest, _)| oldest);
        self.kept.log_starts_at = oldest.map_or(self.ledger.ends_at, |(_, starts_at)| starts_at);
        Ok(())
    }

    /// Takes in the row of the log that follows.
    fn take_in(&mut self, value: &[u8], last: Sequence, now: &mut Timestamp) -> Result<(), OpenError> {
        let row = Row::decode(value, last)?;
        if row.entry.after() != self.ledger.sequence {
            return Err(self.damaged("the log, which has a gap"));
        }
        self.ledger.replay(&row, self.picture.era().from);
        self.picture.apply(&row.entry, &mut self.kept.dirty);
        *now = (*now).max(row.entry.at);
        self.replayed.push((row.entry, value.len()));
        Ok(())
    }

    fn damaged(&self, what: &str) -> OpenError {
        damaged(format!("{what} of canvas {}", self.ledger.canvas.id))
    }
}
