//! The plane of a chunk: for each painted pixel who, when and as which placement.

use crate::order::{Sequence, Timestamp};

/// Bytes that the plane keeps for each painted pixel, besides its column.
pub const MARK_BYTES: usize = 16;

/// Who painted a pixel, when, and as which placement.
///
/// At rest: sequence (6 bytes), Unix milliseconds (6 bytes), author (4 bytes), little-endian.
/// All zero is "never painted".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The placement's sequence, below 2^48.
    pub sequence: Sequence,
    /// When it was accepted, below 2^48.
    pub at: Timestamp,
    /// The store's number for its author; 0 when it is not recorded.
    pub author: u32,
}

impl Mark {
    /// The mark as it is kept at rest.
    #[must_use]
    pub fn to_bytes(self) -> [u8; MARK_BYTES] {
        let mut bytes = [0; MARK_BYTES];
        bytes[..6].copy_from_slice(&self.sequence.0.to_le_bytes()[..6]);
        bytes[6..12].copy_from_slice(&self.at.0.to_le_bytes()[..6]);
        bytes[12..].copy_from_slice(&self.author.to_le_bytes());
        bytes
    }

    /// Reads a mark from rest; `None` for a pixel that was never painted.
    #[must_use]
    pub fn from_bytes(bytes: [u8; MARK_BYTES]) -> Option<Self> {
        let six = |from: usize| {
            let mut wide = [0; 8];
            wide[..6].copy_from_slice(&bytes[from..from + 6]);
            u64::from_le_bytes(wide)
        };
        let sequence = Sequence(six(0));
        let author = u32::from_le_bytes([bytes[12], bytes[13], bytes[14], bytes[15]]);
        (sequence > Sequence::ZERO).then(|| Self { sequence, at: Timestamp(six(6)), author })
    }
}

/// The mark of a painted pixel as it is kept in memory: its column and its bytes at rest.
pub type MarkedPixel = (u8, [u8; MARK_BYTES]);

/// The painted pixels of one row of a chunk, by column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarkRow {
    /// The row's number in the chunk.
    pub y: u8,
    /// Its painted pixels, by column.
    pub pixels: Vec<MarkedPixel>,
}

/// The painted rows of marks that are kept for every pixel of a chunk of this width.
pub(super) fn rows_of_whole(marks: &[u8], width: u32) -> Vec<MarkRow> {
    let rows = marks.as_chunks::<MARK_BYTES>().0.chunks_exact(width as usize).enumerate();
    let rows = rows.map(|(y, row)| {
        let painted = row.iter().enumerate().filter(|(_, mark)| **mark != [0; MARK_BYTES]);
        MarkRow { y: y as u8, pixels: painted.map(|(x, mark)| (x as u8, *mark)).collect() }
    });
    rows.filter(|row| !row.pixels.is_empty()).collect()
}

/// The painted rows, by number.
#[derive(Clone, Debug, Default)]
pub(super) struct Marks(Vec<MarkRow>);

impl Marks {
    /// Takes rows from rest; `None` when they are not in order or lie outside.
    pub(super) fn restore(rows: Vec<MarkRow>, width: u32, height: u32) -> Option<Self> {
        let fits = |row: &MarkRow| {
            u32::from(row.y) < height
                && row.pixels.last().is_some_and(|(x, _)| u32::from(*x) < width)
                && row.pixels.is_sorted_by(|a, b| a.0 < b.0)
        };
        (rows.is_sorted_by(|a, b| a.y < b.y) && rows.iter().all(fits)).then_some(Self(rows))
    }

    pub(super) fn get(&self, x: u8, y: u8) -> Option<Mark> {
        let row = &self.0[self.row(y).ok()?].pixels;
        let found = row.binary_search_by_key(&x, |(column, _)| *column).ok()?;
        Mark::from_bytes(row[found].1)
    }

    pub(super) fn set(&mut self, x: u8, y: u8, mark: Mark) {
        let row = match self.row(y) {
            Ok(found) => found,
            Err(place) => {
                self.0.insert(place, MarkRow { y, pixels: Vec::new() });
                place
            }
        };
        let row = &mut self.0[row].pixels;
        match row.binary_search_by_key(&x, |(column, _)| *column) {
            Ok(found) => row[found].1 = mark.to_bytes(),
            Err(place) => row.insert(place, (x, mark.to_bytes())),
        }
    }

    pub(super) fn rows(&self) -> &[MarkRow] {
        &self.0
    }

    fn row(&self, y: u8) -> Result<usize, usize> {
        self.0.binary_search_by_key(&y, |row| row.y)
    }
}
