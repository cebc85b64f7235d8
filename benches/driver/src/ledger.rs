//! What was sent and what came: every receiver has to get every placement of its chunk exactly once, in one order.
//!
//! The first receiver that a message reaches decodes it, and its placements are held against those that were sent.
//! For everybody else the message has to be the same, byte for byte, as the one at this place of the chunk's stream:
//! that is exact, and cheap enough for ten million pixels a second on one core.

use anyhow::{Result, ensure};
use hdrhistogram::Histogram;
use pixel_canvas::{ChunkId, Sequence};

use crate::wire::{self, Dialect, Ground, NUMBER_MAX, Pixel};

/// Latencies beyond it count as this long, in microseconds.
const LATENCY_US_MAX: u64 = 120_000_000;
/// Significant digits of a latency.
const LATENCY_DIGITS: u8 = 3;

/// One placement's way.
struct Placed {
    sender: u32,
    stream: usize,
    sent_ns: u64,
    last_read_ns: u64,
    measured: bool,
    arrived: bool,
}

/// What everybody who views a chunk has to get.
struct Stream {
    chunk: ChunkId,
    /// Placements that were sent to the chunk.
    sent: usize,
    /// Their numbers, in the order in which they arrive.
    order: Vec<u32>,
    messages: Vec<Message>,
    bytes: Vec<u8>,
    sequence: Option<Sequence>,
}

/// One message of a stream.
struct Message {
    start: usize,
    end: usize,
    first: usize,
    pixels: usize,
}

/// What was wrong, in messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Faults {
    /// Not what was due at this place: something lost, doubled or out of order.
    pub(crate) wrong: u64,
    /// Placements that never came, summed over receivers.
    pub(crate) missing: u64,
    /// What the first of them was.
    pub(crate) first: Option<String>,
}

impl Faults {
    pub(crate) fn total(&self) -> u64 {
        self.wrong + self.missing
    }

    /// Adds another round's.
    pub(crate) fn add(&mut self, other: &Self) {
        self.wrong += other.wrong;
        self.missing += other.missing;
        self.first = self.first.take().or_else(|| other.first.clone());
    }

    fn note(&mut self, what: impl FnOnce() -> String) {
        self.wrong += 1;
        self.first.get_or_insert_with(what);
    }
}

/// The book of one round.
pub(crate) struct Ledger {
    dialect: Dialect,
    ground: Ground,
    placed: Vec<Placed>,
    /// One for each chunk.
    streams: Vec<Stream>,
    /// Of so many placements one has its latency taken.
    stride: usize,
    /// Placements read by somebody, summed over receivers.
    pub(crate) deliveries: u64,
    pub(crate) faults: Faults,
    /// From the send to each receiver's read.
    pub(crate) latency_us: Histogram<u64>,
}

impl Ledger {
    pub(crate) fn new(dialect: Dialect, ground: Ground, stride: usize) -> Result<Self> {
        Ok(Self {
            dialect,
            ground,
            placed: Vec::new(),
            streams: ground.chunks().map(Stream::new).collect(),
            stride,
            deliveries: 0,
            faults: Faults::default(),
            latency_us: Histogram::new_with_max(LATENCY_US_MAX, LATENCY_DIGITS)?,
        })
    }

    /// The next placement, sent now by who views the chunk of this stream.
    pub(crate) fn send(&mut self, sender: u32, stream: usize, now_ns: u64, measured: bool) -> Result<Pixel> {
        let number = u32::try_from(self.placed.len()).ok().filter(|number| *number <= NUMBER_MAX);
        ensure!(number.is_some(), "more placements than there are colours to number them");
        self.placed.push(Placed {
            sender,
            stream,
            sent_ns: now_ns,
            last_read_ns: 0,
            measured,
            arrived: false,
        });
        let to = &mut self.streams[stream];
        to.sent += 1;
        Ok(Pixel::numbered(number.expect("checked above"), self.ground, to.chunk))
    }

    /// One receiver read the message at its place of its stream. Says how many placements of its own were in it.
    pub(crate) fn receive(
        &mut self,
        stream: usize,
        place: usize,
        payload: &[u8],
        now_ns: u64,
        sender: Option<u32>,
    ) -> Result<usize> {
        if place == self.streams[stream].messages.len() {
            self.append(stream, payload)?;
        }
        let Stream { chunk, order, messages, bytes, .. } = &self.streams[stream];
        let message = &messages[place];
        if bytes[message.start..message.end] != *payload {
            self.faults.note(|| format!("message {place} of {chunk:?} differs between receivers"));
            return Ok(0);
        }
        let numbers = message.first..message.first + message.pixels;
        self.deliveries += message.pixels as u64;
        for index in numbers.clone().filter(|index| index.is_multiple_of(self.stride)) {
            let placed = &mut self.placed[order[index] as usize];
            placed.last_read_ns = now_ns;
            if placed.measured {
                self.latency_us.saturating_record((now_ns - placed.sent_ns) / 1_000);
            }
        }
        let Some(sender) = sender else { return Ok(0) };
        let own = |number: &&u32| self.placed[**number as usize].sender == sender;
        Ok(order[numbers].iter().filter(own).count())
    }

