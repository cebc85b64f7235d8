//! What one client saw: a stream that must be contiguous, and a copy that must end up equal.

use std::collections::BTreeMap;

use pixel_canvas::{Canvas, ChunkId, Color, Epoch, Frame, Placement, Replica, Sequence, Verdict};
use serde::Serialize;

use crate::remote::Snapshot;

/// What was wrong with the streams of updates, in placements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Faults {
    /// Never came.
    pub lost: u64,
    /// Came again.
    pub doubled: u64,
    /// Came after a later one.
    pub reordered: u64,
    /// Named a pixel or colour that the canvas does not have.
    pub invalid: u64,
}

impl Faults {
    /// Adds another client's.
    pub fn add(&mut self, other: Self) {
        self.lost += other.lost;
        self.doubled += other.doubled;
        self.reordered += other.reordered;
        self.invalid += other.invalid;
    }

    /// All together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.lost + self.doubled + self.reordered + self.invalid
    }
}

/// One ordered stream of `(after, to]`: a chunk's frames, or a canvas' JSON updates.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stream {
    /// Delivered up to here.
    at: Sequence,
    /// Promised to be exact up to here, by a snapshot or `PROGRESS`.
    covered: Sequence,
    /// Skipped, and not delivered late either.
    open: u64,
    /// Something was delivered that continues it. Before, what comes may overlap what is held.
    begun: bool,
}

impl Stream {
    /// A stream that continues from here.
    #[must_use]
    pub fn from(sequence: Sequence) -> Self {
        Self { at: sequence, covered: sequence, ..Self::default() }
    }

    /// Takes `(after, to]` in and notes what was wrong.
    pub fn receive(&mut self, after: Sequence, to: Sequence, faults: &mut Faults) {
        if !self.begun && to <= self.at {
            return;
        }
        if to <= self.at {
            let span = to.since(after).max(1);
            let late = span.min(self.open);
            self.open -= late;
            faults.lost -= late;
            faults.reordered += late;
            faults.doubled += span - late;
            return;
        }
        if to <= self.covered {
            // Promised to be there already, and comes only now.
            faults.reordered += to.since(after);
        } else if after > self.at.max(self.covered) {
            let missing = after.since(self.at.max(self.covered));
            faults.lost += missing;
            self.open += missing;
        } else if after < self.at && self.begun {
            faults.doubled += self.at.since(after);
        }
        self.at = to;
        self.begun = true;
    }

    /// What comes next may overlap what is held, once more.
    fn begin_again(&mut self) {
        self.begun = false;
    }

    /// Everything up to here has been delivered.
    pub fn cover(&mut self, sequence: Sequence) {
        self.covered = self.covered.max(sequence);
    }
}

/// How much of a canvas a client follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Viewing {
    /// Every pixel.
    Pixels,
    /// Only how far each chunk is, to save memory.
    Positions,
}

/// What one client follows of a canvas.
pub struct View {
    viewing: Viewing,
    replica: Replica,
    streams: BTreeMap<ChunkId, Stream>,
    /// The whole canvas' updates, in the JSON dialect.
    updates: Stream,
    /// The server has read the last subscription: what it says of progress is about these chunks too, and
    /// what it sends continues what it sent.
    confirmed: bool,
    /// Subscriptions over this connection: while another is answered, frames may still be of the one before.
    subscriptions: u32,
    /// The greatest sequence seen.
    reached: Sequence,
    /// What was wrong so far.
    pub faults: Faults,
}

impl View {
    /// A view that holds nothing yet.
    #[must_use]
    pub fn new(viewing: Viewing, canvas: &Canvas, epoch: Epoch) -> Self {
        Self {
            viewing,
            replica: Replica::new(canvas.size, canvas.palette.clone(), epoch),
            streams: BTreeMap::new(),
            updates: Stream::default(),
            confirmed: false,
            subscriptions: 0,
            reached: Sequence::ZERO,
            faults: Faults::default(),
        }
    }

    /// How much is followed.
    #[must_use]
    pub fn viewing(&self) -> Viewing {
        self.viewing
    }

