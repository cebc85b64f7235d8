//! A store that is reopened at any moment answers like one that never was.

use std::sync::Arc;

use pixel_canvas::{
    Address, Amendment, Author, Canvas, CanvasId, CanvasSpec, Color, Entry, Placement, Point, Sequence,
    Timestamp,
};
use pixel_store::embedded::Embedded;
use pixel_store::{Outcome, Overview, Pixel, Position, Store, Submission, Tailed, View};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::disk::Disk;
use crate::{Outside, main_canvas, numbered, submission};

/// What can happen to a store.
#[derive(Clone, Debug)]
enum Step {
    /// Somebody places, perhaps under a key used before.
    Place {
        canvas: usize,
        person: u64,
        key: u64,
        from: u64,
        count: u64,
        guest: bool,
    },
    Wait {
        millis: u64,
    },
    Reset {
        canvas: usize,
    },
    Amend {
        canvas: usize,
        cooldown_ms: i64,
        charges_max: i64,
        frozen: bool,
    },
    Create {
        canvas: usize,
    },
    Delete {
        canvas: usize,
    },
    /// It is closed and opened; does not concern the other store.
    Close,
    /// It is dropped and opened.
    Drop,
}

/// The canvases that come and go: small, with a cooldown, with a palette, of several chunks.
fn canvas(index: usize) -> Canvas {
    let colours = (0..=255).map(|n| format!("#{n:02X}0000")).collect();
    let spec = |id: &str, width, height| CanvasSpec { id: id.into(), width, height, ..CanvasSpec::default() };
    let spec = match index {
        0 => return Canvas::default_canvas(),
        1 => CanvasSpec { cooldown_ms: Some(3_000), charges_max: Some(4), ..spec("cooling", 40, 40) },
        2 => CanvasSpec { palette: Some(colours), ..spec("palette", 50, 300) },
        _ => spec("wide", 600, 40),
    };
    Canvas::parse(&spec).expect("a canvas")
}

const CANVASES: usize = 4;

/// A placement that fits the canvas.
fn fitting(canvas: &Canvas, number: u64) -> Placement {
    let (width, height) = (u64::from(canvas.size.width()), u64::from(canvas.size.height()));
    let at = Point { x: (number * 37 % width) as u16, y: (number * 11 % height) as u16 };
    Placement { at, color: Color([numbered(number).color.0[0], 0, 0]) }
}

fn step() -> impl Strategy<Value = Step> {
    let place = (0..CANVASES, 0..4_u64, 0..12_u64, 0..500_u64, 1..8_u64, any::<bool>()).prop_map(
        |(canvas, person, key, from, count, guest)| Step::Place { canvas, person, key, from, count, guest },
    );
    let amend = (0..CANVASES, 0..9_000_i64, 1..6_i64, any::<bool>()).prop_map(
        |(canvas, cooldown_ms, charges_max, frozen)| Step::Amend { canvas, cooldown_ms, charges_max, frozen },
    );
    prop_oneof![
        12 => place,
        3 => (0..4_000_u64).prop_map(|millis| Step::Wait { millis }),
        1 => Just(Step::Wait { millis: 300_000 }),
        1 => (0..CANVASES).prop_map(|canvas| Step::Reset { canvas }),
        1 => amend,
        2 => (0..CANVASES).prop_map(|canvas| Step::Create { canvas }),
        1 => (0..CANVASES).prop_map(|canvas| Step::Delete { canvas }),
        1 => Just(Step::Close),
        3 => Just(Step::Drop),
    ]
}

/// One store on its disk, with the world outside of it.
struct Playground {
    disk: Disk,
    outside: Outside,
    store: Option<Embedded>,
}

/// What a step was answered.
#[derive(Debug, PartialEq)]
enum Answer {
    Outcomes(Vec<Outcome>),
    Position(Option<Position>),
    Canvas(Option<Arc<Canvas>>),
    Nothing,
}

impl Playground {
    fn new() -> Self {
        let (disk, outside) = (Disk::default(), Outside::default());
        let mut playground = Self { disk, outside, store: None };
        playground.open();
        playground
    }

    fn open(&mut self) {
        self.store = None;
        let store = Embedded::open_with_backend(self.disk.clone(), self.outside.options());
        self.store = Some(store.expect("its own disk opens"));
    }

    fn store(&self) -> &Embedded {
        self.store.as_ref().expect("it is open but while it is reopened")
    }

