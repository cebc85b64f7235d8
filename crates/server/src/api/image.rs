//! A canvas, or a part of it, as a PNG: drawn row by row while it is sent.

use std::io::{self, Write};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::body::Frame;
use pixel_canvas::geometry::CHUNK_SIDE_PIXELS;
use pixel_canvas::{Canvas, ChunkId, Sequence};
use pixel_store::View;
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::debug;
use utoipa::IntoParams;

use super::Api;
use super::answer::set_position;
use super::caching::Caching;
use super::chunks::{parse_since, read_since};
use crate::clock::Clock;
use crate::negotiation::{Encoding, is_known};
use crate::refusal::{Failure, Refused};

/// The most pixels of an image: 4,096×4,096.
pub(crate) const IMAGE_PIXELS_MAX: u64 = 1 << 24;
/// How much a pixel may be enlarged.
pub(crate) const SCALE_MAX: u32 = 64;
/// Images that are drawn at a time.
pub(crate) const EXPORTS_MAX: usize = 4;
/// How many of them one address may have: who reads slowly must not take all.
pub(crate) const ADDRESS_EXPORTS_MAX: u32 = 2;
/// How long one image may take, until its last piece is handed over: who reads slowly, however steadily, must
/// not keep others from theirs.
pub(crate) const IMAGE_TIME_MAX: Duration = Duration::from_secs(60);
/// A reader that takes nothing for so long loses its image.
const STALL_TIMEOUT: Duration = Duration::from_secs(10);
/// An edge may answer everybody for five seconds, and for 25 more while it asks for the next.
const CACHING: Caching =
    Caching::at_the_edge("public, max-age=0, s-maxage=5", "max-age=5, stale-while-revalidate=25");
/// Bytes that are sent together.
const PIECE_BYTES: usize = 64 * 1_024;
/// Pieces that wait for the reader.
const PIECES_WAITING_MAX: usize = 4;

/// The part of a canvas to draw, unchecked: a wrong value is said in a sentence.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(crate) struct Region {
    /// Left column; 0 when left out.
    #[param(value_type = Option<u16>)]
    x: Option<String>,
    /// Upper row; 0 when left out.
    #[param(value_type = Option<u16>)]
    y: Option<String>,
    /// Columns; all to the right edge when left out.
    #[param(value_type = Option<u32>)]
    w: Option<String>,
    /// Rows; all to the lower edge when left out.
    #[param(value_type = Option<u32>)]
    h: Option<String>,
    /// Each pixel as a square of so many, 1 to 64; 1 when left out.
    #[param(value_type = Option<u32>)]
    scale: Option<String>,
    /// The image is never older than this sequence, whichever cache it comes from.
    #[param(value_type = Option<u64>, maximum = 9_007_199_254_740_991_i64)]
    since: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Crop {
    x: u32,
    y: u32,
    w: u32,
    h: u32,
    scale: u32,
}

/// A canvas, or a part of it, as a PNG.
#[utoipa::path(
    get, path = "/api/canvases/{id}.png", tag = "canvases",
    params(("id" = String, Path, description = "The canvas"), Region),
    responses(
        (status = 200, description = "The image, true colour", content_type = "image/png", body = Vec<u8>,
            headers(("Epoch" = String), ("Sequence" = u64), ("ETag" = String))),
        (status = 304, description = "Nothing changed there since the ETag"),
        (status = 400, description = "A part that does not lie on the canvas, or since is no sequence", body = Failure),
        (status = 404, description = "No such canvas", body = Failure),
        (status = 413, description = "More than 16,777,216 pixels: ask for parts", body = Failure),
        (status = 503, description = "Too many images are being drawn, or since is not there yet", body = Failure),
    )
)]
pub(crate) async fn show(
    api: &Api,
    ip: IpAddr,
    id: &str,
    region: &Region,
    headers: &HeaderMap,
) -> Result<Response, Refused> {
    let canvas = api.canvas(id).await?;
    let crop = Crop::parse(&canvas, region)?;
    let since = parse_since(region.since.as_ref())?;
    let permit = Arc::clone(&api.exports).try_acquire_owned();
    let permit = permit.map_err(|_| Refused::busy("too many images are being drawn", 1_000))?;
    let share = api.exports_held.enter(ip);
    let share =
        share.ok_or_else(|| Refused::busy("too many images are being drawn for your address", 1_000))?;
    let chunks = crop.chunks(&canvas);
    let view = read_since(api, &canvas, &chunks, since).await?;
    let position = view.position;
    // What is painted elsewhere on the canvas changes nothing here.
    let changed = view.chunks.iter().map(|chunk| chunk.changed).max().unwrap_or(Sequence::ZERO);
    let etag = Encoding::Identity.etag(&format!("{}-{changed}", position.epoch));
    let mut response = if is_known(headers, &etag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let clock = api.needs.clock;
        let (mut out, pieces) = PieceWriter::new(clock.now() + IMAGE_TIME_MAX, clock);
        spawn_blocking(move || {
            let drawn = draw(&canvas, &view, crop, &mut out).and_then(|()| out.send_gathered());
            // Before the reader knows that it has all of it: it may ask for the next one at once.
            drop((permit, share));
            if let Err(error) = drawn.and_then(|()| out.send(Piece::End)) {
                // The reader went away, or reads too slowly: its loss alone.
                debug!(%error, "an image was not sent to its end");
            }
        });
        let mut response = Response::new(Body::new(Pieces { pieces, ended: false }));
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("image/png"));
        response
    };
    let head = response.headers_mut();
    set_position(head, position.epoch, position.sequence);
    head.insert(header::ETAG, etag);
    CACHING.set(head);
    Ok(response)
}

