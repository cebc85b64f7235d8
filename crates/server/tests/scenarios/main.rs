//! The real executable over real sockets: what only a running server shows.
//!
//! `cargo test -p pixel-playground --test scenarios` runs them against a debug build, and with
//! `PIXEL_PLAYGROUND_BIN` against any other. `PIXEL_PLAYGROUND_LONG=1` runs the long forms.
//! Servers listen on loopback addresses of their own, so scenarios never meet; Linux has them all.
#![allow(clippy::disallowed_methods, reason = "these tests are the outside: they have clocks and settings")]
#![allow(unreachable_pub, reason = "nothing leaves this program")]

mod support;

mod access;
mod backups;
mod canvases;
mod churn;
mod clocks;
mod cluster;
mod contract;
mod crash;
mod degraded;
mod disk;
mod drain;
mod edge;
mod emptied;
mod failover;
mod floods;
mod hop;
mod hosts;
mod input;
mod kills;
mod late;
mod limits;
mod logs;
mod original;
mod page;
mod partitions;
mod pauses;
mod photograph;
mod place;
mod power;
mod pressure;
mod race;
mod resume;
mod retry;
mod rolling;
mod secured;
mod shards;
mod slow;
mod split;
mod stampede;
mod start;
mod undo;
mod watching;
