//! What is not even looked up: wrong places, colours, counts and canvases.

use pixel_canvas::{Amendment, CanvasId, CanvasSpec, Color, Refusal, Sequence, Size};

use crate::world::{
    Stores, World, accepted, at, client, main_canvas, person, refused, some, spec, submission,
};

pub(crate) async fn a_place_outside_is_refused(stores: &dyn Stores) {
    let world = World::plain(stores).await;
    let id = world.canvas(&spec("wide", 300, 2)).await;
    let size = Size::new(300, 2).unwrap();
    for (x, y) in [(300, 0), (0, 2), (65_535, 65_535)] {
        // One wrong member spoils the whole submission.
        let outcome = world.place(&id, submission(person(1), None, vec![at(0, 0, 1), at(x, y, 0)])).await;
        assert_eq!(refused(outcome), Refusal::Outside { x: x.into(), y: y.into(), size });
    }
    assert_eq!(world.position(&id).await.sequence, Sequence::ZERO);
    accepted(world.place(&id, submission(person(1), None, vec![at(299, 1, 0)])).await);
}

pub(crate) async fn a_colour_outside_the_palette_is_refused(stores: &dyn Stores) {
    let world = World::plain(stores).await;
    let palette = Some(vec!["#000000".into(), "#FFFFFF".into()]);
    let id = world.canvas(&CanvasSpec { palette, ..spec("black-and-white", 9, 9) }).await;
    let outcome = world.place(&id, submission(person(1), None, vec![at(0, 0, 0x00_00_01)])).await;
    assert_eq!(refused(outcome), Refusal::NotInPalette(Color([0, 0, 1])));
    accepted(world.place(&id, submission(person(1), None, vec![at(0, 0, 0)])).await);
}

pub(crate) async fn nothing_and_too_much_are_refused(stores: &dyn Stores) {
    let world = World::plain(stores).await;
    for count in [0, 1_025] {
        let outcome = world.place(&main_canvas(), submission(person(1), client(1), some(count))).await;
        assert_eq!(refused(outcome), Refusal::Count { count, max: 1_024 });
    }
    accepted(world.place(&main_canvas(), submission(person(1), client(1), some(1_024))).await);
}

pub(crate) async fn a_frozen_canvas_takes_nothing(stores: &dyn Stores) {
    let world = World::plain(stores).await;
    let frozen = |frozen| Amendment { frozen: Some(frozen), ..Amendment::default() };
    world.store.amend(&main_canvas(), frozen(true)).await.unwrap().unwrap().unwrap();
    let one = || submission(person(1), None, some(1));
    assert_eq!(refused(world.place(&main_canvas(), one()).await), Refusal::Frozen);
    world.store.amend(&main_canvas(), frozen(false)).await.unwrap().unwrap().unwrap();
    accepted(world.place(&main_canvas(), one()).await);
}

pub(crate) async fn an_unknown_canvas_takes_nothing(stores: &dyn Stores) {
    let world = World::plain(stores).await;
    let nowhere = CanvasId::parse("nowhere").unwrap();
    let call = vec![submission(person(1), None, some(1)), submission(person(2), client(1), some(1))];
    for outcome in world.place_all(&nowhere, call).await {
        assert_eq!(refused(outcome), Refusal::NoCanvas);
    }
}
