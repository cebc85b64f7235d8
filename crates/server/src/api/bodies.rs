//! Bodies that are made once for each version and encoding of a resource, and kept while there is room.

use std::collections::{HashMap, VecDeque};
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};
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
/// The encodings on offer, best first.
pub(crate) const OFFERED: &[Encoding] = &[Encoding::Zstd, Encoding::Brotli, Encoding::Gzip];

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

/// Which history, and how far along it.
pub(crate) type Version = (Epoch, Sequence);

struct Kept {
    version: Version,
    /// Waited for by all who ask while it is made.
    body: Arc<OnceCell<Bytes>>,
    /// Counted once it is made.
    bytes: usize,
    /// The last sequence at which the store had just this version, and when it said so.
    read: (Sequence, Instant),
}

/// What the store had when it was read last, as it is kept.
pub(crate) struct Remembered {
    pub(crate) version: Version,
    /// The last sequence at which the store had it, and when it said so.
    pub(crate) read: (Sequence, Instant),
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

    /// The body of one version in one encoding; `plain` makes it where it is not kept. `read` is
    /// the sequence at which the store had it, and when.
    pub(crate) async fn get(
        &self,
        canvas: &CanvasId,
        part: Part,
        version: Version,
        encoding: Encoding,
        read: (Sequence, Instant),
        plain: impl FnOnce() -> Bytes + Send + 'static,
    ) -> Bytes {
        let place = Place { canvas: canvas.clone(), part, encoding };
        let (body, hit) = self.reserve(&place, version, read);
        self.metrics.chunk_looked_up(hit);
        let made = body.get_or_init(|| async {
            let task = spawn_blocking(move || compress(plain(), encoding));
            let made = task.await.expect("compressing into memory does not panic");
            self.count(&place, version, made.len());
            made
        });
        made.await.clone()
    }

    /// The store has just this version, and nobody needs its body: what is kept of it is as fresh.
    pub(crate) fn confirm(&self, canvas: &CanvasId, part: Part, version: Version, read: (Sequence, Instant)) {
        let mut shelf = self.shelf.lock().unwrap_or_else(PoisonError::into_inner);
        for place in places(canvas, part) {
            if let Some(kept) = shelf.kept.get_mut(&place).filter(|kept| kept.version == version) {
                kept.read = kept.read.max(read);
            }
        }
    }

    /// What the store had when it was read last, if that is kept: in whichever encoding is the newest.
    pub(crate) fn remembered(&self, canvas: &CanvasId, part: Part) -> Option<Remembered> {
        let shelf = self.shelf.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = places(canvas, part).filter_map(|place| {
            let kept = shelf.kept.get(&place)?;
            let (version, read, encoding) = (kept.version, kept.read, place.encoding);
            Some(Remembered { version, read, body: kept.body.get()?.clone(), encoding })
        });
        kept.max_by_key(|kept| kept.read.1)
    }

    /// The cell for a version, and whether it was there.
    fn reserve(
        &self,
        place: &Place,
        version: Version,
        read: (Sequence, Instant),
    ) -> (Arc<OnceCell<Bytes>>, bool) {
        let mut shelf = self.shelf.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = shelf.kept.get_mut(place) {
            if kept.version == version {
                kept.read = kept.read.max(read);
                return (Arc::clone(&kept.body), true);
            }
            if kept.version.0 == version.0 && kept.version.1 > version.1 {
                // Somebody read just before a change and comes just after: not worth keeping.
                return (Arc::default(), false);
            }
        }
        let body = Arc::new(OnceCell::new());
        let new = Kept { version, body: Arc::clone(&body), bytes: 0, read };
        match shelf.kept.insert(place.clone(), new) {
            Some(older) => shelf.bytes -= older.bytes,
            None => shelf.order.push_back(place.clone()),
        }
        (body, false)
    }

