//! Bodies that are made once for each version and encoding of a resource, and kept while there is room.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::io::{self, Read as _, Write};
use std::mem::swap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use axum::body::Bytes;
use axum::http::HeaderValue;
use pixel_canvas::{CanvasId, ChunkId, Epoch, Sequence};
use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;

use crate::negotiation::Encoding;
use crate::telemetry::HttpMetrics;

/// Bytes of bodies that are kept, with what keeping them takes.
pub(crate) const BODIES_BYTES_MAX: usize = 64 << 20;
/// What keeping a body takes besides it, in bytes: its place twice, its cell, and the map's share.
const PLACE_BYTES: usize = 256;
/// Versions before the newest of which the body is kept as well: a crowd that loads while somebody paints
/// holds several when it comes to the shelf.
const LATE_VERSIONS_MAX: usize = 3;
/// The encodings on offer, best first.
pub(crate) const OFFERED: &[Encoding] = &[Encoding::Zstd, Encoding::Brotli, Encoding::Gzip];
/// All that a body can be kept in.
const ENCODINGS: [Encoding; 4] = [Encoding::Zstd, Encoding::Brotli, Encoding::Gzip, Encoding::Identity];

/// Quick settings: pixels compress well, and each version is compressed once.
const ZSTD_LEVEL: i32 = 3;
const BROTLI_QUALITY: u32 = 4;
const BROTLI_WINDOW_BITS: u32 = 20;

/// What of a canvas a body shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Part {
    Chunk(ChunkId),
    Whole,
}

impl Part {
    pub(crate) fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Chunk(_) => "application/octet-stream",
            Self::Whole => "application/json",
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Place {
    canvas: CanvasId,
    part: Part,
    encoding: Encoding,
}

/// Which history, and the change in it that made the part what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) epoch: Epoch,
    pub(crate) changed: Sequence,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.changed)
    }
}

/// When the store had just some version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Read {
    /// The last sequence at which it had.
    pub(crate) sequence: Sequence,
    /// When it said so.
    pub(crate) at: Instant,
}

/// A part of a canvas, as the store had it.
#[derive(Clone, Debug)]
pub(crate) struct Edition {
    pub(crate) canvas: CanvasId,
    pub(crate) part: Part,
    pub(crate) version: Version,
    pub(crate) read: Read,
}

struct Kept {
    version: Version,
    /// Waited for by all who ask while it is made.
    body: Arc<OnceCell<Bytes>>,
    /// Counted once it is made.
    bytes: usize,
    read: Read,
    /// Versions before, for a crowd that read just before a change and comes just after; who came last is last.
    late: VecDeque<Late>,
}

/// The body of a version that is not the newest any more.
struct Late {
    version: Version,
    body: Arc<OnceCell<Bytes>>,
    /// Counted once it is made.
    bytes: usize,
}

impl Kept {
    fn all_bytes(&self) -> usize {
        self.bytes + self.late.iter().map(|late| late.bytes).sum::<usize>()
    }

    /// Keeps one more version before; how many bytes leave for it.
    fn keep_late(&mut self, late: Late) -> usize {
        let left = if self.late.len() == LATE_VERSIONS_MAX { self.late.pop_front() } else { None };
        self.late.push_back(late);
        left.map_or(0, |left| left.bytes)
    }
}

/// What the store had when it was read last, as it is kept.
pub(crate) struct Remembered {
    pub(crate) edition: Edition,
    body: Bytes,
    encoding: Encoding,
}

impl Remembered {
    /// The body without its encoding.
    pub(crate) fn into_plain(self) -> Bytes {
        decompress(self.body, self.encoding)
    }
}

#[derive(Default)]
struct Shelf {
    kept: HashMap<Place, Kept>,
    /// Oldest first; each place of `kept` once.
    order: VecDeque<Place>,
    bytes: usize,
}

/// The shelf of bodies, by place; a newer version takes the older one's.
pub(crate) struct Bodies {
    // std Mutex: held for map operations, never across .await.
    shelf: Mutex<Shelf>,
    metrics: HttpMetrics,
}

impl Bodies {
    /// An empty shelf.
    pub(crate) fn new(metrics: HttpMetrics) -> Self {
        Self { shelf: Mutex::default(), metrics }
    }

