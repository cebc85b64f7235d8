//! A port from its first moment: what it serves comes when the store was reached.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::timeout;
use tower::ServiceExt;

use crate::ops::Readiness;
use crate::refusal::Refused;

/// How long a read or an upgrade waits for the store to be reached for the first time.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long anything else does: who places is told within two seconds.
const PLACING_PATIENCE: Duration = Duration::from_millis(1_500);
/// When to come back, in milliseconds.
const RETRY_AFTER_MS: u64 = 1_000;
/// What is said where nothing is known of the store yet.
const NOT_REACHED: &str = "the store was not reached yet: nothing was changed, come back in a moment";

/// What a port will serve.
#[derive(Clone)]
pub(crate) struct Arrival {
    served: watch::Sender<Option<Router>>,
    /// Knows why it is not there yet.
    readiness: Readiness,
}

impl Arrival {
    /// A port that serves nothing yet.
    pub(crate) fn new(readiness: Readiness) -> Self {
        Self { served: watch::Sender::new(None), readiness }
    }

    /// It serves this from here on.
    pub(crate) fn arrive(&self, router: Router) {
        self.served.send_replace(Some(router));
    }

    /// Serves what has arrived. Before that its health is answered, and all else waits.
    pub(crate) fn router(&self) -> Router {
        self.router_within(PATIENCE)
    }

    fn router_within(&self, patience: Duration) -> Router {
        let waiting = (self.served.subscribe(), patience, self.readiness.clone());
        Router::new().fallback(forward).with_state(waiting)
    }
}

fn patience_for(request: &Request, patience: Duration) -> Duration {
    if request.method().is_safe() { patience } else { patience.min(PLACING_PATIENCE) }
}

type Waiting = (watch::Receiver<Option<Router>>, Duration, Readiness);

async fn forward(State((mut arrival, patience, readiness)): State<Waiting>, request: Request) -> Response {
    let here = arrival.borrow().clone();
    let router = match here {
        Some(router) => router,
        None if request.uri().path() == "/health" => {
            return Json(json!({ "status": "ok", "redis": "disconnected" })).into_response();
        }
        None => match timeout(patience_for(&request, patience), arrival.wait_for(Option::is_some)).await {
            Ok(Ok(router)) => router.clone().expect("it was waited for"),
            Ok(Err(_)) | Err(_) => {
                return match readiness.trouble() {
                    Some(trouble) => Refused::unavailable(trouble),
                    None => Refused::busy(NOT_REACHED, RETRY_AFTER_MS),
                }
                .into_response();
            }
        },
    };
    router.oneshot(request).await.into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::StatusCode;
    use axum::routing::get;

    use super::*;

    async fn status(router: &Router, path: &str) -> StatusCode {
        let request = Request::get(path).body(Body::empty()).expect("a request");
        router.clone().oneshot(request).await.expect("an answer").status()
    }

    #[tokio::test]
    async fn health_is_answered_at_once_and_all_else_waits_for_the_store() {
        let arrival = Arrival::new(Readiness::new(None));
        let impatient = arrival.router_within(Duration::from_millis(1));
        assert_eq!(status(&impatient, "/health").await, StatusCode::OK);
        assert_eq!(status(&impatient, "/api/canvases").await, StatusCode::SERVICE_UNAVAILABLE);
        let router = arrival.router();
        let waiting = tokio::spawn({
            let router = router.clone();
            async move { status(&router, "/here").await }
        });
        tokio::task::yield_now().await;
        arrival.arrive(Router::new().route("/here", get(async || "yes")));
        assert_eq!(waiting.await.expect("no panic"), StatusCode::OK);
        assert_eq!(status(&router, "/health").await, StatusCode::NOT_FOUND);
    }
}
