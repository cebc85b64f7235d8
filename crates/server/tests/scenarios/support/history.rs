//! The judge of histories: every acknowledgement once at its sequence, one dense order for everybody.

use std::collections::HashMap;
use std::time::Instant;

use loadgen::history::{History, Others};
use pixel_canvas::{Epoch, Sequence};
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

/// Every acknowledgement has a sequence of its own, and if A was acknowledged before B was sent, A
/// comes before B: judged by the load generator's checker.
pub fn assert_one_order(acknowledged: &[Acknowledged], others: Others) {
    let start = acknowledged.iter().map(|ack| ack.sent).min().expect("something was acknowledged");
    let micros = |at: Instant| at.duration_since(start).as_micros() as u64;
    let mut history = History::default();
    for (key, ack) in acknowledged.iter().enumerate() {
        history.push(loadgen::history::Acknowledged {
            client: 0,
            key: key as u64,
            sent_us: micros(ack.sent),
            acknowledged_us: micros(ack.answered),
            epoch: Epoch(0),
            first: Sequence(ack.seen.sequence),
            count: 1,
        });
    }
    let breaches = history.check(others, 10);
    assert!(breaches.is_empty(), "{breaches:#?}");
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
