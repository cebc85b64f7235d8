//! Every error answer: a status and one sentence.

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use pixel_canvas::Refusal;
use pixel_store::{StoreError, Trouble};
use serde::Serialize;
use tracing::debug;
use utoipa::ToSchema;

use crate::identity::InvalidToken;

/// When to come back to a store that is in trouble, in milliseconds.
const STORE_WAIT_MS: u64 = 1_000;

/// Some caches keep a 404 for minutes unless they are told.
const NEVER_KEPT: (HeaderName, HeaderValue) = (header::CACHE_CONTROL, HeaderValue::from_static("no-store"));

/// The body of every error answer.
#[derive(Serialize, ToSchema)]
pub(crate) struct Failure {
    /// One sentence: what was wrong and what is allowed.
    error: String,
    /// `unknown`: it may or may not have happened. Retry with the same Idempotency-Key.
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'static str>,
}

/// Answers with a [`Failure`].
pub(crate) fn refuse(status: StatusCode, sentence: impl Into<String>) -> Response {
    (status, [NEVER_KEPT], Json(Failure { error: sentence.into(), outcome: None })).into_response()
}

/// The same with `Retry-After`, in whole seconds, at least 1.
pub(crate) fn refuse_for(status: StatusCode, sentence: impl Into<String>, retry_after_ms: u64) -> Response {
    let mut response = refuse(status, sentence);
    let seconds = retry_after_ms.div_ceil(1_000).max(1);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}

/// What a refused submission is answered over HTTP.
pub(crate) fn refused(refusal: &Refusal) -> Response {
    let status = status(refusal);
    if *refusal == Refusal::Unknown {
        let body = Failure { error: refusal.to_string(), outcome: Some("unknown") };
        let retry = [(header::RETRY_AFTER, HeaderValue::from_static("1")), NEVER_KEPT];
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
        Refusal::KeyReused | Refusal::NothingToUndo | Refusal::NothingToRedo => StatusCode::CONFLICT,
        Refusal::Frozen => StatusCode::FORBIDDEN,
        Refusal::NoCanvas => StatusCode::NOT_FOUND,
        Refusal::Busy { .. } | Refusal::Unavailable | Refusal::Unknown => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// An error answer on its way out of a handler, so that `?` can be used.
#[derive(Debug)]
pub(crate) struct Refused(Box<Response>);

impl Refused {
    /// This status with this sentence.
    pub(crate) fn new(status: StatusCode, sentence: impl Into<String>) -> Self {
        refuse(status, sentence).into()
    }

    /// 400.
    pub(crate) fn wrong(sentence: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, sentence)
    }

    /// 404 for a canvas.
    pub(crate) fn no_canvas() -> Self {
        refused(&Refusal::NoCanvas).into()
    }

    /// 503 with what the store is in.
    pub(crate) fn unavailable(trouble: Trouble) -> Self {
        let sentence = format!("{trouble}: nothing was changed by this request, come back in a moment");
        let mut refused = Self::busy(sentence, STORE_WAIT_MS);
        refused.0.extensions_mut().insert(trouble);
        refused
    }

    /// What the store is in, where that is why.
    pub(crate) fn trouble(&self) -> Option<Trouble> {
        self.0.extensions().get().copied()
    }

    /// 503 with the time to wait.
    pub(crate) fn busy(sentence: impl Into<String>, retry_after_ms: u64) -> Self {
        refuse_for(StatusCode::SERVICE_UNAVAILABLE, sentence, retry_after_ms).into()
    }
}

impl From<Response> for Refused {
    fn from(response: Response) -> Self {
        Self(Box::new(response))
    }
}

impl From<&Refusal> for Refused {
    fn from(refusal: &Refusal) -> Self {
        refused(refusal).into()
    }
}

impl From<StoreError> for Refused {
    /// The store itself says when it goes away and comes back: a crowd that asks must not fill the log.
    fn from(failure: StoreError) -> Self {
        debug!(error = &failure as &dyn std::error::Error, "a request failed in the store");
        match failure {
            StoreError::Unavailable(_) => Self::unavailable(failure.trouble()),
            StoreError::Unknown(_) => refused(&Refusal::Unknown).into(),
        }
    }
}

impl From<InvalidToken> for Refused {
    fn from(invalid: InvalidToken) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, invalid.to_string())
    }
}

impl From<PathRejection> for Refused {
    fn from(rejection: PathRejection) -> Self {
        Self::wrong(format!("the path cannot be read: {}", rejection.body_text()))
    }
}

impl From<QueryRejection> for Refused {
    fn from(rejection: QueryRejection) -> Self {
        Self::wrong(format!("the query cannot be read: {}", rejection.body_text()))
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        *self.0
    }
}