    fn count(&self, place: &Place, version: Version, bytes: usize) {
        let mut shelf = self.shelf.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) =
            shelf.kept.get_mut(place).filter(|kept| kept.version == version && kept.bytes == 0)
        {
            kept.bytes = bytes + PLACE_BYTES;
            shelf.bytes += bytes + PLACE_BYTES;
        }
        while shelf.bytes > BODIES_BYTES_MAX {
            let Some(oldest) = shelf.order.pop_front() else { break };
            if let Some(dropped) = shelf.kept.remove(&oldest) {
                shelf.bytes -= dropped.bytes;
            }
        }
        self.metrics.chunk_cache_bytes.set(i64::try_from(shelf.bytes).unwrap_or(i64::MAX));
    }
}

/// Where a part is kept: in any encoding.
fn places(canvas: &CanvasId, part: Part) -> impl Iterator<Item = Place> {
    let encodings = OFFERED.iter().chain(&[Encoding::Identity]);
    encodings.map(move |&encoding| Place { canvas: canvas.clone(), part, encoding })
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
    use std::time::Duration;

    use super::*;
    use crate::clock::Clock;
    use crate::telemetry::Metrics;

    const EPOCH: Epoch = Epoch(1);

    async fn get(bodies: &Bodies, cx: u8, sequence: u64, plain: &'static [u8]) -> Bytes {
        let part = Part::Chunk(ChunkId { cx, cy: 0 });
        let version = (EPOCH, Sequence(sequence));
        let canvas = CanvasId::default_canvas();
        let read = (Sequence(sequence), Clock.now());
        bodies.get(&canvas, part, version, Encoding::Identity, read, move || Bytes::from_static(plain)).await
    }

    #[tokio::test]
    async fn a_version_is_made_once_and_a_newer_one_takes_its_place() {
        let bodies = Bodies::new(Metrics::new("0", pixel_canvas::Timestamp(0)).http);
        assert_eq!(get(&bodies, 0, 1, b"one").await, "one");
        assert_eq!(get(&bodies, 0, 1, b"never made").await, "one");
        assert_eq!(get(&bodies, 0, 2, b"second").await, "second");
        assert_eq!(get(&bodies, 0, 1, b"late").await, "late");
        assert_eq!(get(&bodies, 0, 2, b"never made").await, "second");
        assert_eq!(bodies.shelf.lock().expect("a shelf").bytes, "second".len() + PLACE_BYTES);
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
        Some((found.read.0.0, found.read.1, found.into_plain()))
    }

    #[tokio::test]
    async fn what_is_confirmed_without_a_body_is_as_fresh_as_if_it_was_read() {
        let bodies = Bodies::new(Metrics::new("0", pixel_canvas::Timestamp(0)).http);
        let (canvas, part) = (CanvasId::default_canvas(), Part::Chunk(ChunkId { cx: 0, cy: 0 }));
        get(&bodies, 0, 1, b"one").await;
        let later = Clock.now() + Duration::from_secs(60);
        bodies.confirm(&canvas, part, (EPOCH, Sequence(1)), (Sequence(5), later));
        assert_eq!(remembered(&bodies), Some((5, later, Bytes::from_static(b"one"))));
        // Another version, or an earlier look: nothing about what is kept.
        bodies.confirm(&canvas, part, (EPOCH, Sequence(2)), (Sequence(9), later));
        bodies.confirm(&canvas, part, (EPOCH, Sequence(1)), (Sequence(3), Clock.now()));
        assert_eq!(remembered(&bodies), Some((5, later, Bytes::from_static(b"one"))));
    }

    #[tokio::test]
    async fn the_newest_is_remembered_whatever_its_encoding() {
        let bodies = Bodies::new(Metrics::new("0", pixel_canvas::Timestamp(0)).http);
        assert_eq!(remembered(&bodies), None);
        let (canvas, part) = (CanvasId::default_canvas(), Part::Chunk(ChunkId { cx: 0, cy: 0 }));
        let mut at = Clock.now();
        let encodings = [Encoding::Zstd, Encoding::Identity, Encoding::Brotli, Encoding::Gzip];
        for (encoding, sequence) in encodings.into_iter().zip(1..) {
            at += Duration::from_secs(1);
            let (version, read) = ((EPOCH, Sequence(sequence)), (Sequence(sequence), at));
            let plain = Bytes::from(vec![sequence as u8; 8]);
            let made = plain.clone();
            bodies.get(&canvas, part, version, encoding, read, move || made).await;
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
