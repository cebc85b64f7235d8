//! What each connection of a canvas is owed next: the shared wire log and the cursors into it. Pure.
//!
//! A change is encoded once, as a segment of a log that all connections share: one log for the
//! JSON dialect, one for each chunk of the binary dialect, one for what every binary connection
//! hears. A connection holds a cursor (the number of the next segment) for each log it reads, the
//! rest of a segment that its socket took only in part, and a small direct lane for answers.

use std::collections::{HashMap, VecDeque};
use std::io::IoSlice;
use std::sync::Arc;

use arrayvec::ArrayVec;
use bytes::Bytes;
use pixel_canvas::{ChunkId, Sequence};
use pixel_store::Position;
use smallvec::SmallVec;

/// How much of the past the wire logs of one dialect of one canvas keep.
pub(crate) const WIRE_LOG_BYTES_MAX: usize = 16 << 20;
/// The same for what every binary connection hears: progress, presence, rules.
pub(crate) const WIDE_LOG_BYTES_MAX: usize = 256 << 10;
/// A gateway may be behind the api that a client loaded from: what a client holds beyond what the
/// logs reach is believed up to so many placements. More is no history that there is; nobody who
/// is told to load afresh by mistake loses more than the time to do it.
pub(crate) const AHEAD_PLACEMENTS_MAX: u64 = 1_000_000;
/// Chunk logs of one canvas: one for each chunk that there can be, painted or only looked at. An
/// empty one takes some 100 bytes.
const CHUNK_LOGS_MAX: usize = 256 * 256;
/// Views that a connection keeps without memory of their own: on a small canvas, all of them.
const VIEWS_INLINE: usize = 2;
/// Slices handed to one vectored write.
pub(crate) const WRITE_SLICES_MAX: usize = 64;

/// How much of the past the wire logs of one canvas keep, in bytes of frames.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Those of one dialect: JSON, or all chunks together.
    pub(crate) wire_log_bytes: usize,
    /// What every binary connection hears.
    pub(crate) wide_log_bytes: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { wire_log_bytes: WIRE_LOG_BYTES_MAX, wide_log_bytes: WIDE_LOG_BYTES_MAX }
    }
}

/// Whole WebSocket frames that carry the changes in `(after, to]`.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) after: Sequence,
    pub(crate) to: Sequence,
    pub(crate) bytes: Bytes,
    /// JSON only: where the frame of each of its placements ends.
    pub(crate) ends: Option<Arc<[u32]>>,
}

/// The last segments of one log; cursors count segments from the log's beginning.
#[derive(Debug, Default)]
struct WireLog {
    first: u64,
    /// The log lacks nothing after this sequence.
    from: Sequence,
    segments: VecDeque<Segment>,
    bytes: usize,
}

impl WireLog {
    fn starting(from: Sequence) -> Self {
        Self { from, ..Self::default() }
    }

    fn end(&self) -> u64 {
        self.first + self.segments.len() as u64
    }

    fn push(&mut self, segment: Segment) {
        self.bytes += segment.bytes.len();
        self.segments.push_back(segment);
    }

    fn pop(&mut self) -> usize {
        let Some(oldest) = self.segments.pop_front() else { return 0 };
        self.first += 1;
        self.from = oldest.to;
        self.bytes -= oldest.bytes.len();
        oldest.bytes.len()
    }

    /// What is kept goes out to those who are behind, but nobody resumes in it any more.
    fn end_history(&mut self, from: Sequence) {
        self.from = from;
        for segment in &mut self.segments {
            (segment.after, segment.to) = (from, from);
        }
    }

    /// Segments from the cursor on; the cursor is not behind `first`.
    fn since(&self, cursor: u64) -> impl Iterator<Item = &Segment> {
        let skipped = usize::try_from(cursor - self.first).unwrap_or(usize::MAX);
        self.segments.range(skipped.min(self.segments.len())..)
    }

    /// The cursor of the first segment that has something after `have`; `None` when that is gone.
    fn seek(&self, have: Sequence) -> Option<u64> {
        let place = self.segments.partition_point(|segment| segment.to <= have);
        (have >= self.from).then_some(self.first + place as u64)
    }
}