    async fn take(&mut self, step: &Step) -> Answer {
        match step {
            Step::Place { canvas: index, person, key, from, count, guest } => {
                let canvas = canvas(*index);
                let placements = (*from..from + count).map(|number| fitting(&canvas, number)).collect();
                let asked = submission(*person, *key, placements);
                let address = guest.then_some(Address([7; 16]));
                let since = guest.then_some(Timestamp(1_000_500));
                let asked = Submission { author: Author { address, since, ..asked.author }, ..asked };
                let retry = asked.clone();
                Answer::Outcomes(self.store().place(&canvas.id, vec![asked, retry]).await.unwrap())
            }
            Step::Wait { millis } => {
                self.outside.advance(*millis);
                Answer::Nothing
            }
            Step::Reset { canvas: index } => {
                Answer::Position(self.store().reset(&canvas(*index).id).await.unwrap())
            }
            Step::Amend { canvas: index, cooldown_ms, charges_max, frozen } => {
                let amendment = Amendment {
                    name: None,
                    cooldown_ms: Some(*cooldown_ms),
                    charges_max: Some(*charges_max),
                    frozen: Some(*frozen),
                };
                let amended = self.store().amend(&canvas(*index).id, amendment).await.unwrap();
                Answer::Canvas(amended.map(|amended| amended.expect("it is within bounds")))
            }
            Step::Create { canvas: index } => {
                self.store().create(canvas(*index)).await.unwrap();
                Answer::Canvas(self.store().canvas(&canvas(*index).id).await.unwrap())
            }
            Step::Delete { canvas: index } => {
                self.store().delete(&canvas(*index).id).await.unwrap();
                Answer::Nothing
            }
            Step::Close => {
                self.store().close().await;
                self.open();
                Answer::Nothing
            }
            Step::Drop => {
                self.open();
                Answer::Nothing
            }
        }
    }

    async fn look(&self) -> Vec<Look> {
        let mut looks = Vec::new();
        for canvas in self.store().canvases().await.unwrap() {
            looks.push(Look::at(self.store(), canvas).await);
        }
        looks
    }
}

/// All that can be seen of a canvas.
#[derive(Debug, PartialEq)]
struct Look {
    canvas: Arc<Canvas>,
    chunks: Vec<(Sequence, Arc<Vec<u8>>)>,
    overview: (Position, Vec<(pixel_canvas::ChunkId, Sequence)>),
    pixels: Vec<Pixel>,
    entries: Vec<Arc<Entry>>,
}

impl Look {
    async fn at(store: &Embedded, canvas: Arc<Canvas>) -> Self {
        let id: &CanvasId = &canvas.id;
        let ids: Vec<_> = canvas.size.chunks().collect();
        let View { position, chunks } = store.view(id, &ids).await.unwrap().unwrap();
        let chunks = chunks.into_iter().map(|chunk| (chunk.changed, chunk.pixels)).collect();
        let Overview { position: same, mut changed } = store.overview(id).await.unwrap().unwrap();
        assert_eq!(position, same);
        changed.sort_unstable();
        let mut pixels = Vec::new();
        for number in 0..510 {
            pixels.push(store.pixel(id, fitting(&canvas, number).at).await.unwrap().unwrap());
        }
        let from = store.tail_start(id, u64::MAX).await.unwrap().unwrap();
        let mut tail = store.tail(id, from).await.unwrap().unwrap();
        let mut entries: Vec<Arc<Entry>> = Vec::new();
        while entries.last().map_or(from.sequence, |entry| entry.last) < position.sequence {
            match tail.next().await.unwrap() {
                Tailed::Entry(entry) => entries.push(entry),
                other => panic!("the log is whole: {other:?}"),
            }
        }
        Self { canvas, chunks, overview: (position, changed), pixels, entries }
    }
}

fn run(steps: &[Step]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (mut reopened, mut steady) = (Playground::new(), Playground::new());
        for index in 0..CANVASES {
            let create = Step::Create { canvas: index };
            assert_eq!(reopened.take(&create).await, steady.take(&create).await);
        }
        for (index, step) in steps.iter().enumerate() {
            let answer = reopened.take(step).await;
            match step {
                Step::Close | Step::Drop => {
                    // The order in which canvases are made differs for nobody.
                    assert_eq!(reopened.look().await, steady.look().await, "after step {index}");
                }
                _ => assert_eq!(answer, steady.take(step).await, "step {index}: {step:?}"),
            }
        }
        reopened.open();
        assert_eq!(reopened.look().await, steady.look().await, "at the end");
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_reopened_store_answers_like_one_that_never_was(steps in vec(step(), 1..70)) {
        run(&steps);
    }
}

#[test]
fn ten_thousand_keys_are_counted_after_a_restart() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut playground = Playground::new();
        playground.take(&Step::Create { canvas: 0 }).await;
        for call in 0..10_u64 {
            let call = (0..1_000).map(|n| submission(1, call * 1_000 + n, vec![numbered(n)])).collect();
            playground.store().place(&main_canvas(), call).await.unwrap();
            playground.open();
        }
        let one_more = vec![submission(1, 77_777, vec![numbered(1)]), submission(1, 5, vec![numbered(5)])];
        let outcomes = playground.store().place(&main_canvas(), one_more).await.unwrap();
        assert!(matches!(outcomes[0], Outcome::Refused(pixel_canvas::Refusal::Busy { .. })), "{outcomes:?}");
        assert!(matches!(&outcomes[1], Outcome::Accepted(accepted) if accepted.first == Sequence(6)));
    });
}
