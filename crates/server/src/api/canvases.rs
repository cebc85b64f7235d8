//! Canvases: looking at them, and what their host may do.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use pixel_canvas::canvas::CANVASES_MAX;
use pixel_canvas::{Amendment, Canvas, CanvasId, CanvasSpec, InvalidCanvas, Palette};
use pixel_store::{Created, Listed};
use serde::{Deserialize, Serialize};
use tracing::info;
use utoipa::{IntoResponses, ToSchema};

use super::body::{SMALL_BODY_BYTES_MAX, read_json};
use super::caching::Caching;
use super::listed::Told;
use super::pixels::BodyRefused;
use super::stale::mark;
use super::visitor::{ClientAddress, Host};
use super::whole::{Reset, blank};
use super::{Api, image};
use crate::refusal::{Failure, Refused};

/// A canvas and its rules.
#[derive(Serialize, ToSchema)]
pub(crate) struct CanvasShown {
    id: String,
    name: String,
    /// Pixels from left to right.
    width: u32,
    /// Pixels from top to bottom.
    height: u32,
    /// The colours that may be used; not there where any may.
    #[serde(skip_serializing_if = "Option::is_none")]
    palette: Option<Vec<String>>,
    /// The colour of pixels that nobody painted.
    background: String,
    /// Milliseconds that a placement costs; 0 for none.
    cooldown_ms: u64,
    /// Placements that can be saved up.
    charges_max: u32,
    /// Whether placements are refused.
    frozen: bool,
    /// 16 hex digits; not in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<String>,
    /// The last placement; not in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence: Option<u64>,
}

/// Every canvas.
#[derive(Serialize, ToSchema)]
pub(crate) struct CanvasList {
    canvases: Vec<CanvasShown>,
}

/// A canvas to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CanvasBody {
    /// 1 to 64 of a-z, 0-9, - and _, first a letter or digit.
    #[schema(pattern = "^[a-z0-9][a-z0-9_-]{0,63}$", example = "harbour")]
    id: String,
    /// 1 to 80 characters; the id when left out.
    #[schema(min_length = 1, max_length = 80)]
    name: Option<String>,
    /// 1 to 65,536.
    #[schema(minimum = 1, maximum = 65_536)]
    width: i64,
    /// 1 to 65,536.
    #[schema(minimum = 1, maximum = 65_536)]
    height: i64,
    /// 1 to 256 colours as `#RRGGBB`; any colour when left out.
    #[schema(min_items = 1, max_items = 256)]
    palette: Option<Vec<String>>,
    /// `#RRGGBB`; white, or the palette's first colour, when left out.
    #[schema(pattern = "^#[0-9A-Fa-f]{6}$")]
    background: Option<String>,
    /// 0 to 86,400,000; none when left out.
    #[schema(minimum = 0, maximum = 86_400_000)]
    cooldown_ms: Option<i64>,
    /// 1 to 10,000; 1 when left out.
    #[schema(minimum = 1, maximum = 10_000)]
    charges_max: Option<i64>,
}

/// What a host changes; what is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AmendmentBody {
    /// 1 to 80 characters.
    #[schema(min_length = 1, max_length = 80)]
    name: Option<String>,
    /// 0 to 86,400,000.
    #[schema(minimum = 0, maximum = 86_400_000)]
    cooldown_ms: Option<i64>,
    /// 1 to 10,000.
    #[schema(minimum = 1, maximum = 10_000)]
    charges_max: Option<i64>,
    /// Whether placements are refused.
    frozen: Option<bool>,
}

impl From<&Canvas> for CanvasShown {
    fn from(canvas: &Canvas) -> Self {
        let palette = match &canvas.palette {
            Palette::TrueColor => None,
            Palette::Indexed(colors) => Some(colors.iter().map(ToString::to_string).collect()),
        };
        Self {
            id: canvas.id.to_string(),
            name: canvas.name.clone(),
            width: canvas.size.width(),
            height: canvas.size.height(),
            palette,
            background: canvas.background.to_string(),
            cooldown_ms: canvas.cooldown_ms,
            charges_max: canvas.charges_max,
            frozen: canvas.frozen,
            epoch: None,
            sequence: None,
        }
    }
}

