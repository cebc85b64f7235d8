//! The operators' port: metrics, liveness, readiness, version. Never routed to the public.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use pixel_store::{Condition, Store};
use serde_json::json;

use crate::telemetry::Metrics;

/// Whether this process should get work.
#[derive(Clone)]
pub(crate) struct Readiness {
    /// Set when the process was wired; the inner `None`: it has no store.
    store: Arc<OnceLock<Option<Arc<dyn Store>>>>,
    draining: Arc<AtomicBool>,
    /// What an acknowledgement means here.
    durability: Option<String>,
}

impl Readiness {
    /// Not ready yet.
    pub(crate) fn new(durability: Option<String>) -> Self {
        Self { store: Arc::default(), draining: Arc::default(), durability }
    }

    /// Ready as long as the store writes; a process without a store is always ready.
    pub(crate) fn opened(&self, store: Option<Arc<dyn Store>>) {
        // It is opened once.
        let _ = self.store.set(store);
    }

    /// Ready no more: the process is about to end.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// What can be lost although everything works.
    fn caution(&self) -> Option<String> {
        self.store.get()?.as_ref()?.caution()
    }

    /// Why this process should get no work; `None` when it should.
    fn objection(&self) -> Option<String> {
        if self.draining.load(Ordering::Relaxed) {
            return Some("draining: the process is about to end".to_owned());
        }
        let Some(store) = self.store.get() else {
            return Some("starting: the store was not reached yet".to_owned());
        };
        match store.as_ref()?.condition() {
            Condition::Writable => None,
            Condition::ReadOnly(why) => Some(why),
        }
    }
}

/// `/metrics`, `/livez`, `/readyz`, `/version`.
pub(crate) fn router(metrics: Arc<Metrics>, readiness: Readiness) -> Router {
    Router::new()
        .route("/metrics", get(read_metrics))
        .with_state((metrics, readiness.clone()))
        .route("/livez", get(async || "ok\n"))
        .route("/version", get(async || Json(json!({ "version": env!("CARGO_PKG_VERSION") }))))
        .merge(Router::new().route("/readyz", get(ready)).with_state(readiness))
}

async fn read_metrics(State((metrics, readiness)): State<(Arc<Metrics>, Readiness)>) -> Response {
    metrics.process.ready.set(i64::from(readiness.objection().is_none()));
    let text = metrics.text();
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text)
        .into_response()
}

/// 200, or 503 with the reason; both say what an acknowledgement means here, and what it does not.
async fn ready(State(readiness): State<Readiness>) -> Response {
    let objection = readiness.objection();
    let mut body = json!({ "status": "ready", "durability": readiness.durability });
    if let Some(caution) = readiness.caution() {
        body["caution"] = caution.into();
    }
    match objection {
        None => Json(body).into_response(),
        Some(reason) => {
            body["status"] = "unready".into();
            body["reason"] = reason.into();
            (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use tower::ServiceExt;

    use super::*;

    async fn status(router: &Router, path: &str) -> StatusCode {
        let request = Request::get(path).body(Body::empty()).expect("a request");
        router.clone().oneshot(request).await.expect("an answer").status()
    }

    #[tokio::test]
    async fn a_draining_process_lives_and_is_not_ready() {
        let readiness = Readiness::new(None);
        let router = router(Arc::new(Metrics::new("0.0.0", pixel_canvas::Timestamp(0))), readiness.clone());
        assert_eq!(status(&router, "/readyz").await, StatusCode::SERVICE_UNAVAILABLE, "it starts");
        readiness.opened(None);
        assert_eq!(status(&router, "/readyz").await, StatusCode::OK);
        readiness.drain();
        assert_eq!(status(&router, "/readyz").await, StatusCode::SERVICE_UNAVAILABLE);
        for path in ["/livez", "/metrics", "/version"] {
            assert_eq!(status(&router, path).await, StatusCode::OK, "{path}");
        }
    }
}
