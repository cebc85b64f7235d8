//! What only a host asks for: making, amending, resetting and deleting canvases.

use std::sync::Arc;

use pixel_canvas::{Amendment, Canvas, CanvasId, Change, Entry, InvalidCanvas, Sequence};
use redb::WriteTransaction;

use super::histories::Histories;
use super::ledger::Ledger;
use super::picture::{ERAS_MAX, Era, Picture};
use super::shared::Shown;
use super::tables::{CANVASES, CanvasRow, LOG, META, META_NEXT_NUMBER, RUBBISH};
use super::writer::{Failed, Failure, Writer};
use crate::{Created, Position, StoreError};

impl From<Failed> for StoreError {
    fn from(failed: Failed) -> Self {
        failed.to_error()
    }
}

impl Writer {
    pub(crate) fn create(&mut self, canvas: Canvas) -> Result<Created, StoreError> {
        self.writable()?;
        if let Some(ledger) = self.ledgers.get(&canvas.id) {
            return Ok(Created::Exists(Arc::clone(&ledger.canvas)));
        }
        let canvas = Arc::new(canvas);
        let (number, layer, next) = (self.next_number, self.next_number + 1, self.next_number + 2);
        let eras = vec![Era { epoch: (self.options.epochs)(), from: Sequence::ZERO }];
        let row = CanvasRow { canvas: Arc::clone(&canvas), layer, eras, rule_from: Sequence::ZERO };
        self.commit(|transaction| {
            put_next_number(transaction, next)?;
            put_canvas(transaction, number, &row)
        })?;
        self.next_number = next;
        let picture = Picture::new(Arc::clone(&canvas), layer, row.eras);
        self.ledgers.insert(canvas.id.clone(), Ledger::new(number, Arc::clone(&canvas), picture.era().epoch));
        self.shared.show(canvas.id.clone(), Arc::new(Shown::new(number, picture)));
        Ok(Created::Made(canvas))
    }

    pub(crate) fn amend(
        &mut self,
        id: &CanvasId,
        amendment: &Amendment,
    ) -> Result<Option<Result<Arc<Canvas>, InvalidCanvas>>, StoreError> {
        self.writable()?;
        let (Some(shown), Some(ledger)) = (self.shared.find(id), self.ledgers.get_mut(id)) else {
            return Ok(None);
        };
        let mut canvas = Canvas::clone(&ledger.canvas);
        if let Err(invalid) = canvas.amend(amendment) {
            return Ok(Some(Err(invalid)));
        }
        ledger.amend(Arc::new(canvas));
        let row = ledger.at_rest(&shown.picture());
        self.commit(|transaction| put_canvas(transaction, shown.number, &row))?;
        {
            let mut picture = shown.change();
            picture.canvas = Arc::clone(&row.canvas);
            picture.revision += 1;
        }
        shown.tell();
        Ok(Some(Ok(row.canvas)))
    }

    pub(crate) fn delete(&mut self, id: &CanvasId) -> Result<bool, StoreError> {
        self.writable()?;
        let Some(shown) = self.shared.find(id) else {
            return Ok(false);
        };
        let (number, layer) = (shown.number, shown.picture().layer);
        self.commit(|transaction| remove_canvas(transaction, number, layer))?;
        self.forget(id, number, layer);
        shown.change().delete();
        shown.tell();
        Ok(true)
    }

    /// What the writer knew of a canvas that is removed.
    pub(super) fn forget(&mut self, id: &CanvasId, number: u32, layer: u32) {
        if let Some(ledger) = self.ledgers.remove(id) {
            self.chores.forget_canvas(&ledger);
        }
        self.chores.add_rubbish(number);
        self.chores.add_rubbish(layer);
        self.shared.hide(id);
    }

    pub(crate) fn reset(&mut self, id: &CanvasId) -> Result<Option<Position>, StoreError> {
        self.writable()?;
        let at = self.tick();
        let (Some(shown), Some(ledger)) = (self.shared.find(id), self.ledgers.get_mut(id)) else {
            return Ok(None);
        };
        let placements = shown.picture().unpainted();
        let first = ledger.sequence.next();
        let last = ledger.sequence.plus((placements.len() as u64).max(1));
        let epoch = (self.options.epochs)();
        let entry = Entry { epoch, first, last, at, change: Change::Reset { placements } };
        let row = ledger.row(&entry, &[]);
        let (bytes, old_layer, layer) = (row.value.len(), shown.picture().layer, self.next_number);
        let mut canvas = ledger.at_rest(&shown.picture());
        canvas.layer = layer;
        canvas.eras.push(Era { epoch, from: last });
        canvas.eras.drain(..canvas.eras.len().saturating_sub(ERAS_MAX));
        self.commit(|transaction| {
            put_next_number(transaction, layer + 1)?;
            put_canvas(transaction, shown.number, &canvas)?;
            transaction.open_table(LOG)?.insert(row.key, row.value.as_slice())?;
            transaction.open_table(RUBBISH)?.insert(old_layer, ())?;
            Ok(())
        })?;
        self.next_number = layer + 1;
        if let Some(ledger) = self.ledgers.get_mut(id) {
            ledger.sequence = last;
            ledger.epoch = epoch;
            ledger.histories = Histories::default();
        }
        self.chores.begin_layer(shown.number, old_layer);
        self.chores.logged(bytes as u64);
        {
            let mut picture = shown.change();
            picture.reset(canvas.eras, layer);
            picture.remember(Arc::new(entry));
        }
        shown.tell();
        self.recent.add(shown, bytes);
        self.recent.let_go(0);
        Ok(Some(Position { epoch, sequence: last }))
    }
}

impl Ledger {
    /// The canvas' row as it is now.
    fn at_rest(&self, picture: &Picture) -> CanvasRow {
        CanvasRow {
            canvas: Arc::clone(&self.canvas),
            layer: picture.layer,
            eras: picture.eras().to_vec(),
            rule_from: self.rule_from,
        }
    }
}

/// Its rows are removed later.
pub(super) fn remove_canvas(transaction: &WriteTransaction, number: u32, layer: u32) -> Result<(), Failure> {
    transaction.open_table(CANVASES)?.remove(number)?;
    let mut rubbish = transaction.open_table(RUBBISH)?;
    rubbish.insert(number, ())?;
    rubbish.insert(layer, ())?;
    Ok(())
}

pub(super) fn put_next_number(transaction: &WriteTransaction, next: u32) -> Result<(), Failure> {
    transaction.open_table(META)?.insert(META_NEXT_NUMBER, u64::from(next))?;
    Ok(())
}

pub(super) fn put_canvas(
    transaction: &WriteTransaction,
    number: u32,
    row: &CanvasRow,
) -> Result<(), Failure> {
    transaction.open_table(CANVASES)?.insert(number, row.encode().as_slice())?;
    Ok(())
}
