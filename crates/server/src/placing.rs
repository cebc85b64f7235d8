//! The one way in for placements: bounded, and with an outcome for each submission whatever happens.

mod setbacks;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use pixel_canvas::{CanvasId, Refusal};
use pixel_store::{
    CALL_PLACEMENTS_MAX, CALL_SUBMISSIONS_MAX, Condition, Outcome, Store, StoreError, Submission, Trouble,
};
use tokio::sync::Semaphore;
use tokio::time::timeout_at;
use tracing::{debug, error, info};

use self::setbacks::Setbacks;
use crate::clock::Clock;
use crate::hop::{Hop, Placed};
use crate::telemetry::PlacingMetrics;

/// Placements under way in this process, waiting for the disk or the store.
pub(crate) const PLACEMENTS_IN_FLIGHT_MAX: usize = 131_072;
/// When to come back where more than that are under way, in milliseconds.
const BUSY_WAIT_MS: u64 = 250;
/// Whoever places is answered within this, whatever the store does: from when all that was asked is
/// here, with looking the canvas up and with waiting for the call before.
const PATIENCE: Duration = Duration::from_millis(1_800);

/// What became of what is unavailable.
const NOTHING_PAINTED: &str = "nothing was painted, come back in a moment";

/// Places submissions. Cheap to clone; all clones share one bound.
#[derive(Clone)]
pub(crate) struct Placer {
    way: Way,
    in_flight: Arc<Semaphore>,
    // std Mutex: held for one map operation, never across .await.
    setbacks: Arc<Mutex<Setbacks>>,
    metrics: PlacingMetrics,
    clock: Clock,
}

/// Where calls go.
#[derive(Clone)]
enum Way {
    /// The store of this process.
    Store(Arc<dyn Store>),
    /// An api of another process.
    Hop(Arc<Hop>),
}

impl Placer {
    /// Places in `store`.
    pub(crate) fn new(store: Arc<dyn Store>, metrics: PlacingMetrics, clock: Clock) -> Self {
        Self::by(Way::Store(store), metrics, clock)
    }

    /// Hands on to the apis of other processes.
    pub(crate) fn over(hop: Arc<Hop>, metrics: PlacingMetrics, clock: Clock) -> Self {
        Self::by(Way::Hop(hop), metrics, clock)
    }

    fn by(way: Way, metrics: PlacingMetrics, clock: Clock) -> Self {
        let in_flight = Arc::new(Semaphore::new(PLACEMENTS_IN_FLIGHT_MAX));
        Self { way, in_flight, setbacks: Arc::default(), metrics, clock }
    }

    /// Until when what came at `since` has to be answered.
    pub(crate) fn deadline(&self, since: Instant) -> Instant {
        since + PATIENCE
    }

    /// Places submissions in their order; one outcome each, in the same order, by the deadline.
    ///
    /// A failing store becomes a refusal that says whether something may have happened. It is
    /// logged as an error when it begins to fail; the metrics count the rest.
    pub(crate) async fn place(
        &self,
        canvas: &CanvasId,
        submissions: Vec<Submission>,
        deadline: Instant,
    ) -> Vec<Outcome> {
        let placements: usize =
            submissions.iter().map(|submission| submission.act.placements_max().max(1)).sum();
        let wanted = u32::try_from(placements).unwrap_or(u32::MAX);
        let Ok(_permit) = self.in_flight.try_acquire_many(wanted) else {
            let outcomes = vec![Outcome::Refused(Refusal::Busy { wait_ms: BUSY_WAIT_MS }); submissions.len()];
            self.count(&outcomes);
            return outcomes;
        };
        let mut outcomes = Vec::with_capacity(submissions.len());
        for call in calls(submissions) {
            let count = call.len();
            let placed = match self.is_open(canvas, deadline) {
                true => self.call(canvas, call, deadline).await,
                false => Err(Refusal::Unavailable),
            };
            outcomes.extend(placed.unwrap_or_else(|refusal| vec![Outcome::Refused(refusal); count]));
        }
        self.count(&outcomes);
        outcomes
    }

    /// Makes one call; where the store fails, what all of it is refused with.
    async fn call(
        &self,
        canvas: &CanvasId,
        call: Vec<Submission>,
        deadline: Instant,
    ) -> Result<Vec<Outcome>, Refusal> {
        let begun = self.clock.now();
        let placed = match &self.way {
            // Where nobody answers in time it may be written all the same.
            Way::Store(store) => timeout_at(deadline.into(), store.place(canvas, call))
                .await
                .unwrap_or_else(|late| Err(StoreError::Unknown(late.into())))
                .map(|outcomes| Placed { outcomes, trouble: None }),
            Way::Hop(hop) => hop.place(canvas, call, deadline.into()).await,
        };
        let ended = self.clock.now();
        let took = ended.duration_since(begun);
        self.metrics.call_seconds.observe(took.as_secs_f64());
        match placed {
            Ok(Placed { outcomes, trouble: Some(trouble) }) => {
                let mut setbacks = self.setbacks();
                if !setbacks.is_paused(canvas, ended) {
                    // An api answered: it decides itself whom it keeps from asking the store.
                    setbacks.fail(canvas, trouble, Duration::ZERO, ended);
                }
                Ok(outcomes)
            }
            Ok(Placed { outcomes, trouble: None }) => {
                if self.setbacks().succeed(canvas, ended) {
                    info!(canvas.id = %canvas, "placing on canvas {canvas} works again");
                }
                Ok(outcomes)
            }
            Err(failure) => {
                let tell = self.setbacks().fail(canvas, failure.trouble(), took, ended);
                Err(explain(&failure, canvas, tell))
            }
        }
    }

