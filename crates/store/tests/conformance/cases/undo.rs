//! People take back and repeat what they placed, where it is still theirs.

use std::sync::Arc;

use pixel_canvas::history::{HISTORY_KEPT_MS, HISTORY_STEPS_MAX, RETRACED_STEPS_MAX};
use pixel_canvas::{
    Amendment, Canvas, CanvasId, CanvasSpec, Change, Color, Placement, Refusal, Sequence, Turn,
};
use pixel_store::{Accepted, Limits, Outcome};
use tokio::task::JoinSet;

use crate::world::{
    NO_LIMITS, Stores, World, accepted, at, client, main_canvas, person, rate, refused, retracing, some,
    spec, submission,
};

impl World {
    /// Person 1 places.
    async fn stroke(&self, placements: Vec<Placement>) -> Accepted {
        accepted(self.place(&main_canvas(), submission(person(1), None, placements)).await)
    }

    /// Person 1 walks, without a key.
    async fn walk(&self, turn: Turn, count: u16) -> Outcome {
        self.place(&main_canvas(), retracing(person(1), None, turn, count)).await
    }

    async fn undo(&self, count: u16) -> Outcome {
        self.walk(Turn::Undo, count).await
    }

    async fn redo(&self, count: u16) -> Outcome {
        self.walk(Turn::Redo, count).await
    }

    async fn color(&self, placement: Placement) -> Color {
        self.store.pixel(&main_canvas(), placement.at).await.unwrap().unwrap().color
    }
}

pub(crate) async fn what_is_taken_back_shows_what_was_before(stores: &dyn Stores) {
    let world = World::plain(stores).await;
    let (blank, below) = (at(3, 3, 0xFF_FFFF), at(4, 4, 1));
    world.paint(&main_canvas(), vec![below]).await;
    world.stroke(vec![at(3, 3, 5), at(4, 4, 6)]).await;
    let undone = accepted(world.undo(9).await);
    assert_eq!((undone.first, undone.count), (Sequence(4), 2));
    assert_eq!(world.color(blank).await, blank.color);
    assert_eq!(world.color(below).await, below.color);
    let painted = world.store.pixel(&main_canvas(), below.at).await.unwrap().unwrap().painted;
    assert_eq!(painted.map(|painted| painted.sequence), Some(Sequence(4)), "painted by who took back");
}

pub(crate) async fn an_undo_in_the_log_is_what_it_painted(stores: &dyn Stores) {
    let world = World::plain(stores).await;
    world.stroke(vec![at(0, 0, 1), at(49, 49, 2)]).await;
    let before = world.position(&main_canvas()).await;
    world.clock.advance(5);
    let asked = retracing(person(1), client(7), Turn::Undo, 2);
    let answer = accepted(world.place(&main_canvas(), asked.clone()).await);
    let entries = world.entries(&main_canvas(), before).await;
    assert_eq!((entries[0].first, entries[0].last, entries[0].at), (Sequence(3), Sequence(4), answer.at));
    let Change::Painted(painted) = &entries[0].change else { panic!("a reset") };
    assert_eq!(painted[0].placements, [at(49, 49, 0xFF_FFFF), at(0, 0, 0xFF_FFFF)]);
    assert_eq!((painted[0].author, &painted[0].name), (asked.author, &asked.name));
    assert_eq!(painted[0].key, asked.key.map(pixel_store::SubmissionKey::key));
}

pub(crate) async fn the_newest_are_taken_back_first(stores: &dyn Stores) {
    let world = World::plain(stores).await;
    let strokes = [at(1, 0, 1), at(2, 0, 2), at(3, 0, 3)];
    world.stroke(strokes[..2].to_vec()).await;
    world.stroke(strokes[2..].to_vec()).await;
    for left in [2, 1, 0] {
        assert_eq!(accepted(world.undo(1).await).count, 1);
        for (index, stroke) in strokes.iter().enumerate() {
            let shown = if index < left { stroke.color } else { Color::WHITE };
            assert_eq!(world.color(*stroke).await, shown, "{left} are left");
        }
    }
}

