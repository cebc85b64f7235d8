//! A server that is not there, or silent: a clear answer, and recovery by itself.

use pixel_canvas::Sequence;
use pixel_store::redis::{Durability, Redis};
use pixel_store::{Condition, Outcome, Store, StoreError, Submission, Tailed, Trouble};
use tokio::time::timeout;

use crate::server::Server;
use crate::world::{
    PATIENCE, main_canvas, make_canvas, numbered, open, options, paint, paint_at_last, place, position,
    until, with_canvas,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_absent_server_is_waited_for() {
    let mut server = Server::start(&[]);
    server.kill();
    let store = open(&server).await;
    assert!(matches!(store.condition(), Condition::Away(Trouble::Away, _)));
    let outcome = place(&store, numbered(0)).await;
    assert!(matches!(outcome, Err(StoreError::Unavailable(_))), "{outcome:?}");
    assert!(matches!(store.position(&main_canvas()).await, Err(StoreError::Unavailable(_))));
    server.restart();
    until("the store finds its server", || store.condition() == Condition::Writable).await;
    make_canvas(&store).await;
    assert_eq!(paint(&store, 0).await.first, Sequence(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_password_is_given() {
    let server = Server::start(&["--requirepass", "secret"]);
    let without = open(&server).await;
    assert!(matches!(without.condition(), Condition::Away(Trouble::Password, _)));
    let options =
        pixel_store::redis::Options { password: Some("secret".into()), ..options(Durability::AsConfigured) };
    let store = Redis::open(server.address(), options).await.unwrap();
    assert_eq!(store.condition(), Condition::Writable);
    make_canvas(&store).await;
    paint(&store, 0).await;
    assert!(!format!("{store:?}").contains("secret"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_silent_server_is_not_waited_for_and_nothing_is_painted_twice() {
    let server = Server::start(&[]);
    let store = with_canvas(&server).await;
    // Together, so that several connections are open, whichever the store itself looks through.
    tokio::join!(paint(&store, 0), paint(&store, 0), paint(&store, 0), paint(&store, 0));
    server.freeze();
    // What had been sent may happen once it thaws; what could not be sent will not.
    let sent = timeout(PATIENCE, place(&store, numbered(1))).await.expect("an answer");
    assert!(matches!(sent, Err(StoreError::Unknown(_))), "{sent:?}");
    let unsent = timeout(PATIENCE, place(&store, numbered(2))).await.expect("an answer");
    assert!(matches!(unsent, Err(StoreError::Unavailable(_))), "{unsent:?}");
    let read = timeout(PATIENCE, store.position(&main_canvas())).await.expect("an answer");
    assert!(matches!(read, Err(StoreError::Unavailable(_))), "{read:?}");
    until("it is noticed", || matches!(store.condition(), Condition::Away(Trouble::Silent, _))).await;
    server.thaw();
    until("it is noticed", || store.condition() == Condition::Writable).await;
    for number in [1, 2] {
        paint_at_last(&store, number).await;
    }
    assert_eq!(position(&store).await.sequence, Sequence(3), "each was painted once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_tail_goes_on_after_a_silence() {
    let server = Server::start(&[]);
    let store = with_canvas(&server).await;
    let start = position(&store).await;
    let mut tail = store.tail(&main_canvas(), start).await.unwrap().unwrap();
    paint(&store, 0).await;
    assert!(matches!(tail.next().await.unwrap(), Tailed::Entry(_)));
    server.freeze();
    let failed = timeout(PATIENCE, tail.next()).await.expect("an answer");
    assert!(matches!(failed, Err(StoreError::Unavailable(_))), "{failed:?}");
    server.thaw();
    paint_at_last(&store, 1).await;
    let next = async {
        loop {
            if let Ok(next) = tail.next().await {
                return next;
            }
        }
    };
    let Tailed::Entry(entry) = timeout(PATIENCE, next).await.expect("the tail goes on") else {
        panic!("the history is the same");
    };
    assert_eq!(entry.first, Sequence(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn stores_of_several_processes_are_one() {
    let server = Server::start(&[]);
    let first = with_canvas(&server).await;
    let (second, third) = (open(&server).await, open(&server).await);
    let mut tail = third.tail(&main_canvas(), position(&third).await).await.unwrap().unwrap();
    for round in 0..20 {
        // The same submission through all three: it is painted once.
        let asked = |store| async move {
            match place(store, numbered(round)).await.unwrap() {
                Outcome::Accepted(accepted) => accepted,
                Outcome::Refused(refusal) => panic!("{refusal}"),
            }
        };
        let (a, b, c) = tokio::join!(asked(&first), asked(&second), asked(&third));
        assert_eq!((a, b), (b, c));
        assert_eq!(a.first, Sequence(round + 1));
        let Tailed::Entry(entry) = tail.next().await.unwrap() else { panic!("an entry") };
        assert_eq!((entry.first, entry.last), (a.first, a.first));
    }
    // One deletes and makes anew: the others do not paint on what they knew.
    assert!(second.delete(&main_canvas()).await.unwrap());
    make_canvas(&third).await;
    let again = Submission { key: None, ..numbered(1) };
    let outcome = place(&first, again).await.unwrap();
    assert!(matches!(outcome, Outcome::Accepted(accepted) if accepted.first == Sequence(1)), "{outcome:?}");
    assert_eq!(tail.next().await.unwrap(), Tailed::Deleted);
}
