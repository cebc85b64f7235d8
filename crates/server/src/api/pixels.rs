//! Placing pixels and looking at one.

use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use pixel_canvas::canvas::DEFAULT_CANVAS;
use pixel_canvas::placement::SUBMISSION_PLACEMENTS_MAX;
use pixel_canvas::{Author, Canvas, Key, Name, Placement, Point, Refusal};
use pixel_store::{Accepted, Act, Outcome, Submission, SubmissionKey};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use utoipa::{IntoParams, IntoResponses, ToSchema};

use super::Api;
use super::body::{PIXELS_BODY_BYTES_MAX, SMALL_BODY_BYTES_MAX, read_json};
use super::visitor::Visitor;
use crate::refusal::{Failure, Refused};

/// The longest `Idempotency-Key`, in characters.
const KEY_CHARACTERS_MAX: usize = 128;

/// One pixel to place. Values are judged by hand, so that the answer can say what is allowed.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default)]
pub(crate) struct PixelBody {
    /// Column, from 0.
    #[schema(value_type = u16, required, maximum = 65_535)]
    x: Value,
    /// Row, from 0.
    #[schema(value_type = u16, required, maximum = 65_535)]
    y: Value,
    /// `#RRGGBB`, any case.
    #[schema(value_type = String, required, pattern = "^#[0-9A-Fa-f]{6}$", example = "#E4572E")]
    color: Value,
    /// The name this placement is shown under; `Anonymous` when left out.
    #[schema(value_type = Option<String>)]
    username: Value,
}

/// Pixels to place, all or none of the valid ones.
#[derive(Deserialize, ToSchema)]
pub(crate) struct PixelsBody {
    /// At most 1,024.
    #[schema(value_type = Vec<PixelBody>, max_items = 1024)]
    pixels: Vec<Value>,
    /// The name the placements are shown under; `Anonymous` when left out.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    username: Value,
}

/// A pixel as it is.
#[derive(Serialize, ToSchema)]
pub(crate) struct PixelShown {
    x: u16,
    y: u16,
    /// `#RRGGBB` in capitals.
    color: String,
    /// Who painted it; only there if somebody did.
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<String>,
    /// When, Unix milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<u64>,
    /// As which placement.
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence: Option<u64>,
}

/// A placement that is durable.
#[derive(Serialize, ToSchema)]
pub(crate) struct PixelPlaced {
    success: bool,
    x: u16,
    y: u16,
    /// `#RRGGBB` in capitals.
    color: String,
    /// Unix milliseconds.
    timestamp: u64,
    sequence: u64,
}

impl PixelPlaced {
    fn new(placement: Placement, accepted: &Accepted) -> Self {
        Self {
            success: true,
            x: placement.at.x,
            y: placement.at.y,
            color: placement.color.to_string(),
            timestamp: accepted.at.0,
            sequence: accepted.first.0,
        }
    }
}

/// Placements that are durable.
#[derive(Serialize, ToSchema)]
pub(crate) struct PixelsPlaced {
    success: bool,
    /// How many were placed.
    updated: usize,
    /// Unix milliseconds.
    timestamp: u64,
    /// The last placement's; the others come right before it. Not there when none was valid.
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence: Option<u64>,
    /// 16 hex digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<String>,
    /// The invalid ones, which were not placed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    refused: Vec<RefusedPixel>,
}

impl PixelsPlaced {
    pub(super) fn new(accepted: &Accepted, refused: Vec<RefusedPixel>) -> Self {
        Self {
            success: true,
            updated: accepted.count as usize,
            timestamp: accepted.at.0,
            sequence: Some(accepted.last().0),
            epoch: Some(accepted.epoch.to_string()),
            refused,
        }
    }
}

/// A pixel that is not valid.
#[derive(Serialize, ToSchema)]
pub(crate) struct RefusedPixel {
    /// Its place in the list, from 0.
    index: usize,
    error: String,
}

/// What makes a retry safe.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it describes a header for the OpenAPI document")]
pub(crate) struct IdempotencyKey {
    /// A retry with the same key is done once. Once it is not known whether it was, 429 and 503 say nothing of the
    /// earlier try: ask again with the same key until there is another answer
    #[param(rename = "Idempotency-Key", min_length = 1, max_length = 128)]
    key: Option<String>,
}

