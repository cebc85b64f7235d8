//! What readers get while the store is away: what was served last, marked as stale (RFC 9211).

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::Response;
use pixel_canvas::{CanvasId, Sequence};

use super::Api;
use super::bodies::{Part, Remembered};
use super::caching::Caching;
use crate::refusal::Refused;

/// What a cache says of how it answered.
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

impl Api {
    /// Where `answer` is a refusal because of the store: what was served of this part before, if it
    /// is kept and is at `since` or later. Otherwise the answer itself.
    pub(super) async fn or_stale(
        &self,
        answer: Result<Response, Refused>,
        canvas: Option<CanvasId>,
        part: Part,
        since: Sequence,
        headers: &HeaderMap,
    ) -> Result<Response, Refused> {
        let refused = match answer {
            Err(refused) if refused.trouble().is_some() => refused,
            answer => return answer,
        };
        let old = canvas.and_then(|id| self.bodies.remembered(&id, part));
        match old.filter(|old| old.edition.read.sequence >= since) {
            Some(old) => Ok(self.stale(old, headers).await),
            None => Err(refused),
        }
    }

    /// In the encoding that the client would get at other times, made from the one that is kept.
    async fn stale(&self, old: Remembered, headers: &HeaderMap) -> Response {
        let edition = old.edition.clone();
        let seconds = self.needs.clock.now().saturating_duration_since(edition.read.at).as_secs();
        // No cache on the way keeps what is old already.
        let mut response = self.answer(&edition, headers, Caching::NEVER, move || old.into_plain()).await;
        mark(response.headers_mut(), seconds);
        response
    }
}

/// Says that an answer is so many seconds old, since the store is away.
pub(super) fn mark(head: &mut HeaderMap, seconds: u64) {
    head.insert(header::AGE, HeaderValue::from(seconds));
    let status = format!("pixel-playground; hit; ttl=-{}; detail=store-away", seconds.max(1));
    head.insert(CACHE_STATUS, HeaderValue::try_from(status).expect("it is plain ASCII"));
}
