//! Taking back and repeating one's own placements.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::HeaderMap;
use pixel_canvas::history::RETRACED_STEPS_MAX;
use pixel_canvas::{Author, Turn};
use pixel_store::{Act, Submission};
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::Api;
use super::body::{SMALL_BODY_BYTES_MAX, read_json_if_any};
use super::pixels::{
    BodyRefused, IdempotencyKey, PixelsPlaced, PlacingRefused, parse_integer, parse_key, parse_name, submit,
};
use super::visitor::Visitor;
use crate::refusal::{Failure, Refused};

/// How many steps.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default)]
pub(crate) struct StepsBody {
    /// As many as can be, up to so many; 1 when left out.
    #[schema(value_type = Option<u16>, minimum = 1, maximum = 256)]
    count: Value,
    /// The name the placements are shown under; `Anonymous` when left out.
    #[schema(value_type = Option<String>)]
    username: Value,
}

/// Takes the caller's newest placements back, where the pixels are still theirs.
#[utoipa::path(
    post, path = "/api/canvases/{id}/undo", tag = "canvases", request_body = Option<StepsBody>,
    security((), ("guest" = [])),
    params(
        ("id" = String, Path, description = "The canvas"),
        IdempotencyKey,
    ),
    responses(
        (status = 200, description = "Taken back: each pixel shows what it showed before", body = PixelsPlaced),
        (status = 400, description = "The body is not a number of steps", body = Failure),
        (status = 404, description = "No such canvas", body = Failure),
        PlacingRefused,
        BodyRefused,
    )
)]
pub(crate) async fn undo(
    State(api): State<Arc<Api>>,
    Visitor(author): Visitor,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    request: Request,
) -> Result<Json<PixelsPlaced>, Refused> {
    retrace(&api, author, path, &headers, request, Turn::Undo).await
}

/// Repeats what the caller took back last, where the pixels still show that.
#[utoipa::path(
    post, path = "/api/canvases/{id}/redo", tag = "canvases", request_body = Option<StepsBody>,
    security((), ("guest" = [])),
    params(
        ("id" = String, Path, description = "The canvas"),
        IdempotencyKey,
    ),
    responses(
        (status = 200, description = "Repeated", body = PixelsPlaced),
        (status = 400, description = "The body is not a number of steps", body = Failure),
        (status = 404, description = "No such canvas", body = Failure),
        PlacingRefused,
        BodyRefused,
    )
)]
pub(crate) async fn redo(
    State(api): State<Arc<Api>>,
    Visitor(author): Visitor,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    request: Request,
) -> Result<Json<PixelsPlaced>, Refused> {
    retrace(&api, author, path, &headers, request, Turn::Redo).await
}

async fn retrace(
    api: &Api,
    author: Author,
    path: Result<Path<String>, PathRejection>,
    headers: &HeaderMap,
    request: Request,
    turn: Turn,
) -> Result<Json<PixelsPlaced>, Refused> {
    let Path(id) = path?;
    let key = parse_key(headers)?;
    let body: StepsBody = read_json_if_any(request, SMALL_BODY_BYTES_MAX).await?;
    let (name, count) = (parse_name(&body.username)?, parse_count(&body.count)?);
    let act = Act::Retrace { turn, count };
    let (canvas, deadline) = api.canvas_to_place_on(&id).await?;
    let accepted = submit(api, &canvas, Submission { author, name, key, act }, deadline).await?;
    Ok(Json(PixelsPlaced::new(&accepted, Vec::new())))
}

fn parse_count(raw: &Value) -> Result<u16, Refused> {
    if raw.is_null() {
        return Ok(1);
    }
    let count = parse_integer(raw).and_then(|number| u16::try_from(number).ok());
    let allowed = count.filter(|count| (1..=RETRACED_STEPS_MAX).contains(&usize::from(*count)));
    allowed.ok_or_else(|| Refused::wrong(format!("count must be an integer from 1 to {RETRACED_STEPS_MAX}")))
}
