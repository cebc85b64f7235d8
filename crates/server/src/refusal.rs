//! Every error answer: a status and one sentence.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use pixel_canvas::Refusal;
use serde_json::json;

/// Answers `{"error":"<sentence>"}`.
pub(crate) fn refuse(status: StatusCode, sentence: impl AsRef<str>) -> Response {
    (status, Json(json!({ "error": sentence.as_ref() }))).into_response()
}

/// The same with `Retry-After`, in whole seconds, at least 1.
pub(crate) fn refuse_for(status: StatusCode, sentence: impl AsRef<str>, retry_after_ms: u64) -> Response {
    let mut response = refuse(status, sentence);
    let seconds = retry_after_ms.div_ceil(1_000).max(1);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}

/// What a refused submission is answered over HTTP.
pub(crate) fn refused(refusal: &Refusal) -> Response {
    let status = status(refusal);
    if *refusal == Refusal::Unknown {
        let body = json!({ "error": refusal.to_string(), "outcome": "unknown" });
        let retry = [(header::RETRY_AFTER, HeaderValue::from_static("1"))];
        return (status, retry, Json(body)).into_response();
    }
    match refusal.retry_after_ms() {
        Some(wait_ms) => refuse_for(status, refusal.to_string(), wait_ms),
        None => refuse(status, refusal.to_string()),
    }
}

fn status(refusal: &Refusal) -> StatusCode {
    match refusal {
        Refusal::Outside { .. }
        | Refusal::NotAColor(_)
        | Refusal::NotInPalette(_)
        | Refusal::NotAnIndex { .. } => StatusCode::BAD_REQUEST,
        Refusal::Count { count: 0, .. } => StatusCode::BAD_REQUEST,
        Refusal::Count { .. } | Refusal::NeverEnough { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        Refusal::Cooldown { .. } | Refusal::Rate { .. } => StatusCode::TOO_MANY_REQUESTS,
        Refusal::KeyReused => StatusCode::CONFLICT,
        Refusal::Frozen => StatusCode::FORBIDDEN,
        Refusal::NoCanvas => StatusCode::NOT_FOUND,
        Refusal::Busy { .. } | Refusal::Unavailable | Refusal::Unknown => StatusCode::SERVICE_UNAVAILABLE,
    }
}
