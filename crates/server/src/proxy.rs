//! Hands requests on to services of other processes, so that one origin does everything.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use hyper::body::Body as _;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use pixel_canvas::Refusal;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tracing::{debug, warn};

use crate::clock::Clock;
use crate::config::Url;
use crate::listen::Peer;
use crate::refusal::{refuse, refuse_for, refused};
use crate::turns::Turns;

/// How long a connection to a service may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a service has to begin its answer: longer than any of them takes.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// A service that did not answer is the last to be asked for so long.
const SHUNNED: Duration = Duration::from_secs(10);
/// When to come back where no service answers, in milliseconds.
const AWAY_WAIT_MS: u64 = 1_000;
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
    services: Vec<Service>,
    turns: Turns,
    clock: Clock,
}

/// One of them.
struct Service {
    url: Url,
    /// When it last failed to answer.
    missed: Mutex<Option<Instant>>,
}

/// Why there is no answer to hand back.
#[derive(Debug)]
enum Failed {
    /// No service could be reached: nothing happened.
    NotAsked,
    /// The client's body broke off, or cannot be read.
    Body,
    /// One was asked, and did not answer.
    Unanswered { changes: bool },
}

/// `/api` goes to the apis, `/ws` to the gateways.
pub(crate) fn router(apis: Vec<Url>, gateways: Vec<Url>, clock: Clock) -> Router {
    let services = |flag, urls: Vec<Url>| {
        let services = urls.into_iter().map(|url| Service { url, missed: Mutex::default() }).collect();
        Arc::new(Services { flag, services, turns: Turns::default(), clock })
    };
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
    services.forward(peer, request).await.unwrap_or_else(IntoResponse::into_response)
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        let away = |sentence| refuse_for(StatusCode::SERVICE_UNAVAILABLE, sentence, AWAY_WAIT_MS);
        match self {
            Self::NotAsked => away(
                "the service behind this page cannot be reached: nothing was changed by this request, come back in a moment",
            ),
            Self::Body => refuse(StatusCode::BAD_REQUEST, "the request's body cannot be read"),
            Self::Unanswered { changes: true } => refused(&Refusal::Unknown),
            Self::Unanswered { changes: false } => {
                away("the service behind this page does not answer, come back in a moment")
            }
        }
    }
}

impl Services {
    /// Hands a request on to the service whose turn it is; to the next where that cannot be reached, or
    /// does not answer what may be asked twice.
    async fn forward(&self, peer: Peer, request: Request) -> Result<Response, Failed> {
        let (mut head, body) = request.into_parts();
        let asked_to_upgrade = head.extensions.remove::<hyper::upgrade::OnUpgrade>();
        let upgrade = is_upgrade(&head.headers);
        clean(&mut head.headers, upgrade);
        append_address(&mut head.headers, peer.address.ip());
        head.uri = path_of(&head.uri);
        let changes = !head.method.is_safe();
        let may_ask_again = !changes && body.is_end_stream();
        let mut body = Some(body);
        let mut failed = Failed::NotAsked;
        for service in self.in_turn() {
            let Some(sender) = service.reach().await else {
                service.note_missed(self.clock.now());
                continue;
            };
            let body = body.take().unwrap_or_default();
            match service.ask(sender, Request::from_parts(head.clone(), body)).await {
                Ok(response) => {
                    service.note_answered();
                    return Ok(handed_back(response, asked_to_upgrade));
                }
                Err(Unanswered::Body) => return Err(Failed::Body),
                Err(Unanswered::Missed) => {
                    service.note_missed(self.clock.now());
                    failed = Failed::Unanswered { changes };
                    if !may_ask_again {
                        break;
                    }
                }
            }
        }
        if matches!(failed, Failed::NotAsked) {
            warn!("no service of {} can be reached", self.flag);
        }
        Err(failed)
    }

    /// All of them, from the one whose turn it is; those that missed a request lately come last.
    fn in_turn(&self) -> Vec<&Service> {
        let now = self.clock.now();
        self.turns.order(&self.services, |service| service.is_shunned(now))
    }
}

/// Why a service that was reached did not answer.
enum Unanswered {
    Missed,
    /// The body that it was to be sent broke off.
    Body,
}

impl Service {
    /// A connection to it.
    async fn reach(&self) -> Option<http1::SendRequest<Body>> {
        let Url { host, port, .. } = &self.url;
        let stream = match timeout(CONNECT_TIMEOUT, TcpStream::connect((host.as_str(), *port))).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                debug!(%error, "{host}:{port} cannot be reached");
                return None;
            }
            Err(_) => {
                debug!("{host}:{port} cannot be reached in time");
                return None;
            }
        };
        stream.set_nodelay(true).ok();
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
        tokio::spawn(async move {
            if let Err(broken) = connection.with_upgrades().await {
                debug!(error = %broken, "a connection to a service ended");
            }
        });
        Some(sender)
    }

    async fn ask(
        &self,
        mut sender: http1::SendRequest<Body>,
        request: Request,
    ) -> Result<hyper::Response<hyper::body::Incoming>, Unanswered> {
        let Url { host, port, .. } = &self.url;
        match timeout(ANSWER_TIMEOUT, sender.send_request(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) if error.is_user() => Err(Unanswered::Body),
            Ok(Err(error)) => {
                debug!(%error, "{host}:{port} broke off");
                Err(Unanswered::Missed)
            }
            Err(_) => {
                debug!("{host}:{port} did not answer in time");
                Err(Unanswered::Missed)
            }
        }
    }

    fn is_shunned(&self, now: Instant) -> bool {
        let missed = *self.missed.lock().unwrap_or_else(PoisonError::into_inner);
        missed.is_some_and(|missed| now.saturating_duration_since(missed) < SHUNNED)
    }

    fn note_missed(&self, now: Instant) {
        *self.missed.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
    }

    fn note_answered(&self) {
        *self.missed.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// A service's answer as the client gets it; one that switches protocols joins both connections.
fn handed_back(
    mut response: hyper::Response<hyper::body::Incoming>,
    asked_to_upgrade: Option<hyper::upgrade::OnUpgrade>,
) -> Response {
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
    response.map(Body::new)
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
