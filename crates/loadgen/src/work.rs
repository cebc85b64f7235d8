//! What a client has to do: asked for the next submission, told what became of it.

use std::time::Instant;

use pixel_canvas::Placement;

use crate::socket::Why;

/// What a client does next.
#[derive(Debug)]
pub enum Next {
    /// Submit these; the latency counts from `intended`, whenever they can really be sent.
    Submit {
        /// At most as many as asked for.
        placements: Vec<Placement>,
        /// When they should have been sent.
        intended: Instant,
    },
    /// Nothing before then.
    At(Instant),
    /// Nothing ever again.
    Done,
}

/// What a client does with a submission that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterRefusal {
    /// The same again, under the same key, once the server's wait is over.
    Retry,
    /// Leave it.
    Drop,
}

/// One client's work. [`crate::schedule`], [`crate::paint`] and [`crate::race`] have one each.
pub trait Work: Send + 'static {
    /// Everybody is connected: the work begins now.
    fn begin(&mut self, start: Instant);

    /// The next submission, of at most `placements_max` placements.
    fn next(&mut self, now: Instant, placements_max: usize) -> Next;

    /// A submission was accepted.
    fn accepted(&mut self, placements: &[Placement]);

    /// A submission was refused for a reason that passes.
    fn refused(&mut self, why: Why) -> AfterRefusal;

    /// The connection broke before the answer, in the JSON dialect, where no key makes a retry safe.
    fn unanswered(&mut self) -> AfterRefusal;
}
