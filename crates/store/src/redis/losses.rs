//! What this process acknowledged lately, held against the history that there is: a server that was
//! restarted or promoted without it has lost it, and that is counted and said.

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
/// A canvas is forgotten on which nothing was acknowledged for so many comparisons, one a second.
const IDLE_COMPARISONS_MAX: u32 = 3_600;

/// What was acknowledged, and how much of it was lost.
#[derive(Debug, Default)]
pub(crate) struct Losses {
    acknowledged: Mutex<HashMap<Life, Acknowledged>>,
    lost: AtomicU64,
}

/// A canvas between being made and being gone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Life {
    pub(crate) canvas: CanvasId,
    /// Tells it from others of the same id.
    pub(crate) life: Vec<u8>,
}

/// What was acknowledged of one canvas.
#[derive(Debug, Default)]
pub(crate) struct Acknowledged {
    ranges: VecDeque<Range>,
    idle: u32,
}

/// Placements acknowledged in one epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    epoch: Epoch,
    first: Sequence,
    last: Sequence,
}

/// What became of a canvas.
pub(crate) enum History {
    /// It has these eras, and ends here.
    Stands(Vec<Era>, Sequence),
    /// The host deleted it.
    Deleted,
    /// One like it was put back from a backup in its place.
    Replaced,
    /// It is gone, or another is in its place, and nobody deleted it.
    Vanished,
}

