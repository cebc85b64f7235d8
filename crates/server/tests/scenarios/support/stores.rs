//! Stores of several servers, and of servers with a guard: those that the store's own tests use.

#[path = "../../../../store/tests/redis/authority.rs"]
pub mod authority;
#[path = "../../../../store/tests/redis/fleet.rs"]
pub mod fleet;
#[path = "../../../../store/tests/redis/guard.rs"]
pub mod guard;
#[path = "../../../../store/tests/redis/server.rs"]
#[expect(dead_code, reason = "the store's own tests use the rest")]
pub mod server;
