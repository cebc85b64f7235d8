//! The Canvas State API: every path under `/api`, over the store and the one way in for placements.

mod answer;
mod bodies;
pub(crate) mod body;
mod caching;
mod calls;
mod canvases;
mod chunks;
mod guests;
mod image;
mod listed;
mod openapi;
mod pixels;
mod retrace;
mod stale;
mod visitor;
mod whole;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::routing::{any, get, post, put};
use axum::{Json, Router};
use pixel_canvas::canvas::DEFAULT_CANVAS;
use pixel_canvas::{Canvas, CanvasId};
use pixel_store::{Condition, Store, Trouble};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::time::timeout_at;

use self::bodies::Bodies;
use self::listed::LastList;
#[cfg(test)]
pub(crate) use self::openapi::Description;
use crate::address::{AddressConnections, TrustedProxies};
use crate::clock::Clock;
use crate::hop::wire;
use crate::identity::Identities;
use crate::origin::{self, Origins};
use crate::placing::Placer;
use crate::refusal::{Refused, refuse};
use crate::telemetry::HttpMetrics;

/// A canvas of more pixels is not answered as one JSON object.
pub(crate) const WHOLE_CANVAS_PIXELS_MAX: u64 = 65_536;
/// How long a read with `since` waits for the store to get there.
pub(crate) const SINCE_WAIT: Duration = Duration::from_secs(2);

/// What the api needs.
pub(crate) struct Needs {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) placer: Placer,
    pub(crate) identities: Arc<Identities>,
    pub(crate) origins: Arc<Origins>,
    pub(crate) proxies: Arc<TrustedProxies>,
    pub(crate) metrics: HttpMetrics,
    pub(crate) clock: Clock,
    /// Whether other processes share the store.
    pub(crate) shared_store: bool,
}

/// The running api.
pub(crate) struct Api {
    needs: Needs,
    bodies: Bodies,
    last_list: LastList,
    exports: Arc<Semaphore>,
    /// What each address holds of them.
    exports_held: AddressConnections,
}

/// Starts the api.
pub(crate) fn start(needs: Needs) -> Arc<Api> {
    let bodies = Bodies::new(needs.metrics.clone());
    let exports = Arc::new(Semaphore::new(image::EXPORTS_MAX));
    let exports_held = AddressConnections::new(image::ADDRESS_EXPORTS_MAX);
    Arc::new(Api { needs, bodies, last_list: LastList::default(), exports, exports_held })
}

/// Every path under `/api`, for any port.
pub(crate) fn router(api: Arc<Api>) -> Router {
    let origins = Arc::clone(&api.needs.origins);
    Router::new()
        .route("/api/canvas", get(whole::show))
        .route("/api/canvas/reset", post(whole::reset))
        .route("/api/pixel", put(pixels::place_one))
        .route("/api/pixel/{x}/{y}", get(pixels::show).delete(pixels::clear))
        .route("/api/pixels", put(pixels::place_many))
        .route("/api/canvases", get(canvases::list).post(canvases::create))
        .route("/api/canvases/{id}", get(canvases::show).patch(canvases::amend).delete(canvases::delete))
        .route("/api/canvases/{id}/chunks/{cx}/{cy}", get(chunks::show))
        .route("/api/canvases/{id}/pixels", put(pixels::place_many_on))
        .route("/api/canvases/{id}/pixels/{x}/{y}", get(pixels::show_on))
        .route("/api/canvases/{id}/reset", post(canvases::reset))
        .route("/api/canvases/{id}/undo", post(retrace::undo))
        .route("/api/canvases/{id}/redo", post(retrace::redo))
        .route("/api/guests", post(guests::create))
        .route("/api/openapi.json", get(openapi::show))
        .route("/api", any(nothing))
        .route("/api/", any(nothing))
        .route("/api/{*path}", any(nothing))
        .method_not_allowed_fallback(not_so)
        .layer(from_fn_with_state(origins, origin::guard))
        .with_state(api)
}

/// `GET /health`, the gateways' way in, and 404 for all else: what the api's own port has besides [`router`].
pub(crate) fn port_router(api: Arc<Api>) -> Router {
    Router::new()
        .route("/health", get(health))
        .route(wire::PATH, post(calls::place))
        .fallback(nothing)
        .method_not_allowed_fallback(not_so)
        .with_state(api)
}

async fn health(State(api): State<Arc<Api>>) -> Json<serde_json::Value> {
    let (store, reached) = match api.needs.store.condition() {
        Condition::Writable => ("writable", "connected"),
        Condition::ReadOnly(..) => ("read-only", "connected"),
        Condition::Away(..) => ("away", "disconnected"),
    };
    let redis = if api.needs.shared_store { reached } else { "embedded" };
    Json(json!({ "status": "ok", "redis": redis, "store": store }))
}

async fn nothing() -> Response {
    refuse(StatusCode::NOT_FOUND, "there is nothing at this path: GET /api/openapi.json lists what there is")
}

async fn not_so() -> Response {
    let sentence = "this path does not have that method: GET /api/openapi.json lists what it has";
    refuse(StatusCode::METHOD_NOT_ALLOWED, sentence)
}

impl Api {
    /// The canvas that a path names.
    async fn canvas(&self, id: &str) -> Result<Arc<Canvas>, Refused> {
        let id = CanvasId::parse(id).ok_or_else(Refused::no_canvas)?;
        // Nobody waits for a store that is known not to answer.
        if let Condition::Away(trouble, _) = self.needs.store.condition_of(&id) {
            return Err(Refused::unavailable(trouble));
        }
        self.needs.store.canvas(&id).await?.ok_or_else(Refused::no_canvas)
    }

    /// The canvas that a path names, and until when what is placed on it has to be answered: looking
    /// it up counts. What the caller sends is read before, for that is the caller's own time.
    async fn canvas_to_place_on(&self, id: &str) -> Result<(Arc<Canvas>, Instant), Refused> {
        let deadline = self.needs.placer.deadline(self.needs.clock.now());
        match timeout_at(deadline.into(), self.canvas(id)).await {
            Ok(canvas) => Ok((canvas?, deadline)),
            Err(_) => Err(Refused::unavailable(Trouble::Silent)),
        }
    }

    /// The canvas of the paths that name none.
    async fn default_canvas(&self) -> Result<Arc<Canvas>, Refused> {
        self.canvas(DEFAULT_CANVAS).await
    }
}

#[cfg(test)]
mod tests;
