//! The default canvas as one object, and its reset: paths of the original.

use std::fmt::Write;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use pixel_canvas::{Canvas, CanvasId, ChunkId, Color, Sequence};
use pixel_store::{Position, View};
use serde::Serialize;
use tracing::info;
use utoipa::ToSchema;

use super::bodies::{Edition, Part, Read, Version};
use super::caching::Caching;
use super::visitor::Host;
use super::{Api, WHOLE_CANVAS_PIXELS_MAX};
use crate::refusal::{Failure, Refused};

/// The default canvas, every pixel.
#[derive(Serialize, ToSchema)]
pub(crate) struct WholeCanvas {
    /// Pixels from left to right.
    width: u32,
    /// Pixels from top to bottom.
    height: u32,
    /// Every pixel: `"x,y"` to `#RRGGBB`.
    pixels: std::collections::BTreeMap<String, String>,
    /// 16 hex digits.
    epoch: String,
    /// The last placement that is in it.
    sequence: u64,
}

/// What a reset did.
#[derive(Serialize, ToSchema)]
pub(crate) struct Reset {
    success: bool,
    message: String,
}

/// The default canvas as one object.
#[utoipa::path(
    get, path = "/api/canvas", tag = "default canvas",
    responses(
        (status = 200, description = "Every pixel", body = WholeCanvas, headers(("ETag" = String))),
        (status = 304, description = "Nothing changed since the ETag"),
        (status = 413, description = "Over 65,536 pixels: load chunks", body = Failure),
    )
)]
pub(crate) async fn show(State(api): State<Arc<Api>>, headers: HeaderMap) -> Result<Response, Refused> {
    let answer = fresh(&api, &headers).await;
    let canvas = Some(CanvasId::default_canvas());
    api.or_stale(answer, canvas, Part::Whole, Sequence::ZERO, &headers).await
}

async fn fresh(api: &Api, headers: &HeaderMap) -> Result<Response, Refused> {
    let canvas = api.default_canvas().await?;
    if canvas.size.pixels() > WHOLE_CANVAS_PIXELS_MAX {
        let sentence = format!(
            "this canvas has more than {WHOLE_CANVAS_PIXELS_MAX} pixels: load it by chunks, \
             GET /api/canvases/{}/chunks/{{cx}}/{{cy}}",
            canvas.id
        );
        return Err(Refused::new(StatusCode::PAYLOAD_TOO_LARGE, sentence));
    }
    let chunks: Vec<ChunkId> = canvas.size.chunks().collect();
    let view = api.needs.store.view(&canvas.id, &chunks).await?.ok_or_else(Refused::no_canvas)?;
    let Position { epoch, sequence } = view.position;
    let edition = Edition {
        canvas: canvas.id.clone(),
        part: Part::Whole,
        version: Version { epoch, changed: sequence },
        read: Read { sequence, at: api.needs.clock.now() },
    };
    Ok(api.answer(&edition, headers, Caching::ASK_AGAIN, move || render(&canvas, &view)).await)
}

/// Puts every pixel of the default canvas back to the background, under a new epoch. Host only.
#[utoipa::path(
    post, path = "/api/canvas/reset", tag = "default canvas", security(("host" = [])),
    responses(
        (status = 200, description = "It is blank again", body = Reset),
        (status = 401, description = "No token", body = Failure),
        (status = 403, description = "Not the host", body = Failure),
        (status = 503, description = "The store is away", body = Failure),
    )
)]
pub(crate) async fn reset(_: Host, State(api): State<Arc<Api>>) -> Result<Json<Reset>, Refused> {
    blank(&api, &CanvasId::default_canvas()).await
}

/// Makes a canvas blank, whichever it is.
pub(super) async fn blank(api: &Api, id: &CanvasId) -> Result<Json<Reset>, Refused> {
    let Position { epoch, sequence } = api.needs.store.reset(id).await?.ok_or_else(Refused::no_canvas)?;
    info!(canvas.id = %id, %epoch, %sequence, "the host reset canvas {id}");
    Ok(Json(Reset { success: true, message: "the canvas is blank again".into() }))
}

/// Writes [`WholeCanvas`] for a view of all its chunks, pixels row by row.
fn render(canvas: &Canvas, view: &View) -> Bytes {
    let (width, height) = (canvas.size.width(), canvas.size.height());
    let mut text = String::with_capacity(canvas.size.pixels() as usize * 20 + 128);
    write!(text, "{{\"width\":{width},\"height\":{height},\"pixels\":{{").expect("a String takes everything");
    for y in 0..height {
        for x in 0..width {
            let color = color_at(canvas, view, x, y);
            let comma = if (x, y) == (0, 0) { "" } else { "," };
            write!(text, "{comma}\"{x},{y}\":\"{color}\"").expect("a String takes everything");
        }
    }
    let Position { epoch, sequence } = view.position;
    write!(text, "}},\"epoch\":\"{epoch}\",\"sequence\":{sequence}}}").expect("a String takes everything");
    text.into()
}

/// The colour of a pixel of a view of all chunks, row by row.
fn color_at(canvas: &Canvas, view: &View, x: u32, y: u32) -> Color {
    let at = canvas.size.point(x.into(), y.into()).expect("the loops stay inside");
    let (columns, _) = canvas.size.chunk_grid();
    let chunk = at.chunk();
    let snapshot = &view.chunks[usize::from(chunk.cy) * columns as usize + usize::from(chunk.cx)];
    let (column, row) = at.within();
    let index = usize::from(row) * canvas.size.chunk_size(chunk).width() as usize + usize::from(column);
    let bytes = canvas.palette.bytes_per_pixel();
    let stored = &snapshot.pixels[index * bytes..(index + 1) * bytes];
    canvas.palette.load(stored).expect("a chunk holds only its palette's colours")
}
