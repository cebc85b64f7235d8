//! Bodies that are made once for each version and encoding of a resource, and kept while there is room.

use std::collections::{HashMap, VecDeque};
use std::io::{self, Write};
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

/// A body as it was when the store was read last.
pub(crate) struct Remembered {
    pub(crate) version: Version,
    /// It was exact at this sequence.
    pub(crate) sequence: Sequence,
    /// When that was.
    pub(crate) at: Instant,
    pub(crate) body: Bytes,
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

    /// What the store had when it was read last, if that is kept in this encoding.
    pub(crate) fn remembered(&self, canvas: CanvasId, part: Part, encoding: Encoding) -> Option<Remembered> {
        let shelf = self.shelf.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = shelf.kept.get(&Place { canvas, part, encoding })?;
        let (sequence, at) = kept.read;
        Some(Remembered { version: kept.version, sequence, at, body: kept.body.get()?.clone() })
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

#[cfg(test)]
mod tests {
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
            let mut back = Vec::new();
            match encoding {
                Encoding::Zstd => back = zstd::bulk::decompress(&small, 100_000).expect("zstd"),
                Encoding::Brotli => brotli::BrotliDecompress(&mut &small[..], &mut back).expect("brotli"),
                _ => {
                    io::copy(&mut flate2::read::GzDecoder::new(&small[..]), &mut back).expect("gzip");
                }
            }
            assert!(back == plain, "{encoding:?}");
        }
    }
}
