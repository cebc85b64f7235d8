//! One canvas as one thread serves it: its wire logs, who reads them, and the calls it gathers.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use pixel_canvas::{Canvas, ChunkId};
use pixel_store::{Accepted, CALL_PLACEMENTS_MAX, CALL_SUBMISSIONS_MAX, Position, Submission};

use super::channel::Channel;
use super::encode;
use super::encode::write_binary;
use super::fanout::{Fanout, Segment};
use super::news::{JsonRestart, News};
use super::session::{self, Ticket};
use pixel_protocol::binary;

/// How long an acknowledgement waits for the updates that carry it.
pub(crate) const ACKNOWLEDGEMENT_HOLD: Duration = Duration::from_millis(250);
/// Placements of one thread and canvas that wait for the call before them; beyond it: busy.
pub(crate) const GATHERED_PLACEMENTS_MAX: usize = 65_536;

/// A connection's place in its thread, and a serial so that a place used again is told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Seat {
    pub(crate) place: usize,
    pub(crate) serial: u64,
}

/// Places of connections in their thread: compact, and walked in the order in which they lie in memory. A thread
/// has far fewer descriptors than a `u32` counts.
#[derive(Debug, Default)]
struct Places(BTreeSet<u32>);

impl Places {
    fn insert(&mut self, place: usize) {
        self.0.insert(place as u32);
    }

    fn remove(&mut self, place: usize) {
        self.0.remove(&(place as u32));
    }

