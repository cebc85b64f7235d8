//! Backups of both stores, made while people paint, and put back into both.

use std::collections::BTreeMap;
use std::io::{Cursor, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use pixel_canvas::chunk::Blank;
use pixel_canvas::{
    Amendment, Author, Canvas, CanvasId, CanvasSpec, Change, Chunk, ChunkId, Color, Identity, Mark, Name,
    Placement, Point, Sequence, Timestamp,
};
use pixel_store::backup::{Backup, BackupError, Summary, take};
use pixel_store::embedded::{self, Embedded};
use pixel_store::redis::Redis;
use pixel_store::{Act, Created, Limits, Outcome, Position, Store, Submission, Tailed};
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::server::Server;
use crate::world::open;

/// How many people paint during a backup.
const PAINTERS: u16 = 3;
/// What they have painted at least before it begins.
const PAINTED_BEFORE: u64 = 3_000;
/// What they paint at least between two writes.
const PAINTED_BETWEEN: u64 = 16;

fn folder_store(folder: &TempDir) -> Embedded {
    let limits = Limits { identity: None, address: None, guests_per_address: 64 };
    let millis = AtomicU64::new(1_000_000);
    let clock = Arc::new(move || Timestamp(millis.fetch_add(1, Ordering::SeqCst)));
    Embedded::open(folder.path(), embedded::Options::new(limits, clock)).expect("the folder opens")
}

/// Several chunks, those at the edges smaller.
fn spec(id: &str, palette: bool) -> CanvasSpec {
    CanvasSpec {
        id: id.into(),
        name: Some(format!("The {id}")),
        width: 600,
        height: 530,
        palette: palette.then(|| (0..8).map(|n| format!("#0000{:02X}", n * 30)).collect()),
        ..CanvasSpec::default()
    }
}

fn id(name: &str) -> CanvasId {
    CanvasId::parse(name).expect("an id")
}

async fn make(store: &dyn Store) {
    for (name, palette) in [("colours", false), ("palette", true)] {
        let made = store.create(Canvas::parse(&spec(name, palette)).expect("a canvas")).await;
        assert!(matches!(made.expect("the store works"), Created::Made(_)));
    }
}

/// Somebody's stroke: close together and over others' at first, then anywhere.
fn stroke(painter: u16, round: u64) -> Submission {
    let random =
        |salt: u64| (round.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(salt * 977) >> 24) as u16;
    let placements = (0..8_u64).map(|n| {
        let (width, height) = if round.is_multiple_of(3) { (600, 530) } else { (40, 300) };
        let at = Point { x: random(n) % width, y: random(n + 90) % height };
        Placement { at, color: Color([0, 0, (random(n + 7) % 8) as u8 * 30]) }
    });
    Submission {
        author: Author { identity: Identity([painter as u8; 16]), address: None, since: None },
        // New names all the time, so that numbers are given while the backup is made.
        name: Name::parse(&format!("{painter} {}", round / 40)).expect("a name"),
        key: None,
        act: Act::Place(placements.collect()),
    }
}

/// Has people paint on both canvases until the flag is down; paints a good deal before it returns.
async fn start_painting(
    store: &Arc<dyn Store>,
    go: &Arc<AtomicBool>,
    painted: &Arc<AtomicU64>,
) -> JoinSet<()> {
    let mut painters = JoinSet::new();
    for painter in 1..=PAINTERS {
        let (store, go, painted) = (Arc::clone(store), Arc::clone(go), Arc::clone(painted));
        painters.spawn(async move {
            for round in 0.. {
                for name in ["colours", "palette"] {
                    let placed = store.place(&id(name), vec![stroke(painter, round)]).await;
                    assert!(matches!(placed.expect("the store works")[..], [Outcome::Accepted(_)]));
                    painted.fetch_add(8, Ordering::SeqCst);
                }
                if !go.load(Ordering::SeqCst) {
                    return;
                }
            }
        });
    }
    while painted.load(Ordering::SeqCst) < PAINTED_BEFORE {
        tokio::task::yield_now().await;
    }
    painters
}

/// A file that is written so slowly that people paint between any two parts.
struct SlowFile {
    file: Vec<u8>,
    painted: Arc<AtomicU64>,
}

impl Write for SlowFile {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let until = self.painted.load(Ordering::SeqCst) + PAINTED_BETWEEN;
        while self.painted.load(Ordering::SeqCst) < until {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        self.file.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Everything that can be seen of a canvas: its description, and of each chunk the pixels, and who
/// painted each when and as which placement.
#[derive(Debug, PartialEq)]
struct Seen {
    canvas: Canvas,
    sequence: Sequence,
    chunks: BTreeMap<ChunkId, (Sequence, Vec<u8>, Vec<u8>)>,
    authors: Vec<(Identity, Name)>,
}

async fn see(store: &dyn Store, id: &CanvasId) -> Seen {
    let canvas = Canvas::clone(&store.canvas(id).await.unwrap().expect("the canvas is there"));
    let mut overview = store.overview(id).await.unwrap().unwrap();
    overview.changed.sort_unstable();
    let mut chunks = BTreeMap::new();
    for (chunk_id, changed) in overview.changed {
        let (position, chunk) = store.copy(id, chunk_id).await.unwrap().unwrap();
        let chunk = chunk.expect("it was painted");
        assert_eq!((position, chunk.changed()), (overview.position, changed));
        let view = store.view(id, &[chunk_id]).await.unwrap().unwrap();
        assert_eq!(view.chunks[0].pixels, chunk.pixels(), "both ways of reading agree");
        chunks.insert(chunk_id, (changed, chunk.pixels().to_vec(), chunk.whole_marks()));
    }
    let authors = store.authors(id).await.unwrap().unwrap();
    Seen { canvas, sequence: overview.position.sequence, chunks, authors }
}

/// What the log of a canvas says that it looked like at a sequence.
async fn replay(store: &dyn Store, id: &CanvasId, until: Sequence) -> Seen {
    let canvas = Canvas::clone(&store.canvas(id).await.unwrap().unwrap());
    let epoch = store.position(id).await.unwrap().unwrap().epoch;
    let mut tail = store.tail(id, Position { epoch, sequence: Sequence::ZERO }).await.unwrap().unwrap();
    let mut chunks: BTreeMap<ChunkId, Chunk> = BTreeMap::new();
    let mut authors: Vec<(Identity, Name)> = Vec::new();
    let mut sequence = Sequence::ZERO;
    while sequence < until {
        let Tailed::Entry(entry) = tail.next().await.unwrap() else { panic!("the log is whole") };
        let Change::Painted(painted) = &entry.change else { panic!("nothing else happened") };
        for one in painted {
            let who = (one.author.identity, one.name.clone());
            let author = authors.iter().position(|known| *known == who).unwrap_or_else(|| {
                authors.push(who);
                authors.len() - 1
            });
            for placement in &one.placements {
                sequence = sequence.next();
                let chunk_id = placement.at.chunk();
                let size = canvas.size.chunk_size(chunk_id);
                let blank = Blank::new(size, &canvas.palette, canvas.background);
                let chunk = chunks.entry(chunk_id).or_insert_with(|| Chunk::new(&blank));
                let mark = Mark { sequence, at: entry.at, author: author as u32 + 1 };
                chunk.paint(placement.at.offset(), placement.color, &canvas.palette, mark);
            }
        }
    }
    assert_eq!(sequence, until, "a backup ends where an entry does");
    let bytes = |chunk: Chunk| (chunk.changed(), chunk.pixels().to_vec(), chunk.whole_marks());
    let chunks = chunks.into_iter().map(|(id, chunk)| (id, bytes(chunk))).collect();
    Seen { canvas, sequence, chunks, authors }
}

async fn back_up(store: &dyn Store) -> (Vec<u8>, Summary) {
    let mut file = Vec::new();
    let summary = take(store, Timestamp(77), &mut file).await.expect("the backup is made");
    (file, summary)
}

async fn restore(store: &dyn Store, file: &[u8], replace: bool) -> Vec<Created> {
    let mut backup = Backup::read(Cursor::new(file)).expect("it is whole");
    let mut created = Vec::new();
    for kept in backup.summary().canvases.clone() {
        created.push(backup.restore(store, &kept.canvas.id, replace).await.unwrap().expect("it is in it"));
    }
    created
}

/// Backs up a store while people paint on it, and puts that back into the other.
async fn round_trip(from: Arc<dyn Store>, to: Arc<dyn Store>) {
    make(&*from).await;
    let go = Arc::new(AtomicBool::new(true));
    let painted = Arc::default();
    let painters = start_painting(&from, &go, &painted).await;
    let before = from.position(&id("palette")).await.unwrap().unwrap().sequence;
    let mut file = SlowFile { file: Vec::new(), painted };
    let summary = take(&*from, Timestamp(77), &mut file).await.expect("the backup is made");
    let file = file.file;
    go.store(false, Ordering::SeqCst);
    painters.join_all().await;
    assert_eq!(Backup::read(Cursor::new(&file)).expect("it is whole").summary(), &summary);
    assert_eq!(summary.made_at, Timestamp(77));
    assert!(summary.canvases[1].sequence > before, "people painted while it was made");

    restore(&*to, &file, false).await;
    for kept in &summary.canvases {
        let id = &kept.canvas.id;
        let restored = see(&*to, id).await;
        let expected = replay(&*from, id, kept.sequence).await;
        assert_eq!(restored.sequence, kept.sequence);
        assert!(restored == expected, "{id} differs at {}", kept.sequence);
        let epochs = [&from, &to].map(|store| store.position(id));
        let [was, is] = futures_util::future::join_all(epochs).await.try_into().expect("two");
        assert_ne!(was.unwrap().unwrap().epoch, is.unwrap().unwrap().epoch, "who was there loads afresh");
        // And it goes on from there.
        let placed = to.place(id, vec![stroke(1, 4)]).await.unwrap();
        assert_eq!(placed[0].accepted().expect("accepted").first, kept.sequence.next());
        let who = to.pixel(id, Point { x: 0, y: 0 }).await.unwrap();
        assert!(who.is_some());
    }
    // What is in the way stays, unless it may go.
    let there = see(&*to, &id("colours")).await;
    assert!(matches!(restore(&*to, &file, false).await[..], [Created::Exists(_), Created::Exists(_)]));
    assert!(see(&*to, &id("colours")).await == there);
    assert!(matches!(restore(&*to, &file, true).await[..], [Created::Made(_), Created::Made(_)]));
    assert_eq!(see(&*to, &id("colours")).await.sequence, summary.canvases[0].sequence);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_is_put_back_into_a_folder_and_survives_a_start() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let to = Arc::new(folder_store(&other));
    round_trip(Arc::new(folder_store(&one)), Arc::clone(&to) as Arc<dyn Store>).await;
    let before = see(&*to, &id("colours")).await;
    drop(to);
    let again = folder_store(&other);
    assert!(see(&again, &id("colours")).await == before, "it is the same after a start");
    again.place(&id("colours"), vec![stroke(2, 9)]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_is_put_back_into_a_redis() {
    let (folder, server) = (tempfile::tempdir().unwrap(), Server::start(&[]));
    round_trip(Arc::new(folder_store(&folder)), Arc::new(open(&server).await)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_is_put_back_into_a_folder() {
    let (folder, server) = (tempfile::tempdir().unwrap(), Server::start(&[]));
    round_trip(Arc::new(open(&server).await), Arc::new(folder_store(&folder))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_is_put_back_into_a_redis_and_nothing_of_it_expires() {
    let (one, other) = (Server::start(&[]), Server::start(&[]));
    round_trip(Arc::new(open(&one).await), Arc::new(open(&other).await)).await;
    let mut connection = other.connection();
    let keys: Vec<String> = redis::cmd("KEYS").arg("pp:*").query(&mut connection).unwrap();
    let expires = |key: &&String| {
        let left: i64 = redis::cmd("TTL").arg(key.as_str()).query(&mut other.connection()).unwrap();
        left >= 0
    };
    let lasting = [":c:", ":m:", ":changed", ":authors", ":names"];
    let lasts = |key: &&String| lasting.iter().any(|kind| key.contains(kind));
    assert!(keys.iter().any(|key| key.contains(":c:")));
    assert_eq!(keys.iter().filter(lasts).filter(expires).count(), 0);
    let lives: std::collections::BTreeSet<&str> =
        keys.iter().filter(lasts).filter_map(|key| key.split(':').nth(2)).collect();
    assert_eq!(lives.len(), 2, "nothing is left of what was replaced");
}

/// A small backup with every kind of part, made by hand.
async fn small() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let store = folder_store(&folder);
    make(&store).await;
    for round in 0..3 {
        store.place(&id("colours"), vec![stroke(1, round)]).await.unwrap();
        store.place(&id("palette"), vec![stroke(2, round)]).await.unwrap();
    }
    back_up(&store).await.0
}

#[tokio::test]
async fn a_backup_that_was_changed_anywhere_or_cut_anywhere_is_refused() {
    let file = small().await;
    assert!(Backup::read(Cursor::new(&file)).is_ok());
    for at in 0..file.len() {
        for bit in [1, 0x80] {
            let mut changed = file.clone();
            changed[at] ^= bit;
            assert!(Backup::read(Cursor::new(&changed)).is_err(), "byte {at}, bit {bit}");
        }
        let cut = Backup::read(Cursor::new(&file[..at])).expect_err("it has no end");
        let at = at as u64;
        match cut {
            BackupError::CutShort { at: told } => assert_eq!(told, at),
            BackupError::NotOne => assert_eq!(at, 0),
            other => panic!("cut at {at}: {other}"),
        }
    }
    let mut longer = file.clone();
    longer.push(0);
    let refused = Backup::read(Cursor::new(&longer)).expect_err("something follows");
    assert_eq!(
        refused.to_string(),
        format!("it is damaged: something follows its end at byte {}", file.len())
    );
    let refused = Backup::read(Cursor::new(b"GIF89a and so on, which is a picture")).expect_err("a picture");
    assert!(matches!(refused, BackupError::NotOne));
    let mut newer = file.clone();
    newer[24] = 2;
    assert!(matches!(Backup::read(Cursor::new(&newer)), Err(BackupError::Newer { found: 2 })));
}

#[tokio::test]
async fn whole_parts_that_are_missing_doubled_or_swapped_are_noticed() {
    let file = small().await;
    let mut parts = Vec::new();
    let mut at = 36;
    while at < file.len() {
        let length = u32::from_le_bytes(file[at + 1..at + 5].try_into().unwrap()) as usize;
        parts.push(&file[at..at + 9 + length]);
        at += 9 + length;
    }
    let read = |parts: &[&[u8]]| Backup::read(Cursor::new([&file[..36], &parts.concat()].concat()));
    assert!(read(&parts).is_ok());
    for index in 0..parts.len() - 1 {
        let mut fewer = parts.clone();
        fewer.remove(index);
        assert!(read(&fewer).is_err(), "without part {index}");
        let mut more = parts.clone();
        more.insert(index, parts[index]);
        assert!(read(&more).is_err(), "part {index} twice");
        let mut swapped = parts.clone();
        swapped.swap(index, index + 1);
        assert!(read(&swapped).is_err(), "part {index} behind the next");
    }
}

#[tokio::test]
async fn a_canvas_that_was_reset_amended_or_deleted_is_kept_as_it_is_then() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder_store(&folder);
    make(&store).await;
    for name in ["colours", "palette"] {
        store.place(&id(name), vec![stroke(1, 0)]).await.unwrap();
        store.reset(&id(name)).await.unwrap();
    }
    let amendment = Amendment { cooldown_ms: Some(700), frozen: Some(true), ..Amendment::default() };
    store.amend(&id("palette"), amendment).await.unwrap().unwrap().unwrap();
    let (file, summary) = back_up(&store).await;
    let other = tempfile::tempdir().unwrap();
    let restored = folder_store(&other);
    restore(&restored, &file, false).await;
    let seen = see(&restored, &id("palette")).await;
    assert!(seen.canvas.frozen && seen.canvas.cooldown_ms == 700 && seen.chunks.is_empty());
    assert_eq!(seen.sequence, summary.canvases[1].sequence);
    assert!(store.delete(&id("colours")).await.unwrap());
    assert_eq!(back_up(&store).await.1.canvases.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn viewers_of_a_replaced_canvas_load_afresh_and_nothing_counts_as_lost() {
    let server = Server::start(&[]);
    let store: Arc<Redis> = Arc::new(open(&server).await);
    make(&*store).await;
    store.place(&id("colours"), vec![stroke(1, 0)]).await.unwrap();
    let (file, _) = back_up(&*store).await;
    store.place(&id("colours"), vec![stroke(1, 1)]).await.unwrap();
    store.place(&id("palette"), vec![stroke(1, 1)]).await.unwrap();
    store
        .amend(&id("palette"), Amendment { name: Some("Other".into()), ..Amendment::default() })
        .await
        .unwrap();
    let mut tails = Vec::new();
    for name in ["colours", "palette"] {
        let now = store.position(&id(name)).await.unwrap().unwrap();
        tails.push(store.tail(&id(name), now).await.unwrap().unwrap());
    }
    // By another process, as in earnest.
    restore(&open(&server).await, &file, true).await;
    assert_eq!(tails[0].next().await.unwrap(), Tailed::Lost, "it is as it was described");
    assert_eq!(tails[1].next().await.unwrap(), Tailed::Deleted, "it is another");
    let placed = store.place(&id("colours"), vec![stroke(1, 2)]).await.unwrap();
    assert_eq!(placed[0].accepted().expect("accepted").first, Sequence(9), "it goes on from the backup");
    // Two looks of the store at what it acknowledged.
    let epoch = store.position(&id("colours")).await.unwrap().unwrap().epoch;
    tokio::time::sleep(std::time::Duration::from_millis(2_200)).await;
    assert_eq!(store.position(&id("colours")).await.unwrap().unwrap().epoch, epoch);
    assert_eq!(store.figures().lost_placements, 0);
}
