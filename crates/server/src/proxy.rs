//! Hands requests on to services of other processes, so that one origin does everything.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::routing::any;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use pixel_canvas::Refusal;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{debug, warn};

use crate::api::body;
use crate::clock::Clock;
use crate::config::Url;
use crate::listen::Peer;
use crate::refusal::Refused;
use crate::turns::Turns;

/// How long a connection to a service may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a service has to begin its answer, before the next is asked as well, or a change is given up.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a request that changes nothing waits in all: longer than a service waits for a store that is not there yet.
const PATIENCE: Duration = Duration::from_secs(11);
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
    services: Vec<Arc<Service>>,
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
    /// One was asked, and did not answer.
    Unanswered { changes: bool },
}

/// `/api` goes to the apis, `/ws` to the gateways.
pub(crate) fn router(apis: Vec<Url>, gateways: Vec<Url>, clock: Clock) -> Router {
    let services = |flag, urls: Vec<Url>| {
        let service = |url| Arc::new(Service { url, missed: Mutex::default() });
        let services = urls.into_iter().map(service).collect();
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
) -> Result<Response, Refused> {
    services.forward(peer, request).await
}

impl From<Failed> for Refused {
    fn from(failed: Failed) -> Self {
        let away = |sentence: &str| Refused::busy(sentence, AWAY_WAIT_MS);
        match failed {
            Failed::NotAsked => away(
                "the service behind this page cannot be reached: nothing was changed by this request, come back in a moment",
            ),
            Failed::Unanswered { changes: true } => (&Refusal::Unknown).into(),
            Failed::Unanswered { changes: false } => {
                away("the service behind this page does not answer, come back in a moment")
            }
        }
    }
}

impl Services {
    /// Hands a request on to the service whose turn it is; to the next where that cannot be reached, or
    /// does not answer what may be asked twice.
    async fn forward(&self, peer: Peer, request: Request) -> Result<Response, Refused> {
        let (mut head, body) = request.into_parts();
        let asked_to_upgrade = head.extensions.remove::<hyper::upgrade::OnUpgrade>();
        let upgrade = is_upgrade(&head.headers);
        clean(&mut head.headers, upgrade);
        append_address(&mut head.headers, peer.address.ip());
        // Whole before anybody is asked: a client's own slowness is not the service's, and what is too large is
        // refused in the service's words, which would break off where it refuses before it has read all.
        let body = body::read(body, body::bytes_max(head.uri.path())).await?;
        head.uri = path_of(&head.uri);
        let changes = !head.method.is_safe();
        let (mut left, mut asked) = (self.in_turn().into_iter(), JoinSet::new());
        let (mut failed, end) = (Failed::NotAsked, self.clock.now() + PATIENCE);
        loop {
            let newest = left.next();
            if let Some(service) = &newest {
                let request = Request::from_parts(head.clone(), Body::from(body.clone()));
                asked.spawn(Arc::clone(service).ask(request));
            }
            let is_last = left.len() == 0 && !changes;
            let wait = if is_last { end.saturating_duration_since(self.clock.now()) } else { ANSWER_TIMEOUT };
            let missed = match timeout(wait, asked.join_next()).await {
                Ok(Some(Ok((service, Ok(response))))) => {
                    service.note_answered();
                    return Ok(handed_back(response, asked_to_upgrade));
                }
                Ok(Some(Ok((service, Err(Unanswered::NotReached))))) => {
                    service.note_missed(self.clock.now());
                    continue;
                }
                Ok(Some(Ok((service, Err(Unanswered::BrokeOff))))) => Some(service),
                // A panic, which is a defect; the runtime told of it.
                Ok(Some(Err(_))) => None,
                Ok(None) => break,
                Err(_) => newest,
            };
            if let Some(service) = missed {
                service.note_missed(self.clock.now());
            }
            failed = Failed::Unanswered { changes };
            if changes || self.clock.now() >= end {
                break;
            }
        }
        if matches!(failed, Failed::NotAsked) {
            warn!("no service of {} can be reached", self.flag);
        }
        Err(failed.into())
    }

    /// All of them, from the one whose turn it is; those that missed a request lately come last.
    fn in_turn(&self) -> Vec<Arc<Service>> {
        let now = self.clock.now();
        let order = self.turns.order(&self.services, |service| service.is_shunned(now));
        order.into_iter().map(Arc::clone).collect()
    }
}

/// Why a service did not answer.
enum Unanswered {
    NotReached,
    BrokeOff,
}

type Answer = Result<hyper::Response<hyper::body::Incoming>, Unanswered>;

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

    /// Its answer to a request, for as long as it takes.
    async fn ask(self: Arc<Self>, request: Request) -> (Arc<Self>, Answer) {
        let Some(mut sender) = self.reach().await else { return (self, Err(Unanswered::NotReached)) };
        let answer = sender.send_request(request).await.map_err(|error| {
            debug!(%error, "{}:{} broke off", self.url.host, self.url.port);
            Unanswered::BrokeOff
        });
        (self, answer)
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