    /// Whether a call has time left, and would not wait in vain as far as is known.
    fn is_open(&self, canvas: &CanvasId, deadline: Instant) -> bool {
        let now = self.clock.now();
        let away = match &self.way {
            Way::Store(store) => matches!(store.condition_of(canvas), Condition::Away(..)),
            Way::Hop(_) => false,
        };
        now < deadline && !away && !self.setbacks().is_paused(canvas, now)
    }

    /// What the store is in, as far as placing on this canvas shows.
    pub(crate) fn trouble(&self, canvas: &CanvasId) -> Trouble {
        let found = match &self.way {
            Way::Store(store) => store.condition_of(canvas).trouble().map(|(trouble, _)| trouble),
            Way::Hop(_) => None,
        };
        found.or_else(|| self.setbacks().trouble(canvas)).unwrap_or(Trouble::Silent)
    }

    /// Why nothing could be placed on this canvas, for who tried.
    pub(crate) fn unavailable(&self, canvas: &CanvasId) -> String {
        match (&self.way, self.trouble(canvas)) {
            // The store may be well: it is asked by others, and none of them answers.
            (Way::Hop(_), Trouble::Other) => format!("no api answers: {NOTHING_PAINTED}"),
            (_, trouble) => format!("{trouble}: {NOTHING_PAINTED}"),
        }
    }

    fn setbacks(&self) -> MutexGuard<'_, Setbacks> {
        self.setbacks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts what became of submissions; those that were never placed, too.
    pub(crate) fn count(&self, outcomes: &[Outcome]) {
        for outcome in outcomes {
            match outcome {
                Outcome::Accepted(accepted) => self.metrics.accepted.inc_by(u64::from(accepted.count)),
                Outcome::Refused(refusal) => self.metrics.refused(reason(refusal)),
            };
        }
    }
}

/// Logs a failure, loudly where that is to be told; what is answered.
fn explain(failure: &StoreError, canvas: &CanvasId, tell: bool) -> Refusal {
    let cause = failure as &dyn std::error::Error;
    if tell {
        error!(canvas.id = %canvas, error = cause, "placing on canvas {canvas} failed");
    } else {
        debug!(canvas.id = %canvas, error = cause, "placing on canvas {canvas} failed");
    }
    match failure {
        StoreError::Unavailable(_) => Refusal::Unavailable,
        StoreError::Unknown(_) => Refusal::Unknown,
    }
}

/// Splits submissions into calls that keep the store's bounds.
fn calls(submissions: Vec<Submission>) -> Vec<Vec<Submission>> {
    let mut calls: Vec<Vec<Submission>> = Vec::new();
    let mut placements = 0;
    for submission in submissions {
        let fits = placements + submission.act.placements_max() <= CALL_PLACEMENTS_MAX;
        match calls.last_mut() {
            Some(call) if fits && call.len() < CALL_SUBMISSIONS_MAX => {
                placements += submission.act.placements_max();
                call.push(submission);
            }
            _ => {
                placements = submission.act.placements_max();
                calls.push(vec![submission]);
            }
        }
    }
    calls
}

/// The refusal as a metric's label.
fn reason(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::Outside { .. } => "outside",
        Refusal::NotAColor(_) | Refusal::NotInPalette(_) | Refusal::NotAnIndex { .. } => "color",
        Refusal::Count { .. } => "count",
        Refusal::NeverEnough { .. } => "never_enough",
        Refusal::Cooldown { .. } => "cooldown",
        Refusal::Rate { .. } => "rate",
        Refusal::KeyReused => "key_reused",
        Refusal::Busy { .. } => "busy",
        Refusal::Frozen => "frozen",
        Refusal::NoCanvas => "no_canvas",
        Refusal::Unavailable => "unavailable",
        Refusal::Unknown => "unknown",
        Refusal::NothingToUndo => "nothing_to_undo",
        Refusal::NothingToRedo => "nothing_to_redo",
    }
}

#[cfg(test)]
mod tests {
    use pixel_canvas::{Author, Color, Identity, Name, Placement, Point};
    use pixel_store::Act;

    use super::*;

    fn submission(placements: usize) -> Submission {
        let placement = Placement { at: Point { x: 0, y: 0 }, color: Color::WHITE };
        Submission {
            author: Author { identity: Identity([0; 16]), address: None, since: None },
            name: Name::anonymous(),
            key: None,
            act: Act::Place(vec![placement; placements]),
        }
    }

    #[test]
    fn calls_keep_order_and_the_stores_bounds() {
        let sizes = [1_000, 1_000, 1_000, 1_000, 97, 1, 1_024];
        let split = calls(sizes.map(submission).to_vec());
        let lengths: Vec<Vec<usize>> = split
            .iter()
            .map(|call| call.iter().map(|submission| submission.act.placements_max()).collect())
            .collect();
        assert_eq!(lengths, [vec![1_000; 4], vec![97, 1, 1_024]]);
        let many = calls(vec![submission(1); CALL_SUBMISSIONS_MAX + 1]);
        assert_eq!(many.iter().map(Vec::len).collect::<Vec<_>>(), [CALL_SUBMISSIONS_MAX, 1]);
    }
}