    /// A stream goes on with this message.
    fn append(&mut self, stream: usize, payload: &[u8]) -> Result<()> {
        let mut pixels = Vec::new();
        let covered = wire::decode(self.dialect, payload, &mut pixels)?;
        // Sequences are those of the canvas: what lies between is in the other streams.
        let alone = self.streams.len() == 1;
        let Stream { chunk, order, messages, bytes, sequence, .. } = &mut self.streams[stream];
        let place = messages.len();
        if let Some((after, to)) = covered {
            let expected = sequence.replace(to).unwrap_or(after);
            if after != expected || (alone && to.since(after) != pixels.len() as u64) {
                let many = pixels.len();
                self.faults.note(|| {
                    format!(
                        "message {place} of {chunk:?} covers {after}..{to} with {many} pixels, at {expected}"
                    )
                });
            }
        }
        let first = order.len();
        for pixel in pixels {
            let placed = self.placed.get_mut(pixel.number as usize);
            let due = |placed: &&mut Placed| {
                let as_sent = Pixel::numbered(pixel.number, self.ground, *chunk);
                placed.stream == stream && !placed.arrived && as_sent == pixel
            };
            match placed.filter(due) {
                Some(placed) => {
                    placed.arrived = true;
                    order.push(pixel.number);
                }
                None => self.faults.note(|| {
                    format!("message {place} of {chunk:?} has {pixel:?}, not sent here or come before")
                }),
            }
        }
        let start = bytes.len();
        bytes.extend_from_slice(payload);
        let pixels = order.len() - first;
        messages.push(Message { start, end: bytes.len(), first, pixels });
        Ok(())
    }

    /// Whether everything that was sent to its chunk came to this place of a stream.
    pub(crate) fn is_whole(&self, stream: usize, place: usize) -> bool {
        let Stream { sent, order, messages, .. } = &self.streams[stream];
        order.len() == *sent && place == messages.len()
    }

    /// Placements that a receiver at this place of a stream lacks.
    pub(crate) fn missing(&self, stream: usize, place: usize) -> u64 {
        let Stream { sent, order, messages, .. } = &self.streams[stream];
        let had = messages.get(place).map_or(order.len(), |message| message.first);
        (sent - had) as u64
    }

    /// Bytes of all streams, without framing.
    pub(crate) fn bytes(&self) -> usize {
        self.streams.iter().map(|stream| stream.bytes.len()).sum()
    }

    /// The chunk of a stream.
    pub(crate) fn chunk(&self, stream: usize) -> ChunkId {
        self.streams[stream].chunk
    }

    pub(crate) fn sent(&self) -> usize {
        self.placed.len()
    }

    /// From the send to the last receiver's read, over the measured placements.
    pub(crate) fn last_latency_us(&self) -> Result<Histogram<u64>> {
        let mut latencies = Histogram::new_with_max(LATENCY_US_MAX, LATENCY_DIGITS)?;
        for placed in self.placed.iter().filter(|placed| placed.measured && placed.last_read_ns > 0) {
            latencies.saturating_record((placed.last_read_ns - placed.sent_ns) / 1_000);
        }
        Ok(latencies)
    }
}

impl Stream {
    fn new(chunk: ChunkId) -> Self {
        Self { chunk, sent: 0, order: Vec::new(), messages: Vec::new(), bytes: Vec::new(), sequence: None }
    }
}

#[cfg(test)]
mod tests {
    use pixel_canvas::{Color, Epoch, Frame, Palette};
    use pixel_protocol::binary::ToClient;

    use super::*;
    use crate::wire::{NARROW, WIDE};

    /// What two receivers of the floor's messages read, as numbers of what three senders sent.
    fn faults(first: &[u32], second: &[u32]) -> Faults {
        let mut ledger = Ledger::new(Dialect::Raw { bytes: 4 }, NARROW, 1).expect("a histogram of this size");
        for sender in 0..3 {
            ledger.send(sender, 0, 1_000, true).expect("few placements");
        }
        for heard in [first, second] {
            for (place, number) in heard.iter().enumerate() {
                ledger.receive(0, place, &number.to_le_bytes(), 2_000, None).expect("a whole message");
            }
        }
        ledger.faults.missing += ledger.missing(0, first.len()) + ledger.missing(0, second.len());
        ledger.faults
    }