pub(crate) async fn what_was_taken_back_is_repeated(stores: &dyn Stores) {
    let world = World::plain(stores).await;
    let strokes = vec![at(1, 0, 1), at(2, 0, 2), at(3, 0, 3)];
    world.stroke(strokes.clone()).await;
    let painted = world.view(&main_canvas()).await;
    accepted(world.undo(3).await);
    assert_eq!(accepted(world.redo(1).await).count, 1);
    assert_eq!(world.color(strokes[0]).await, strokes[0].color);
    assert_eq!(world.color(strokes[1]).await, Color::WHITE);
    assert_eq!(accepted(world.redo(256).await).count, 2, "as many as there are");
    assert_eq!(world.view(&main_canvas()).await.chunks[0].pixels, painted.chunks[0].pixels);
    assert_eq!(refused(world.redo(1).await), Refusal::NothingToRedo);
    // And it can be taken back again.
    assert_eq!(accepted(world.undo(256).await).count, 3);
}

pub(crate) async fn one_pixel_is_walked_back_and_forth(stores: &dyn Stores) {
    let world = World::plain(stores).await;
    let colors: Vec<Color> = [Color::WHITE].into_iter().chain((1..=5).map(|n| at(7, 7, n).color)).collect();
    world.stroke((1..=2).map(|n| at(7, 7, n)).collect()).await;
    world.stroke((3..=5).map(|n| at(7, 7, n)).collect()).await;
    let mut shown = 5;
    for (turn, count) in [
        (Turn::Undo, 2),
        (Turn::Undo, 1),
        (Turn::Redo, 2),
        (Turn::Undo, 4),
        (Turn::Redo, 1),
        (Turn::Redo, 4),
        (Turn::Undo, 5),
        (Turn::Redo, 3),
    ] {
        assert_eq!(accepted(world.walk(turn, count).await).count, u32::from(count));
        match turn {
            Turn::Undo => shown -= usize::from(count),
            Turn::Redo => shown += usize::from(count),
        }
        assert_eq!(world.color(at(7, 7, 0)).await, colors[shown]);
    }
}

pub(crate) async fn a_placement_ends_what_could_be_repeated(stores: &dyn Stores) {
    let world = World::plain(stores).await;
    world.stroke(vec![at(1, 0, 1), at(2, 0, 2)]).await;
    accepted(world.undo(1).await);
    world.stroke(vec![at(3, 0, 3)]).await;
    assert_eq!(refused(world.redo(1).await), Refusal::NothingToRedo);
    assert_eq!(accepted(world.undo(9).await).count, 2);
    assert_eq!(world.color(at(1, 0, 0)).await, Color::WHITE);
}

pub(crate) async fn somebody_elses_paint_is_left_alone(stores: &dyn Stores) {
    let world = World::plain(stores).await;
    world.stroke(vec![at(1, 0, 1), at(2, 0, 2), at(3, 0, 3)]).await;
    world.paint(&main_canvas(), vec![at(3, 0, 8)]).await;
    assert_eq!(accepted(world.undo(1).await).count, 1, "the one that is not theirs is passed over");
    assert_eq!(world.color(at(2, 0, 0)).await, Color::WHITE);
    assert_eq!(world.color(at(3, 0, 0)).await, at(3, 0, 8).color);
    // Nor is it covered when something is repeated.
    accepted(world.undo(1).await);
    world.paint(&main_canvas(), vec![at(1, 0, 9)]).await;
    assert_eq!(accepted(world.redo(9).await).count, 1);
    assert_eq!(world.color(at(1, 0, 0)).await, at(1, 0, 9).color);
    assert_eq!(world.color(at(2, 0, 0)).await, at(2, 0, 2).color);
    // One's own paint over it counts as any other's: what lies below is walked after it.
    world.stroke(vec![at(1, 0, 4)]).await;
    assert_eq!(accepted(world.undo(9).await).count, 2);
    assert_eq!(world.color(at(1, 0, 0)).await, at(1, 0, 9).color);
}

