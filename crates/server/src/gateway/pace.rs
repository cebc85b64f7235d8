//! When changes that wait go out: at once while they are rare, once an interval while they keep coming. Pure.

use std::time::Duration;

use tokio::time::Instant;

/// Sweeps that a quiet time earns, to be spent at once: changes may come in clumps and still be rare.
const EARNED_SWEEPS_MAX: u32 = 8;

/// Every sweep is due one interval after the one before, on a schedule that may be run ahead of by what a
/// quiet time earned. Fewer changes than intervals: all go out at once. More: one sweep an interval, since
/// what was earned is spent and nothing is earned again.
#[derive(Debug)]
pub(crate) struct Pace {
    interval: Duration,
    /// When the next sweep is due, had none been ahead of its time.
    due: Instant,
}

impl Pace {
    pub(crate) fn new(interval: Duration, now: Instant) -> Self {
        Self { interval, due: now }
    }

    /// From when on the next sweep may begin.
    pub(crate) fn allowed(&self) -> Instant {
        // In the first moments of the machine's clock nothing can be run ahead of.
        self.due.checked_sub(self.interval * EARNED_SWEEPS_MAX).unwrap_or(self.due)
    }

    /// A sweep begins.
    pub(crate) fn swept(&mut self, now: Instant) {
        self.due = self.due.max(now) + self.interval;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const INTERVAL: Duration = Duration::from_millis(16);

    /// Milliseconds at which sweeps begin when something changes at these.
    fn sweeps(interval: Duration, changes: impl IntoIterator<Item = u64>) -> Vec<u64> {
        let start = crate::clock::Clock.tokio();
        let mut pace = Pace::new(interval, start);
        let (mut begun, mut swept_to) = (Vec::new(), None);
        for change in changes {
            // One that came while an earlier one waited goes out with it.
            if swept_to.is_some_and(|to| change <= to) {
                continue;
            }
            let now = (start + Duration::from_millis(change)).max(pace.allowed());
            pace.swept(now);
            let at = now.duration_since(start).as_millis() as u64;
            begun.push(at);
            swept_to = Some(at);
        }
        begun
    }

    #[test]
    fn what_is_rare_goes_out_at_once() {
        let steady: Vec<u64> = (0..100).map(|number| number * 20).collect();
        assert_eq!(sweeps(INTERVAL, steady.clone()), steady);
        let clumps: Vec<u64> = (0..20).flat_map(|clump| (0..4).map(move |n| clump * 100 + n)).collect();
        assert_eq!(sweeps(INTERVAL, clumps.clone()), clumps);
    }

    #[test]
    fn what_keeps_coming_goes_out_once_an_interval() {
        let begun = sweeps(INTERVAL, 0..10_000);
        let settled: Vec<u64> = begun.iter().copied().filter(|at| *at >= 1_000).collect();
        assert!(settled.windows(2).all(|pair| pair[1] - pair[0] == 16), "one an interval, without swinging");
    }

    #[test]
    fn no_interval_is_no_wait() {
        assert_eq!(sweeps(Duration::ZERO, 0..1_000), (0..1_000).collect::<Vec<_>>());
    }

    proptest! {
        /// However changes come: no more sweeps than intervals and what was earned, and none waits for
        /// longer than an interval.
        #[test]
        fn sweeps_are_bounded_and_nobody_waits_long(gaps in prop::collection::vec(0_u64..60, 1..400)) {
            let changes: Vec<u64> = gaps.iter().scan(0, |at, gap| { *at += gap; Some(*at) }).collect();
            let begun = sweeps(INTERVAL, changes.iter().copied());
            for (index, first) in begun.iter().enumerate() {
                for (count, last) in begun[index..].iter().enumerate() {
                    let allowance = (last - first) / 16 + u64::from(EARNED_SWEEPS_MAX) + 1;
                    prop_assert!(count as u64 <= allowance);
                }
            }
            for change in &changes {
                let out = begun.iter().find(|at| *at >= change);
                prop_assert!(out.is_some_and(|at| at - change <= 16));
            }
        }
    }
}
