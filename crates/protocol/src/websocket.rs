//! WebSocket framing (RFC 6455) without sockets: bytes in, messages out, and back.

mod decoder;
mod encoder;
mod handshake;

pub use decoder::{Decoder, Message, Violation};
pub use encoder::{FrameHeader, Opcode, close_payload, frame_header, write_frame, write_masked_frame};
pub use handshake::accept_key;

/// Close codes that this project sends.
pub mod close {
    /// The connection did what it was for.
    pub const NORMAL: u16 = 1000;
    /// The other side broke the framing.
    pub const PROTOCOL: u16 = 1002;
    /// A kind of frame that the dialect does not have.
    pub const UNSUPPORTED: u16 = 1003;
    /// Text that is not UTF-8.
    pub const NOT_UTF8: u16 = 1007;
    /// Not allowed.
    pub const POLICY: u16 = 1008;
    /// A message over the cap.
    pub const TOO_BIG: u16 = 1009;
    /// The server restarts: come back with jitter.
    pub const RESTART: u16 = 1012;
    /// Too far behind: come back.
    pub const TRY_AGAIN: u16 = 1013;
}

/// The longest payload of a ping, pong or close frame, in bytes.
pub const CONTROL_PAYLOAD_BYTES_MAX: usize = 125;

/// XORs a payload with its mask, starting `offset` bytes into the payload.
fn apply_mask(bytes: &mut [u8], mask: [u8; 4], offset: usize) {
    let mut turned = mask;
    turned.rotate_left(offset % 4);
    let [a, b, c, d] = turned;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let mut words = bytes.chunks_exact_mut(8);
    for word in &mut words {
        let unmasked = u64::from_ne_bytes((&*word).try_into().expect("chunks of 8")) ^ wide;
        word.copy_from_slice(&unmasked.to_ne_bytes());
    }
    for (byte, key) in words.into_remainder().iter_mut().zip(turned.iter().cycle()) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests;
