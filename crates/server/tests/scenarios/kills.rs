//! Whatever is killed or drained under load, nothing acknowledged is lost or doubled, and every viewer
//! ends with the same canvas.

use std::sync::atomic::Ordering;
use std::thread;

use crate::support::crowd::{Crowd, summary};
use crate::support::split::Split;
use crate::support::{AtTheEnd, Server, long};

/// Acknowledgements between two kills.
const PER_LIFE: usize = 60;

#[test]
fn whatever_is_killed_nothing_acknowledged_is_lost_or_doubled() {
    let rounds = if long() { 100 } else { 2 };
    let mut split = Split::start(2, 2, &["--rate-limit", "off"]);
    let crowd = Crowd::on(&split);
    let views = thread::scope(|scope| {
        let crowd = &crowd;
        let _end = AtTheEnd(&crowd.stop);
        let painters: Vec<_> = (0..2)
            .map(|turn| scope.spawn(move || crowd.paint_by_request(turn)))
            .chain((0..4).map(|turn| scope.spawn(move || crowd.paint_by_socket(turn))))
            .collect();
        let viewers: Vec<_> = (0..2)
            .map(|turn| scope.spawn(move || crowd.view_json(turn)))
            .chain((0..2).map(|turn| scope.spawn(move || crowd.view_binary(turn))))
            .collect();
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
        crowd.stop.store(true, Ordering::SeqCst);
        painters.into_iter().for_each(|painter| painter.join().expect("a painter did not panic"));
        crowd.paint_last();
        viewers.into_iter().map(|viewer| viewer.join().expect("a viewer did not panic")).collect::<Vec<_>>()
    });
    let acknowledged = crowd.judge(&views);
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
