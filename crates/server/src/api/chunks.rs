//! Chunks as raw pixels: what a page loads before it goes live.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use pixel_canvas::{Canvas, CanvasId, ChunkId, Sequence};
use pixel_store::View;
use tokio::time::sleep;

use super::bodies::{Edition, Part, Read, Version};
use super::caching::Caching;
use super::{Api, SINCE_WAIT};
use crate::refusal::{Failure, Refused};

/// How often a read with `since` looks again.
const SINCE_POLL: Duration = Duration::from_millis(20);
/// An edge may answer a crowd for a second, and for nine more while it asks for the next: whoever gets an old one is
/// brought up to date by the log.
const CACHING: Caching =
    Caching::at_the_edge("public, max-age=0, s-maxage=1", "max-age=1, stale-while-revalidate=9");

/// One chunk's pixels.
///
/// Row by row from the upper left, 3 bytes a pixel (red, green, blue), or 1 (the palette's index)
/// on a canvas with a palette. 256×256 pixels, fewer at the canvas' right and lower edge.
#[utoipa::path(
    get, path = "/api/canvases/{id}/chunks/{cx}/{cy}", tag = "chunks",
    params(
        ("id" = String, Path, description = "The canvas"),
        ("cx" = u8, Path, description = "Column of chunks, from 0"),
        ("cy" = u8, Path, description = "Row of chunks, from 0"),
        ("since" = Option<u64>, Query, description = "The answer is never older than this sequence",
            maximum = 9_007_199_254_740_991_i64),
    ),
    responses(
        (status = 200, description = "The pixels", content_type = "application/octet-stream", body = Vec<u8>,
            headers(
                ("Epoch" = String, description = "The history it belongs to, 16 hex digits"),
                ("Sequence" = u64, description = "It is exact at this sequence"),
                ("ETag" = String, description = "Changes when the pixels do"),
                ("Cache-Status" = String, description = "Only there when the store is away and this is what \
                    was served last: its ttl is negative"),
            )),
        (status = 304, description = "The pixels are those of the ETag; Epoch and Sequence are new"),
        (status = 400, description = "since is not a sequence", body = Failure),
        (status = 404, description = "No such canvas or chunk", body = Failure),
        (status = 503, description = "Not there yet: try again after Retry-After", body = Failure),
    )
)]
pub(crate) async fn show(
    State(api): State<Arc<Api>>,
    path: Result<Path<(String, String, String)>, PathRejection>,
    query: Result<Query<HashMap<String, String>>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let (Path((id, cx, cy)), Query(query)) = (path?, query?);
    let since = parse_since(query.get("since"))?;
    let answer = fresh(&api, &id, (&cx, &cy), since, &headers).await;
    let chunk = cx.parse().ok().zip(cy.parse().ok()).map(|(cx, cy)| ChunkId { cx, cy });
    match chunk {
        Some(chunk) => api.or_stale(answer, CanvasId::parse(&id), Part::Chunk(chunk), since, &headers).await,
        None => answer,
    }
}

async fn fresh(
    api: &Api,
    id: &str,
    (cx, cy): (&str, &str),
    since: Sequence,
    headers: &HeaderMap,
) -> Result<Response, Refused> {
    let canvas = api.canvas(id).await?;
    let chunk = parse_chunk(&canvas, cx, cy)?;
    let view = read_since(api, &canvas, &[chunk], since).await?;
    let snapshot = view.chunks.into_iter().next().ok_or_else(Refused::no_canvas)?;
    let edition = Edition {
        canvas: canvas.id.clone(),
        part: Part::Chunk(chunk),
        version: Version { epoch: view.position.epoch, changed: snapshot.changed },
        read: Read { sequence: view.position.sequence, at: api.needs.clock.now() },
    };
    let pixels = Shared(snapshot.pixels);
    Ok(api.answer(&edition, headers, CACHING, move || Bytes::from_owner(pixels)).await)
}

/// Pixels that the store shares, as bytes to send without a copy.
struct Shared(Arc<Vec<u8>>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

fn parse_chunk(canvas: &Canvas, cx: &str, cy: &str) -> Result<ChunkId, Refused> {
    let (columns, rows) = canvas.size.chunk_grid();
    let chunk = cx.parse().ok().zip(cy.parse().ok()).and_then(|(cx, cy)| canvas.size.chunk(cx, cy));
    chunk.ok_or_else(|| {
        let sentence =
            format!("there is no chunk {cx}/{cy}: columns are 0 to {}, rows 0 to {}", columns - 1, rows - 1);
        Refused::new(StatusCode::NOT_FOUND, sentence)
    })
}

/// What `since` asks for; nothing when it is left out.
pub(super) fn parse_since(raw: Option<&String>) -> Result<Sequence, Refused> {
    let Some(raw) = raw else { return Ok(Sequence::ZERO) };
    let sequence = raw.parse().ok().map(Sequence).filter(|sequence| *sequence <= Sequence::MAX);
    let allowed = "since must be a sequence: an integer from 0 to";
    sequence.ok_or_else(|| Refused::wrong(format!("{allowed} {}", Sequence::MAX)))
}

/// Reads chunks that are at `since` or later; waits for it for a moment.
pub(super) async fn read_since(
    api: &Api,
    canvas: &Canvas,
    chunks: &[ChunkId],
    since: Sequence,
) -> Result<View, Refused> {
    let store = &api.needs.store;
    let deadline = api.needs.clock.now() + SINCE_WAIT;
    loop {
        let view = store.view(&canvas.id, chunks).await?.ok_or_else(Refused::no_canvas)?;
        if view.position.sequence >= since {
            return Ok(view);
        }
        if api.needs.clock.now() >= deadline {
            let sentence = format!("the canvas is at {}, not yet at {since}", view.position.sequence);
            return Err(Refused::busy(sentence, 1_000));
        }
        sleep(SINCE_POLL).await;
    }
}
