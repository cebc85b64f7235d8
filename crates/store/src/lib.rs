//! Where a canvas is kept: the port that every service sees, and its adapters.

use std::error::Error;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use async_trait::async_trait;
use pixel_canvas::history::RETRACED_STEPS_MAX;
use pixel_canvas::placement::SUBMISSION_PLACEMENTS_MAX;
use pixel_canvas::{
    Amendment, Author, Canvas, CanvasId, Chunk, ChunkId, Color, Entry, Epoch, Identity, Key, Mark, Name,
    Placement, Point, Rate, Refusal, Sequence, Standing, Timestamp, Turn,
};

pub mod backup;
pub mod embedded;
pub mod files;
pub mod redis;
mod trouble;

pub use trouble::Trouble;

/// The most submissions that one call gathers.
pub const CALL_SUBMISSIONS_MAX: usize = 1_024;
/// The most placements that one call gathers; a call with a single larger submission is allowed.
pub const CALL_PLACEMENTS_MAX: usize = 4_096;

/// One client's message, accepted all or none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submission {
    /// Who, for limits, keys and undo.
    pub author: Author,
    /// The name the placements are shown under.
    pub name: Name,
    /// What makes a retry safe; `None` where there can be no retry.
    pub key: Option<SubmissionKey>,
    /// What it asks for.
    pub act: Act,
}

/// What a submission asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Act {
    /// To place these in order: 1 to [`SUBMISSION_PLACEMENTS_MAX`].
    ///
    /// [`SUBMISSION_PLACEMENTS_MAX`]: pixel_canvas::placement::SUBMISSION_PLACEMENTS_MAX
    Place(Vec<Placement>),
    /// To take back or repeat the author's own steps, as [`History`] says: as many as can be, up to
    /// `count`, which is 1 to [`RETRACED_STEPS_MAX`]. In the log it is what it paints.
    ///
    /// [`History`]: pixel_canvas::History
    /// [`RETRACED_STEPS_MAX`]: pixel_canvas::history::RETRACED_STEPS_MAX
    Retrace {
        /// Which way.
        turn: Turn,
        /// How many steps.
        count: u16,
    },
}

impl Act {
    /// The most placements that it can make.
    #[must_use]
    pub fn placements_max(&self) -> usize {
        match self {
            Self::Place(placements) => placements.len(),
            Self::Retrace { count, .. } => usize::from(*count),
        }
    }

    /// Checks it as far as the canvas' size and palette go.
    pub(crate) fn check(&self, canvas: &Canvas) -> Result<(), Refusal> {
        let (count, max) = match self {
            Self::Place(placements) => (placements.len(), SUBMISSION_PLACEMENTS_MAX),
            Self::Retrace { count, .. } => (usize::from(*count), RETRACED_STEPS_MAX),
        };
        if count == 0 || count > max {
            return Err(Refusal::Count { count, max });
        }
        match self {
            Self::Place(placements) => placements.iter().try_for_each(|placement| placement.check(canvas)),
            Self::Retrace { .. } => Ok(()),
        }
    }
}

/// The idempotency key of a submission, and who chose it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SubmissionKey {
    /// The client did: kept 10 minutes, counted against the identity's 10,000.
    Client(Key),
    /// A gateway did: kept 60 s, uncounted.
    Gateway(Key),
}

impl SubmissionKey {
    /// The key itself.
    #[must_use]
    pub fn key(self) -> Key {
        match self {
            Self::Client(key) | Self::Gateway(key) => key,
        }
    }

    /// Whether the client chose it.
    #[must_use]
    pub fn is_clients(self) -> bool {
        matches!(self, Self::Client(_))
    }
}

/// How often one may place, besides the canvas' own cooldown. `None` lifts a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Per identity and canvas.
    pub identity: Option<Rate>,
    /// Per address and canvas.
    pub address: Option<Rate>,
    /// On a canvas with a cooldown, guests of one address together have so many guests' allowance.
    pub guests_per_address: u64,
}

/// What became of a submission. Expected: a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Accepted, durable and in the log.
    Accepted(Accepted),
    /// Refused whole; nothing changed.
    Refused(Refusal),
}

impl Outcome {
    /// The acceptance, where it is one.
    #[must_use]
    pub fn accepted(&self) -> Option<&Accepted> {
        match self {
            Self::Accepted(accepted) => Some(accepted),
            Self::Refused(_) => None,
        }
    }
}

/// An accepted submission. A replayed acknowledgement is equal but for `standing`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// The sequence of its first placement; the others follow it without a gap.
    pub first: Sequence,
    /// How many placements.
    pub count: u32,
    /// The epoch it was accepted in.
    pub epoch: Epoch,
    /// The store's clock when it was accepted.
    pub at: Timestamp,
    /// What the author may do next under the canvas' cooldown.
    pub standing: Standing,
}