/// Why placements are refused, whatever their number and their canvas.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "it describes answers for the OpenAPI document")]
pub(crate) enum PlacingRefused {
    /// The token is not valid
    #[response(status = 401)]
    Token(Failure),
    /// The canvas is frozen, or the page's origin may not paint
    #[response(status = 403)]
    Forbidden(Failure),
    /// The key was used for something else; or there is nothing to take back, or to repeat
    #[response(status = 409)]
    KeyReused(Failure),
    /// Too fast: wait for Retry-After
    #[response(status = 429)]
    TooFast(Failure),
    /// Busy or away, and this try did nothing; with "outcome":"unknown" it may have
    #[response(status = 503)]
    Away(Failure),
}

/// Why a body is refused that should be JSON.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "it describes answers for the OpenAPI document")]
pub(crate) enum BodyRefused {
    /// The body did not arrive in time
    #[response(status = 408)]
    Late(Failure),
    /// The body is too large, or asks for more than is ever allowed at once
    #[response(status = 413)]
    Large(Failure),
}

/// One pixel of the default canvas, with who painted it and when.
#[utoipa::path(
    get, path = "/api/pixel/{x}/{y}", tag = "default canvas",
    params(("x" = u16, Path, description = "Column, from 0"), ("y" = u16, Path, description = "Row, from 0")),
    responses(
        (status = 200, description = "The pixel", body = PixelShown),
        (status = 400, description = "Outside, or not an integer", body = Failure),
    )
)]
pub(crate) async fn show(
    State(api): State<Arc<Api>>,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Result<Response, Refused> {
    let Path((x, y)) = path?;
    let canvas = api.default_canvas().await?;
    look(&api, &canvas, &x, &y).await
}

/// One pixel of a canvas, with who painted it and when.
#[utoipa::path(
    get, path = "/api/canvases/{id}/pixels/{x}/{y}", tag = "canvases",
    params(
        ("id" = String, Path, description = "The canvas"),
        ("x" = u16, Path, description = "Column, from 0"),
        ("y" = u16, Path, description = "Row, from 0"),
    ),
    responses(
        (status = 200, description = "The pixel", body = PixelShown),
        (status = 400, description = "Outside, or not an integer", body = Failure),
        (status = 404, description = "No such canvas", body = Failure),
    )
)]
pub(crate) async fn show_on(
    State(api): State<Arc<Api>>,
    path: Result<Path<(String, String, String)>, PathRejection>,
) -> Result<Response, Refused> {
    let Path((id, x, y)) = path?;
    let canvas = api.canvas(&id).await?;
    look(&api, &canvas, &x, &y).await
}

async fn look(api: &Api, canvas: &Canvas, x: &str, y: &str) -> Result<Response, Refused> {
    let at = parse_point(canvas, x, y)?;
    let pixel = api.needs.store.pixel(&canvas.id, at).await?.ok_or_else(Refused::no_canvas)?;
    let painted = pixel.painted.as_ref();
    let shown = PixelShown {
        x: at.x,
        y: at.y,
        color: pixel.color.to_string(),
        username: painted.and_then(|by| by.name.as_ref()).map(|name| name.as_str().to_owned()),
        timestamp: painted.map(|by| by.at.0),
        sequence: painted.map(|by| by.sequence.0),
    };
    Ok(([(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"))], Json(shown)).into_response())
}

/// Places one pixel on the default canvas; answers once it is durable.
#[utoipa::path(
    put, path = "/api/pixel", tag = "default canvas", request_body = PixelBody, security((), ("guest" = [])),
    params(IdempotencyKey),
    responses(
        (status = 200, description = "Placed", body = PixelPlaced),
        (status = 400, description = "Wrong type, place or colour", body = Failure),
        PlacingRefused,
        BodyRefused,
    )
)]
pub(crate) async fn place_one(
    State(api): State<Arc<Api>>,
    Visitor(author): Visitor,
    headers: HeaderMap,
    request: Request,
) -> Result<Json<PixelPlaced>, Refused> {
    let key = parse_key(&headers)?;
    let body: PixelBody = read_json(request, SMALL_BODY_BYTES_MAX).await?;
    let name = parse_name(&body.username)?;
    let (canvas, deadline) = api.canvas_to_place_on(DEFAULT_CANVAS).await?;
    let placement = parse_placement(&canvas, &body).map_err(Refused::wrong)?;
    let act = Act::Place(vec![placement]);
    let accepted = submit(&api, &canvas, Submission { author, name, key, act }, deadline).await?;
    Ok(Json(PixelPlaced::new(placement, &accepted)))
}

/// Places the background colour, under the same rules as any other.
#[utoipa::path(
    delete, path = "/api/pixel/{x}/{y}", tag = "default canvas", security((), ("guest" = [])),
    params(
        ("x" = u16, Path, description = "Column, from 0"),
        ("y" = u16, Path, description = "Row, from 0"),
        IdempotencyKey,
    ),
    responses(
        (status = 200, description = "Placed", body = PixelPlaced),
        (status = 400, description = "Outside, or not an integer", body = Failure),
        PlacingRefused,
    )
)]
pub(crate) async fn clear(
    State(api): State<Arc<Api>>,
    Visitor(author): Visitor,
    path: Result<Path<(String, String)>, PathRejection>,
    headers: HeaderMap,
) -> Result<Json<PixelPlaced>, Refused> {
    let Path((x, y)) = path?;
    let key = parse_key(&headers)?;
    let (canvas, deadline) = api.canvas_to_place_on(DEFAULT_CANVAS).await?;
    let placement = Placement { at: parse_point(&canvas, &x, &y)?, color: canvas.background };
    let act = Act::Place(vec![placement]);
    let submission = Submission { author, name: Name::anonymous(), key, act };
    let accepted = submit(&api, &canvas, submission, deadline).await?;
    Ok(Json(PixelPlaced::new(placement, &accepted)))
}

