//! A canvas' slot moves between the masters of a cluster while people paint: whatever is asked
//! meanwhile is done whole or refused whole.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use ::redis::{Connection, cmd};
use pixel_canvas::{
    Amendment, Author, Canvas, CanvasSpec, ChunkId, Identity, Placement, Point, Sequence, Turn,
};
use pixel_store::redis::{Durability, Redis};
use pixel_store::{Accepted, Act, Outcome, Position, Store, StoreError, Submission, Tailed};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::fleet::Cluster;
use crate::painters::{Answers, Painters};
use crate::world::{PATIENCE, color_of, long, main_canvas, numbered, options, paint_at_last, position};

/// How often the slot is taken to another master; the long form has more.
const MOVES: usize = 1;
const MOVES_LONG: usize = 8;
/// How many are acknowledged before and between moves.
const ROUND: u64 = 200;
/// How many scribble at once, and how long who is refused waits.
const SCRIBBLERS: usize = 4;
const RETRY: Duration = Duration::from_millis(5);
/// How many keys a master is asked for at once: more than there are.
const KEYS_MAX: usize = 1_000_000;
/// How long a key may take from one master to the next, in milliseconds.
const MIGRATE_PATIENCE_MS: u64 = 5_000;

/// One slot, and the masters that it moves between.
struct Slot<'a> {
    cluster: &'a Cluster,
    number: u16,
    ids: Vec<String>,
}

impl<'a> Slot<'a> {
    fn of(cluster: &'a Cluster, key: &str) -> Self {
        let number = cmd("CLUSTER").arg("KEYSLOT").arg(key).query(&mut cluster.servers[0].connection());
        let ids = cluster.servers[..3]
            .iter()
            .map(|server| cmd("CLUSTER").arg("MYID").query(&mut server.connection()).expect("it has an id"));
        Self { cluster, number: number.expect("a slot"), ids: ids.collect() }
    }

    fn connection(&self, master: usize) -> Connection {
        self.cluster.servers[master].connection()
    }

    fn set(&self, at: usize, state: &[&str]) {
        cmd("CLUSTER")
            .arg("SETSLOT")
            .arg(self.number)
            .arg(state)
            .exec(&mut self.connection(at))
            .expect("the slot's state is set");
    }

    /// From here on the keys are on their way.
    fn begin(&self, from: usize, to: usize) {
        self.set(to, &["IMPORTING", &self.ids[from]]);
        self.set(from, &["MIGRATING", &self.ids[to]]);
    }

    fn keys(&self, at: usize) -> Vec<String> {
        let mut ask = cmd("CLUSTER");
        ask.arg("GETKEYSINSLOT").arg(self.number).arg(KEYS_MAX);
        // Keys have bytes of people in them.
        let keys: Vec<Vec<u8>> = ask.query(&mut self.connection(at)).expect("the keys are told");
        keys.into_iter().map(|key| key.iter().map(|byte| char::from(*byte)).collect()).collect()
    }

    /// Takes these keys over. One that expired meanwhile is gone.
    fn carry(&self, from: usize, to: usize, keys: &[String]) {
        let port = self.cluster.servers[to].port();
        for key in keys {
            let bytes: Vec<u8> = key.chars().map(|byte| byte as u8).collect();
            cmd("MIGRATE")
                .arg("127.0.0.1")
                .arg(port)
                .arg(bytes)
                .arg(0)
                .arg(MIGRATE_PATIENCE_MS)
                .exec(&mut self.connection(from))
                .expect("the key is taken over");
        }
    }

    /// `to` holds the slot, and every master knows.
    fn end(&self, to: usize) {
        let others = (0..3).filter(|master| *master != to);
        for master in std::iter::once(to).chain(others) {
            self.set(master, &["NODE", &self.ids[to]]);
        }
    }
}

