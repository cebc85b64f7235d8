//! The process' clocks, handed to whoever needs the time; nothing else reads them.

use std::time::{Instant, SystemTime};

use pixel_canvas::Timestamp;

/// Reads the time. Handed down from `main`, so that what uses it can be seen.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Clock;

#[expect(clippy::disallowed_methods, reason = "the one place that reads the clocks")]
impl Clock {
    /// Unix time.
    pub(crate) fn unix(self) -> Timestamp {
        #[cfg(test)]
        if let Some(simulated) = crate::gateway::simulated_time() {
            return simulated;
        }
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Timestamp(since.as_millis() as u64)
    }

    /// A clock that never goes back.
    pub(crate) fn now(self) -> Instant {
        self.tokio().into_std()
    }

    /// The same for the runtime's timers; theirs, so that a simulation moves both.
    pub(crate) fn tokio(self) -> tokio::time::Instant {
        tokio::time::Instant::now()
    }
}
