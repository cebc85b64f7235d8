//! One client: it connects, works, follows the canvas, and comes back when the connection breaks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use futures_util::FutureExt;
use pixel_canvas::{ChunkId, Epoch, Placement, Sequence};
use pixel_protocol::binary::Reason;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::watch;

use crate::crew::{Crew, Phase, Stage};
use crate::socket::{Dialect, Event, Greeting, Socket, Why};
use crate::tally::{Receipt, Receipts};
use crate::view::{View, Viewing};
use crate::work::{AfterRefusal, Next, Work};

/// The first wait before coming back is up to this; each failure doubles it.
const BACKOFF_FIRST: Duration = Duration::from_millis(500);
/// The longest wait before coming back.
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// A client that heard nothing for so long comes back on another connection.
const SILENCE_MAX: Duration = Duration::from_secs(35);
/// How often a client shows that it lives, and looks after its sums.
const PING_INTERVAL: Duration = Duration::from_secs(12);
/// How often received updates are summed up.
const SETTLE_INTERVAL: Duration = Duration::from_secs(1);
/// The least wait before a refused submission is sent again.
const RETRY_WAIT_MIN: Duration = Duration::from_millis(5);
/// Waits grow up to 2 to this many times what the server asks for.
const STRAIN_MAX: u32 = 7;
/// What has arrived is read up to so many messages before anything else is looked after.
const EVENTS_PER_TURN_MAX: usize = 128;
/// The most chunks that one client views.
const CHUNKS_VIEWED_MAX: usize = pixel_protocol::CHUNKS_SUBSCRIBED_MAX;

/// A submission without its final answer.
struct Pending {
    placements: Vec<Placement>,
    intended: Instant,
    /// When it was sent first.
    sent: Option<Instant>,
    /// Waits on the server for its answer.
    on_wire: bool,
    /// Not to be sent again before.
    again: Instant,
    /// The server said that nothing of it happened: the next sending is a new beginning.
    refused: bool,
    /// An earlier try may have happened: only the same key can tell.
    doubtful: bool,
}

/// Why a conversation ended.
enum Ending {
    /// The crew is done.
    Stopped,
    /// The connection broke: come back.
    Broken(anyhow::Error),
    /// There is no use in coming back.
    Fatal(anyhow::Error),
}

impl From<anyhow::Error> for Ending {
    fn from(error: anyhow::Error) -> Self {
        Self::Broken(error)
    }
}

/// One client of a crew.
pub struct Client<W> {
    crew: Arc<Crew>,
    index: usize,
    dialect: Dialect,
    work: W,
    begun: bool,
    done: bool,
    view: View,
    token: Option<String>,
    pending: BTreeMap<u64, Pending>,
    next_key: u64,
    paused_until: Option<Instant>,
    /// One more for each refusal after a pause, one less for each acceptance.
    strain: u32,
    /// The number of the ping behind the last subscription.
    barrier: u64,
    /// Updates up to here come again, or not at all, until the server has taken the resume in.
    resuming_from: Option<Sequence>,
    receipts: Receipts,
    rng: SmallRng,
}

impl<W: Work> Client<W> {
    /// A client that is not connected yet.
    #[must_use]
    pub fn new(
        crew: Arc<Crew>,
        index: usize,
        dialect: Dialect,
        viewing: Viewing,
        work: W,
        seed: u64,
    ) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed ^ (index as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        // In JSON the key travels as a number, which must stay exact.
        let next_key = rng.random::<u64>() >> 16;
        let view = View::new(viewing, &crew.canvas, crew.epoch);
        Self {
            crew,
            index,
            dialect,
            work,
            begun: false,
            done: false,
            view,
            token: None,
            pending: BTreeMap::new(),
            next_key,
            paused_until: None,
            strain: 0,
            barrier: 0,
            resuming_from: None,
            receipts: Receipts::default(),
            rng,
        }
    }