/// People without keys who scribble on the canvas' other chunk, take back and repeat; everybody is new
/// after a few acts.
struct Scribblers {
    stop: Arc<AtomicBool>,
    people: JoinSet<Vec<Accepted>>,
}

impl Scribblers {
    fn start(store: &Arc<Redis>, next: &Arc<AtomicU64>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut people = JoinSet::new();
        for _ in 0..SCRIBBLERS {
            let (store, next, stop) = (Arc::clone(store), Arc::clone(next), Arc::clone(&stop));
            people.spawn(async move {
                let mut told = Vec::new();
                while !stop.load(Ordering::SeqCst) {
                    let call = vec![scribble(next.fetch_add(1, Ordering::SeqCst))];
                    match store.place(&main_canvas(), call).await {
                        Ok(outcomes) => told.extend(outcomes.iter().filter_map(Outcome::accepted).copied()),
                        Err(StoreError::Unavailable(_)) => sleep(RETRY).await,
                        Err(error) => panic!("{error}"),
                    }
                }
                told
            });
        }
        Self { stop, people }
    }

    async fn stop(self) -> Vec<Accepted> {
        self.stop.store(true, Ordering::SeqCst);
        self.people.join_all().await.into_iter().flatten().collect()
    }
}

/// The act of this number: three strokes, then back, back, and forth.
fn scribble(number: u64) -> Submission {
    let act = match number % 6 {
        3 | 4 => Act::Retrace { turn: Turn::Undo, count: 2 },
        5 => Act::Retrace { turn: Turn::Redo, count: 3 },
        _ => {
            let at = |n: u64| Point { x: 256 + ((number + n) % 16) as u16, y: (number / 7 % 16) as u16 };
            let stroke = |n| Placement { at: at(n), color: color_of(number + n) };
            Act::Place((0..3).map(stroke).collect())
        }
    };
    let mut identity = [0xFF; 16];
    identity[..8].copy_from_slice(&(number / 6).to_le_bytes());
    let author = Author { identity: Identity(identity), address: None, since: None };
    Submission { author, key: None, act, ..numbered(number) }
}

/// The canvas at some position, to be compared with what the log says happened since.
struct Picture {
    sequence: Sequence,
    chunks: [Vec<u8>; 2],
}

async fn picture(store: &Redis) -> (Picture, Position) {
    let both = [0, 1].map(|cx| ChunkId { cx, cy: 0 });
    let view = store.view(&main_canvas(), &both).await.unwrap().unwrap();
    let chunks = [0, 1].map(|chunk: usize| view.chunks[chunk].pixels.to_vec());
    (Picture { sequence: view.position.sequence, chunks }, view.position)
}

/// Pixels, marks, sequence and log tell the same of what happened since `before`, and so does whoever
/// was acknowledged meanwhile.
async fn all_agree(store: &Redis, before: Picture, told: &[Accepted]) -> Picture {
    let (now, end) = picture(store).await;
    let start = Position { sequence: before.sequence, ..end };
    let mut tail = store.tail(&main_canvas(), start).await.unwrap().unwrap();
    let (mut chunks, mut marks, mut last) = (before.chunks, HashMap::new(), before.sequence);
    while last < end.sequence {
        let Tailed::Entry(entry) = timeout(PATIENCE, tail.next()).await.unwrap().unwrap() else { continue };
        assert_eq!((entry.first, entry.epoch), (last.next(), end.epoch), "the log is dense");
        for (sequence, Placement { at, color }, _) in entry.placements() {
            let index = (usize::from(at.y) * 256 + usize::from(at.x % 256)) * 3;
            chunks[usize::from(at.x / 256)][index..index + 3].copy_from_slice(&color.0);
            marks.insert(*at, sequence);
        }
        last = entry.last;
    }
    assert_eq!(last, end.sequence);
    assert!(chunks == now.chunks, "the pixels are what the log made of them");
    for (at, sequence) in marks {
        let painted = store.pixel(&main_canvas(), at).await.unwrap().unwrap().painted;
        assert_eq!(painted.map(|painted| painted.sequence), Some(sequence), "{at:?}");
    }
    for one in told {
        assert!(before.sequence < one.first && one.last() <= end.sequence, "{one:?} is not in the log");
    }
    now
}

