//! The one thread that writes: it gathers calls, decides them, syncs once, and shows the result.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use pixel_canvas::{CanvasId, Entry, Refusal, Timestamp};
use redb::{Durability, WriteTransaction};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tracing::error;

use super::Options;
use super::chores::Chores;
use super::journal::Journal;
use super::ledger::Ledger;
use super::row::{Row, Trace};
use super::shared::{Shared, Shown};
use super::tables::{LOG, META, META_COMMITS};
use crate::{Condition, Outcome, StoreError, Submission};

/// The most calls that one commit gathers.
const GROUP_CALLS_MAX: usize = 1_024;
/// Once a group has so many placements, it gathers no more.
const GROUP_PLACEMENTS_MAX: usize = 16_384;
/// How long the writer sleeps when nothing comes, before it looks for chores.
const IDLE_LOOK: Duration = Duration::from_millis(500);

/// What the writer is asked to do.
pub(crate) enum Message {
    /// Place a call; many of them share a commit.
    Place(PlaceCall),
    /// A host's change, alone in its commit.
    Host(Box<dyn FnOnce(&mut Writer) + Send>),
    /// Finish: all that is decided is committed, a last checkpoint made.
    Close(oneshot::Sender<()>),
}

/// One call, and where its outcomes go.
pub(crate) struct PlaceCall {
    pub(crate) id: CanvasId,
    pub(crate) submissions: Vec<Submission>,
    pub(crate) answer: oneshot::Sender<Result<Vec<Outcome>, StoreError>>,
    /// Its place in the queue, given back when the call is taken.
    pub(crate) place: OwnedSemaphorePermit,
}

/// The writer's own knowledge, a group ahead of the readers while that group commits.
pub(crate) struct Writer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) options: Options,
    pub(crate) journal: Journal,
    pub(crate) ledgers: HashMap<CanvasId, Ledger>,
    pub(crate) chores: Chores,
    pub(crate) recent: Recent,
    /// The next number that no canvas and no layer had.
    pub(crate) next_number: u32,
    /// How many commits were acknowledged.
    pub(crate) commits: u64,
    /// The last moment used: the store's clock never goes back.
    pub(crate) now: Timestamp,
}

/// Which entries are at hand for tails, over all canvases: the oldest go first.
pub(crate) struct Recent {
    queue: VecDeque<(Arc<Shown>, usize)>,
    bytes: usize,
    bytes_max: usize,
}

/// An entry of a group, from decision to display.
struct Staged {
    shown: Arc<Shown>,
    entry: Entry,
    bytes: usize,
}

/// Why a commit did not happen, or may not have.
#[derive(Debug)]
pub(crate) enum Failure {
    Before(redb::Error),
    During(redb::Error),
}

impl<E: Into<redb::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Before(error.into())
    }
}

impl Writer {
    /// Before anybody reads: what a start found in the journal may not be synced.
    pub(crate) fn settle(&mut self) {
        self.empty_journal();
        if self.writable().is_ok() {
            self.recent.let_go(0);
            if let Err(failure) = self.journal.forget() {
                self.stop(failure);
            }
        }
    }

