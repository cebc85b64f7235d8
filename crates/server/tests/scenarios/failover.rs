//! Services over Sentinel and over a cluster: masters fail under load, and everybody ends with the same canvas.

use std::time::{Duration, Instant};

use crate::support::crowd::{Crowd, summary};
use crate::support::json::Json;
use crate::support::long;
use crate::support::socket::Opening;
use crate::support::split::Split;
use crate::support::stores::fleet::{Cluster, Sentinels};

/// Acknowledgements around each failover.
const PER_MASTER: usize = 60;
/// The key of the crowd's canvas, which says who holds it.
const CANVAS_KEY: &str = "pp:{wide}";

fn services<R>(fleet: R, url: &str, durability: &str) -> Split<R> {
    let api = ["--store", url, "--durability", durability, "--rate-limit", "off"];
    Split::on(fleet, (2, &api), (2, &["--store", url]))
}

/// With every replica confirming, whichever one is promoted has everything.
#[test]
fn a_frozen_master_under_sentinel_loses_nothing() {
    let rounds = if long() { 20 } else { 1 };
    let fleet = Sentinels::start(&[], None);
    let url = fleet.address("").to_string();
    let split = services(fleet, &url, "replicated:2");
    let (mut slowest, mut at_once_again) = (Duration::ZERO, 0);
    let (acknowledged, views) = Crowd::on(&split).paint_while(|crowd| {
        for _ in 0..rounds {
            crowd.wait_for(PER_MASTER);
            split.redis.fail_over(None);
            let (master, online) = (split.redis.master(), Instant::now());
            crowd.wait_for(1);
            let took = online.elapsed();
            // On a busy machine sentinels may take the next one for lost: that is another failover.
            if split.redis.master() == master { slowest = slowest.max(took) } else { at_once_again += 1 }
        }
        crowd.wait_for(PER_MASTER);
    });
    println!(
        "{rounds} Sentinel failovers of a frozen master that thaws, replicated:2: {acknowledged} acknowledged, none \
         lost or doubled; placing again {slowest:.1?} after both replicas were online, at most; {at_once_again} \
         times another was promoted at once; {}",
        summary(&views)
    );
}

/// A canvas lies on one master of three, with one replica each.
#[test]
fn a_failed_master_of_a_cluster_loses_nothing() {
    let rounds = if long() { 10 } else { 1 };
    let cluster = Cluster::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let url = cluster.address().to_string();
    let mut split = services(cluster, &url, "replicated:1");
    let mut slowest = Duration::ZERO;
    let (acknowledged, views) = Crowd::on(&split).paint_while(|crowd| {
        for round in 0..rounds {
            crowd.wait_for(PER_MASTER);
            let cluster = &mut split.redis;
            let master = cluster.master_of(CANVAS_KEY);
            cluster.fail_over(CANVAS_KEY, master, round % 2 == 0);
            let whole = Instant::now();
            crowd.wait_for(1);
            slowest = slowest.max(whole.elapsed());
        }
        crowd.wait_for(PER_MASTER);
    });
    println!(
        "{rounds} failovers of a cluster, killed and frozen in turn, replicated:1: {acknowledged} acknowledged, none \
         lost or doubled; placing again {slowest:.1?} after the replica was online, at most; {}",
        summary(&views)
    );
}

/// What a viewer or painter of one gateway is told of people does not end with a server.
#[test]
fn people_are_counted_again_after_a_failover() {
    let mut fleet = Sentinels::start(&[], None);
    let url = fleet.address("").to_string();
    let master = fleet.master().expect("the sentinels agree");
    let split = services((), &url, "as-configured");
    let mut here = Json::open_at(split.gateways[0].gateway(), &Opening::at("/")).expect("it takes clients");
    let there = Json::open_at(split.gateways[1].gateway(), &Opening::at("/")).expect("it takes clients");
    while here.hear_any("stats")["activeUsers"] != 2 {}
    fleet.servers[master].kill();
    fleet.promoted(master);
    drop(there);
    while here.hear_any("stats")["activeUsers"] != 1 {}
    let _again = Json::open_at(split.gateways[1].gateway(), &Opening::at("/")).expect("it takes clients");
    while here.hear_any("stats")["activeUsers"] != 2 {}
}
