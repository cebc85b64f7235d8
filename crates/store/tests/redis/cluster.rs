//! A cluster of three masters: each canvas lies in one slot, and failovers are followed.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use pixel_canvas::{CanvasId, Sequence};
use pixel_store::redis::{Durability, Redis};
use pixel_store::{Outcome, Store, Tailed};
use tokio::time::timeout;

use crate::fleet::Cluster;
use crate::painters::{Answers, Painters};
use crate::world::{PATIENCE, long, make_canvas_of, now, numbered, options, position_of, until_lost};

/// How many failovers; the long form has more.
const FAILOVERS: u64 = 1;
const FAILOVERS_LONG: u64 = 10;
const ROUND: u64 = 200;
/// Placements are back within so many seconds: judged in the long form.
const BACK_WITHIN_S: u64 = 5;

fn id(text: &str) -> CanvasId {
    CanvasId::parse(text).expect("an id")
}

fn key(id: &CanvasId) -> String {
    format!("pp:{{{id}}}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_canvases_live_on_all_masters() {
    let cluster = Cluster::start(&[]);
    let store = Redis::open(cluster.address(), options(Durability::AsConfigured)).await.unwrap();
    let ids: Vec<CanvasId> = (0..24).map(|number| id(&format!("canvas-{number}"))).collect();
    let mut holders = HashSet::new();
    for id in &ids {
        make_canvas_of(&store, id).await;
        holders.insert(cluster.master_of(&key(id)));
    }
    assert_eq!(holders.len(), 3, "24 canvases spread over three masters");
    let found: Vec<String> =
        store.canvases().await.unwrap().iter().map(|canvas| canvas.id.to_string()).collect();
    assert_eq!(found.len(), 24);
    for (number, id) in (0..).zip(&ids) {
        let mut tail = store.tail(id, position_of(&store, id).await).await.unwrap().unwrap();
        let outcomes = store.place(id, vec![numbered(number)]).await.unwrap();
        let Outcome::Accepted(accepted) = &outcomes[0] else { panic!("{outcomes:?}") };
        assert_eq!(accepted.first, Sequence(1));
        assert!(matches!(tail.next().await.unwrap(), Tailed::Entry(_)));
    }
    let secret = store.make_identity_key([7; 32]).await.unwrap();
    assert_eq!(store.identity_key().await.unwrap(), Some(secret));
    // What is published on one node is heard on the others.
    let mut line = store.line("pp:presence");
    let heard = async {
        loop {
            line.publish.send(b"here".to_vec()).await.unwrap();
            let wait = std::time::Duration::from_millis(50);
            if let Ok(Some(heard)) = timeout(wait, line.received.recv()).await {
                return heard;
            }
        }
    };
    assert_eq!(timeout(PATIENCE, heard).await.expect("it is heard"), b"here");
    assert!(store.delete(&ids[0]).await.unwrap());
    assert!(store.reset(&ids[1]).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_killed_master_is_replaced_and_nothing_acknowledged_is_lost() {
    let mut cluster = Cluster::start(&[]);
    let store = Redis::open(cluster.address(), options(Durability::Replicated(1))).await.unwrap();
    let store = Arc::new(store);
    let main = id("main");
    make_canvas_of(&store, &main).await;
    let mut tail = store.tail(&main, position_of(&store, &main).await).await.unwrap().unwrap();
    let next = Arc::new(AtomicU64::new(0));
    let (mut answers, mut backs) = (Answers::default(), Vec::new());
    let failovers = if long() { FAILOVERS_LONG } else { FAILOVERS };
    for round in 0..failovers {
        let painters = Painters::start(&store, &main, &next);
        painters.paint(ROUND).await;
        let master = cluster.master_of(&key(&main));
        cluster.fail_over(&key(&main), master, round % 2 == 0);
        let whole = now();
        painters.paint(1).await;
        backs.push(painters.last().duration_since(whole));
        answers.extend(painters.stop().await);
        assert_eq!(answers.lost(&store, &main).await, 0);
    }
    until_lost(&mut *tail).await;
    assert_eq!(store.figures().lost_placements, 0);
    let slowest = backs.iter().max().expect("there was one");
    println!(
        "{failovers} failovers of a cluster, replicated:1: {} acknowledged, lost 0; placing again {slowest:.1?} after \
         the replica was online, at most",
        answers.acknowledged.len()
    );
    assert!(!long() || slowest.as_secs() < BACK_WITHIN_S, "placing took {slowest:?} to come back");
}