    /// Lives until the crew stops; gives back what it saw.
    pub async fn run(mut self) -> Result<View> {
        let mut phase = self.crew.phase.subscribe();
        let mut backoff = BACKOFF_FIRST;
        let mut alone_since = Instant::now();
        loop {
            let connected = match self.connect(&mut phase).await {
                Ok(mut socket) => {
                    backoff = BACKOFF_FIRST;
                    self.crew.connected.fetch_add(1, Ordering::Relaxed);
                    let ending = self.converse(&mut socket, &mut phase).await;
                    self.crew.connected.fetch_sub(1, Ordering::Relaxed);
                    alone_since = Instant::now();
                    if matches!(ending, Err(Ending::Broken(_))) {
                        self.crew.tally.breaks.add(1);
                    }
                    if matches!(ending, Ok(()) | Err(Ending::Stopped | Ending::Fatal(_))) {
                        socket.close().await;
                    }
                    ending
                }
                Err(ending) => Err(ending),
            };
            match connected {
                Ok(()) | Err(Ending::Stopped) => break,
                Err(Ending::Fatal(error)) => return Err(error),
                Err(Ending::Broken(error)) if alone_since.elapsed() > self.crew.patience => {
                    return Err(error.context("the server did not come back"));
                }
                Err(Ending::Broken(error)) => self.note_break(&error),
            }
            let wait = backoff.mul_f64(self.rng.random());
            backoff = (backoff * 2).min(BACKOFF_MAX);
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = stopped(&mut phase) => break,
            }
        }
        let unanswered: usize = self.pending.values().map(|pending| pending.placements.len()).sum();
        self.crew.tally.unanswered.add(unanswered as u64);
        self.receipts.settle(&self.crew.tally, Instant::now(), true);
        Ok(self.view)
    }

    /// What was on its way when the connection broke is sent again, where a key makes that safe.
    fn note_break(&mut self, error: &anyhow::Error) {
        let tally = &self.crew.tally;
        tally.trouble(|| format!("client {} lost its connection: {error:#}", self.index));
        let binary = self.dialect == Dialect::Binary;
        let work = &mut self.work;
        self.pending.retain(|_, pending| {
            let on_wire = std::mem::replace(&mut pending.on_wire, false);
            pending.doubtful |= on_wire;
            if binary || !on_wire {
                return true;
            }
            tally.unanswered.add(pending.placements.len() as u64);
            work.unanswered() == AfterRefusal::Retry
        });
    }

    /// Opens a socket and brings the view up to date.
    async fn connect(&mut self, phase: &mut watch::Receiver<Phase>) -> Result<Socket, Ending> {
        let crew = Arc::clone(&self.crew);
        let opening = async {
            // A few at a time: a thousand handshakes at once would only time each other out.
            let _turn = crew.openings.acquire().await;
            Socket::open(&crew.remote, self.dialect, self.token.as_deref()).await
        };
        let (mut socket, greeting) = tokio::select! {
            opened = opening => opened?,
            () = stopped(phase) => return Err(Ending::Stopped),
        };
        match greeting {
            Greeting::Hello(hello) => {
                self.view.connected();
                if hello.canvas.size != crew.canvas.size || hello.canvas.palette != crew.canvas.palette {
                    return Err(Ending::Fatal(anyhow::anyhow!("the canvas is another one now")));
                }
                if !hello.token.is_empty() {
                    self.token = Some(hello.token);
                }
                self.view_chunks(&mut socket, hello.epoch, hello.sequence).await?;
            }
            Greeting::Connected { epoch, sequence } => {
                self.view_updates(&mut socket, epoch, sequence).await?
            }
        }
        Ok(socket)
    }

    /// Subscribes to every chunk, from what is held or from a snapshot (binary).
    async fn view_chunks(&mut self, socket: &mut Socket, epoch: Epoch, sequence: Sequence) -> Result<()> {
        if epoch != self.view.epoch() {
            self.view.restart(epoch);
        }
        let crew = Arc::clone(&self.crew);
        for chunk in chunks(&crew).filter(|chunk| !self.view.follows(*chunk)).collect::<Vec<_>>() {
            match self.view.viewing() {
                Viewing::Pixels => self.load(chunk, epoch, Sequence::ZERO).await?,
                Viewing::Positions => self.view.follow(chunk, sequence),
            }
        }
        let held = self.view.resume();
        socket.subscribe(&crew.canvas, epoch, &held).await?;
        // Its pong tells that the subscription was read: only then progress is about these chunks.
        self.barrier += 1;
        socket.ping(&crew.canvas, self.barrier).await
    }

    /// Continues the stream of updates where it broke, or begins it (JSON).
    async fn view_updates(&mut self, socket: &mut Socket, epoch: Epoch, sequence: Sequence) -> Result<()> {
        let at = self.view.updates_at();
        if epoch == self.view.epoch() && at > Sequence::ZERO {
            if at < sequence {
                self.resuming_from = Some(at);
                socket.resume(epoch, at).await?;
            } else {
                // This gateway may be behind the one before: some of what is held comes again.
                self.view.updates_from(at);
            }
            return Ok(());
        }
        self.begin_updates(epoch, sequence).await
    }

    async fn begin_updates(&mut self, epoch: Epoch, sequence: Sequence) -> Result<()> {
        self.resuming_from = None;
        self.view.restart(epoch);
        if self.view.viewing() == Viewing::Pixels {
            self.load_all(epoch, sequence).await?;
        }
        // Last: a load that fails is to be done again.
        self.view.updates_from(sequence);
        Ok(())
    }

    async fn load_all(&mut self, epoch: Epoch, since: Sequence) -> Result<()> {
        let crew = Arc::clone(&self.crew);
        for chunk in chunks(&crew) {
            self.load(chunk, epoch, since).await?;
        }
        Ok(())
    }

    async fn load(&mut self, chunk: ChunkId, epoch: Epoch, since: Sequence) -> Result<()> {
        // Should this fail, the chunk is loaded with the next connection.
        self.view.lose(chunk);
        let snapshot = self.crew.remote.snapshot(chunk, epoch, since).await?;
        if snapshot.epoch != epoch {
            bail!("the epoch changed while chunk {},{} was loaded", chunk.cx, chunk.cy);
        }
        self.view.load(chunk, &snapshot);
        Ok(())
    }

    /// Talks until the connection breaks or the crew stops.
    async fn converse(
        &mut self,
        socket: &mut Socket,
        phase: &mut watch::Receiver<Phase>,
    ) -> Result<(), Ending> {
        let mut heard = Instant::now();
        let mut pinged = heard;
        let mut settled = heard;
        self.crew.stage(self.index, Stage::Ready);
        loop {
            let now = Instant::now();
            let current = phase.borrow_and_update().clone();
            let mut wake = (settled + SETTLE_INTERVAL).min(pinged + PING_INTERVAL);
            match &current {
                Phase::Gather => {}
                Phase::Work(start) => {
                    if !std::mem::replace(&mut self.begun, true) {
                        self.work.begin(*start);
                    }
                    wake = wake.min(self.send_due(socket, now).await?);
                    if self.done && self.pending.is_empty() {
                        self.crew.stage(self.index, Stage::Idle);
                    }
                }
                Phase::Settle(truth) => {
                    let there = match self.view.viewing() {
                        Viewing::Pixels => self.view.equals(&truth.chunks),
                        Viewing::Positions => self.view.has_reached(truth.sequence),
                    };
                    self.crew.settle(self.index, there, truth.version);
                }
                Phase::Stop => return Err(Ending::Stopped),
            }
            if now >= settled + SETTLE_INTERVAL {
                settled = now;
                self.receipts.settle(&self.crew.tally, now, false);
            }
            if now >= pinged + PING_INTERVAL {
                pinged = now;
                socket.ping(&self.crew.canvas, 0).await?;
            }
            if now >= heard + SILENCE_MAX {
                return Err(Ending::Broken(anyhow::anyhow!("heard nothing for 35 s")));
            }
            tokio::select! {
                event = socket.next() => {
                    heard = Instant::now();
                    self.receive(event?, heard, socket).await?;
                    for _ in 1..EVENTS_PER_TURN_MAX {
                        let Some(event) = socket.next().now_or_never() else { break };
                        // What came before may have taken long: a chunk was loaded.
                        heard = Instant::now();
                        self.receive(event?, heard, socket).await?;
                    }
                }
                () = tokio::time::sleep_until(wake.into()) => {}
                _ = phase.changed() => {}
            }
        }
    }

    /// Sends what is due and says when the next thing will be.
    async fn send_due(&mut self, socket: &mut Socket, now: Instant) -> Result<Instant> {
        let far = now + Duration::from_secs(3_600);
        let mut wake = far;
        for (key, pending) in &mut self.pending {
            if pending.on_wire {
                continue;
            }
            if pending.again > now {
                wake = wake.min(pending.again);
                continue;
            }
            pending.on_wire = true;
            if std::mem::take(&mut pending.refused) {
                pending.intended = now;
            }
            pending.sent.get_or_insert(now);
            socket.submit(&self.crew.canvas, *key, &pending.placements).await?;
        }
        while !self.done {
            if let Some(until) = self.paused_until.filter(|until| *until > now) {
                return Ok(wake.min(until));
            }
            let waiting: usize = self.pending.values().map(|pending| pending.placements.len()).sum();
            let room = self.crew.in_flight_placements_max.saturating_sub(waiting);
            let most = match self.dialect {
                Dialect::Binary => self.crew.submission_placements_max,
                Dialect::Json => 1,
            };
            if room == 0 {
                break;
            }
            match self.work.next(now, room.min(most)) {
                Next::Submit { placements, intended } => {
                    let key = self.next_key;
                    self.next_key += 1;
                    self.crew.tally.submitted.add(placements.len() as u64);
                    let sent = Some(Instant::now());
                    let pending = Pending {
                        placements,
                        intended,
                        sent,
                        on_wire: true,
                        again: now,
                        refused: false,
                        doubtful: false,
                    };
                    // Pending first: what is lost while being sent may have arrived.
                    let pending = self.pending.entry(key).or_insert(pending);
                    socket.submit(&self.crew.canvas, key, &pending.placements).await?;
                }
                Next::At(moment) => return Ok(wake.min(moment)),
                Next::Done => self.done = true,
            }
        }
        Ok(wake)
    }

    async fn receive(&mut self, event: Event, now: Instant, socket: &mut Socket) -> Result<(), Ending> {
        let tally = &self.crew.tally;
        match event {
            Event::Frame(frame) => {
                tally.messages.add(1);
                // After a return the server may repeat some of what is held already.
                let after = frame.after.max(self.view.held(frame.chunk));
                if after < frame.to {
                    self.receipts.note(Some(frame.chunk), after, frame.to, now);
                }
                if !self.view.frame(&frame) {
                    self.load(frame.chunk, frame.epoch, frame.to).await?;
                }
            }
            Event::Update(placement, sequence) => {
                tally.messages.add(1);
                if let Some(from) = self.resuming_from {
                    if sequence != from.next() {
                        return Ok(());
                    }
                    self.resuming_from = None;
                }
                self.receipts.note(None, Sequence(sequence.0.saturating_sub(1)), sequence, now);
                self.view.update(placement, sequence);
            }
            Event::Progress(epoch, sequence) => self.view.progress(epoch, sequence),
            Event::Accepted { key, first, count } => {
                let Some(pending) = self.pending.remove(&key) else {
                    tally.stray.add(1);
                    return Ok(());
                };
                if usize::from(count) != pending.placements.len() {
                    tally.stray.add(1);
                    tally.trouble(|| {
                        format!("{count} placements of {} were accepted", pending.placements.len())
                    });
                }
                tally.acknowledge(&Receipt {
                    client: self.index as u32,
                    key,
                    placements: &pending.placements,
                    intended: pending.intended,
                    sent: pending.sent.unwrap_or(pending.intended),
                    acknowledged: now,
                    epoch: self.view.epoch(),
                    first,
                });
                self.strain = self.strain.saturating_sub(1);
                self.work.accepted(&pending.placements);
            }
            Event::Refused { key, why, retry_after, sentence } => {
                self.refused(key, why, retry_after, &sentence, now)?;
            }
            Event::Resync(epoch, chunks) => {
                tally.resyncs.add(1);
                if chunks.is_empty() {
                    self.view.restart(epoch);
                    self.view_chunks(socket, epoch, Sequence::ZERO).await?;
                }
                for (chunk, since) in chunks {
                    match self.view.viewing() {
                        Viewing::Pixels => self.load(chunk, epoch, since).await?,
                        _ => self.view.follow(chunk, since),
                    }
                }
            }
            Event::ResyncUpdates(epoch, sequence) => {
                tally.resyncs.add(1);
                self.begin_updates(epoch, sequence).await?;
            }
            Event::Pong(number) if number == self.barrier => self.view.confirm(),
            Event::NotUnderstood(sentence) => {
                tally.not_understood.add(1);
                tally.trouble(|| format!("the server did not understand: {sentence}"));
            }
            Event::Pong(_) | Event::Other => {}
        }
        Ok(())
    }

    fn refused(
        &mut self,
        key: u64,
        why: Why,
        retry_after: Option<Duration>,
        sentence: &str,
        now: Instant,
    ) -> Result<(), Ending> {
        let tally = &self.crew.tally;
        tally.refuse(label(why, sentence));
        let Some(pending) = self.pending.get_mut(&key) else {
            tally.stray.add(1);
            return Ok(());
        };
        pending.doubtful |= why == Why::Reason(Reason::Unknown);
        let unknown = pending.doubtful && passes(why);
        if unknown || self.work.refused(why) == AfterRefusal::Retry {
            let Some(wait) = retry_after else {
                return Err(Ending::Fatal(anyhow::anyhow!("refused for good: {sentence}")));
            };
            // Many wait for the same allowance: who was refused more often leaves it to others for longer.
            // What was sent before the last pause is refused for the same cause.
            if self.paused_until.is_none_or(|until| until <= now) {
                self.strain = (self.strain + 1).min(STRAIN_MAX);
            }
            let spread = f64::from(2_u32.pow(self.strain) - 1);
            let wait = wait.mul_f64(1.0 + self.rng.random::<f64>() * spread).max(RETRY_WAIT_MIN);
            pending.on_wire = false;
            pending.refused = !unknown;
            pending.again = now + wait;
            self.paused_until = Some(pending.again);
        } else {
            tally.dropped.add(pending.placements.len() as u64);
            self.pending.remove(&key);
        }
        Ok(())
    }
}

/// Whether this speaks of one try alone, and not of an earlier one under the same key.
fn passes(why: Why) -> bool {
    use Reason::{Busy, Rate, Unavailable, Unknown};
    matches!(why, Why::Reason(Rate | Busy | Unavailable | Unknown))
}

/// The chunks that every client views.
fn chunks(crew: &Crew) -> impl Iterator<Item = ChunkId> + use<> {
    crew.canvas.size.chunks().take(CHUNKS_VIEWED_MAX)
}

/// What refusals are counted under. The words before the colon name no numbers.
fn label(why: Why, sentence: &str) -> String {
    match why {
        Why::Reason(reason) => format!("{reason:?}"),
        Why::Words => sentence.split(':').next().unwrap_or_default().to_owned(),
    }
}

async fn stopped(phase: &mut watch::Receiver<Phase>) {
    // The crew is gone: that is a stop too.
    let _ = phase.wait_for(|phase| matches!(phase, Phase::Stop)).await;
}
