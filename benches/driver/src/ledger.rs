//! What was sent and what came: every receiver has to get every placement exactly once, in one order.
//!
//! The first receiver that a message reaches decodes it, and its placements are held against those that were sent.
//! For everybody else the message has to be the same, byte for byte, as the one at this place of the stream: that is
//! exact, and cheap enough for ten million pixels a second on one core.

use anyhow::{Result, ensure};
use hdrhistogram::Histogram;
use pixel_canvas::Sequence;

use crate::wire::{self, Dialect, NUMBER_MAX, Pixel};

/// Latencies beyond it count as this long, in microseconds.
const LATENCY_US_MAX: u64 = 120_000_000;
/// Significant digits of a latency.
const LATENCY_DIGITS: u8 = 3;

/// One placement's way.
struct Placed {
    sender: u32,
    sent_ns: u64,
    last_read_ns: u64,
    measured: bool,
    arrived: bool,
}

/// One message of the stream that everybody has to get.
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
    placed: Vec<Placed>,
    /// The numbers, in the order in which they arrive.
    order: Vec<u32>,
    messages: Vec<Message>,
    bytes: Vec<u8>,
    sequence: Option<Sequence>,
    /// Of so many placements one has its latency taken.
    stride: usize,
    /// Placements read by somebody, summed over receivers.
    pub(crate) deliveries: u64,
    pub(crate) faults: Faults,
    /// From the send to each receiver's read.
    pub(crate) latency_us: Histogram<u64>,
}

impl Ledger {
    pub(crate) fn new(dialect: Dialect, stride: usize) -> Result<Self> {
        Ok(Self {
            dialect,
            placed: Vec::new(),
            order: Vec::new(),
            messages: Vec::new(),
            bytes: Vec::new(),
            sequence: None,
            stride,
            deliveries: 0,
            faults: Faults::default(),
            latency_us: Histogram::new_with_max(LATENCY_US_MAX, LATENCY_DIGITS)?,
        })
    }

    /// The next placement, sent now.
    pub(crate) fn send(&mut self, sender: u32, now_ns: u64, measured: bool) -> Result<Pixel> {
        let number = u32::try_from(self.placed.len()).ok().filter(|number| *number <= NUMBER_MAX);
        ensure!(number.is_some(), "more placements than there are colours to number them");
        self.placed.push(Placed { sender, sent_ns: now_ns, last_read_ns: 0, measured, arrived: false });
        Ok(Pixel::numbered(number.expect("checked above")))
    }

    /// One receiver read the message at its place of the stream. Says how many placements of its own were in it.
    pub(crate) fn receive(
        &mut self,
        place: usize,
        payload: &[u8],
        now_ns: u64,
        sender: Option<u32>,
    ) -> Result<usize> {
        if place == self.messages.len() {
            self.append(payload)?;
        }
        let message = &self.messages[place];
        if self.bytes[message.start..message.end] != *payload {
            self.faults.note(|| format!("message {place} of the stream differs between receivers"));
            return Ok(0);
        }
        let numbers = message.first..message.first + message.pixels;
        self.deliveries += message.pixels as u64;
        for index in numbers.clone().filter(|index| index.is_multiple_of(self.stride)) {
            let placed = &mut self.placed[self.order[index] as usize];
            placed.last_read_ns = now_ns;
            if placed.measured {
                self.latency_us.saturating_record((now_ns - placed.sent_ns) / 1_000);
            }
        }
        let Some(sender) = sender else { return Ok(0) };
        let own = |number: &&u32| self.placed[**number as usize].sender == sender;
        Ok(self.order[numbers].iter().filter(own).count())
    }

    /// The stream goes on with this message.
    fn append(&mut self, payload: &[u8]) -> Result<()> {
        let mut pixels = Vec::new();
        let covered = wire::decode(self.dialect, payload, &mut pixels)?;
        let place = self.messages.len();
        if let Some((after, to)) = covered {
            let expected = self.sequence.replace(to).unwrap_or(after);
            if after != expected || to.since(after) != pixels.len() as u64 {
                let many = pixels.len();
                self.faults.note(|| {
                    format!("message {place} covers {after}..{to} with {many} pixels, at {expected}")
                });
            }
        }
        let first = self.order.len();
        for pixel in pixels {
            let placed = self.placed.get_mut(pixel.number as usize);
            match placed.filter(|placed| !placed.arrived && Pixel::numbered(pixel.number) == pixel) {
                Some(placed) => {
                    placed.arrived = true;
                    self.order.push(pixel.number);
                }
                None => {
                    self.faults.note(|| format!("message {place} has {pixel:?}, not sent or come before"))
                }
            }
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(payload);
        let pixels = self.order.len() - first;
        self.messages.push(Message { start, end: self.bytes.len(), first, pixels });
        Ok(())
    }

    /// Whether everything that was sent came to this place of the stream.
    pub(crate) fn is_whole(&self, place: usize) -> bool {
        self.order.len() == self.placed.len() && place == self.messages.len()
    }

    /// Placements that a receiver at this place of the stream lacks.
    pub(crate) fn missing(&self, place: usize) -> u64 {
        let had = self.messages.get(place).map_or(self.order.len(), |message| message.first);
        (self.placed.len() - had) as u64
    }

    /// Bytes of the whole stream, without framing.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len()
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What two receivers of the floor's messages read, as numbers of what three senders sent.
    fn faults(first: &[u32], second: &[u32]) -> Faults {
        let mut ledger = Ledger::new(Dialect::Raw { bytes: 4 }, 1).expect("a histogram of this size");
        for sender in 0..3 {
            ledger.send(sender, 1_000, true).expect("few placements");
        }
        for heard in [first, second] {
            for (place, number) in heard.iter().enumerate() {
                ledger.receive(place, &number.to_le_bytes(), 2_000, None).expect("a whole message");
            }
        }
        ledger.faults.missing += ledger.missing(first.len()) + ledger.missing(second.len());
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

    #[test]
    fn an_author_knows_its_own_among_what_it_reads() {
        let mut ledger = Ledger::new(Dialect::Raw { bytes: 4 }, 1).expect("a histogram of this size");
        ledger.send(5, 1_000, true).expect("few placements");
        let message = 0_u32.to_le_bytes();
        assert_eq!(ledger.receive(0, &message, 1_001_000, Some(5)).expect("whole"), 1);
        assert_eq!(ledger.receive(0, &message, 1_101_000, Some(6)).expect("whole"), 0);
        assert_eq!((ledger.deliveries, ledger.latency_us.len(), ledger.latency_us.min()), (2, 2, 1_000));
        assert_eq!(ledger.last_latency_us().expect("a histogram").max(), 1_100);
    }
}
