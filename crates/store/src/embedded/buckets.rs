//! The buckets of many subjects, forgetting those that are full again.

use std::collections::HashMap;
use std::hash::Hash;

use pixel_canvas::{Bucket, Timestamp};

/// The most subjects remembered on one canvas for one rule; beyond it, newcomers are told to wait.
pub(crate) const BUCKETS_MAX: usize = 1_000_000;
/// Below so many, forgetting is not worth looking for.
const SWEEP_BUCKETS_MIN: usize = 1_024;
/// Between two looks while the map is full of subjects that may not be forgotten, in milliseconds.
const SWEEP_INTERVAL_MS: u64 = 1_000;

/// One rule's buckets on one canvas. A subject that is absent has a full bucket.
#[derive(Clone, Debug)]
pub(crate) struct Buckets<S> {
    taken: HashMap<S, Bucket>,
    sweep_at: usize,
    swept: Timestamp,
}

impl<S> Default for Buckets<S> {
    fn default() -> Self {
        Self { taken: HashMap::new(), sweep_at: SWEEP_BUCKETS_MIN, swept: Timestamp::default() }
    }
}

impl<S: Copy + Eq + Hash> Buckets<S> {
    /// The bucket of a subject, where it is remembered.
    pub(crate) fn get(&self, subject: &S) -> Option<Bucket> {
        self.taken.get(subject).copied()
    }

    /// Whether a bucket of this subject can be remembered.
    pub(crate) fn has_room_for(&self, subject: &S) -> bool {
        self.taken.len() < BUCKETS_MAX || self.taken.contains_key(subject)
    }

    /// Remembers a bucket.
    pub(crate) fn set(&mut self, subject: S, bucket: Bucket) {
        self.taken.insert(subject, bucket);
    }

    /// Forgets full buckets once there are twice as many as after the last time, so that looking
    /// costs each newcomer the same small share.
    pub(crate) fn sweep(&mut self, now: Timestamp) {
        if self.taken.len() < self.sweep_at || now.since(self.swept) < SWEEP_INTERVAL_MS {
            return;
        }
        self.taken.retain(|_, bucket| !bucket.is_full(now));
        self.sweep_at = (self.taken.len() * 2).clamp(SWEEP_BUCKETS_MIN, BUCKETS_MAX);
        self.swept = now;
    }

    /// Every subject whose bucket is not full.
    pub(crate) fn live(&self, now: Timestamp) -> impl Iterator<Item = (S, Bucket)> {
        self.taken.iter().filter(move |(_, bucket)| !bucket.is_full(now)).map(|(s, b)| (*s, *b))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_buckets_are_forgotten_and_others_are_not() {
        let mut buckets = Buckets::default();
        for subject in 0..4_096_u64 {
            let full_at_ms = if subject % 4 == 0 { 50_000 } else { 5_000 };
            buckets.set(subject, Bucket { full_at_us: full_at_ms * 1_000 });
        }
        buckets.sweep(Timestamp(10_000));
        assert_eq!(buckets.taken.len(), 1_024);
        assert_eq!(buckets.get(&4), Some(Bucket { full_at_us: 50_000_000 }));
        assert_eq!(buckets.get(&5), None);
    }
}
