//! From an HTTP request to a connection: checks who may open a socket, answers 101, hands it over.

use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::http::header::{
    CONNECTION, CONTENT_LENGTH, RETRY_AFTER, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING, UPGRADE,
};
use axum::http::{self, HeaderMap, HeaderName, Method, StatusCode, Version};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use bytes::Bytes;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use pixel_canvas::{Author, CanvasId};
use pixel_protocol::websocket::accept_key;
use pixel_protocol::{binary, json};
use pixel_store::Trouble;
use tokio::net::{TcpStream, UnixStream};
use tracing::{debug, error};

use super::Gateway;
use super::channel::Channel;
use super::connection::Socket;
use super::session::Dialect;
use super::sweep::Newcomer;
use crate::address::AddressGuard;
use crate::identity::Caller;
use crate::listen::Peer;
use crate::origin::Verdict;
use crate::refusal::refuse;

/// Why a request does not become a socket.
pub(super) struct Refused {
    status: StatusCode,
    sentence: String,
    header: Option<(HeaderName, &'static str)>,
}

impl Refused {
    fn new(status: StatusCode, sentence: impl Into<String>) -> Self {
        Self { status, sentence: sentence.into(), header: None }
    }

    /// The metric's label.
    fn reason(&self) -> &'static str {
        match self.status {
            StatusCode::FORBIDDEN => "origin",
            StatusCode::UNAUTHORIZED => "token",
            StatusCode::NOT_FOUND => "no_canvas",
            StatusCode::TOO_MANY_REQUESTS => "address",
            StatusCode::SERVICE_UNAVAILABLE => "unavailable",
            _ => "handshake",
        }
    }

    fn with(mut self, name: HeaderName, value: &'static str) -> Self {
        self.header = Some((name, value));
        self
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let mut response = refuse(self.status, self.sentence);
        if let Some((name, value)) = self.header {
            response.headers_mut().insert(name, axum::http::HeaderValue::from_static(value));
        }
        response
    }
}