pub(crate) async fn nothing_to_take_back_is_refused(stores: &dyn Stores) {
    let world = World::plain(stores).await;
    assert_eq!(refused(world.undo(1).await), Refusal::NothingToUndo);
    assert_eq!(refused(world.redo(1).await), Refusal::NothingToRedo);
    world.stroke(vec![at(1, 0, 1)]).await;
    world.paint(&main_canvas(), vec![at(1, 0, 2)]).await;
    let before = world.position(&main_canvas()).await;
    for _ in 0..2 {
        assert_eq!(refused(world.undo(1).await), Refusal::NothingToUndo, "it was painted over");
    }
    for count in [0, 257] {
        let refusal = refused(world.undo(count).await);
        assert_eq!(refusal, Refusal::Count { count: usize::from(count), max: RETRACED_STEPS_MAX });
    }
    assert_eq!(world.position(&main_canvas()).await, before);
    let elsewhere = CanvasId::parse("elsewhere").expect("an id");
    let outcome = world.place(&elsewhere, retracing(person(1), None, Turn::Undo, 1)).await;
    assert_eq!(refused(outcome), Refusal::NoCanvas);
}

pub(crate) async fn a_palette_is_walked_over_the_edges_of_chunks(stores: &dyn Stores) {
    let world = World::plain(stores).await;
    let palette = Some(["#000000", "#0000FF", "#00FF00"].map(String::from).to_vec());
    let background = Some("#00FF00".into());
    let id = world.canvas(&CanvasSpec { palette, background, ..spec("palette", 300, 270) }).await;
    let blank = world.view(&id).await;
    let corners = [(0, 0), (255, 255), (256, 255), (255, 256), (299, 269), (299, 269)];
    let placements = corners.into_iter().enumerate().map(|(n, (x, y))| at(x, y, (n as u32 % 2) * 0xFF));
    accepted(world.place(&id, submission(person(1), None, placements.collect())).await);
    let painted = world.view(&id).await;
    let before = world.position(&id).await;
    accepted(world.place(&id, retracing(person(1), None, Turn::Undo, 6)).await);
    let undone = world.view(&id).await;
    for (undone, blank) in undone.chunks.iter().zip(&blank.chunks) {
        assert_eq!(undone.pixels, blank.pixels);
    }
    // What a viewer hears brings it there too.
    let canvas = world.store.canvas(&id).await.unwrap().unwrap();
    let mut heard = painted.chunks.clone();
    for entry in world.entries(&id, before).await {
        crate::world::apply(&canvas, &mut heard, &entry);
    }
    assert_eq!(heard, undone.chunks);
    accepted(world.place(&id, retracing(person(1), None, Turn::Redo, 6)).await);
    for (redone, painted) in world.view(&id).await.chunks.iter().zip(&painted.chunks) {
        assert_eq!(redone.pixels, painted.pixels);
    }
}

pub(crate) async fn a_thousand_steps_are_remembered(stores: &dyn Stores) {
    let world = World::plain(stores).await;
    // More than twice as many, in submissions of every size.
    let mut placed = 0;
    for size in [1_024, 1, 300, 1_000, 17] {
        world
            .stroke(some(1_024)[..size].iter().map(|p| Placement { color: Color([9; 3]), ..*p }).collect())
            .await;
        placed += size as u64;
    }
    let mut walked = 0;
    while let Outcome::Accepted(accepted) = world.undo(256).await {
        walked += accepted.count as usize;
        placed += u64::from(accepted.count);
    }
    assert_eq!(walked, HISTORY_STEPS_MAX);
    assert_eq!(world.position(&main_canvas()).await.sequence, Sequence(placed));
    let mut again = 0;
    while let Outcome::Accepted(accepted) = world.redo(256).await {
        again += accepted.count as usize;
    }
    assert_eq!(again, HISTORY_STEPS_MAX);
}

