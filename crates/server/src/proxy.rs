//! Hands requests on to services of other processes, so that one origin does everything.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use axum::{Json, Router};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tracing::{debug, warn};

use crate::config::Url;
use crate::listen::Peer;

/// How long a connection to a service may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a service has to begin its answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// Headers that speak of one connection, not of the request.
const HOP_BY_HOP: [&str; 7] = [
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
];

/// Services of one kind, taken in turn.
struct Services {
    /// The flag that names them.
    flag: &'static str,
    urls: Vec<Url>,
    turn: AtomicUsize,
}

/// `/api` goes to the apis, `/ws` to the gateways.
pub(crate) fn router(apis: Vec<Url>, gateways: Vec<Url>) -> Router {
    let services = |flag, urls| Arc::new(Services { flag, urls, turn: AtomicUsize::new(0) });
    let mut router = Router::new();
    if !apis.is_empty() {
        let apis = services("--api-url", apis);
        let paths = ["/api", "/api/{*path}"];
        let routes = paths.into_iter().fold(Router::new(), |router, path| router.route(path, any(hand_on)));
        router = router.merge(routes.with_state(apis));
    }
    if !gateways.is_empty() {
        router = router
            .merge(Router::new().route("/ws", any(hand_on)).with_state(services("--gateway-url", gateways)));
    }
    router
}

async fn hand_on(
    State(services): State<Arc<Services>>,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Response {
    match services.forward(peer, request).await {
        Ok(response) => response,
        Err((status, why)) => {
            debug!(%status, "handing on failed: {why}");
            let error = "the service behind this page does not answer, come back in a moment";
            (status, [(header::RETRY_AFTER, HeaderValue::from_static("1"))], Json(json!({ "error": error })))
                .into_response()
        }
    }
}

type Failed = (StatusCode, String);

impl Services {
    async fn forward(&self, peer: Peer, mut request: Request) -> Result<Response, Failed> {
        let stream = self.dial().await?;
        let handshake = http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) =
            handshake.map_err(|error| (StatusCode::BAD_GATEWAY, error.to_string()))?;
        tokio::spawn(async move {
            if let Err(broken) = connection.with_upgrades().await {
                debug!(error = %broken, "a connection to a service ended");
            }
        });
        let asked_to_upgrade = request.extensions_mut().remove::<hyper::upgrade::OnUpgrade>();
        let upgrade = is_upgrade(request.headers());
        clean(request.headers_mut(), upgrade);
        append_address(request.headers_mut(), peer.address.ip());
        *request.uri_mut() = path_of(request.uri());
        let answer = timeout(ANSWER_TIMEOUT, sender.send_request(request)).await;
        let mut response = answer
            .map_err(|_| (StatusCode::GATEWAY_TIMEOUT, "no answer in time".to_owned()))?
            .map_err(|error| (StatusCode::BAD_GATEWAY, error.to_string()))?;
        let switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        if switched && let Some(client) = asked_to_upgrade {
            let service = hyper::upgrade::on(&mut response);
            tokio::spawn(async move {
                let (Ok(client), Ok(service)) = tokio::join!(client, service) else {
                    return debug!("an upgrade that was handed on broke off");
                };
                let (mut client, mut service) = (TokioIo::new(client), TokioIo::new(service));
                if let Err(broken) = tokio::io::copy_bidirectional(&mut client, &mut service).await {
                    debug!(error = %broken, "a socket that was handed on broke off");
                }
            });
        }
        clean(response.headers_mut(), switched);
        Ok(response.map(Body::new))
    }

    /// A connection to the service whose turn it is, or to the next that can be reached.
    async fn dial(&self) -> Result<TcpStream, Failed> {
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        for step in 0..self.urls.len() {
            let url = &self.urls[(first + step) % self.urls.len()];
            match timeout(CONNECT_TIMEOUT, TcpStream::connect((url.host.as_str(), url.port))).await {
                Ok(Ok(stream)) => {
                    stream.set_nodelay(true).ok();
                    return Ok(stream);
                }
                Ok(Err(error)) => debug!(%error, "{}:{} cannot be reached", url.host, url.port),
                Err(_) => debug!("{}:{} does not answer", url.host, url.port),
            }
        }
        warn!("no service of {} can be reached", self.flag);
        Err((StatusCode::SERVICE_UNAVAILABLE, format!("no service of {} can be reached", self.flag)))
    }
}

/// What stands in the request's first line between servers: path and query.
fn path_of(uri: &axum::http::Uri) -> axum::http::Uri {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    path.parse().expect("it was part of a URI")
}

fn is_upgrade(headers: &HeaderMap) -> bool {
    headers.contains_key(header::UPGRADE)
}

/// Drops what speaks of one connection; an upgrade keeps the two headers that ask for it.
fn clean(headers: &mut HeaderMap, upgrade: bool) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.into_iter().filter(|name| *name != header::UPGRADE) {
        headers.remove(name);
    }
    HOP_BY_HOP.into_iter().for_each(|name| drop(headers.remove(name)));
    headers.remove(header::CONNECTION);
    if upgrade {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    } else {
        headers.remove(header::UPGRADE);
    }
}

/// Adds who asked at the right end, where the service's `--trusted-proxies` read it.
fn append_address(headers: &mut HeaderMap, ip: IpAddr) {
    let value = HeaderValue::try_from(ip.to_string()).expect("an address is plain ASCII");
    headers.append(FORWARDED_FOR, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_speaks_of_one_connection_is_not_handed_on() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "keep-alive, X-Mine, upgrade"),
            ("x-mine", "1"),
            ("te", "trailers"),
            ("upgrade", "websocket"),
            ("transfer-encoding", "chunked"),
            ("cookie", "a=b"),
        ] {
            headers.insert(name, value.parse().expect("a value"));
        }
        let mut plain = headers.clone();
        clean(&mut headers, true);
        assert_eq!(headers[header::CONNECTION], "upgrade");
        assert_eq!(headers[header::UPGRADE], "websocket");
        assert_eq!(headers.len(), 3, "{headers:?}");
        clean(&mut plain, false);
        assert_eq!(plain.len(), 1, "{plain:?}");
        assert!(plain.contains_key(header::COOKIE));
    }
}
