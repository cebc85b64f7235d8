//! A retry is safe: the same key gets the same answer, once.

use std::sync::Arc;

use pixel_canvas::{Amendment, Canvas, Refusal, Sequence};
use pixel_store::{Accepted, Limits, Submission};
use tokio::task::JoinSet;

use crate::world::{
    NO_LIMITS, Stores, World, accepted, at, client, gateway, main_canvas, named, person, rate, refused, some,
    spec, submission,
};

/// Ten minutes.
const CLIENT_MS: u64 = 600_000;
const GATEWAY_MS: u64 = 60_000;

pub(crate) async fn the_same_key_gets_the_same_answer(stores: &dyn Stores) {
    let world = World::plain(stores).await;
    for key in [client(1), gateway(2)] {
        let asked = submission(person(1), key, some(3));
        let first = accepted(world.place(&main_canvas(), asked.clone()).await);
        world.clock.advance(1_000);
        world.paint(&main_canvas(), some(5)).await;
        // Who was renamed on the way still asks for the same.
        let again = Submission { name: named("Lovelace"), ..asked };
        let before = world.position(&main_canvas()).await;
        assert_eq!(accepted(world.place(&main_canvas(), again).await), first);
        assert_eq!(world.position(&main_canvas()).await, before, "and nothing is placed");
    }
}

pub(crate) async fn a_retry_in_the_same_call_is_placed_once(stores: &dyn Stores) {
    let world = World::plain(stores).await;
    let asked = submission(person(1), client(1), some(3));
    let other = submission(person(1), client(1), some(2));
    let outcomes = world.place_all(&main_canvas(), vec![asked.clone(), asked, other]).await;
    assert_eq!(outcomes[0], outcomes[1]);
    assert_eq!(refused(outcomes[2].clone()), Refusal::KeyReused);
    assert_eq!(world.position(&main_canvas()).await.sequence, Sequence(3));
}

pub(crate) async fn concurrent_retries_are_placed_once(stores: &dyn Stores) {
    let world = Arc::new(World::plain(stores).await);
    let mut callers = JoinSet::new();
    for _ in 0..50 {
        let world = Arc::clone(&world);
        let asked = submission(person(1), client(1), some(3));
        callers.spawn(async move { accepted(world.place(&main_canvas(), asked).await) });
    }
    let answers: Vec<Accepted> = callers.join_all().await;
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert_eq!(world.position(&main_canvas()).await.sequence, Sequence(3));
}

pub(crate) async fn another_payload_under_a_key_is_refused(stores: &dyn Stores) {
    let world = World::plain(stores).await;
    accepted(world.place(&main_canvas(), submission(person(1), client(1), vec![at(1, 2, 3)])).await);
    for other in [vec![at(1, 2, 4)], vec![at(2, 2, 3)], vec![at(1, 2, 3), at(1, 2, 3)]] {
        let outcome = world.place(&main_canvas(), submission(person(1), client(1), other)).await;
        assert_eq!(refused(outcome), Refusal::KeyReused);
    }
}

pub(crate) async fn a_key_belongs_to_an_identity(stores: &dyn Stores) {
    let world = World::plain(stores).await;
    let one = accepted(world.place(&main_canvas(), submission(person(1), client(1), some(1))).await);
    let other = accepted(world.place(&main_canvas(), submission(person(2), client(1), some(2))).await);
    assert_eq!((one.first, other.first), (Sequence(1), Sequence(2)));
}

pub(crate) async fn a_key_belongs_to_a_canvas(stores: &dyn Stores) {
    let world = World::plain(stores).await;
    let other = world.canvas(&spec("other", 50, 50)).await;
    accepted(world.place(&main_canvas(), submission(person(1), client(1), some(1))).await);
    let there = accepted(world.place(&other, submission(person(1), client(1), some(2))).await);
    assert_eq!((there.first, there.count), (Sequence(1), 2));
}

pub(crate) async fn a_retry_costs_nothing(stores: &dyn Stores) {
    let limits = Limits { identity: rate(1_000, 2), ..NO_LIMITS };
    let world = World::limited(stores, limits).await;
    let id = world.cooling("cool", 10_000, 2).await;
    let asked = submission(person(1), client(1), some(1));
    let first = accepted(world.place(&id, asked.clone()).await);
    for _ in 0..10 {
        assert_eq!(accepted(world.place(&id, asked.clone()).await), first);
    }
    let second = accepted(world.place(&id, submission(person(1), client(2), some(1))).await);
    // Both are used up, and a retry is answered all the same; its standing is today's.
    refused(world.place(&id, submission(person(1), client(3), some(1))).await);
    let again = accepted(world.place(&id, asked).await);
    assert_eq!(again, Accepted { standing: second.standing, ..first });
    assert_eq!(again.standing.charges, 0);
}

