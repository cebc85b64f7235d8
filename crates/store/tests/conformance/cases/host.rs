//! What a host changes: canvases, their rules, everything at once.

use std::collections::HashMap;

use pixel_canvas::{
    Amendment, Canvas, CanvasId, CanvasSpec, Change, ChunkId, Color, Placement, Point, Refusal, Sequence,
};
use pixel_store::{Created, Position};

use crate::world::{
    Stores, World, accepted, at, client, entry, main_canvas, person, refused, some, spec, submission,
};

pub(crate) async fn canvases_are_made_once_and_listed_by_id(stores: &dyn Stores) {
    let world = World::plain(stores).await;
    for id in ["zebra", "ant"] {
        world.canvas(&spec(id, 10, 20)).await;
    }
    let listed = world.store.canvases().await.unwrap();
    let ids: Vec<&str> = listed.iter().map(|canvas| canvas.id.as_str()).collect();
    assert_eq!(ids, ["ant", "main", "zebra"]);

    world.paint(&main_canvas(), some(2)).await;
    let other = Canvas { name: "another".into(), ..Canvas::default_canvas() };
    match world.store.create(other).await.unwrap() {
        Created::Exists(canvas) => assert_eq!(*canvas, Canvas::default_canvas()),
        Created::Made(_) => panic!("there is one already"),
    }
    assert_eq!(world.position(&main_canvas()).await.sequence, Sequence(2), "it is unchanged");
}

pub(crate) async fn an_amendment_is_seen_by_all(stores: &dyn Stores) {
    let world = World::plain(stores).await;
    world.paint(&main_canvas(), some(3)).await;
    let before = world.position(&main_canvas()).await;
    let amendment = Amendment {
        name: Some("Ours".into()),
        cooldown_ms: Some(700),
        charges_max: Some(9),
        frozen: Some(true),
    };
    let amended = world.store.amend(&main_canvas(), amendment).await.unwrap().unwrap().unwrap();
    let expected = Canvas {
        name: "Ours".into(),
        cooldown_ms: 700,
        charges_max: 9,
        frozen: true,
        ..Canvas::default_canvas()
    };
    assert_eq!(*amended, expected);
    assert_eq!(*world.store.canvas(&main_canvas()).await.unwrap().unwrap(), expected);
    assert_eq!(world.position(&main_canvas()).await, before, "history goes on");
}

pub(crate) async fn a_wrong_amendment_changes_nothing(stores: &dyn Stores) {
    let world = World::plain(stores).await;
    let wrong = Amendment { name: Some("Ours".into()), cooldown_ms: Some(-1), ..Amendment::default() };
    let invalid = world.store.amend(&main_canvas(), wrong).await.unwrap().unwrap().unwrap_err();
    assert_eq!(invalid.key, "cooldown_ms");
    assert_eq!(*world.store.canvas(&main_canvas()).await.unwrap().unwrap(), Canvas::default_canvas());
    let nowhere = CanvasId::parse("nowhere").unwrap();
    assert_eq!(world.store.amend(&nowhere, Amendment::default()).await.unwrap(), None);
}

pub(crate) async fn a_deleted_canvas_is_gone_and_its_name_free(stores: &dyn Stores) {
    let world = World::plain(stores).await;
    world.paint(&main_canvas(), some(3)).await;
    let before = world.position(&main_canvas()).await;
    assert!(world.store.delete(&main_canvas()).await.unwrap());
    assert!(!world.store.delete(&main_canvas()).await.unwrap());
    assert!(world.store.canvases().await.unwrap().is_empty());
    assert_eq!(world.store.position(&main_canvas()).await.unwrap(), None);
    let outcome = world.place(&main_canvas(), submission(person(1), None, some(1))).await;
    assert_eq!(refused(outcome), Refusal::NoCanvas);

    world.store.create(Canvas::default_canvas()).await.unwrap();
    let after = world.position(&main_canvas()).await;
    assert_eq!(after.sequence, Sequence::ZERO);
    assert_ne!(after.epoch, before.epoch);
    assert!(world.view(&main_canvas()).await.chunks[0].pixels.iter().all(|byte| *byte == 255));
    assert_eq!(world.paint(&main_canvas(), some(1)).await.first, Sequence(1));
}

pub(crate) async fn a_reset_puts_everything_back(stores: &dyn Stores) {
    let world = World::plain(stores).await;
    let blank = world.view(&main_canvas()).await;
    world.paint(&main_canvas(), some(10)).await;
    let before = world.position(&main_canvas()).await;
    let after = world.store.reset(&main_canvas()).await.unwrap().unwrap();
    assert_ne!(after.epoch, before.epoch);
    assert_eq!(after.sequence, Sequence(20));
    let view = world.view(&main_canvas()).await;
    assert_eq!(view.position, after);
    assert_eq!(view.chunks[0].pixels, blank.chunks[0].pixels);
    let pixel = world.store.pixel(&main_canvas(), Point { x: 0, y: 0 }).await.unwrap().unwrap();
    assert_eq!((pixel.color, pixel.painted), (Color::WHITE, None));
    assert_eq!(world.store.overview(&main_canvas()).await.unwrap().unwrap().changed, []);
    let nowhere = CanvasId::parse("nowhere").unwrap();
    assert_eq!(world.store.reset(&nowhere).await.unwrap(), None);
}