/// One chunk's log and the sequence that changed the chunk last.
#[derive(Debug)]
struct ChunkLog {
    log: WireLog,
    changed: Sequence,
}

/// A chunk log's place among those of its canvas; it keeps it as long as the canvas is followed.
type Slot = u32;

/// The wire logs of one canvas, the same in every thread that sweeps.
#[derive(Debug)]
pub(crate) struct Fanout {
    bounds: Bounds,
    position: Position,
    /// The logs lack nothing after this sequence, but for what was trimmed.
    started: Sequence,
    json: WireLog,
    wide: WireLog,
    chunks: Vec<ChunkLog>,
    slots: HashMap<ChunkId, Slot>,
    /// Chunk logs in the order of their segments: the oldest is trimmed first.
    order: VecDeque<Slot>,
    chunk_bytes: usize,
}

/// Where a subscription starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// Everything after what the client has follows.
    Resumed,
    /// The client must load the chunk, at this sequence or later; what follows continues it.
    Load(Sequence),
}

impl Fanout {
    /// Empty logs that begin after `started`, with the last change of every painted chunk.
    #[cfg(test)]
    pub(crate) fn new(started: Position, changed: impl IntoIterator<Item = (ChunkId, Sequence)>) -> Self {
        let mut fanout = Self::bounded(Bounds::default(), started);
        fanout.note_changed(changed);
        fanout
    }

    /// Empty logs that begin after `started`.
    pub(crate) fn bounded(bounds: Bounds, started: Position) -> Self {
        let from = started.sequence;
        Self {
            bounds,
            position: started,
            started: from,
            json: WireLog::starting(from),
            wide: WireLog::default(),
            chunks: Vec::new(),
            slots: HashMap::new(),
            order: VecDeque::new(),
            chunk_bytes: 0,
        }
    }

    fn note_changed(&mut self, changed: impl IntoIterator<Item = (ChunkId, Sequence)>) {
        for (id, changed) in changed {
            let slot = self.slot(id);
            self.chunks[slot as usize].changed = changed;
        }
    }

    /// Where a chunk's log is; an empty one when it had none.
    fn slot(&mut self, id: ChunkId) -> Slot {
        *self.slots.entry(id).or_insert_with(|| {
            let log = WireLog::starting(self.started);
            self.chunks.push(ChunkLog { log, changed: Sequence::ZERO });
            debug_assert!(self.chunks.len() <= CHUNK_LOGS_MAX, "each lies on the canvas");
            (self.chunks.len() - 1) as Slot
        })
    }

    /// What the logs reach up to.
    pub(crate) fn position(&self) -> Position {
        self.position
    }

    /// Bytes of the frames that the logs hold.
    pub(crate) fn bytes(&self) -> usize {
        self.json.bytes + self.wide.bytes + self.chunk_bytes
    }

    /// Adds the changes up to `position`: the JSON segment and one segment for each changed chunk.
    pub(crate) fn append(
        &mut self,
        position: Position,
        json: Option<Segment>,
        chunks: &[(ChunkId, Segment)],
    ) {
        if let Some(json) = json {
            self.json.push(json);
            while self.json.bytes > self.bounds.wire_log_bytes {
                self.json.pop();
            }
        }
        for (id, segment) in chunks {
            let slot = self.slot(*id);
            let chunk = &mut self.chunks[slot as usize];
            chunk.changed = chunk.changed.max(segment.to);
            chunk.log.push(segment.clone());
            self.order.push_back(slot);
            self.chunk_bytes += segment.bytes.len();
        }
        while self.chunk_bytes > self.bounds.wire_log_bytes {
            let Some(oldest) = self.order.pop_front() else { break };
            self.chunk_bytes -= self.chunks[oldest as usize].log.pop();
        }
        self.position = position;
    }

    /// Adds a frame that every binary connection hears.
    pub(crate) fn append_wide(&mut self, bytes: Bytes) {
        let at = self.position.sequence;
        self.wide.push(Segment { after: at, to: at, bytes, ends: None });
        while self.wide.bytes > self.bounds.wide_log_bytes {
            self.wide.pop();
        }
    }