pub(crate) async fn a_history_is_remembered_for_an_hour(stores: &dyn Stores) {
    let world = World::plain(stores).await;
    world.stroke(vec![at(1, 0, 1), at(2, 0, 2)]).await;
    world.clock.advance(HISTORY_KEPT_MS);
    accepted(world.undo(1).await);
    // Which is an act too.
    world.clock.advance(HISTORY_KEPT_MS);
    accepted(world.redo(1).await);
    world.clock.advance(HISTORY_KEPT_MS + 1);
    assert_eq!(refused(world.undo(1).await), Refusal::NothingToUndo);
    world.stroke(vec![at(3, 0, 3)]).await;
    assert_eq!(accepted(world.undo(9).await).count, 1, "and what is forgotten does not come back");
}

pub(crate) async fn a_reset_ends_what_could_be_taken_back(stores: &dyn Stores) {
    let world = World::plain(stores).await;
    world.stroke(vec![at(1, 0, 1), at(2, 0, 2)]).await;
    accepted(world.undo(1).await);
    world.store.reset(&main_canvas()).await.unwrap().unwrap();
    assert_eq!(refused(world.undo(1).await), Refusal::NothingToUndo);
    assert_eq!(refused(world.redo(1).await), Refusal::NothingToRedo);
    world.stroke(vec![at(1, 0, 3)]).await;
    assert_eq!(accepted(world.undo(9).await).count, 1);
    // Nor does a new canvas of the name know anything.
    world.stroke(vec![at(1, 0, 4)]).await;
    assert!(world.store.delete(&main_canvas()).await.unwrap());
    world.store.create(Canvas::default_canvas()).await.unwrap();
    assert_eq!(refused(world.undo(1).await), Refusal::NothingToUndo);
}

pub(crate) async fn another_canvas_has_another_history(stores: &dyn Stores) {
    let world = World::plain(stores).await;
    let other = world.canvas(&spec("other", 50, 50)).await;
    world.stroke(vec![at(1, 0, 1)]).await;
    let there = world.place(&other, retracing(person(1), None, Turn::Undo, 1)).await;
    assert_eq!(refused(there), Refusal::NothingToUndo);
    let somebody_else = world.place(&main_canvas(), retracing(person(2), None, Turn::Undo, 1)).await;
    assert_eq!(refused(somebody_else), Refusal::NothingToUndo);
}

pub(crate) async fn an_undo_pays_for_what_it_paints(stores: &dyn Stores) {
    let limits = Limits { identity: rate(1_000, 6), ..NO_LIMITS };
    let world = World::limited(stores, limits).await;
    world.stroke(some(3)).await;
    // Three are left, and three are what it paints, whatever it asks for.
    assert_eq!(accepted(world.undo(200).await).count, 3);
    assert_eq!(refused(world.redo(2).await), Refusal::Rate { wait_ms: 2_000 });
    world.clock.advance(2_000);
    assert_eq!(accepted(world.redo(2).await).count, 2);

    let id = world.cooling("cool", 10_000, 3).await;
    accepted(world.place(&id, submission(person(7), None, some(2))).await);
    let undo = |count| retracing(person(7), None, Turn::Undo, count);
    let undone = accepted(world.place(&id, undo(1)).await);
    assert_eq!(undone.standing.charges, 0);
    assert_eq!(refused(world.place(&id, undo(1)).await), Refusal::Cooldown { wait_ms: 10_000 });
}

