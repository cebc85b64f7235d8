//! The operators' port: metrics, liveness, readiness, version. Never routed to the public.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use pixel_store::{Condition, Store, Trouble};
use serde_json::json;
use tracing::debug;

use crate::clock::Clock;
use crate::telemetry::Metrics;
use crate::tls::Tls;

/// Whether this process should get work.
#[derive(Clone)]
pub(crate) struct Readiness {
    /// The store as soon as there is one, though it may be waited for.
    store: Arc<OnceLock<Arc<dyn Store>>>,
    /// The process was wired: it has its store, or needs none.
    wired: Arc<AtomicBool>,
    draining: Arc<AtomicBool>,
    /// What a process that starts waits for though the store is there.
    waits: Arc<Mutex<Option<Wait>>>,
    /// What an acknowledgement means here.
    durability: Option<String>,
    /// Of the public ports, and what says how old it is.
    certificate: Option<(Arc<Tls>, Clock)>,
}

struct Wait {
    /// A sentence for operators.
    why: String,
    /// What the store is in, where that is why.
    trouble: Option<Trouble>,
}

impl Readiness {
    /// Not ready yet.
    pub(crate) fn new(durability: Option<String>) -> Self {
        Self {
            store: Arc::default(),
            wired: Arc::default(),
            draining: Arc::default(),
            waits: Arc::default(),
            durability,
            certificate: None,
        }
    }

    /// Says too when this certificate is about to expire.
    pub(crate) fn with_certificate(self, tls: Option<Arc<Tls>>, clock: Clock) -> Self {
        Self { certificate: tls.map(|tls| (tls, clock)), ..self }
    }

    /// The store was reached, and this is waited for besides; `trouble` is what the store is in, where that
    /// is why.
    pub(crate) fn wait_for(&self, why: String, trouble: Option<Trouble>) {
        debug!("waiting: {why}");
        *self.waits() = Some(Wait { why, trouble });
    }

    /// What keeps a process from starting, for anybody, as far as the store does.
    pub(crate) fn trouble(&self) -> Option<Trouble> {
        match self.condition() {
            Some(Condition::Away(trouble, _)) => Some(trouble),
            _ => self.waits().as_ref().and_then(|wait| wait.trouble),
        }
    }

    fn waits(&self) -> MutexGuard<'_, Option<Wait>> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This is the store; it may not have been reached yet.
    pub(crate) fn watch(&self, store: Arc<dyn Store>) {
        // There is one.
        let _ = self.store.set(store);
    }

    /// Ready as long as the store can be read; a process without a store is always ready.
    pub(crate) fn wired(&self) {
        self.wired.store(true, Ordering::Relaxed);
    }

    /// Ready no more: the process is about to end.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// What can be lost, or will stop, although everything works.
    fn caution(&self) -> Option<String> {
        let of_store = self.store.get().and_then(|store| store.caution());
        let of_certificate = self.certificate.as_ref().and_then(|(tls, clock)| tls.caution(clock.unix()));
        let all: Vec<String> = of_store.into_iter().chain(of_certificate).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }

    /// Whether this process should get work, and what an operator should know.
    fn verdict(&self) -> Verdict {
        if self.draining.load(Ordering::Relaxed) {
            return Verdict::Unready("draining: the process is about to end".to_owned());
        }
        let condition = self.condition();
        if !self.wired.load(Ordering::Relaxed) {
            return Verdict::Unready(match (condition, self.waits().as_ref()) {
                (Some(Condition::Away(trouble, why)), _) => {
                    format!("starting: the store was not reached yet: {trouble}: {why}")
                }
                (_, Some(Wait { why, .. })) => format!("starting: {why}"),
                (_, None) => "starting: the store is being prepared".to_owned(),
            });
        }
        match condition {
            None | Some(Condition::Writable) => Verdict::Ready,
            Some(Condition::ReadOnly(trouble, why)) => Verdict::ReadOnly(format!("{trouble}: {why}")),
            Some(Condition::Away(trouble, why)) => Verdict::Unready(format!("{trouble}: {why}")),
        }
    }

    /// How the store is; `None` where there is none, or none yet.
    pub(crate) fn condition(&self) -> Option<Condition> {
        self.store.get().map(|store| store.condition())
    }
}

/// Whether a process should get work.
enum Verdict {
    Ready,
    /// It serves readers, and says why it takes no placements.
    ReadOnly(String),
    Unready(String),
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
    metrics.process.ready.set(i64::from(!matches!(readiness.verdict(), Verdict::Unready(_))));
    let text = metrics.text();
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text)
        .into_response()
}

/// 200, or 503 with the reason; all answers say what an acknowledgement means here, and what it does not.
async fn ready(State(readiness): State<Readiness>) -> Response {
    let (status, word, reason) = match readiness.verdict() {
        Verdict::Ready => (StatusCode::OK, "ready", None),
        Verdict::ReadOnly(reason) => (StatusCode::OK, "read-only", Some(reason)),
        Verdict::Unready(reason) => (StatusCode::SERVICE_UNAVAILABLE, "unready", Some(reason)),
    };
    let mut body = json!({ "status": word, "durability": readiness.durability });
    for (key, text) in [("reason", reason), ("caution", readiness.caution())] {
        if let Some(text) = text {
            body[key] = text.into();
        }
    }
    (status, Json(body)).into_response()
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
        readiness.wired();
        assert_eq!(status(&router, "/readyz").await, StatusCode::OK);
        readiness.drain();
        assert_eq!(status(&router, "/readyz").await, StatusCode::SERVICE_UNAVAILABLE);
        for path in ["/livez", "/metrics", "/version"] {
            assert_eq!(status(&router, path).await, StatusCode::OK, "{path}");
        }
    }
}
