//! The judge of histories: every acknowledgement once at its sequence, one dense order for everybody.

use std::collections::HashMap;
use std::time::Instant;

use serde_json::Value;

/// One placement as a client saw it in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub sequence: u64,
    pub x: u16,
    pub y: u16,
    pub color: String,
}

/// One placement that the server acknowledged.
#[derive(Clone, Debug)]
pub struct Acknowledged {
    pub seen: Seen,
    /// When its author began to send it.
    pub sent: Instant,
    /// When its author had the acknowledgement.
    pub answered: Instant,
}

impl Seen {
    /// Reads a `pixel_updated`.
    pub fn from_update(update: &Value) -> Self {
        let number = |key: &str| update[key].as_u64().unwrap_or_else(|| panic!("no {key}: {update}"));
        Self {
            sequence: number("sequence"),
            x: number("x") as u16,
            y: number("y") as u16,
            color: update["color"].as_str().expect("a colour").to_owned(),
        }
    }
}

/// Nothing between two neighbours is missing, and nothing comes twice.
pub fn assert_contiguous(stream: &[Seen]) {
    for pair in stream.windows(2) {
        assert_eq!(pair[0].sequence + 1, pair[1].sequence, "a gap or a repetition: {pair:?}");
    }
}

/// How many acknowledgements are not in `log` where they should be.
pub fn lost(log: &[Seen], acknowledged: &[Acknowledged]) -> usize {
    let at: HashMap<u64, &Seen> = log.iter().map(|seen| (seen.sequence, seen)).collect();
    let missing = |ack: &&Acknowledged| at.get(&ack.seen.sequence) != Some(&&ack.seen);
    let lost = acknowledged.iter().filter(missing);
    lost.inspect(|ack| eprintln!("lost: {:?}, instead: {:?}", ack.seen, at.get(&ack.seen.sequence))).count()
}

/// If A was acknowledged before B was sent, A comes before B.
pub fn assert_real_time_order(acknowledged: &[Acknowledged]) {
    let mut by_answer: Vec<_> = acknowledged.iter().collect();
    by_answer.sort_by_key(|ack| ack.answered);
    let mut by_sending: Vec<_> = acknowledged.iter().collect();
    by_sending.sort_by_key(|ack| ack.sent);
    let mut answered = by_answer.into_iter().peekable();
    let mut highest = 0;
    for later in by_sending {
        while let Some(earlier) = answered.next_if(|earlier| earlier.answered < later.sent) {
            highest = highest.max(earlier.seen.sequence);
        }
        assert!(later.seen.sequence > highest, "sent after {highest} was acknowledged: {later:?}");
    }
}

/// Every acknowledgement has a sequence of its own.
pub fn assert_each_once(acknowledged: &[Acknowledged]) {
    let mut sequences: Vec<_> = acknowledged.iter().map(|ack| ack.seen.sequence).collect();
    sequences.sort_unstable();
    let count = sequences.len();
    sequences.dedup();
    assert_eq!(sequences.len(), count, "two acknowledgements share a sequence");
}

/// The canvas that this history leads to is the one that the server has.
pub fn assert_leads_to(log: &[Seen], canvas: &Value) {
    let mut last: HashMap<(u16, u16), &Seen> = HashMap::new();
    for seen in log {
        last.insert((seen.x, seen.y), seen);
    }
    for ((x, y), seen) in last {
        assert_eq!(
            canvas["pixels"][format!("{x},{y}")],
            seen.color.as_str(),
            "the canvas differs at {seen:?}"
        );
    }
}
