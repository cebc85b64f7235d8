//! What the server says: text appended without a tree in between, and the reader that clients use.

use std::io::Write;

use pixel_canvas::{Epoch, Placement, Sequence, Timestamp};
use serde::Deserialize;

use super::Ref;

/// Opens a conversation; `updates` begin right after `sequence`.
pub fn connected(out: &mut Vec<u8>, client: u32, epoch: Epoch, sequence: Sequence) {
    append(
        out,
        format_args!(
            "{{\"type\":\"connected\",\"message\":\"Connected to Pixel Playground\",\"clientId\":\"{client}\",\
             \"epoch\":\"{epoch}\",\"sequence\":{sequence}}}"
        ),
    );
}

/// One accepted placement: the same bytes for everyone.
pub fn pixel_updated(
    out: &mut Vec<u8>,
    placement: &Placement,
    name: &str,
    at: Timestamp,
    sequence: Sequence,
) {
    let Placement { at: point, color } = placement;
    append(
        out,
        format_args!(
            "{{\"type\":\"pixel_updated\",\"x\":{},\"y\":{},\"color\":\"{color}\",\"username\":",
            point.x, point.y
        ),
    );
    string(out, name);
    append(out, format_args!(",\"timestamp\":{},\"sequence\":{sequence}}}", at.0));
}

/// A placement with a `ref` is durable.
pub fn accepted(out: &mut Vec<u8>, reference: &Ref, sequence: Sequence) {
    let reference = reference.as_json();
    append(out, format_args!("{{\"type\":\"accepted\",\"ref\":{reference},\"sequence\":{sequence}}}"));
}

/// How many sockets are open.
pub fn stats(out: &mut Vec<u8>, active_users: u32, now: Timestamp) {
    append(
        out,
        format_args!("{{\"type\":\"stats\",\"activeUsers\":{active_users},\"timestamp\":{}}}", now.0),
    );
}

/// Who is here, by name.
pub fn user_list<'a>(out: &mut Vec<u8>, names: impl Iterator<Item = &'a str>, now: Timestamp) {
    out.extend_from_slice(b"{\"type\":\"user_list\",\"users\":[");
    for (index, name) in names.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        string(out, name);
    }
    append(out, format_args!("],\"timestamp\":{}}}", now.0));
}

/// Answers a ping.
pub fn pong(out: &mut Vec<u8>, now: Timestamp) {
    append(out, format_args!("{{\"type\":\"pong\",\"timestamp\":{}}}", now.0));
}

/// The canvas is to be loaded afresh; updates go on right after `sequence`.
pub fn resync(out: &mut Vec<u8>, epoch: Epoch, sequence: Sequence) {
    append(out, format_args!("{{\"type\":\"resync\",\"epoch\":\"{epoch}\",\"sequence\":{sequence}}}"));
}

/// Something was refused or not understood; `retryAfter` is written in seconds.
pub fn error(out: &mut Vec<u8>, message: &str, reference: Option<&Ref>, retry_after_ms: Option<u64>) {
    out.extend_from_slice(b"{\"type\":\"error\",\"message\":");
    string(out, message);
    if let Some(reference) = reference {
        append(out, format_args!(",\"ref\":{}", reference.as_json()));
    }
    if let Some(ms) = retry_after_ms {
        append(out, format_args!(",\"retryAfter\":{}.{:03}", ms / 1_000, ms % 1_000));
    }
    out.push(b'}');
}

fn append(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a vector takes every byte");
}

fn string(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("a vector takes every byte");
}

/// One message of the server, as a client reads it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum ToClient {
    /// See [`connected`].
    Connected {
        /// A greeting.
        message: String,
        /// This connection.
        client_id: String,
        /// 16 hex digits.
        epoch: String,
        /// Updates begin right after it.
        sequence: u64,
    },
    /// See [`pixel_updated`].
    PixelUpdated {
        /// Column.
        x: u16,
        /// Row.
        y: u16,
        /// `#RRGGBB`.
        color: String,
        /// Who.
        username: String,
        /// Unix milliseconds.
        timestamp: u64,
        /// Dense per canvas.
        sequence: u64,
    },
    /// See [`accepted`].
    Accepted {
        /// The author's.
        #[serde(rename = "ref")]
        reference: serde_json::Value,
        /// The placement's.
        sequence: u64,
    },
    /// See [`stats`].
    Stats {
        /// Open sockets.
        active_users: u32,
        /// Unix milliseconds.
        timestamp: u64,
    },
    /// See [`user_list`].
    UserList {
        /// Names.
        users: Vec<String>,
        /// Unix milliseconds.
        timestamp: u64,
    },
    /// See [`pong`].
    Pong {
        /// Unix milliseconds.
        timestamp: u64,
    },
    /// See [`resync`].
    Resync {
        /// 16 hex digits.
        epoch: String,
        /// Updates go on right after it.
        sequence: u64,
    },
    /// See [`error`].
    Error {
        /// For people.
        message: String,
        /// The author's, where the message had one.
        #[serde(rename = "ref")]
        reference: Option<serde_json::Value>,
        /// Seconds.
        retry_after: Option<f64>,
    },
    /// A type that this version does not know.
    #[serde(other)]
    Unknown,
}
