//! Rates and cooldowns, decided in the same step as the sequence, by the store's clock.

use std::sync::Arc;

use pixel_canvas::{Amendment, Author, Refusal, Standing, Timestamp};
use pixel_store::{Limits, Outcome};
use tokio::task::JoinSet;

use crate::world::{
    NO_LIMITS, Stores, World, accepted, client, guest, main_canvas, person, rate, refused, some, spec,
    submission,
};

pub(crate) async fn a_rate_allows_its_burst_and_then_one_an_interval(stores: &dyn Stores) {
    let world = World::limited(stores, Limits { identity: rate(100, 5), ..NO_LIMITS }).await;
    let one = || submission(person(1), None, some(1));
    for _ in 0..5 {
        accepted(world.place(&main_canvas(), one()).await);
    }
    assert_eq!(refused(world.place(&main_canvas(), one()).await), Refusal::Rate { wait_ms: 100 });
    accepted(world.place(&main_canvas(), submission(person(2), None, some(1))).await);
    world.clock.advance(99);
    assert_eq!(refused(world.place(&main_canvas(), one()).await), Refusal::Rate { wait_ms: 1 });
    world.clock.advance(1);
    accepted(world.place(&main_canvas(), one()).await);
    refused(world.place(&main_canvas(), one()).await);
}

pub(crate) async fn an_address_shares_its_rate(stores: &dyn Stores) {
    let limits = Limits { identity: rate(100, 5), address: rate(10, 8), ..NO_LIMITS };
    let world = World::limited(stores, limits).await;
    let now = world.clock.now();
    let ask = |number, count| submission(guest(number, 1, now), None, some(count));
    accepted(world.place(&main_canvas(), ask(1, 5)).await);
    accepted(world.place(&main_canvas(), ask(2, 3)).await);
    assert_eq!(refused(world.place(&main_canvas(), ask(3, 1)).await), Refusal::Rate { wait_ms: 10 });
    // The longer of two waits is told; what was refused took nothing from either.
    assert_eq!(refused(world.place(&main_canvas(), ask(1, 1)).await), Refusal::Rate { wait_ms: 100 });
    accepted(world.place(&main_canvas(), submission(guest(4, 2, now), None, some(5))).await);
    world.clock.advance(50);
    accepted(world.place(&main_canvas(), ask(3, 5)).await);
}

pub(crate) async fn a_cooldown_is_waited_for_exactly(stores: &dyn Stores) {
    let world = World::plain(stores).await;
    let id = world.cooling("cool", 5_000, 1).await;
    let one = || submission(person(1), client(world.clock.now().0), some(1));
    let first = accepted(world.place(&id, one()).await);
    assert_eq!(first.standing, Standing { charges: 0, next_ms: 5_000 });
    assert_eq!(first.at, world.clock.now());
    world.clock.advance(4_999);
    assert_eq!(refused(world.place(&id, one()).await), Refusal::Cooldown { wait_ms: 1 });
    world.clock.advance(1);
    accepted(world.place(&id, one()).await);
}

pub(crate) async fn charges_are_saved_up(stores: &dyn Stores) {
    let world = World::plain(stores).await;
    let id = world.cooling("cool", 1_000, 4).await;
    let ask = |count| submission(person(1), None, some(count));
    let standing = accepted(world.place(&id, ask(3)).await).standing;
    assert_eq!(standing, Standing { charges: 1, next_ms: 1_000 });
    assert_eq!(refused(world.place(&id, ask(2)).await), Refusal::Cooldown { wait_ms: 1_000 });
    world.clock.advance(1_500);
    let standing = accepted(world.place(&id, ask(2)).await).standing;
    assert_eq!(standing, Standing { charges: 0, next_ms: 500 });
    world.clock.advance(1_000_000);
    assert_eq!(accepted(world.place(&id, ask(4)).await).standing.charges, 0, "no more than the most");
}

