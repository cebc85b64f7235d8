//! The journal: rows of the log that the database does not have yet, synced in one write.
//!
//! A commit of the database writes several pages and its root; a record here is one write behind the last one. So
//! placements are acknowledged once they are in the journal, and many records later their rows go into the database in
//! one commit. Then the journal begins anew at the front of its file, which so stays small and mostly keeps its length.
//!
//! Every record begins at a multiple of [`BLOCK_BYTES`]: what was synced is not written again by what follows it. At
//! rest, little-endian: length of the rows `u32` · checksum `u32` over all that follows, up to the end of the rows ·
//! number of the commit `u64` · for each row canvas number `u32`, last sequence `u64`, length `u32`, value. A start
//! takes the records in that follow the database's last commit without a gap; others are of an earlier round.

use std::io;

use redb::StorageBackend;

use super::bytes::Input;
use super::writer::{Failure, LogRow};

/// Where records may begin: what a disk writes at once.
const BLOCK_BYTES: u64 = 4_096;
/// Once the rows take so much, they go to the database: placing waits for that commit.
const ROW_BYTES_MAX: usize = 1 << 20;
/// Length, checksum, number of the commit.
const HEAD_BYTES: usize = 16;
/// What the checksum does not cover: itself, and the length, which says what it covers.
const SUMMED_FROM: usize = 8;

/// The journal of one database.
#[derive(Debug)]
pub(crate) struct Journal {
    file: Box<dyn StorageBackend>,
    /// Where the next record begins.
    end: u64,
    /// What the database does not have yet, in order.
    rows: Vec<LogRow>,
    row_bytes: usize,
    /// The record that is being written.
    record: Vec<u8>,
}

impl Journal {
    /// Reads what follows the database's last commit; answers with the number of the last commit, too.
    pub(crate) fn read(file: Box<dyn StorageBackend>, database_commits: u64) -> io::Result<(Self, u64)> {
        let mut bytes = vec![0; file.len()? as usize];
        file.read(0, &mut bytes)?;
        let (mut end, mut commits, mut rows) = (0, database_commits, Vec::new());
        while let Some((length, more)) = bytes.get(end as usize..).and_then(|rest| record(rest, commits + 1))
        {
            rows.extend(more);
            commits += 1;
            end += (length as u64).next_multiple_of(BLOCK_BYTES);
        }
        let row_bytes = rows.iter().map(|row| row.value.len()).sum();
        Ok((Self { file, end, rows, row_bytes, record: Vec::new() }, commits))
    }

    /// Writes the rows of a commit and syncs them.
    pub(crate) fn append(&mut self, commit: u64, rows: Vec<LogRow>) -> Result<(), Failure> {
        self.record.clear();
        self.record.extend_from_slice(&[0; SUMMED_FROM]);
        self.record.extend_from_slice(&commit.to_le_bytes());
        rows.iter().for_each(|row| row.put(&mut self.record));
        let length = u32::try_from(self.record.len() - HEAD_BYTES).expect("a group's rows are bounded");
        self.record[..4].copy_from_slice(&length.to_le_bytes());
        let sum = crc32fast::hash(&self.record[SUMMED_FROM..]);
        self.record[4..SUMMED_FROM].copy_from_slice(&sum.to_le_bytes());
        // One that was not written whole is none at the next start; after a failed sync nobody knows.
        self.file.write(self.end, &self.record).map_err(|error| Failure::Before(redb::Error::Io(error)))?;
        self.file.sync_data().map_err(|error| Failure::During(redb::Error::Io(error)))?;
        self.end += (self.record.len() as u64).next_multiple_of(BLOCK_BYTES);
        self.row_bytes += rows.iter().map(|row| row.value.len()).sum::<usize>();
        self.rows.extend(rows);
        Ok(())
    }

    /// The rows that the database does not have yet.
    pub(crate) fn rows(&self) -> &[LogRow] {
        &self.rows
    }

    /// Whether the database should have its rows: `bytes_max` is for the file, which lone placements fill soon.
    pub(crate) fn is_long(&self, bytes_max: u64) -> bool {
        self.row_bytes >= ROW_BYTES_MAX || self.end >= bytes_max
    }

    /// Empties the file, where the database has everything: what an earlier life left in it follows nothing that is
    /// written from here on. The next sync is early enough.
    pub(crate) fn forget(&mut self) -> Result<(), Failure> {
        self.file.set_len(0).map_err(|error| Failure::Before(redb::Error::Io(error)))
    }

    /// The database has everything, synced.
    pub(crate) fn begin_anew(&mut self) {
        (self.end, self.row_bytes) = (0, 0);
        self.rows.clear();
    }
}

impl LogRow {
    fn put(&self, out: &mut Vec<u8>) {
        let (number, last) = self.key;
        out.extend_from_slice(&number.to_le_bytes());
        out.extend_from_slice(&last.to_le_bytes());
        out.extend_from_slice(&(self.value.len() as u32).to_le_bytes());
        out.extend_from_slice(&self.value);
    }

