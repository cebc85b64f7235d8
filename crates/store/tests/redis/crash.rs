//! A server that is killed, forgets its scripts, or has no room: nothing acknowledged is lost.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use pixel_canvas::{ChunkId, Sequence};
use pixel_store::redis::Durability;
use pixel_store::{Position, Store, StoreError, Tailed};

use crate::painters::{Answers, Painters};
use crate::server::Server;
use crate::world::{
    ALWAYS, long, main_canvas, make_canvas, numbered, open_as, paint, paint_at_last, place, position,
    until_lost, with_canvas,
};

/// How many kills; the long form has more.
const KILLS: u64 = 5;
const KILLS_LONG: u64 = 100;
/// Acknowledged between two kills, at least.
const ROUND: u64 = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_was_acknowledged_survives_every_kill() {
    let mut server = Server::start(&ALWAYS);
    let store = Arc::new(open_as(&server, Durability::Fsync).await);
    make_canvas(&store).await;
    let next = Arc::new(AtomicU64::new(0));
    let mut answers = Answers::default();
    let kills = if long() { KILLS_LONG } else { KILLS };
    for _ in 0..kills {
        let painters = Painters::start(&store, &main_canvas(), &next);
        painters.paint(ROUND).await;
        server.kill();
        answers.extend(painters.stop().await);
        server.restart();

        // The same store finds the server again, and nobody is missing.
        assert_eq!(answers.lost(&store, &main_canvas()).await, 0);
    }
    let acknowledged = answers.acknowledged;
    println!("{kills} kills, {} acknowledged, lost 0", acknowledged.len());
    let mut firsts: Vec<Sequence> = acknowledged.iter().map(|(_, accepted)| accepted.first).collect();
    firsts.sort_unstable();
    assert!(firsts.is_sorted_by(|a, b| a < b), "no sequence is given twice");
    // Who asks again gets the same answer, from before every crash.
    for (number, accepted) in acknowledged.iter().step_by(10) {
        assert_eq!(paint_at_last(&store, *number).await, *accepted);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_restart_changes_the_epoch_before_anything_is_accepted() {
    let mut server = Server::start(&ALWAYS);
    let store = with_canvas(&server).await;
    let before = paint(&store, 0).await;
    let mut tail = store.tail(&main_canvas(), position(&store).await).await.unwrap().unwrap();
    server.kill();
    server.restart();
    let after = paint_at_last(&store, 1).await;
    assert_ne!(after.epoch, before.epoch);
    assert_eq!(after.first, before.first.next());
    // Who stood in the epoch before loads afresh, also with a connection that was broken.
    until_lost(&mut *tail).await;
    // A reset leads on from the new epoch, not from the one before.
    store.reset(&main_canvas()).await.unwrap().unwrap();
    let old = Position { epoch: before.epoch, sequence: before.first };
    let mut tail = store.tail(&main_canvas(), old).await.unwrap().unwrap();
    assert_eq!(tail.next().await.unwrap(), Tailed::Lost);
    let new = Position { epoch: after.epoch, sequence: after.first };
    let mut tail = store.tail(&main_canvas(), new).await.unwrap().unwrap();
    assert!(matches!(tail.next().await.unwrap(), Tailed::Entry(_)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_reset_right_after_a_restart_leads_nobody_through() {
    let mut server = Server::start(&ALWAYS);
    let store = with_canvas(&server).await;
    let before = paint(&store, 0).await;
    server.kill();
    server.restart();
    let old = position(&store).await;
    assert_eq!(old, Position { epoch: before.epoch, sequence: before.first });
    let after = store.reset(&main_canvas()).await.unwrap().unwrap();
    assert_ne!(after.epoch, old.epoch);
    let mut tail = store.tail(&main_canvas(), old).await.unwrap().unwrap();
    assert_eq!(tail.next().await.unwrap(), Tailed::Lost);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_that_forgot_its_scripts_is_given_them_again() {
    let server = Server::start(&[]);
    let store = with_canvas(&server).await;
    let mut connection = server.connection();
    for number in 0..10 {
        redis::cmd("SCRIPT").arg("FLUSH").exec(&mut connection).unwrap();
        assert_eq!(paint(&store, number).await.first, Sequence(number + 1));
        redis::cmd("SCRIPT").arg("FLUSH").exec(&mut connection).unwrap();
        assert_eq!(position(&store).await.sequence, Sequence(number + 1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_full_server_takes_nothing_and_recovers() {
    let server = Server::start(&["--maxmemory-policy", "noeviction"]);
    let store = with_canvas(&server).await;
    paint(&store, 0).await;
    let before = position(&store).await;
    let mut connection = server.connection();
    let mut limit = |bytes: u64| {
        redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg(bytes).exec(&mut connection).unwrap();
    };
    limit(1);
    for number in 1..20 {
        let refused = place(&store, numbered(number)).await;
        assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    }
    assert!(store.reset(&main_canvas()).await.is_err());
    assert!(store.delete(&main_canvas()).await.is_err());
    assert_eq!(position(&store).await, before, "reads are answered, and nothing happened");
    limit(0);
    assert_eq!(paint(&store, 1).await.first, before.sequence.next());
    let view = store.view(&main_canvas(), &[ChunkId { cx: 0, cy: 0 }]).await.unwrap().unwrap();
    let painted = view.chunks[0].pixels.chunks(3).filter(|pixel| *pixel != [255; 3]).count();
    assert_eq!(painted, 2, "what was refused left nothing behind");
}
