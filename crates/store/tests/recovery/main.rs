//! What the embedded store promises when it is killed, cut off, full or opened wrongly.
//!
//! `PIXEL_PLAYGROUND_LONG=1` runs the long forms.

mod disk;
mod folder;
mod kill;
mod power;
mod reopen;
mod trouble;
mod witness;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use pixel_canvas::{Author, CanvasId, Color, Epoch, Identity, Key, Name, Placement, Point, Timestamp};
use pixel_store::embedded::Options;
use pixel_store::{Accepted, Act, Limits, Outcome, Submission, SubmissionKey};

/// What outlives a store: its clock and where its epochs come from.
#[derive(Clone, Default)]
struct Outside {
    millis: Arc<AtomicU64>,
    epochs: Arc<AtomicU64>,
}

impl Outside {
    fn advance(&self, millis: u64) {
        self.millis.fetch_add(millis, Ordering::SeqCst);
    }

    /// Options with so small bounds that everything happens all the time.
    fn options(&self) -> Options {
        let (millis, epochs) = (Arc::clone(&self.millis), Arc::clone(&self.epochs));
        let limits = Limits { identity: None, address: None, guests_per_address: 2 };
        Options {
            checkpoint_bytes: 700,
            checkpoint_interval_ms: 1_000,
            journal_bytes: 28_000,
            tail_bytes: 500,
            epochs: Arc::new(move || Epoch(epochs.fetch_add(1, Ordering::SeqCst))),
            ..Options::new(limits, Arc::new(move || Timestamp(1_000_000 + millis.load(Ordering::SeqCst))))
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a test is told by its environment")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Whether minutes are to be spent.
fn long() -> bool {
    variable("PIXEL_PLAYGROUND_LONG").is_some_and(|value| value == "1")
}

fn main_canvas() -> CanvasId {
    CanvasId::default_canvas()
}

fn bytes_of(number: u64) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    bytes
}

/// A submission under a client's key.
fn submission(person: u64, key: u64, placements: Vec<Placement>) -> Submission {
    Submission {
        author: Author { identity: Identity(bytes_of(person)), address: None, since: None },
        name: Name::parse(&format!("person {person}")).expect("a name"),
        key: Some(SubmissionKey::Client(Key(bytes_of(key)))),
        act: Act::Place(placements),
    }
}

/// The one placement of the submission with this number, on the default canvas.
fn numbered(number: u64) -> Placement {
    let [red, green, blue, ..] = number.to_le_bytes();
    Placement {
        at: Point { x: (number % 50) as u16, y: (number / 50 % 50) as u16 },
        color: Color([red, green, blue]),
    }
}

#[track_caller]
fn accepted(outcome: &Outcome) -> Accepted {
    match outcome {
        Outcome::Accepted(accepted) => *accepted,
        Outcome::Refused(refusal) => panic!("refused: {refusal}"),
    }
}