impl Accepted {
    /// The sequence of its last placement.
    #[must_use]
    pub fn last(&self) -> Sequence {
        self.first.plus(u64::from(self.count) - 1)
    }
}

/// Where a canvas' history stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The epoch that holds now.
    pub epoch: Epoch,
    /// The last sequence that readers see.
    pub sequence: Sequence,
}

/// Chunks read together, exact at one position.
#[derive(Clone, Debug)]
pub struct View {
    /// What every chunk of the view is current to.
    pub position: Position,
    /// In the order asked for.
    pub chunks: Vec<Snapshot>,
}

/// One chunk's pixels at its view's position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Which chunk.
    pub id: ChunkId,
    /// The sequence that changed it last; zero when nothing did.
    pub changed: Sequence,
    /// Row by row, the palette's bytes per pixel each.
    pub pixels: Arc<Vec<u8>>,
}

/// One pixel, with who painted it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pixel {
    /// Its colour now.
    pub color: Color,
    /// Who painted it, when, as which placement; `None` when nobody did.
    pub painted: Option<Provenance>,
}

/// Who painted a pixel and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provenance {
    /// The name it was painted under; `None` when it was not recorded.
    pub name: Option<Name>,
    /// The store's clock.
    pub at: Timestamp,
    /// The placement.
    pub sequence: Sequence,
}

/// Where a canvas stands, and which chunks were ever painted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overview {
    /// The position that the list is exact at.
    pub position: Position,
    /// Painted chunks and the sequence that changed each last, in no order.
    pub changed: Vec<(ChunkId, Sequence)>,
}

/// What happens next on a canvas, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tailed {
    /// The entry that follows the one before without a gap.
    Entry(Arc<Entry>),
    /// The host changed name, rules or freeze.
    Amended(Arc<Canvas>),
    /// The log does not reach back to where the tail stood, or history was rolled back: start
    /// again from [`Store::overview`].
    Lost,
    /// The canvas was deleted; nothing follows.
    Deleted,
}

/// A reader of one canvas' log. It holds a position, not a queue.
#[async_trait]
pub trait Tail: Send {
    /// Waits for what comes next. Safe to cancel.
    async fn next(&mut self) -> Result<Tailed, StoreError>;
}

/// The store could not do what was asked; an operator should look.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Nothing happened.
    #[error("the store is unavailable")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
    /// It may or may not have happened.
    #[error("the store did not say whether it happened")]
    Unknown(#[source] Box<dyn Error + Send + Sync>),
}

/// The canvases, as far as they can be read.
#[derive(Debug)]
pub struct Listed {
    /// Those that were read, by id.
    pub canvases: Vec<Arc<Canvas>>,
    /// Ids of those that could not be.
    pub unread: Vec<CanvasId>,
    /// Why it is not known whether there are others.
    pub unlisted: Option<StoreError>,
}

/// What became of a request to make a canvas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Created {
    /// It was made.
    Made(Arc<Canvas>),
    /// There is one of that id already; it is unchanged.
    Exists(Arc<Canvas>),
}

/// A piece of what a backup kept of a canvas.
#[derive(Clone, Debug)]
pub enum Kept {
    /// A chunk as it was at some moment; it comes before what was painted on it later.
    Chunk(ChunkId, Chunk),
    /// What was painted later, in order.
    Later(Vec<Repaint>),
    /// Everybody by number, from where the last such piece ended; the first is 1.
    Authors(Vec<(Identity, Name)>),
}

/// A pixel painted again as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repaint {
    /// Where.
    pub at: Point,
    /// Its colour, one of the palette's.
    pub color: Color,
    /// Who, when and as which placement.
    pub mark: Mark,
}

/// A canvas to be put back.
pub struct Restoration<'a> {
    /// What it is.
    pub canvas: Canvas,
    /// Where it stood; its next placement follows this.
    pub sequence: Sequence,
    /// Whether a canvas that is there makes room. One that nobody painted on always does.
    pub replace: bool,
    /// What it holds. An error ends it, and nothing is changed.
    pub kept: &'a mut (dyn Iterator<Item = Result<Kept, StoreError>> + Send),
}

/// What can be done with the store, for readiness and health.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Reads and writes.
    Writable,
    /// Reads only, since: for anybody, and a sentence for operators.
    ReadOnly(Trouble, String),
    /// Nothing, since: for anybody, and a sentence for operators.
    Away(Trouble, String),
}

impl Condition {
    /// What it is in, and a sentence for operators; `None` when all is well.
    #[must_use]
    pub fn trouble(&self) -> Option<(Trouble, &str)> {
        match self {
            Self::Writable => None,
            Self::ReadOnly(trouble, why) | Self::Away(trouble, why) => Some((*trouble, why)),
        }
    }
}

