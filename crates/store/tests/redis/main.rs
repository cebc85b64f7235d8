//! What only a store on a server of its own can suffer: crashes, silence, promotion, a full memory.
//!
//! `PIXEL_PLAYGROUND_LONG=1` runs the long forms.

mod agree;
mod away;
mod crash;
mod durability;
mod promotion;
mod server;
mod world;
