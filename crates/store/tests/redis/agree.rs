//! Both adapters, told the same story by the same clock, give the same answers.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use pixel_canvas::{
    Address, Amendment, Author, Canvas, CanvasId, CanvasSpec, Change, Color, Epoch, Identity, Key, Name,
    Placement, Point, Rate, Timestamp, Turn,
};
use pixel_store::embedded::{self, Embedded};
use pixel_store::redis::{self, Redis};
use pixel_store::{Act, Limits, Outcome, Position, Store, Submission, SubmissionKey, Tailed};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tokio::runtime::Runtime;

use crate::server::Server;
use crate::world::long;

/// How many stories are told; the long form has more.
const STORIES: u32 = 12;
const STORIES_LONG: u32 = 400;
/// How many steps a story has.
const STEPS: usize = 60;

#[derive(Clone, Debug)]
enum Step {
    /// A call of several submissions.
    Place(Vec<Asked>),
    Wait(u64),
    Amend(Amendment),
    Reset,
    MakeAnew,
}

/// One submission, small enough a world that people, keys and pixels come again.
#[derive(Clone, Debug)]
struct Asked {
    person: u8,
    address: Option<u8>,
    since: Option<u64>,
    key: Option<(bool, u8)>,
    name: u8,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    Pixels(Vec<(u16, u16, u8)>),
    Retrace(Turn, u16),
}

fn asked() -> impl Strategy<Value = Asked> {
    let address = prop::option::of(0..3_u8);
    let since = prop::option::of(990_000..1_010_000_u64);
    let key = prop::option::of((any::<bool>(), 0..4_u8));
    // Some are outside, of a colour that there is not, or none at all; some lie close together, so
    // that people paint over each other.
    let close = vec((255..257_u16, 255..257_u16, 0..4_u8), 1..6);
    let pixels = vec((0..301_u16, 0..271_u16, 0..5_u8), 0..6);
    let turn = prop_oneof![3 => Just(Turn::Undo), 2 => Just(Turn::Redo)];
    let count = prop_oneof![30 => 1..6_u16, 1 => Just(0_u16), 1 => Just(257)];
    let what = prop_oneof![
        pixels.prop_map(What::Pixels),
        close.prop_map(What::Pixels),
        (turn, count).prop_map(|(turn, count)| What::Retrace(turn, count)),
    ];
    (0..4_u8, address, since, key, 0..2_u8, what).prop_map(|(person, address, since, key, name, what)| {
        Asked { person, address, since, key, name, what }
    })
}

fn step() -> impl Strategy<Value = Step> {
    let amendment =
        (prop::option::of(0..3_i64), prop::option::of(1..5_i64), prop::option::of(prop::bool::weighted(0.2)))
            .prop_map(|(seconds, charges_max, frozen)| Amendment {
                name: None,
                cooldown_ms: seconds.map(|seconds| seconds * 1_500),
                charges_max,
                frozen,
            });
    prop_oneof![
        12 => vec(asked(), 1..5).prop_map(Step::Place),
        4 => (0..4_000_u64).prop_map(Step::Wait),
        1 => (30_000..700_000_u64).prop_map(Step::Wait),
        // What is remembered for an hour is close to its end then, or beyond it.
        1 => (3_595_000..3_605_000_u64).prop_map(Step::Wait),
        2 => amendment.prop_map(Step::Amend),
        1 => Just(Step::Reset),
        1 => Just(Step::MakeAnew),
    ]
}

fn submission(asked: &Asked) -> Submission {
    let color = |index: u8| Color([index * 10, 0, 0]);
    Submission {
        author: Author {
            identity: Identity([asked.person; 16]),
            address: asked.address.map(|address| Address([address; 16])),
            since: asked.since.map(Timestamp),
        },
        name: Name::parse(["Ada", "Grace"][usize::from(asked.name)]).expect("a name"),
        key: asked.key.map(|(client, key)| match client {
            true => SubmissionKey::Client(Key([key; 16])),
            false => SubmissionKey::Gateway(Key([key; 16])),
        }),
        act: match &asked.what {
            What::Pixels(pixels) => Act::Place(
                (pixels.iter())
                    .map(|(x, y, index)| Placement { at: Point { x: *x, y: *y }, color: color(*index) })
                    .collect(),
            ),
            What::Retrace(turn, count) => Act::Retrace { turn: *turn, count: *count },
        },
    }
}

fn canvas() -> Canvas {
    let spec = CanvasSpec {
        id: "main".into(),
        width: 300,
        height: 270,
        palette: Some(["#000000", "#0A0000", "#140000", "#1E0000"].map(String::from).to_vec()),
        background: Some("#0A0000".into()),
        cooldown_ms: Some(2_000),
        charges_max: Some(8),
        ..CanvasSpec::default()
    };
    Canvas::parse(&spec).expect("a canvas")
}

/// One store's answers, its epochs numbered as they first appear: they are random.
struct Told<'a> {
    store: &'a dyn Store,
    epochs: HashMap<Epoch, u64>,
    start: Position,
}