impl Losses {
    /// Placements lost since this process began.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Remembers what is acknowledged.
    pub(crate) fn acknowledge<'a>(
        &self,
        id: &CanvasId,
        life: &[u8],
        accepted: impl Iterator<Item = &'a Accepted>,
    ) {
        let mut all = self.lock();
        let of_canvas = all.entry(Life { canvas: id.clone(), life: life.to_vec() }).or_default();
        of_canvas.idle = 0;
        for one in accepted {
            let (epoch, first, last) = (one.epoch, one.first, one.last());
            match of_canvas.ranges.back_mut() {
                Some(range) if range.epoch == epoch && range.last.next() == first => range.last = last,
                _ => of_canvas.ranges.push_back(Range { epoch, first, last }),
            }
        }
        of_canvas.bound();
    }

    /// The host deleted the canvas: nothing of it can be lost. The server's own mark says so too, but
    /// a server that comes back empty has lost that with all else.
    pub(crate) fn forget(&self, id: &CanvasId) {
        self.lock().retain(|of, _| of.canvas != *id);
    }

    /// Takes out what was acknowledged so far, to be compared with a history that is read after
    /// this: what is acknowledged meanwhile may not be in it.
    pub(crate) fn take(&self) -> Vec<(Life, Acknowledged)> {
        self.lock().drain().collect()
    }

    /// Puts back what could not be compared.
    pub(crate) fn put_back(&self, of: Life, mut before: Acknowledged) {
        let mut all = self.lock();
        if let Some(since) = all.remove(&of) {
            before.ranges.extend(since.ranges);
            before.idle = since.idle;
            before.bound();
        }
        if before.idle < IDLE_COMPARISONS_MAX {
            all.insert(of, before);
        }
    }

    /// Compares what was taken out with what became of the canvas. What it lacks is counted, and
    /// the rest is put back.
    pub(crate) fn compare(&self, of: Life, mut acknowledged: Acknowledged, history: &History) {
        acknowledged.idle += 1;
        let lost = match history {
            History::Deleted | History::Replaced => return,
            History::Vanished => union(acknowledged.ranges.drain(..)),
            History::Stands(eras, last) => acknowledged.cut(eras, *last),
        };
        if lost > 0 {
            self.lost.fetch_add(lost, Ordering::Relaxed);
            let id = &of.canvas;
            error!(
                canvas.id = %id,
                lost,
                "the Redis server lost {lost} acknowledged placements of canvas {id}: it was restarted, \
                 promoted or emptied without them"
            );
        }
        if !acknowledged.ranges.is_empty() {
            self.put_back(of, acknowledged);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Life, Acknowledged>> {
        self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Acknowledged {
    fn bound(&mut self) {
        let surplus = self.ranges.len().saturating_sub(RANGES_MAX);
        self.ranges.drain(..surplus);
    }

    /// Cuts off what a canvas of these eras, which ends at `last`, lacks; how much that is.
    fn cut(&mut self, eras: &[Era], last: Sequence) -> u64 {
        let (Some(oldest), Some(newest)) = (eras.first(), eras.last()) else { return 0 };
        let mut lost = Vec::new();
        for range in &mut self.ranges {
            // A history that is not led through from the range's epoch began where a server
            // took over: it has what came before.
            let reaches = match eras.iter().any(|era| era.epoch == range.epoch) {
                true if range.epoch == newest.epoch => last,
                true => continue,
                false => oldest.from,
            };
            let kept = range.last.min(reaches.max(Sequence(range.first.0 - 1)));
            if kept < range.last {
                lost.push(Range { first: kept.next(), ..*range });
            }
            *range = Range { epoch: newest.epoch, last: kept, ..*range };
        }
        self.ranges.retain(|range| range.first <= range.last);
        union(lost.into_iter())
    }
}

/// How many placements lie in these ranges: one that was acknowledged again counts once.
fn union(ranges: impl Iterator<Item = Range>) -> u64 {
    let mut ranges: Vec<Range> = ranges.collect();
    ranges.sort_unstable_by_key(|range| (range.epoch.0, range.first));
    let (mut count, mut before) = (0, None::<Range>);
    for range in ranges {
        let seen = before.filter(|before| before.epoch == range.epoch).map_or(0, |before| before.last.0);
        count += (range.last.0 + 1).saturating_sub(range.first.0.max(seen + 1));
        let last = range.last.max(Sequence(seen));
        before = Some(Range { last, ..range });
    }
    count
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

    fn compare(losses: &Losses, history: &History) -> u64 {
        let before = losses.lost();
        for (of, acknowledged) in losses.take() {
            losses.compare(of, acknowledged, history);
        }
        losses.lost() - before
    }

    /// Acknowledges 1 to 10, 12 and 20 to 24 in epoch 1, some twice, then compares.
    fn compared(eras: &[Era], last: u64) -> (Losses, u64) {
        let losses = Losses::default();
        let all = [(1, 4), (5, 6), (12, 1), (20, 5), (12, 1), (21, 2)];
        let all = all.map(|(first, count)| accepted(1, first, count));
        losses.acknowledge(&CanvasId::default_canvas(), b"life", all.iter());
        let lost = compare(&losses, &History::Stands(eras.to_vec(), Sequence(last)));
        assert_eq!(
            compare(&losses, &History::Stands(eras.to_vec(), Sequence(last))),
            0,
            "it is counted once"
        );
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
        let (losses, _) = compared(&[era(2, 11)], 30);
        losses.acknowledge(&CanvasId::default_canvas(), b"life", [accepted(2, 12, 3)].iter());
        assert_eq!(compare(&losses, &History::Stands(vec![era(3, 13)], Sequence(13))), 1);
    }

    #[test]
    fn what_is_acknowledged_while_a_history_is_read_is_not_held_against_it() {
        let (losses, id) = (Losses::default(), CanvasId::default_canvas());
        losses.acknowledge(&id, b"life", [accepted(1, 1, 3)].iter());
        let mut taken = losses.take();
        losses.acknowledge(&id, b"life", [accepted(1, 4, 2)].iter());
        let (of, acknowledged) = taken.remove(0);
        losses.compare(of, acknowledged, &History::Stands(vec![era(1, 0)], Sequence(3)));
        assert_eq!(losses.lost(), 0);
        assert_eq!(
            compare(&losses, &History::Stands(vec![era(1, 0)], Sequence(2))),
            3,
            "but it is remembered"
        );
    }

    #[test]
    fn a_canvas_that_vanished_has_lost_everything_and_a_deleted_one_nothing() {
        let (losses, id) = (Losses::default(), CanvasId::default_canvas());
        losses.acknowledge(&id, b"life", [accepted(1, 1, 3)].iter());
        assert_eq!(compare(&losses, &History::Deleted), 0);
        losses.acknowledge(&id, b"life", [accepted(1, 1, 3), accepted(1, 1, 3)].iter());
        assert_eq!(compare(&losses, &History::Vanished), 3);
        losses.acknowledge(&id, b"another", [accepted(9, 1, 2)].iter());
        assert_eq!(compare(&losses, &History::Stands(vec![era(9, 0)], Sequence(2))), 0);
    }

    #[test]
    fn what_a_canvas_lost_is_counted_though_another_is_painted_on_in_its_place() {
        let (losses, id) = (Losses::default(), CanvasId::default_canvas());
        losses.acknowledge(&id, b"life", [accepted(1, 1, 3)].iter());
        losses.acknowledge(&id, b"another", [accepted(9, 1, 2)].iter());
        for (of, acknowledged) in losses.take() {
            let stands = History::Stands(vec![era(9, 0)], Sequence(2));
            let history = if of.life == b"life" { &History::Vanished } else { &stands };
            losses.compare(of, acknowledged, history);
        }
        assert_eq!(losses.lost(), 3);
    }
}
