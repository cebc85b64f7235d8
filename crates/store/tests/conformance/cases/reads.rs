//! Chunks, pixels and overviews.

use pixel_canvas::{CanvasId, CanvasSpec, ChunkId, Color, Point, Sequence};
use pixel_store::{Provenance, Submission};

use crate::world::{Stores, World, accepted, at, main_canvas, named, person, some, spec, submission};

pub(crate) async fn chunks_at_the_edge_are_smaller(stores: &dyn Stores) {
    let world = World::plain(stores).await;
    let id = world.canvas(&spec("edges", 257, 514)).await;
    for painted in [false, true] {
        if painted {
            world.paint(&id, vec![at(256, 513, 1), at(0, 0, 2), at(256, 0, 3), at(0, 513, 4)]).await;
        }
        let view = world.view(&id).await;
        let lengths: Vec<usize> = view.chunks.iter().map(|chunk| chunk.pixels.len()).collect();
        let (full, right, lower, corner) = (256 * 256 * 3, 256 * 3, 256 * 2 * 3, 2 * 3);
        assert_eq!(lengths, [full, right, full, right, lower, corner]);
    }
    let view = world.view(&id).await;
    assert_eq!(view.chunks[5].pixels[3..], [0, 0, 1]);
    assert_eq!(view.chunks[0].pixels[..3], [0, 0, 2]);
    assert_eq!(view.chunks[1].pixels[..3], [0, 0, 3]);
    assert_eq!(view.chunks[4].pixels[256 * 3..256 * 3 + 3], [0, 0, 4]);
}

pub(crate) async fn a_palette_stores_one_byte_a_pixel(stores: &dyn Stores) {
    let world = World::plain(stores).await;
    let palette = Some(vec!["#000000".into(), "#FF0000".into(), "#00FF00".into()]);
    let background = Some("#FF0000".into());
    let id = world.canvas(&CanvasSpec { palette, background, ..spec("three", 3, 2) }).await;
    assert_eq!(**world.view(&id).await.chunks[0].pixels, [1; 6]);
    world.paint(&id, vec![at(2, 0, 0x00_FF_00), at(0, 1, 0)]).await;
    assert_eq!(**world.view(&id).await.chunks[0].pixels, [1, 1, 2, 0, 1, 1]);
    let pixel = world.store.pixel(&id, Point { x: 2, y: 0 }).await.unwrap().unwrap();
    assert_eq!(pixel.color, Color([0, 255, 0]));
}

pub(crate) async fn a_huge_canvas_holds_what_was_painted(stores: &dyn Stores) {
    let world = World::plain(stores).await;
    let id = world.canvas(&spec("huge", 65_536, 65_536)).await;
    let corners = [at(0, 0, 1), at(65_535, 0, 2), at(0, 65_535, 3), at(65_535, 65_535, 4)];
    world.paint(&id, corners.to_vec()).await;
    for corner in corners {
        let pixel = world.store.pixel(&id, corner.at).await.unwrap().unwrap();
        assert_eq!(pixel.color, corner.color);
    }
    let blank = world.store.pixel(&id, Point { x: 30_000, y: 30_000 }).await.unwrap().unwrap();
    assert_eq!((blank.color, blank.painted), (Color::WHITE, None));
    let overview = world.store.overview(&id).await.unwrap().unwrap();
    assert_eq!(overview.changed.len(), 4, "only what was painted is there");
}

pub(crate) async fn a_pixel_knows_who_painted_it_and_when(stores: &dyn Stores) {
    let world = World::plain(stores).await;
    let here = Point { x: 4, y: 9 };
    let ask = async || world.store.pixel(&main_canvas(), here).await.unwrap().unwrap();
    assert_eq!(ask().await.painted, None);
    for (number, name) in [(1, "Ada"), (2, "Grace"), (1, "Countess")] {
        world.clock.advance(10);
        let placement = at(here.x, here.y, number as u32);
        let asked = Submission {
            name: named(name),
            ..submission(person(number), None, vec![at(0, 0, 0), placement])
        };
        let answer = accepted(world.place(&main_canvas(), asked).await);
        let pixel = ask().await;
        assert_eq!(pixel.color, placement.color);
        let expected = Provenance { name: Some(named(name)), at: world.clock.now(), sequence: answer.last() };
        assert_eq!(pixel.painted, Some(expected));
    }
}

pub(crate) async fn chunks_are_viewed_together_in_the_order_asked(stores: &dyn Stores) {
    let world = World::plain(stores).await;
    let id = world.canvas(&spec("four", 512, 512)).await;
    world.paint(&id, vec![at(0, 0, 1), at(300, 300, 2)]).await;
    let ask = [(1, 1), (0, 1), (0, 0)].map(|(cx, cy)| ChunkId { cx, cy });
    let view = world.store.view(&id, &ask).await.unwrap().unwrap();
    assert_eq!(view.position, world.position(&id).await);
    let seen: Vec<(ChunkId, Sequence)> = view.chunks.iter().map(|chunk| (chunk.id, chunk.changed)).collect();
    assert_eq!(seen, [(ask[0], Sequence(2)), (ask[1], Sequence::ZERO), (ask[2], Sequence(1))]);
    assert_eq!(world.store.view(&id, &[]).await.unwrap().unwrap().position, view.position);
}

pub(crate) async fn the_overview_names_painted_chunks(stores: &dyn Stores) {
    let world = World::plain(stores).await;
    let id = world.canvas(&spec("four", 512, 512)).await;
    assert_eq!(world.store.overview(&id).await.unwrap().unwrap().changed, []);
    world.paint(&id, vec![at(0, 0, 1), at(300, 300, 2), at(1, 1, 3)]).await;
    let overview = world.store.overview(&id).await.unwrap().unwrap();
    assert_eq!(overview.position, world.position(&id).await);
    let mut changed = overview.changed;
    changed.sort();
    let chunk = |cx, cy| ChunkId { cx, cy };
    assert_eq!(changed, [(chunk(0, 0), Sequence(3)), (chunk(1, 1), Sequence(2))]);
}

pub(crate) async fn a_canvas_that_is_not_there_is_none(stores: &dyn Stores) {
    let world = World::plain(stores).await;
    world.paint(&main_canvas(), some(1)).await;
    let nowhere = CanvasId::parse("nowhere").unwrap();
    let position = world.position(&main_canvas()).await;
    assert_eq!(world.store.canvas(&nowhere).await.unwrap(), None);
    assert_eq!(world.store.position(&nowhere).await.unwrap(), None);
    assert!(world.store.view(&nowhere, &[]).await.unwrap().is_none());
    assert_eq!(world.store.pixel(&nowhere, Point { x: 0, y: 0 }).await.unwrap(), None);
    assert_eq!(world.store.overview(&nowhere).await.unwrap(), None);
    assert!(world.store.tail(&nowhere, position).await.unwrap().is_none());
    assert_eq!(world.store.tail_start(&nowhere, 1).await.unwrap(), None);
}
