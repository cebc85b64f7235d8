//! Whatever is killed or drained under load, nothing acknowledged is lost or doubled, and every viewer
//! ends with the same canvas.

use crate::support::crowd::{Crowd, summary};
use crate::support::split::Split;
use crate::support::{Server, long};

/// Acknowledgements between two kills.
const PER_LIFE: usize = 60;

#[test]
fn whatever_is_killed_nothing_acknowledged_is_lost_or_doubled() {
    let rounds = if long() { 100 } else { 2 };
    let mut split = Split::start(2, 2, &["--rate-limit", "off"]);
    let crowd = Crowd::on(&split);
    let (acknowledged, views) = crowd.paint_while(|crowd| {
        for round in 0..rounds {
            let one = round % 2;
            crowd.wait_for(PER_LIFE);
            kill(&mut split.apis[one]);
            crowd.wait_for(PER_LIFE);
            kill(&mut split.gateways[one]);
            crowd.wait_for(PER_LIFE);
            split.redis.kill();
            split.redis.run();
            crowd.wait_for(PER_LIFE);
            kill(&mut split.frontend);
            crowd.wait_for(PER_LIFE);
            // Those that nobody had to leave so far.
            drain(&mut split.gateways[1 - one]);
            crowd.wait_for(PER_LIFE);
            drain(&mut split.apis[1 - one]);
        }
        crowd.wait_for(PER_LIFE);
    });
    println!(
        "{rounds} kills each of api, gateway, frontend and Redis, {rounds} drains each of api and gateway: \
         {acknowledged} acknowledged, none lost or doubled; {}",
        summary(&views)
    );
}

fn kill(server: &mut Server) {
    server.kill();
    server.run();
}

fn drain(server: &mut Server) {
    server.ask_to_stop();
    assert!(server.wait().success(), "a drain ends with 0");
    server.run();
}