impl Crop {
    fn parse(canvas: &Canvas, region: &Region) -> Result<Self, Refused> {
        let number = |key: &str, raw: &Option<String>, least: u32, most: u32, otherwise: u32| match raw {
            None => Ok(otherwise),
            Some(raw) => raw
                .parse()
                .ok()
                .filter(|number| (least..=most).contains(number))
                .ok_or_else(|| Refused::wrong(format!("{key} must be an integer from {least} to {most}"))),
        };
        let (width, height) = (canvas.size.width(), canvas.size.height());
        let x = number("x", &region.x, 0, width - 1, 0)?;
        let y = number("y", &region.y, 0, height - 1, 0)?;
        let w = number("w", &region.w, 1, width - x, width - x)?;
        let h = number("h", &region.h, 1, height - y, height - y)?;
        let scale = number("scale", &region.scale, 1, SCALE_MAX, 1)?;
        let pixels = u64::from(w) * u64::from(h) * u64::from(scale) * u64::from(scale);
        if pixels > IMAGE_PIXELS_MAX {
            let sentence = format!(
                "an image of {pixels} pixels is more than {IMAGE_PIXELS_MAX}: ask for a part with x, y, w and h, \
                 or a smaller scale"
            );
            return Err(Refused::new(StatusCode::PAYLOAD_TOO_LARGE, sentence));
        }
        Ok(Self { x, y, w, h, scale })
    }

    /// First and last chunk along an axis of `length` pixels from `start`.
    fn span(start: u32, length: u32) -> (u32, u32) {
        (start / CHUNK_SIDE_PIXELS, (start + length - 1) / CHUNK_SIDE_PIXELS)
    }

    /// The chunks that hold it, row by row.
    fn chunks(self, canvas: &Canvas) -> Vec<ChunkId> {
        let ((left, right), (top, bottom)) = (Self::span(self.x, self.w), Self::span(self.y, self.h));
        let ids = (top..=bottom).flat_map(|cy| (left..=right).map(move |cx| (cx, cy)));
        ids.map(|(cx, cy)| canvas.size.chunk(cx, cy).expect("the crop lies on the canvas")).collect()
    }
}

/// Encodes a crop of a view of its chunks.
fn draw(canvas: &Canvas, view: &View, crop: Crop, out: &mut PieceWriter) -> io::Result<()> {
    let mut encoder = png::Encoder::new(out, crop.w * crop.scale, crop.h * crop.scale);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Fast);
    let mut image = encoder.write_header()?;
    let mut rows = image.stream_writer_with_size(PIECE_BYTES)?;
    let mut row = Vec::with_capacity((crop.w * crop.scale) as usize * 3);
    for y in crop.y..crop.y + crop.h {
        row.clear();
        draw_row(canvas, view, crop, y, &mut row);
        for _ in 0..crop.scale {
            rows.write_all(&row)?;
        }
    }
    rows.finish()?;
    image.finish()?;
    Ok(())
}

/// Writes one row of pixels, each as wide as the scale, in true colour.
fn draw_row(canvas: &Canvas, view: &View, crop: Crop, y: u32, row: &mut Vec<u8>) {
    let ((left, right), (top, _)) = (Crop::span(crop.x, crop.w), Crop::span(crop.y, crop.h));
    let bytes = canvas.palette.bytes_per_pixel();
    for cx in left..=right {
        let index = (y / CHUNK_SIDE_PIXELS - top) * (right - left + 1) + (cx - left);
        let snapshot = &view.chunks[index as usize];
        let width = canvas.size.chunk_size(snapshot.id).width();
        let origin = cx * CHUNK_SIDE_PIXELS;
        let from = crop.x.max(origin) - origin;
        let to = (crop.x + crop.w).min(origin + width) - origin;
        let start = (y % CHUNK_SIDE_PIXELS) * width;
        let stored = &snapshot.pixels[(start + from) as usize * bytes..(start + to) as usize * bytes];
        for pixel in stored.chunks_exact(bytes) {
            let color = canvas.palette.load(pixel).expect("a chunk holds only its palette's colours");
            for _ in 0..crop.scale {
                row.extend_from_slice(&color.0);
            }
        }
    }
}

