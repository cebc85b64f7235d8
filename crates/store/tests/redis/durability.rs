//! What an acknowledgement waits for is what was asked for.

use pixel_canvas::Sequence;
use pixel_store::redis::{Durability, OpenError, Redis};
use pixel_store::{Condition, Store, StoreError, Trouble};

use crate::promotion::replica_of;
use crate::server::Server;
use crate::world::{
    ALWAYS, make_canvas, numbered, open_as, options, paint, paint_at_last, place, position, until,
    with_canvas,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fsync_is_refused_by_a_server_that_does_not_promise_it() {
    for arguments in [&[][..], &["--appendonly", "yes", "--appendfsync", "everysec"]] {
        let server = Server::start(arguments);
        let refused = Redis::open(server.address(), options(Durability::Fsync)).await;
        assert!(matches!(refused, Err(OpenError::Durability(_))), "{refused:?}");
    }
    let server = Server::start(&ALWAYS);
    let store = open_as(&server, Durability::Fsync).await;
    make_canvas(&store).await;
    paint(&store, 0).await;
    drop(store);
    // Somebody reads what is there: whoever starts now serves them, as those that run do.
    redis::cmd("CONFIG").arg("SET").arg("appendfsync").arg("no").exec(&mut server.connection()).unwrap();
    let store = open_as(&server, Durability::Fsync).await;
    assert!(matches!(store.condition(), Condition::ReadOnly(Trouble::Durability, _)));
    assert_eq!(position(&store).await.sequence, Sequence(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_that_stops_promising_fsync_is_noticed() {
    let server = Server::start(&ALWAYS);
    let store = open_as(&server, Durability::Fsync).await;
    make_canvas(&store).await;
    let set = |to: &str| {
        let mut connection = server.connection();
        redis::cmd("CONFIG").arg("SET").arg("appendfsync").arg(to).exec(&mut connection).unwrap();
    };
    set("everysec");
    until("it is noticed", || matches!(store.condition(), Condition::ReadOnly(Trouble::Durability, _))).await;
    let refused = place(&store, numbered(0)).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    set("always");
    paint_at_last(&store, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn without_its_replica_it_is_not_known_whether_it_will_last() {
    let server = Server::start(&["--repl-diskless-sync-delay", "0"]);
    with_canvas(&server).await;
    let store = open_as(&server, Durability::Replicated(1)).await;
    // Nobody should see what nobody may acknowledge.
    assert!(matches!(store.condition(), Condition::ReadOnly(Trouble::FewReplicas, _)));
    let alone = place(&store, numbered(0)).await;
    assert!(matches!(alone, Err(StoreError::Unavailable(_))), "{alone:?}");
    let replica = replica_of(&server).await;
    let accepted = paint_at_last(&store, 0).await;
    assert_eq!(accepted.first, Sequence(1), "it had not been painted");

    // It counts as there until it is missed, and confirms nothing.
    replica.freeze();
    let frozen = place(&store, numbered(1)).await;
    assert!(matches!(frozen, Err(StoreError::Unknown(_))), "{frozen:?}");
    // An acknowledgement given again waits as the first did, also on a new connection.
    let fresh = open_as(&server, Durability::Replicated(1)).await;
    let again = place(&fresh, numbered(0)).await;
    assert!(matches!(again, Err(StoreError::Unknown(_))), "{again:?}");
    replica.thaw();
    assert_eq!(paint_at_last(&fresh, 0).await, accepted);
    assert_eq!(paint_at_last(&store, 1).await.first, Sequence(2), "it had been painted");
    assert_eq!(position(&fresh).await.sequence, Sequence(2));
}
