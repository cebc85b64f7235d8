//! The one computation of the WebSocket handshake.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

/// What the server appends to the client's key (RFC 6455, section 1.3).
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The `Sec-WebSocket-Accept` that answers a `Sec-WebSocket-Key`.
#[must_use]
pub fn accept_key(sec_websocket_key: &str) -> String {
    let mut hash = Sha1::new();
    hash.update(sec_websocket_key.as_bytes());
    hash.update(GUID.as_bytes());
    STANDARD.encode(hash.finalize())
}