/// Places many pixels on the default canvas: the valid ones, all or none.
#[utoipa::path(
    put, path = "/api/pixels", tag = "default canvas", request_body = PixelsBody, security((), ("guest" = [])),
    params(IdempotencyKey),
    responses(
        (status = 200, description = "Placed; invalid members stand in refused", body = PixelsPlaced),
        (status = 400, description = "The body is not a list of pixels", body = Failure),
        PlacingRefused,
        BodyRefused,
    )
)]
pub(crate) async fn place_many(
    State(api): State<Arc<Api>>,
    Visitor(author): Visitor,
    headers: HeaderMap,
    request: Request,
) -> Result<Json<PixelsPlaced>, Refused> {
    place_list(&api, DEFAULT_CANVAS, author, &headers, request).await
}

/// Places many pixels on a canvas: the valid ones, all or none.
#[utoipa::path(
    put, path = "/api/canvases/{id}/pixels", tag = "canvases", request_body = PixelsBody,
    security((), ("guest" = [])),
    params(
        ("id" = String, Path, description = "The canvas"),
        IdempotencyKey,
    ),
    responses(
        (status = 200, description = "Placed; invalid members stand in refused", body = PixelsPlaced),
        (status = 400, description = "The body is not a list of pixels", body = Failure),
        (status = 404, description = "No such canvas", body = Failure),
        PlacingRefused,
        BodyRefused,
    )
)]
pub(crate) async fn place_many_on(
    State(api): State<Arc<Api>>,
    Visitor(author): Visitor,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    request: Request,
) -> Result<Json<PixelsPlaced>, Refused> {
    let Path(id) = path?;
    place_list(&api, &id, author, &headers, request).await
}

async fn place_list(
    api: &Api,
    id: &str,
    author: Author,
    headers: &HeaderMap,
    request: Request,
) -> Result<Json<PixelsPlaced>, Refused> {
    let key = parse_key(headers)?;
    let body: PixelsBody = read_json(request, PIXELS_BODY_BYTES_MAX).await?;
    let name = parse_name(&body.username)?;
    if body.pixels.len() > SUBMISSION_PLACEMENTS_MAX {
        let sentence = format!(
            "{} pixels are too many: send at most {SUBMISSION_PLACEMENTS_MAX} at a time",
            body.pixels.len()
        );
        return Err(Refused::new(StatusCode::PAYLOAD_TOO_LARGE, sentence));
    }
    let (canvas, deadline) = api.canvas_to_place_on(id).await?;
    let mut placements = Vec::with_capacity(body.pixels.len());
    let mut refused = Vec::new();
    for (index, member) in body.pixels.into_iter().enumerate() {
        match parse_member(&canvas, member) {
            Ok(placement) => placements.push(placement),
            Err(error) => refused.push(RefusedPixel { index, error }),
        }
    }
    if placements.is_empty() {
        return Ok(Json(PixelsPlaced {
            success: true,
            updated: 0,
            timestamp: api.needs.clock.unix().0,
            sequence: None,
            epoch: None,
            refused,
        }));
    }
    let act = Act::Place(placements);
    let accepted = submit(api, &canvas, Submission { author, name, key, act }, deadline).await?;
    Ok(Json(PixelsPlaced::new(&accepted, refused)))
}

