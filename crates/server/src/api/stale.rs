//! What readers get while the store is away: what was served last, marked as stale (RFC 9211).

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use pixel_canvas::{CanvasId, Sequence};

use super::Api;
use super::bodies::{OFFERED, Part, Remembered};
use super::chunks::{set_encoding, set_position};
use crate::negotiation::{Encoding, is_known};
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
        let old = canvas.and_then(|id| self.bodies.remembered(&id, part).map(|old| (id, old)));
        match old.filter(|(_, old)| old.read.0 >= since) {
            Some((id, old)) => Ok(self.stale(&id, part, old, headers).await),
            None => Err(refused),
        }
    }

    /// In the encoding that the client would get at other times, made from the one that is kept.
    async fn stale(&self, canvas: &CanvasId, part: Part, old: Remembered, headers: &HeaderMap) -> Response {
        let (version, read) = (old.version, old.read);
        let seconds = self.needs.clock.now().saturating_duration_since(read.1).as_secs();
        let encoding = Encoding::choose(headers, OFFERED);
        let (epoch, changed) = version;
        let etag = encoding.etag(&format!("{epoch}-{changed}"));
        let mut response = if is_known(headers, &etag) {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            let plain = move || old.into_plain();
            let body = self.bodies.get(canvas, part, version, encoding, read, plain);
            let mut response = Response::new(Body::from(body.await));
            let head = response.headers_mut();
            head.insert(header::CONTENT_TYPE, part.content_type());
            set_encoding(head, encoding);
            response
        };
        let head = response.headers_mut();
        set_position(head, epoch, read.0);
        head.insert(header::ETAG, etag);
        head.append(header::VARY, HeaderValue::from_static("accept-encoding"));
        head.insert(header::AGE, HeaderValue::from(seconds));
        let status = format!("pixel-playground; hit; ttl=-{}; detail=store-away", seconds.max(1));
        head.insert(CACHE_STATUS, HeaderValue::try_from(status).expect("it is plain ASCII"));
        // No cache on the way keeps what is old already.
        head.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}