/// Answers an upgrade, and hands the socket to the least busy thread.
pub(super) async fn upgrade(
    State(gateway): State<Arc<Gateway>>,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Response {
    match prepare(&gateway, peer.address.ip(), request).await {
        Ok(response) => response,
        Err(refused) => {
            gateway.needs.metrics.refused_upgrade(refused.reason());
            refused.into_response()
        }
    }
}

/// A handshake that passed every check but that its canvas is there.
pub(super) struct Admitted {
    pub(super) canvas: CanvasId,
    /// The answer to its key.
    pub(super) accept: String,
    pub(super) subprotocol: Option<&'static str>,
    dialect: Dialect,
    author: Author,
    /// To come back with; empty where there is one, or nobody would be told.
    token: String,
    guard: AddressGuard,
}

impl Admitted {
    /// Owed `opening` first; `sent` is what came right behind the request.
    pub(super) fn newcomer(
        self,
        socket: Socket,
        opening: Vec<u8>,
        sent: Bytes,
        channel: Arc<Channel>,
    ) -> Newcomer {
        let Self { dialect, author, token, guard, .. } = self;
        Newcomer { socket, opening, sent, dialect, author, token, channel, guard }
    }
}

/// Checks who may open a socket.
pub(super) fn admit<B>(
    gateway: &Gateway,
    peer: IpAddr,
    request: &http::Request<B>,
) -> Result<Admitted, Refused> {
    let headers = request.headers();
    let key = handshake_key(request.method(), headers)?;
    if request.version() < Version::HTTP_11 {
        return Err(Refused::new(StatusCode::UPGRADE_REQUIRED, "a WebSocket handshake is HTTP/1.1"));
    }
    let bytes = headers.get(CONTENT_LENGTH).map_or(&b"0"[..], |length| length.as_bytes());
    if bytes != b"0" || headers.contains_key(TRANSFER_ENCODING) {
        return Err(Refused::new(StatusCode::BAD_REQUEST, "a WebSocket handshake has no body"));
    }
    let accept = accept_key(key);
    if gateway.needs.origins.judge(headers) == Verdict::Foreign {
        return Err(Refused::new(StatusCode::FORBIDDEN, "this origin may not open sockets here"));
    }
    if gateway.draining.load(Ordering::Relaxed) {
        let refused =
            Refused::new(StatusCode::SERVICE_UNAVAILABLE, "the server restarts, come back in a moment");
        return Err(refused.with(RETRY_AFTER, "1"));
    }
    let (dialect, subprotocol) = choose_dialect(headers)?;
    let canvas = canvas_id(request.uri().query())?;
    let ip = gateway.needs.proxies.client(peer, headers);
    let Some(guard) = gateway.needs.addresses.enter(ip) else {
        let refused = Refused::new(StatusCode::TOO_MANY_REQUESTS, "too many connections from this address");
        return Err(refused.with(RETRY_AFTER, "10"));
    };
    let now = gateway.needs.clock.unix();
    let identities = &gateway.needs.identities;
    let Caller { author, fresh } = identities
        .for_socket(headers, ip, now)
        .map_err(|invalid| Refused::new(StatusCode::UNAUTHORIZED, invalid.to_string()))?;
    let told = fresh && dialect == Dialect::Binary;
    let token = if told { identities.sign(author.identity, now) } else { String::new() };
    Ok(Admitted { canvas, accept, subprotocol, dialect, author, token, guard })
}

async fn prepare(gateway: &Arc<Gateway>, peer: IpAddr, mut request: Request) -> Result<Response, Refused> {
    let admitted = admit(gateway, peer, &request)?;
    let id = &admitted.canvas;
    let channel = match gateway.channel(id).await {
        Ok(Some(channel)) => {
            gateway.unreadable.store(false, Ordering::Relaxed);
            channel
        }
        Ok(None) => return Err(Refused::new(StatusCode::NOT_FOUND, format!("there is no canvas {id}"))),
        Err(failure) => {
            let told = failure.trouble() != Trouble::Other;
            if told || gateway.unreadable.swap(true, Ordering::Relaxed) {
                debug!(canvas.id = %id, error = ?failure, "cannot open canvas {id}");
            } else {
                error!(canvas.id = %id, error = ?failure, "cannot open canvas {id}: its sockets are refused");
            }
            let sentence = format!("{}: the canvas cannot be read right now", failure.trouble());
            let refused = Refused::new(StatusCode::SERVICE_UNAVAILABLE, sentence);
            return Err(refused.with(RETRY_AFTER, "1"));
        }
    };

    let mut response = Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(CONNECTION, "upgrade")
        .header(UPGRADE, "websocket")
        .header(SEC_WEBSOCKET_ACCEPT, &admitted.accept);
    if let Some(subprotocol) = admitted.subprotocol {
        response = response.header(SEC_WEBSOCKET_PROTOCOL, subprotocol);
    }
    let on_upgrade = hyper::upgrade::on(&mut request);
    let gateway = Arc::clone(gateway);
    tokio::spawn(async move {
        let (socket, sent) = match on_upgrade.await.map_err(io::Error::other).and_then(take_socket) {
            Ok(taken) => taken,
            Err(failure) => return debug!(error = ?failure, "an upgrade broke off"),
        };
        gateway.least_busy().adopt(admitted.newcomer(socket, Vec::new(), sent, channel));
    });
    response.body(Body::empty()).map_err(|wrong| Refused::new(StatusCode::BAD_REQUEST, wrong.to_string()))
}

/// The handshake's key, where the request is a WebSocket handshake at all.
fn handshake_key<'a>(method: &Method, headers: &'a HeaderMap) -> Result<&'a str, Refused> {
    let names = |header: HeaderName, token: &str| {
        let values = headers.get_all(header).into_iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|value| value.trim().eq_ignore_ascii_case(token))
    };
    if method != Method::GET || !names(CONNECTION, "upgrade") || !names(UPGRADE, "websocket") {
        let sentence = "this is a WebSocket gateway: send a WebSocket handshake, or GET /health";
        return Err(Refused::new(StatusCode::UPGRADE_REQUIRED, sentence).with(UPGRADE, "websocket"));
    }
    if !names(SEC_WEBSOCKET_VERSION, "13") {
        let refused = Refused::new(StatusCode::UPGRADE_REQUIRED, "Sec-WebSocket-Version must be 13");
        return Err(refused.with(SEC_WEBSOCKET_VERSION, "13"));
    }
    let key = headers.get(SEC_WEBSOCKET_KEY).and_then(|key| key.to_str().ok()).map(str::trim);
    let decoded =
        |key: &&str| base64::engine::general_purpose::STANDARD.decode(key).is_ok_and(|key| key.len() == 16);
    let wrong = || Refused::new(StatusCode::BAD_REQUEST, "Sec-WebSocket-Key must be 16 bytes in base64");
    key.filter(decoded).ok_or_else(wrong)
}