pub(crate) async fn a_reset_lists_exactly_what_it_changed(stores: &dyn Stores) {
    let world = World::plain(stores).await;
    let palette = Some(vec!["#000000".into(), "#111111".into(), "#222222".into()]);
    let background = Some("#111111".into());
    let id = world.canvas(&CanvasSpec { palette, background, ..spec("three", 300, 300) }).await;
    let black = [at(0, 0, 0), at(299, 299, 0), at(255, 256, 0), at(256, 0, 0)];
    world.paint(&id, black.to_vec()).await;
    // Painted, but the background all the same: no reset changes it.
    world.paint(&id, vec![at(7, 7, 0x11_11_11), at(256, 0, 0x11_11_11)]).await;
    let before = world.position(&id).await;
    let after = world.store.reset(&id).await.unwrap().unwrap();
    let entries = world.entries(&id, before).await;
    assert_eq!(entries.len(), 1);
    assert_eq!((entries[0].first, entries[0].last), (Sequence(7), Sequence(9)));
    assert_eq!(Position { epoch: entries[0].epoch, sequence: entries[0].last }, after);
    let Change::Reset { placements } = &entries[0].change else { panic!("not a reset") };
    let listed: HashMap<Point, Color> =
        placements.iter().map(|Placement { at, color }| (*at, *color)).collect();
    let back = Color([0x11; 3]);
    let expected = [(black[0].at, back), (black[1].at, back), (black[2].at, back)];
    assert_eq!(listed, HashMap::from(expected));
}

pub(crate) async fn a_reset_of_a_blank_canvas_takes_one_sequence(stores: &dyn Stores) {
    let world = World::plain(stores).await;
    let before = world.position(&main_canvas()).await;
    let after = world.store.reset(&main_canvas()).await.unwrap().unwrap();
    assert_ne!(after.epoch, before.epoch);
    assert_eq!(after.sequence, Sequence(1));
    let entries = world.entries(&main_canvas(), before).await;
    // An empty list would say "too many": whoever counts sequences gets the first pixel instead.
    assert_eq!(entries[0].change, Change::Reset { placements: vec![at(0, 0, 0xFF_FF_FF)] });
}

pub(crate) async fn a_reset_of_very_much_lists_nothing(stores: &dyn Stores) {
    let world = World::plain(stores).await;
    let id = world.canvas(&spec("square", 257, 256)).await;
    let every: Vec<Placement> = (0..257).flat_map(|x| (0..256).map(move |y| at(x, y, 1))).collect();
    for some in every[..65_536].chunks(1_024) {
        world.paint(&id, some.to_vec()).await;
    }
    let listed = world.store.reset(&id).await.unwrap().unwrap();
    assert_eq!(listed.sequence, Sequence(2 * 65_536), "65,536 are listed");
    for some in every[..65_537].chunks(1_024) {
        world.paint(&id, some.to_vec()).await;
    }
    let before = world.position(&id).await;
    let after = world.store.reset(&id).await.unwrap().unwrap();
    assert_eq!(after.sequence, before.sequence.next(), "65,537 are not");
    let entries = world.entries(&id, before).await;
    assert_eq!(entries[0].change, Change::Reset { placements: vec![] });
    assert!(world.view(&id).await.chunks.iter().all(|chunk| chunk.pixels.iter().all(|byte| *byte == 255)));
}

pub(crate) async fn painting_goes_on_after_a_reset(stores: &dyn Stores) {
    let world = World::plain(stores).await;
    world.paint(&main_canvas(), some(5)).await;
    let reset = world.store.reset(&main_canvas()).await.unwrap().unwrap();
    let answer =
        accepted(world.place(&main_canvas(), submission(person(1), client(1), vec![at(3, 3, 3)])).await);
    assert_eq!((answer.first, answer.epoch), (reset.sequence.next(), reset.epoch));
    let pixel = world.store.pixel(&main_canvas(), Point { x: 3, y: 3 }).await.unwrap().unwrap();
    assert_eq!(pixel.painted.map(|painted| painted.sequence), Some(answer.first));
    let overview = world.store.overview(&main_canvas()).await.unwrap().unwrap();
    assert_eq!(overview.changed, [(ChunkId { cx: 0, cy: 0 }, answer.first)]);
    let mut tail = world.tail(&main_canvas(), reset).await;
    assert_eq!(entry(tail.next().await.unwrap()).first, answer.first);
}