    /// The epoch that it belongs to.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.replica.epoch()
    }

    /// Forgets everything and starts again in another epoch.
    pub fn restart(&mut self, epoch: Epoch) {
        self.replica.restart(epoch);
        self.streams.clear();
        self.updates = Stream::default();
        self.confirmed = false;
        self.reached = Sequence::ZERO;
    }

    /// Whether a chunk is followed.
    #[must_use]
    pub fn follows(&self, chunk: ChunkId) -> bool {
        self.streams.contains_key(&chunk)
    }

    /// Forgets a chunk: what is held of it lacks something.
    pub fn lose(&mut self, chunk: ChunkId) {
        self.streams.remove(&chunk);
        self.replica.drop_chunk(chunk);
    }

    /// Holds a chunk from here on.
    pub fn load(&mut self, chunk: ChunkId, snapshot: &Snapshot) {
        if self.viewing == Viewing::Pixels {
            self.replica.load(chunk, snapshot.epoch, snapshot.sequence, snapshot.pixels.to_vec());
        }
        self.follow(chunk, snapshot.sequence);
    }

    /// Follows a chunk from here on, without its pixels.
    pub fn follow(&mut self, chunk: ChunkId, from: Sequence) {
        self.streams.insert(chunk, Stream::from(from));
        self.reached = self.reached.max(from);
    }

    /// Another connection: nothing was subscribed to over it.
    pub fn connected(&mut self) {
        self.subscriptions = 0;
    }

    /// The sequence that each chunk is held at, for `SUBSCRIBE`. A new conversation begins with
    /// it: what was delivered before may come again.
    pub fn resume(&mut self) -> Vec<(ChunkId, Sequence)> {
        self.confirmed = false;
        self.subscriptions += 1;
        let position = |(chunk, stream): (&ChunkId, &mut Stream)| {
            let held = stream.at.max(stream.covered);
            *stream = Stream::from(held);
            (*chunk, held)
        };
        self.streams.iter_mut().map(position).collect()
    }

    /// How far a chunk is held.
    #[must_use]
    pub fn held(&self, chunk: ChunkId) -> Sequence {
        self.streams.get(&chunk).map_or(Sequence::ZERO, |stream| stream.at.max(stream.covered))
    }

    /// Takes a frame in; `false` where the chunk must be loaded afresh.
    pub fn frame(&mut self, frame: &Frame) -> bool {
        let Some(stream) = self.streams.get_mut(&frame.chunk) else { return true };
        if !self.confirmed {
            // A subscription moves the server back to what it says: what the one before it brought comes again.
            stream.begin_again();
            // What was loaded since may be older than what the one before had reached.
            if self.subscriptions > 1 && frame.after > stream.at.max(stream.covered) {
                return false;
            }
        }
        stream.receive(frame.after, frame.to, &mut self.faults);
        self.reached = self.reached.max(frame.to);
        if self.viewing != Viewing::Pixels {
            return true;
        }
        match self.replica.apply(frame) {
            Verdict::Applied | Verdict::Dropped | Verdict::NotHeld => true,
            Verdict::Gap | Verdict::OtherEpoch => false,
            Verdict::Invalid => {
                self.faults.invalid += 1;
                true
            }
        }
    }

    /// The server has read the subscription.
    pub fn confirm(&mut self) {
        self.confirmed = true;
    }

    /// Everything up to here has arrived. Not so while the server may not have read the subscription.
    pub fn progress(&mut self, epoch: Epoch, sequence: Sequence) {
        if self.confirmed && epoch == self.epoch() {
            self.streams.values_mut().for_each(|stream| stream.cover(sequence));
            self.replica.progress(epoch, sequence);
            self.reached = self.reached.max(sequence);
        }
    }

    /// Updates of the JSON dialect begin right after here.
    pub fn updates_from(&mut self, sequence: Sequence) {
        self.updates = Stream::from(sequence);
        self.reached = self.reached.max(sequence);
    }

    /// Where the updates of the JSON dialect stand.
    #[must_use]
    pub fn updates_at(&self) -> Sequence {
        self.updates.at
    }

    /// Takes one update of the JSON dialect in.
    pub fn update(&mut self, placement: Placement, sequence: Sequence) {
        self.updates.receive(Sequence(sequence.0.saturating_sub(1)), sequence, &mut self.faults);
        self.reached = self.reached.max(sequence);
        let chunk = placement.at.chunk();
        let Some(held) = self.replica.chunk(chunk).map(|held| held.sequence) else { return };
        let pixels = vec![(placement.at.offset(), placement.color)];
        let frame = Frame { epoch: self.epoch(), chunk, after: held, to: sequence, pixels };
        if self.replica.apply(&frame) == Verdict::Invalid {
            self.faults.invalid += 1;
        }
    }

    /// Whether it has seen everything up to here.
    #[must_use]
    pub fn has_reached(&self, sequence: Sequence) -> bool {
        self.reached >= sequence
    }

    /// Whether every chunk it holds looks like this.
    #[must_use]
    pub fn equals(&self, chunks: &BTreeMap<ChunkId, Snapshot>) -> bool {
        self.replica
            .chunks()
            .all(|(id, held)| chunks.get(&id).is_some_and(|truth| *truth.pixels == held.pixels))
    }

    /// How many chunks it holds.
    #[must_use]
    pub fn chunks_held(&self) -> usize {
        self.replica.chunks().count()
    }

    /// The colour it holds of a pixel, as stored; `None` where it does not hold its chunk.
    #[must_use]
    pub fn color(&self, at: pixel_canvas::Point, canvas: &Canvas) -> Option<Color> {
        let held = self.replica.chunk(at.chunk())?;
        color_in(&held.pixels, at, canvas)
    }
}

