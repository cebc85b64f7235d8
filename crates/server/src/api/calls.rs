//! Where gateways of other processes hand in calls: sealed with the identity key, never routed to the public.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use pixel_canvas::Refusal;
use pixel_store::Outcome;

use super::Api;
use super::body::read;
use crate::hop::wire::{self, Unreadable};
use crate::refusal::Refused;

/// Places a call, and answers with an outcome for each submission.
pub(super) async fn place(State(api): State<Arc<Api>>, request: Request) -> Result<Response, Refused> {
    let (head, body) = request.into_parts();
    let body: Bytes = read(body, wire::CALL_BYTES_MAX).await?;
    let seal = head.headers.get(wire::SEAL).and_then(|seal| seal.to_str().ok()).unwrap_or_default();
    if !api.needs.identities.is_sealed(&body, seal) {
        let sentence = "the call is not sealed with this api's identity key";
        return Err(Refused::new(StatusCode::FORBIDDEN, sentence));
    }
    let (version, canvas, submissions) = wire::decode_call(&body).map_err(|unreadable| match unreadable {
        Unreadable::Version(version) => {
            let sentence = format!("this api does not know version {version} of calls");
            Refused::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, sentence)
        }
        Unreadable::Malformed => Refused::wrong("the call cannot be read"),
    })?;
    let deadline = api.needs.placer.deadline(api.needs.clock.now());
    let outcomes = api.needs.placer.place(&canvas, submissions, deadline).await;
    let kind = [(header::CONTENT_TYPE, "application/octet-stream")];
    let mut response = (kind, wire::encode_outcomes(version, &outcomes)).into_response();
    if outcomes.contains(&Outcome::Refused(Refusal::Unavailable)) {
        let word = HeaderValue::from_static(api.needs.placer.trouble(&canvas).word());
        response.headers_mut().insert(wire::TROUBLE, word);
    }
    Ok(response)
}
