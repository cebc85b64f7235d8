//! A replica that takes over: another epoch, and whoever saw what is lost is told.

use pixel_canvas::Sequence;
use pixel_store::{Condition, Position, Store, Tailed, Trouble};

use crate::server::Server;
use crate::world::{main_canvas, open, paint, position, until, with_canvas};

/// A replica of a server, in step with it. A server's first replica gives it another replication
/// ID, which costs an epoch: so it comes before the canvas.
pub(crate) async fn replica_of(server: &Server) -> Server {
    let replica = Server::start(&["--replicaof", &format!("127.0.0.1 {}", server.port())]);
    let mut connection = replica.connection();
    until("the replica is in step", || {
        let info: String = redis::cmd("INFO").arg("replication").query(&mut connection).unwrap();
        info.contains("master_link_status:up")
    })
    .await;
    replica
}

/// Waits until the replica has what the canvas is.
async fn in_step(replica: &Server, sequence: Sequence) {
    let mut connection = replica.connection();
    until("the replica is in step", || {
        let mut ask = redis::cmd("HGET");
        ask.arg("pp:{main}").arg("sequence");
        // While it loads, it does not answer.
        ask.query::<Option<String>>(&mut connection).is_ok_and(|has| has == Some(sequence.to_string()))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_promoted_replica_begins_another_epoch() {
    let master = Server::start(&["--repl-diskless-sync-delay", "0"]);
    let replica = replica_of(&master).await;
    let store = with_canvas(&master).await;
    let before = paint(&store, 0).await;
    in_step(&replica, before.first).await;

    let promoted = open(&replica).await;
    assert!(
        matches!(promoted.condition(), Condition::ReadOnly(Trouble::Replica, _)),
        "a replica takes no writes"
    );
    let shared = position(&promoted).await;
    assert_eq!(shared, Position { epoch: before.epoch, sequence: before.first }, "but it is read");
    let mut tail = promoted.tail(&main_canvas(), shared).await.unwrap().unwrap();

    // It is cut off, and the master acknowledges what will be lost.
    redis::cmd("REPLICAOF").arg("NO").arg("ONE").exec(&mut replica.connection()).unwrap();
    let lost = paint(&store, 1).await;
    assert_eq!(lost.epoch, before.epoch);
    let seen = Position { epoch: lost.epoch, sequence: lost.first };
    let mut ahead = promoted.tail(&main_canvas(), seen).await.unwrap().unwrap();
    assert_eq!(ahead.next().await.unwrap(), Tailed::Lost, "a top below mine");

    // The same sequence comes again with other content, and is not taken for the one before.
    let after = paint(&promoted, 2).await;
    assert_eq!(after.first, lost.first);
    assert_ne!(after.epoch, before.epoch);
    let mut behind = promoted.tail(&main_canvas(), seen).await.unwrap().unwrap();
    assert_eq!(behind.next().await.unwrap(), Tailed::Lost);
    assert_eq!(tail.next().await.unwrap(), Tailed::Lost, "also who had lost nothing: nobody can tell");
    let new = Position { epoch: after.epoch, sequence: after.first };
    assert_eq!(position(&promoted).await, new);
    assert_eq!(promoted.tail_start(&main_canvas(), u64::MAX).await.unwrap().unwrap().epoch, after.epoch);
}
