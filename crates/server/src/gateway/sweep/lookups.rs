//! Pixels on their way to the store, to learn who painted them, and the answers on the way back.

use std::collections::VecDeque;

use pixel_canvas::{CanvasId, Point};
use pixel_store::{Pixel, Store};
use tracing::debug;

use super::Sweeper;
use super::inbox::Command;
use crate::gateway::audience::Seat;
use crate::gateway::fatal::EndWithPanic;
use crate::gateway::session;

/// Pixels that one thread may have waiting to be looked up; beyond it: asked again later.
const LOOKUPS_WAITING_MAX: usize = 4_096;
/// Pixels that are looked up before the next ones have their turn.
const BATCH_LOOKUPS_MAX: usize = 256;

/// One pixel that a connection asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct LookUp {
    canvas: u32,
    seat: Seat,
    at: Point,
}

/// The pixels that a thread was asked for: one batch is under way at a time.
#[derive(Default)]
pub(super) struct LookUps {
    waiting: VecDeque<LookUp>,
    under_way: bool,
}

impl LookUps {
    /// Takes one for the next batch; `false` when too many wait already.
    pub(super) fn gather(&mut self, canvas: u32, seat: Seat, at: Point) -> bool {
        let room = self.waiting.len() < LOOKUPS_WAITING_MAX;
        if room {
            self.waiting.push_back(LookUp { canvas, seat, at });
        }
        room
    }
}

impl Sweeper {
    /// Has the next batch looked up, where none is under way.
    pub(super) fn look_up(&mut self) {
        if self.lookups.under_way || self.lookups.waiting.is_empty() {
            return;
        }
        let count = self.lookups.waiting.len().min(BATCH_LOOKUPS_MAX);
        let of = |lookup: LookUp| {
            let audience = self.audiences.get(&lookup.canvas);
            (lookup, audience.map(|audience| audience.canvas.id.clone()))
        };
        let batch: Vec<_> = self.lookups.waiting.drain(..count).map(of).collect();
        self.lookups.under_way = true;
        let (store, inbox) = (self.tools.store.clone(), self.inbox.clone());
        self.tools.runtime.spawn(async move {
            let _end = EndWithPanic;
            inbox.send(Command::LookedUp(find(&*store, batch).await));
        });
    }

    pub(super) fn tell_painters(&mut self, found: Vec<(LookUp, Option<Pixel>)>) {
        self.lookups.under_way = false;
        for (LookUp { canvas, seat, at }, pixel) in found {
            let Some(audience) = self.audiences.get(&canvas) else { continue };
            let Some(connection) = self.connections.get_mut(seat.place) else { continue };
            if connection.serial != seat.serial {
                continue;
            }
            connection.session.looked_up();
            if connection.goodbye().is_none() {
                let direct = connection.reader.direct();
                session::answer_painter(direct, at, pixel.as_ref(), &audience.canvas);
            }
            self.read_on(seat.place);
            self.owe(seat.place);
        }
    }
}

/// Looks pixels up one by one. A store that fails is not asked for the rest: each would wait in vain.
async fn find(store: &dyn Store, batch: Vec<(LookUp, Option<CanvasId>)>) -> Vec<(LookUp, Option<Pixel>)> {
    let mut failed = false;
    let mut found = Vec::with_capacity(batch.len());
    for (lookup, canvas) in batch {
        let pixel = match canvas.filter(|_| !failed) {
            None => None,
            Some(canvas) => match store.pixel(&canvas, lookup.at).await {
                Ok(pixel) => pixel,
                Err(failure) => {
                    debug!(error = &failure as &dyn std::error::Error, "a pixel could not be looked up");
                    failed = true;
                    None
                }
            },
        };
        found.push((lookup, pixel));
    }
    found
}