    fn iter(&self) -> impl Iterator<Item = usize> {
        self.0.iter().map(|place| *place as usize)
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// An acknowledgement that waits for its updates.
pub(crate) struct Held {
    pub(crate) seat: Seat,
    pub(crate) ticket: Ticket,
    pub(crate) accepted: Accepted,
    pub(crate) deadline: Instant,
}

/// A submission that waits for its call.
pub(crate) struct Waiting {
    pub(crate) since: Instant,
    pub(crate) seat: Seat,
    pub(crate) ticket: Ticket,
    pub(crate) submission: Submission,
}

/// Submissions on their way into one call.
pub(crate) struct Gathered {
    /// When the first of them came.
    pub(crate) since: Instant,
    /// Whom to answer, for each submission.
    pub(crate) authors: Vec<(Seat, Ticket)>,
    pub(crate) submissions: Vec<Submission>,
}

/// One canvas in one thread.
pub(crate) struct Audience {
    pub(crate) channel: Arc<Channel>,
    pub(crate) canvas: Arc<Canvas>,
    pub(crate) fanout: Fanout,
    /// The whole list of people, as a binary frame.
    pub(crate) everyone: Bytes,
    json: Places,
    binary: Places,
    viewers: HashMap<ChunkId, Places>,
    held: VecDeque<Held>,
    gathered: VecDeque<Waiting>,
    gathered_placements: usize,
    /// A call is under way; the next one gathers meanwhile, so that one socket's order is kept.
    pub(crate) calling: bool,
    /// The store is away: what is seen may be old.
    pub(crate) stale: bool,
    /// The canvas is gone: nobody joins any more, and nothing more is heard.
    pub(crate) deleted: bool,
}

/// What news means for the connections beyond the bytes in the logs.
#[derive(Debug, Default)]
pub(crate) struct Effect {
    /// Connections that are owed something now.
    pub(crate) owed: Vec<usize>,
    /// Binary connections whose views were dropped.
    pub(crate) unviewed: Vec<usize>,
    /// How many JSON connections were told to load afresh.
    pub(crate) resyncs: usize,
    /// Connections that must come back.
    pub(crate) restart: Vec<usize>,
    /// Connections whose canvas is gone.
    pub(crate) gone: Vec<usize>,
    /// Binary connections that must hear the new rules.
    pub(crate) greet: Vec<usize>,
    /// JSON connections that must hear that what they see may be old.
    pub(crate) stale_json: Vec<usize>,
}

impl Audience {
    pub(crate) fn new(channel: Arc<Channel>, fanout: Fanout) -> Self {
        let canvas = channel.canvas.borrow().clone();
        let everyone = encode::nobody(&canvas);
        Self {
            channel,
            canvas,
            fanout,
            everyone,
            json: Places::default(),
            binary: Places::default(),
            viewers: HashMap::new(),
            held: VecDeque::new(),
            gathered: VecDeque::new(),
            gathered_placements: 0,
            calling: false,
            stale: false,
            deleted: false,
        }
    }

    pub(crate) fn join(&mut self, place: usize, binary: bool) {
        self.places(binary).insert(place);
    }

    pub(crate) fn leave(&mut self, place: usize, binary: bool, viewed: impl Iterator<Item = ChunkId>) {
        self.places(binary).remove(place);
        viewed.for_each(|chunk| self.unview(place, chunk));
    }

    fn places(&mut self, binary: bool) -> &mut Places {
        if binary { &mut self.binary } else { &mut self.json }
    }

    /// Whether nobody is here.
    pub(crate) fn is_empty(&self) -> bool {
        self.json.is_empty() && self.binary.is_empty()
    }

    pub(crate) fn view(&mut self, place: usize, chunk: ChunkId) {
        self.viewers.entry(chunk).or_default().insert(place);
    }

    pub(crate) fn unview(&mut self, place: usize, chunk: ChunkId) {
        if let Some(viewers) = self.viewers.get_mut(&chunk) {
            viewers.remove(place);
            if viewers.is_empty() {
                self.viewers.remove(&chunk);
            }
        }
    }

    /// Takes news into the logs, and says which connections it concerns.
    pub(crate) fn hear(&mut self, news: News) -> Effect {
        let mut effect = Effect::default();
        match news {
            News::Painted { position, json, chunks, progress, .. } => {
                self.fanout.append(position, Some(json), &chunks);
                effect.owed.extend(self.json.iter());
                for (chunk, _) in &chunks {
                    effect.owed.extend(self.viewers.get(chunk).into_iter().flat_map(Places::iter));
                }
                if let Some(frame) = progress {
                    self.hear_wide(frame, &mut effect);
                }
            }
            News::Progress(frame) => self.hear_wide(frame, &mut effect),
            News::Restarted { position, changed, json } => {
                let resync = matches!(json, JsonRestart::Resync);
                match json {
                    JsonRestart::Updates(segment) => {
                        self.fanout.append(position, Some(segment), &[]);
                        effect.owed.extend(self.json.iter());
                    }
                    JsonRestart::Close => effect.restart.extend(self.json.iter()),
                    JsonRestart::Resync => effect.resyncs = self.json.len(),
                }
                self.fanout.restart(position, changed);
                if resync {
                    self.hear_json_resync(position, &mut effect);
                }
                self.viewers.clear();
                effect.unviewed.extend(self.binary.iter());
                let mut frame = Vec::new();
                let all = binary::ToClient::Resync { epoch: position.epoch, chunks: Vec::new() };
                write_binary(&mut frame, &all, &self.canvas);
                self.hear_wide(frame.into(), &mut effect);
            }
            News::People { json, changes, everyone } => {
                self.everyone = everyone;
                let at = self.fanout.position();
                let segment =
                    Segment { after: at.sequence, to: at.sequence, bytes: json, ends: Some([].into()) };
                self.fanout.append(at, Some(segment), &[]);
                effect.owed.extend(self.json.iter());
                self.hear_wide(changes, &mut effect);
            }
            News::Amended(canvas) => {
                self.canvas = canvas;
                effect.greet.extend(self.binary.iter());
            }
            News::Stale(stale) => {
                self.stale = stale;
                effect.greet.extend(self.binary.iter());
                if stale {
                    effect.stale_json.extend(self.json.iter());
                }
            }
            News::Deleted => {
                self.deleted = true;
                effect.gone.extend(self.json.iter().chain(self.binary.iter()));
            }
        }
        effect
    }

    /// In the log, so that it comes before what follows it.
    fn hear_json_resync(&mut self, position: Position, effect: &mut Effect) {
        let mut frame = Vec::new();
        session::json_resync(&mut frame, position);
        let at = position.sequence;
        let segment = Segment { after: at, to: at, bytes: frame.into(), ends: Some([].into()) };
        self.fanout.append(position, Some(segment), &[]);
        effect.owed.extend(self.json.iter());
    }

    fn hear_wide(&mut self, frame: Bytes, effect: &mut Effect) {
        self.fanout.append_wide(frame);
        effect.owed.extend(self.binary.iter());
    }

    /// Takes a submission for the next call; `false` when too many wait already.
    pub(crate) fn gather(
        &mut self,
        seat: Seat,
        ticket: Ticket,
        submission: Submission,
        now: Instant,
    ) -> bool {
        let placements = submission.act.placements_max();
        if self.gathered_placements + placements > GATHERED_PLACEMENTS_MAX {
            return false;
        }
        self.gathered_placements += placements;
        self.gathered.push_back(Waiting { since: now, seat, ticket, submission });
        true
    }

    /// What the next call carries; `None` while one is under way or nothing waits.
    pub(crate) fn next_call(&mut self) -> Option<Gathered> {
        let since = self.gathered.front().filter(|_| !self.calling)?.since;
        let mut call = Gathered { since, authors: Vec::new(), submissions: Vec::new() };
        let mut placements = 0;
        while let Some(Waiting { seat, ticket, submission, .. }) = self.gathered.pop_front_if(|next| {
            placements += next.submission.act.placements_max();
            let count = call.submissions.len();
            count == 0 || (count < CALL_SUBMISSIONS_MAX && placements <= CALL_PLACEMENTS_MAX)
        }) {
            self.gathered_placements -= submission.act.placements_max();
            call.authors.push((seat, ticket));
            call.submissions.push(submission);
        }
        self.calling = true;
        Some(call)
    }

    /// Whether the updates of an accepted submission are in the logs. Sequences go on over a reset; one
    /// of a history that was rolled back may never be there.
    pub(crate) fn carries(&self, accepted: &Accepted) -> bool {
        accepted.last() <= self.fanout.position().sequence
    }

    pub(crate) fn hold(&mut self, held: Held) {
        self.held.push_back(held);
    }

    /// The next acknowledgement whose updates are in the logs, or that waited long enough.
    pub(crate) fn release(&mut self, now: Instant) -> Option<Held> {
        let first = self.held.front()?;
        (self.carries(&first.accepted) || first.deadline <= now).then(|| self.held.pop_front())?
    }

    /// Whether something waits here for a turn of the thread.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.held.is_empty() || !self.gathered.is_empty()
    }

    /// When the oldest held acknowledgement goes out at the latest.
    pub(crate) fn hold_deadline(&self) -> Option<Instant> {
        self.held.front().map(|held| held.deadline)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use pixel_canvas::{Epoch, Sequence};
    use tokio::sync::{Notify, watch};

    use super::*;
    use crate::gateway::fanout::Reader;
    use crate::gateway::presence::Roster;

    fn position(epoch: u64, sequence: u64) -> Position {
        Position { epoch: Epoch(epoch), sequence: Sequence(sequence) }
    }

    /// It found a gap where both came in one sweep.
    #[test]
    fn a_json_viewer_hears_of_a_restart_before_what_follows_it() {
        let channel = Channel {
            number: 0,
            canvas: watch::channel(Arc::new(Canvas::default_canvas())).1,
            ready: watch::channel(true).1,
            roster: Mutex::new(Roster::default()),
            roster_changed: Notify::new(),
        };
        let mut audience = Audience::new(Arc::new(channel), Fanout::new(position(1, 0), []));
        let reader = Reader::new(false, &audience.fanout);
        audience.join(0, false);
        let restarted = position(2, 5);
        let effect = audience.hear(News::Restarted {
            position: restarted,
            changed: Vec::new(),
            json: JsonRestart::Resync,
        });
        assert_eq!((effect.resyncs, effect.owed), (1, vec![0]));
        let bytes = Bytes::from_static(b"the next");
        let json = Segment { after: Sequence(5), to: Sequence(6), bytes, ends: Some([8].into()) };
        let heard = crate::clock::Clock.now();
        let position = position(2, 6);
        audience.hear(News::Painted { heard, position, json, chunks: Vec::new(), progress: None });
        let owed = reader.owed(&audience.fanout);
        let sent = owed.slices.iter().map(|slice| String::from_utf8_lossy(slice)).collect::<String>();
        let at = |words: &str| sent.find(words).unwrap_or_else(|| panic!("no {words}: {sent}"));
        assert!(at("resync") < at("the next"), "{sent}");
    }
}
