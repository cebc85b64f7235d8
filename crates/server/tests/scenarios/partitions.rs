//! The network parts machines from each other under load: nothing acknowledged is lost, and everybody finds back.

use std::time::{Duration, Instant};

use crate::support::crowd::{Crowd, summary};
use crate::support::long;
use crate::support::machines::Machines;
use crate::support::split::Split;
use crate::support::stores::fleet::{Cluster, Sentinels};

/// Acknowledgements before each partition.
const PER_MASTER: usize = 60;
/// The key of the crowd's canvas, which says who holds it.
const CANVAS_KEY: &str = "pp:{wide}";

/// Outages, each the longest time in which nobody was acknowledged around one failover.
#[derive(Default)]
struct Outages(Vec<Duration>);

impl Outages {
    /// The median, the 99th percentile and the longest, in words.
    fn summary(&mut self) -> String {
        self.0.sort_unstable();
        let at = |percent: usize| self.0[(self.0.len() * percent).div_ceil(100).max(1) - 1];
        format!("outage p50 {:.1?}, p99 {:.1?}, longest {:.1?}", at(50), at(99), at(100))
    }
}

/// With these services on the last three machines: an api and a gateway on each of two, then the people.
struct Sites {
    machines: Machines,
    stores: u8,
}

impl Sites {
    fn start(what: &str, stores: u8) -> Option<Self> {
        Some(Self { machines: Machines::start(what, stores + 3)?, stores })
    }

    fn services<R>(&self, fleet: R, url: &str, durability: &str) -> Split<R> {
        let api = ["--store", url, "--durability", durability, "--rate-limit", "off"];
        let sites = [self.stores + 1, self.stores + 2];
        let apis = sites.map(|machine| self.machines.host(machine));
        let gateways = sites.map(|machine| self.machines.beside(machine));
        let people = self.machines.host(self.people());
        Split::across(fleet, (&apis, &api), (&gateways, &["--store", url]), people)
    }

    fn people(&self) -> u8 {
        self.stores + 3
    }

    /// A store's machine is alone from now on; or, in every other round, with the services of one site and whoever is
    /// there: two halves that each believe in themselves.
    fn part(&self, store: u8, round: usize) {
        let alone = round.is_multiple_of(2);
        let these = if alone { vec![store] } else { vec![store, self.stores + 1] };
        let everybody = if alone { self.people() } else { self.people() - 1 };
        let those: Vec<u8> = (1..=everybody).filter(|machine| !these.contains(machine)).collect();
        self.machines.cut(&these, &those);
    }
}

/// With every replica confirming, whichever one is promoted has everything.
#[test]
fn a_master_under_sentinel_that_is_cut_off_loses_nothing() {
    let rounds = if long() { 100 } else { 2 };
    let Some(sites) = Sites::start("partitions of a master under Sentinel", 3) else { return };
    sites.machines.within(sites.people(), || {
        let fleet = Sentinels::start_on(&[1, 2, 3].map(|machine| sites.machines.host(machine)), &[], None);
        let url = fleet.address("").to_string();
        let split = sites.services(fleet, &url, "replicated:2");
        let mut outages = Outages::default();
        let (acknowledged, views) = Crowd::on(&split).paint_while(|crowd| {
            for round in 0..rounds {
                crowd.wait_for(PER_MASTER);
                let began = Instant::now();
                let master = split.redis.master().expect("the sentinels agree");
                sites.part(master as u8 + 1, round);
                let promoted = split.redis.promoted(master);
                sites.machines.heal();
                split.redis.followed(promoted, 2, None);
                crowd.wait_for(PER_MASTER);
                outages.0.push(crowd.longest_pause(began));
            }
        });
        println!(
            "{rounds} Sentinel failovers of a master that was cut off, alone and with a site of its own in turn, \
             replicated:2: {acknowledged} acknowledged, lost or doubled 0; {}; {}",
            outages.summary(),
            summary(&views)
        );
    });
}

/// A canvas lies on one master of three, with one replica each.
#[test]
fn a_master_of_a_cluster_that_is_cut_off_loses_nothing() {
    let rounds = if long() { 50 } else { 2 };
    let Some(sites) = Sites::start("partitions of a master of a cluster", 6) else { return };
    sites.machines.within(sites.people(), || {
        let hosts = [1, 2, 3, 4, 5, 6].map(|machine| sites.machines.host(machine));
        let cluster = Cluster::start_on(&hosts, &["--appendonly", "yes", "--appendfsync", "always"]);
        let url = cluster.address().to_string();
        let split = sites.services(cluster, &url, "replicated:1");
        let mut outages = Outages::default();
        let (acknowledged, views) = Crowd::on(&split).paint_while(|crowd| {
            for round in 0..rounds {
                crowd.wait_for(PER_MASTER);
                let began = Instant::now();
                let master = split.redis.master_of(CANVAS_KEY);
                sites.part(master as u8 + 1, round);
                split.redis.promoted(CANVAS_KEY, master);
                sites.machines.heal();
                split.redis.whole();
                crowd.wait_for(PER_MASTER);
                outages.0.push(crowd.longest_pause(began));
            }
        });
        println!(
            "{rounds} failovers of a cluster whose master was cut off, alone and with a site of its own in turn, \
             replicated:1: {acknowledged} acknowledged, lost or doubled 0; {}; {}",
            outages.summary(),
            summary(&views)
        );
    });
}
