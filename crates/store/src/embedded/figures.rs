//! What the store counts, for the server's metrics.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The running counters.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) commits: AtomicU64,
    pub(crate) commit_us: AtomicU64,
    pub(crate) submissions: AtomicU64,
    pub(crate) placements: AtomicU64,
    pub(crate) log_bytes: AtomicU64,
    pub(crate) records: AtomicU64,
    pub(crate) checkpoints: AtomicU64,
    pub(crate) checkpoint_us: AtomicU64,
    pub(crate) replayed_entries: AtomicU64,
}

/// What the store counted since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Synced commits of placements and host's changes.
    pub commits: u64,
    /// Microseconds spent in them.
    pub commit_us: u64,
    /// Submissions decided, accepted or not; by `commits`, how well commits are shared.
    pub submissions: u64,
    /// Placements accepted.
    pub placements: u64,
    /// Bytes of log rows kept now.
    pub log_bytes: u64,
    /// Painted chunks in memory now.
    pub chunks: u64,
    /// Calls that wait for the writer now.
    pub queued_calls: u64,
    /// Idempotency records kept now.
    pub records: u64,
    /// Checkpoints finished.
    pub checkpoints: u64,
    /// Microseconds spent on them.
    pub checkpoint_us: u64,
    /// Entries of the log that were replayed when the store was opened.
    pub replayed_entries: u64,
}

impl Counters {
    /// The counters now; what is not counted but looked at is left to who can see it.
    pub(crate) fn read(&self) -> Figures {
        Figures {
            commits: self.commits.load(Relaxed),
            commit_us: self.commit_us.load(Relaxed),
            submissions: self.submissions.load(Relaxed),
            placements: self.placements.load(Relaxed),
            log_bytes: self.log_bytes.load(Relaxed),
            records: self.records.load(Relaxed),
            checkpoints: self.checkpoints.load(Relaxed),
            checkpoint_us: self.checkpoint_us.load(Relaxed),
            replayed_entries: self.replayed_entries.load(Relaxed),
            ..Figures::default()
        }
    }
}
