//! The way from a gateway to apis in other processes: what it costs, and who is asked where one keeps silent.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::binary::{Answered, Binary};
use crate::support::socket::Opening;
use crate::support::split::Split;
use crate::support::{ANSWERED_WITHIN, Server, eventually, long};

/// What the hop may add to the median: judged in the long form, on a machine that does nothing else.
const ADDED_MAX: Duration = Duration::from_millis(1);
/// Placements of one run, each awaited.
const PLACEMENTS: u64 = 300;
/// Placements of one person while an api is frozen.
const BESIDE_A_FROZEN_ONE: u64 = 40;
/// How often the two people of that time may meet it: each once, and a few times more where the other api
/// is slow to answer on a busy machine. With turns taken blindly, it were 40.
const MET_MAX: u64 = 10;
/// As the contract says of a new or returned api.
const WORK_AGAIN_WITHIN: Duration = Duration::from_secs(30);

#[test]
fn the_hop_adds_under_a_millisecond() {
    let rounds = if long() { 15 } else { 3 };
    // An acknowledgement follows its update, and updates that keep coming are gathered: not here.
    let flags = ["--rate-limit", "off", "--sweep-interval-ms", "0"];
    let split = Split::start(1, 1, &flags);
    let url = split.redis.url();
    let together = ["--target", "api,gateway", "--store", &url, "--durability", "fsync"];
    let together = Server::with(&[&together[..], &flags].concat());
    for id in ["apart", "together"] {
        split.make_canvas(&json!({"id": id, "name": id, "width": 50, "height": 50}));
    }
    let open = |gateway, id: &str| {
        let opening = Opening::at(&format!("/?canvas={id}"));
        Binary::open_through(gateway, split.apis[0].api(), &opening).expect("the gateway takes clients")
    };
    let mut apart = open(split.gateways[0].gateway(), "apart");
    let mut near = open(together.gateway(), "together");
    // The first of each opens connections and loads scripts.
    median(&mut near, 0);
    median(&mut apart, 0);
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        without.push(median(&mut near, round));
        with.push(median(&mut apart, round));
    }
    let calls = |gateway: &Server| gateway.metric("pixel_hop_call_seconds_count");
    assert_eq!(calls(&together), 0, "one process asks itself");
    assert!(calls(&split.gateways[0]) >= (1 + rounds) * PLACEMENTS, "the other asks its api");
    let (without, with) = (Spread::of(without), Spread::of(with));
    println!(
        "p50 of {PLACEMENTS} placements one after the other, {rounds} runs of each in turn: \
         one process {without}, through another {with}"
    );
    assert!(!long() || with.median < without.median + ADDED_MAX, "the hop costs too much");
}

#[test]
fn a_frozen_api_is_met_by_few_and_works_again_when_it_thaws() {
    let split = Split::start(2, 2, &["--rate-limit", "off"]);
    let open = |gateway: &Server| {
        let opened = Binary::open_through(gateway.gateway(), split.apis[1].api(), &Opening::at("/"));
        opened.expect("the gateway takes clients")
    };
    let mut people: Vec<Binary> = split.gateways.iter().map(open).collect();
    let mut key = 0;
    let mut sequences = Vec::new();
    let mut paint = |people: &mut Vec<Binary>| {
        key += 1;
        for person in people {
            let began = Instant::now();
            let answered = person.place(key, &[((key % 50) as u16, (key / 50) as u16, "#102030")]);
            assert!(began.elapsed() < ANSWERED_WITHIN, "{:?}", began.elapsed());
            let Answered::Accepted { first, count: 1 } = answered else { panic!("{answered:?}") };
            sequences.push(first);
        }
        key
    };
    let sum = |name: &str| split.gateways.iter().map(|gateway| gateway.metric(name)).sum::<u64>();
    let accepted = |api: usize| split.apis[api].metric("pixel_placing_accepted_placements_total");
    while accepted(0) == 0 || accepted(1) == 0 {
        assert!(paint(&mut people) < 100, "both apis get work");
    }

    split.apis[0].freeze();
    let met = sum("pixel_hop_retried_calls_total");
    for _ in 0..BESIDE_A_FROZEN_ONE {
        paint(&mut people);
    }
    let met = sum("pixel_hop_retried_calls_total") - met;
    println!("{met} of {} placements met the frozen api", 2 * BESIDE_A_FROZEN_ONE);
    assert!((1..=MET_MAX).contains(&met), "{met} placements met the frozen api");
    assert_eq!(sum("pixel_hop_silent_apis"), 2, "each gateway knows it");

    split.apis[0].thaw();
    let thawed = Instant::now();
    eventually("it is known to answer again", || sum("pixel_hop_silent_apis") == 0);
    let before = accepted(0);
    eventually("it gets work", || {
        paint(&mut people);
        accepted(0) > before
    });
    assert!(thawed.elapsed() < WORK_AGAIN_WITHIN, "{:?}", thawed.elapsed());
    // What lay in its sockets meanwhile was painted by the other: each once, in one order.
    sequences.sort_unstable();
    assert!(sequences.iter().copied().eq(1..=sequences.len() as u64), "{sequences:?}");
    assert_eq!(split.apis[0].canvas()["sequence"], sequences.len());
}

/// The median time from a submission to its acknowledgement.
fn median(client: &mut Binary, round: u64) -> Duration {
    let wait = |number: u64| {
        let began = Instant::now();
        let color = format!("#{:06X}", round * PLACEMENTS + number);
        let answered = client.place(round * PLACEMENTS + number, &[((number % 50) as u16, 0, &color)]);
        assert!(matches!(answered, Answered::Accepted { .. }), "{answered:?}");
        began.elapsed()
    };
    Spread::of((0..PLACEMENTS).map(wait).collect()).median
}

/// The middle one of some, and those at the ends.
struct Spread {
    least: Duration,
    median: Duration,
    most: Duration,
}

impl Spread {
    fn of(mut all: Vec<Duration>) -> Self {
        all.sort_unstable();
        Self { least: all[0], median: all[all.len() / 2], most: all[all.len() - 1] }
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.2?} ({:.2?} to {:.2?})", self.median, self.least, self.most)
    }
}
