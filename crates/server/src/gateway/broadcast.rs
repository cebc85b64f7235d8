//! Follows one canvas' log and tells every sweeping thread, encoding each change once.
//!
//! What comes before the next sweep may begin ([`Pace`]) goes out together.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use pixel_canvas::{Canvas, Change, ChunkId, Entry, Name, Sequence, Timestamp};
use pixel_protocol::binary;
use pixel_store::{Overview, Position, Store, StoreError, Tail, Tailed, Trouble};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};
use tracing::{debug, error, info, warn};

use super::channel::Channel;
use super::encode;
use super::fanout::Segment;
use super::news::{JsonRestart, News};
use super::pace::Pace;
use super::sweep::Inbox;
use crate::clock::Clock;

/// How much of the stored log a starting gateway reads, so that viewers can resume.
pub(crate) const HISTORY_BYTES: u64 = 16 << 20;
/// Placements that are gathered before they go out, however soon that is.
pub(crate) const GATHER_PLACEMENTS_MAX: usize = 16_384;
/// Quiet viewers hear how far the canvas is at most this often.
pub(crate) const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);
/// People hear who came and went at most this often.
pub(crate) const PRESENCE_INTERVAL: Duration = Duration::from_secs(1);
/// A chunk tells who paints on it at most this often.
pub(crate) const PAINTERS_INTERVAL_MS: u64 = 250;
/// News in bytes that wait for a thread; beyond it the log is read no further.
pub(crate) const NEWS_BYTES_MAX: usize = 16 << 20;
/// Everybody loads afresh at most this often, though the log breaks off at every entry: while another
/// version of this program, whose entries cannot be read, is rolled out.
const RESTART_INTERVAL: Duration = Duration::from_secs(1);
/// How long a canvas is waited for that is missing though nobody deleted it: a store that came back
/// empty is given it again by an api.
const MISSING_KEPT: Duration = Duration::from_secs(10);
/// Wait before the store is asked again after it failed.
const STORE_RETRY: Duration = Duration::from_millis(500);

/// Follows one canvas.
pub(crate) struct Broadcast {
    pub(crate) channel: Arc<Channel>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) inboxes: Arc<[Inbox]>,
    pub(crate) clock: Clock,
    pub(crate) sweep_interval: Duration,
    pub(crate) canvas: watch::Sender<Arc<Canvas>>,
    pub(crate) ready: watch::Sender<bool>,
}

impl Broadcast {
    /// Runs until the canvas is gone. Store failures are logged and retried.
    pub(crate) async fn run(self) {
        let (mut told, mut stale, mut missing_since) = (None, false, None);
        loop {
            match self.follow(&mut told, &mut stale).await {
                Ok(Gone::Deleted) => break,
                Ok(Gone::Missing) => {
                    let now = self.clock.tokio();
                    // It was there meanwhile, unless what was told then is stale still.
                    let since = missing_since.filter(|_| stale).unwrap_or(now);
                    missing_since = Some(since);
                    if told.is_none() || now.duration_since(since) >= MISSING_KEPT {
                        break;
                    }
                }
                Err(failure) => {
                    missing_since = None;
                    self.cannot_follow(&failure, stale);
                }
            }
            if !stale {
                stale = true;
                self.tell(&News::Stale(true));
            }
            tokio::time::sleep(STORE_RETRY).await;
        }
        self.tell(&News::Deleted);
        info!(canvas.id = %self.id(), "canvas {} is gone", self.id());
    }

    /// What a store looks out for by itself, it also tells of by itself; all else is said once.
    fn cannot_follow(&self, failure: &StoreError, again: bool) {
        let (id, cause) = (self.id(), failure as &dyn std::error::Error);
        if again || failure.trouble() != Trouble::Other {
            debug!(canvas.id = %id, error = cause, "cannot follow the log of {id}, trying again");
        } else {
            error!(canvas.id = %id, error = cause, "cannot follow the log of {id}, trying again");
        }
    }

    fn id(&self) -> pixel_canvas::CanvasId {
        self.canvas.borrow().id.clone()
    }

    fn tell(&self, news: &News) {
        for inbox in self.inboxes.iter() {
            inbox.tell(self.channel.number, news.clone());
        }
    }

    /// Waits while a thread has not taken what it was told: the log waits in the store meanwhile.
    async fn wait_for_threads(&self) {
        while self.inboxes.iter().any(|inbox| inbox.news_bytes() > NEWS_BYTES_MAX) {
            tokio::time::sleep(self.sweep_interval).await;
        }
    }

    fn amend(&self, canvas: Arc<Canvas>) {
        self.canvas.send_replace(Arc::clone(&canvas));
        self.tell(&News::Amended(canvas));
    }

