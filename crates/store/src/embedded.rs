//! The store of a single process: a log in a database and a journal, chunks in memory.
//!
//! The log is the truth. One thread decides what comes in, syncs it in group commits to a journal and
//! shows it then ([`writer`], [`journal`]); readers look at pictures in memory ([`picture`]); between
//! commits rows of the log go on to the database, chunks are checkpointed in small steps ([`chores`]),
//! and the log after the last checkpoint is replayed at the start ([`recovery`]).

use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;

use async_trait::async_trait;
use pixel_canvas::{
    Amendment, Canvas, CanvasId, Chunk, ChunkId, Epoch, Identity, InvalidCanvas, Name, Point, Sequence,
    Timestamp,
};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::spawn_blocking;

use crate::{
    CALL_SUBMISSIONS_MAX, Condition, Created, Limits, Outcome, Overview, Pixel, Position, Restoration, Store,
    StoreError, Submission, Tail, View,
};

pub(crate) mod authors;
mod buckets;
pub(crate) mod bytes;
mod chores;
mod figures;
mod folder;
mod histories;
mod host;
mod journal;
mod ledger;
mod log;
pub(crate) mod picture;
pub(crate) mod picture_rows;
pub(crate) mod records;
mod recovery;
mod restore;
pub(crate) mod row;
mod shared;
pub(crate) mod tables;
mod tail;
mod witness;
mod writer;

pub use figures::Figures;
pub use folder::OpenError;
pub use tables::FORMAT_VERSION;

use shared::{Shared, Shown};
use tail::LogTail;
use writer::{Message, PlaceCall, Writer};

/// The most calls that wait for the writer; whoever comes then waits to be queued.
pub const QUEUE_CALLS_MAX: usize = 4_096;
/// A checkpoint is made after so much log, in bytes.
pub const CHECKPOINT_BYTES: u64 = 64 << 20;
/// A checkpoint is made after so long, in milliseconds, where anything changed.
pub const CHECKPOINT_INTERVAL_MS: u64 = 30_000;
/// Rows go from the journal to the database once its file is so long, in bytes.
pub const JOURNAL_BYTES: u64 = 8 << 20;
/// How much of the log stays at hand for tails, over all canvases, in bytes of rows.
pub const TAIL_BYTES: usize = 16 << 20;
/// How far back the log reaches, over all canvases, in bytes of rows, unless told otherwise.
pub const RETENTION_BYTES: u64 = 1 << 30;

/// What an embedded store is told when it is opened.
#[derive(Clone)]
pub struct Options {
    /// How often one may place.
    pub limits: Limits,
    /// How far back the log reaches, over all canvases, in bytes of rows.
    pub retention_bytes: u64,
    /// How far back the log reaches at most, in seconds.
    pub retention_seconds: Option<u64>,
    /// The time.
    pub clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// Where new epochs come from: random, never the same twice.
    pub epochs: Arc<dyn Fn() -> Epoch + Send + Sync>,
    /// See [`CHECKPOINT_BYTES`].
    pub checkpoint_bytes: u64,
    /// See [`CHECKPOINT_INTERVAL_MS`].
    pub checkpoint_interval_ms: u64,
    /// See [`JOURNAL_BYTES`].
    pub journal_bytes: u64,
    /// See [`TAIL_BYTES`].
    pub tail_bytes: usize,
}

impl Options {
    /// The usual options.
    #[must_use]
    pub fn new(limits: Limits, clock: Arc<dyn Fn() -> Timestamp + Send + Sync>) -> Self {
        Self {
            limits,
            retention_bytes: RETENTION_BYTES,
            retention_seconds: None,
            clock,
            epochs: Arc::new(|| Epoch(rand::random())),
            checkpoint_bytes: CHECKPOINT_BYTES,
            checkpoint_interval_ms: CHECKPOINT_INTERVAL_MS,
            journal_bytes: JOURNAL_BYTES,
            tail_bytes: TAIL_BYTES,
        }
    }
}

/// The store of a single process.
///
/// Dropping it ends the writer after the commit under way, as a crash would: nothing acknowledged
/// is lost, but the next start has more to replay than after [`Embedded::close`].
#[derive(Debug)]
pub struct Embedded {
    shared: Arc<Shared>,
    queue: Arc<Semaphore>,
    writer: Mutex<Option<(mpsc::Sender<Message>, JoinHandle<()>)>>,
}

