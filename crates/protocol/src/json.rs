//! The JSON dialect: one object a text frame, the messages that clients of the original know.

mod to_client;
mod to_server;

pub use to_client::{ToClient, accepted, connected, error, pixel_updated, pong, resync, stats, user_list};
pub use to_server::{JsonError, Ref, ToServer, parse};

/// What a client may ask for in `Sec-WebSocket-Protocol`; asking for nothing means the same.
pub const SUBPROTOCOL: &str = "pixels.v1.json";
/// The longest `ref`, in bytes of its JSON.
pub const REF_BYTES_MAX: usize = 32;

#[cfg(test)]
mod tests;