pub(super) async fn submit(
    api: &Api,
    canvas: &Canvas,
    submission: Submission,
    deadline: Instant,
) -> Result<Accepted, Refused> {
    let placer = &api.needs.placer;
    let outcomes = placer.place(&canvas.id, vec![submission], deadline).await;
    match outcomes.into_iter().next().expect("one submission has one outcome") {
        Outcome::Accepted(accepted) => Ok(accepted),
        Outcome::Refused(Refusal::Unavailable) => Err(Refused::unavailable(placer.trouble(&canvas.id))),
        Outcome::Refused(refusal) => Err((&refusal).into()),
    }
}

/// The client's key, hashed to the size that stores keep.
pub(super) fn parse_key(headers: &HeaderMap) -> Result<Option<SubmissionKey>, Refused> {
    let Some(raw) = headers.get("idempotency-key") else { return Ok(None) };
    let plain = |raw: &&str| (1..=KEY_CHARACTERS_MAX).contains(&raw.len());
    let Some(raw) = raw.to_str().ok().filter(plain) else {
        let sentence = format!("Idempotency-Key must be 1 to {KEY_CHARACTERS_MAX} plain characters");
        return Err(Refused::wrong(sentence));
    };
    let hash: [u8; 32] = Sha256::digest(raw).into();
    let (key, _) = hash.split_first_chunk().expect("32 bytes hold 16");
    Ok(Some(SubmissionKey::Client(Key(*key))))
}

pub(super) fn parse_name(raw: &Value) -> Result<Name, Refused> {
    match raw {
        Value::Null => Ok(Name::anonymous()),
        Value::String(raw) => Ok(Name::parse(raw).unwrap_or_else(Name::anonymous)),
        _ => Err(Refused::wrong("username must be a string")),
    }
}

fn parse_member(canvas: &Canvas, member: Value) -> Result<Placement, String> {
    let object = "a pixel must be an object with x, y and color";
    if !member.is_object() {
        return Err(object.into());
    }
    let body: PixelBody = serde_json::from_value(member).map_err(|_| object)?;
    parse_placement(canvas, &body)
}

fn parse_placement(canvas: &Canvas, body: &PixelBody) -> Result<Placement, String> {
    let x = parse_side("x", &body.x, canvas.size.width())?;
    let y = parse_side("y", &body.y, canvas.size.height())?;
    let Value::String(color) = &body.color else {
        return Err("color must be a string: #RRGGBB, as in \"#1C1917\"".into());
    };
    Placement::parse(x, y, color, canvas).map_err(|refusal| refusal.to_string())
}

/// An integer; JSON does not tell 5 from 5.0, so both are 5.
pub(super) fn parse_integer(raw: &Value) -> Option<i64> {
    let whole =
        |number: f64| (number.fract() == 0.0 && number.abs() < f64::from(u32::MAX)).then_some(number as i64);
    raw.as_i64().or_else(|| raw.as_f64().and_then(whole))
}

/// A column or row.
fn parse_side(key: &str, raw: &Value, side: u32) -> Result<i64, String> {
    let inside = parse_integer(raw).filter(|number| (0..i64::from(side)).contains(number));
    inside.ok_or_else(|| format!("{key} must be an integer from 0 to {}", side - 1))
}

fn parse_point(canvas: &Canvas, x: &str, y: &str) -> Result<Point, Refused> {
    let digits = |raw: &str| raw.bytes().all(|b| b.is_ascii_digit()).then(|| raw.parse().ok())?;
    let side = |key, raw: &str, side: u32| {
        let inside = digits(raw).filter(|number: &i64| (0..i64::from(side)).contains(number));
        inside.ok_or_else(|| Refused::wrong(format!("{key} must be an integer from 0 to {}", side - 1)))
    };
    let (x, y) = (side("x", x, canvas.size.width())?, side("y", y, canvas.size.height())?);
    Ok(canvas.size.point(x, y).expect("both were checked"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fuzz_pixels_bodies() {
        let seeds = [
            r##"{"pixels":[{"x":1,"y":2.0,"color":"#ABCDEF","username":"Ann"},7],"username":null}"##,
            r##"{"pixels":[{"x":-1,"y":1e99,"color":"red"}]}"##,
        ];
        crate::run::fuzz("pixels_bodies", &seeds.map(|seed| seed.as_bytes().to_vec()), |bytes| {
            let Ok(body) = serde_json::from_slice::<PixelsBody>(bytes) else { return };
            let canvas = Canvas::default_canvas();
            let _ = parse_name(&body.username).is_ok();
            for member in body.pixels {
                match parse_member(&canvas, member) {
                    Ok(placement) => assert!(canvas.size.holds(placement.at)),
                    Err(sentence) => assert!(!sentence.is_empty() && sentence.len() < 400, "{sentence}"),
                }
            }
        });
    }
}