    /// Starts another history: chunk logs are emptied, and nothing before `position` can be resumed.
    /// What JSON and all binary connections hear goes on, so that they learn of it in order.
    pub(crate) fn restart(
        &mut self,
        position: Position,
        changed: impl IntoIterator<Item = (ChunkId, Sequence)>,
    ) {
        let from = position.sequence;
        self.position = position;
        self.started = from;
        self.json.end_history(from);
        self.order.clear();
        self.chunk_bytes = 0;
        for chunk in &mut self.chunks {
            (chunk.log, chunk.changed) = (WireLog::starting(from), Sequence::ZERO);
        }
        self.note_changed(changed);
    }
}

/// The rest of a segment that a socket took only in part.
#[derive(Debug)]
struct Partial {
    bytes: Bytes,
    /// It came from the direct lane and counts against its bound.
    direct: bool,
}

/// A cursor into one chunk's log.
#[derive(Clone, Copy, Debug)]
struct View {
    chunk: ChunkId,
    slot: Slot,
    next: u64,
}

/// What one write may carry.
#[derive(Debug, Default)]
pub(crate) struct Owed<'a> {
    pub(crate) slices: ArrayVec<IoSlice<'a>, WRITE_SLICES_MAX>,
    /// More is owed than one write carries.
    pub(crate) more: bool,
}

impl Owed<'_> {
    /// Bytes of all slices.
    pub(crate) fn bytes(&self) -> usize {
        self.slices.iter().map(|slice| slice.len()).sum()
    }
}

/// What one connection has been sent, and so what it is owed.
#[derive(Debug)]
pub(crate) struct Reader {
    binary: bool,
    /// The next segment of the JSON log, or of what every binary connection hears.
    next: u64,
    views: SmallVec<[View; VIEWS_INLINE]>,
    /// What is owed beside the logs; usually nothing.
    lane: Option<Box<Lane>>,
}

/// What one connection alone is owed.
#[derive(Debug, Default)]
struct Lane {
    /// Comes before the logs.
    partial: Option<Partial>,
    /// What follows the half-sent frame: in JSON the rest of a segment that a resume begins in, the word to
    /// load afresh, or the goodbye; the last one counts, so that asking often costs nothing. In binary,
    /// all that [`Reader::put_ahead`] was given.
    ahead: Option<Bytes>,
    /// Answers; they come after the logs.
    direct: Vec<u8>,
}

/// What a connection missed for good.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Behind {
    /// Nothing.
    No,
    /// JSON: updates. It cannot go on.
    Lost,
    /// Binary: these chunks, to be loaded at the sequence or later; the cursors were moved to the end.
    Chunks(Vec<(ChunkId, Sequence)>),
    /// Binary: what everyone hears. It must start afresh; these views, all it had, were dropped.
    Everything(Vec<ChunkId>),
}

impl Reader {
    /// A connection that is owed what comes from now on.
    pub(crate) fn new(binary: bool, fanout: &Fanout) -> Self {
        let next = if binary { fanout.wide.end() } else { fanout.json.end() };
        Self { binary, next, views: SmallVec::new(), lane: None }
    }

    /// Answers for this connection alone go here; they are sent after the logs.
    pub(crate) fn direct(&mut self) -> &mut Vec<u8> {
        &mut self.lane.get_or_insert_default().direct
    }

    /// Bytes of answers that wait for the socket.
    pub(crate) fn direct_bytes(&self) -> usize {
        let Some(lane) = &self.lane else { return 0 };
        let partial = lane.partial.as_ref().filter(|partial| partial.direct);
        // In the binary dialect what goes ahead is answers too.
        let ahead = lane.ahead.as_ref().filter(|_| self.binary);
        lane.direct.len() + partial.map_or(0, |partial| partial.bytes.len()) + ahead.map_or(0, Bytes::len)
    }

    /// Binary: owes these frames before what the logs bring, where it must hear of them before that.
    pub(crate) fn put_ahead(&mut self, frames: Vec<u8>) {
        let lane = self.lane.get_or_insert_default();
        let before = lane.ahead.take().unwrap_or_default();
        lane.ahead = Some([&before[..], &frames].concat().into());
    }