    /// Follows the log until it breaks off, from what the threads were told; `Ok` when the canvas is gone.
    async fn follow(&self, told: &mut Option<Told>, stale: &mut bool) -> Result<Gone, StoreError> {
        let id = self.id();
        let mut restarted_at: Option<Instant> = None;
        loop {
            let start = match told {
                Some(told) => told.position,
                None => {
                    let start = self.store.tail_start(&id, HISTORY_BYTES).await?;
                    let Some(start) = start else { return Ok(Gone::Missing) };
                    start
                }
            };
            let Some(overview) = self.store.overview(&id).await? else { return Ok(Gone::Missing) };
            let Some(tail) = self.store.tail(&id, start).await? else { return Ok(Gone::Missing) };
            // What was amended before the tail began does not come out of it.
            let Some(canvas) = self.store.canvas(&id).await? else { return Ok(Gone::Missing) };
            if !self.canvas.borrow().can_become(&canvas) {
                // Deleted, and made anew under the same id, between two looks.
                return Ok(Gone::Deleted);
            }
            if *self.canvas.borrow() != canvas {
                self.amend(canvas);
            }
            if std::mem::take(stale) {
                self.tell(&News::Stale(false));
            }
            let from = told.take().unwrap_or_else(|| {
                self.tell(&restarted(start, &overview));
                Told::nothing_since(start)
            });
            let mut following = Following::new(self, tail, from, overview.position.sequence);
            let ended = following.run().await;
            *told = Some(following.told);
            match ended? {
                Ended::Deleted => return Ok(Gone::Deleted),
                Ended::Lost => {
                    match restarted_at {
                        Some(before) => sleep_until(before + RESTART_INTERVAL).await,
                        None => {
                            let sentence = "cannot be read on, every viewer loads afresh";
                            warn!(canvas.id = %id, "the log of {id} {sentence}");
                        }
                    }
                    restarted_at = Some(self.clock.tokio());
                    let Some(overview) = self.store.overview(&id).await? else { return Ok(Gone::Missing) };
                    self.tell(&restarted(overview.position, &overview));
                    *told = Some(Told::nothing_since(overview.position));
                }
            }
        }
    }
}

/// Why a canvas is followed no more.
enum Gone {
    /// The host deleted it.
    Deleted,
    /// It is not there.
    Missing,
}

/// What the threads were told of the log.
struct Told {
    /// Everything up to here.
    position: Position,
    /// The last sequence of each chunk's last frame.
    sent: HashMap<ChunkId, Sequence>,
    /// Where a chunk without frames so far starts from.
    started: Sequence,
}

impl Told {
    fn nothing_since(position: Position) -> Self {
        Self { position, sent: HashMap::new(), started: position.sequence }
    }
}

fn restarted(position: Position, overview: &Overview) -> News {
    News::Restarted { position, changed: overview.changed.clone(), json: JsonRestart::Resync }
}

enum Ended {
    Deleted,
    Lost,
}

/// One unbroken reading of the log.
struct Following<'a> {
    broadcast: &'a Broadcast,
    tail: Box<dyn Tail>,
    told: Told,
    /// Up to here the log is history: nobody is painting it now.
    history: Sequence,
    progress: Progress,
    people_due: Option<Instant>,
    painters_told: HashMap<ChunkId, Timestamp>,
}

/// When quiet viewers are told how far the canvas is.
struct Progress {
    told: Sequence,
    next: Instant,
}

impl<'a> Following<'a> {
    fn new(broadcast: &'a Broadcast, tail: Box<dyn Tail>, told: Told, history: Sequence) -> Self {
        Self {
            broadcast,
            tail,
            history,
            progress: Progress { told: told.position.sequence, next: broadcast.clock.tokio() },
            told,
            // What was due when the reading before broke off is due still.
            people_due: Some(broadcast.clock.tokio()),
            painters_told: HashMap::new(),
        }
    }

    async fn run(&mut self) -> Result<Ended, StoreError> {
        let clock = &self.broadcast.clock;
        let mut pace = Pace::new(self.broadcast.sweep_interval, clock.tokio());
        let mut people_allowed = clock.tokio();
        loop {
            self.broadcast.wait_for_threads().await;
            if self.told.position.sequence >= self.history {
                self.broadcast.ready.send_replace(true);
            }
            let progress_due =
                (self.progress.told < self.told.position.sequence).then_some(self.progress.next);
            // In this order, so that a run can be repeated; what comes first does so once a second at most.
            let first = tokio::select! {
                biased;
                () = self.broadcast.channel.roster_changed.notified(), if self.people_due.is_none() => {
                    self.people_due = Some(people_allowed);
                    continue;
                }
                () = sleep_until(self.people_due.unwrap_or(people_allowed)), if self.people_due.is_some() => {
                    self.people_due = None;
                    people_allowed = clock.tokio() + PRESENCE_INTERVAL;
                    self.tell_people();
                    continue;
                }
                () = sleep_until(progress_due.unwrap_or(people_allowed)), if progress_due.is_some() => {
                    let frame = self.progress_frame();
                    self.broadcast.tell(&News::Progress(frame));
                    continue;
                }
                tailed = self.tail.next() => tailed?,
            };
            let heard = clock.now();
            let (entries, special) = self.gather(first, pace.allowed()).await?;
            if !entries.is_empty() {
                pace.swept(clock.tokio());
                self.tell_painted(heard, &entries);
            }
            match special {
                None => {}
                Some(Tailed::Entry(reset)) => self.tell_reset(&reset),
                Some(Tailed::Amended(canvas)) => self.broadcast.amend(canvas),
                Some(Tailed::Lost) => return Ok(Ended::Lost),
                Some(Tailed::Deleted) => return Ok(Ended::Deleted),
            }
        }
    }

