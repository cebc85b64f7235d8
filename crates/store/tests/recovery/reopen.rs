//! A store that is reopened at any moment answers like one that never was.

use std::sync::Arc;

use pixel_canvas::{
    Address, Amendment, Author, Canvas, CanvasId, CanvasSpec, Color, Entry, Placement, Point, Refusal,
    Sequence, Timestamp, Turn,
};
use pixel_store::embedded::{Embedded, Options};
use pixel_store::{Act, Outcome, Overview, Pixel, Position, Store, Submission, Tailed, View};
use proptest::collection::vec;
use proptest::prelude::*;
use redb::{ReadableDatabase, ReadableTableMetadata, TableDefinition};

use crate::disk::Disk;
use crate::{Outside, accepted, main_canvas, numbered, submission};

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
    /// Somebody takes back or repeats.
    Retrace {
        canvas: usize,
        person: u64,
        key: u64,
        turn: Turn,
        count: u16,
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
    let turn = prop_oneof![Just(Turn::Undo), Just(Turn::Redo)];
    let retrace = (0..CANVASES, 0..5_u64, 0..12_u64, turn, 1..12_u16)
        .prop_map(|(canvas, person, key, turn, count)| Step::Retrace { canvas, person, key, turn, count });
    prop_oneof![
        12 => place,
        8 => retrace,
        3 => (0..4_000_u64).prop_map(|millis| Step::Wait { millis }),
        1 => Just(Step::Wait { millis: 300_000 }),
        1 => Just(Step::Wait { millis: 3_598_000 }),
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
        let store = self.disk.open(self.outside.options());
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
                let other = submission(*person + 1, *key, vec![fitting(&canvas, *key)]);
                let call = vec![asked, other, retry];
                Answer::Outcomes(self.store().place(&canvas.id, call).await.unwrap())
            }
            Step::Retrace { canvas: index, person, key, turn, count } => {
                let act = Act::Retrace { turn: *turn, count: *count };
                let asked = Submission { act, ..submission(*person, 1_000 + *key, Vec::new()) };
                let call = vec![asked.clone(), Submission { key: None, ..asked.clone() }, asked];
                Answer::Outcomes(self.store().place(&canvas(*index).id, call).await.unwrap())
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
    /// Where tails begin that reach back so many bytes.
    starts: Vec<Position>,
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
        let mut starts = Vec::new();
        for bytes in [200, 1_000] {
            starts.push(store.tail_start(id, bytes).await.unwrap().unwrap());
        }
        Self { starts, canvas, chunks, overview: (position, changed), pixels, entries }
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
fn a_guest_whose_full_cooldown_was_forgotten_is_judged_like_one_whose_was_not() {
    let place = |person, from, count| Step::Place { canvas: 1, person, key: from, from, count, guest: true };
    let slower = Step::Amend { canvas: 1, cooldown_ms: 9_000, charges_max: 5, frozen: false };
    let wait = |millis| Step::Wait { millis };
    run(&[wait(20_000), place(0, 1, 1), wait(4_000), place(1, 2, 1), Step::Close, slower, place(0, 3, 3)]);
}

#[test]
fn a_cooldown_that_was_changed_stays_forgiven_after_a_restart() {
    let place = |from| Step::Place { canvas: 1, person: 0, key: from, from, count: 4, guest: false };
    let changed = Step::Amend { canvas: 1, cooldown_ms: 9_000, charges_max: 5, frozen: false };
    for reopen in [Step::Drop, Step::Close] {
        run(&[place(1), changed.clone(), reopen, place(2)]);
    }
}

#[tokio::test]
async fn keys_are_counted_and_forgotten_after_a_restart() {
    let mut playground = Playground::new();
    playground.take(&Step::Create { canvas: 0 }).await;
    for call in 0..10_u64 {
        let call = (0..1_000).map(|n| submission(1, call * 1_000 + n, vec![numbered(n)])).collect();
        playground.store().place(&main_canvas(), call).await.unwrap();
        playground.outside.advance(10_000);
        playground.take(&Step::Close).await;
    }
    let ask = async |key: u64| {
        let call = vec![submission(1, key, vec![numbered(key % 1_000)])];
        playground.store().place(&main_canvas(), call).await.unwrap().remove(0)
    };
    assert!(matches!(ask(77_777).await, Outcome::Refused(Refusal::Busy { .. })));
    assert_eq!(accepted(&ask(5).await).first, Sequence(6), "known from before");
    // Ten minutes after the first thousand, not after the second.
    playground.outside.advance(501_000);
    assert_eq!(accepted(&ask(77_777).await).first, Sequence(10_001));
    assert_eq!(accepted(&ask(5).await).first, Sequence(10_002), "forgotten");
    assert_eq!(accepted(&ask(1_005).await).first, Sequence(1_006), "still known");
}

#[tokio::test]
async fn more_records_than_a_step_of_a_checkpoint_writes_are_all_kept() {
    let (disk, outside) = (Disk::default(), Outside::default());
    let once = Options { checkpoint_bytes: u64::MAX, checkpoint_interval_ms: u64::MAX, ..outside.options() };
    let call = |person| (0..1_000).map(|key| submission(person, key, vec![numbered(key)])).collect();
    let store = disk.open(once.clone()).unwrap();
    store.create(Canvas::default_canvas()).await.unwrap();
    let mut before = Vec::new();
    for person in 0..20 {
        before.push(store.place(&main_canvas(), call(person)).await.unwrap());
    }
    store.close().await;
    drop(store);
    let store = disk.open(once).unwrap();
    assert_eq!(store.figures().replayed_entries, 0);
    for (person, outcomes) in (0..).zip(before) {
        assert_eq!(store.place(&main_canvas(), call(person)).await.unwrap(), outcomes);
    }
}

#[tokio::test]
async fn time_does_not_go_back_over_a_restart() {
    let mut playground = Playground::new();
    playground.take(&Step::Create { canvas: 1 }).await;
    playground.outside.advance(500_000);
    let cooling = canvas(1);
    let ask = |key| vec![submission(1, key, (0..4).map(|n| fitting(&cooling, n)).collect())];
    let before = accepted(&playground.store().place(&cooling.id, ask(1)).await.unwrap()[0]);
    playground.outside = Outside::default();
    playground.open();
    let outcomes = playground.store().place(&cooling.id, ask(2)).await.unwrap();
    assert_eq!(outcomes, [Outcome::Refused(Refusal::Cooldown { wait_ms: 12_000 })]);
    playground.outside.advance(500_000 + 12_000);
    assert!(accepted(&playground.store().place(&cooling.id, ask(2)).await.unwrap()[0]).at > before.at);
}

#[tokio::test]
async fn nothing_is_trimmed_that_only_the_log_knows() {
    let (disk, outside) = (Disk::default(), Outside::default());
    let keep_nothing = Options {
        retention_seconds: Some(0),
        checkpoint_bytes: u64::MAX,
        checkpoint_interval_ms: u64::MAX,
        ..outside.options()
    };
    let store = disk.open(outside.options()).unwrap();
    store.create(Canvas::default_canvas()).await.unwrap();
    let call = (1..=5).map(|number| submission(1, number, vec![numbered(number)])).collect();
    store.place(&main_canvas(), call).await.unwrap();
    store.close().await;
    drop(store);
    // Five are kept outside the log, fifteen are not.
    let store = disk.open(keep_nothing.clone()).unwrap();
    for number in 6..=20 {
        outside.advance(10_000);
        store.place(&main_canvas(), vec![submission(1, number, vec![numbered(number)])]).await.unwrap();
    }
    drop(store);
    let store = disk.open(keep_nothing.clone()).unwrap();
    let position = store.position(&main_canvas()).await.unwrap().unwrap();
    assert_eq!(position.sequence, Sequence(20));
    // What is kept elsewhere is trimmed once it is older than that, and its canvas stays.
    outside.advance(1);
    store.close().await;
    assert_eq!(store.figures().log_bytes, 0);
    drop(store);
    let store = disk.open(keep_nothing).unwrap();
    assert_eq!(store.position(&main_canvas()).await.unwrap(), Some(position));
    for number in 1..=20 {
        let pixel = store.pixel(&main_canvas(), numbered(number).at).await.unwrap().unwrap();
        assert_eq!(pixel.color, numbered(number).color);
    }
    let mut tail =
        store.tail(&main_canvas(), Position { sequence: Sequence(19), ..position }).await.unwrap().unwrap();
    assert_eq!(tail.next().await.unwrap(), Tailed::Lost);
}

/// A checkpoint comes early where the log would outgrow what is to be kept of it.
#[tokio::test]
async fn a_log_that_is_to_be_short_is_short_while_it_grows() {
    const RETENTION_BYTES: u64 = 10_000;
    let outside = Outside::default();
    let defaults = Options::new(outside.options().limits, outside.options().clock);
    let options = Options { retention_bytes: RETENTION_BYTES, ..defaults };
    let store = Disk::default().open(options).unwrap();
    store.create(Canvas::default_canvas()).await.unwrap();
    for number in 1..=2_000 {
        store.place(&main_canvas(), vec![submission(1, number, vec![numbered(number)])]).await.unwrap();
    }
    // They took nine times as much and more.
    let kept = store.figures().log_bytes;
    assert!(kept < 3 * RETENTION_BYTES, "{kept}");
}

/// How many rows a disk holds that belong to some canvas.
fn rows(disk: &Disk) -> u64 {
    let database =
        redb::Builder::new().create_with_backend(Disk::holding(disk.content()).database()).expect("it opens");
    let transaction = database.begin_read().unwrap();
    let mut rows = 0;
    macro_rules! count {
        ($($name:literal: $key:ty,)*) => {$(
            let table = TableDefinition::<$key, &[u8]>::new($name);
            rows += transaction.open_table(table).unwrap().len().unwrap();
        )*};
    }
    count! {
        "canvases": u32, "log": (u32, u64), "checkpoints": u32, "chunks": (u32, u16), "marks": (u32, u16, u8),
        "authors": (u32, u32), "histories": (u32, u128), "records": (u32, u64, u64), "cooldowns": u32,
    }
    rows
}

#[tokio::test]
async fn what_was_deleted_leaves_nothing_behind() {
    let mut playground = Playground::new();
    let place = |canvas| Step::Place { canvas, person: 1, key: 1, from: 0, count: 50, guest: false };
    for canvas in [0, 2, 3] {
        playground.take(&Step::Create { canvas }).await;
        playground.take(&place(canvas)).await;
    }
    playground.take(&Step::Close).await;
    playground.take(&Step::Reset { canvas: 2 }).await;
    assert!(rows(&playground.disk) > 100);
    for canvas in [0, 2, 3] {
        playground.take(&Step::Delete { canvas }).await;
        // As if it were killed before it could tidy up, or sync what it tidied.
        playground.disk = Disk::holding(playground.disk.content());
        playground.open();
    }
    for _ in 0..1_000 {
        if rows(&playground.disk) == 0 {
            return;
        }
        // The writer tidies up when it has nothing else to do; a close syncs that.
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        playground.take(&Step::Close).await;
    }
    panic!("{} rows are left", rows(&playground.disk));
}