    /// JSON: owes these frames, which tell it to load afresh, then what the log gets from now on.
    pub(crate) fn start_again(&mut self, frames: Vec<u8>, fanout: &Fanout) {
        self.lane.get_or_insert_default().ahead = Some(frames.into());
        self.next = fanout.json.end();
    }

    /// How many chunks it views.
    pub(crate) fn views(&self) -> usize {
        self.views.len()
    }

    /// Whether it views a chunk.
    pub(crate) fn is_viewing(&self, chunk: ChunkId) -> bool {
        self.views.iter().any(|view| view.chunk == chunk)
    }

    /// The chunks it views.
    pub(crate) fn viewed(&self) -> impl Iterator<Item = ChunkId> {
        self.views.iter().map(|view| view.chunk)
    }

    /// Views a chunk from what the client has of it in the current epoch (`None`: nothing).
    pub(crate) fn view(&mut self, chunk: ChunkId, have: Option<Sequence>, fanout: &mut Fanout) -> Start {
        let slot = fanout.slot(chunk);
        let most = fanout.position.sequence.plus(AHEAD_PLACEMENTS_MAX);
        let ChunkLog { log, changed, .. } = &fanout.chunks[slot as usize];
        let resumed = match have.filter(|have| *have <= most) {
            None => None,
            Some(have) if have >= *changed => Some(log.end()),
            Some(have) => log.seek(have),
        };
        let view = View { chunk, slot, next: resumed.unwrap_or(log.end()) };
        match self.views.iter_mut().find(|view| view.chunk == chunk) {
            Some(known) => *known = view,
            None => self.views.push(view),
        }
        if resumed.is_some() { Start::Resumed } else { Start::Load(*changed) }
    }

    /// Views a chunk no more; whether it did.
    pub(crate) fn leave(&mut self, chunk: ChunkId) -> bool {
        let place = self.views.iter().position(|view| view.chunk == chunk);
        place.map(|place| self.views.swap_remove(place)).is_some()
    }

    /// Views nothing more; which chunks it did.
    pub(crate) fn leave_all(&mut self) -> Vec<ChunkId> {
        self.views.drain(..).map(|view| view.chunk).collect()
    }

    /// JSON: goes back to just after `have`; `false` when the log does not reach it, and the
    /// connection stays where it is.
    pub(crate) fn resume(&mut self, have: Sequence, fanout: &Fanout) -> bool {
        if have > fanout.position.sequence {
            return false;
        }
        let Some(next) = fanout.json.seek(have) else { return false };
        let rest_of_first = fanout.json.since(next).next().and_then(|segment| {
            let skipped = have.since(segment.after) as usize;
            let ends = segment.ends.as_ref()?;
            let start = *ends.get(skipped.checked_sub(1)?)? as usize;
            Some(segment.bytes.slice(start..))
        });
        self.next = next + u64::from(rest_of_first.is_some());
        if rest_of_first.is_some() || self.lane.is_some() {
            self.lane.get_or_insert_default().ahead = rest_of_first;
        }
        true
    }

    /// Owes these frames before everything else: for a connection that was sent nothing so far.
    pub(crate) fn begin_with(&mut self, frames: Bytes) {
        self.half_sent(Partial { bytes: frames, direct: false });
    }

    fn half_sent(&mut self, partial: Partial) {
        self.lane.get_or_insert_default().partial = Some(partial);
    }

    /// Finds what was trimmed before the connection took it, and moves the cursors past it.
    pub(crate) fn skip_lost(&mut self, fanout: &Fanout) -> Behind {
        if !self.binary {
            return if self.next < fanout.json.first { Behind::Lost } else { Behind::No };
        }
        if self.next < fanout.wide.first {
            self.next = fanout.wide.end();
            return Behind::Everything(self.leave_all());
        }
        let mut lost = Vec::new();
        for view in &mut self.views {
            let chunk = &fanout.chunks[view.slot as usize];
            if view.next < chunk.log.first {
                view.next = chunk.log.end();
                lost.push((view.chunk, chunk.changed));
            }
        }
        if lost.is_empty() { Behind::No } else { Behind::Chunks(lost) }
    }

