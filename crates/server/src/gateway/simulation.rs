//! Gateways, clients and a model of the store, run in one thread on a seeded clock and a seeded network.
//!
//! The gateways are the real ones: sessions, sweeping, fan-out, broadcast, placing. What they stand on is
//! simulated: sockets ([`wire`]), the store ([`machine`], [`store`]) and time ([`world`]). Clients
//! ([`client`], [`conversation`]) follow the load generator's view; [`faults`] makes trouble, and [`judge`]
//! holds what they saw against the store's log. The same seed is the same run, to the last byte.

mod apis;
mod client;
mod conversation;
mod faults;
mod judge;
mod ledger;
mod machine;
mod store;
mod town;
mod voices;
mod wire;
mod world;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use loadgen::remote::Snapshot;
use pixel_canvas::{Canvas, ChunkId, Epoch, Identity, Rate, Size};
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, sleep_until};

pub(super) use self::wire::Near;
pub(crate) use self::world::time;

use self::client::Client;
use self::conversation::{Life, Phase, Told};
use self::machine::{Machine, Promise};
use self::store::{Link, Storage};
use self::town::Town;
use self::world::World;
use super::broadcast::{Broadcast, PRESENCE_INTERVAL};
use super::channel::Channel;
use super::fanout::{Bounds, WIRE_LOG_BYTES_MAX};
use super::presence::Roster;
use super::session::Dialect;
use crate::clock::Clock;

/// Seeds of every test run.
const SEEDS: u64 = 2_000;
/// Seeds of every test run that are run twice.
const SEEDS_REPEATED: u64 = 50;
/// How long after all is mended every copy must be right, and every submission answered.
const SETTLE_MAX: Duration = Duration::from_secs(100);
/// How often it is looked whether they are.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// What became of a run.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    /// Everything that happened, as one number.
    trace: u64,
    accepted: u64,
    wrongs: Vec<String>,
}

/// Runs one seed.
fn simulate(seed: u64, print: bool) -> Outcome {
    runtime().block_on(run(seed, print))
}

/// One thread, and time that stands still until everybody waits.
fn runtime() -> tokio::runtime::Runtime {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().start_paused(true).build().expect("a runtime of one thread needs nothing")
}

async fn run(seed: u64, print: bool) -> Outcome {
    let world = Arc::new(World::begin(seed, print));
    let mut canvas = Canvas::default_canvas();
    canvas.size = Size::new(260, 4).expect("it is a size");
    if world.chance(40) {
        (canvas.cooldown_ms, canvas.charges_max) = (200 + world.below(1_500), 5 + world.below(10) as u32);
    }
    let rate = world.chance(30).then(|| Rate { interval_us: 100_000 + world.below(400_000), burst: 10 });
    let promise = if world.chance(60) { Promise::Durable } else { Promise::Lossy };
    let machine = Machine::new(canvas.clone(), Epoch(world.number()), rate, promise);
    let sync_ms = match promise {
        Promise::Durable => (1, 2 + world.below(40)),
        Promise::Lossy => (50, 51 + world.below(1_000)),
    };
    let storage = Storage::new(Arc::clone(&world), machine, sync_ms);
    let gateways = 1 + world.below(3) as usize;
    let apis = world.below(3) as usize;
    // Most runs have the usual bounds; in some, whoever is slow falls behind at once.
    let bounds = match world.below(3) {
        0 => Bounds { wire_log_bytes: 400 << world.below(7), wide_log_bytes: 200 << world.below(6) },
        _ => Bounds::default(),
    };
    let town = Town::new(Arc::clone(&storage), gateways, apis, bounds);
    let canvas = Arc::new(canvas);

    let told = Arc::new(Told::new());
    let mut clients = Vec::new();
    for number in 0..2 + world.below(4) as u32 {
        // Some are a second socket of the one before: limits hold for both together.
        let person = if world.chance(30) { number.saturating_sub(1) } else { number };
        let identity = Identity(u128::from(seed * 64 + u64::from(person)).to_be_bytes());
        let token = town.identities.sign(identity, Clock.unix());
        let dialect = if world.chance(60) { Dialect::Binary } else { Dialect::Json };
        let mut client = Client::new(number, dialect, (identity, token), &canvas, Clock.tokio());
        client.may_fall_behind = bounds.wire_log_bytes < WIRE_LOG_BYTES_MAX;
        let client = Arc::new(Mutex::new(client));
        clients.push(Arc::clone(&client));
        tokio::spawn(Life { client, town: Arc::clone(&town), told: Arc::clone(&told) }.live());
    }

    let until = Clock.tokio() + world.ms(1_500..9_000);
    tokio::spawn(faults::trouble(Arc::clone(&town), clients.clone(), until));
    sleep_until(until).await;
    faults::mend(&town, &clients);
    told.tell(Phase::Settle);
    let unsettled = settle(&town, &clients).await;
    told.tell(Phase::Stop);

    let clients: Vec<_> = clients.iter().map(|one| one.lock().expect("no client panicked")).collect();
    let mut wrongs: Vec<String> = unsettled.into_iter().collect();
    let machine = storage.machine();
    wrongs.extend(judge::judge(&machine, &clients.iter().map(|client| &**client).collect::<Vec<_>>()));
    let accepted = machine.ledger.sequence.0;
    drop(machine);
    Outcome { trace: world.end(), accepted, wrongs }
}

