//! What the sweeping threads are told of one canvas, in order.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use pixel_canvas::{Canvas, ChunkId, Sequence};
use pixel_store::Position;

use super::fanout::Segment;

/// One thing that happened on a canvas.
#[derive(Clone, Debug)]
pub(crate) enum News {
    /// Placements, encoded for both dialects, up to `position`; the log brought the first of them at `heard`.
    Painted {
        heard: Instant,
        position: Position,
        json: Segment,
        chunks: Vec<(ChunkId, Segment)>,
        progress: Option<Bytes>,
    },
    /// How far the canvas is, for viewers of quiet chunks.
    Progress(Bytes),
    /// Another history: nothing before `position` can be resumed.
    Restarted { position: Position, changed: Vec<(ChunkId, Sequence)>, json: JsonRestart },
    /// People came, went or changed names.
    People { json: Bytes, changes: Bytes, everyone: Bytes },
    /// The host changed name, rules or freeze.
    Amended(Arc<Canvas>),
    /// The store went away, or came back: what is seen may be old meanwhile.
    Stale(bool),
    /// The canvas is gone.
    Deleted,
}

impl News {
    /// What it keeps in memory, roughly.
    pub(crate) fn bytes(&self) -> usize {
        let segments =
            |chunks: &[(ChunkId, Segment)]| chunks.iter().map(|(_, s)| s.bytes.len()).sum::<usize>();
        match self {
            Self::Painted { json, chunks, .. } => json.bytes.len() + segments(chunks),
            Self::Restarted { changed, .. } => size_of_val(changed.as_slice()),
            Self::People { json, changes, everyone } => json.len() + changes.len() + everyone.len(),
            Self::Progress(_) | Self::Amended(_) | Self::Stale(_) | Self::Deleted => 0,
        }
    }
}

/// What a restart means to JSON sockets.
#[derive(Clone, Debug)]
pub(crate) enum JsonRestart {
    /// Every changed pixel as an update: they go on.
    Updates(Segment),
    /// Too many pixels changed: they are closed and come back.
    Close,
    /// The log broke off: they are told to load afresh.
    Resync,
}
