//! Reading a canvas' log from its rows.

use std::sync::Arc;

use pixel_canvas::{Entry, Sequence};
use redb::{Database, ReadableDatabase};

use super::picture::Era;
use super::row::Row;
use super::tables::LOG;

/// How much of the log a tail reads at once, in bytes.
const READ_BYTES: usize = 256 << 10;

/// A failure on the way, for an operator.
pub(crate) type ReadError = Box<dyn std::error::Error + Send + Sync>;

/// Some entries that follow `after`, up to `until`; empty when the log does not reach back.
pub(crate) fn read_after(
    database: &Database,
    number: u32,
    after: Sequence,
    until: Sequence,
) -> Result<Vec<Arc<Entry>>, ReadError> {
    let table = database.begin_read()?.open_table(LOG)?;
    let mut entries: Vec<Arc<Entry>> = Vec::new();
    let mut bytes = 0;
    for row in table.range((number, after.next().0)..=(number, until.0))? {
        let (key, value) = row?;
        let row = Row::decode(value.value(), Sequence(key.value().1))?;
        if entries.is_empty() && row.entry.after() > after {
            break;
        }
        entries.push(Arc::new(row.entry));
        bytes += value.value().len();
        if bytes >= READ_BYTES {
            break;
        }
    }
    Ok(entries)
}

/// The earliest sequence of this era from which at most `bytes` of log lead up to `until`.
pub(crate) fn start_of_last(
    database: &Database,
    number: u32,
    era: Era,
    until: Sequence,
    bytes: u64,
) -> Result<Sequence, ReadError> {
    let table = database.begin_read()?.open_table(LOG)?;
    let mut end = None;
    for row in table.range((number, 0)..=(number, until.0))?.rev() {
        let (key, value) = row?;
        let last = Sequence(key.value().1);
        let (ends_at, _) = Row::peek(value.value()).ok_or("a damaged log row")?;
        let starts_at = ends_at.saturating_sub(value.value().len() as u64);
        if last <= era.from || end.get_or_insert(ends_at).saturating_sub(starts_at) > bytes {
            return Ok(last);
        }
    }
    // All of the log fits: it begins where its oldest entry does.
    match table.range((number, 0)..=(number, until.0))?.next() {
        None => Ok(until),
        Some(row) => {
            let (key, value) = row?;
            Ok(Row::decode(value.value(), Sequence(key.value().1))?.entry.after())
        }
    }
}
