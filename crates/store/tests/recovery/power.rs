//! The power is cut at every write: nothing acknowledged is lost, and what is there is a prefix.

use std::sync::Arc;

use pixel_canvas::{Amendment, Canvas, CanvasId, Color, Sequence};
use pixel_store::Store;
use pixel_store::embedded::{Embedded, Options};
use tokio::task::JoinSet;

use crate::disk::{Disk, Files, Stretch, Write, Written, apply};
use crate::{Outside, accepted, long, main_canvas, numbered, submission};

/// How many placements are acknowledged before the last cut.
const PLACEMENTS: u64 = 40;

/// Paints, one acknowledged placement after another, while other things happen; the placement
/// with sequence N is `numbered(N)`.
async fn paint(disk: &Disk, outside: &Outside) {
    let mut store = disk.open(outside.options()).expect("an empty disk opens");
    store.create(Canvas::default_canvas()).await.expect("the disk is whole");
    disk.record();
    for number in 1..=PLACEMENTS {
        outside.advance(150);
        let outcomes =
            store.place(&main_canvas(), vec![submission(number % 5, number, vec![numbered(number)])]).await;
        assert_eq!(accepted(&outcomes.expect("the disk is whole")[0]).first, Sequence(number));
        disk.acknowledge(number);
        if number == PLACEMENTS / 2 {
            // As after a kill -9: a start's own writes are cut, too, and what is written after them.
            drop(store);
            store = disk.open(outside.options()).expect("the disk is whole");
        }
        if number % 13 == 0 {
            other_things(&store, number).await;
        }
    }
}

/// Canvases come, are painted, reset and deleted, and the rules of the one that is checked change.
async fn other_things(store: &Embedded, number: u64) {
    let id = CanvasId::parse(&format!("other-{number}")).expect("an id");
    let other = Canvas { id: id.clone(), ..Canvas::default_canvas() };
    store.create(other).await.expect("the disk is whole");
    let call = vec![submission(1, 1, (1..500).map(numbered).collect())];
    store.place(&id, call).await.expect("the disk is whole");
    store.reset(&id).await.expect("the disk is whole");
    store.delete(&id).await.expect("the disk is whole");
    let renamed = Amendment { name: Some(format!("after {number}")), ..Amendment::default() };
    store
        .amend(&main_canvas(), renamed)
        .await
        .expect("the disk is whole")
        .expect("it is there")
        .expect("a name");
}

/// Opens what a cut left, twice, and checks it against what was acknowledged.
async fn check(content: Files, acknowledged: u64, outside: &Outside, cut: &str) {
    let disk = Disk::holding(content);
    for start in ["first", "second"] {
        let store =
            disk.open(outside.options()).unwrap_or_else(|error| panic!("{cut}, {start} start: {error}"));
        let there = store.position(&main_canvas()).await.unwrap().expect("the canvas was there").sequence.0;
        assert!(there >= acknowledged, "{cut}, {start} start: {there} of {acknowledged} acknowledged");
        for number in 1..=PLACEMENTS {
            let expected = if number <= there { numbered(number).color } else { Color::WHITE };
            let pixel = store.pixel(&main_canvas(), numbered(number).at).await.unwrap().unwrap();
            assert_eq!(pixel.color, expected, "{cut}, {start} start: placement {number}");
        }
        if there > 0 {
            // A retry of the last one is known, and the next one follows it.
            let retry = vec![submission(there % 5, there, vec![numbered(there)])];
            let outcomes = store.place(&main_canvas(), retry).await.unwrap();
            assert_eq!(accepted(&outcomes[0]).first, Sequence(there), "{cut}, {start} start");
        }
        if start == "second" {
            let more = vec![submission(9, 9, vec![numbered(PLACEMENTS + 1)])];
            let outcomes = store.place(&main_canvas(), more).await.unwrap();
            assert_eq!(accepted(&outcomes[0]).first, Sequence(there + 1), "{cut}, {start} start");
        }
    }
}

/// Where a write is torn: at its ends, around sectors, and in the middle, of which each write has
/// its turn at a few; in the long form all over.
fn tears(length: usize, turn: usize) -> Vec<usize> {
    let telling = [1, 7, 8, 64, 511, 512, 513, length / 2, length.saturating_sub(1)];
    let mut tears: Vec<usize> = if long() {
        telling.into_iter().chain((turn % 61..length).step_by(61)).collect()
    } else {
        telling.into_iter().skip(turn % 3).step_by(3).collect()
    };
    tears.retain(|at| (1..length).contains(at));
    tears
}

