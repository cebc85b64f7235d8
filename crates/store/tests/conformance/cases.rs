//! The cases, by theme. Each takes the adapter and makes a world of its own.

pub(crate) mod host;
pub(crate) mod limits;
pub(crate) mod order;
pub(crate) mod placing;
pub(crate) mod reads;
pub(crate) mod retry;
pub(crate) mod tail;
pub(crate) mod undo;
