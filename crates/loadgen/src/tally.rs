//! What all clients of one process counted and measured together.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use pixel_canvas::{ChunkId, Epoch, Placement, Sequence};

use crate::history::{Acknowledged, History};
use crate::view::Faults;

/// Latencies are kept with 3 digits, up to 10 minutes.
const LATENCY_US_MAX: u64 = 600_000_000;
/// How far a sequence may lie beyond those known, because others paint too.
const SEQUENCES_AHEAD_MAX: usize = 1_000_000;
/// So long a receiver waits with its sums: by then the author knows the sequence that it received.
const RECEIPTS_SETTLE_AFTER: Duration = Duration::from_secs(2);

/// A counter that every client adds to.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// The sum so far.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What is counted while the clients work, in placements unless said otherwise.
#[derive(Default)]
pub struct Tally {
    /// Handed to a socket for the first time.
    pub submitted: Count,
    /// Acknowledged.
    pub accepted: Count,
    /// Refused and dropped.
    pub dropped: Count,
    /// Without an answer when the clients stopped, or lost with a JSON connection.
    pub unanswered: Count,
    /// Updates that receivers got, in messages.
    pub messages: Count,
    /// Connections that broke.
    pub breaks: Count,
    /// Chunks, or canvases, that the server told a client to load afresh.
    pub resyncs: Count,
    /// Answers to nothing that was asked, in messages.
    pub stray: Count,
    /// Messages that the server did not understand.
    pub not_understood: Count,
    figures: Mutex<Figures>,
}

/// What is measured.
pub struct Figures {
    /// Every acknowledgement.
    pub history: History,
    /// From when a placement should have been sent to when each receiver had it, in microseconds.
    pub updates: Histogram<u64>,
    /// From when a placement should have been sent to its acknowledgement, in microseconds.
    pub acknowledgements: Histogram<u64>,
    /// How often submissions were refused, by reason.
    pub refusals: BTreeMap<String, u64>,
    /// What was wrong with the streams.
    pub faults: Faults,
    /// The colour with the highest sequence of each pixel that was placed: who must have won.
    pub winners: BTreeMap<pixel_canvas::Point, (Sequence, pixel_canvas::Color)>,
    /// The first thing that went wrong, in words.
    pub first_trouble: Option<String>,
    base: Option<Sequence>,
    /// When each sequence should have been sent, and where it lies; from `base` on.
    sent: VecDeque<Option<(Instant, ChunkId)>>,
    start: Option<Instant>,
}

impl Default for Figures {
    fn default() -> Self {
        let histogram = || Histogram::new_with_bounds(1, LATENCY_US_MAX, 3).expect("these bounds are valid");
        Self {
            history: History::default(),
            updates: histogram(),
            acknowledgements: histogram(),
            refusals: BTreeMap::new(),
            faults: Faults::default(),
            winners: BTreeMap::new(),
            first_trouble: None,
            base: None,
            sent: VecDeque::new(),
            start: None,
        }
    }
}

/// One acknowledgement, as the client tells it.
pub struct Receipt<'a> {
    /// Which client.
    pub client: u32,
    /// Its key.
    pub key: u64,
    /// What was placed.
    pub placements: &'a [Placement],
    /// When it should have been sent.
    pub intended: Instant,
    /// When it was sent first.
    pub sent: Instant,
    /// When the answer was read.
    pub acknowledged: Instant,
    /// The epoch then.
    pub epoch: Epoch,
    /// The sequence of the first placement.
    pub first: Sequence,
}

impl Tally {
    /// What was measured so far.
    pub fn figures(&self) -> MutexGuard<'_, Figures> {
        self.figures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to keep latencies, from this sequence on.
    pub fn begin(&self, start: Instant, after: Sequence) {
        let mut figures = self.figures();
        figures.start = Some(start);
        figures.base = Some(after.next());
    }

