//! The wire: WebSocket framing and the two dialects spoken over it, as `docs/protocol.md` lays them out.

pub mod binary;
pub mod json;
pub mod websocket;

/// The most bytes of one message to the server, its fragments together.
pub const MESSAGE_BYTES_MAX: usize = 4_096;
/// The most placements of one socket that wait for their answer; beyond it, reading pauses.
pub const IN_FLIGHT_PLACEMENTS_MAX: usize = 256;
/// The most chunks that one socket views.
pub const CHUNKS_SUBSCRIBED_MAX: usize = 1_024;
/// The most chunks that one `SUBSCRIBE` names.
pub const SUBSCRIBE_CHUNKS_MAX: usize = 256;
/// Milliseconds of silence after which the server pings a socket.
pub const PING_INTERVAL_MS: u64 = 25_000;
/// The most bytes of answers that wait for a socket that does not read.
pub const DIRECT_LANE_BYTES_MAX: usize = 32 * 1_024;
/// The most people that a presence or user list names: the newest.
pub const PEOPLE_MAX: usize = 100;
/// The most names that one `PAINTERS` carries.
pub const PAINTERS_MAX: usize = 16;

#[cfg(test)]
mod fuzzing;