impl From<InvalidCanvas> for Refused {
    fn from(invalid: InvalidCanvas) -> Self {
        Self::wrong(invalid.to_string())
    }
}

/// Every canvas, by id. What cannot be read while the store, or a master of it, is away is listed as it was last.
#[utoipa::path(
    get, path = "/api/canvases", tag = "canvases",
    responses(
        (status = 200, description = "All of them; with Cache-Status and Age where some may be old or left out", body = CanvasList),
        (status = 503, description = "The store is away, and this api never read the list", body = Failure),
    )
)]
pub(crate) async fn list(State(api): State<Arc<Api>>) -> Result<Response, Refused> {
    let mut known = api.last_list.ids();
    // It is always there: what can be told by an api that never read which others are.
    if known.is_empty() {
        known.push(CanvasId::default_canvas());
    }
    let listed = api.needs.store.list(&known).await;
    let Told { canvases, stale } = api.last_list.tell(listed, api.needs.clock.now())?;
    let list = CanvasList { canvases: canvases.iter().map(|canvas| canvas.as_ref().into()).collect() };
    let mut response = (FRESH, Json(list)).into_response();
    if let Some(age) = stale {
        Caching::NEVER.set(response.headers_mut());
        mark(response.headers_mut(), age.as_secs());
    }
    Ok(response)
}

/// One canvas, with where it stands.
#[utoipa::path(
    get, path = "/api/canvases/{id}", tag = "canvases", params(("id" = String, Path, description = "The canvas")),
    responses(
        (status = 200, description = "The canvas", body = CanvasShown),
        (status = 404, description = "No such canvas", body = Failure),
    )
)]
pub(crate) async fn show(
    State(api): State<Arc<Api>>,
    ClientAddress(ip): ClientAddress,
    path: Result<Path<String>, PathRejection>,
    query: Result<Query<image::Region>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let Path(id) = path?;
    // The router takes whole segments: `{id}.png` comes here too.
    if let Some(id) = id.strip_suffix(".png") {
        return image::show(&api, ip, id, &query?.0, &headers).await;
    }
    let canvas = api.canvas(&id).await?;
    let position = api.needs.store.position(&canvas.id).await?.ok_or_else(Refused::no_canvas)?;
    let shown = CanvasShown {
        epoch: Some(position.epoch.to_string()),
        sequence: Some(position.sequence.0),
        ..canvas.as_ref().into()
    };
    Ok((FRESH, Json(shown)).into_response())
}

/// Why a host's change is refused, whatever it is.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "it describes answers for the OpenAPI document")]
pub(crate) enum HostOnly {
    /// No token
    #[response(status = 401)]
    NoToken(Failure),
    /// Not the host
    #[response(status = 403)]
    NotHost(Failure),
    /// The store is away
    #[response(status = 503)]
    Away(Failure),
}

/// Makes a canvas. Host only.
#[utoipa::path(
    post, path = "/api/canvases", tag = "canvases", request_body = CanvasBody, security(("host" = [])),
    responses(
        (status = 201, description = "Made", body = CanvasShown, headers(("Location" = String))),
        (status = 400, description = "The key that is wrong, and what is allowed", body = Failure),
        (status = 409, description = "The id is taken, or there are 1,000 canvases", body = Failure),
        HostOnly,
        BodyRefused,
    )
)]
pub(crate) async fn create(
    _: Host,
    State(api): State<Arc<Api>>,
    request: Request,
) -> Result<Response, Refused> {
    let body: CanvasBody = read_json(request, SMALL_BODY_BYTES_MAX).await?;
    let canvas = Canvas::parse(&CanvasSpec {
        id: body.id,
        name: body.name,
        width: body.width,
        height: body.height,
        palette: body.palette,
        background: body.background,
        cooldown_ms: body.cooldown_ms,
        charges_max: body.charges_max,
    })?;
    let Listed { canvases, unread, unlisted } = api.needs.store.list(&[]).await;
    if let Some(failure) = unlisted {
        return Err(failure.into());
    }
    if canvases.len() + unread.len() >= CANVASES_MAX {
        let sentence = format!("there are {CANVASES_MAX} canvases, which is the most: delete one first");
        return Err(Refused::new(StatusCode::CONFLICT, sentence));
    }
    let id = canvas.id.clone();
    match api.needs.store.create(canvas).await? {
        Created::Made(canvas) => {
            info!(canvas.id = %id, "the host made canvas {id}");
            let location = HeaderValue::try_from(format!("/api/canvases/{id}")).expect("ids are plain ASCII");
            let shown = CanvasShown::from(canvas.as_ref());
            Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(shown)).into_response())
        }
        Created::Exists(_) => {
            Err(Refused::new(StatusCode::CONFLICT, format!("there is a canvas {id} already")))
        }
    }
}

