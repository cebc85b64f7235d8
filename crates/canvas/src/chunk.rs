//! One chunk: its packed pixels, who painted each and when, current to a sequence.
//!
//! What it takes in memory goes with what was painted: some 300 bytes for a single pixel, and for
//! all 65,536 of them 192 KiB of colours (true colour) and 1.1 MiB of marks.

use std::sync::Arc;

use crate::geometry::{CHUNK_SIDE_PIXELS, Size};
use crate::order::Sequence;
use crate::palette::{Color, Palette};

mod colors;
mod marks;

pub use colors::{Colors, FEW_PIXELS_MAX, FewPixel};
pub use marks::{MARK_BYTES, Mark, MarkRow, MarkedPixel};

use marks::Marks;

/// What all chunks of one size share on a canvas: that size, and their pixels before anybody painted.
#[derive(Clone, Debug)]
pub struct Blank {
    size: Size,
    bytes_per_pixel: usize,
    pixels: Arc<Vec<u8>>,
}

impl Blank {
    /// A chunk of this size, all background.
    #[must_use]
    pub fn new(size: Size, palette: &Palette, background: Color) -> Self {
        let bytes_per_pixel = palette.bytes_per_pixel();
        let mut pixel = vec![0; bytes_per_pixel];
        palette.store(background, &mut pixel);
        Self { size, bytes_per_pixel, pixels: Arc::new(pixel.repeat(size.pixels() as usize)) }
    }

    /// The packed pixels: row by row, [`Palette::bytes_per_pixel`] each. Shared, not copied.
    #[must_use]
    pub fn pixels(&self) -> Arc<Vec<u8>> {
        Arc::clone(&self.pixels)
    }
}

/// One chunk of a canvas.
#[derive(Clone, Debug)]
pub struct Chunk {
    blank: Blank,
    colors: Colors,
    marks: Marks,
    changed: Sequence,
}

impl Chunk {
    /// A chunk that nobody painted.
    #[must_use]
    pub fn new(blank: &Blank) -> Self {
        let colors = Colors::Few(Vec::new());
        Self { blank: blank.clone(), colors, marks: Marks::default(), changed: Sequence::ZERO }
    }

    /// Width and height of this chunk.
    #[must_use]
    pub fn size(&self) -> Size {
        self.blank.size
    }

    /// The packed pixels: row by row, [`Palette::bytes_per_pixel`] each. Shared where the chunk
    /// keeps them whole, else put together.
    #[must_use]
    pub fn pixels(&self) -> Arc<Vec<u8>> {
        self.colors.pixels(self.blank.bytes_per_pixel, &self.blank.pixels)
    }

    /// The pixels as they are kept, for keeping them at rest.
    #[must_use]
    pub fn colors(&self) -> &Colors {
        &self.colors
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
        let mut packed = [0; 3];
        let packed = &mut packed[..self.blank.bytes_per_pixel];
        palette.store(color, packed);
        self.colors.set(self.index(offset), packed, &self.blank.pixels);
        let (x, y) = place(offset);
        self.marks.set(x, y, mark);
    }

    /// The colour of the pixel at `offset`.
    #[must_use]
    pub fn color(&self, offset: u16, palette: &Palette) -> Color {
        let bytes_per_pixel = self.blank.bytes_per_pixel;
        let painted = self.colors.get(self.index(offset), bytes_per_pixel);
        let packed = painted.unwrap_or(&self.blank.pixels[..bytes_per_pixel]);
        palette.load(packed).expect("a chunk holds only its palette's colours")
    }

    /// Who painted the pixel at `offset`, when, and as which placement; `None` when nobody did.
    #[must_use]
    pub fn mark(&self, offset: u16) -> Option<Mark> {
        let (x, y) = place(offset);
        self.marks.get(x, y)
    }

    /// The painted rows with their marks, by number.
    #[must_use]
    pub fn mark_rows(&self) -> &[MarkRow] {
        self.marks.rows()
    }

    /// Puts a chunk together again from what was kept at rest; `None` when it is not one.
    #[must_use]
    pub fn restore(
        blank: &Blank,
        palette: &Palette,
        changed: Sequence,
        colors: Colors,
        mark_rows: Vec<MarkRow>,
    ) -> Option<Self> {
        let bytes_per_pixel = blank.bytes_per_pixel;
        let known = |pixel: &[u8]| palette.load(pixel).is_some();
        let whole = match &colors {
            Colors::Few(list) => {
                list.len() <= FEW_PIXELS_MAX
                    && list.is_sorted_by(|a, b| a.0 < b.0)
                    && list.last().is_none_or(|(index, _)| u64::from(*index) < blank.size.pixels())
                    && list.iter().all(|(_, pixel)| known(&pixel[..bytes_per_pixel]))
            }
            Colors::Whole(pixels) => {
                pixels.len() == blank.pixels.len() && pixels.chunks_exact(bytes_per_pixel).all(known)
            }
        };
        let marks = Marks::restore(mark_rows, blank.size.width(), blank.size.height())?;
        whole.then(|| Self { blank: blank.clone(), colors, marks, changed })
    }

    /// The same from whole pixels and whole marks, row by row, [`MARK_BYTES`] for each pixel.
    #[must_use]
    pub fn from_whole(
        blank: &Blank,
        palette: &Palette,
        changed: Sequence,
        pixels: Vec<u8>,
        marks: &[u8],
    ) -> Option<Self> {
        if pixels.len() != blank.pixels.len() || marks.len() as u64 != blank.size.pixels() * MARK_BYTES as u64
        {
            return None;
        }
        let colors = Colors::of_whole(pixels, &blank.pixels, blank.bytes_per_pixel);
        Self::restore(blank, palette, changed, colors, marks::rows_of_whole(marks, blank.size.width()))
    }

    /// The marks of every pixel, row by row; all zero where nobody painted.
    #[must_use]
    pub fn whole_marks(&self) -> Vec<u8> {
        let mut whole = vec![[0; MARK_BYTES]; self.blank.size.pixels() as usize];
        let width = self.blank.size.width() as usize;
        for row in self.marks.rows() {
            row.pixels
                .iter()
                .for_each(|(x, mark)| whole[usize::from(row.y) * width + usize::from(*x)] = *mark);
        }
        whole.into_flattened()
    }

    fn index(&self, offset: u16) -> u16 {
        let (x, y) = place(offset);
        let (width, height) = (self.blank.size.width(), self.blank.size.height());
        debug_assert!(u32::from(x) < width && u32::from(y) < height, "offset {offset} is outside");
        (u32::from(y) * width + u32::from(x)) as u16
    }
}

/// Column and row of an offset.
fn place(offset: u16) -> (u8, u8) {
    ((u32::from(offset) % CHUNK_SIDE_PIXELS) as u8, (u32::from(offset) / CHUNK_SIDE_PIXELS) as u8)
}