impl Embedded {
    /// Opens the store in a folder, which is made where there is none.
    pub fn open(folder: &Path, options: Options) -> Result<Self, OpenError> {
        or_damaged(|| {
            let (database, journal, held) = folder::open(folder)?;
            Self::start(Shared::new(database, Some(held)), Box::new(journal), options)
        })
        .map_err(|error| error.in_folder(folder))
    }

    /// Opens the store in any storage, made where that is empty: for tests that cut its power.
    pub fn open_with_backends(
        database: impl redb::StorageBackend,
        journal: impl redb::StorageBackend,
        options: Options,
    ) -> Result<Self, OpenError> {
        or_damaged(|| {
            let shared = Shared::new(folder::open_database(database)?, None);
            Self::start(shared, Box::new(journal), options)
        })
    }

    fn start(
        shared: Shared,
        journal: Box<dyn redb::StorageBackend>,
        options: Options,
    ) -> Result<Self, OpenError> {
        let shared = Arc::new(shared);
        let mut writer = recovery::recover(Arc::clone(&shared), journal, options)?;
        writer.settle();
        let (sender, messages) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || writer.run(&messages))
            .map_err(redb::Error::Io)?;
        let writer = Mutex::new(Some((sender, thread)));
        Ok(Self { shared, queue: Arc::new(Semaphore::new(QUEUE_CALLS_MAX)), writer })
    }

    /// Ends well: commits what is decided, makes a last checkpoint, ends the tails. Afterwards
    /// reads are still answered, and placements are [`StoreError::Unavailable`].
    pub async fn close(&self) {
        let (answer, closed) = oneshot::channel();
        if self.send(Message::Close(answer)).is_ok() {
            // An error means that the writer ended before: it is closed all the same.
            let _ = closed.await;
        }
    }

    /// What the store counted since it was opened.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let painted = |shown: &Arc<Shown>| shown.picture().chunk_count() as u64;
        Figures {
            chunks: self.shared.all().iter().map(painted).sum(),
            queued_calls: (QUEUE_CALLS_MAX - self.queue.available_permits()) as u64,
            ..self.shared.counters.read()
        }
    }

    /// Hands a message to the writer.
    fn send(&self, message: Message) -> Result<(), StoreError> {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = writer.as_ref().is_some_and(|(sender, _)| sender.send(message).is_ok());
        if sent { Ok(()) } else { Err(self.ended()) }
    }

    /// The error of a writer that has ended.
    fn ended(&self) -> StoreError {
        let why = match self.shared.condition() {
            Condition::ReadOnly(_, why) | Condition::Away(_, why) => why,
            Condition::Writable => "the store is closing".into(),
        };
        StoreError::Unavailable(why.into())
    }

    /// Has the writer do something of a host's, and waits for it.
    async fn host<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Writer) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        self.send(Message::Host(Box::new(move |writer| {
            // The caller may have gone: the change stands all the same.
            let _ = answer.send(change(writer));
        })))?;
        answered.await.map_err(unknown)?
    }

    async fn place_call(
        &self,
        id: &CanvasId,
        submissions: Vec<Submission>,
    ) -> Result<Vec<Outcome>, StoreError> {
        let place = Arc::clone(&self.queue).acquire_owned().await.map_err(|_| self.ended())?;
        let (answer, answered) = oneshot::channel();
        self.send(Message::Place(PlaceCall { id: id.clone(), submissions, answer, place }))?;
        answered.await.map_err(unknown)?
    }
}

/// The database trusts a file that was closed well, and panics where that has changed since.
fn or_damaged<T>(open: impl FnOnce() -> Result<T, OpenError>) -> Result<T, OpenError> {
    // What was half open is dropped with the panic: nothing is seen of it afterwards.
    panic::catch_unwind(AssertUnwindSafe(open))
        .unwrap_or_else(|_| Err(OpenError::Damaged { what: "its pages do not fit together".into() }))
}

/// The writer took a message and ended without an answer.
fn unknown(error: oneshot::error::RecvError) -> StoreError {
    StoreError::Unknown(error.into())
}

impl Drop for Embedded {
    fn drop(&mut self) {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((sender, thread)) = writer {
            drop(sender);
            // A writer that panicked has said so in the condition.
            let _ = thread.join();
        }
        self.shared.close();
    }
}

#[async_trait]
impl Store for Embedded {
    async fn canvases(&self) -> Result<Vec<Arc<Canvas>>, StoreError> {
        Ok(self.shared.all().iter().map(|shown| Arc::clone(&shown.picture().canvas)).collect())
    }

    async fn canvas(&self, id: &CanvasId) -> Result<Option<Arc<Canvas>>, StoreError> {
        Ok(self.shared.find(id).map(|shown| Arc::clone(&shown.picture().canvas)))
    }