/// What the services ask of a store. Reads see only what is durable.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Every canvas, by id.
    async fn canvases(&self) -> Result<Vec<Arc<Canvas>>, StoreError>;

    /// The same as far as they can be read where some servers are away; nobody waits for one that is
    /// known to be. Where it cannot be read which there are, `known` ones are looked for.
    async fn list(&self, known: &[CanvasId]) -> Listed {
        match self.canvases().await {
            Ok(canvases) => Listed { canvases, unread: Vec::new(), unlisted: None },
            Err(failure) => Listed { canvases: Vec::new(), unread: known.to_vec(), unlisted: Some(failure) },
        }
    }

    /// One canvas.
    async fn canvas(&self, id: &CanvasId) -> Result<Option<Arc<Canvas>>, StoreError>;

    /// Makes a canvas where there is none of that id.
    async fn create(&self, canvas: Canvas) -> Result<Created, StoreError>;

    /// Changes name, rules or freeze; the outer `None` where there is no such canvas. Under another
    /// cooldown everybody starts afresh.
    async fn amend(
        &self,
        id: &CanvasId,
        amendment: Amendment,
    ) -> Result<Option<Result<Arc<Canvas>, pixel_canvas::InvalidCanvas>>, StoreError>;

    /// Deletes a canvas with all it holds; `false` where there was none.
    async fn delete(&self, id: &CanvasId) -> Result<bool, StoreError>;

    /// Puts every pixel back to the background under a new epoch; `None` where there is no such canvas.
    async fn reset(&self, id: &CanvasId) -> Result<Option<Position>, StoreError>;

    /// Places many submissions in one atomic, durable step: an outcome for each, in their order.
    /// Each is checked in this order: canvas, count, places and colours, idempotency (a retry is
    /// answered even where the canvas was frozen since), frozen, steps to take back or repeat (the
    /// limits are asked for those that there are), rates, cooldown, room for its record; then it
    /// gets its sequences. What a person placed within the last hour, and before no reset, can be
    /// taken back, up to [`HISTORY_STEPS_MAX`] steps.
    ///
    /// [`HISTORY_STEPS_MAX`]: pixel_canvas::history::HISTORY_STEPS_MAX
    async fn place(&self, id: &CanvasId, call: Vec<Submission>) -> Result<Vec<Outcome>, StoreError>;

    /// Where a canvas stands.
    async fn position(&self, id: &CanvasId) -> Result<Option<Position>, StoreError>;

    /// Some chunks, read together; each id lies on the canvas.
    async fn view(&self, id: &CanvasId, chunks: &[ChunkId]) -> Result<Option<View>, StoreError>;

    /// One pixel, with who painted it and when; it lies on the canvas.
    async fn pixel(&self, id: &CanvasId, at: Point) -> Result<Option<Pixel>, StoreError>;

    /// Where a canvas stands, and the last change of each painted chunk.
    async fn overview(&self, id: &CanvasId) -> Result<Option<Overview>, StoreError>;

    /// Reads the log from just after `after`, in `epoch`. A position that the log does not reach
    /// makes its first answer [`Tailed::Lost`]; one inside an entry begins with that whole entry;
    /// one of an earlier epoch is led through the reset that ended it, while that is remembered.
    /// Amendments made after this call reach the tail: read [`Store::canvas`] after it.
    async fn tail(&self, id: &CanvasId, after: Position) -> Result<Option<Box<dyn Tail>>, StoreError>;

    /// The earliest position of this epoch from which [`Store::tail`] reads at most the last
    /// `bytes` of log, as the store keeps it. By the time it is used, trimming may have passed it:
    /// then the tail is [`Tailed::Lost`], and asking again helps.
    async fn tail_start(&self, id: &CanvasId, bytes: u64) -> Result<Option<Position>, StoreError>;

    /// One chunk with its marks, and the position that it is exact at; no chunk where nobody painted.
    async fn copy(
        &self,
        id: &CanvasId,
        chunk: ChunkId,
    ) -> Result<Option<(Position, Option<Chunk>)>, StoreError>;

    /// Everybody that marks name, by number from 1: all who painted before this was asked, and
    /// perhaps some of those who painted since.
    async fn authors(&self, id: &CanvasId) -> Result<Option<Vec<(Identity, Name)>>, StoreError>;

    /// Puts a canvas back, whole or not at all, under a new epoch. [`Created::Exists`] is what is in
    /// its way. Who reads the log of one that it replaces is [`Tailed::Lost`], or, where the new one
    /// is described otherwise, [`Tailed::Deleted`].
    async fn restore(&self, restoration: Restoration<'_>) -> Result<Created, StoreError>;

    /// What can be done with the store, as it was found last. Never waits.
    fn condition(&self) -> Condition;

    /// What can be done with one canvas: where several servers share the work, only some may be away.
    fn condition_of(&self, _canvas: &CanvasId) -> Condition {
        self.condition()
    }

    /// What operators should know although everything works. Never waits.
    fn caution(&self) -> Option<String> {
        None
    }
}

#[cfg(test)]
#[path = "../../../fuzz/run.rs"]
mod run;
