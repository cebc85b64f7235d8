//! Making a backup, while people paint.

use std::collections::HashMap;
use std::io::Write;

use pixel_canvas::{Canvas, CanvasId, Change, ChunkId, Entry, Epoch, Mark, Sequence, Timestamp};

use super::parts::{AUTHORS_MAX, LATER_PIXELS_MAX, Part, Writer};
use super::{BackupError, KeptCanvas, Summary};
use crate::embedded::authors::Authors;
use crate::{Kept, Repaint, Store, Tail, Tailed};

/// How often a canvas is begun that is reset, or whose server fails over, while it is copied.
const TRIES_MAX: usize = 8;

/// Writes every canvas of a store. Nothing of `out` is one before this returns with a summary.
pub async fn take(
    store: &dyn Store,
    made_at: Timestamp,
    out: impl Write + Send,
) -> Result<Summary, BackupError> {
    let mut writer = Writer::begin(out, made_at)?;
    let mut canvases = Vec::new();
    for canvas in store.canvases().await? {
        canvases.extend(copy_canvas(store, &canvas.id, &mut writer).await?);
    }
    writer.end(canvases.len() as u32)?;
    Ok(Summary { made_at, canvases })
}

/// `None` when it was deleted meanwhile.
async fn copy_canvas(
    store: &dyn Store,
    id: &CanvasId,
    writer: &mut Writer<impl Write + Send>,
) -> Result<Option<KeptCanvas>, BackupError> {
    for _ in 0..TRIES_MAX {
        let Some(mut copying) = Copying::begin(store, id).await? else { return Ok(None) };
        writer.part(&Part::Canvas(copying.canvas.clone()))?;
        if copying.copy(store, writer).await? {
            let Copying { canvas, sequence, .. } = copying;
            writer.part(&Part::Whole(canvas.clone(), sequence))?;
            return Ok(Some(KeptCanvas { canvas, sequence }));
        }
        writer.part(&Part::Void)?;
    }
    Err(BackupError::Restless { id: id.to_string() })
}

/// A canvas that is being copied.
struct Copying {
    canvas: Canvas,
    /// What is copied is of this epoch, or void.
    epoch: Epoch,
    /// Up to where the log was read.
    sequence: Sequence,
    tail: Box<dyn Tail>,
    /// Numbered as the store numbers them: in the order of the log.
    authors: Authors,
    /// Of the chunks that are copied whole: what each is exact at, once it is copied.
    chunks: HashMap<ChunkId, Option<Sequence>>,
    /// What was painted on chunks that are copied already, and on those that nobody had painted on.
    later: Vec<Repaint>,
}

impl Copying {
    /// `None` when there is no such canvas.
    async fn begin(store: &dyn Store, id: &CanvasId) -> Result<Option<Self>, BackupError> {
        let Some(start) = store.position(id).await? else { return Ok(None) };
        let Some(tail) = store.tail(id, start).await? else { return Ok(None) };
        let Some(canvas) = store.canvas(id).await? else { return Ok(None) };
        Ok(Some(Self {
            canvas: Canvas::clone(&canvas),
            epoch: start.epoch,
            sequence: start.sequence,
            tail,
            authors: Authors::default(),
            chunks: HashMap::new(),
            later: Vec::new(),
        }))
    }

    /// `false` when it has to begin again.
    async fn copy(
        &mut self,
        store: &dyn Store,
        writer: &mut Writer<impl Write + Send>,
    ) -> Result<bool, BackupError> {
        let id = self.canvas.id.clone();
        // All who painted up to the start are among them, so whoever comes later is numbered as the
        // store does.
        let Some(known) = store.authors(&id).await? else { return Ok(false) };
        for (identity, name) in &known {
            self.authors.number(*identity, name);
        }
        let Some(overview) = store.overview(&id).await? else { return Ok(false) };
        if overview.position.epoch != self.epoch {
            return Ok(false);
        }
        let mut chunks: Vec<ChunkId> = overview.changed.into_iter().map(|(id, _)| id).collect();
        chunks.sort_unstable_by_key(|id| (id.cy, id.cx));
        self.chunks = chunks.iter().map(|id| (*id, None)).collect();
        for chunk_id in chunks {
            let Some((position, Some(chunk))) = store.copy(&id, chunk_id).await? else { return Ok(false) };
            if position.epoch != self.epoch {
                return Ok(false);
            }
            writer.part(&Part::Kept(Kept::Chunk(chunk_id, chunk)))?;
            self.chunks.insert(chunk_id, Some(position.sequence));
            if !self.follow(position.sequence, writer).await? {
                return Ok(false);
            }
        }
        self.write_later(writer)?;
        let authors: Vec<_> = self.authors.after(0).map(|(_, author)| author.clone()).collect();
        for some in authors.chunks(AUTHORS_MAX) {
            writer.part(&Part::Kept(Kept::Authors(some.to_vec())))?;
        }
        Ok(true)
    }

    /// Reads the log up to a sequence that it holds; `false` when the canvas has to begin again.
    async fn follow(
        &mut self,
        until: Sequence,
        writer: &mut Writer<impl Write + Send>,
    ) -> Result<bool, BackupError> {
        while self.sequence < until {
            match self.tail.next().await? {
                Tailed::Entry(entry) if entry.epoch == self.epoch => self.note(&entry),
                Tailed::Amended(canvas) if canvas.can_become(&self.canvas) => {
                    self.canvas = Canvas::clone(&canvas);
                }
                // Reset, deleted, made anew, or rolled back.
                _ => return Ok(false),
            }
            if self.later.len() >= LATER_PIXELS_MAX {
                self.write_later(writer)?;
            }
        }
        Ok(true)
    }

    /// Keeps what no copied chunk has, and none to be copied will have.
    fn note(&mut self, entry: &Entry) {
        let mut sequence = entry.after();
        self.sequence = entry.last;
        let Change::Painted(painted) = &entry.change else { return };
        for one in painted {
            let author = self.authors.number(one.author.identity, &one.name);
            for placement in &one.placements {
                sequence = sequence.next();
                let is_missing = match self.chunks.get(&placement.at.chunk()) {
                    Some(None) => false,
                    Some(Some(copied_at)) => sequence > *copied_at,
                    None => true,
                };
                if is_missing {
                    let mark = Mark { sequence, at: entry.at, author };
                    self.later.push(Repaint { at: placement.at, color: placement.color, mark });
                }
            }
        }
    }

    fn write_later(&mut self, writer: &mut Writer<impl Write>) -> Result<(), BackupError> {
        let later = std::mem::take(&mut self.later);
        for some in later.chunks(LATER_PIXELS_MAX) {
            writer.part(&Part::Kept(Kept::Later(some.to_vec())))?;
        }
        Ok(())
    }
}
