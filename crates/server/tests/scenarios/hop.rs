//! What the way from a gateway to an api in another process costs, side by side with none.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::binary::{Answered, Binary};
use crate::support::redis::Redis;
use crate::support::socket::Opening;
use crate::support::split::Split;
use crate::support::{Server, long};

/// What the hop may add to the median: judged in the long form, on a machine that does nothing else.
const ADDED_MAX: Duration = Duration::from_millis(1);
/// Placements of one run, each awaited.
const PLACEMENTS: u64 = 300;

#[test]
fn the_hop_adds_under_a_millisecond() {
    let rounds = if long() { 15 } else { 3 };
    // An acknowledgement follows its update, and updates that keep coming are gathered: not here.
    let flags = ["--rate-limit", "off", "--sweep-interval-ms", "0"];
    let split = Split::over(Redis::start(), 1, 1, &flags);
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
    let (without, with) = (Spread::of(without), Spread::of(with));
    println!(
        "p50 of {PLACEMENTS} placements one after the other, {rounds} runs of each in turn: \
         one process {without}, through another {with}"
    );
    assert!(!long() || with.median < without.median + ADDED_MAX, "the hop costs too much");
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
