//! Guests for programs: a token to be somebody with.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::Api;

/// A fresh guest.
#[derive(Serialize, ToSchema)]
pub(crate) struct GuestToken {
    /// To be sent as `Authorization: Bearer TOKEN`, on sockets too.
    token: String,
    /// Unix milliseconds.
    expires: u64,
}

/// Makes a guest: cooldown, rate, idempotency keys and undo will belong to it.
#[utoipa::path(
    post, path = "/api/guests", tag = "guests",
    responses((status = 200, description = "A fresh guest", body = GuestToken))
)]
pub(crate) async fn create(State(api): State<Arc<Api>>) -> Json<GuestToken> {
    let guest = api.needs.identities.issue(api.needs.clock.unix());
    Json(GuestToken { token: guest.token, expires: guest.expires.0 })
}