/// Waits until every copy is the store's and nobody waits for an answer; who is not there by then.
async fn settle(town: &Town, clients: &[Arc<Mutex<Client>>]) -> Option<String> {
    let begun = Clock.tokio();
    loop {
        sleep(LOOK_INTERVAL).await;
        let truth = truth(town);
        let missing = clients.iter().find_map(|client| {
            let client = client.lock().expect("no client panicked");
            let what = if !client.settled {
                "is not connected"
            } else if client.is_waiting() {
                "waits for an answer"
            } else if client.people != Some(clients.len() as u32) {
                "counts other people than there are"
            } else if !client.view.equals(&truth) || client.view.chunks_held() < truth.len() {
                "has another picture"
            } else {
                return None;
            };
            Some(format!("client {} {what}", client.number))
        });
        match missing {
            Some(missing) if Clock.tokio().duration_since(begun) > SETTLE_MAX => {
                return Some(format!("{missing} {} s after all is mended", SETTLE_MAX.as_secs()));
            }
            Some(_) => {}
            None => return None,
        }
    }
}

/// Every chunk as the store has it.
fn truth(town: &Town) -> BTreeMap<ChunkId, Snapshot> {
    let machine = town.storage.machine();
    let position = machine.position();
    let chunks: Vec<ChunkId> = machine.ledger.canvas.size.chunks().collect();
    let snapshot = |snapshot: pixel_store::Snapshot| Snapshot {
        epoch: position.epoch,
        sequence: position.sequence,
        pixels: snapshot.pixels,
    };
    machine.view(&chunks).into_iter().map(|one| (one.id, snapshot(one))).collect()
}

/// Runs seeds on every core, and says which went wrong.
fn simulate_many(seeds: Range<u64>) -> BTreeMap<u64, Vec<String>> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (next, failed) = (AtomicU64::new(seeds.start), Mutex::new(BTreeMap::new()));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let wrongs = simulate(seed, false).wrongs;
                    if !wrongs.is_empty() {
                        failed.lock().expect("a list takes all").insert(seed, wrongs);
                    }
                }
            });
        }
    });
    failed.into_inner().expect("a list takes all")
}

/// What `cargo xtask simulate` asks for: a number, where it does.
#[expect(clippy::disallowed_methods, reason = "a test has no other way to be asked")]
fn asked(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|number| number.parse().expect("it is a number"))
}

#[test]
fn no_seed_breaks_a_promise() {
    if let Some(seed) = asked("PIXEL_PLAYGROUND_SEED") {
        let outcome = simulate(seed, true);
        return assert!(outcome.wrongs.is_empty(), "{:#?}", outcome.wrongs);
    }
    let first = asked("PIXEL_PLAYGROUND_SEEDS_FROM").unwrap_or(0);
    let count = asked("PIXEL_PLAYGROUND_SEEDS").unwrap_or(SEEDS);
    let failed = simulate_many(first..first + count);
    println!("{count} seeds from {first}, {} of them broke a promise", failed.len());
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn a_seed_is_the_same_run_every_time() {
    for seed in 0..SEEDS_REPEATED {
        assert_eq!(simulate(seed, false), simulate(seed, false), "seed {seed}");
    }
}

/// That they are due was known to the reading of the log that broke off alone: nobody was told until somebody else
/// came or went.
#[test]
fn people_are_told_though_the_log_breaks_off_just_before_they_are_due() {
    runtime().block_on(async {
        let world = Arc::new(World::begin(0, false));
        let canvas = Canvas::default_canvas();
        let machine = Machine::new(canvas.clone(), Epoch(1), None, Promise::Durable);
        let storage = Storage::new(Arc::clone(&world), machine, (1, 2));
        let (canvas, seen) = watch::channel(Arc::new(canvas));
        let (ready, mut is_ready) = watch::channel(false);
        let channel = Arc::new(Channel {
            number: 0,
            canvas: seen,
            ready: is_ready.clone(),
            roster: Mutex::default(),
            roster_changed: Notify::new(),
        });
        let broadcast = Broadcast {
            channel: Arc::clone(&channel),
            store: Arc::new(Link::new(Arc::clone(&storage))),
            inboxes: Arc::new([]),
            clock: Clock,
            sweep_interval: Duration::from_millis(16),
            canvas,
            ready,
        };
        tokio::spawn(broadcast.run());
        is_ready.wait_for(|ready| *ready).await.expect("it runs on");
        channel.roster(Roster::join);
        sleep(PRESENCE_INTERVAL / 4).await;
        // People were told just now, so that this has to wait.
        channel.roster(Roster::join);
        sleep(PRESENCE_INTERVAL / 4).await;
        storage.crash();
        storage.restart(true);
        sleep(PRESENCE_INTERVAL * 4).await;
        assert_eq!(channel.roster_quietly(Roster::announce), None, "it was told before");
        world.end();
    });
}
