//! Backups: every canvas of a store in one file, each exact at one sequence, and back again.
//!
//! While people paint, a canvas is copied chunk by chunk ([`take`]) and its log is read beside it: what
//! is painted behind the copying follows in the file, up to the sequence that all of it is exact at. A
//! file ([`parts`]) is checked from its first byte to its last before any of it is believed ([`read`]).

use std::io;

use pixel_canvas::{Canvas, Sequence, Timestamp};

use crate::StoreError;

mod parts;
mod read;
mod take;

pub use parts::FORMAT_VERSION;
pub use read::Backup;
pub use take::take;

/// What a backup holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// When it was begun, by the clock of who made it.
    pub made_at: Timestamp,
    /// Its canvases, by id.
    pub canvases: Vec<KeptCanvas>,
}

/// One canvas of a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptCanvas {
    /// What it is.
    pub canvas: Canvas,
    /// The sequence that it is exact at.
    pub sequence: Sequence,
}

/// A backup could not be made, read or put back.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The file could not be read or written.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The file is something else.
    #[error("it is no backup: it does not begin as one does")]
    NotOne,
    /// A newer program made it.
    #[error(
        "it is a backup of format {found}, this program knows formats up to {FORMAT_VERSION}: use the newer program"
    )]
    Newer {
        /// The format found.
        found: u32,
    },
    /// It has no end.
    #[error("it ends at byte {at}, in the middle: it was not made or not copied to its end")]
    CutShort {
        /// Its length.
        at: u64,
    },
    /// It is not what was written.
    #[error("it is damaged: {what} at byte {at}")]
    Damaged {
        /// Where that begins.
        at: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// The canvas began anew each time that it was copied.
    #[error("canvas {id} was reset or lost each time that it was copied")]
    Restless {
        /// Which.
        id: String,
    },
    /// The store did not do what it was asked.
    #[error(transparent)]
    Store(#[from] StoreError),
}
