//! A disk that fails: writing stops and says so, reading goes on, nothing false is acknowledged.

use std::sync::Arc;

use pixel_canvas::{Canvas, Sequence};
use pixel_store::{Condition, Store, StoreError, Trouble};
use tokio::task::JoinSet;

use crate::disk::{DATABASE, Disk};
use crate::{Outside, accepted, main_canvas, numbered, submission};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_full_disk_stops_writing_and_loses_nothing() {
    for good_for in 0..60 {
        let (disk, outside) = (Disk::default(), Outside::default());
        let store = Arc::new(disk.open(outside.options()).unwrap());
        store.create(Canvas::default_canvas()).await.unwrap();
        disk.fail_after(good_for);
        let mut acknowledged = 0;
        let mut unknown = 0;
        let refusal = loop {
            let number = acknowledged + unknown + 1;
            match store.place(&main_canvas(), vec![submission(1, number, vec![numbered(number)])]).await {
                Ok(outcomes) => {
                    assert_eq!(accepted(&outcomes[0]).first, Sequence(number));
                    acknowledged = number;
                }
                Err(StoreError::Unknown(_)) => unknown += 1,
                Err(StoreError::Unavailable(why)) => break why.to_string(),
            }
            assert!(unknown <= 1, "after a commit that failed there is no other");
        };
        assert!(refusal.contains("full"), "{refusal}");
        assert_eq!(store.condition(), Condition::ReadOnly(Trouble::CannotSave, refusal));
        // Readers keep what was synced, and nothing more.
        let position = store.position(&main_canvas()).await.unwrap().unwrap();
        assert_eq!(position.sequence, Sequence(acknowledged));
        assert!(matches!(store.reset(&main_canvas()).await, Err(StoreError::Unavailable(_))));
        assert!(matches!(store.delete(&main_canvas()).await, Err(StoreError::Unavailable(_))));

        drop(store);
        let store = Disk::holding(disk.content())
            .open(outside.options())
            .unwrap_or_else(|error| panic!("full after {good_for}: {error}"));
        let there = store.position(&main_canvas()).await.unwrap().unwrap().sequence.0;
        assert!((acknowledged..=acknowledged + unknown).contains(&there), "{there} is not {acknowledged}");
        let outcomes = store.place(&main_canvas(), vec![submission(2, 1, vec![numbered(1)])]).await.unwrap();
        assert_eq!(accepted(&outcomes[0]).first, Sequence(there + 1), "it recovers");
    }
}

