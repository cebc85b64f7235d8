//! One canvas as readers see it: only what is synced.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use pixel_canvas::chunk::{Blank, Colors};
use pixel_canvas::entry::RESET_PLACEMENTS_MAX;
use pixel_canvas::{
    Canvas, Change, Chunk, ChunkId, Color, Entry, Epoch, Mark, Placement, Point, Sequence, Size, State,
};

use super::authors::Authors;
use crate::{Overview, Pixel, Position, Provenance, Snapshot};

/// How many epochs a canvas remembers, so that a reader of an earlier one can be led through the reset.
pub(crate) const ERAS_MAX: usize = 16;

/// One epoch of a canvas: the sequences at which it held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Era {
    pub(crate) epoch: Epoch,
    /// Its first position: zero, or the reset's last sequence.
    pub(crate) from: Sequence,
}

/// Whether a canvas of these eras, which ends at `last`, ever stood there.
pub(crate) fn stood_at(eras: &[Era], last: Sequence, position: Position) -> bool {
    let Some(index) = eras.iter().position(|era| era.epoch == position.epoch) else {
        return false;
    };
    let ended = eras.get(index + 1).map(|next| next.from);
    let within = ended.map_or(position.sequence <= last, |end| position.sequence < end);
    within && eras[index].from <= position.sequence
}

/// What one canvas looks like, at one position.
#[derive(Debug)]
pub(crate) struct Picture {
    pub(crate) canvas: Arc<Canvas>,
    /// Counts the host's changes.
    pub(crate) revision: u64,
    pub(crate) deleted: bool,
    pub(crate) sequence: Sequence,
    /// Where chunks and authors are kept at rest; a reset begins another.
    pub(crate) layer: u32,
    eras: Vec<Era>,
    chunks: HashMap<ChunkId, Chunk>,
    blanks: HashMap<Size, Blank>,
    pub(crate) authors: Authors,
    recent: VecDeque<Arc<Entry>>,
}

impl Picture {
    /// A canvas without pixels at the start of its last era.
    pub(crate) fn new(canvas: Arc<Canvas>, layer: u32, eras: Vec<Era>) -> Self {
        let sequence = eras.last().expect("a canvas has an epoch").from;
        let corner = |cx: u32, cy: u32| canvas.size.chunk(cx, cy).map(|id| canvas.size.chunk_size(id));
        let (columns, rows) = canvas.size.chunk_grid();
        let sizes =
            [corner(0, 0), corner(columns - 1, 0), corner(0, rows - 1), corner(columns - 1, rows - 1)];
        let blank = |size: Size| (size, Blank::new(size, &canvas.palette, canvas.background));
        let blanks = sizes.into_iter().flatten().map(blank).collect();
        Self {
            canvas,
            revision: 0,
            deleted: false,
            sequence,
            layer,
            eras,
            chunks: HashMap::new(),
            blanks,
            authors: Authors::default(),
            recent: VecDeque::new(),
        }
    }

    pub(crate) fn position(&self) -> Position {
        Position { epoch: self.era().epoch, sequence: self.sequence }
    }

    /// The era that holds now.
    pub(crate) fn era(&self) -> Era {
        *self.eras.last().expect("a canvas has an epoch")
    }

    pub(crate) fn eras(&self) -> &[Era] {
        &self.eras
    }

    /// Whether this canvas ever stood there, as far as is remembered.
    pub(crate) fn stood_at(&self, position: Position) -> bool {
        stood_at(&self.eras, self.sequence, position)
    }

    pub(crate) fn chunk(&self, id: ChunkId) -> Option<&Chunk> {
        self.chunks.get(&id)
    }

    /// How many chunks were painted.
    pub(crate) fn chunk_count(&self) -> usize {
        self.chunks.len()
    }

    /// A chunk before anybody painted on it.
    pub(crate) fn blank(&self, id: ChunkId) -> &Blank {
        &self.blanks[&self.canvas.size.chunk_size(id)]
    }

    pub(crate) fn snapshot(&self, id: ChunkId) -> Snapshot {
        match self.chunks.get(&id) {
            Some(chunk) => Snapshot { id, changed: chunk.changed(), pixels: chunk.pixels() },
            None => {
                let pixels = self.blank(id).pixels();
                Snapshot { id, changed: Sequence::ZERO, pixels }
            }
        }
    }

    pub(crate) fn pixel(&self, at: Point) -> Pixel {
        let Some(chunk) = self.chunks.get(&at.chunk()) else {
            return Pixel { color: self.canvas.background, painted: None };
        };
        let painted = chunk.mark(at.offset()).map(|Mark { sequence, at, author }| Provenance {
            name: self.authors.name(author).cloned(),
            at,
            sequence,
        });
        Pixel { color: chunk.color(at.offset(), &self.canvas.palette), painted }
    }

