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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LINES: &str = "Host: here\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nCookie: a=b; guest=c\r\n";

    #[test]
    fn a_request_is_read_as_it_came() {
        let head = format!("GET /ws?canvas=a HTTP/1.1\r\n{LINES}cookie: d=e\r\n\r\n");
        let (request, head_bytes) = parse(format!("{head}frames").as_bytes()).expect("it is whole");
        assert_eq!(head_bytes, head.len());
        assert_eq!((request.uri().path(), request.uri().query()), ("/ws", Some("canvas=a")));
        let cookies: Vec<_> = request.headers().get_all("cookie").iter().collect();
        assert_eq!(cookies, ["a=b; guest=c", "d=e"]);
    }

    #[test]
    fn what_can_be_no_handshake_is_left() {
        let lines = |count: usize| "a: b\r\n".repeat(count);
        for (line, more, is_read) in [
            ("GET / HTTP/1.1", String::new(), true),
            ("GET / HTTP/1.1", lines(HEADERS_MAX - 4), true),
            ("GET / HTTP/1.1", lines(HEADERS_MAX - 3), false),
            ("GET / HTTP/1.0", String::new(), false),
            ("HEAD / HTTP/1.1", String::new(), false),
            ("GET / HTTP/1.1", "Content-Length: 2\r\n".to_owned(), false),
            ("GET / HTTP/1.1", "Transfer-Encoding: chunked\r\n".to_owned(), false),
            ("GET / HTTP/1.1", "no colon\r\n".to_owned(), false),
            ("GET  / HTTP/1.1", String::new(), false),
        ] {
            let head = format!("{line}\r\n{LINES}{more}\r\n");
            assert_eq!(parse(head.as_bytes()).is_some(), is_read, "{head}");
        }
    }

    proptest! {
        #[test]
        fn a_head_is_read_when_its_last_byte_is_there(
            path in "/[a-z]{0,9}(\\?canvas=[a-z]{1,9})?",
            value in "[ -~]{0,40}",
            bare in any::<bool>(),
            behind in prop::collection::vec(any::<u8>(), 0..20),
        ) {
            let head = format!("GET {path} HTTP/1.1\r\n{LINES}x: {value}\r\n\r\n");
            let head = if bare { head.replace("\r\n", "\n") } else { head };
            for count in 0..head.len() {
                prop_assert!(parse(&head.as_bytes()[..count]).is_none());
            }
            let all = [head.as_bytes(), &behind].concat();
            prop_assert_eq!(parse(&all).map(|(_, head_bytes)| head_bytes), Some(head.len()));
        }

        #[test]
        fn whatever_comes_does_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }
    }

    #[test]
    fn fuzz_handshakes() {
        let line = |path| format!("GET {path} HTTP/1.1\r\n{LINES}sec-websocket-version: 13\r\n\r\nframes");
        let seeds = ["/", "/ws?canvas=a&b=1"].map(|path| line(path).into_bytes());
        crate::run::fuzz("handshakes", &seeds, |bytes| {
            let Some((request, head_bytes)) = parse(bytes) else { return };
            assert!(head_bytes <= bytes.len() && request.headers().len() <= HEADERS_MAX);
            let _ = unclear(&request);
            // What lies behind the head is not looked at.
            let (alone, same) = parse(&bytes[..head_bytes]).expect("the head is whole");
            assert_eq!((alone.uri(), same), (request.uri(), head_bytes));
        });
    }
}
