//! What a whole run shares: its dice, its time, its trace, and the word that something changed.

use std::cell::Cell;
use std::fmt;
use std::hash::{DefaultHasher, Hasher};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use pixel_canvas::Timestamp;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::time::Instant;

use crate::clock::Clock;

/// Unix time when a run begins.
const BEGAN: Timestamp = Timestamp(1_700_000_000_000);

thread_local! {
    static RUN_BEGAN: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Unix time in the run of this thread; `None` where there is none.
pub(crate) fn time() -> Option<Timestamp> {
    RUN_BEGAN.get().map(|began| BEGAN.plus(Clock.tokio().duration_since(began).as_millis() as u64))
}

/// One run's dice, time and trace.
pub(super) struct World {
    began: Instant,
    dice: Mutex<SmallRng>,
    trace: Mutex<Trace>,
    // Not a watch channel: that wakes those who wait in an order of its own dice.
    changes: Notify,
}

/// Everything that happened, as one number; printed where somebody wants to read it.
struct Trace {
    hasher: DefaultHasher,
    print: bool,
    line: String,
}

impl World {
    /// Begins a run in this thread, whose runtime's time stands still by itself.
    pub(super) fn begin(seed: u64, print: bool) -> Self {
        let began = Clock.tokio();
        RUN_BEGAN.set(Some(began));
        Self {
            began,
            dice: Mutex::new(SmallRng::seed_from_u64(seed)),
            trace: Mutex::new(Trace { hasher: DefaultHasher::new(), print, line: String::new() }),
            changes: Notify::new(),
        }
    }

    /// Ends the run; the trace as one number.
    pub(super) fn end(&self) -> u64 {
        RUN_BEGAN.set(None);
        self.trace().hasher.finish()
    }

    /// A number below `most`.
    pub(super) fn below(&self, most: u64) -> u64 {
        self.dice().random_range(0..most)
    }

    /// Whether something happens that does so this often.
    pub(super) fn chance(&self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// Some milliseconds.
    pub(super) fn ms(&self, range: Range<u64>) -> Duration {
        Duration::from_millis(self.dice().random_range(range))
    }

    /// Dice of somebody's own.
    pub(super) fn dice_of_its_own(&self) -> SmallRng {
        let seed = self.dice().random();
        SmallRng::seed_from_u64(seed)
    }

    /// A number of 64 random bits.
    pub(super) fn number(&self) -> u64 {
        self.dice().random()
    }

    /// Microseconds since the run began.
    pub(super) fn micros(&self) -> u64 {
        Clock.tokio().duration_since(self.began).as_micros() as u64
    }

    /// Notes what happened.
    pub(super) fn note(&self, what: fmt::Arguments<'_>) {
        let at = Clock.tokio().duration_since(self.began).as_millis() as u64;
        let trace = &mut *self.trace();
        trace.line.clear();
        fmt::write(&mut trace.line, what).expect("a string takes all text");
        trace.hasher.write_u64(at);
        trace.hasher.write(trace.line.as_bytes());
        if trace.print {
            println!("{:>4}.{:03} {}", at / 1_000, at % 1_000, trace.line);
        }
    }

    /// Who waits for anything at all looks again.
    pub(super) fn stir(&self) {
        self.changes.notify_waiters();
    }

    /// Waits for the next [`World::stir`] from now on.
    pub(super) fn change(&self) -> Notified<'_> {
        self.changes.notified()
    }

    fn dice(&self) -> MutexGuard<'_, SmallRng> {
        self.dice.lock().expect("no run goes on after a panic")
    }

    fn trace(&self) -> MutexGuard<'_, Trace> {
        self.trace.lock().expect("no run goes on after a panic")
    }
}