    /// What a pixel shows, and as which placement.
    pub(crate) fn state(&self, at: Point) -> State {
        let Some(chunk) = self.chunks.get(&at.chunk()) else {
            return State { color: self.canvas.background, sequence: Sequence::ZERO };
        };
        let sequence = chunk.mark(at.offset()).map_or(Sequence::ZERO, |mark| mark.sequence);
        State { color: chunk.color(at.offset(), &self.canvas.palette), sequence }
    }

    pub(crate) fn overview(&self) -> Overview {
        let changed = self.chunks.iter().map(|(id, chunk)| (*id, chunk.changed())).collect();
        Overview { position: self.position(), changed }
    }

    /// Puts back a chunk from rest.
    pub(crate) fn restore(&mut self, id: ChunkId, chunk: Chunk) {
        self.chunks.insert(id, chunk);
    }

    /// Applies an entry of the log that follows, and says which chunks it touched. What a chunk
    /// has already stays as it is.
    pub(crate) fn apply(&mut self, entry: &Entry, touched: &mut impl Extend<ChunkId>) {
        self.sequence = entry.last;
        let Change::Painted(painted) = &entry.change else {
            return;
        };
        if entry.first <= self.era().from {
            // Of an earlier era: its pixels and authors are gone.
            return;
        }
        let mut sequence = entry.after();
        for one in painted {
            let author = self.authors.number(one.author.identity, &one.name);
            for Placement { at, color } in &one.placements {
                sequence = sequence.next();
                self.paint(*at, *color, Mark { sequence, at: entry.at, author });
                touched.extend([at.chunk()]);
            }
        }
    }

    /// Paints one pixel; what its chunk has already stays as it is.
    pub(crate) fn paint(&mut self, at: Point, color: Color, mark: Mark) {
        let id = at.chunk();
        let blank = &self.blanks[&self.canvas.size.chunk_size(id)];
        let chunk = self.chunks.entry(id).or_insert_with(|| Chunk::new(blank));
        chunk.paint(at.offset(), color, &self.canvas.palette, mark);
    }

    /// The painted chunks.
    pub(crate) fn painted_chunks(&self) -> impl Iterator<Item = ChunkId> {
        self.chunks.keys().copied()
    }

    /// Begins another era: every pixel is the background again, painted by nobody.
    pub(crate) fn reset(&mut self, eras: Vec<Era>, layer: u32) {
        self.eras = eras;
        self.layer = layer;
        self.sequence = self.era().from;
        self.chunks.clear();
        self.authors = Authors::default();
    }

    /// The canvas is gone, and so is what it held.
    pub(crate) fn delete(&mut self) {
        self.deleted = true;
        self.chunks.clear();
    }

    /// The placements that put every pixel back to the background, row by row of each chunk; the
    /// first pixel alone where none differs, nothing when they are more than a reset lists.
    pub(crate) fn unpainted(&self) -> Vec<Placement> {
        let canvas = &self.canvas;
        let mut ids: Vec<ChunkId> = self.chunks.keys().copied().collect();
        ids.sort_unstable_by_key(|id| (id.cy, id.cx));
        let mut back = vec![0; canvas.palette.bytes_per_pixel()];
        canvas.palette.store(canvas.background, &mut back);
        let mut placements = Vec::new();
        for id in ids {
            let width = canvas.size.chunk_size(id).width() as usize;
            for index in differing(self.chunks[&id].colors(), &back) {
                if placements.len() == RESET_PLACEMENTS_MAX {
                    return Vec::new();
                }
                let offset = (index / width * 256 + index % width) as u16;
                placements.push(Placement { at: id.point(offset), color: canvas.background });
            }
        }
        if placements.is_empty() {
            placements.push(Placement { at: Point { x: 0, y: 0 }, color: canvas.background });
        }
        placements
    }

    /// Keeps an entry at hand for tails.
    pub(crate) fn remember(&mut self, entry: Arc<Entry>) {
        self.recent.push_back(entry);
    }

    /// Lets go of the oldest entry at hand.
    pub(crate) fn let_go(&mut self) {
        self.recent.pop_front();
    }

    /// The entry that follows a position, where it is at hand: the first that ends after it.
    pub(crate) fn recent_after(&self, after: Sequence) -> Option<Arc<Entry>> {
        let index = self.recent.partition_point(|entry| entry.last <= after);
        let entry = self.recent.get(index)?;
        (entry.after() <= after).then(|| Arc::clone(entry))
    }
}

/// The indices of a chunk's pixels that are not the background, in order.
fn differing<'a>(colors: &'a Colors, back: &'a [u8]) -> Box<dyn Iterator<Item = usize> + 'a> {
    match colors {
        Colors::Few(list) => Box::new(
            list.iter()
                .filter(|(_, pixel)| pixel[..back.len()] != *back)
                .map(|(index, _)| usize::from(*index)),
        ),
        Colors::Whole(pixels) => {
            let pixels = pixels.chunks_exact(back.len()).enumerate();
            Box::new(pixels.filter(move |(_, pixel)| *pixel != back).map(|(index, _)| index))
        }
    }
}