/// What the encoder's thread sends to the connection.
enum Piece {
    Bytes(Bytes),
    /// The image is whole. Without it the connection breaks, so that nobody keeps half an image.
    End,
}

/// Gathers what the encoder writes into pieces. Lives on a blocking thread.
struct PieceWriter {
    sender: mpsc::Sender<Piece>,
    runtime: tokio::runtime::Handle,
    gathered: Vec<u8>,
    /// Until when the last piece has to be handed over.
    deadline: Instant,
    clock: Clock,
}

impl PieceWriter {
    /// A writer, and where its pieces come out.
    fn new(deadline: Instant, clock: Clock) -> (Self, mpsc::Receiver<Piece>) {
        let (sender, pieces) = mpsc::channel(PIECES_WAITING_MAX);
        let (runtime, gathered) = (tokio::runtime::Handle::current(), Vec::with_capacity(PIECE_BYTES));
        (Self { sender, runtime, gathered, deadline, clock }, pieces)
    }

    fn send(&mut self, piece: Piece) -> io::Result<()> {
        let left = self.deadline.saturating_duration_since(self.clock.now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let patience = left.min(STALL_TIMEOUT);
        let sent = self.runtime.block_on(async { timeout(patience, self.sender.send(piece)).await });
        match sent {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(io::ErrorKind::BrokenPipe.into()),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    fn send_gathered(&mut self) -> io::Result<()> {
        let bytes = std::mem::replace(&mut self.gathered, Vec::with_capacity(PIECE_BYTES));
        self.send(Piece::Bytes(bytes.into()))
    }
}

impl Write for PieceWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.gathered.extend_from_slice(bytes);
        if self.gathered.len() >= PIECE_BYTES {
            self.send_gathered()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The pieces as a body.
struct Pieces {
    pieces: mpsc::Receiver<Piece>,
    ended: bool,
}

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        match ready!(self.pieces.poll_recv(cx)) {
            Some(Piece::Bytes(bytes)) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            Some(Piece::End) => {
                self.ended = true;
                Poll::Ready(None)
            }
            None => Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    /// A bound for the tests, in place of [`IMAGE_TIME_MAX`].
    const BOUND: Duration = Duration::from_millis(100);
    /// Pieces of an image that takes far longer than that, at the pace of the reader below.
    const PIECES: usize = 50;
    const PACE: Duration = Duration::from_millis(10);

    /// What became of a large image whose reader takes a piece now and then.
    async fn write_to_a_slow_reader(bound: Duration) -> io::Result<()> {
        let (mut out, mut pieces) = PieceWriter::new(Clock.now() + bound, Clock);
        let written = spawn_blocking(move || {
            (0..PIECES).try_for_each(|_| out.write_all(&[0; PIECE_BYTES]))?;
            out.send_gathered()?;
            out.send(Piece::End)
        });
        while let Some(Piece::Bytes(_)) = pieces.recv().await {
            sleep(PACE).await;
        }
        written.await.expect("it does not panic")
    }

    #[tokio::test]
    async fn a_reader_that_is_slow_and_steady_does_not_hold_its_place_for_ever() {
        let late = write_to_a_slow_reader(BOUND).await.map_err(|error| error.kind());
        assert_eq!(late, Err(io::ErrorKind::TimedOut));
        assert!(write_to_a_slow_reader(IMAGE_TIME_MAX).await.is_ok());
    }

    #[test]
    fn fuzz_regions() {
        let seeds = ["x=1&y=2&w=3&h=4&scale=5&since=6", "w=50&scale=64"];
        crate::run::fuzz("regions", &seeds.map(|seed| seed.as_bytes().to_vec()), |bytes| {
            let Ok(text) = std::str::from_utf8(bytes) else { return };
            let Ok(uri) = format!("/?{text}").parse::<axum::http::Uri>() else { return };
            let Ok(axum::extract::Query(region)) = axum::extract::Query::<Region>::try_from_uri(&uri) else {
                return;
            };
            let _ = parse_since(region.since.as_ref()).is_ok();
            let canvas = Canvas::default_canvas();
            if let Ok(crop) = Crop::parse(&canvas, &region) {
                assert_eq!(crop.chunks(&canvas).len(), 1, "all of it lies in the one chunk there is");
            }
        });
    }
}