/// The colour of a pixel in its chunk's bytes.
#[must_use]
pub fn color_in(pixels: &[u8], at: pixel_canvas::Point, canvas: &Canvas) -> Option<Color> {
    let (column, row) = at.within();
    let width = canvas.size.chunk_size(at.chunk()).width() as usize;
    let bytes = canvas.palette.bytes_per_pixel();
    let start = (usize::from(row) * width + usize::from(column)) * bytes;
    canvas.palette.load(pixels.get(start..start + bytes)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(from: u64, spans: &[(u64, u64)]) -> Faults {
        let (mut stream, mut faults) = (Stream::from(Sequence(from)), Faults::default());
        for (after, to) in spans {
            stream.receive(Sequence(*after), Sequence(*to), &mut faults);
        }
        faults
    }

    #[test]
    fn a_contiguous_stream_has_no_faults() {
        assert_eq!(faults(4, &[(4, 5), (5, 9), (9, 10)]), Faults::default());
        assert_eq!(faults(4, &[(1, 3), (2, 6), (6, 7)]), Faults::default(), "a snapshot may be overlapped");
        assert_eq!(faults(4, &[(4, 6), (5, 7)]), Faults { doubled: 1, ..Faults::default() });
    }

    #[test]
    fn what_is_missing_twice_or_late_is_counted() {
        assert_eq!(faults(0, &[(0, 1), (2, 3)]), Faults { lost: 1, ..Faults::default() });
        assert_eq!(faults(0, &[(0, 1), (0, 1)]), Faults { doubled: 1, ..Faults::default() });
        assert_eq!(faults(0, &[(0, 1), (2, 3), (1, 2)]), Faults { reordered: 1, ..Faults::default() });
        assert_eq!(faults(0, &[(0, 3), (1, 2)]), Faults { doubled: 1, ..Faults::default() });
    }

    #[test]
    fn progress_from_before_the_subscription_says_nothing() {
        let canvas = Canvas::default_canvas();
        let (epoch, chunk) = (Epoch(1), ChunkId { cx: 0, cy: 0 });
        let mut view = View::new(Viewing::Pixels, &canvas, epoch);
        let blank = canvas.size.pixels() as usize * 3;
        view.load(chunk, &Snapshot { epoch, sequence: Sequence(5), pixels: vec![0xff; blank].into() });
        assert_eq!(view.resume(), [(chunk, Sequence(5))]);
        view.progress(epoch, Sequence(9));
        let pixels = vec![(0, Color([1, 2, 3]))];
        let frame = Frame { epoch, chunk, after: Sequence(5), to: Sequence(8), pixels };
        assert!(view.frame(&frame), "it is on its way behind the progress");
        let at = pixel_canvas::Point { x: 0, y: 0 };
        assert_eq!((view.color(at, &canvas), view.faults), (Some(Color([1, 2, 3])), Faults::default()));
        view.confirm();
        view.progress(epoch, Sequence(9));
        assert_eq!(view.resume(), [(chunk, Sequence(9))]);
    }

    /// Two words of one new epoch, the log's and the answer to a subscription in the old one, are answered
    /// by two subscriptions.
    #[test]
    fn a_chunk_may_come_again_until_the_last_subscription_is_read() {
        let canvas = Canvas::default_canvas();
        let (epoch, chunk) = (Epoch(1), ChunkId { cx: 0, cy: 0 });
        let mut view = View::new(Viewing::Positions, &canvas, epoch);
        let receive = |view: &mut View, after, to| {
            let (after, to) = (Sequence(after), Sequence(to));
            view.frame(&Frame { epoch, chunk, after, to, pixels: Vec::new() });
            view.faults.doubled
        };
        view.follow(chunk, Sequence(5));
        view.resume();
        assert_eq!((receive(&mut view, 5, 8), receive(&mut view, 8, 9)), (0, 0), "for the first");
        assert_eq!((receive(&mut view, 5, 8), receive(&mut view, 8, 9)), (0, 0), "for the second");
        view.confirm();
        assert_eq!(receive(&mut view, 9, 12), 0, "it goes on");
        assert_eq!(receive(&mut view, 5, 8), 3, "nobody asked for it");
    }

    /// A cache on the way gave out an older chunk after a word of a new epoch.
    #[test]
    fn a_frame_of_the_subscription_before_may_leave_a_gap() {
        let canvas = Canvas::default_canvas();
        let (epoch, chunk) = (Epoch(1), ChunkId { cx: 0, cy: 0 });
        let frame = Frame { epoch, chunk, after: Sequence(7), to: Sequence(8), pixels: Vec::new() };
        for (subscriptions, lost) in [(1, 3), (2, 0)] {
            let mut view = View::new(Viewing::Positions, &canvas, epoch);
            view.connected();
            view.follow(chunk, Sequence(4));
            (0..subscriptions).for_each(|_| drop(view.resume()));
            assert_eq!(view.frame(&frame), lost > 0, "else it is loaded afresh");
            assert_eq!(view.faults.lost, lost);
        }
    }

    #[test]
    fn what_was_promised_to_be_there_must_not_come_later() {
        let (mut stream, mut faults) = (Stream::from(Sequence(3)), Faults::default());
        stream.cover(Sequence(9));
        stream.receive(Sequence(3), Sequence(12), &mut faults);
        assert_eq!(faults, Faults::default(), "nothing happened in the chunk up to 9");
        stream.cover(Sequence(20));
        stream.receive(Sequence(12), Sequence(18), &mut faults);
        assert_eq!(faults, Faults { reordered: 6, ..Faults::default() });
    }
}
