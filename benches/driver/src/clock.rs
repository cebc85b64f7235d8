//! The one clock that everything here is timed by.

use std::sync::OnceLock;
use std::time::Instant;

/// Nanoseconds since this process first asked.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
pub(crate) fn now_ns() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_nanos() as u64
}
