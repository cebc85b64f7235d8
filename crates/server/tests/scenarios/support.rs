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

/// Waits until a process that was told to stop stands still: every thread of it is stopped, or deep in the kernel, where
/// a disk keeps it, and does not come back before it may go on. With `out_of_kernel` there is none of those either.
pub fn stands_still(process: u32, out_of_kernel: bool) {
    eventually("it stands still", || {
        let threads = std::fs::read_dir(format!("/proc/{process}/task")).expect("it runs").flatten();
        let state = |stat: String| stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
        // One that just ended has none.
        let stats = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("stat")).ok());
        let states: Vec<_> = stats.filter_map(state).collect();
        let is_still = |state: &char| *state == 'T' || *state == 'D' && !out_of_kernel;
        states.contains(&'T') && states.iter().all(is_still)
    });
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
    let why = why.lines().next().unwrap_or_default();
    println!("SKIPPED {what}: {why}");
    // A closed output is no reason to stop.
    let _ = writeln!(std::io::stderr(), "SKIPPED {what}: {why}");
}
