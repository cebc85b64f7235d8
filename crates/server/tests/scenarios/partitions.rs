//! The network parts machines from each other under load: nothing acknowledged is lost, and everybody finds back.

use std::thread;
use std::time::{Duration, Instant};

use pixel_canvas::ChunkId;
use pixel_protocol::binary::Reason;
use serde_json::json;

use crate::support::binary::{Answered, Binary};
use crate::support::crowd::{Crowd, summary};
use crate::support::json::Json;
use crate::support::machines::Machines;
use crate::support::socket::Opening;
use crate::support::split::Split;
use crate::support::stores::fleet::{Cluster, Sentinels};
use crate::support::stores::server::Server as Redis;
use crate::support::{ANSWERED_WITHIN, Request, eventually, long};

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

/// Where nobody is promoted within this time, nobody is before the master is back: sentinels that a busy machine kept from
/// looking find every replica without a master for too long.
const PROMOTED_WITHIN: Duration = Duration::from_secs(40);

fn soon<T>(found: impl Fn() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + PROMOTED_WITHIN;
    while Instant::now() < deadline {
        if let Some(found) = found() {
            return Some(found);
        }
        thread::sleep(Duration::from_millis(20));
    }
    None
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
        let (mut outages, mut given_up) = (Outages::default(), 0);
        let (acknowledged, views) = Crowd::on(&split).paint_while(|crowd| {
            while outages.0.len() < rounds {
                crowd.wait_for(PER_MASTER);
                let began = Instant::now();
                let master = split.redis.master().expect("the sentinels agree");
                sites.part(master as u8 + 1, outages.0.len());
                let promoted = soon(|| split.redis.promoted_by_now(master));
                sites.machines.heal();
                if promoted.is_none() {
                    given_up += 1;
                    assert!(given_up <= rounds, "sentinels promote nobody");
                    continue;
                }
                split.redis.followed(2, None);
                crowd.wait_for(PER_MASTER);
                outages.0.push(crowd.longest_pause(began));
            }
        });
        println!(
            "{rounds} Sentinel failovers of a master that was cut off, alone and with a site of its own in turn, \
             replicated:2: {acknowledged} acknowledged, lost or doubled 0; {}; {given_up} times nobody was promoted; {}",
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

const CHUNK: ChunkId = ChunkId { cx: 0, cy: 0 };
/// Placed while a gateway does not hear of it.
const MEANWHILE: u64 = 20;

/// A gateway reaches neither store nor api, and somebody of the other one is gone without a word.
#[test]
fn people_of_a_gateway_that_is_cut_off_come_back_through_the_other() {
    // The store, the api, a gateway each, the people, and somebody far away.
    let [store, api, here, there, people, far] = [1, 2, 3, 4, 5, 6];
    let Some(machines) = Machines::start("partitions of a gateway", far) else { return };
    machines.within(people, || {
        let redis = Redis::start_on(&machines.host(store), &["--appendonly", "yes", "--appendfsync", "always"]);
        let url = redis.address().to_string();
        let flags = ["--store", &url, "--durability", "fsync", "--rate-limit", "off"];
        let gateways = [here, there].map(|machine| machines.host(machine));
        let split = Split::across(
            redis,
            (&[machines.host(api)], &flags),
            (&gateways, &flags),
            machines.host(people),
        );
        split.wait_until_ready();
        let [here_at, there_at] = [0, 1].map(|gateway: usize| split.gateways[gateway].gateway());
        let api_at = split.apis[0].api();
        let json = |at| Json::open_at(at, &Opening::at("/")).expect("it takes clients");
        let opening = Opening::at("/").bearer(&split.apis[0].guest());

        let (mut stays, mut watches) = (json(here_at), json(there_at));
        let mut moves = Binary::open_through(here_at, api_at, &opening).expect("it takes clients");
        moves.view(CHUNK);
        let _vanishes = machines.within(far, || json(there_at));
        assert_eq!(moves.place(1, &[(1, 1, "#000001")]), Answered::Accepted { first: 1, count: 1 });
        assert_eq!(stays.hear()["sequence"], 1);
        let mut wait_for_users = |users: u64| while watches.hear_any("stats")["activeUsers"] != users {};
        wait_for_users(4);
        assert_eq!(split.gateways[1].clients(), 2);

        machines.cut(&[here], &[store, api, there]);
        machines.cut(&[far], &[store, api, here, there, people]);
        let parted = Instant::now();
        let refused = moves.place(2, &[(2, 2, "#000002")]);
        let worst = parted.elapsed();
        assert!(
            matches!(refused, Answered::Refused { reason: Reason::Unavailable | Reason::Unknown, .. }),
            "{refused:?}"
        );
        assert!(!long() || worst < ANSWERED_WITHIN, "refused after {worst:?}");
        assert!(stays.hear_any("error")["ref"].is_null(), "who stays is told that it may be old");
        let top = 2 + MEANWHILE;
        // It looks on all the time, and every update comes in the end, after the one before.
        let stayed = thread::spawn(move || {
            for sequence in 2..=top {
                let update = stays.hear_any("pixel_updated");
                assert_eq!(update["sequence"], sequence, "a gap or a repetition");
            }
            stays
        });

        // Its people bring what they hold and what they asked for: that is painted once.
        let Binary { replica: held, .. } = moves;
        let mut moved = Binary::open_through(there_at, api_at, &opening).expect("it takes clients");
        moved.carry_on(held);
        let accepted = moved.place(2, &[(2, 2, "#000002")]);
        let back = parted.elapsed();
        assert_eq!(accepted, Answered::Accepted { first: 2, count: 1 });
        for number in 0..MEANWHILE {
            let body = json!({"x": number, "y": 3, "color": "#000003"});
            assert_eq!(Request::new("PUT", "/api/pixel").json(&body).send(api_at).status, 200);
        }
        moved.follow_to(CHUNK, top);
        assert!(moved.agrees(CHUNK));
        // Whoever does not listen is taken for gone after a while.
        drop(moved);

        // Those of the gateway that is not heard of are counted out, and then who is not heard of.
        wait_for_users(2);
        let gateway_gone = parted.elapsed();
        wait_for_users(1);
        let client_gone = parted.elapsed();
        eventually("only who watches is left", || split.gateways[1].clients() == 1);

        machines.heal();
        let healed = Instant::now();
        let mut stays = stayed.join().expect("it saw every update");
        let caught_up = healed.elapsed();
        wait_for_users(2);
        eventually("it takes placements again", || {
            stays.paint_as(4, 4, "#000004", 4);
            stays.answer_to(4)["type"] == "accepted"
        });
        // However long it lasted and however it showed: one line when it began.
        let said = split.gateways[0].said(&["warn", "error"]);
        let of_store: Vec<_> = said.iter().filter(|line| line.contains("\"message\":\"the store ")).collect();
        assert_eq!(of_store.len(), 1, "{of_store:#?}");
        println!(
            "a gateway cut off from store and api: refused within {worst:.1?} at the worst moment, painted through the \
             other after {back:.1?}, its people counted out after {gateway_gone:.0?}, caught up {caught_up:.1?} after \
             the network was back; a client that vanished let go after {client_gone:.0?}, sockets left 0"
        );
    });
}
