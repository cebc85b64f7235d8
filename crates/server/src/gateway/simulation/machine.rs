//! The modelled store itself: a log that becomes durable late, and what is left of it after a crash.

use std::collections::BTreeMap;
use std::sync::Arc;

use pixel_canvas::{Amendment, Canvas, ChunkId, Entry, Epoch, Rate, Sequence, Timestamp};
use pixel_store::{Outcome, Overview, Position, Snapshot, Submission};

use super::ledger::{Ledger, picture};

/// What an acknowledgement means here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Promise {
    /// What was shown or acknowledged is durable.
    Durable,
    /// What was acknowledged lately may be lost, under another epoch.
    Lossy,
}

/// One step of the log, with what it takes to decide it again.
pub(super) struct Logged {
    pub(super) entry: Arc<Entry>,
    /// The epoch before it.
    before: Epoch,
    /// What was accepted; nothing in a reset.
    pub(super) accepted: Vec<Submission>,
}

/// A stretch of history under one epoch.
struct Era {
    epoch: Epoch,
    /// It holds what comes after this.
    after: Sequence,
    /// Nothing was lost before it: a reset began it.
    by_reset: bool,
}

/// The store's machine: one canvas.
pub(super) struct Machine {
    pub(super) promise: Promise,
    pub(super) ledger: Ledger,
    pub(super) log: Vec<Logged>,
    /// So much of the log would be there after a crash.
    durable: usize,
    /// So much of the log do readers see.
    shown: usize,
    /// The log's beginning is gone up to here, for tails.
    trimmed: usize,
    eras: Vec<Era>,
    /// How often the host changed the canvas.
    pub(super) amended: u32,
    blank: Canvas,
    rate: Option<Rate>,
    pub(super) running: bool,
    /// Every start is another.
    pub(super) generation: u64,
    /// What was acknowledged or shown, and is gone: only where that is not promised.
    pub(super) lost: Vec<Logged>,
}

impl Machine {
    pub(super) fn new(canvas: Canvas, epoch: Epoch, rate: Option<Rate>, promise: Promise) -> Self {
        Self {
            promise,
            ledger: Ledger::new(Arc::new(canvas.clone()), epoch, rate),
            log: Vec::new(),
            durable: 0,
            shown: 0,
            trimmed: 0,
            eras: vec![Era { epoch, after: Sequence::ZERO, by_reset: false }],
            amended: 0,
            blank: canvas,
            rate,
            running: true,
            generation: 0,
            lost: Vec::new(),
        }
    }

    /// Decides a call; how much of the log must be shown before it is acknowledged.
    pub(super) fn place(&mut self, call: Vec<Submission>, at: Timestamp) -> (Vec<Outcome>, usize) {
        let before = self.ledger.epoch;
        let (outcomes, made) = self.ledger.decide(call, at);
        if let Some((accepted, entry)) = made {
            self.append(Logged { entry: Arc::new(entry), before, accepted });
        }
        (outcomes, self.log.len())
    }

    /// Puts every pixel back to the background.
    pub(super) fn reset(&mut self, epoch: Epoch, at: Timestamp) {
        let before = self.ledger.epoch;
        let entry = self.ledger.reset(epoch, at);
        self.eras.push(Era { epoch, after: entry.last, by_reset: true });
        self.append(Logged { entry: Arc::new(entry), before, accepted: Vec::new() });
    }

    /// The host changes the canvas.
    pub(super) fn amend(&mut self, amendment: &Amendment) {
        let mut canvas = Canvas::clone(&self.ledger.canvas);
        canvas.amend(amendment).expect("the change is one that can be made");
        self.ledger.canvas = Arc::new(canvas);
        self.amended += 1;
    }

    fn append(&mut self, logged: Logged) {
        self.log.push(logged);
        if self.promise == Promise::Lossy {
            self.shown = self.log.len();
        }
    }

    /// So much of the log has reached the disk.
    pub(super) fn sync(&mut self, durable: usize) {
        self.durable = self.durable.max(durable);
        self.shown = self.shown.max(durable);
    }

    /// How much of the log is not durable.
    pub(super) fn unsynced(&self) -> usize {
        self.log.len() - self.durable
    }

    /// How much of the log do readers see.
    pub(super) fn shown(&self) -> usize {
        self.shown
    }

    /// Power is lost: of what was not durable, only `kept` entries are there afterwards.
    pub(super) fn crash(&mut self, kept: usize) {
        self.running = false;
        self.generation += 1;
        let gone = self.log.split_off(self.durable + kept);
        let unseen = self.shown.saturating_sub(self.log.len());
        self.lost.extend(gone.into_iter().take(unseen));
        self.durable = self.log.len();
        self.shown = self.log.len();
        self.trimmed = self.trimmed.min(self.shown);
        let top = self.top();
        self.eras.retain(|era| era.after <= top);
        self.replay();
    }

