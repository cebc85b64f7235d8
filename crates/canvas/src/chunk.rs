//! One chunk: its packed pixels, who painted each and when, current to a sequence.

use std::sync::Arc;

use crate::geometry::{CHUNK_SIDE_PIXELS, Size};
use crate::order::{Sequence, Timestamp};
use crate::palette::{Color, Palette};

/// Bytes that the plane keeps for each pixel.
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

/// The marks of one row of a chunk, made when the row is first painted.
type MarkRow = Option<Box<[[u8; MARK_BYTES]]>>;

/// One chunk of a canvas.
#[derive(Clone, Debug)]
pub struct Chunk {
    size: Size,
    bytes_per_pixel: usize,
    pixels: Arc<Vec<u8>>,
    marks: Vec<MarkRow>,
    changed: Sequence,
}

impl Chunk {
    /// A chunk that nobody painted: all background.
    #[must_use]
    pub fn blank(size: Size, palette: &Palette, background: Color) -> Self {
        let pixels = Arc::new(blank_pixels(size, palette, background));
        let marks = vec![None; size.height() as usize];
        Self { size, bytes_per_pixel: palette.bytes_per_pixel(), pixels, marks, changed: Sequence::ZERO }
    }

    /// Width and height of this chunk.
    #[must_use]
    pub fn size(&self) -> Size {
        self.size
    }

    /// The packed pixels: row by row, [`Palette::bytes_per_pixel`] each. Shared, not copied.
    #[must_use]
    pub fn pixels(&self) -> Arc<Vec<u8>> {
        Arc::clone(&self.pixels)
    }

    /// The sequence that changed this chunk last; zero when nothing did.
    #[must_use]
    pub fn changed(&self) -> Sequence {
        self.changed
    }

    /// Paints the pixel at `offset` (row × 256 + column).
    ///
    /// Sequences at or below [`Chunk::changed`] are already in the chunk and leave it as it is,
    /// so that replaying a log over a chunk is safe.
    pub fn paint(&mut self, offset: u16, color: Color, palette: &Palette, mark: Mark) {
        if mark.sequence <= self.changed {
            return;
        }
        self.changed = mark.sequence;
        let index = self.index(offset);
        let start = index * self.bytes_per_pixel;
        let pixels = Arc::make_mut(&mut self.pixels);
        palette.store(color, &mut pixels[start..start + self.bytes_per_pixel]);
        let width = self.size.width() as usize;
        let row = self.marks[index / width].get_or_insert_with(|| vec![[0; MARK_BYTES]; width].into());
        row[index % width] = mark.to_bytes();
    }

    /// The colour of the pixel at `offset`.
    #[must_use]
    pub fn color(&self, offset: u16, palette: &Palette) -> Color {
        let start = self.index(offset) * self.bytes_per_pixel;
        let stored = &self.pixels[start..start + self.bytes_per_pixel];
        palette.load(stored).expect("a chunk holds only its palette's colours")
    }

    /// Who painted the pixel at `offset`, when, and as which placement; `None` when nobody did.
    #[must_use]
    pub fn mark(&self, offset: u16) -> Option<Mark> {
        let (index, width) = (self.index(offset), self.size.width() as usize);
        Mark::from_bytes(self.marks[index / width].as_ref()?[index % width])
    }

    /// Rows of marks as they are kept at rest: row number and its bytes, painted rows only.
    pub fn mark_rows(&self) -> impl Iterator<Item = (u8, &[[u8; MARK_BYTES]])> {
        self.marks.iter().enumerate().filter_map(|(y, row)| Some((y as u8, row.as_deref()?)))
    }

    /// Puts a chunk together again from what was kept at rest; `None` when the lengths do not fit.
    #[must_use]
    pub fn restore(
        size: Size,
        palette: &Palette,
        changed: Sequence,
        pixels: Vec<u8>,
        mark_rows: Vec<(u8, Box<[[u8; MARK_BYTES]]>)>,
    ) -> Option<Self> {
        let bytes_per_pixel = palette.bytes_per_pixel();
        let known = |pixel: &[u8]| palette.load(pixel).is_some();
        if pixels.len() as u64 != size.pixels() * bytes_per_pixel as u64
            || !pixels.chunks_exact(bytes_per_pixel).all(known)
        {
            return None;
        }
        let mut marks: Vec<MarkRow> = vec![None; size.height() as usize];
        for (y, row) in mark_rows {
            if row.len() != size.width() as usize {
                return None;
            }
            *marks.get_mut(usize::from(y))? = Some(row);
        }
        Some(Self { size, bytes_per_pixel, pixels: Arc::new(pixels), marks, changed })
    }

    fn index(&self, offset: u16) -> usize {
        let (x, y) = (u32::from(offset) % CHUNK_SIDE_PIXELS, u32::from(offset) / CHUNK_SIDE_PIXELS);
        debug_assert!(x < self.size.width() && y < self.size.height(), "offset {offset} is outside");
        (y * self.size.width() + x) as usize
    }
}

/// The packed pixels of a chunk that nobody painted.
#[must_use]
pub fn blank_pixels(size: Size, palette: &Palette, background: Color) -> Vec<u8> {
    let mut pixel = vec![0; palette.bytes_per_pixel()];
    palette.store(background, &mut pixel);
    pixel.repeat(size.pixels() as usize)
}
