//! The short way in: a handshake that came whole and is good is answered without an HTTP server.
//!
//! It is admitted by the same checks as any other, and the answer goes out with the greeting, in one
//! write. Whatever else came is left as it is for the long way, and told there what is wrong with it.

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

use axum::http::header::{CONTENT_LENGTH, EXPECT, TRANSFER_ENCODING};
use axum::http::{HeaderName, HeaderValue, Request, StatusCode};
use bytes::Bytes;
use tracing::debug;

use super::Gateway;
use super::connection::Socket;
use super::upgrade::{Admitted, admit};
use crate::clarity::unclear;
use crate::listen::{HEADERS_MAX, Shortcut, Taken};
use crate::observe::Observer;

/// Which paths of a port open sockets.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Door {
    /// The gateway's own port: all but its health.
    Own,
    /// A port that serves other things too.
    Shared,
}

impl Door {
    fn opens(self, path: &str) -> bool {
        match self {
            Self::Own => path != super::HEALTH_PATH,
            Self::Shared => path == super::SOCKET_PATH,
        }
    }
}

/// The way in at this door, from when the gateway is there.
pub(crate) fn shortcut(gateway: Arc<OnceLock<Arc<Gateway>>>, door: Door, observer: Observer) -> Shortcut {
    Arc::new(move |bytes, peer| {
        let gateway = gateway.get()?;
        let begun = gateway.needs.clock.now();
        let (request, head_bytes) = parse(bytes)?;
        let path = request.uri().path();
        if !door.opens(path) || unclear(&request).is_some() {
            return None;
        }
        let admitted = admit(gateway, peer.ip(), &request).ok()?;
        let channel = gateway.ready_channel(&admitted.canvas)?;
        gateway.unreadable.store(false, Ordering::Relaxed);
        observer.saw(request.method(), path, StatusCode::SWITCHING_PROTOCOLS, begun);
        let gateway = Arc::clone(gateway);
        let hand_over = Box::new(move |stream| match Socket::tcp(stream) {
            Ok(socket) => {
                let answer = answer(&admitted);
                gateway.least_busy().adopt(admitted.newcomer(socket, answer, Bytes::new(), channel));
            }
            Err(failure) => debug!(error = ?failure, "a new connection went away at once"),
        });
        Some(Taken { head_bytes, hand_over })
    })
}

/// A request that can be a handshake and its bytes, where it is complete. One with a body is none.
fn parse(bytes: &[u8]) -> Option<(Request<()>, usize)> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(head_bytes) = head.parse(bytes).ok()? else { return None };
    if head.method != Some("GET") || head.version != Some(1) {
        return None;
    }
    let mut request = Request::new(());
    *request.uri_mut() = head.path?.parse().ok()?;
    for header in head.headers {
        let name = HeaderName::from_bytes(header.name.as_bytes()).ok()?;
        if [CONTENT_LENGTH, TRANSFER_ENCODING, EXPECT].contains(&name) {
            return None;
        }
        request.headers_mut().append(name, HeaderValue::from_bytes(header.value).ok()?);
    }
    Some((request, head_bytes))
}

/// The head that accepts a handshake.
fn answer(admitted: &Admitted) -> Vec<u8> {
    let mut head =
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n".to_vec();
    let mut say = |name: &str, value: &str| {
        for part in [name, ": ", value, "\r\n"] {
            head.extend_from_slice(part.as_bytes());
        }
    };
    say("sec-websocket-accept", &admitted.accept);
    if let Some(subprotocol) = admitted.subprotocol {
        say("sec-websocket-protocol", subprotocol);
    }
    head.extend_from_slice(b"\r\n");
    head
}
