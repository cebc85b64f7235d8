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
#[expect(dead_code, reason = "the scenarios use the rest")]
mod fleet;
#[expect(dead_code, reason = "the scenarios use the rest")]
mod guard;
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
