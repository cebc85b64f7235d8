//! The laws of a bucket, against the plainest model of it there is.

use pixel_canvas::{Bucket, Rate, Standing, Timestamp};
use proptest::collection::vec;
use proptest::prelude::*;

fn rate() -> impl Strategy<Value = Rate> {
    (1..20_000_u64, 1..50_u64).prop_map(|(interval_us, burst)| Rate { interval_us, burst })
}

/// Attempts: milliseconds since the one before, and how many at once.
fn attempts() -> impl Strategy<Value = Vec<(u64, u64)>> {
    vec((0..60_u64, 1..8_u64), 1..200)
}

proptest! {
    #[test]
    fn no_interleaving_gets_more_than_the_burst_and_what_came_back(rate in rate(), attempts in attempts()) {
        let mut bucket = Bucket::default();
        let mut now = Timestamp(1_000_000);
        let mut taken: Vec<(Timestamp, u64)> = Vec::new();
        for (wait, count) in attempts {
            now = now.plus(wait);
            if let Ok(after) = bucket.take(rate, count, now) {
                bucket = after;
                taken.push((now, count));
            }
        }
        // In every stretch of time, not only from the beginning.
        for (index, (from, _)) in taken.iter().enumerate() {
            let mut sum = 0;
            for (to, count) in &taken[index..] {
                sum += count;
                let came_back = to.since(*from) * 1_000 / rate.interval_us;
                prop_assert!(sum <= rate.burst + came_back, "{sum} in {} ms", to.since(*from));
            }
        }
    }

    #[test]
    fn who_waits_as_told_is_accepted_and_not_a_millisecond_earlier(rate in rate(), attempts in attempts()) {
        let mut bucket = Bucket::default();
        let mut now = Timestamp(1_000_000);
        for (wait, count) in attempts {
            now = now.plus(wait);
            match bucket.take(rate, count, now) {
                Ok(after) => bucket = after,
                Err(_) if count > rate.burst => prop_assert!(bucket.take(rate, count, now.plus(1 << 40)).is_err()),
                Err(wait_ms) => {
                    prop_assert!(wait_ms > 0);
                    prop_assert!(bucket.take(rate, count, now.plus(wait_ms)).is_ok());
                    prop_assert_eq!(bucket.take(rate, count, now.plus(wait_ms - 1)), Err(1));
                }
            }
        }
    }

    #[test]
    fn a_standing_says_what_taking_does(rate in rate(), attempts in attempts(), slower in rate()) {
        let mut bucket = Bucket::default();
        let mut now = Timestamp(1_000_000);
        for (wait, count) in attempts {
            now = now.plus(wait);
            bucket = bucket.take(rate, count, now).unwrap_or(bucket);
            // Also under a rule that was amended since.
            for rate in [rate, slower] {
                let Standing { charges, next_ms } = bucket.standing(rate, now);
                let charges = u64::from(charges);
                prop_assert!(charges <= rate.burst);
                prop_assert!(charges == 0 || bucket.take(rate, charges, now).is_ok());
                prop_assert!(bucket.take(rate, charges + 1, now).is_err());
                prop_assert_eq!(next_ms == 0, charges == rate.burst);
                if next_ms > 0 {
                    prop_assert!(bucket.take(rate, charges + 1, now.plus(next_ms)).is_ok());
                    prop_assert!(bucket.take(rate, charges + 1, now.plus(next_ms - 1)).is_err());
                }
            }
        }
    }

    #[test]
    fn taking_together_is_taking_one_by_one(rate in rate(), count in 1..50_u64, now in 0..1_u64 << 40) {
        let now = Timestamp(now);
        let together = Bucket::default().take(rate, count, now);
        let one_by_one = (0..count).try_fold(Bucket::default(), |bucket, _| bucket.take(rate, 1, now));
        prop_assert_eq!(together.ok(), one_by_one.ok());
    }

    #[test]
    fn a_full_bucket_is_one_that_was_never_used(rate in rate(), full_at_us: u32, later in 0..10_000_u64, count in 1..60_u64) {
        let bucket = Bucket { full_at_us: full_at_us.into() };
        let now = Timestamp(u64::from(full_at_us).div_ceil(1_000) + later);
        prop_assert!(bucket.is_full(now));
        prop_assert_eq!(bucket.take(rate, count, now), Bucket::default().take(rate, count, now));
        prop_assert_eq!(bucket.standing(rate, now), Bucket::default().standing(rate, now));
    }

    #[test]
    fn a_new_guest_has_nothing_and_then_as_much_as_anybody(rate in rate(), since in 0..1_u64 << 40) {
        let since = Timestamp(since);
        let bucket = Bucket::empty_at(since, rate);
        prop_assert_eq!(bucket.standing(rate, since).charges, 0);
        let wait_ms = bucket.take(rate, 1, since).expect_err("it is empty");
        prop_assert_eq!(wait_ms, rate.interval_us.div_ceil(1_000));
        prop_assert!(bucket.is_full(since.plus((rate.interval_us * rate.burst).div_ceil(1_000))));
    }

    #[test]
    fn sharing_gives_at_most_as_many_allowances(rate in rate(), count in 0..1_000_u64) {
        let shared = rate.shared_by(count);
        prop_assert_eq!(shared.burst, rate.burst * count.max(1));
        // In the time in which one comes back to each, no more than one each comes back to all.
        prop_assert!(rate.interval_us < count || rate.interval_us / shared.interval_us <= count.max(1));
        prop_assert!(shared.interval_us >= 1);
    }

    #[test]
    fn no_number_is_too_large(interval_us in 1..u64::MAX, burst in 1..u64::MAX, count: u64, at: u64, full_at_us: u64) {
        let rate = Rate { interval_us, burst };
        let bucket = Bucket { full_at_us };
        let _ = bucket.take(rate, count, Timestamp(at));
        let _ = bucket.standing(rate, Timestamp(at));
        let _ = Bucket::empty_at(Timestamp(at), rate.shared_by(count)).is_full(Timestamp(at));
    }
}
