//! The log, read from anywhere: contiguous, or said to be lost.

use std::sync::Arc;
use std::time::Duration;

use pixel_canvas::{Amendment, Canvas, Change, Epoch, Sequence};
use pixel_store::{Position, Tailed};
use tokio::time::timeout;

use crate::world::{
    PATIENCE, Setup, Stores, World, accepted, check_dense, client, entry, main_canvas, person, some,
    submission,
};

/// Short enough to try often.
const MOMENT: Duration = Duration::from_millis(1);

pub(crate) async fn a_tail_reads_from_every_position(stores: &dyn Stores) {
    let world = World::plain(stores).await;
    let mut positions = vec![world.position(&main_canvas()).await];
    for n in 0..60 {
        world.paint(&main_canvas(), some(1 + n % 7)).await;
        positions.push(world.position(&main_canvas()).await);
    }
    let all = world.entries(&main_canvas(), positions[0]).await;
    check_dense(&all, Sequence::ZERO);
    for (index, position) in positions.iter().enumerate() {
        let entries = world.entries(&main_canvas(), *position).await;
        check_dense(&entries, position.sequence);
        assert_eq!(entries, all[index..]);
    }
}

pub(crate) async fn a_tail_waits_and_wakes(stores: &dyn Stores) {
    let world = World::plain(stores).await;
    let start = world.position(&main_canvas()).await;
    let mut tails = [world.tail(&main_canvas(), start).await, world.tail(&main_canvas(), start).await];
    let id = main_canvas();
    for n in 0..50 {
        let (answer, first) = tokio::join!(
            world.place(&id, submission(person(n), client(n), some(3))),
            timeout(PATIENCE, tails[0].next()),
        );
        let (answer, first) = (accepted(answer), entry(first.expect("a tail wakes").unwrap()));
        assert_eq!((first.first, first.last, first.at), (answer.first, answer.last(), answer.at));
        let Change::Painted(painted) = &first.change else { panic!("not painted") };
        assert_eq!(painted.len(), 1);
        assert_eq!(painted[0].author, person(n));
        assert_eq!(painted[0].key, client(n).map(|key| key.key()));
        assert_eq!(painted[0].placements, some(3));
        assert_eq!(entry(tails[1].next().await.unwrap()), first);
    }
}

pub(crate) async fn a_tail_may_be_cancelled_at_any_time(stores: &dyn Stores) {
    let world = World::plain(stores).await;
    let start = world.position(&main_canvas()).await;
    let mut tail = world.tail(&main_canvas(), start).await;
    let mut entries = Vec::new();
    for _ in 0..100 {
        world.paint(&main_canvas(), some(40)).await;
        if let Ok(tailed) = timeout(MOMENT / 20, tail.next()).await {
            entries.push(entry(tailed.unwrap()));
        }
    }
    while entries.len() < 100 {
        if let Ok(tailed) = timeout(MOMENT, tail.next()).await {
            entries.push(entry(tailed.unwrap()));
        }
    }
    check_dense(&entries, Sequence::ZERO);
    assert!(timeout(MOMENT, tail.next()).await.is_err(), "nothing follows the end");
}

pub(crate) async fn a_tail_inside_an_entry_begins_with_it(stores: &dyn Stores) {
    let world = World::plain(stores).await;
    world.paint(&main_canvas(), some(3)).await;
    world.paint(&main_canvas(), some(5)).await;
    let end = world.position(&main_canvas()).await;
    let mut tail = world.tail(&main_canvas(), Position { sequence: Sequence(6), ..end }).await;
    let entry = entry(tail.next().await.unwrap());
    assert_eq!((entry.first, entry.last), (Sequence(4), Sequence(8)));
}

pub(crate) async fn a_tail_is_led_through_a_reset(stores: &dyn Stores) {
    let world = World::plain(stores).await;
    let start = world.position(&main_canvas()).await;
    world.paint(&main_canvas(), some(4)).await;
    let old = world.position(&main_canvas()).await;
    let reset = world.store.reset(&main_canvas()).await.unwrap().unwrap();
    world.paint(&main_canvas(), some(2)).await;
    for from in [start, old] {
        let entries = world.entries(&main_canvas(), from).await;
        check_dense(&entries, from.sequence);
        let epochs: Vec<Epoch> = entries.iter().map(|entry| entry.epoch).collect();
        let old_entries = entries.len() - 2;
        assert_eq!(epochs[..old_entries], vec![old.epoch; old_entries]);
        assert_eq!(epochs[old_entries..], [reset.epoch, reset.epoch]);
        assert!(matches!(entries[old_entries].change, Change::Reset { .. }));
    }
    // A position that the old epoch never had, and one that the new one never had.
    for wrong in [Position { epoch: old.epoch, ..reset }, Position { epoch: reset.epoch, ..old }] {
        let mut tail = world.tail(&main_canvas(), wrong).await;
        assert_eq!(tail.next().await.unwrap(), Tailed::Lost, "{wrong:?}");
    }
}

pub(crate) async fn a_tail_of_another_epoch_is_lost(stores: &dyn Stores) {
    let world = World::plain(stores).await;
    world.paint(&main_canvas(), some(4)).await;
    let end = world.position(&main_canvas()).await;
    for sequence in [Sequence::ZERO, Sequence(2), end.sequence] {
        let elsewhere = Position { epoch: Epoch(end.epoch.0 ^ 1), sequence };
        let mut tail = world.tail(&main_canvas(), elsewhere).await;
        assert_eq!(tail.next().await.unwrap(), Tailed::Lost);
    }
}