    #[test]
    fn one_order_for_all_is_right_whichever_it_is() {
        assert_eq!(faults(&[2, 0, 1], &[2, 0, 1]), Faults::default());
    }

    #[test]
    fn what_is_lost_doubled_or_out_of_order_shows() {
        let wrong = |first: &[u32], second: &[u32]| {
            let faults = faults(first, second);
            (faults.wrong, faults.missing)
        };
        assert_eq!(wrong(&[0, 1, 2], &[0, 2, 1]), (2, 0), "out of order at one");
        assert_eq!(wrong(&[0, 1, 2], &[0, 1]), (0, 1), "lost at the end");
        assert_eq!(wrong(&[0, 1, 2], &[0, 2]), (1, 1), "lost in between");
        assert_eq!(wrong(&[0, 1, 2], &[0, 0, 1, 2]), (3, 0), "doubled at one");
        assert_eq!(wrong(&[0, 0, 1, 2], &[0, 0, 1, 2]), (1, 0), "doubled at all");
        assert_eq!(wrong(&[0, 2], &[0, 2]), (0, 2), "lost at all");
        assert_eq!(wrong(&[0, 1, 7, 2], &[0, 1, 7, 2]), (1, 0), "never sent");
    }

    /// What two receivers of two chunks read, as numbers under a chunk's name, of what was sent to the chunks in turn.
    fn faults_of_two(first: &[(ChunkId, u32)], second: &[(ChunkId, u32)]) -> (u64, u64) {
        let mut ledger = Ledger::new(Dialect::Binary, WIDE, 1).expect("a histogram of this size");
        for number in 0..4 {
            ledger.send(number, number as usize % 2, 1_000, true).expect("few placements");
        }
        for (stream, heard) in [first, second].into_iter().enumerate() {
            let mut after = Sequence::ZERO;
            for (place, (chunk, number)) in heard.iter().enumerate() {
                let Pixel { x, y, .. } = Pixel::numbered(*number, WIDE, *chunk);
                let [red, green, blue, _] = number.to_le_bytes();
                let pixels = vec![((y & 0xff) << 8 | x & 0xff, Color([red, green, blue]))];
                let to = Sequence(u64::from(*number) + 1);
                let mut payload = Vec::new();
                ToClient::Frame(Frame { epoch: Epoch(7), chunk: *chunk, after, to, pixels })
                    .encode(&Palette::TrueColor, &mut payload);
                ledger.receive(stream, place, &payload, 2_000, None).expect("a whole message");
                after = to;
            }
        }
        (ledger.faults.wrong, ledger.missing(0, first.len()) + ledger.missing(1, second.len()))
    }

    #[test]
    fn each_chunk_has_a_stream_of_its_own() {
        let [a, b] = [ChunkId { cx: 0, cy: 0 }, ChunkId { cx: 1, cy: 0 }];
        assert_eq!(faults_of_two(&[(a, 0), (a, 2)], &[(b, 1), (b, 3)]), (0, 0));
        assert_eq!(faults_of_two(&[(a, 0), (a, 2)], &[(b, 1)]), (0, 1), "lost in one");
        assert_eq!(faults_of_two(&[(a, 0), (a, 1), (a, 2)], &[(b, 1), (b, 3)]), (1, 0), "sent to the other");
        assert_eq!(faults_of_two(&[(a, 0), (b, 2)], &[(b, 1), (b, 3)]), (1, 1), "called the other's");
    }

    #[test]
    fn an_author_knows_its_own_among_what_it_reads() {
        let mut ledger = Ledger::new(Dialect::Raw { bytes: 4 }, NARROW, 1).expect("a histogram of this size");
        ledger.send(5, 0, 1_000, true).expect("few placements");
        let message = 0_u32.to_le_bytes();
        assert_eq!(ledger.receive(0, 0, &message, 1_001_000, Some(5)).expect("whole"), 1);
        assert_eq!(ledger.receive(0, 0, &message, 1_101_000, Some(6)).expect("whole"), 0);
        assert_eq!((ledger.deliveries, ledger.latency_us.len(), ledger.latency_us.min()), (2, 2, 1_000));
        assert_eq!(ledger.last_latency_us().expect("a histogram").max(), 1_100);
    }
}
