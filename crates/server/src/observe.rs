//! Counts and times every HTTP answer, and logs those that an operator should see.

use std::time::Instant;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use tracing::{debug, warn};

use crate::clock::Clock;
use crate::telemetry::HttpMetrics;

/// Sees what one port answers.
#[derive(Clone)]
pub(crate) struct Observer {
    /// The label in the metrics.
    pub(crate) service: &'static str,
    pub(crate) metrics: HttpMetrics,
    pub(crate) clock: Clock,
}

impl Observer {
    /// Sees an answer whose request came at `begun`.
    pub(crate) fn saw(&self, method: &Method, path: &str, status: StatusCode, begun: Instant) {
        let took = self.clock.now().duration_since(begun);
        let status = status.as_u16();
        self.metrics.answered(self.service, status);
        self.metrics.seconds.observe(took.as_secs_f64());
        // Never the query: clients may put there what nobody else should read.
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        if status == 500 {
            warn!(
                http.request.method = %method,
                url.path = path,
                http.response.status_code = status,
                event.duration = nanos,
                "a request failed"
            );
        } else {
            debug!(
                http.request.method = %method,
                url.path = path,
                http.response.status_code = status,
                event.duration = nanos,
                "answered"
            );
        }
    }
}

/// Wraps a port's router.
pub(crate) fn observe(router: Router, observer: Observer) -> Router {
    router.layer(from_fn_with_state(observer, count))
}

async fn count(State(observer): State<Observer>, request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let begun = observer.clock.now();
    let response = next.run(request).await;
    observer.saw(&method, &path, response.status(), begun);
    response
}