/// Whatever writes is refused, and nobody is told that it may have happened.
async fn everything_is_refused(store: &Redis, next: &AtomicU64) {
    let number = next.fetch_add(6, Ordering::SeqCst) / 6 * 6;
    let keyed = numbered(60_000 + number % 5_000);
    for submission in [keyed, scribble(number), scribble(number + 3), scribble(number + 5)] {
        let answer = store.place(&main_canvas(), vec![submission]).await;
        assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
    }
    let frozen = Amendment { frozen: Some(true), ..Amendment::default() };
    assert!(matches!(store.amend(&main_canvas(), frozen).await, Err(StoreError::Unavailable(_))));
    assert!(matches!(store.reset(&main_canvas()).await, Err(StoreError::Unavailable(_))));
    assert!(matches!(store.delete(&main_canvas()).await, Err(StoreError::Unavailable(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_slot_on_the_move_refuses_whole_and_loses_nothing() {
    let cluster = Cluster::start(&[]);
    let store = Arc::new(Redis::open(cluster.address(), options(Durability::AsConfigured)).await.unwrap());
    let spec = CanvasSpec { id: main_canvas().to_string(), width: 512, height: 256, ..CanvasSpec::default() };
    store.create(Canvas::parse(&spec).unwrap()).await.unwrap();
    let key = format!("pp:{{{}}}", main_canvas());
    let slot = Slot::of(&cluster, &key);
    let [keyed, keyless] = [(); 2].map(|()| Arc::new(AtomicU64::new(0)));
    let mut before = picture(&store).await.0;
    let (mut answers, mut scribbled, mut from) = (Answers::default(), 0, cluster.master_of(&key));
    let moves = if long() { MOVES_LONG } else { MOVES };
    // Each is begun and given up before a key has left; then all go.
    for (number, stays) in (0..moves).flat_map(|number| [(number, false), (number, true)]) {
        let to = (from + 1) % 3;
        let painters = Painters::start(&store, &main_canvas(), &keyed);
        let scribblers = Scribblers::start(&store, &keyless);
        painters.paint(ROUND).await;
        slot.begin(from, to);
        everything_is_refused(&store, &keyless).await;
        if stays {
            // The canvas itself goes last, or first.
            let mut keys = slot.keys(from);
            keys.sort_unstable_by_key(|one| (*one == key) == (number % 2 == 0));
            let (half, rest) = keys.split_at(keys.len() / 2);
            slot.carry(from, to, half);
            everything_is_refused(&store, &keyless).await;
            slot.carry(from, to, rest);
            everything_is_refused(&store, &keyless).await;
        } else {
            slot.set(from, &["STABLE"]);
            slot.set(to, &["STABLE"]);
            painters.paint(ROUND).await;
        }
        let mut told: Vec<Accepted> = scribblers.stop().await;
        scribbled += told.len();
        let painted = painters.stop().await;
        told.extend(painted.acknowledged.iter().map(|(_, accepted)| *accepted));
        answers.extend(painted);
        if stays {
            slot.end(to);
            from = to;
            // The store follows by itself.
            position(&store).await;
        }
        before = all_agree(&store, before, &told).await;
        assert_eq!(answers.lost(&store, &main_canvas()).await, 0);
    }
    let number = keyed.fetch_add(1, Ordering::SeqCst);
    let first_there = paint_at_last(&store, number).await;
    assert_eq!(first_there.first, before.sequence.next());
    assert_eq!(store.figures().lost_placements, 0);
    println!(
        "{moves} moves of a slot and as many given up: {} placements with keys and {scribbled} \
         submissions without acknowledged, lost 0",
        answers.acknowledged.len()
    );
}