    /// Works until the last sender is gone or the store is closed.
    pub(crate) fn run(mut self, messages: &Receiver<Message>) {
        let _guard = StoppedByPanic(Arc::clone(&self.shared));
        let mut put_off = None;
        loop {
            let first = match put_off.take().map_or_else(|| self.next(messages), Ok) {
                Ok(message) => Some(message),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            match first {
                Some(Message::Place(call)) => put_off = self.gather_and_place(call, messages),
                Some(Message::Host(change)) => change(&mut self),
                Some(Message::Close(answer)) => {
                    self.close();
                    // Whoever asked may have gone; the store is closed all the same.
                    let _ = answer.send(());
                    return self.turn_away(messages);
                }
                None => {}
            }
            self.do_chore();
            self.count();
        }
    }

    /// Tells those still in the queue of a closed store that nothing happened.
    fn turn_away(mut self, messages: &Receiver<Message>) {
        while let Ok(message) = messages.try_recv() {
            match message {
                Message::Place(call) => self.place(vec![call]),
                Message::Host(change) => change(&mut self),
                // As above.
                Message::Close(answer) => drop(answer.send(())),
            }
        }
    }

    /// Waits for a message; not at all while a chore is under way.
    fn next(&self, messages: &Receiver<Message>) -> Result<Message, RecvTimeoutError> {
        messages.recv_timeout(if self.chores.is_busy() { Duration::ZERO } else { IDLE_LOOK })
    }

    /// Takes what is queued, up to the group's bounds, and places it in one commit; answers with a
    /// message that does not belong to the group.
    fn gather_and_place(&mut self, first: PlaceCall, messages: &Receiver<Message>) -> Option<Message> {
        let placements =
            |call: &PlaceCall| call.submissions.iter().map(|s| s.act.placements_max()).sum::<usize>();
        let mut gathered = placements(&first);
        let mut calls = vec![first];
        let mut put_off = None;
        while calls.len() < GROUP_CALLS_MAX && gathered < GROUP_PLACEMENTS_MAX {
            match messages.try_recv() {
                Ok(Message::Place(call)) => {
                    gathered += placements(&call);
                    calls.push(call);
                }
                Ok(other) => {
                    put_off = Some(other);
                    break;
                }
                Err(_) => break,
            }
        }
        self.place(calls);
        put_off
    }

    fn place(&mut self, calls: Vec<PlaceCall>) {
        let now = self.tick();
        let mut staged = Vec::new();
        let mut rows = Vec::new();
        let mut answers = Vec::with_capacity(calls.len());
        for PlaceCall { id, submissions, answer, place } in calls {
            drop(place);
            if let Err(unavailable) = self.writable() {
                // The caller may have gone: then nobody waits for the answer.
                let _ = answer.send(Err(unavailable));
                continue;
            }
            self.shared.counters.submissions.fetch_add(submissions.len() as u64, Relaxed);
            let outcomes = match (self.ledgers.get_mut(&id), self.shared.find(&id)) {
                (Some(ledger), Some(shown)) => {
                    let limits = &self.options.limits;
                    let (outcomes, made) = ledger.decide(submissions, &shown.picture(), limits, now);
                    if let Some((entry, traces)) = made {
                        let row = ledger.row(&entry, &traces);
                        staged.push(Staged { shown, entry, bytes: row.value.len() });
                        rows.push(row);
                    }
                    outcomes
                }
                _ => vec![Outcome::Refused(Refusal::NoCanvas); submissions.len()],
            };
            answers.push((answer, outcomes));
        }
        let committed = if rows.is_empty() { Ok(()) } else { self.commit_rows(rows) };
        let changed = if committed.is_ok() { self.display(staged) } else { Vec::new() };
        for (answer, outcomes) in answers {
            // As above.
            let _ = answer.send(match &committed {
                Ok(()) => Ok(outcomes),
                Err(failed) => Err(failed.to_error()),
            });
        }
        // After the answers: a gateway that has them sends them together with what the tails bring.
        changed.iter().for_each(|shown| shown.tell());
    }

    /// Puts rows of the log into the journal, synced; the database gets them later.
    fn commit_rows(&mut self, rows: Vec<LogRow>) -> Result<(), Failed> {
        self.counted(|writer, commits| writer.journal.append(commits, rows))
    }

    /// Writes to the database, and syncs.
    pub(crate) fn commit(
        &mut self,
        write: impl FnOnce(&WriteTransaction) -> Result<(), Failure>,
    ) -> Result<(), Failed> {
        self.counted(|writer, commits| writer.save(commits, write))
    }

    /// The next commit. After a failure nothing is written ever again: what the disk holds then is known
    /// only to the next start.
    fn counted(&mut self, write: impl FnOnce(&mut Self, u64) -> Result<(), Failure>) -> Result<(), Failed> {
        let took = stopwatch();
        let commits = self.commits + 1;
        let done = write(self, commits).and_then(|()| {
            self.shared.held.as_ref().map_or(Ok(()), |held| held.witness.note(commits)).map_err(lost)
        });
        self.commits = commits;
        self.shared.counters.commits.fetch_add(1, Relaxed);
        self.shared.counters.commit_us.fetch_add(took(), Relaxed);
        done.map_err(|failure| self.stop(failure))
    }

    /// Brings the database up to a commit: with what it is told to write, and with what is in the journal.
    fn save(
        &mut self,
        commits: u64,
        write: impl FnOnce(&WriteTransaction) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        commit(&self.shared, Durability::Immediate, |transaction| {
            {
                let mut log = transaction.open_table(LOG)?;
                for row in self.journal.rows() {
                    log.insert(row.key, row.value.as_slice())?;
                }
            }
            write(transaction)?;
            transaction.open_table(META)?.insert(META_COMMITS, commits)?;
            Ok(())
        })?;
        self.journal.begin_anew();
        self.recent.let_go(0);
        Ok(())
    }

    /// Lets the database have what only the journal has.
    pub(crate) fn empty_journal(&mut self) {
        if self.writable().is_err() || self.journal.rows().is_empty() {
            return;
        }
        let took = stopwatch();
        if let Err(failure) = self.save(self.commits, |_| Ok(())) {
            self.stop(failure);
        }
        self.shared.counters.commit_us.fetch_add(took(), Relaxed);
    }

    /// Stops writing for good.
    pub(crate) fn stop(&mut self, failure: Failure) -> Failed {
        let (error, unknown) = match failure {
            Failure::Before(error) => (error, false),
            Failure::During(error) => (error, true),
        };
        error!(%error, "the store cannot write and takes no more placements: {error}");
        let why = format!("writing failed ({error}): nothing is accepted until a restart");
        self.shared.stop_writing(why.clone());
        Failed { why, unknown }
    }

    /// Lets readers see what is synced; answers with what the tails are to be told of.
    fn display(&mut self, staged: Vec<Staged>) -> Vec<Arc<Shown>> {
        let mut changed = Vec::with_capacity(staged.len());
        for Staged { shown, entry, bytes } in staged {
            self.shared.counters.placements.fetch_add(entry.last.since(entry.after()), Relaxed);
            let entry = Arc::new(entry);
            {
                let mut picture = shown.change();
                picture.apply(&entry, self.chores.dirty(shown.number));
                picture.remember(entry);
            }
            self.chores.logged(bytes as u64);
            changed.push(Arc::clone(&shown));
            self.recent.add(shown, bytes);
        }
        self.recent.let_go(self.journal.rows().len());
        changed
    }

    fn count(&self) {
        let records: usize = self.ledgers.values().map(|ledger| ledger.records.len()).sum();
        self.shared.counters.records.store(records as u64, Relaxed);
        self.shared.counters.log_bytes.store(self.chores.log_bytes(), Relaxed);
    }

    /// One small piece of upkeep.
    fn do_chore(&mut self) {
        let in_place = self.shared.held.as_ref().map_or(Ok(()), |held| held.witness.look());
        if let (Ok(()), Err(gone)) = (self.writable(), in_place) {
            self.stop(lost(gone));
        }
        let now = self.tick();
        // No checkpoint counts beyond the end of the database's log: a start takes in what follows that.
        if self.journal.is_long(self.options.journal_bytes) || self.chores.begins(&self.options, now) {
            self.empty_journal();
        }
        if self.writable().is_err() {
            self.chores.abandon();
            return;
        }
        if let Err(failure) = self.chores.step(&self.shared, &mut self.ledgers, &self.options, now) {
            self.stop(failure);
        }
    }

    fn close(&mut self) {
        let now = self.tick();
        self.empty_journal();
        if self.writable().is_ok()
            && let Err(failure) = self.chores.finish(&self.shared, &mut self.ledgers, &self.options, now)
        {
            self.stop(failure);
        }
        self.count();
        self.shared.stop_writing("the store was closed".into());
        self.shared.close();
    }

    /// The store's clock, which never goes back.
    pub(crate) fn tick(&mut self) -> Timestamp {
        self.now = self.now.max((self.options.clock)());
        self.now
    }

    pub(crate) fn writable(&self) -> Result<(), StoreError> {
        match self.shared.condition() {
            Condition::Writable => Ok(()),
            Condition::ReadOnly(_, why) | Condition::Away(_, why) => Err(StoreError::Unavailable(why.into())),
        }
    }
}

/// A row of the log, ready to be written.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LogRow {
    pub(crate) key: (u32, u64),
    pub(crate) value: Vec<u8>,
}