pub(crate) async fn a_new_guest_starts_cooling(stores: &dyn Stores) {
    let world = World::plain(stores).await;
    let id = world.cooling("cool", 5_000, 2).await;
    let since = world.clock.now();
    let ask = || submission(guest(1, 1, since), None, some(1));
    assert_eq!(refused(world.place(&id, ask()).await), Refusal::Cooldown { wait_ms: 5_000 });
    world.clock.advance(5_000);
    accepted(world.place(&id, ask()).await);
    refused(world.place(&id, ask()).await);
    // Who has been here long is not new, though never seen.
    let old = Author { since: Some(Timestamp(since.0 - 100_000)), ..guest(2, 1, since) };
    accepted(world.place(&id, submission(old, None, some(2))).await);
    let neither = Author { since: None, ..guest(3, 1, since) };
    accepted(world.place(&id, submission(neither, None, some(2))).await);
    // Where there is no cooldown, nobody starts cooling.
    accepted(world.place(&main_canvas(), submission(guest(4, 1, world.clock.now()), None, some(9))).await);
}

pub(crate) async fn guests_of_one_address_share_a_cooldown(stores: &dyn Stores) {
    let world = World::limited(stores, Limits { guests_per_address: 3, ..NO_LIMITS }).await;
    let id = world.cooling("cool", 3_000, 1).await;
    let long_ago = Timestamp(0);
    let ask = |number, address| submission(guest(number, address, long_ago), None, some(1));
    for number in 0..3 {
        accepted(world.place(&id, ask(number, 1)).await);
    }
    assert_eq!(refused(world.place(&id, ask(3, 1)).await), Refusal::Cooldown { wait_ms: 1_000 });
    accepted(world.place(&id, ask(4, 2)).await);
    world.clock.advance(1_000);
    accepted(world.place(&id, ask(3, 1)).await);
    assert_eq!(
        refused(world.place(&id, ask(0, 1)).await),
        Refusal::Cooldown { wait_ms: 2_000 },
        "the longer wait"
    );
}

pub(crate) async fn who_has_no_address_shares_nothing(stores: &dyn Stores) {
    let limits = Limits { address: rate(1_000, 1), guests_per_address: 1, ..NO_LIMITS };
    let world = World::limited(stores, limits).await;
    let id = world.cooling("cool", 3_000, 1).await;
    for number in 0..5 {
        accepted(world.place(&id, submission(person(number), None, some(1))).await);
    }
}

pub(crate) async fn a_submission_is_accepted_whole_or_not_at_all(stores: &dyn Stores) {
    let limits = Limits { identity: rate(100, 10), address: rate(100, 10), guests_per_address: 1 };
    let world = World::limited(stores, limits).await;
    let id = world.cooling("cool", 1_000, 5).await;
    let author = guest(1, 1, Timestamp(0));
    let ask = |count| submission(author, None, some(count));
    accepted(world.place(&id, ask(3)).await);
    for _ in 0..10 {
        // 3 + 3 pass the rates and not the cooldown: neither is charged.
        assert_eq!(refused(world.place(&id, ask(3)).await), Refusal::Cooldown { wait_ms: 1_000 });
    }
    accepted(world.place(&id, ask(2)).await);
    accepted(world.place(&main_canvas(), ask(10)).await);
    let after = refused(world.place(&main_canvas(), ask(2)).await);
    assert_eq!(after, Refusal::Rate { wait_ms: 200 });
    accepted(world.place(&main_canvas(), submission(person(2), None, some(10))).await);
}

pub(crate) async fn more_than_a_limit_ever_allows_is_never_enough(stores: &dyn Stores) {
    let world = World::limited(stores, Limits { identity: rate(1, 10), ..NO_LIMITS }).await;
    let id = world.cooling("cool", 1, 3).await;
    let ask = |count| submission(person(1), None, some(count));
    let refusal = refused(world.place(&main_canvas(), ask(11)).await);
    assert_eq!(refusal, Refusal::NeverEnough { count: 11, max: 10 });
    let refusal = refused(world.place(&id, ask(4)).await);
    assert_eq!(refusal, Refusal::NeverEnough { count: 4, max: 3 });
    accepted(world.place(&main_canvas(), ask(10)).await);
}

