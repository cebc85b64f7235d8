//! How often someone may place: one rule for cooldowns, charges and rate limits.
//!
//! The rule is the generic cell rate algorithm: the whole state of a bucket is the moment when
//! it will be full again. A bucket that is full and one that was never used are the same, so
//! forgetting a full bucket forgets nothing.

use serde::{Deserialize, Serialize};

use crate::order::Timestamp;

/// `burst` placements can be saved up; one comes back every `interval_us` microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Microseconds until one more is allowed; at least 1.
    pub interval_us: u64,
    /// The most that can be saved up; at least 1. A fixed wait is a burst of 1.
    pub burst: u64,
}

/// One subject's bucket: the Unix time in microseconds at which it is full again. 0 is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bucket {
    /// Unix microseconds.
    pub full_at_us: u64,
}

/// What someone may do next, for the page's ring and the API's headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Placements possible right now.
    pub charges: u32,
    /// Milliseconds until one more is possible; 0 when all are.
    pub next_ms: u64,
}

impl Standing {
    /// No cooldown: as many as one likes.
    pub const UNLIMITED: Self = Self { charges: u32::MAX, next_ms: 0 };
}

impl Bucket {
    /// A bucket that is empty at `since` and fills from then on: a new guest's.
    #[must_use]
    pub fn empty_at(since: Timestamp, rate: Rate) -> Self {
        Self { full_at_us: micros(since).saturating_add(rate.span_us()) }
    }

    /// Takes `count` out of the bucket, or says how many milliseconds are missing.
    pub fn take(self, rate: Rate, count: u64, now: Timestamp) -> Result<Self, u64> {
        let now_us = micros(now);
        let cost = rate.interval_us.saturating_mul(count);
        let full_at_us = self.full_at_us.max(now_us).saturating_add(cost);
        let latest = now_us.saturating_add(rate.span_us());
        if full_at_us <= latest {
            Ok(Self { full_at_us })
        } else {
            Err((full_at_us - latest).div_ceil(1_000))
        }
    }

    /// What the bucket allows now.
    #[must_use]
    pub fn standing(self, rate: Rate, now: Timestamp) -> Standing {
        let missing_us = self.full_at_us.saturating_sub(micros(now));
        let missing = missing_us.div_ceil(rate.interval_us);
        let charges = rate.burst.saturating_sub(missing).min(u64::from(u32::MAX)) as u32;
        // Beyond empty (a bucket of a slower rule): wait until the first charge is whole.
        let next_us = if missing > rate.burst {
            missing_us - (rate.burst - 1) * rate.interval_us
        } else {
            missing_us - missing.saturating_sub(1) * rate.interval_us
        };
        Standing { charges, next_ms: if missing == 0 { 0 } else { next_us.div_ceil(1_000) } }
    }

    /// Whether nothing is missing: such a bucket may be forgotten.
    #[must_use]
    pub fn is_full(self, now: Timestamp) -> bool {
        self.full_at_us <= micros(now)
    }
}

impl Rate {
    /// Microseconds from empty to full.
    fn span_us(self) -> u64 {
        self.interval_us.saturating_mul(self.burst)
    }

    /// The allowance of `count` such subjects together, never more; 0 counts as 1.
    #[must_use]
    pub fn shared_by(self, count: u64) -> Self {
        let count = count.max(1);
        Self { interval_us: self.interval_us.div_ceil(count), burst: self.burst.saturating_mul(count) }
    }
}

fn micros(at: Timestamp) -> u64 {
    at.0.saturating_mul(1_000)
}