pub(crate) async fn a_tail_beyond_the_end_is_lost(stores: &dyn Stores) {
    let world = World::plain(stores).await;
    world.paint(&main_canvas(), some(4)).await;
    let end = world.position(&main_canvas()).await;
    let beyond = Position { sequence: end.sequence.next(), ..end };
    assert_eq!(world.tail(&main_canvas(), beyond).await.next().await.unwrap(), Tailed::Lost);
}

pub(crate) async fn a_tail_below_the_log_is_lost(stores: &dyn Stores) {
    let world = World::with(stores, Setup { log_bytes: 20_000, ..Setup::default() }).await;
    let start = world.position(&main_canvas()).await;
    let mut reader = world.tail(&main_canvas(), start).await;
    let lost = timeout(PATIENCE, async {
        loop {
            world.paint(&main_canvas(), some(50)).await;
            match world.tail(&main_canvas(), start).await.next().await.unwrap() {
                Tailed::Entry(_) => {}
                other => return other,
            }
        }
    });
    assert_eq!(lost.await.expect("the log is trimmed"), Tailed::Lost);
    assert_eq!(reader.next().await.unwrap(), Tailed::Lost, "also who had a tail open");

    // What is left is contiguous up to the end. A start that was just read may be trimmed since.
    let left = timeout(PATIENCE, async {
        loop {
            let from = world.store.tail_start(&main_canvas(), u64::MAX).await.unwrap().unwrap();
            match world.tail(&main_canvas(), from).await.next().await.unwrap() {
                Tailed::Lost => {}
                Tailed::Entry(first) => return (from, first),
                other => panic!("not an entry: {other:?}"),
            }
        }
    });
    let (from, first) = left.await.expect("trimming comes to an end");
    assert!(from.sequence > Sequence::ZERO);
    assert_eq!(first.after(), from.sequence);
}

pub(crate) async fn the_host_is_heard_on_the_tail(stores: &dyn Stores) {
    let world = World::plain(stores).await;
    let start = world.position(&main_canvas()).await;
    let mut tail = world.tail(&main_canvas(), start).await;
    let freeze = Amendment { frozen: Some(true), ..Amendment::default() };
    let id = main_canvas();
    let (amended, heard) = tokio::join!(world.store.amend(&id, freeze), timeout(PATIENCE, tail.next()),);
    let expected = Canvas { frozen: true, ..Canvas::default_canvas() };
    assert_eq!(*amended.unwrap().unwrap().unwrap(), expected);
    assert_eq!(heard.expect("a tail wakes").unwrap(), Tailed::Amended(Arc::new(expected)));
    let thaw = Amendment { frozen: Some(false), ..Amendment::default() };
    world.store.amend(&main_canvas(), thaw).await.unwrap().unwrap().unwrap();
    assert_eq!(tail.next().await.unwrap(), Tailed::Amended(Arc::new(Canvas::default_canvas())));
    world.paint(&main_canvas(), some(1)).await;
    assert_eq!(entry(tail.next().await.unwrap()).first, Sequence(1));
}

pub(crate) async fn deletion_ends_a_tail(stores: &dyn Stores) {
    let world = World::plain(stores).await;
    let start = world.position(&main_canvas()).await;
    let mut tail = world.tail(&main_canvas(), start).await;
    let id = main_canvas();
    let (deleted, heard) = tokio::join!(world.store.delete(&id), timeout(PATIENCE, tail.next()));
    assert!(deleted.unwrap());
    assert_eq!(heard.expect("a tail wakes").unwrap(), Tailed::Deleted);
    world.store.create(Canvas::default_canvas()).await.unwrap();
    assert_eq!(tail.next().await.unwrap(), Tailed::Deleted, "the new one of that name is another");
    assert!(world.store.tail(&main_canvas(), start).await.unwrap().is_some());
}

pub(crate) async fn a_start_reaches_back_as_far_as_asked(stores: &dyn Stores) {
    let world = World::plain(stores).await;
    let start = world.position(&main_canvas()).await;
    let ask = async |bytes| world.store.tail_start(&main_canvas(), bytes).await.unwrap().unwrap();
    assert_eq!(ask(u64::MAX).await, start);
    for _ in 0..100 {
        world.paint(&main_canvas(), some(10)).await;
    }
    let end = world.position(&main_canvas()).await;
    assert_eq!(ask(u64::MAX).await, start);
    assert_eq!(ask(0).await, end);
    let mut last = end.sequence;
    for bytes in [500, 2_000, 5_000, 10_000] {
        let from = ask(bytes).await;
        assert!(from.sequence < last, "more bytes reach further back");
        last = from.sequence;
        let entries = world.entries(&main_canvas(), from).await;
        check_dense(&entries, from.sequence);
        // An entry of ten takes some 120 bytes in every store.
        let count = entries.len() as u64;
        assert!(count * 60 <= bytes && bytes <= (count + 1) * 400, "{count} entries for {bytes} bytes");
    }
}

pub(crate) async fn a_start_stays_in_its_epoch(stores: &dyn Stores) {
    let world = World::plain(stores).await;
    world.paint(&main_canvas(), some(10)).await;
    let reset = world.store.reset(&main_canvas()).await.unwrap().unwrap();
    world.paint(&main_canvas(), some(10)).await;
    let from = world.store.tail_start(&main_canvas(), u64::MAX).await.unwrap().unwrap();
    assert_eq!(from, reset);
}
