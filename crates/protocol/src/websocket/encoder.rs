//! Messages to frames: unmasked for servers, masked for clients.

use super::{CONTROL_PAYLOAD_BYTES_MAX, apply_mask};

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Opcode {
    /// More of the message before.
    Continuation = 0x0,
    /// UTF-8 text.
    Text = 0x1,
    /// Bytes.
    Binary = 0x2,
    /// The end of the connection.
    Close = 0x8,
    /// Asks for a pong with the same payload.
    Ping = 0x9,
    /// Answers a ping.
    Pong = 0xA,
}

impl Opcode {
    pub(super) fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xA => Self::Pong,
            _ => return None,
        })
    }

    pub(super) fn is_control(self) -> bool {
        self as u8 & 0x8 != 0
    }
}

/// The 2, 4 or 10 bytes in front of an unmasked payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    bytes: [u8; 10],
    len: u8,
}

impl FrameHeader {
    /// The bytes to send before the payload.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl AsRef<[u8]> for FrameHeader {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

/// The header of a whole, unmasked message of `payload_bytes`.
#[must_use]
pub fn frame_header(opcode: Opcode, payload_bytes: usize) -> FrameHeader {
    let mut bytes = [0; 10];
    bytes[0] = 0x80 | opcode as u8;
    let len = match payload_bytes {
        0..=125 => {
            bytes[1] = payload_bytes as u8;
            2
        }
        126..=0xffff => {
            bytes[1] = 126;
            bytes[2..4].copy_from_slice(&(payload_bytes as u16).to_be_bytes());
            4
        }
        _ => {
            bytes[1] = 127;
            bytes[2..].copy_from_slice(&(payload_bytes as u64).to_be_bytes());
            10
        }
    };
    FrameHeader { bytes, len }
}

/// Appends a whole, unmasked message: what servers send.
pub fn write_frame(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
    out.extend_from_slice(frame_header(opcode, payload.len()).as_bytes());
    out.extend_from_slice(payload);
}

/// Appends a whole, masked message: what clients send. The mask should be unpredictable.
pub fn write_masked_frame(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8], mask: [u8; 4]) {
    let mut header = frame_header(opcode, payload.len());
    header.bytes[1] |= 0x80;
    out.extend_from_slice(header.as_bytes());
    out.extend_from_slice(&mask);
    let start = out.len();
    out.extend_from_slice(payload);
    apply_mask(&mut out[start..], mask, 0);
}

/// The payload of a close frame; a reason over 123 bytes is cut at a character.
#[must_use]
pub fn close_payload(code: u16, reason: &str) -> Vec<u8> {
    let reason = &reason[..reason.floor_char_boundary(CONTROL_PAYLOAD_BYTES_MAX - 2)];
    let mut payload = Vec::with_capacity(2 + reason.len());
    payload.extend_from_slice(&code.to_be_bytes());
    payload.extend_from_slice(reason.as_bytes());
    payload
}