pub(crate) async fn a_refused_submission_leaves_no_record(stores: &dyn Stores) {
    let world = World::plain(stores).await;
    let id = world.cooling("cool", 10_000, 1).await;
    accepted(world.place(&id, submission(person(1), client(1), some(1))).await);
    refused(world.place(&id, submission(person(1), client(2), vec![at(1, 1, 1)])).await);
    world.clock.advance(10_000);
    let outcome = world.place(&id, submission(person(1), client(2), vec![at(2, 2, 2)])).await;
    assert_eq!(accepted(outcome).first, Sequence(2));
}

pub(crate) async fn a_clients_key_is_known_for_ten_minutes(stores: &dyn Stores) {
    let world = World::plain(stores).await;
    let asked = submission(person(1), client(1), some(1));
    let first = accepted(world.place(&main_canvas(), asked.clone()).await);
    world.clock.advance(CLIENT_MS);
    assert_eq!(accepted(world.place(&main_canvas(), asked.clone()).await), first);
    world.clock.advance(CLIENT_MS);
    assert_eq!(accepted(world.place(&main_canvas(), asked).await).first, Sequence(2), "and not for ever");
}

pub(crate) async fn a_gateways_key_is_known_for_a_minute(stores: &dyn Stores) {
    let world = World::plain(stores).await;
    let asked = submission(person(1), gateway(1), some(1));
    let first = accepted(world.place(&main_canvas(), asked.clone()).await);
    world.clock.advance(GATEWAY_MS);
    assert_eq!(accepted(world.place(&main_canvas(), asked.clone()).await), first);
    world.clock.advance(GATEWAY_MS);
    assert_eq!(accepted(world.place(&main_canvas(), asked).await).first, Sequence(2), "and not for ever");
}

/// Fills up the keys that an identity may have.
async fn use_all_keys(world: &World, person_number: u64) {
    for call in 0..10_u64 {
        let one = |n| submission(person(person_number), client(call * 1_000 + n), some(1));
        let outcomes = world.place_all(&main_canvas(), (0..1_000).map(one).collect()).await;
        for outcome in outcomes {
            accepted(outcome);
        }
    }
}

pub(crate) async fn ten_thousand_keys_and_then_busy(stores: &dyn Stores) {
    let world = World::plain(stores).await;
    use_all_keys(&world, 1).await;
    let one_more = submission(person(1), client(77_777), some(1));
    let refusal = refused(world.place(&main_canvas(), one_more.clone()).await);
    assert!(matches!(refusal, Refusal::Busy { wait_ms } if wait_ms > 0), "{refusal}");
    // Known keys are answered; a gateway's are not counted; others are not concerned.
    accepted(world.place(&main_canvas(), submission(person(1), client(5), some(1))).await);
    accepted(world.place(&main_canvas(), submission(person(1), gateway(88_888), some(1))).await);
    accepted(world.place(&main_canvas(), submission(person(1), None, some(1))).await);
    accepted(world.place(&main_canvas(), submission(person(2), client(77_777), some(1))).await);
    world.clock.advance(CLIENT_MS + 1);
    accepted(world.place(&main_canvas(), one_more).await);
}

pub(crate) async fn limits_speak_before_busy(stores: &dyn Stores) {
    let limits = Limits { identity: rate(1_000, 10_000), ..NO_LIMITS };
    let world = World::limited(stores, limits).await;
    use_all_keys(&world, 1).await;
    let refusal = refused(world.place(&main_canvas(), submission(person(1), client(77_777), some(1))).await);
    assert_eq!(refusal, Refusal::Rate { wait_ms: 1_000 });
}

pub(crate) async fn a_retry_is_answered_though_the_canvas_was_frozen(stores: &dyn Stores) {
    let world = World::plain(stores).await;
    let asked = submission(person(1), client(1), some(1));
    let first = accepted(world.place(&main_canvas(), asked.clone()).await);
    let freeze = Amendment { frozen: Some(true), ..Amendment::default() };
    world.store.amend(&main_canvas(), freeze).await.unwrap().unwrap().unwrap();
    assert_eq!(accepted(world.place(&main_canvas(), asked).await), first);
}

pub(crate) async fn a_retry_after_a_reset_is_answered_from_before(stores: &dyn Stores) {
    let world = World::plain(stores).await;
    let asked = submission(person(1), client(1), some(1));
    let first = accepted(world.place(&main_canvas(), asked.clone()).await);
    let after = world.store.reset(&main_canvas()).await.unwrap().unwrap();
    assert_ne!(after.epoch, first.epoch);
    assert_eq!(accepted(world.place(&main_canvas(), asked.clone()).await), first);
    // A new canvas of the same name is another one, and knows nothing.
    assert!(world.store.delete(&main_canvas()).await.unwrap());
    world.store.create(Canvas::default_canvas()).await.unwrap();
    assert_ne!(accepted(world.place(&main_canvas(), asked).await).epoch, first.epoch);
}