    /// Notes an acknowledgement.
    pub fn acknowledge(&self, receipt: &Receipt<'_>) {
        let count = receipt.placements.len() as u64;
        self.accepted.add(count);
        let mut figures = self.figures();
        let latency = receipt.acknowledged.saturating_duration_since(receipt.intended);
        figures.acknowledgements.saturating_record_n(micros(latency), count);
        let since_start = |moment: Instant| {
            figures.start.map_or(0, |start| micros(moment.saturating_duration_since(start)))
        };
        let acknowledged = Acknowledged {
            client: receipt.client,
            key: receipt.key,
            sent_us: since_start(receipt.sent),
            acknowledged_us: since_start(receipt.acknowledged),
            epoch: receipt.epoch,
            first: receipt.first,
            count: count as u32,
        };
        figures.history.push(acknowledged);
        for (index, placement) in receipt.placements.iter().enumerate() {
            let sequence = receipt.first.plus(index as u64);
            figures.note_sent(sequence, receipt.intended, placement.at.chunk());
            let winner = figures.winners.entry(placement.at).or_insert((sequence, placement.color));
            if sequence >= winner.0 {
                *winner = (sequence, placement.color);
            }
        }
    }

    /// Notes a refusal.
    pub fn refuse(&self, reason: String) {
        *self.figures().refusals.entry(reason).or_default() += 1;
    }

    /// Notes what went wrong, if it is the first thing.
    pub fn trouble(&self, sentence: impl FnOnce() -> String) {
        self.figures().first_trouble.get_or_insert_with(sentence);
    }
}

impl Figures {
    fn note_sent(&mut self, sequence: Sequence, intended: Instant, chunk: ChunkId) {
        let Some(index) = self.index(sequence) else { return };
        // Memory follows what was placed: a server that invents sequences far ahead is not followed.
        if index > SEQUENCES_AHEAD_MAX + 2 * self.sent.len() {
            return;
        }
        if index >= self.sent.len() {
            self.sent.resize(index + 1, None);
        }
        self.sent[index] = Some((intended, chunk));
    }

    fn index(&self, sequence: Sequence) -> Option<usize> {
        let base = self.base?;
        (sequence >= base).then(|| sequence.since(base) as usize)
    }
}

/// Updates that one client received, whose latency is not known before their author is acknowledged.
#[derive(Debug, Default)]
pub struct Receipts(VecDeque<Received>);

#[derive(Debug)]
struct Received {
    /// `None` where every chunk is meant.
    chunk: Option<ChunkId>,
    after: Sequence,
    to: Sequence,
    at: Instant,
}

impl Receipts {
    /// Notes that `(after, to]` of a chunk, or of the canvas, was received.
    pub fn note(&mut self, chunk: Option<ChunkId>, after: Sequence, to: Sequence, at: Instant) {
        self.0.push_back(Received { chunk, after, to, at });
    }

    /// Adds the latencies of what was received some time ago, or of everything.
    pub fn settle(&mut self, tally: &Tally, now: Instant, everything: bool) {
        let due =
            |received: &Received| everything || now.duration_since(received.at) >= RECEIPTS_SETTLE_AFTER;
        if !self.0.front().is_some_and(due) {
            return;
        }
        let figures = &mut *tally.figures();
        while self.0.front().is_some_and(due) {
            let Some(received) = self.0.pop_front() else { return };
            let Some(last) = figures.index(received.to) else { continue };
            let first = figures.index(received.after.next()).unwrap_or(0);
            for index in first..=last.min(figures.sent.len().saturating_sub(1)) {
                let Some(&Some((intended, chunk))) = figures.sent.get(index) else { continue };
                if received.chunk.is_none_or(|id| id == chunk) {
                    let latency = received.at.saturating_duration_since(intended);
                    figures.updates.saturating_record(micros(latency));
                }
            }
        }
    }
}

fn micros(duration: Duration) -> u64 {
    duration.as_micros() as u64
}
