//! A canvas of a backup is put back: its rows first, where nobody looks, then what makes it a canvas.
//!
//! Until then its rows lie under numbers that are listed to be removed: what a kill leaves behind goes
//! at the next start.

use std::sync::Arc;

use pixel_canvas::{ChunkId, Epoch, Sequence};

use super::Embedded;
use super::chores::{Kept as KeptRows, keep_some};
use super::host::{put_canvas, put_next_number, remove_canvas};
use super::ledger::Ledger;
use super::picture::{Era, Picture};
use super::shared::Shown;
use super::tables::{CHECKPOINTS, CanvasRow, CheckpointRow, RUBBISH};
use super::writer::Writer;
use crate::{Created, Kept, Repaint, Restoration, StoreError};

/// A canvas whose rows are being written.
struct Arriving {
    shown: Arc<Shown>,
    chunks: Vec<ChunkId>,
    kept: KeptRows,
}

impl Embedded {
    pub(super) async fn restore_canvas(&self, restoration: Restoration<'_>) -> Result<Created, StoreError> {
        let Restoration { canvas, sequence, replace, kept } = restoration;
        let canvas = Arc::new(canvas);
        if let Some(shown) = self.shared.find(&canvas.id)
            && is_in_the_way(&shown.picture(), replace)
        {
            return Ok(Created::Exists(Arc::clone(&shown.picture().canvas)));
        }
        let (number, layer, epoch) = self.host(Writer::set_apart).await?;
        let mut picture = Picture::new(canvas, layer, vec![Era { epoch, from: sequence }]);
        for part in kept {
            match part? {
                Kept::Chunk(id, chunk) => picture.restore(id, chunk),
                Kept::Later(repainted) => {
                    repainted
                        .into_iter()
                        .for_each(|Repaint { at, color, mark }| picture.paint(at, color, mark));
                }
                Kept::Authors(authors) => authors.iter().for_each(|(identity, name)| {
                    picture.authors.number(*identity, name);
                }),
            }
        }
        let chunks = picture.painted_chunks().collect();
        let shown = Arc::new(Shown::new(number, picture));
        let mut arriving = Arriving { shown, chunks, kept: KeptRows::default() };
        loop {
            // A step at a time, so that others are placed between.
            let (step, more) = self.host(move |writer| writer.take_some_in(arriving)).await?;
            arriving = step;
            if !more {
                return self.host(move |writer| writer.take_in(arriving, replace)).await;
            }
        }
    }
}

/// A canvas that nobody painted on is not.
fn is_in_the_way(there: &Picture, replace: bool) -> bool {
    !replace && there.sequence > Sequence::ZERO
}

impl Writer {
    /// A number, a layer and an epoch that nothing had.
    fn set_apart(&mut self) -> Result<(u32, u32, Epoch), StoreError> {
        self.writable()?;
        let (number, layer, next) = (self.next_number, self.next_number + 1, self.next_number + 2);
        self.commit(|transaction| {
            let mut rubbish = transaction.open_table(RUBBISH)?;
            rubbish.insert(number, ())?;
            rubbish.insert(layer, ())?;
            put_next_number(transaction, next)
        })?;
        self.next_number = next;
        Ok((number, layer, (self.options.epochs)()))
    }

    /// Writes some rows; whether there may be more.
    fn take_some_in(&mut self, mut arriving: Arriving) -> Result<(Arriving, bool), StoreError> {
        self.writable()?;
        let Arriving { shown, chunks, kept } = &mut arriving;
        let more =
            keep_some(&self.shared, &shown.picture(), chunks, kept).map_err(|failure| self.stop(failure))?;
        Ok((arriving, more))
    }

    /// Makes it a canvas, in one commit.
    fn take_in(&mut self, arriving: Arriving, replace: bool) -> Result<Created, StoreError> {
        self.writable()?;
        let at = self.tick();
        let Arriving { shown, mut kept, .. } = arriving;
        let (row, sequence, number) = {
            let picture = shown.picture();
            let (canvas, eras) = (Arc::clone(&picture.canvas), picture.eras().to_vec());
            let row = CanvasRow { canvas, layer: picture.layer, eras, rule_from: Sequence::ZERO };
            (row, picture.sequence, shown.number)
        };
        let canvas = Arc::clone(&row.canvas);
        let before = self.shared.find(&canvas.id);
        if let Some(before) = &before
            && is_in_the_way(&before.picture(), replace)
        {
            return Ok(Created::Exists(Arc::clone(&before.picture().canvas)));
        }
        let replaced = before.as_ref().map(|before| (before.number, before.picture().layer));
        let checkpoint = CheckpointRow { sequence, ends_at: 0, at };
        self.commit(|transaction| {
            if let Some((number, layer)) = replaced {
                remove_canvas(transaction, number, layer)?;
            }
            let mut rubbish = transaction.open_table(RUBBISH)?;
            rubbish.remove(number)?;
            rubbish.remove(row.layer)?;
            transaction.open_table(CHECKPOINTS)?.insert(number, checkpoint.encode().as_slice())?;
            put_canvas(transaction, number, &row)
        })?;
        if let Some((number, layer)) = replaced {
            self.forget(&canvas.id, number, layer);
        }
        kept.checkpoint = checkpoint;
        self.chores.keep(number, kept);
        let mut ledger = Ledger::new(number, Arc::clone(&canvas), shown.picture().era().epoch);
        ledger.sequence = sequence;
        self.ledgers.insert(canvas.id.clone(), ledger);
        self.shared.show(canvas.id.clone(), shown);
        if let Some(before) = before {
            {
                let mut picture = before.change();
                if *picture.canvas == *canvas {
                    // Its readers never stood there: they are lost, and find the new one.
                    let layer = picture.layer;
                    picture.reset(row.eras, layer);
                } else {
                    picture.delete();
                }
            }
            before.tell();
        }
        Ok(Created::Made(canvas))
    }
}