    /// JSON: whether updates that it was not sent are gone.
    pub(crate) fn is_lost(&self, fanout: &Fanout) -> bool {
        !self.binary && self.next < fanout.json.first
    }

    /// Owes only what is half sent and then these frames: the connection ends with them.
    pub(crate) fn end_with(&mut self, frames: Bytes) {
        let lane = self.lane.get_or_insert_default();
        (lane.ahead, lane.direct) = (Some(frames), Vec::new());
        self.views = SmallVec::new();
        // Past the end of every log, for good.
        self.next = u64::MAX;
    }

    /// What to write next, in order: the rest of a begun segment, what goes ahead, chunks, what all
    /// hear, answers.
    /// [`Reader::skip_lost`] comes first.
    pub(crate) fn owed<'a>(&'a self, fanout: &'a Fanout) -> Owed<'a> {
        let begun = self
            .lane
            .iter()
            .flat_map(|lane| lane.partial.iter().map(|partial| &partial.bytes).chain(&lane.ahead));
        let views = self.views.iter().flat_map(|view| fanout.chunks[view.slot as usize].log.since(view.next));
        let rest = if self.binary { &fanout.wide } else { &fanout.json };
        let logs = views.chain(rest.since(self.next)).map(|segment| &segment.bytes);
        let direct = self.lane.iter().map(|lane| &lane.direct[..]).filter(|direct| !direct.is_empty());
        let mut owed = Owed::default();
        for bytes in begun.chain(logs).map(|bytes| &bytes[..]).chain(direct) {
            if owed.slices.try_push(IoSlice::new(bytes)).is_err() {
                owed.more = true;
                break;
            }
        }
        owed
    }

    /// The socket took `written` bytes of what was owed.
    pub(crate) fn took(&mut self, mut written: usize, fanout: &Fanout) {
        if let Some(lane) = &mut self.lane {
            if !lane.took(&mut written) {
                return;
            }
            if lane.direct.is_empty() {
                self.lane = None;
            }
        }
        for view in &mut self.views {
            let chunk = &fanout.chunks[view.slot as usize];
            if let Some(partial) = advance(&mut view.next, &chunk.log, &mut written) {
                return self.half_sent(partial);
            }
            if written == 0 && view.next < chunk.log.end() {
                return;
            }
        }
        let rest = if self.binary { &fanout.wide } else { &fanout.json };
        if let Some(partial) = advance(&mut self.next, rest, &mut written) {
            self.half_sent(partial);
        } else if written > 0
            && let Some(lane) = self.lane.take()
        {
            let mut direct = Bytes::from(lane.direct);
            let _ = direct.split_to(written.min(direct.len()));
            if !direct.is_empty() {
                self.half_sent(Partial { bytes: direct, direct: true });
            }
        }
    }
}

impl Lane {
    /// The socket took so much, of which the rest lies behind what comes first here; whether all of that was
    /// taken.
    fn took(&mut self, written: &mut usize) -> bool {
        if let Some(partial) = &mut self.partial {
            *written -= partial.bytes.split_to((*written).min(partial.bytes.len())).len();
            if !partial.bytes.is_empty() {
                return false;
            }
            self.partial = None;
        }
        let Some(mut ahead) = self.ahead.take_if(|_| *written > 0) else { return self.ahead.is_none() };
        *written -= ahead.split_to((*written).min(ahead.len())).len();
        // Begun, it is replaced by nothing any more.
        self.partial = (!ahead.is_empty()).then_some(Partial { bytes: ahead, direct: false });
        self.partial.is_none()
    }
}

/// Moves a cursor over the segments that `written` covers; the rest of one covered only in part.
fn advance(next: &mut u64, log: &WireLog, written: &mut usize) -> Option<Partial> {
    for segment in log.since(*next) {
        if *written == 0 {
            return None;
        }
        *next += 1;
        let taken = (*written).min(segment.bytes.len());
        *written -= taken;
        if taken < segment.bytes.len() {
            return Some(Partial { bytes: segment.bytes.slice(taken..), direct: false });
        }
    }
    None
}

#[cfg(test)]
mod tests;
