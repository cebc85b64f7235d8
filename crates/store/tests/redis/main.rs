//! What only a store on a server of its own can suffer: crashes, silence, promotion, a full memory.

mod agree;
mod away;
mod crash;
mod durability;
mod promotion;
mod server;
mod world;