    async fn create(&self, canvas: Canvas) -> Result<Created, StoreError> {
        self.host(move |writer| writer.create(canvas)).await
    }

    async fn amend(
        &self,
        id: &CanvasId,
        amendment: Amendment,
    ) -> Result<Option<Result<Arc<Canvas>, InvalidCanvas>>, StoreError> {
        let id = id.clone();
        self.host(move |writer| writer.amend(&id, &amendment)).await
    }

    async fn delete(&self, id: &CanvasId) -> Result<bool, StoreError> {
        let id = id.clone();
        self.host(move |writer| writer.delete(&id)).await
    }

    async fn reset(&self, id: &CanvasId) -> Result<Option<Position>, StoreError> {
        let id = id.clone();
        self.host(move |writer| writer.reset(&id)).await
    }

    async fn place(&self, id: &CanvasId, mut call: Vec<Submission>) -> Result<Vec<Outcome>, StoreError> {
        let mut outcomes = Vec::with_capacity(call.len());
        while call.len() > CALL_SUBMISSIONS_MAX {
            let rest = call.split_off(CALL_SUBMISSIONS_MAX);
            outcomes.extend(self.place_call(id, std::mem::replace(&mut call, rest)).await?);
        }
        outcomes.extend(self.place_call(id, call).await?);
        Ok(outcomes)
    }

    async fn position(&self, id: &CanvasId) -> Result<Option<Position>, StoreError> {
        Ok(self.shared.find(id).map(|shown| shown.picture().position()))
    }

    async fn view(&self, id: &CanvasId, chunks: &[ChunkId]) -> Result<Option<View>, StoreError> {
        Ok(self.shared.find(id).map(|shown| {
            let picture = shown.picture();
            let chunks = chunks.iter().map(|id| picture.snapshot(*id)).collect();
            View { position: picture.position(), chunks }
        }))
    }

    async fn pixel(&self, id: &CanvasId, at: Point) -> Result<Option<Pixel>, StoreError> {
        Ok(self.shared.find(id).map(|shown| shown.picture().pixel(at)))
    }

    async fn overview(&self, id: &CanvasId) -> Result<Option<Overview>, StoreError> {
        Ok(self.shared.find(id).map(|shown| shown.picture().overview()))
    }

    async fn tail(&self, id: &CanvasId, after: Position) -> Result<Option<Box<dyn Tail>>, StoreError> {
        let Some(shown) = self.shared.find(id) else {
            return Ok(None);
        };
        Ok(Some(Box::new(LogTail::new(Arc::clone(&self.shared), shown, after))))
    }

    async fn tail_start(&self, id: &CanvasId, bytes: u64) -> Result<Option<Position>, StoreError> {
        let Some(shown) = self.shared.find(id) else {
            return Ok(None);
        };
        let look = |shown: &Shown| {
            let picture = shown.picture();
            (shown.number, picture.era(), picture.sequence)
        };
        // The rows are looked for in the database. Of a store that cannot write any more some may be in the journal
        // alone: then the start reaches back further by those.
        let seen = Arc::clone(&shown);
        let emptied = self.host(move |writer| {
            writer.writable()?;
            writer.empty_journal();
            Ok(look(&seen))
        });
        let (number, era, until): (u32, _, Sequence) = emptied.await.unwrap_or_else(|_| look(&shown));
        let shared = Arc::clone(&self.shared);
        let read =
            spawn_blocking(move || log::start_of_last(&shared.database, number, era, until, bytes)).await;
        let sequence = read
            .map_err(|stopped| StoreError::Unavailable(stopped.into()))?
            .map_err(StoreError::Unavailable)?;
        Ok(Some(Position { epoch: era.epoch, sequence }))
    }

    async fn copy(
        &self,
        id: &CanvasId,
        chunk: ChunkId,
    ) -> Result<Option<(Position, Option<Chunk>)>, StoreError> {
        Ok(self.shared.find(id).map(|shown| {
            let picture = shown.picture();
            (picture.position(), picture.chunk(chunk).cloned())
        }))
    }

    async fn authors(&self, id: &CanvasId) -> Result<Option<Vec<(Identity, Name)>>, StoreError> {
        Ok(self
            .shared
            .find(id)
            .map(|shown| shown.picture().authors.after(0).map(|(_, who)| who.clone()).collect()))
    }

    async fn restore(&self, restoration: Restoration<'_>) -> Result<Created, StoreError> {
        self.restore_canvas(restoration).await
    }

    fn condition(&self) -> Condition {
        self.shared.condition()
    }
}
