//! Three servers under sentinels: a failover is followed, and costs what the durability says.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use pixel_canvas::Sequence;
use pixel_store::redis::{Access, Durability, Redis};
use pixel_store::{Condition, Store, Trouble};
use tokio::time::timeout;

use crate::fleet::Sentinels;
use crate::painters::{Answers, Painters};
use crate::world::{
    PATIENCE, long, main_canvas, make_canvas, now, options, paint, paint_at_last, position, until, until_lost,
};

/// How many failovers; the long form has more.
const FAILOVERS: u64 = 1;
const FAILOVERS_LONG: u64 = 20;
/// Acknowledged before each, at least.
const ROUND: u64 = 200;
/// Within so many seconds of what brings placements back, they are back: judged in the long form, on a machine that does nothing else.
const BACK_WITHIN_S: u64 = 5;

const PASSWORD: &str = "a secret of servers";

async fn open(fleet: &Sentinels, durability: Durability) -> Arc<Redis> {
    let store = Redis::open(fleet.address(":a%20secret%20of%20servers@"), options(durability)).await;
    Arc::new(store.expect("the address is right"))
}

/// The master is frozen, another is promoted, the frozen one thaws and becomes a replica. With
/// every replica confirming, nothing that was acknowledged is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_frozen_master_is_left_and_nothing_acknowledged_is_lost() {
    let fleet = Sentinels::start(&[], Some(PASSWORD));
    let store = open(&fleet, Durability::Replicated(2)).await;
    make_canvas(&store).await;
    assert_eq!(store.caution(), None, "two replicas, and two confirm");
    let mut tail = store.tail(&main_canvas(), position(&store).await).await.unwrap().unwrap();
    let next = Arc::new(AtomicU64::new(0));
    let (mut answers, mut backs) = (Answers::default(), Vec::new());
    let failovers = if long() { FAILOVERS_LONG } else { FAILOVERS };
    for _ in 0..failovers {
        let painters = Painters::start(&store, &main_canvas(), &next);
        painters.paint(ROUND).await;
        fleet.fail_over(Some(PASSWORD));
        let online = now();
        painters.paint(1).await;
        backs.push(painters.last().duration_since(online));
        answers.extend(painters.stop().await);
        assert_eq!(answers.lost(&store, &main_canvas()).await, 0);
    }
    // Who reads learns of it too, and goes on with the server that was promoted.
    until_lost(&mut *tail).await;
    assert_eq!(store.figures().lost_placements, 0);
    let slowest = backs.iter().max().expect("there was one");
    println!(
        "{failovers} failovers of a frozen master, replicated:2: {} acknowledged, lost 0; placing again {slowest:.1?} \
         after both replicas were online, at most",
        answers.acknowledged.len()
    );
    assert!(!long() || slowest.as_secs() < BACK_WITHIN_S, "placing took {slowest:?} to come back");
}

/// One replica is enough to acknowledge, so a promotion is not waited out; and it is said that
/// another one could be promoted.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_confirming_replica_is_back_soon_after_a_promotion() {
    let mut fleet = Sentinels::start(&[], None);
    let store = Redis::open(fleet.address(""), options(Durability::Replicated(1))).await.unwrap();
    let store = Arc::new(store);
    make_canvas(&store).await;
    until("it is said that more could be promoted", || store.caution().is_some()).await;
    let next = Arc::new(AtomicU64::new(0));
    let painters = Painters::start(&store, &main_canvas(), &next);
    painters.paint(ROUND).await;
    let master = fleet.master().expect("they agree");
    fleet.servers[master].kill();
    fleet.promoted(master);
    let promoted = now();
    painters.paint(1).await;
    let back = painters.last().duration_since(promoted);
    let answers = painters.stop().await;
    assert!(!long() || back.as_secs() < BACK_WITHIN_S, "placing took {back:?} to come back");
    let lost = answers.lost(&store, &main_canvas()).await;
    println!(
        "a killed master, replicated:1: {} acknowledged, lost {lost}; placing again {back:.1?} after the promotion",
        answers.acknowledged.len()
    );
    let counted = || store.figures().lost_placements == lost as u64;
    until("what was lost was counted", counted).await;
    until("the store says so", || store.condition() == Condition::Writable).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_unknown_master_is_said_to_be_unknown() {
    let fleet = Sentinels::start(&[], None);
    let wrong = fleet.address("").to_string().replace("/playground", "/elsewhere");
    let address = pixel_store::redis::Address::parse(&wrong).unwrap();
    let store = Redis::open(address, options(Durability::AsConfigured)).await.unwrap();
    let Condition::Away(Trouble::Away, why) = store.condition() else { panic!("there is no such master") };
    assert!(why.contains("No such master"), "{why}");
    // A reader needs no rights of a writer.
    let reading = pixel_store::redis::Options { access: Access::Read, ..options(Durability::AsConfigured) };
    let reader = Redis::open(fleet.address(""), reading).await.unwrap();
    assert_eq!(reader.condition(), Condition::Writable);
}

/// What `as-configured` loses when the master is frozen with what its replicas never got: measured,
/// and counted by the store that acknowledged it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_an_asynchronous_failover_loses_is_counted() {
    let mut fleet = Sentinels::start(&["--appendonly", "yes", "--appendfsync", "always"], None);
    let store = Redis::open(fleet.address(""), options(Durability::Fsync)).await.unwrap();
    let store = Arc::new(store);
    make_canvas(&store).await;
    paint(&store, 60_000).await;
    let master = fleet.master().expect("they agree");
    fleet.followed(2, None);
    // The replicas stand still and their connections are gone, as in a network that lost them.
    let others: Vec<usize> = (0..3).filter(|index| *index != master).collect();
    for other in &others {
        fleet.servers[*other].freeze();
    }
    let mut cut = redis::cmd("CLIENT");
    cut.arg("KILL").arg("TYPE").arg("replica");
    cut.exec(&mut fleet.servers[master].connection()).expect("they are cut off");
    let next = Arc::new(AtomicU64::new(0));
    let painters = Painters::start(&store, &main_canvas(), &next);
    painters.paint(ROUND).await;
    fleet.servers[master].kill();
    let answers = painters.stop().await;
    for other in &others {
        fleet.servers[*other].thaw();
    }
    fleet.promoted(master);
    let counted = async {
        while store.figures().lost_placements == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, counted).await.expect("the loss is noticed though nobody paints");
    let kept = position(&store).await.sequence;
    let lost = answers.acknowledged.iter().filter(|(_, accepted)| accepted.last() > kept).count();
    assert_eq!(store.figures().lost_placements, lost as u64);
    println!(
        "a killed master whose replicas were cut off, fsync: {} acknowledged, {lost} lost, all counted",
        answers.acknowledged.len()
    );
    let after = paint_at_last(&store, 60_001).await;
    assert_eq!(after.first, Sequence(kept.0 + 1));
    assert_eq!(store.figures().lost_placements, lost as u64, "they are counted once");
}