pub(crate) async fn a_refused_undo_leaves_the_history(stores: &dyn Stores) {
    let limits = Limits { identity: rate(1_000, 4), ..NO_LIMITS };
    let world = World::limited(stores, limits).await;
    world.stroke(some(4)).await;
    let asked = retracing(person(1), client(1), Turn::Undo, 4);
    refused(world.place(&main_canvas(), asked.clone()).await);
    world.clock.advance(4_000);
    assert_eq!(accepted(world.place(&main_canvas(), asked).await).count, 4);
    assert_eq!(world.color(at(0, 0, 0)).await, Color::WHITE);
    // More than ever is allowed at once; a smaller part is taken back all the same.
    world.clock.advance(60_000);
    world.stroke(some(4)).await;
    world.clock.advance(60_000);
    world.stroke(some(4)).await;
    world.clock.advance(60_000);
    assert_eq!(refused(world.undo(8).await), Refusal::NeverEnough { count: 8, max: 4 });
    assert_eq!(accepted(world.undo(4).await).count, 4);
}

pub(crate) async fn a_frozen_canvas_is_not_walked(stores: &dyn Stores) {
    let world = World::plain(stores).await;
    world.stroke(vec![at(1, 0, 1)]).await;
    let freeze = |frozen| Amendment { frozen: Some(frozen), ..Amendment::default() };
    world.store.amend(&main_canvas(), freeze(true)).await.unwrap().unwrap().unwrap();
    assert_eq!(refused(world.undo(1).await), Refusal::Frozen);
    assert_eq!(refused(world.redo(1).await), Refusal::Frozen);
    world.store.amend(&main_canvas(), freeze(false)).await.unwrap().unwrap().unwrap();
    accepted(world.undo(1).await);
}

pub(crate) async fn a_retried_undo_is_done_once(stores: &dyn Stores) {
    let world = World::plain(stores).await;
    world.stroke(some(3)).await;
    let asked = retracing(person(1), client(1), Turn::Undo, 2);
    let first = accepted(world.place(&main_canvas(), asked.clone()).await);
    world.clock.advance(1_000);
    assert_eq!(accepted(world.place(&main_canvas(), asked).await), first);
    assert_eq!(world.position(&main_canvas()).await.sequence, Sequence(5));
    for other in [
        retracing(person(1), client(1), Turn::Undo, 1),
        retracing(person(1), client(1), Turn::Redo, 2),
        submission(person(1), client(1), some(2)),
    ] {
        assert_eq!(refused(world.place(&main_canvas(), other).await), Refusal::KeyReused);
    }
    assert_eq!(accepted(world.undo(9).await).count, 1);
}

pub(crate) async fn concurrent_retries_of_an_undo_are_done_once(stores: &dyn Stores) {
    let world = Arc::new(World::plain(stores).await);
    world.stroke(some(20)).await;
    let mut callers = JoinSet::new();
    for _ in 0..50 {
        let world = Arc::clone(&world);
        let asked = retracing(person(1), client(1), Turn::Undo, 2);
        callers.spawn(async move { accepted(world.place(&main_canvas(), asked).await) });
    }
    let answers: Vec<Accepted> = callers.join_all().await;
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert_eq!(world.position(&main_canvas()).await.sequence, Sequence(22));
}

pub(crate) async fn racing_undos_take_each_step_once(stores: &dyn Stores) {
    let world = Arc::new(World::plain(stores).await);
    let blank = world.view(&main_canvas()).await;
    // Some of them on one pixel.
    world.stroke(some(20).into_iter().chain((1..=10).map(|n| at(0, 0, n))).collect()).await;
    let mut callers = JoinSet::new();
    for number in 0..50 {
        let world = Arc::clone(&world);
        callers.spawn(async move {
            world.place(&main_canvas(), retracing(person(1), client(number), Turn::Undo, 1)).await
        });
    }
    let outcomes = callers.join_all().await;
    let nothing = Outcome::Refused(Refusal::NothingToUndo);
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == nothing).count(), 20);
    let firsts: std::collections::BTreeSet<Sequence> =
        outcomes.into_iter().filter(|outcome| *outcome != nothing).map(|o| accepted(o).first).collect();
    assert_eq!(firsts.into_iter().collect::<Vec<_>>(), (31..=60).map(Sequence).collect::<Vec<_>>());
    assert_eq!(world.view(&main_canvas()).await.chunks[0].pixels, blank.chunks[0].pixels);
}