    /// Painted entries until the sweep may begin, and what ended them early: anything else.
    async fn gather(
        &mut self,
        first: Tailed,
        due: Instant,
    ) -> Result<(Vec<Arc<Entry>>, Option<Tailed>), StoreError> {
        let (mut entries, mut placements) = (Vec::new(), 0);
        let mut next = first;
        loop {
            match next {
                Tailed::Entry(entry) if matches!(entry.change, Change::Painted(_)) => {
                    placements += entry.last.since(entry.after()) as usize;
                    entries.push(entry);
                }
                special => return Ok((entries, Some(special))),
            }
            if placements >= GATHER_PLACEMENTS_MAX {
                return Ok((entries, None));
            }
            next = match timeout_at(due, self.tail.next()).await {
                Ok(tailed) => tailed?,
                Err(_) => return Ok((entries, None)),
            };
        }
    }

    fn tell_painted(&mut self, heard: std::time::Instant, entries: &[Arc<Entry>]) {
        let last = entries.last().expect("the caller gathered some");
        let position = Position { epoch: last.epoch, sequence: last.last };
        let json = encode::json_segment(self.told.position.sequence, entries);
        let chunks = self.chunk_segments(entries, position);
        self.told.position = position;
        let now = self.broadcast.clock.tokio();
        let progress = (self.progress.next <= now).then(|| self.progress_frame());
        self.broadcast.tell(&News::Painted { heard, position, json, chunks, progress });
    }

    /// One frame for each changed chunk: the last colour of each pixel.
    fn chunk_segments(&mut self, entries: &[Arc<Entry>], position: Position) -> Vec<(ChunkId, Segment)> {
        let canvas = self.broadcast.canvas.borrow().clone();
        let changed = encode::changed_chunks(entries);
        let now = self.broadcast.clock.unix();
        let live = position.sequence > self.history;
        let mut segments: Vec<(ChunkId, Segment)> = Vec::with_capacity(changed.len());
        for (id, chunk) in changed {
            let after = self.told.sent.insert(id, chunk.to).unwrap_or(self.told.started);
            let mut frames = Vec::new();
            chunk.write_frame(&mut frames, position.epoch, id, after, &canvas);
            let told = self.painters_told.get(&id).copied().unwrap_or_default();
            if live && now.since(told) >= PAINTERS_INTERVAL_MS {
                self.painters_told.insert(id, now);
                let painters = binary::ToClient::Painters { chunk: id, painters: chunk.painters() };
                encode::write_binary(&mut frames, &painters, &canvas);
            }
            segments.push((id, Segment { after, to: chunk.to, bytes: frames.into(), ends: None }));
        }
        segments
    }

    /// The canvas went back to its background under a new epoch.
    fn tell_reset(&mut self, entry: &Arc<Entry>) {
        let position = Position { epoch: entry.epoch, sequence: entry.last };
        let Change::Reset { placements } = &entry.change else {
            unreachable!("painted entries are gathered, not passed on")
        };
        let json = if placements.is_empty() {
            JsonRestart::Close
        } else {
            JsonRestart::Updates(encode::json_segment(
                self.told.position.sequence,
                std::slice::from_ref(entry),
            ))
        };
        // Every chunk that was ever painted may have changed: who has less than this loads afresh.
        let changed = self.broadcast.canvas.borrow().size.chunks().map(|id| (id, entry.last)).collect();
        self.told = Told::nothing_since(position);
        self.broadcast.tell(&News::Restarted { position, changed, json });
        self.progress.told = position.sequence;
    }

    fn progress_frame(&mut self) -> Bytes {
        self.progress.next = self.broadcast.clock.tokio() + PROGRESS_INTERVAL;
        self.progress.told = self.told.position.sequence;
        let Position { epoch, sequence } = self.told.position;
        let mut frame = Vec::new();
        let canvas = self.broadcast.canvas.borrow();
        encode::write_binary(&mut frame, &binary::ToClient::Progress { epoch, sequence }, &canvas);
        frame.into()
    }

    fn tell_people(&self) {
        let (changes, names) = {
            let mut roster = self.broadcast.channel.roster.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(changes) = roster.announce() else { return };
            let names: Vec<Name> = roster.newest().cloned().collect();
            (changes, names)
        };
        let canvas = self.broadcast.canvas.borrow().clone();
        let news = encode::people(&changes, &names, &canvas, self.broadcast.clock.unix());
        self.broadcast.tell(&news);
    }
}
