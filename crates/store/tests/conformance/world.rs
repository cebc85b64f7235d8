//! What the cases need: a store with a clock in hand, people, and short ways to say things.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use pixel_canvas::{
    Address, Author, Canvas, CanvasId, CanvasSpec, Change, Color, Entry, Identity, Key, Name, Placement,
    Point, Rate, Refusal, Sequence, Timestamp, Turn,
};
use pixel_store::{
    Accepted, Act, Created, Limits, Outcome, Position, Snapshot, Store, Submission, SubmissionKey, Tail,
    Tailed, View,
};
use tokio::time::timeout;

/// Long enough that only a defect takes it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Makes stores of one adapter.
#[async_trait]
pub(crate) trait Stores: Sync {
    /// An empty store.
    async fn open(&self, setup: Setup) -> World;
}

/// What a case asks of its store.
pub(crate) struct Setup {
    pub(crate) limits: Limits,
    /// How far back the log reaches.
    pub(crate) log_bytes: u64,
}

impl Default for Setup {
    fn default() -> Self {
        Self { limits: NO_LIMITS, log_bytes: 1 << 30 }
    }
}

/// No limits but a canvas' own cooldown.
pub(crate) const NO_LIMITS: Limits = Limits { identity: None, address: None, guests_per_address: 64 };

/// One store, and the clock that it goes by.
pub(crate) struct World {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Clock,
    /// What must outlive the store.
    #[expect(dead_code, reason = "held, not read")]
    pub(crate) keep: Box<dyn Any + Send + Sync>,
}

/// A clock that stands still until it is moved.
#[derive(Clone)]
pub(crate) struct Clock(Arc<AtomicU64>);

impl Default for Clock {
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(1_000_000)))
    }
}

impl Clock {
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }

    pub(crate) fn advance(&self, millis: u64) -> Timestamp {
        Timestamp(self.0.fetch_add(millis, Ordering::SeqCst) + millis)
    }

    pub(crate) fn set(&self, to: Timestamp) {
        self.0.store(to.0, Ordering::SeqCst);
    }
}

pub(crate) fn main_canvas() -> CanvasId {
    CanvasId::default_canvas()
}

/// A canvas of this size, without a palette or cooldown.
pub(crate) fn spec(id: &str, width: i64, height: i64) -> CanvasSpec {
    CanvasSpec { id: id.into(), width, height, ..CanvasSpec::default() }
}

pub(crate) fn person(number: u64) -> Author {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&number.to_le_bytes());
    Author { identity: Identity(id), address: None, since: None }
}

/// A guest of an address, made at `since`.
pub(crate) fn guest(number: u64, address: u8, since: Timestamp) -> Author {
    Author { address: Some(Address([address; 16])), since: Some(since), ..person(number) }
}

pub(crate) fn key(number: u64) -> Key {
    Key(person(number).identity.0)
}

pub(crate) fn client(number: u64) -> Option<SubmissionKey> {
    Some(SubmissionKey::Client(key(number)))
}

pub(crate) fn gateway(number: u64) -> Option<SubmissionKey> {
    Some(SubmissionKey::Gateway(key(number)))
}

pub(crate) fn at(x: u16, y: u16, rgb: u32) -> Placement {
    let [_, r, g, b] = rgb.to_be_bytes();
    Placement { at: Point { x, y }, color: Color([r, g, b]) }
}

/// As many placements as asked for, on the default canvas.
pub(crate) fn some(count: usize) -> Vec<Placement> {
    (0..count).map(|n| at((n % 50) as u16, (n / 50 % 50) as u16, n as u32)).collect()
}

pub(crate) fn named(name: &str) -> Name {
    Name::parse(name).expect("a name")
}

pub(crate) fn submission(
    author: Author,
    key: Option<SubmissionKey>,
    placements: Vec<Placement>,
) -> Submission {
    Submission { author, name: named("Ada"), key, act: Act::Place(placements) }
}

/// Somebody takes back or repeats so many steps.
pub(crate) fn retracing(author: Author, key: Option<SubmissionKey>, turn: Turn, count: u16) -> Submission {
    Submission { act: Act::Retrace { turn, count }, ..submission(author, key, Vec::new()) }
}

impl World {
    /// A world with the default canvas and no limits.
    pub(crate) async fn plain(stores: &dyn Stores) -> Self {
        Self::with(stores, Setup::default()).await
    }

    /// A world with the default canvas.
    pub(crate) async fn with(stores: &dyn Stores, setup: Setup) -> Self {
        let world = stores.open(setup).await;
        world.store.create(Canvas::default_canvas()).await.expect("the default canvas is made");
        world
    }

    /// A world with these limits.
    pub(crate) async fn limited(stores: &dyn Stores, limits: Limits) -> Self {
        Self::with(stores, Setup { limits, ..Setup::default() }).await
    }

