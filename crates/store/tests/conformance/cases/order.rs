//! One order, dense, seen alike by acknowledgements, log and pixels.

use std::collections::HashMap;
use std::sync::Arc;

use pixel_canvas::{CanvasId, CanvasSpec, Color, Point, Sequence};
use pixel_store::{Accepted, Outcome};
use tokio::task::JoinSet;

use crate::world::{
    Stores, World, accepted, apply, at, check_dense, client, main_canvas, person, refused, some, spec,
    submission,
};

pub(crate) async fn concurrent_callers_share_one_dense_order(stores: &dyn Stores) {
    let world = Arc::new(World::plain(stores).await);
    let start = world.position(&main_canvas()).await;
    let mut callers = JoinSet::new();
    for caller in 0..20_u64 {
        let world = Arc::clone(&world);
        callers.spawn(async move {
            let mut answers: Vec<Accepted> = Vec::new();
            for round in 0..25_u32 {
                // Everybody fights for the same few pixels, each with a colour of its own.
                let colour = caller as u32 * 1_000 + round;
                let placements = (0..1 + round % 3).map(|n| at((n % 2) as u16, 0, colour)).collect();
                let outcome = world.place(&main_canvas(), submission(person(caller), None, placements)).await;
                answers.push(accepted(outcome));
            }
            assert!(answers.is_sorted_by(|a, b| a.last() < b.first), "acknowledged before sent is before");
            answers
        });
    }
    let mut answers: Vec<Accepted> = callers.join_all().await.into_iter().flatten().collect();
    answers.sort_by_key(|answer| answer.first);
    let mut last = Sequence::ZERO;
    for answer in &answers {
        assert_eq!(answer.first, last.next(), "dense");
        last = answer.last();
    }
    assert_eq!(world.position(&main_canvas()).await.sequence, last);

    let entries = world.entries(&main_canvas(), start).await;
    check_dense(&entries, Sequence::ZERO);
    let mut colours: HashMap<Point, Color> = HashMap::new();
    for (_, placement, _) in entries.iter().flat_map(|entry| entry.placements()) {
        colours.insert(placement.at, placement.color);
    }
    for (point, colour) in colours {
        let pixel = world.store.pixel(&main_canvas(), point).await.unwrap().unwrap();
        assert_eq!(pixel.color, colour, "a pixel shows its highest sequence");
    }
}

pub(crate) async fn a_snapshot_and_the_entries_after_it_make_the_later_snapshot(stores: &dyn Stores) {
    check_snapshots(stores, CanvasSpec { ..spec("wide", 300, 270) }).await;
}

pub(crate) async fn a_snapshot_and_the_entries_after_it_make_the_later_snapshot_of_a_palette(
    stores: &dyn Stores,
) {
    let palette = (0..=255).map(|n| format!("#0000{n:02x}")).collect();
    check_snapshots(stores, CanvasSpec { palette: Some(palette), ..spec("wide", 300, 270) }).await;
}

async fn check_snapshots(stores: &dyn Stores, spec: CanvasSpec) {
    let world = Arc::new(World::plain(stores).await);
    let id = world.canvas(&spec).await;
    let canvas = world.store.canvas(&id).await.unwrap().unwrap();
    let mut painters = JoinSet::new();
    for painter in 0..4_u64 {
        let (world, id) = (Arc::clone(&world), id.clone());
        painters.spawn(async move {
            for round in 0..40_u64 {
                let somewhere = |n: u64| {
                    let mixed = (painter * 7_919 + round * 104_729 + n * 1_299_709) % 81_000;
                    at((mixed % 300) as u16, (mixed / 300) as u16, (mixed % 256) as u32)
                };
                world.paint(&id, (0..5).map(somewhere).collect()).await;
            }
        });
    }
    let mut earlier = Vec::new();
    while !painters.is_empty() {
        earlier.push(world.view(&id).await);
        painters.join_next().await;
    }
    let later = world.view(&id).await;
    assert_eq!(later.position, world.position(&id).await);
    for mut view in earlier {
        for entry in world.entries(&id, view.position).await {
            apply(&canvas, &mut view.chunks, &entry);
        }
        assert!(view.chunks == later.chunks, "snapshot + entries = later snapshot, byte for byte");
    }
}

pub(crate) async fn what_was_acknowledged_is_read(stores: &dyn Stores) {
    let world = World::plain(stores).await;
    for n in 0..20 {
        let answer = world.paint(&main_canvas(), vec![at(n, n, 0xABCDEF)]).await;
        assert!(world.position(&main_canvas()).await.sequence >= answer.last());
        let pixel = world.store.pixel(&main_canvas(), Point { x: n, y: n }).await.unwrap().unwrap();
        assert_eq!(pixel.color, Color([0xAB, 0xCD, 0xEF]));
        assert!(world.view(&main_canvas()).await.position.sequence >= answer.last());
    }
}

pub(crate) async fn a_call_is_answered_in_its_order(stores: &dyn Stores) {
    let world = World::plain(stores).await;
    let call = vec![
        submission(person(1), client(1), some(2)),
        submission(person(2), client(1), vec![]),
        submission(person(3), None, some(3)),
    ];
    let outcomes = world.place_all(&main_canvas(), call).await;
    let [Outcome::Accepted(first), Outcome::Refused(_), Outcome::Accepted(third)] = outcomes[..] else {
        panic!("{outcomes:?}");
    };
    assert_eq!((first.first, first.count), (Sequence(1), 2));
    assert_eq!((third.first, third.count), (Sequence(3), 3));
}

pub(crate) async fn what_is_refused_takes_no_sequence(stores: &dyn Stores) {
    let world = World::plain(stores).await;
    let id: CanvasId = world.cooling("cool", 1_000, 1).await;
    let painter = person(1);
    assert_eq!(accepted(world.place(&id, submission(painter, None, some(1))).await).first, Sequence(1));
    for _ in 0..3 {
        refused(world.place(&id, submission(painter, None, some(1))).await);
        refused(world.place(&id, submission(person(2), None, vec![at(50, 0, 0)])).await);
    }
    assert_eq!(world.position(&id).await.sequence, Sequence(1));
    assert_eq!(accepted(world.place(&id, submission(person(3), None, some(1))).await).first, Sequence(2));
}
