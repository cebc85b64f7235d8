//! A server that comes back without what was acknowledged: that is counted, never silent.

use pixel_canvas::Sequence;
use pixel_store::Store;

use crate::server::Server;
use crate::world::{main_canvas, make_canvas, open, paint, paint_at_last, position, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_restored_from_before_is_noticed_before_anybody_paints() {
    let mut server = Server::start(&[]);
    let store = open(&server).await;
    make_canvas(&store).await;
    for number in 0..5 {
        paint(&store, number).await;
    }
    redis::cmd("SAVE").exec(&mut server.connection()).unwrap();
    for number in 5..12 {
        paint(&store, number).await;
    }
    server.kill();
    server.restart();
    until("the loss is counted", || store.figures().lost_placements == 7).await;
    assert_eq!(position(&store).await.sequence, Sequence(5));
    // Under the same key: it is painted anew.
    assert_eq!(paint_at_last(&store, 11).await.first, Sequence(6));
    server.kill();
    server.restart();
    until("the next loss is counted too", || store.figures().lost_placements == 8).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_that_comes_back_empty_is_noticed_and_a_canvas_that_was_deleted_is_no_loss() {
    let mut server = Server::start(&[]);
    let store = open(&server).await;
    make_canvas(&store).await;
    for number in 0..3 {
        paint(&store, number).await;
    }
    assert!(store.delete(&main_canvas()).await.expect("the store answers"));
    make_canvas(&store).await;
    for number in 0..4 {
        paint(&store, number).await;
    }
    server.kill();
    server.restart();
    until("what is gone is counted, and what was deleted is not", || store.figures().lost_placements == 4)
        .await;
}

/// Who could not reach the server meanwhile has to learn that it was the host.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_deletion_is_remembered_for_an_hour() {
    let server = Server::start(&[]);
    let store = open(&server).await;
    make_canvas(&store).await;
    paint(&store, 0).await;
    assert!(store.delete(&main_canvas()).await.expect("the store answers"));
    let mut connection = server.connection();
    let marks: Vec<String> =
        redis::cmd("KEYS").arg("pp:{main}:*:deleted").query(&mut connection).expect("it answers");
    let [mark] = &marks[..] else { panic!("one canvas was deleted: {marks:?}") };
    let left_s: u64 = redis::cmd("TTL").arg(mark).query(&mut connection).expect("it expires");
    assert!((3_000..=3_600).contains(&left_s), "{left_s} s");
}