impl Told<'_> {
    fn epoch(&mut self, epoch: Epoch) -> Epoch {
        let next = self.epochs.len() as u64;
        Epoch(*self.epochs.entry(epoch).or_insert(next))
    }

    async fn make(&mut self) {
        self.store.create(canvas()).await.unwrap();
        self.start = self.position().await;
    }

    async fn position(&mut self) -> Position {
        self.store.position(&CanvasId::default_canvas()).await.unwrap().expect("the canvas is there")
    }

    /// What the store answers to a step, as text.
    async fn tell(&mut self, step: &Step) -> String {
        let id = CanvasId::default_canvas();
        match step {
            Step::Place(call) => {
                let mut outcomes =
                    self.store.place(&id, call.iter().map(submission).collect()).await.unwrap();
                for outcome in &mut outcomes {
                    if let Outcome::Accepted(accepted) = outcome {
                        accepted.epoch = self.epoch(accepted.epoch);
                    }
                }
                format!("{outcomes:?}")
            }
            Step::Wait(_) => String::new(),
            Step::Amend(amendment) => {
                format!("{:?}", self.store.amend(&id, amendment.clone()).await.unwrap())
            }
            Step::Reset => {
                let Position { epoch, sequence } = self.store.reset(&id).await.unwrap().unwrap();
                format!("{} {sequence}", self.epoch(epoch))
            }
            Step::MakeAnew => {
                assert!(self.store.delete(&id).await.unwrap());
                self.make().await;
                String::new()
            }
        }
    }

    /// Everything that can be read, as text.
    async fn all(&mut self) -> String {
        let id = CanvasId::default_canvas();
        let canvas = self.store.canvas(&id).await.unwrap().unwrap();
        let chunks: Vec<_> = canvas.size.chunks().collect();
        let mut view = self.store.view(&id, &chunks).await.unwrap().unwrap();
        let end = view.position;
        let start = self.start;
        let mut tail = self.store.tail(&id, start).await.unwrap().unwrap();
        let (mut entries, mut pixels, mut last) = (Vec::new(), Vec::new(), start.sequence);
        while last < end.sequence {
            match tail.next().await.unwrap() {
                Tailed::Entry(entry) => {
                    last = entry.last;
                    let mut entry = (*entry).clone();
                    entry.epoch = self.epoch(entry.epoch);
                    if let Change::Painted(_) = &entry.change {
                        for (_, placement, _) in entry.placements() {
                            pixels.push(self.store.pixel(&id, placement.at).await.unwrap());
                        }
                    }
                    entries.push(entry);
                }
                // The embedded store remembers sixteen epochs, and so does the other.
                Tailed::Lost => break,
                other => panic!("{other:?}"),
            }
        }
        let mut overview = self.store.overview(&id).await.unwrap().unwrap();
        overview.changed.sort_unstable();
        view.position.epoch = self.epoch(view.position.epoch);
        overview.position.epoch = self.epoch(overview.position.epoch);
        format!("{view:?} {overview:?} {entries:?} {pixels:?}")
    }
}

async fn told(server: &Server, story: &[Step]) -> Result<(), TestCaseError> {
    ::redis::cmd("FLUSHALL").exec(&mut server.connection()).unwrap();
    let limits = Limits {
        identity: Some(Rate { interval_us: 300_000, burst: 12 }),
        address: Some(Rate { interval_us: 200_000, burst: 15 }),
        guests_per_address: 2,
    };
    let now = Arc::new(AtomicU64::new(1_000_000));
    let clock = || {
        let now = Arc::clone(&now);
        Arc::new(move || Timestamp(now.load(Ordering::SeqCst)))
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let one = Embedded::open(folder.path(), embedded::Options::new(limits, clock())).unwrap();
    let options = redis::Options { test_clock: Some(clock()), ..redis::Options::new(limits) };
    let other = Redis::open(server.address(), options).await.unwrap();

    let nowhere = Position { epoch: Epoch(0), sequence: pixel_canvas::Sequence::ZERO };
    let [mut one, mut other] =
        [&one as &dyn Store, &other].map(|store| Told { store, epochs: HashMap::new(), start: nowhere });
    one.make().await;
    other.make().await;
    for step in story {
        if let Step::Wait(millis) = step {
            now.fetch_add(*millis, Ordering::SeqCst);
        }
        prop_assert_eq!(one.tell(step).await, other.tell(step).await, "{:?}", step);
    }
    prop_assert_eq!(one.all().await, other.all().await);
    Ok(())
}

#[test]
fn both_adapters_tell_the_same_story() {
    let server = Server::start(&[]);
    let runtime = Runtime::new().expect("a runtime");
    let cases = if long() { STORIES_LONG } else { STORIES };
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    TestRunner::new(config)
        .run(&vec(step(), STEPS), |story| runtime.block_on(told(&server, &story)))
        .unwrap_or_else(|failure| panic!("{failure}"));
}