    /// Makes a canvas.
    pub(crate) async fn canvas(&self, spec: &CanvasSpec) -> CanvasId {
        let canvas = Canvas::parse(spec).expect("the case describes a canvas");
        match self.store.create(canvas).await.expect("the store works") {
            Created::Made(canvas) => canvas.id.clone(),
            Created::Exists(_) => panic!("{} is there already", spec.id),
        }
    }

    /// Makes a canvas of 50×50 with a cooldown.
    pub(crate) async fn cooling(&self, id: &str, cooldown_ms: i64, charges_max: i64) -> CanvasId {
        let rule =
            CanvasSpec { cooldown_ms: Some(cooldown_ms), charges_max: Some(charges_max), ..spec(id, 50, 50) };
        self.canvas(&rule).await
    }

    /// Places one submission.
    pub(crate) async fn place(&self, id: &CanvasId, submission: Submission) -> Outcome {
        self.place_all(id, vec![submission]).await.remove(0)
    }

    /// Places a call.
    pub(crate) async fn place_all(&self, id: &CanvasId, call: Vec<Submission>) -> Vec<Outcome> {
        let count = call.len();
        let outcomes = self.store.place(id, call).await.expect("the store works");
        assert_eq!(outcomes.len(), count);
        outcomes
    }

    /// Somebody without limits paints pixels.
    pub(crate) async fn paint(&self, id: &CanvasId, placements: Vec<Placement>) -> Accepted {
        accepted(self.place(id, submission(person(999), None, placements)).await)
    }

    pub(crate) async fn position(&self, id: &CanvasId) -> Position {
        self.store.position(id).await.expect("the store works").expect("the canvas is there")
    }

    /// The whole canvas.
    pub(crate) async fn view(&self, id: &CanvasId) -> View {
        let canvas = self.store.canvas(id).await.expect("the store works").expect("the canvas is there");
        let chunks: Vec<_> = canvas.size.chunks().collect();
        self.store.view(id, &chunks).await.expect("the store works").expect("the canvas is there")
    }

    pub(crate) async fn tail(&self, id: &CanvasId, after: Position) -> Box<dyn Tail> {
        self.store.tail(id, after).await.expect("the store works").expect("the canvas is there")
    }

    /// The entries from a position up to the end.
    pub(crate) async fn entries(&self, id: &CanvasId, after: Position) -> Vec<Arc<Entry>> {
        let end = self.position(id).await.sequence;
        let mut tail = self.tail(id, after).await;
        let mut entries: Vec<Arc<Entry>> = Vec::new();
        while entries.last().map_or(after.sequence, |entry| entry.last) < end {
            let next = timeout(PATIENCE, tail.next()).await.expect("the tail has what follows");
            entries.push(entry(next.expect("the store works")));
        }
        entries
    }
}

#[track_caller]
pub(crate) fn accepted(outcome: Outcome) -> Accepted {
    match outcome {
        Outcome::Accepted(accepted) => accepted,
        Outcome::Refused(refusal) => panic!("refused: {refusal}"),
    }
}

#[track_caller]
pub(crate) fn refused(outcome: Outcome) -> Refusal {
    match outcome {
        Outcome::Accepted(accepted) => panic!("accepted: {accepted:?}"),
        Outcome::Refused(refusal) => refusal,
    }
}

#[track_caller]
pub(crate) fn entry(tailed: Tailed) -> Arc<Entry> {
    match tailed {
        Tailed::Entry(entry) => entry,
        other => panic!("not an entry: {other:?}"),
    }
}

/// One placement every `interval_ms`, `burst` at once.
pub(crate) fn rate(interval_ms: u64, burst: u64) -> Option<Rate> {
    Some(Rate { interval_us: interval_ms * 1_000, burst })
}

/// Applies what an entry says to chunks that lie before it.
pub(crate) fn apply(canvas: &Canvas, chunks: &mut [Snapshot], entry: &Entry) {
    if let Change::Reset { placements } = &entry.change {
        assert_eq!(placements.len() as u64, entry.last.since(entry.after()), "the test's resets are listed");
    }
    let width = canvas.palette.bytes_per_pixel();
    for (sequence, placement, _) in entry.placements() {
        let chunk = chunks.iter_mut().find(|chunk| chunk.id == placement.at.chunk()).expect("all are viewed");
        let (x, y) = placement.at.within();
        let index = usize::from(y) * canvas.size.chunk_size(chunk.id).width() as usize + usize::from(x);
        let pixels = Arc::make_mut(&mut chunk.pixels);
        canvas.palette.store(placement.color, &mut pixels[index * width..(index + 1) * width]);
        chunk.changed = sequence;
    }
}

/// Checks that entries follow each other without a gap, from `after`.
#[track_caller]
pub(crate) fn check_dense(entries: &[Arc<Entry>], after: Sequence) {
    let mut last = after;
    for entry in entries {
        assert_eq!(entry.after(), last, "an entry follows the one before");
        last = entry.last;
    }
}
