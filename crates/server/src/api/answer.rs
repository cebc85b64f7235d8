//! How a part of a canvas is answered: in the encoding that the client likes best, or 304 where it has it.

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use pixel_canvas::{Epoch, Sequence};

use super::Api;
use super::bodies::{Edition, OFFERED};
use super::caching::Caching;
use crate::negotiation::{Encoding, is_known};

impl Api {
    /// Answers with an edition, which caches may keep as `caching` says; `plain` makes its body
    /// where it is not kept.
    pub(super) async fn answer(
        &self,
        edition: &Edition,
        headers: &HeaderMap,
        caching: Caching,
        plain: impl FnOnce() -> Bytes + Send + 'static,
    ) -> Response {
        let encoding = Encoding::choose(headers, OFFERED);
        let etag = encoding.etag(&edition.version.to_string());
        let mut response = if is_known(headers, &etag) {
            self.bodies.confirm(edition);
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            let body = self.bodies.get(edition, encoding, plain).await;
            let mut response = Response::new(Body::from(body));
            let head = response.headers_mut();
            head.insert(header::CONTENT_TYPE, edition.part.content_type());
            if encoding != Encoding::Identity {
                head.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding.name()));
            }
            response
        };
        let head = response.headers_mut();
        set_position(head, edition.version.epoch, edition.read.sequence);
        head.insert(header::ETAG, etag);
        caching.set(head);
        head.append(header::VARY, HeaderValue::from_static("accept-encoding"));
        response
    }
}

/// Says where the canvas stood.
pub(super) fn set_position(headers: &mut HeaderMap, epoch: Epoch, sequence: Sequence) {
    let epoch = HeaderValue::try_from(epoch.to_string()).expect("hex digits are plain ASCII");
    headers.insert("epoch", epoch);
    headers.insert("sequence", HeaderValue::from(sequence.0));
}
