//! What only a store on a server of its own can suffer: crashes, silence, promotion, a full memory.
//!
//! `PIXEL_PLAYGROUND_LONG=1` runs the long forms.

mod agree;
mod authority;
mod away;
mod backups;
mod cluster;
mod crash;
mod crowd;
mod durability;
mod fleet;
mod losses;
mod painters;
mod promotion;
mod rights;
mod sentinel;
mod server;
mod slots;
mod tls;
mod torn;
mod world;
