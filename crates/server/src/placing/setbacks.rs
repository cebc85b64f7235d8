//! The canvases whose last call failed: how, and until when no other call is made.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use pixel_canvas::CanvasId;
use pixel_canvas::canvas::CANVASES_MAX;
use pixel_store::Trouble;

/// After a call that nobody answered, others are refused at once for so long: they may have waited
/// behind it already, and would wait in vain once more.
const PAUSE: Duration = Duration::from_millis(500);
/// A call that failed this soon kept nobody waiting.
const SOON: Duration = Duration::from_millis(250);

#[derive(Debug)]
struct Setback {
    trouble: Trouble,
    /// Until when calls are refused at once.
    pause: Option<Instant>,
    /// The log says so: clients that try again must not fill the disk.
    told: bool,
}

/// One canvas may fail while others work: each has its own. More than there may be are not paused.
#[derive(Debug, Default)]
pub(super) struct Setbacks(HashMap<CanvasId, Setback>);

impl Setbacks {
    /// A call failed that took so long. Says whether to log it as an error: what a store looks out
    /// for by itself, it also tells of by itself.
    pub(super) fn fail(&mut self, canvas: &CanvasId, trouble: Trouble, took: Duration, now: Instant) -> bool {
        let told = self.0.get(canvas).is_some_and(|setback| setback.told);
        let tell = trouble == Trouble::Other && !told;
        if self.0.len() >= CANVASES_MAX && !self.0.contains_key(canvas) {
            self.0.retain(|_, setback| setback.pauses(now));
        }
        if self.0.len() < CANVASES_MAX || self.0.contains_key(canvas) {
            let pause = (took > SOON).then_some(now + PAUSE);
            self.0.insert(canvas.clone(), Setback { trouble, pause, told: told || tell });
        }
        tell
    }

    /// A call was answered. Says whether the log told that the one before failed. One that began before
    /// another failed does not end that one's pause.
    pub(super) fn succeed(&mut self, canvas: &CanvasId, now: Instant) -> bool {
        if self.is_paused(canvas, now) {
            return false;
        }
        self.0.remove(canvas).is_some_and(|setback| setback.told)
    }

    pub(super) fn is_paused(&self, canvas: &CanvasId, now: Instant) -> bool {
        self.0.get(canvas).is_some_and(|setback| setback.pauses(now))
    }

    /// How its last call failed, if it did.
    pub(super) fn trouble(&self, canvas: &CanvasId) -> Option<Trouble> {
        self.0.get(canvas).map(|setback| setback.trouble)
    }
}

impl Setback {
    fn pauses(&self, now: Instant) -> bool {
        self.pause.is_some_and(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    const LONG: Duration = Duration::from_millis(1_500);

    fn canvas(id: &str) -> CanvasId {
        CanvasId::parse(id).expect("an id")
    }

    #[test]
    fn a_canvas_that_kept_people_waiting_pauses_alone() {
        let (mut setbacks, now) = (Setbacks::default(), Clock.now());
        let (one, other) = (canvas("one"), canvas("other"));
        setbacks.fail(&one, Trouble::Silent, LONG, now);
        setbacks.fail(&other, Trouble::Away, SOON, now);
        assert!(setbacks.is_paused(&one, now) && !setbacks.is_paused(&other, now));
        assert!(!setbacks.is_paused(&canvas("third"), now));
        assert_eq!(setbacks.trouble(&one), Some(Trouble::Silent));
        // A call that began before is answered late.
        setbacks.succeed(&one, now);
        assert!(setbacks.is_paused(&one, now));
        assert!(!setbacks.is_paused(&one, now + PAUSE));
        setbacks.succeed(&one, now + PAUSE);
        assert_eq!(setbacks.trouble(&one), None);
    }

    #[test]
    fn what_the_store_does_not_tell_is_told_once_until_it_works_again() {
        let (mut setbacks, now, one) = (Setbacks::default(), Clock.now(), canvas("one"));
        assert!(!setbacks.fail(&one, Trouble::Full, SOON, now));
        assert!(!setbacks.succeed(&one, now));
        assert!(setbacks.fail(&one, Trouble::Other, SOON, now));
        assert!(!setbacks.fail(&one, Trouble::Other, SOON, now));
        assert!(!setbacks.fail(&one, Trouble::Away, SOON, now));
        assert!(setbacks.succeed(&one, now));
        assert!(!setbacks.succeed(&one, now));
    }

    #[test]
    fn no_more_are_remembered_than_the_bound() {
        let (mut setbacks, now) = (Setbacks::default(), Clock.now());
        for number in 0..CANVASES_MAX {
            setbacks.fail(&canvas(&format!("c{number}")), Trouble::Silent, LONG, now);
        }
        let late = canvas("late");
        setbacks.fail(&late, Trouble::Silent, LONG, now);
        assert_eq!((setbacks.0.len(), setbacks.is_paused(&late, now)), (CANVASES_MAX, false));
        // Those whose pause is over make room.
        setbacks.fail(&late, Trouble::Silent, LONG, now + PAUSE);
        assert_eq!((setbacks.0.len(), setbacks.is_paused(&late, now + PAUSE)), (1, true));
    }
}
