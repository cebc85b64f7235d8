//! What this process acknowledged lately, held against the history that there is: a server that was
//! promoted without it has lost it, and that is counted and said.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use pixel_canvas::{CanvasId, Epoch, Sequence};
use tracing::error;

use crate::Accepted;
use crate::embedded::picture::Era;

/// The most ranges of sequences that are remembered of a canvas; neighbours are one range. Of a
/// loss that reaches further back, only these are counted.
const RANGES_MAX: usize = 4_096;

/// What was acknowledged, and how much of it was lost.
#[derive(Debug, Default)]
pub(crate) struct Losses {
    acknowledged: Mutex<HashMap<CanvasId, VecDeque<Range>>>,
    lost: AtomicU64,
}

/// Placements acknowledged in one epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    epoch: Epoch,
    first: Sequence,
    last: Sequence,
}

impl Losses {
    /// Placements lost since this process began.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Remembers what is acknowledged.
    pub(crate) fn acknowledge<'a>(&self, id: &CanvasId, accepted: impl Iterator<Item = &'a Accepted>) {
        let mut acknowledged = self.lock();
        let ranges = acknowledged.entry(id.clone()).or_default();
        for one in accepted {
            let (epoch, first, last) = (one.epoch, one.first, one.last());
            match ranges.back_mut() {
                Some(range) if range.epoch == epoch && range.last.next() == first => range.last = last,
                _ => ranges.push_back(Range { epoch, first, last }),
            }
        }
        let surplus = ranges.len().saturating_sub(RANGES_MAX);
        ranges.drain(..surplus);
    }

    /// The canvases that something was acknowledged on.
    pub(crate) fn canvases(&self) -> Vec<CanvasId> {
        self.lock().keys().cloned().collect()
    }

    /// The canvas is gone, with all that was acknowledged on it.
    pub(crate) fn forget(&self, id: &CanvasId) {
        self.lock().remove(id);
    }

    /// Compares with a canvas of these eras, which ends at `last`. What it lacks is counted once.
    pub(crate) fn compare(&self, id: &CanvasId, eras: &[Era], last: Sequence) {
        let (Some(oldest), Some(newest)) = (eras.first(), eras.last()) else { return };
        let mut lost = 0;
        if let Some(ranges) = self.lock().get_mut(id) {
            for range in ranges.iter_mut() {
                // A history that is not led through from the range's epoch began where a server
                // took over: it has what came before.
                let reaches = match eras.iter().any(|era| era.epoch == range.epoch) {
                    true if range.epoch == newest.epoch => last,
                    true => continue,
                    false => oldest.from,
                };
                let kept = range.last.min(reaches.max(Sequence(range.first.0 - 1)));
                lost += range.last.0 - kept.0;
                *range = Range { epoch: newest.epoch, last: kept, ..*range };
            }
            ranges.retain(|range| range.first <= range.last);
        }
        if lost > 0 {
            self.lost.fetch_add(lost, Ordering::Relaxed);
            error!(
                canvas.id = %id,
                lost,
                "the Redis server lost {lost} acknowledged placements of canvas {id}: it was restarted or \
                 promoted without them"
            );
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<CanvasId, VecDeque<Range>>> {
        self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use pixel_canvas::{Standing, Timestamp};

    use super::*;

    fn accepted(epoch: u64, first: u64, count: u32) -> Accepted {
        let (epoch, first, at) = (Epoch(epoch), Sequence(first), Timestamp(0));
        Accepted { first, count, epoch, at, standing: Standing::UNLIMITED }
    }

    fn era(epoch: u64, from: u64) -> Era {
        Era { epoch: Epoch(epoch), from: Sequence(from) }
    }

    /// Acknowledges 1 to 10, 12 and 20 to 24 in epoch 1, then compares.
    fn compared(eras: &[Era], last: u64) -> (Losses, u64) {
        let (losses, id) = (Losses::default(), CanvasId::default_canvas());
        let all = [accepted(1, 1, 4), accepted(1, 5, 6), accepted(1, 12, 1), accepted(1, 20, 5)];
        losses.acknowledge(&id, all.iter());
        losses.compare(&id, eras, Sequence(last));
        let lost = losses.lost();
        losses.compare(&id, eras, Sequence(last));
        assert_eq!(losses.lost(), lost, "it is counted once");
        (losses, lost)
    }

    #[test]
    fn what_a_promoted_server_lacks_is_counted_exactly() {
        assert_eq!(compared(&[era(1, 0)], 24).1, 0);
        assert_eq!(compared(&[era(1, 0)], 30).1, 0);
        assert_eq!(compared(&[era(1, 0)], 22).1, 2, "nobody has painted since");
        assert_eq!(compared(&[era(2, 24)], 30).1, 0, "restarted with everything");
        assert_eq!(compared(&[era(2, 11)], 30).1, 6);
        assert_eq!(compared(&[era(2, 0)], 0).1, 16, "it came back with nothing");
        assert_eq!(compared(&[era(1, 0), era(2, 25)], 30).1, 0, "a reset loses nothing");
    }

    #[test]
    fn what_is_acknowledged_after_a_loss_can_be_lost_too() {
        let (losses, lost) = compared(&[era(2, 11)], 30);
        let id = CanvasId::default_canvas();
        losses.acknowledge(&id, [accepted(2, 12, 3)].iter());
        losses.compare(&id, &[era(3, 13)], Sequence(13));
        assert_eq!(losses.lost() - lost, 1);
    }
}