    fn read(input: &mut Input<'_>) -> Option<Self> {
        let key = (input.u32()?, input.u64()?);
        let length = input.u32()?;
        Some(Self { key, value: input.slice(length as usize)?.to_vec() })
    }
}

/// The record of this commit at the beginning of `bytes`, where it is there whole: its length and its rows.
fn record(bytes: &[u8], commit: u64) -> Option<(usize, Vec<LogRow>)> {
    let mut head = Input(bytes);
    let (length, sum, found) = (head.u32()? as usize, head.u32()?, head.u64()?);
    let whole = HEAD_BYTES.checked_add(length)?;
    if found != commit || crc32fast::hash(bytes.get(SUMMED_FROM..whole)?) != sum {
        return None;
    }
    let mut input = Input(&bytes[HEAD_BYTES..whole]);
    let mut rows = Vec::new();
    while !input.0.is_empty() {
        rows.push(LogRow::read(&mut input)?);
    }
    Some((whole, rows))
}

#[cfg(test)]
mod tests {
    use redb::backends::FileBackend;

    use super::*;

    fn row(number: u32, last: u64, length: usize) -> LogRow {
        LogRow { key: (number, last), value: vec![last as u8; length] }
    }

    fn read(bytes: &[u8], database_commits: u64) -> (Journal, u64) {
        let file = FileBackend::new(tempfile::tempfile().unwrap()).unwrap();
        file.write(0, bytes).unwrap();
        Journal::read(Box::new(file), database_commits).unwrap()
    }

    fn content(journal: &Journal) -> Vec<u8> {
        let mut bytes = vec![0; journal.file.len().unwrap() as usize];
        journal.file.read(0, &mut bytes).unwrap();
        bytes
    }

    /// Commits 8 and 9 behind a database with 7, over a round with 4 to 7.
    fn two_rounds() -> (Journal, Vec<LogRow>) {
        let (mut journal, commits) = read(&[], 3);
        assert_eq!(commits, 3);
        for commit in 4..=7 {
            journal.append(commit, vec![row(1, commit, 9_000)]).unwrap();
        }
        journal.begin_anew();
        journal.append(8, vec![row(1, 8, 3_000), row(2, 1, 3_000)]).unwrap();
        journal.append(9, vec![row(1, 9, 5)]).unwrap();
        (journal, vec![row(1, 8, 3_000), row(2, 1, 3_000), row(1, 9, 5)])
    }

    #[test]
    fn what_follows_the_database_is_read_and_what_is_older_is_not() {
        let (journal, rows) = two_rounds();
        assert_eq!(journal.rows(), rows);
        let bytes = content(&journal);
        let (found, commits) = read(&bytes, 7);
        assert_eq!((found.rows(), commits, found.end), (&rows[..], 9, journal.end));
        // The database has them already, or is older than the journal's beginning.
        for database_commits in [3, 6, 9, 10] {
            let (found, commits) = read(&bytes, database_commits);
            assert_eq!((found.rows(), commits, found.end), (&[][..], database_commits, 0));
        }
    }

    #[test]
    fn what_an_earlier_life_left_does_not_follow_what_comes() {
        let (journal, _) = two_rounds();
        let (mut journal, commits) = read(&content(&journal), 6);
        assert_eq!(commits, 6);
        journal.forget().unwrap();
        journal.append(7, vec![row(1, 70, 5)]).unwrap();
        journal.append(8, vec![row(1, 80, 5)]).unwrap();
        let (found, commits) = read(&content(&journal), 6);
        assert_eq!((found.rows(), commits), (&[row(1, 70, 5), row(1, 80, 5)][..], 8));
    }

    #[test]
    fn a_record_that_is_not_whole_ends_it() {
        let (journal, rows) = two_rounds();
        let bytes = content(&journal);
        let second = BLOCK_BYTES as usize * 2;
        let (first_ends, second_ends) = (HEAD_BYTES + 2 * (16 + 3_000), second + HEAD_BYTES + 16 + 5);
        for end in 0..second_ends + 100 {
            let (_, commits) = read(&bytes[..end], 7);
            assert_eq!(commits, 7 + u64::from(end >= first_ends) + u64::from(end >= second_ends), "{end}");
        }
        for at in (0..first_ends).chain(second..second_ends) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            let (found, commits) = read(&damaged, 7);
            let (left, rows_left) = if at < second { (7, 0) } else { (8, 2) };
            assert_eq!((found.rows(), commits), (&rows[..rows_left], left), "byte {at}");
        }
    }

    #[test]
    fn fuzz_journal() {
        let (journal, _) = two_rounds();
        crate::run::fuzz("journal", &[content(&journal)], |bytes| {
            for database_commits in [0, 7] {
                let (found, commits) = read(bytes, database_commits);
                assert!(found.end.is_multiple_of(BLOCK_BYTES) && commits >= database_commits);
            }
        });
    }
}
