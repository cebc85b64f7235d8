//! Clients for Pixel Playground, many in one process: they place, receive, and check what they were promised.
//!
//! A [`crew::Crew`] is a group of [`client::Client`]s on one canvas. Each follows a [`work::Work`]: a
//! schedule, a picture or a race. What they see goes to the [`tally::Tally`]; [`history`] judges it.
#![expect(clippy::disallowed_methods, reason = "a load generator is all edge: it measures real time")]

pub mod client;
pub mod crew;
pub mod history;
pub mod http;
pub mod paint;
pub mod picture;
pub mod race;
pub mod remote;
pub mod report;
pub mod schedule;
pub mod socket;
pub mod tally;
pub mod target;
pub mod view;
pub mod work;
