//! Who a request comes from, as handlers ask for it.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use pixel_canvas::Author;

use super::Api;
use crate::identity::HostCheck;
use crate::listen::Peer;
use crate::refusal::{Refused, refuse};

/// The guest, or host, behind a request.
pub(crate) struct Visitor(pub(crate) Author);

/// The address that a request comes from, as far as it can be believed.
pub(crate) struct ClientAddress(pub(crate) IpAddr);

/// Proof that a request comes from the host.
pub(crate) struct Host;

impl FromRequestParts<Arc<Api>> for Visitor {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Refused> {
        let needs = &api.needs;
        let caller = needs.identities.caller(&parts.headers, address(parts, api), needs.clock.unix())?;
        Ok(Self(caller.author))
    }
}

impl FromRequestParts<Arc<Api>> for ClientAddress {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Infallible> {
        Ok(Self(address(parts, api)))
    }
}

impl FromRequestParts<Arc<Api>> for Host {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Refused> {
        match api.needs.identities.host(&parts.headers) {
            HostCheck::Host => Ok(Self),
            HostCheck::NoToken => {
                let sentence = "only the host may do this: send the token as Authorization: Bearer TOKEN";
                let mut response = refuse(StatusCode::UNAUTHORIZED, sentence);
                response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
                Err(response.into())
            }
            HostCheck::OtherToken => Err(Refused::new(StatusCode::FORBIDDEN, "this is not the host's token")),
            HostCheck::NoHost => {
                let sentence = "nobody may do this here: the server was started without --admin-token-file";
                Err(Refused::new(StatusCode::FORBIDDEN, sentence))
            }
        }
    }
}

fn address(parts: &Parts, api: &Api) -> IpAddr {
    let peer = parts.extensions.get::<Peer>().expect("the listener tells every request its peer");
    api.needs.proxies.client(peer.address.ip(), &parts.headers)
}