impl Ledger {
    /// The row of an entry that follows the ledger's last.
    pub(crate) fn row(&mut self, entry: &Entry, traces: &[Trace]) -> LogRow {
        let (value, ends_at) = Row::encode(entry, traces, self.ends_at);
        self.ends_at = ends_at;
        LogRow { key: (self.number, entry.last.0), value }
    }
}

/// What is told to everyone who waited for a commit that failed.
pub(crate) struct Failed {
    why: String,
    unknown: bool,
}

impl Failed {
    pub(crate) fn to_error(&self) -> StoreError {
        let why = self.why.clone().into();
        if self.unknown { StoreError::Unknown(why) } else { StoreError::Unavailable(why) }
    }
}

impl Recent {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { queue: VecDeque::new(), bytes: 0, bytes_max }
    }

    /// Counts an entry that its canvas remembers.
    pub(crate) fn add(&mut self, shown: Arc<Shown>, bytes: usize) {
        self.bytes += bytes;
        self.queue.push_back((shown, bytes));
    }

    /// Lets the oldest go beyond the bound, but for the last `kept`: they can be read nowhere else.
    pub(crate) fn let_go(&mut self, kept: usize) {
        while self.bytes > self.bytes_max && self.queue.len() > kept {
            let Some((shown, bytes)) = self.queue.pop_front() else {
                break;
            };
            self.bytes -= bytes;
            shown.change().let_go();
        }
    }
}

/// Writes in one transaction.
pub(crate) fn commit(
    shared: &Shared,
    durability: Durability,
    write: impl FnOnce(&WriteTransaction) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut transaction = shared.database.begin_write()?;
    transaction.set_durability(durability).expect("savepoints are not used");
    write(&transaction)?;
    transaction.commit().map_err(|error| Failure::During(error.into()))
}

/// What was synced may not be there at the next start.
fn lost(error: std::io::Error) -> Failure {
    Failure::During(redb::Error::Io(error))
}

/// Microseconds since it was made: for figures, and for how long a stop may take.
#[expect(clippy::disallowed_methods, reason = "measures work; nothing that is kept depends on it")]
pub(crate) fn stopwatch() -> impl Fn() -> u64 {
    let started = Instant::now();
    move || started.elapsed().as_micros() as u64
}

/// Says so when the writer is gone without being closed.
struct StoppedByPanic(Arc<Shared>);

impl Drop for StoppedByPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0
                .stop_writing("the writer stopped unexpectedly: nothing is accepted until a restart".into());
        }
    }
}
