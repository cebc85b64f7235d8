//! The rules of the shared canvas. Pure: no async, no clock, no I/O.

pub mod author;
pub mod canvas;
pub mod chunk;
pub mod cooldown;
pub mod entry;
pub mod geometry;
pub mod history;
pub mod order;
pub mod palette;
pub mod placement;
pub mod replica;

pub use author::{Address, Author, Identity, Key, Name};
pub use canvas::{Amendment, Canvas, CanvasId, CanvasSpec, InvalidCanvas};
pub use chunk::{Chunk, Mark};
pub use cooldown::{Bucket, Rate, Standing};
pub use entry::{Change, Entry, Painted};
pub use geometry::{ChunkId, Point, Size};
pub use history::{History, State, Step, Turn};
pub use order::{Epoch, Sequence, Timestamp};
pub use palette::{Color, Palette};
pub use placement::{Placement, Refusal};
pub use replica::{Frame, Replica, Verdict};