pub(crate) async fn racers_get_exactly_what_is_allowed(stores: &dyn Stores) {
    let world = Arc::new(World::plain(stores).await);
    for allowed in [1, 7] {
        let id = world.cooling(&format!("cool-{allowed}"), 60_000, allowed).await;
        let mut racers = JoinSet::new();
        for racer in 0..100 {
            let (world, id) = (Arc::clone(&world), id.clone());
            racers
                .spawn(async move { world.place(&id, submission(person(1), client(racer), some(1))).await });
        }
        let won =
            racers.join_all().await.iter().filter(|outcome| matches!(outcome, Outcome::Accepted(_))).count();
        assert_eq!(won as i64, allowed);
        assert_eq!(world.position(&id).await.sequence.0 as i64, allowed);
    }
}

pub(crate) async fn a_clock_that_goes_back_frees_nobody(stores: &dyn Stores) {
    let world = World::plain(stores).await;
    let id = world.cooling("cool", 5_000, 1).await;
    let ask = |number| submission(person(number), None, some(1));
    let first = accepted(world.place(&id, ask(1)).await);
    world.clock.set(Timestamp(first.at.0 - 500_000));
    assert_eq!(refused(world.place(&id, ask(1)).await), Refusal::Cooldown { wait_ms: 5_000 });
    let second = accepted(world.place(&id, ask(2)).await);
    assert!(second.at >= first.at, "time does not go back in the log");
}

pub(crate) async fn an_amended_cooldown_holds_from_then_on(stores: &dyn Stores) {
    let world = World::plain(stores).await;
    let id = world.cooling("cool", 5_000, 1).await;
    let ask = |number| submission(person(number), None, some(1));
    accepted(world.place(&id, ask(1)).await);
    let off = Amendment { cooldown_ms: Some(0), ..Amendment::default() };
    world.store.amend(&id, off).await.unwrap().unwrap().unwrap();
    assert_eq!(accepted(world.place(&id, ask(1)).await).standing, Standing::UNLIMITED);
    let on = Amendment { cooldown_ms: Some(60_000), ..Amendment::default() };
    world.store.amend(&id, on).await.unwrap().unwrap().unwrap();
    accepted(world.place(&id, ask(2)).await);
    assert_eq!(refused(world.place(&id, ask(2)).await), Refusal::Cooldown { wait_ms: 60_000 });
}

pub(crate) async fn nobody_waits_out_a_cooldown_that_was_changed(stores: &dyn Stores) {
    let world = World::plain(stores).await;
    let id = world.cooling("cool", 600_000, 1).await;
    let ask = |author| submission(author, None, some(1));
    let old = guest(1, 1, Timestamp(0));
    accepted(world.place(&id, ask(old)).await);
    let renamed = Amendment { name: Some("Cool".into()), frozen: Some(false), ..Amendment::default() };
    world.store.amend(&id, renamed).await.unwrap().unwrap().unwrap();
    assert_eq!(refused(world.place(&id, ask(old)).await), Refusal::Cooldown { wait_ms: 600_000 });
    let quicker = Amendment { cooldown_ms: Some(2_000), ..Amendment::default() };
    world.store.amend(&id, quicker).await.unwrap().unwrap().unwrap();
    accepted(world.place(&id, ask(old)).await);
    assert_eq!(refused(world.place(&id, ask(old)).await), Refusal::Cooldown { wait_ms: 2_000 });
    // But who is new is new under every rule.
    let new = guest(2, 1, world.clock.now());
    assert_eq!(refused(world.place(&id, ask(new)).await), Refusal::Cooldown { wait_ms: 2_000 });
}

pub(crate) async fn no_cooldown_stands_without_a_limit(stores: &dyn Stores) {
    let world = World::plain(stores).await;
    let answer = accepted(world.place(&main_canvas(), submission(person(1), None, some(1_024))).await);
    assert_eq!(answer.standing, Standing::UNLIMITED);
}

pub(crate) async fn limits_are_kept_for_each_canvas(stores: &dyn Stores) {
    let world = World::limited(stores, Limits { identity: rate(1_000, 1), ..NO_LIMITS }).await;
    let other = world.canvas(&spec("other", 50, 50)).await;
    accepted(world.place(&main_canvas(), submission(person(1), None, some(1))).await);
    accepted(world.place(&other, submission(person(1), None, some(1))).await);
    refused(world.place(&other, submission(person(1), None, some(1))).await);
}
