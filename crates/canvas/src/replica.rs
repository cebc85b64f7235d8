//! What a client holds of a canvas, and how it follows the server without ever guessing.

use std::collections::BTreeMap;

use crate::geometry::{CHUNK_SIDE_PIXELS, ChunkId, Size};
use crate::order::{Epoch, Sequence};
use crate::palette::{Color, Palette};

/// The changes of one chunk in `(after, to]`, the last colour of each pixel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The epoch it belongs to.
    pub epoch: Epoch,
    /// The chunk it changes.
    pub chunk: ChunkId,
    /// Continues from here: the `to` of the chunk's frame before.
    pub after: Sequence,
    /// Brings the chunk up to here.
    pub to: Sequence,
    /// Offsets (row × 256 + column) and their colours, in order.
    pub pixels: Vec<(u16, Color)>,
}

/// What a client did with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was applied whole.
    Applied,
    /// The client was there already.
    Dropped,
    /// Something between is missing: load the chunk afresh.
    Gap,
    /// It is of another epoch: load everything afresh.
    OtherEpoch,
    /// The client does not hold this chunk.
    NotHeld,
    /// It names a pixel or colour that the canvas does not have.
    Invalid,
}

/// One chunk as a client holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The chunk is exact up to here.
    pub sequence: Sequence,
    /// Row by row, [`Palette::bytes_per_pixel`] each.
    pub pixels: Vec<u8>,
}

/// A client's copy of a canvas: only what it loaded.
#[derive(Clone, Debug)]
pub struct Replica {
    size: Size,
    palette: Palette,
    epoch: Epoch,
    chunks: BTreeMap<ChunkId, Held>,
}

impl Replica {
    /// An empty copy of a canvas in this epoch.
    #[must_use]
    pub fn new(size: Size, palette: Palette, epoch: Epoch) -> Self {
        Self { size, palette, epoch, chunks: BTreeMap::new() }
    }

    /// The epoch that the copy belongs to.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Drops everything and starts again in another epoch.
    pub fn restart(&mut self, epoch: Epoch) {
        self.epoch = epoch;
        self.chunks.clear();
    }

    /// Takes a snapshot of a chunk in. An older one than the copy, another epoch's, one of the
    /// wrong length or outside the canvas is left; the answer says whether it was taken.
    pub fn load(&mut self, chunk: ChunkId, epoch: Epoch, sequence: Sequence, pixels: Vec<u8>) -> bool {
        if self.size.chunk(chunk.cx.into(), chunk.cy.into()).is_none() {
            return false;
        }
        let length = self.size.chunk_size(chunk).pixels() as usize * self.palette.bytes_per_pixel();
        let older = self.chunks.get(&chunk).is_some_and(|held| held.sequence > sequence);
        let fits = epoch == self.epoch && pixels.len() == length && !older;
        if fits {
            self.chunks.insert(chunk, Held { sequence, pixels });
        }
        fits
    }

    /// Forgets a chunk.
    pub fn drop_chunk(&mut self, chunk: ChunkId) {
        self.chunks.remove(&chunk);
    }

    /// Applies a frame whole, or not at all.
    pub fn apply(&mut self, frame: &Frame) -> Verdict {
        if frame.epoch != self.epoch {
            return Verdict::OtherEpoch;
        }
        let Some(held) = self.chunks.get_mut(&frame.chunk) else { return Verdict::NotHeld };
        if frame.to <= held.sequence {
            return Verdict::Dropped;
        }
        if frame.after > held.sequence {
            return Verdict::Gap;
        }
        let size = self.size.chunk_size(frame.chunk);
        let place = |offset: u16| {
            let (x, y) = (u32::from(offset) % CHUNK_SIDE_PIXELS, u32::from(offset) / CHUNK_SIDE_PIXELS);
            (x < size.width() && y < size.height()).then(|| (y * size.width() + x) as usize)
        };
        let valid = |(offset, color): &(u16, Color)| place(*offset).is_some() && self.palette.allows(*color);
        if !frame.pixels.iter().all(valid) {
            return Verdict::Invalid;
        }
        let bytes = self.palette.bytes_per_pixel();
        for &(offset, color) in &frame.pixels {
            let start = place(offset).expect("checked above") * bytes;
            self.palette.store(color, &mut held.pixels[start..start + bytes]);
        }
        held.sequence = frame.to;
        Verdict::Applied
    }

    /// Everything up to `sequence` has arrived: held chunks without news are exact up to there.
    pub fn progress(&mut self, epoch: Epoch, sequence: Sequence) {
        if epoch == self.epoch {
            for held in self.chunks.values_mut() {
                held.sequence = held.sequence.max(sequence);
            }
        }
    }

    /// What is held of a chunk.
    #[must_use]
    pub fn chunk(&self, chunk: ChunkId) -> Option<&Held> {
        self.chunks.get(&chunk)
    }

    /// Every chunk held.
    pub fn chunks(&self) -> impl Iterator<Item = (ChunkId, &Held)> {
        self.chunks.iter().map(|(id, held)| (*id, held))
    }
}