/// The first subprotocol of the client's list that we speak; JSON without a list.
fn choose_dialect(headers: &HeaderMap) -> Result<(Dialect, Option<&'static str>), Refused> {
    let offered = headers.get_all(SEC_WEBSOCKET_PROTOCOL).into_iter().filter_map(|value| value.to_str().ok());
    let mut offered = offered.flat_map(|value| value.split(',')).map(str::trim).peekable();
    if offered.peek().is_none() {
        return Ok((Dialect::Json, None));
    }
    let spoken = |name| match name {
        binary::SUBPROTOCOL => Some((Dialect::Binary, Some(binary::SUBPROTOCOL))),
        json::SUBPROTOCOL => Some((Dialect::Json, Some(json::SUBPROTOCOL))),
        _ => None,
    };
    offered.find_map(spoken).ok_or_else(|| {
        let sentence = format!("the subprotocols here are {} and {}", json::SUBPROTOCOL, binary::SUBPROTOCOL);
        Refused::new(StatusCode::BAD_REQUEST, sentence)
    })
}

/// The canvas that `?canvas=` names; the default one without it.
fn canvas_id(query: Option<&str>) -> Result<CanvasId, Refused> {
    let mut pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    match pairs.find(|(name, _)| name == "canvas") {
        None => Ok(CanvasId::default_canvas()),
        Some((_, raw)) => CanvasId::parse(&raw).ok_or_else(|| {
            Refused::new(StatusCode::NOT_FOUND, "there is no such canvas: an id is a-z, 0-9, - and _")
        }),
    }
}

/// Takes the socket out of the HTTP connection. One that speaks TLS stays with a task that bridges
/// it to a plain socket pair: the price of TLS without an ingress.
fn take_socket(upgraded: Upgraded) -> io::Result<(Socket, Bytes)> {
    match upgraded.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) => {
            let stream = parts.io.into_inner().into_std()?;
            Ok((Socket::tcp(stream)?, parts.read_buf))
        }
        Err(upgraded) => {
            let (near, far) = std::os::unix::net::UnixStream::pair()?;
            far.set_nonblocking(true)?;
            let mut far = UnixStream::from_std(far)?;
            tokio::spawn(async move {
                let mut client = TokioIo::new(upgraded);
                if let Err(broken) = tokio::io::copy_bidirectional(&mut client, &mut far).await {
                    debug!(error = ?broken, "a TLS connection broke off");
                }
            });
            Ok((Socket::bridge(OwnedFd::from(near))?, Bytes::new()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The query, then headers, a line each.
    #[test]
    fn fuzz_upgrades() {
        let seeds = ["canvas=main&x=1\nconnection: Upgrade\nupgrade: websocket\nsec-websocket-version: 13\n\
             sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\nsec-websocket-protocol: other, pixels.v1.bin"];
        crate::run::fuzz("upgrades", &seeds.map(|seed| seed.as_bytes().to_vec()), |bytes| {
            let mut lines = bytes.split(|byte| *byte == b'\n');
            let query = lines.next().and_then(|query| std::str::from_utf8(query).ok());
            let mut headers = HeaderMap::new();
            for line in lines {
                let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
                let name = HeaderName::from_bytes(&line[..colon]);
                let value = http::HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
                if let (Ok(name), Ok(value)) = (name, value) {
                    headers.append(name, value);
                }
            }
            if let Ok(key) = handshake_key(&Method::GET, &headers) {
                assert_eq!(accept_key(key).len(), 28);
            }
            let _ = (choose_dialect(&headers).is_ok(), canvas_id(query).is_ok());
        });
    }
}
