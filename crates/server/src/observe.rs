//! Counts and times every HTTP answer, and logs those that an operator should see.

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use tracing::{debug, warn};

use crate::clock::Clock;
use crate::telemetry::HttpMetrics;

#[derive(Clone)]
struct Observer {
    service: &'static str,
    metrics: HttpMetrics,
    clock: Clock,
}

/// Wraps a port's router; `service` is the label in the metrics.
pub(crate) fn observe(router: Router, service: &'static str, metrics: HttpMetrics, clock: Clock) -> Router {
    router.layer(from_fn_with_state(Observer { service, metrics, clock }, count))
}

async fn count(State(observer): State<Observer>, request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let begun = observer.clock.now();
    let response = next.run(request).await;
    let took = observer.clock.now().duration_since(begun);
    let status = response.status().as_u16();
    observer.metrics.answered(observer.service, status);
    observer.metrics.seconds.observe(took.as_secs_f64());
    let took_ms = took.as_secs_f64() * 1_000.0;
    if status == 500 {
        warn!(%method, path, status, took_ms, "a request failed");
    } else {
        debug!(%method, path, status, took_ms, "answered");
    }
    response
}
