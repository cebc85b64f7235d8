//! Each process stands still for seconds under load, as in a virtual machine that is moved, and then goes on.

use std::fs;
use std::thread;
use std::time::Duration;

use crate::support::crowd::{Crowd, summary};
use crate::support::split::Split;
use crate::support::{Server, long};

/// Acknowledgements between two pauses.
const PER_LIFE: usize = 60;
/// Longer than anybody waits for an answer.
const PAUSE: Duration = Duration::from_millis(2_500);

fn rounds() -> usize {
    if long() { 20 } else { 1 }
}

#[test]
fn services_that_stand_still_for_seconds_lose_and_double_nothing() {
    let split = Split::start(2, 2, &["--rate-limit", "off"]);
    let pause = |server: &Server| {
        server.freeze();
        thread::sleep(PAUSE);
        server.thaw();
    };
    let (acknowledged, views) = Crowd::on(&split).paint_while(|crowd| {
        for round in 0..rounds() {
            crowd.wait_for(PER_LIFE);
            pause(&split.apis[round % 2]);
            crowd.wait_for(PER_LIFE);
            pause(&split.gateways[round % 2]);
            crowd.wait_for(PER_LIFE);
            split.redis.freeze();
            thread::sleep(PAUSE);
            split.redis.thaw();
            crowd.wait_for(PER_LIFE);
            pause(&split.frontend);
        }
        crowd.wait_for(PER_LIFE);
    });
    println!(
        "{} pauses of {PAUSE:?} each of api, gateway, Redis and frontend: {acknowledged} acknowledged, lost or doubled 0; {}",
        rounds(),
        summary(&views)
    );
}

#[test]
fn a_process_that_stands_still_for_seconds_loses_and_doubles_nothing() {
    let server = Server::start();
    let token = fs::read_to_string(server.data().join("admin-token")).expect("the host's token was made");
    let (acknowledged, views) = Crowd::behind(server.frontend(), token.trim()).paint_while(|crowd| {
        for _ in 0..rounds() {
            crowd.wait_for(PER_LIFE);
            server.freeze();
            thread::sleep(PAUSE);
            server.thaw();
        }
        crowd.wait_for(PER_LIFE);
    });
    println!(
        "{} pauses of {PAUSE:?} of one process: {acknowledged} acknowledged, lost or doubled 0; {}",
        rounds(),
        summary(&views)
    );
}