    /// The body of an edition in one encoding; `plain` makes it where it is not kept.
    pub(crate) async fn get(
        &self,
        edition: &Edition,
        encoding: Encoding,
        plain: impl FnOnce() -> Bytes + Send + 'static,
    ) -> Bytes {
        let place = edition.place(encoding);
        let (body, hit) = self.reserve(&place, edition);
        self.metrics.chunk_looked_up(hit);
        let made = body.get_or_init(|| async {
            let task = spawn_blocking(move || compress(plain(), encoding));
            let made = task.await.expect("compressing into memory does not panic");
            self.count(&place, edition.version, made.len());
            made
        });
        made.await.clone()
    }

    /// The store has just this version, and nobody needs its body: what is kept of it is as fresh.
    pub(crate) fn confirm(&self, edition: &Edition) {
        let mut shelf = self.lock();
        for encoding in ENCODINGS {
            let kept = shelf.kept.get_mut(&edition.place(encoding));
            if let Some(kept) = kept.filter(|kept| kept.version == edition.version) {
                kept.read = kept.read.max(edition.read);
            }
        }
    }

    /// What the store had when it was read last, if that is kept: in whichever encoding is the newest.
    pub(crate) fn remembered(&self, canvas: &CanvasId, part: Part) -> Option<Remembered> {
        let shelf = self.lock();
        let kept = ENCODINGS.into_iter().filter_map(|encoding| {
            let Kept { version, read, body, .. } =
                shelf.kept.get(&Place { canvas: canvas.clone(), part, encoding })?;
            let edition = Edition { canvas: canvas.clone(), part, version: *version, read: *read };
            Some(Remembered { edition, body: body.get()?.clone(), encoding })
        });
        kept.max_by_key(|kept| kept.edition.read.at)
    }

    /// The cell for an edition's body, and whether it was there.
    fn reserve(&self, place: &Place, edition: &Edition) -> (Arc<OnceCell<Bytes>>, bool) {
        let (version, read) = (edition.version, edition.read);
        let shelf = &mut *self.lock();
        let body = Arc::new(OnceCell::new());
        let Some(kept) = shelf.kept.get_mut(place) else {
            let new = Kept { version, body: Arc::clone(&body), bytes: 0, read, late: VecDeque::new() };
            shelf.kept.insert(place.clone(), new);
            shelf.order.push_back(place.clone());
            return (body, false);
        };
        if kept.version == version {
            kept.read = kept.read.max(read);
            return (Arc::clone(&kept.body), true);
        }
        if let Some(late) = kept.late.iter().find(|late| late.version == version) {
            return (Arc::clone(&late.body), true);
        }
        let mut older = Late { version, body: Arc::clone(&body), bytes: 0 };
        if kept.version.epoch != version.epoch || kept.version.changed < version.changed {
            swap(&mut kept.version, &mut older.version);
            swap(&mut kept.body, &mut older.body);
            swap(&mut kept.bytes, &mut older.bytes);
            kept.read = read;
        }
        shelf.bytes -= kept.keep_late(older);
        (body, false)
    }

    fn count(&self, place: &Place, version: Version, bytes: usize) {
        let shelf = &mut *self.lock();
        let counted = shelf.kept.get_mut(place).and_then(|kept| match kept.version == version {
            true => Some(&mut kept.bytes),
            false => kept.late.iter_mut().find(|late| late.version == version).map(|late| &mut late.bytes),
        });
        if let Some(counted) = counted.filter(|counted| **counted == 0) {
            *counted = bytes + PLACE_BYTES;
            shelf.bytes += bytes + PLACE_BYTES;
        }
        while shelf.bytes > BODIES_BYTES_MAX {
            let Some(oldest) = shelf.order.pop_front() else { break };
            if let Some(dropped) = shelf.kept.remove(&oldest) {
                shelf.bytes -= dropped.all_bytes();
            }
        }
        self.metrics.chunk_cache_bytes.set(i64::try_from(shelf.bytes).unwrap_or(i64::MAX));
    }