#[tokio::test]
async fn a_start_on_a_full_disk_reads_all_that_was_acknowledged() {
    let (disk, outside) = (Disk::default(), Outside::default());
    let store = disk.open(outside.options()).unwrap();
    store.create(Canvas::default_canvas()).await.unwrap();
    for number in 1..=4 {
        store.place(&main_canvas(), vec![submission(1, number, vec![numbered(number)])]).await.unwrap();
    }
    drop(store);
    for good_for in 0..40 {
        let full = Disk::holding(disk.content());
        full.fail_after(good_for);
        let Ok(store) = full.open(outside.options()) else { continue };
        assert_eq!(
            store.position(&main_canvas()).await.unwrap().unwrap().sequence,
            Sequence(4),
            "{good_for}"
        );
        drop(store);
        let store = Disk::holding(full.content()).open(outside.options()).unwrap();
        assert_eq!(
            store.position(&main_canvas()).await.unwrap().unwrap().sequence,
            Sequence(4),
            "{good_for}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn everyone_who_waited_for_a_failed_commit_is_told() {
    // The first commit is a write and a sync.
    for good_for in 0..2 {
        let (disk, outside) = (Disk::default(), Outside::default());
        let store = Arc::new(disk.open(outside.options()).unwrap());
        store.create(Canvas::default_canvas()).await.unwrap();
        disk.fail_after(good_for);
        let mut callers = JoinSet::new();
        for caller in 0..64 {
            let store = Arc::clone(&store);
            callers.spawn(async move {
                let call = vec![submission(caller, 1, vec![numbered(caller)])];
                store.place(&main_canvas(), call).await.is_ok()
            });
        }
        let told: Vec<bool> = callers.join_all().await;
        assert!(told.contains(&false), "the disk failed");
        let acknowledged = told.iter().filter(|ok| **ok).count() as u64;
        let position = store.position(&main_canvas()).await.unwrap().unwrap();
        assert_eq!(position.sequence, Sequence(acknowledged));
    }
}

#[tokio::test]
async fn a_closed_store_reads_and_does_not_write() {
    let outside = Outside::default();
    let store = Disk::default().open(outside.options()).unwrap();
    store.create(Canvas::default_canvas()).await.unwrap();
    let start = store.position(&main_canvas()).await.unwrap().unwrap();
    let mut tail = store.tail(&main_canvas(), start).await.unwrap().unwrap();
    let ((), ended) = tokio::join!(store.close(), tail.next());
    assert!(matches!(ended, Err(StoreError::Unavailable(_))), "tails end");
    store.close().await;
    let call = vec![submission(1, 1, vec![numbered(1)])];
    assert!(matches!(store.place(&main_canvas(), call).await, Err(StoreError::Unavailable(_))));
    assert!(matches!(store.condition(), Condition::ReadOnly(Trouble::CannotSave, _)));
    assert_eq!(store.position(&main_canvas()).await.unwrap(), Some(start));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_in_the_queue_of_a_store_that_closes_is_told_that_nothing_happened() {
    let (disk, outside) = (Disk::default(), Outside::default());
    let store = Arc::new(disk.open(outside.options()).unwrap());
    store.create(Canvas::default_canvas()).await.unwrap();
    disk.hold();
    let mut waiting = JoinSet::new();
    let mut place = |number| {
        let store = Arc::clone(&store);
        waiting.spawn(async move {
            store.place(&main_canvas(), vec![submission(number, 1, vec![numbered(number)])]).await
        });
    };
    place(1);
    while !disk.is_waiting() {
        tokio::task::yield_now().await;
    }
    // The first is on its way to the disk; the close is queued, and others behind it.
    let closing = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.close().await }
    });
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    for number in 2..20 {
        place(number);
    }
    while store.figures().queued_calls < 18 {
        tokio::task::yield_now().await;
    }
    disk.release();
    closing.await.unwrap();
    let told = waiting.join_all().await;
    let accepted = told.iter().filter(|told| told.is_ok()).count() as u64;
    let unavailable = told.iter().filter(|told| matches!(told, Err(StoreError::Unavailable(_)))).count();
    assert_eq!((accepted, unavailable), (1, 18));
    assert_eq!(store.position(&main_canvas()).await.unwrap().unwrap().sequence, Sequence(1));
}

#[tokio::test]
async fn damage_inside_the_data_is_named_or_not_met() {
    let (disk, outside) = (Disk::default(), Outside::default());
    let store = disk.open(outside.options()).unwrap();
    store.create(Canvas::default_canvas()).await.unwrap();
    for number in 1..=50 {
        outside.advance(100);
        store
            .place(&main_canvas(), vec![submission(number % 7, number, vec![numbered(number)])])
            .await
            .unwrap();
    }
    store.close().await;
    drop(store);
    let content = disk.content();
    let (mut named, mut not_met) = (0, 0);
    for page in 0..content[DATABASE].len() / 4_096 {
        for (at, length) in [(0, 16), (100, 8), (1_000, 3_000)] {
            let mut damaged = content.clone();
            let from = page * 4_096 + at;
            damaged[DATABASE][from..from + length].fill(0xA5);
            if damaged == content {
                continue;
            }
            match Disk::holding(damaged).open(outside.options()) {
                Ok(store) => {
                    assert!(store.position(&main_canvas()).await.is_ok());
                    not_met += 1;
                }
                Err(error) => {
                    assert!(!error.to_string().is_empty());
                    named += 1;
                }
            }
        }
    }
    assert!(named > 0 && not_met > 0, "{named} named, {not_met} not met");
}
