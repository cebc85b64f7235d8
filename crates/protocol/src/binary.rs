//! The binary dialect: one message a frame, its kind in the first byte, little-endian integers.

mod hello;
mod reader;
mod to_client;
mod to_server;

pub use hello::Hello;
pub use to_client::{Reason, ToClient, encode_frame};
pub use to_server::ToServer;

/// What a client asks for in `Sec-WebSocket-Protocol`.
pub const SUBPROTOCOL: &str = "pixels.v1.bin";
/// The version in `HELLO`.
pub const VERSION: u8 = 1;

/// Bytes that are no message of this dialect: a sentence that says why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub String);

#[cfg(test)]
mod tests;