    fn lock(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Edition {
    fn place(&self, encoding: Encoding) -> Place {
        Place { canvas: self.canvas.clone(), part: self.part, encoding }
    }
}

fn compress(plain: Bytes, encoding: Encoding) -> Bytes {
    let compressed: io::Result<Vec<u8>> = match encoding {
        Encoding::Identity => return plain,
        Encoding::Zstd => zstd::bulk::compress(&plain, ZSTD_LEVEL),
        Encoding::Brotli => {
            let mut out = Vec::new();
            let mut encoder =
                brotli::CompressorWriter::new(&mut out, 4_096, BROTLI_QUALITY, BROTLI_WINDOW_BITS);
            let written = encoder.write_all(&plain).and_then(|()| encoder.flush());
            drop(encoder);
            written.map(|()| out)
        }
        Encoding::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(4));
            encoder.write_all(&plain).and_then(|()| encoder.finish())
        }
    };
    // Encoders ask for room for the worst case: what is kept must not hold on to it.
    compressed.expect("compressing into memory does not fail").into_boxed_slice().into()
}

fn decompress(body: Bytes, encoding: Encoding) -> Bytes {
    let mut plain = Vec::new();
    let decompressed = match encoding {
        Encoding::Identity => return body,
        Encoding::Zstd => zstd::stream::copy_decode(&body[..], &mut plain),
        Encoding::Brotli => brotli::BrotliDecompress(&mut &body[..], &mut plain),
        Encoding::Gzip => flate2::read::GzDecoder::new(&body[..]).read_to_end(&mut plain).map(drop),
    };
    decompressed.expect("it was compressed here");
    plain.into()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;
    use crate::clock::Clock;
    use crate::telemetry::Metrics;

    const EPOCH: Epoch = Epoch(1);

    /// The chunk of this column, which the store had just as it was made.
    fn edition(cx: u8, sequence: u64, at: Instant) -> Edition {
        let sequence = Sequence(sequence);
        Edition {
            canvas: CanvasId::default_canvas(),
            part: Part::Chunk(ChunkId { cx, cy: 0 }),
            version: Version { epoch: EPOCH, changed: sequence },
            read: Read { sequence, at },
        }
    }

    async fn get(bodies: &Bodies, cx: u8, sequence: u64, plain: &'static [u8]) -> Bytes {
        let edition = edition(cx, sequence, Clock.now());
        bodies.get(&edition, Encoding::Identity, move || Bytes::from_static(plain)).await
    }

    #[tokio::test]
    async fn a_version_is_made_once_and_a_newer_one_takes_its_place() {
        let bodies = Bodies::new(Metrics::new("0", pixel_canvas::Timestamp(0)).http);
        assert_eq!(get(&bodies, 0, 1, b"one").await, "one");
        assert_eq!(get(&bodies, 0, 1, b"never made").await, "one");
        assert_eq!(get(&bodies, 0, 2, b"second").await, "second");
        assert_eq!(get(&bodies, 0, 1, b"never made").await, "one");
        assert_eq!(get(&bodies, 0, 2, b"never made").await, "second");
        assert_eq!(bodies.shelf.lock().expect("a shelf").bytes, "onesecond".len() + 2 * PLACE_BYTES);
    }

    #[tokio::test]
    async fn a_crowd_that_read_before_a_change_and_comes_after_it_has_its_version_made_once() {
        let bodies = Bodies::new(Metrics::new("0", pixel_canvas::Timestamp(0)).http);
        get(&bodies, 0, 2, b"newer").await;
        let older = edition(0, 1, Clock.now());
        let (let_through, gate) = mpsc::channel::<()>();
        let (made, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(gate)));
        let late = || {
            let (made, gate) = (Arc::clone(&made), Arc::clone(&gate));
            bodies.get(&older, Encoding::Identity, move || {
                gate.lock().expect("nobody panicked").recv().expect("it is let through");
                made.fetch_add(1, Ordering::SeqCst);
                Bytes::from_static(b"late")
            })
        };
        // Let through when all three have asked; as often as they could need it.
        let all_asked = async { (0..3).for_each(|_| let_through.send(()).expect("somebody waits")) };
        let (first, second, third, ()) = tokio::join!(late(), late(), late(), all_asked);
        assert_eq!([first, second, third], ["late"; 3]);
        assert_eq!(made.load(Ordering::SeqCst), 1);
        assert_eq!(get(&bodies, 0, 2, b"never made").await, "newer");
    }

    #[tokio::test]
    async fn crowds_of_several_versions_come_late_together() {
        let bodies = Bodies::new(Metrics::new("0", pixel_canvas::Timestamp(0)).http);
        for (sequence, plain) in [(9, "newest"), (3, "three"), (2, "two"), (1, "one")] {
            assert_eq!(get(&bodies, 0, sequence, plain.as_bytes()).await, plain);
        }
        for (sequence, plain) in [(1, "one"), (2, "two"), (3, "three"), (9, "newest")] {
            assert_eq!(get(&bodies, 0, sequence, b"never made").await, plain);
        }
        let all = "newestthreetwoone".len() + 4 * PLACE_BYTES;
        assert_eq!(bodies.shelf.lock().expect("a shelf").bytes, all);
        // One more is one too many: it takes the place of who came first.
        get(&bodies, 0, 10, b"newer yet").await;
        assert_eq!(get(&bodies, 0, 3, b"made again").await, "made again");
        let all = all + "newer yet".len() + "made again".len() - "three".len() - "two".len();
        assert_eq!(bodies.shelf.lock().expect("a shelf").bytes, all);
    }

    #[tokio::test]
    async fn the_oldest_leave_when_the_shelf_is_full() {
        let bodies = Bodies::new(Metrics::new("0", pixel_canvas::Timestamp(0)).http);
        let large: &'static [u8] = vec![0; BODIES_BYTES_MAX / 2 - PLACE_BYTES].leak();
        for cx in 0..3 {
            get(&bodies, cx, 1, large).await;
        }
        let shelf = bodies.shelf.lock().expect("a shelf");
        assert_eq!((shelf.kept.len(), shelf.order.len(), shelf.bytes), (2, 2, BODIES_BYTES_MAX));
    }

    /// What is kept of the first chunk: sequence, when it was read, and the bytes.
    fn remembered(bodies: &Bodies) -> Option<(u64, Instant, Bytes)> {
        let part = Part::Chunk(ChunkId { cx: 0, cy: 0 });
        let found = bodies.remembered(&CanvasId::default_canvas(), part)?;
        Some((found.edition.read.sequence.0, found.edition.read.at, found.into_plain()))
    }

    #[tokio::test]
    async fn what_is_confirmed_without_a_body_is_as_fresh_as_if_it_was_read() {
        let bodies = Bodies::new(Metrics::new("0", pixel_canvas::Timestamp(0)).http);
        get(&bodies, 0, 1, b"one").await;
        let later = Clock.now() + Duration::from_secs(60);
        let seen = |changed, sequence, at| {
            let read = Read { sequence: Sequence(sequence), at };
            bodies.confirm(&Edition { read, ..edition(0, changed, at) });
        };
        seen(1, 5, later);
        assert_eq!(remembered(&bodies), Some((5, later, Bytes::from_static(b"one"))));
        // Another version, or an earlier look: nothing about what is kept.
        seen(2, 9, later);
        seen(1, 3, Clock.now());
        assert_eq!(remembered(&bodies), Some((5, later, Bytes::from_static(b"one"))));
    }

    #[tokio::test]
    async fn the_newest_is_remembered_whatever_its_encoding() {
        let bodies = Bodies::new(Metrics::new("0", pixel_canvas::Timestamp(0)).http);
        assert_eq!(remembered(&bodies), None);
        let mut at = Clock.now();
        let encodings = [Encoding::Zstd, Encoding::Identity, Encoding::Brotli, Encoding::Gzip];
        for (encoding, sequence) in encodings.into_iter().zip(1..) {
            at += Duration::from_secs(1);
            let plain = Bytes::from(vec![sequence as u8; 8]);
            let made = plain.clone();
            bodies.get(&edition(0, sequence, at), encoding, move || made).await;
            assert_eq!(remembered(&bodies), Some((sequence, at, plain)));
        }
    }

    #[test]
    fn thousands_of_kept_bodies_take_the_memory_that_is_counted() {
        let plain = Bytes::from(vec![7; 256 * 256 * 3]);
        for &encoding in OFFERED {
            let small = compress(plain.clone(), encoding);
            let length = small.len();
            assert_eq!(Vec::from(small).capacity(), length, "{encoding:?}");
        }
    }

    #[test]
    fn every_encoding_can_be_undone() {
        let plain = Bytes::from(vec![7; 100_000]);
        for &encoding in OFFERED {
            let small = compress(plain.clone(), encoding);
            assert!(small.len() < 1_000, "{encoding:?}");
            let back = decompress(small, encoding);
            assert!(back == plain, "{encoding:?}");
        }
    }
}