    /// It is there again, under this epoch where it is another one.
    pub(super) fn restart(&mut self, epoch: Option<Epoch>) {
        self.running = true;
        if let Some(epoch) = epoch {
            self.ledger.epoch = epoch;
            self.eras.push(Era { epoch, after: self.top(), by_reset: false });
        }
    }

    /// The state after the log that is left: decided again, since refusals leave no trace.
    fn replay(&mut self) {
        let canvas = Arc::clone(&self.ledger.canvas);
        let thawed = Canvas { frozen: false, ..self.blank.clone() };
        self.ledger = Ledger::new(Arc::new(thawed), self.eras[0].epoch, self.rate);
        for Logged { entry, before, accepted } in &self.log {
            self.ledger.epoch = *before;
            if accepted.is_empty() {
                self.ledger.reset(entry.epoch, entry.at);
            } else {
                let (_, made) = self.ledger.decide(accepted.clone(), entry.at);
                let same = made.is_some_and(|(_, again)| again == **entry);
                assert!(same, "the model decides the same again: {entry:?}");
            }
        }
        self.ledger.epoch = self.eras.last().expect("the first stays").epoch;
        self.ledger.canvas = canvas;
    }

    /// Forgets the beginning of the log, for tails.
    pub(super) fn trim(&mut self, entries: usize) {
        self.trimmed = (self.trimmed + entries).min(self.shown);
    }

    fn top(&self) -> Sequence {
        self.log.last().map_or(Sequence::ZERO, |logged| logged.entry.last)
    }

    fn seen(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.log[..self.shown].iter().map(|logged| &logged.entry)
    }

    /// Where readers are.
    pub(super) fn position(&self) -> Position {
        let sequence = self.seen().last().map_or(Sequence::ZERO, |entry| entry.last);
        let epoch = self.era_at(self.shown).epoch;
        Position { epoch, sequence }
    }

    /// The era that holds after so much of the log. What is not shown may have begun another already.
    fn era_at(&self, length: usize) -> &Era {
        let to = self.log[..length].last().map_or(Sequence::ZERO, |logged| logged.entry.last);
        self.eras.iter().rfind(|era| era.after <= to).expect("the first begins at zero")
    }

    /// The earliest position from which a tail can be read in this epoch.
    pub(super) fn tail_start(&self) -> Position {
        let Position { epoch, .. } = self.position();
        let trimmed = self.log[..self.trimmed].last().map_or(Sequence::ZERO, |logged| logged.entry.last);
        Position { epoch, sequence: self.era_at(self.shown).after.max(trimmed) }
    }

    /// Where in the log a tail from here goes on; `None` where it cannot.
    pub(super) fn seek(&self, after: Position) -> Option<usize> {
        let known = self.eras.iter().rposition(|era| era.epoch == after.epoch)?;
        let led_on = self.eras[known + 1..].iter().all(|era| era.by_reset);
        let end = self.eras.get(known + 1).map_or(self.position().sequence, |era| era.after);
        let began = self.eras[known].after;
        let place = self.log[..self.shown].partition_point(|logged| logged.entry.last <= after.sequence);
        let within = began <= after.sequence && after.sequence <= end;
        (led_on && within && place >= self.trimmed).then_some(place)
    }

    /// The chunks as they are shown.
    pub(super) fn view(&self, chunks: &[ChunkId]) -> Vec<Snapshot> {
        let painted = picture(self.seen());
        let canvas = &self.blank;
        let bytes = canvas.palette.bytes_per_pixel();
        let snapshot = |id: &ChunkId| {
            let size = canvas.size.chunk_size(*id);
            let mut one = vec![0; bytes];
            canvas.palette.store(canvas.background, &mut one);
            let mut pixels = one.repeat(size.pixels() as usize);
            let mut changed = Sequence::ZERO;
            for ((x, y), (color, sequence)) in &painted {
                let at = pixel_canvas::Point { x: *x, y: *y };
                if at.chunk() == *id {
                    let (column, row) = at.within();
                    let start = (usize::from(row) * size.width() as usize + usize::from(column)) * bytes;
                    canvas.palette.store(*color, &mut pixels[start..start + bytes]);
                    changed = changed.max(*sequence);
                }
            }
            Snapshot { id: *id, changed, pixels: Arc::new(pixels) }
        };
        chunks.iter().map(snapshot).collect()
    }

    /// The last change of each painted chunk.
    pub(super) fn overview(&self) -> Overview {
        let mut changed = BTreeMap::new();
        for ((x, y), (_, sequence)) in picture(self.seen()) {
            let last = changed.entry(pixel_canvas::Point { x, y }.chunk()).or_insert(sequence);
            *last = sequence.max(*last);
        }
        Overview { position: self.position(), changed: changed.into_iter().collect() }
    }
}