#[tokio::test]
async fn every_prefix_of_the_writes_since_a_sync_keeps_what_was_acknowledged() {
    let (disk, outside) = (Disk::default(), Outside::default());
    paint(&disk, &outside).await;
    let stretches = disk.stretches();
    let mut cuts = 0;
    for (interval, Stretch { synced, writes }) in stretches.iter().enumerate() {
        let mut content = synced.clone();
        for (index, Written { file, write, acknowledged }) in writes.iter().enumerate() {
            let cut = format!("cut in interval {interval} before write {index} of {}", writes.len());
            check(content.clone(), *acknowledged, &outside, &cut).await;
            cuts += 1;
            if let Write::Bytes { at, bytes } = write {
                for tear in tears(bytes.len(), index) {
                    let mut torn = content.clone();
                    apply(&mut torn[*file], &Write::Bytes { at: *at, bytes: bytes[..tear].to_vec() });
                    check(torn, *acknowledged, &outside, &format!("{cut}, torn at byte {tear}")).await;
                    cuts += 1;
                }
            }
            apply(&mut content[*file], write);
        }
    }
    assert!(cuts > 500, "only {cuts} cuts were tried");
    println!("{cuts} cuts, {PLACEMENTS} acknowledged placements, lost = 0");
}

#[tokio::test]
async fn writes_that_reach_the_disk_in_any_order_keep_what_was_acknowledged() {
    let (disk, outside) = (Disk::default(), Outside::default());
    paint(&disk, &outside).await;
    let mut dice = 0x9E37_79B9_7F4A_7C15_u64;
    let mut roll = || {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        dice
    };
    for (interval, Stretch { synced, writes }) in disk.stretches().iter().enumerate() {
        let Some(Written { acknowledged, .. }) = writes.first() else {
            continue;
        };
        for attempt in 0..4 {
            let mut content = synced.clone();
            for Written { file, write, .. } in writes {
                // The length is what the file system journals first.
                if matches!(write, Write::Length(_)) || roll() % 2 == 0 {
                    apply(&mut content[*file], write);
                }
            }
            check(content, *acknowledged, &outside, &format!("interval {interval}, attempt {attempt}")).await;
        }
    }
}

/// No upkeep, so that every sync is a commit's.
fn commits_only(outside: &Outside) -> Options {
    Options {
        checkpoint_bytes: u64::MAX,
        checkpoint_interval_ms: u64::MAX,
        journal_bytes: u64::MAX,
        ..outside.options()
    }
}

#[tokio::test]
async fn a_call_of_many_takes_one_sync() {
    let (disk, outside) = (Disk::default(), Outside::default());
    let store = disk.open(commits_only(&outside)).expect("an empty disk opens");
    store.create(Canvas::default_canvas()).await.unwrap();
    let before = disk.syncs();
    for group in 0..50 {
        let one = |number| submission(number, group, vec![numbered(number)]);
        let outcomes = store.place(&main_canvas(), (0..64).map(one).collect()).await.unwrap();
        assert_eq!(accepted(&outcomes[63]).first, Sequence(64 * (group + 1)));
    }
    assert_eq!(disk.syncs() - before, 50);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_while_a_commit_syncs_shares_the_next_and_nobody_sees_it_before() {
    let (disk, outside) = (Disk::default(), Outside::default());
    let store = disk.open(commits_only(&outside)).expect("an empty disk opens");
    let store = Arc::new(store);
    store.create(Canvas::default_canvas()).await.unwrap();
    let before = (disk.syncs(), store.figures().commits);
    disk.hold();
    let mut callers = JoinSet::new();
    for caller in 0..64 {
        let store = Arc::clone(&store);
        callers.spawn(async move {
            let call = vec![submission(caller, 1, vec![numbered(caller)])];
            accepted(&store.place(&main_canvas(), call).await.unwrap()[0])
        });
        // The first is alone; the others come while it syncs.
        while !disk.is_waiting() {
            tokio::task::yield_now().await;
        }
    }
    while store.figures().queued_calls < 63 {
        tokio::task::yield_now().await;
    }
    assert_eq!(store.position(&main_canvas()).await.unwrap().unwrap().sequence, Sequence::ZERO);
    disk.release();
    assert_eq!(callers.join_all().await.len(), 64);
    assert_eq!((disk.syncs() - before.0, store.figures().commits - before.1), (2, 2));
    assert_eq!(store.position(&main_canvas()).await.unwrap().unwrap().sequence, Sequence(64));
}