/// Changes a canvas' name or rules, or freezes it. Host only.
#[utoipa::path(
    patch, path = "/api/canvases/{id}", tag = "canvases", request_body = AmendmentBody, security(("host" = [])),
    params(("id" = String, Path, description = "The canvas")),
    responses(
        (status = 200, description = "As it is now", body = CanvasShown),
        (status = 400, description = "The key that is wrong, and what is allowed", body = Failure),
        (status = 404, description = "No such canvas", body = Failure),
        HostOnly,
        BodyRefused,
    )
)]
pub(crate) async fn amend(
    _: Host,
    State(api): State<Arc<Api>>,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Json<CanvasShown>, Refused> {
    let id = parse_id(path)?;
    let body: AmendmentBody = read_json(request, SMALL_BODY_BYTES_MAX).await?;
    let amendment = Amendment {
        name: body.name,
        cooldown_ms: body.cooldown_ms,
        charges_max: body.charges_max,
        frozen: body.frozen,
    };
    let canvas = api.needs.store.amend(&id, amendment).await?.ok_or_else(Refused::no_canvas)??;
    info!(canvas.id = %id, "the host changed canvas {id}");
    Ok(Json(canvas.as_ref().into()))
}

/// Deletes a canvas with all it holds. Host only; `main` stays.
#[utoipa::path(
    delete, path = "/api/canvases/{id}", tag = "canvases", security(("host" = [])),
    params(("id" = String, Path, description = "The canvas")),
    responses(
        (status = 204, description = "It is gone"),
        (status = 401, description = "No token", body = Failure),
        (status = 403, description = "Not the host, or main", body = Failure),
        (status = 404, description = "No such canvas", body = Failure),
        (status = 503, description = "The store is away", body = Failure),
    )
)]
pub(crate) async fn delete(
    _: Host,
    State(api): State<Arc<Api>>,
    path: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, Refused> {
    let id = parse_id(path)?;
    if id == CanvasId::default_canvas() {
        let sentence = "main cannot be deleted: POST /api/canvas/reset makes it blank";
        return Err(Refused::new(StatusCode::FORBIDDEN, sentence));
    }
    if !api.needs.store.delete(&id).await? {
        return Err(Refused::no_canvas());
    }
    info!(canvas.id = %id, "the host deleted canvas {id}");
    Ok(StatusCode::NO_CONTENT)
}

/// Puts every pixel of a canvas back to its background, under a new epoch. Host only.
#[utoipa::path(
    post, path = "/api/canvases/{id}/reset", tag = "canvases", security(("host" = [])),
    params(("id" = String, Path, description = "The canvas")),
    responses(
        (status = 200, description = "It is blank again", body = Reset),
        (status = 401, description = "No token", body = Failure),
        (status = 403, description = "Not the host", body = Failure),
        (status = 404, description = "No such canvas", body = Failure),
        (status = 503, description = "The store is away", body = Failure),
    )
)]
pub(crate) async fn reset(
    _: Host,
    State(api): State<Arc<Api>>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Json<Reset>, Refused> {
    blank(&api, &parse_id(path)?).await
}

/// Answers that hold at the moment only.
const FRESH: [(header::HeaderName, HeaderValue); 1] =
    [(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"))];

fn parse_id(path: Result<Path<String>, PathRejection>) -> Result<CanvasId, Refused> {
    CanvasId::parse(&path?.0).ok_or_else(Refused::no_canvas)
}