pub(crate) async fn one_call_places_and_takes_back(stores: &dyn Stores) {
    let world = World::plain(stores).await;
    let me = |placements| submission(person(1), None, placements);
    let call = vec![
        me(vec![at(1, 0, 1), at(1, 0, 2)]),
        submission(person(2), None, vec![at(2, 0, 3)]),
        me(vec![at(2, 0, 4)]),
        retracing(person(1), None, Turn::Undo, 2),
        retracing(person(1), None, Turn::Redo, 1),
        retracing(person(2), None, Turn::Undo, 1),
    ];
    let outcomes = world.place_all(&main_canvas(), call).await;
    assert_eq!(accepted(outcomes[3].clone()).first, Sequence(5));
    assert_eq!(accepted(outcomes[4].clone()).first, Sequence(7));
    assert_eq!(refused(outcomes[5].clone()), Refusal::NothingToUndo, "it was painted over and put back");
    assert_eq!(world.color(at(1, 0, 0)).await, at(1, 0, 2).color);
    assert_eq!(world.color(at(2, 0, 0)).await, at(2, 0, 3).color);
}

pub(crate) async fn what_a_refused_undo_passed_is_forgotten(stores: &dyn Stores) {
    let limits = Limits { identity: rate(1_000, 1_100), ..NO_LIMITS };
    let world = World::limited(stores, limits).await;
    // As many steps as are remembered; the newest half is painted over by somebody else.
    let steps = some(HISTORY_STEPS_MAX);
    let half = HISTORY_STEPS_MAX / 2;
    world.stroke(steps.clone()).await;
    world.paint(&main_canvas(), steps[half..].to_vec()).await;
    assert!(matches!(refused(world.undo(256).await), Refusal::Rate { .. }));
    // There is room for as many again, and the first step is remembered still.
    world.clock.advance(600_000);
    world.stroke((0..half).map(|n| at((n % 50) as u16, 40, 7)).collect()).await;
    let mut walked = 0;
    for _ in 0..4 {
        world.clock.advance(600_000);
        walked += accepted(world.undo(256).await).count as usize;
    }
    assert_eq!(walked, HISTORY_STEPS_MAX);
    assert_eq!(world.color(steps[0]).await, Color::WHITE);
    assert_eq!(refused(world.undo(1).await), Refusal::NothingToUndo);
}

pub(crate) async fn steps_that_are_passed_leave_those_around_them(stores: &dyn Stores) {
    let world = World::plain(stores).await;
    world.stroke((1..=3).map(|n| at(0, 0, n)).chain((1..=6).map(|n| at(n as u16, 1, n))).collect()).await;
    // Two on the way back, one on the way forth.
    world.paint(&main_canvas(), vec![at(5, 1, 80), at(3, 1, 80)]).await;
    assert_eq!(accepted(world.undo(4).await).count, 4, "6, 4, 2 and 1");
    world.paint(&main_canvas(), vec![at(2, 1, 90)]).await;
    assert_eq!(accepted(world.undo(1).await).count, 1);
    assert_eq!(world.color(at(0, 0, 0)).await, at(0, 0, 2).color);
    assert_eq!(accepted(world.redo(3).await).count, 3, "the one pixel, 1 and 4");
    assert_eq!(world.color(at(0, 0, 0)).await, at(0, 0, 3).color);
    assert_eq!(world.color(at(2, 1, 0)).await, at(2, 1, 90).color);
    assert_eq!(accepted(world.redo(9).await).count, 1);
    assert_eq!(refused(world.redo(1).await), Refusal::NothingToRedo);
    assert_eq!(accepted(world.undo(256).await).count, 6);
    assert_eq!(world.color(at(0, 0, 0)).await, Color::WHITE);
}
