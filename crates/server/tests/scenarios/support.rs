//! What the scenarios share: a server to start, kill and stop, and clients of every kind.

pub mod binary;
pub mod cluster;
pub mod crowd;
pub mod disk;
pub mod history;
pub mod http;
pub mod json;
pub mod leftovers;
pub mod machines;
pub mod redis;
pub mod server;
pub mod socket;
pub mod split;
pub mod stores;
pub mod way;

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

pub use http::{Answer, Request, get};
pub use server::Server;

/// How long anything may take before a scenario gives up: far beyond what it takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What is promised to whoever places, at the worst moment too.
pub const ANSWERED_WITHIN: Duration = Duration::from_secs(2);

/// Waits until `done` says so.
pub fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} in vain: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Raises a flag at the end of a scope, a panic's too: threads that look at it end with the scope.
pub struct AtTheEnd<'a>(pub &'a AtomicBool);

impl Drop for AtTheEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Whether the long forms were asked for.
pub fn long() -> bool {
    std::env::var("PIXEL_PLAYGROUND_LONG").is_ok_and(|value| value == "1")
}

/// Says that nothing was tried and why, past the test runner too, which keeps what passing tests say to itself.
pub fn skip(what: &str, why: &str) {
    println!("SKIPPED {what}: {why}");
    // A closed output is no reason to stop.
    let _ = writeln!(std::io::stderr(), "SKIPPED {what}: {why}");
}
