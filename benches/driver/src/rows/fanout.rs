//! The rows in which placements go out to many.

use std::time::Duration;

use anyhow::Result;

use crate::contest::{Entrant, Standing, interleave, median, ratio};
use crate::contestant::{Contestant, FRAME_BYTES};
use crate::crowd::Load;
use crate::fanout::Trial;
use crate::report::{CPU_PER_FRAME, Column, Goal, LAST_P99, Section, Table};
use crate::rows::Bench;
use crate::secure;
use crate::wire::{NARROW, WIDE, WIDE_SHARED};

const UNPACED: &[&str] = &["--sweep-interval-ms", "0"];
const PACED: &[&str] = &[];
/// What the floor sends at most.
const FLOOR_BYTES_MAX: usize = 4_096;
/// Placements to each chunk, whether clients share one or are spread over all.
const CHUNK_PIXELS_PER_SECOND: f64 = 10.0;
/// Placements under way in all, at first.
const WINDOW: usize = 64;
/// Placements under way in all when people really hurry.
const WIDE_WINDOW: usize = 1_024;

const SATURATED: &[Column] = &[
    ("pixel deliveries/s", "deliveries/s"),
    ("CPU µs per delivery", "µs/delivery"),
    ("CPU µs per write", "µs/write"),
    ("of that where it is written", "sweeping µs/write"),
    ("p50 ms", "p50"),
    ("p99 ms", "p99"),
    ("server core used", "cores"),
];
const CALM: &[Column] = &[
    ("CPU µs per delivery", "µs/delivery"),
    ("of that where it is written", "sweeping µs/write"),
    ("p50 ms", "p50"),
    ("p99 ms", "p99"),
    ("to the last receiver, p50 ms", "last p50"),
    ("p99 ms", "last p99"),
    ("server core used", "cores"),
];
const SILENT: &[Column] = &[
    ("p50 ms", "p50"),
    ("p99 ms", "p99"),
    ("server core used", "cores"),
    ("writes that found a socket full", "blocked"),
];
const PACING: &[Column] = &[
    ("server core used", "cores"),
    ("writes/s a client", "writes/s"),
    ("CPU µs per write", "µs/write"),
    ("of that where it is written", "sweeping µs/write"),
    ("p50 ms", "p50"),
    ("p99 ms", "p99"),
];

fn trial(contestant: Contestant, clients: usize, load: Load, window: Duration) -> Trial {
    Trial {
        contestant,
        flags: PACED,
        ground: NARROW,
        clients,
        silent: 0,
        load,
        warm_up: Duration::from_millis(500),
        window,
        settle: true,
    }
}

fn entrants<'a>(bench: &'a Bench, trials: &'a [(String, Trial)]) -> Vec<Entrant<'a>> {
    let entrant = |(name, trial): &'a (String, Trial)| {
        Entrant::new(name.clone(), move || Ok(trial.run(&bench.programs)?.sample()))
    };
    trials.iter().map(entrant).collect()
}

fn run(
    bench: &Bench,
    about: &str,
    trials: &[(String, Trial)],
    columns: &[Column],
) -> (Section, Vec<Standing>) {
    let standings = interleave(bench.rounds, &entrants(bench, trials));
    let table = Table::of(&standings, "", columns);
    let mut section = Section { about: about.to_owned(), tables: vec![table], ..Section::default() };
    section.note_rounds(&standings);
    (section, standings)
}

/// Adds a column: everybody's figure against somebody's.
fn against(section: &mut Section, heading: &str, standings: &[Standing], to: &str, key: &str) {
    let tables = std::mem::take(&mut section.tables);
    let with = |table: Table| table.against(heading, standings, to, key);
    section.tables = tables.into_iter().map(with).collect();
}

pub(super) fn saturated_1000(bench: &Bench) -> Result<Section> {
    let trials = saturated(1_000, bench.window(4));
    let about = "Placements are under way all the time, 64 in all or 1,024: the next goes out when its author has read the one \
                 before. Ours runs with `--sweep-interval-ms 0`. Where several pixels go out in one write, there are fewer writes than \
                 deliveries; ours counts its writes itself (`pixel_gateway_writes_total`). Where it is written is the thread that \
                 sweeps, with its reading, parsing and encoding; the rest of ours decides placements and syncs them.";
    let (mut section, standings) = run(bench, about, &trials, SATURATED);
    against(&mut section, "against Node ws", &standings, "Node ws, 64 in flight", "deliveries/s");
    against(&mut section, "a write against the floor", &standings, "floor, 128 B, 64 in flight", "µs/write");
    section.goals = vec![
        Goal::at_most(
            "CPU per write against the floor, N=1,000, JSON",
            1.15,
            ratio(&standings, "ours, JSON, 64 in flight", "floor, 128 B, 64 in flight", "µs/write"),
        ),
        Goal::at_most(
            "CPU per write against the floor, N=1,000, binary",
            1.15,
            ratio(&standings, "ours, binary, 64 in flight", "floor, 128 B, 64 in flight", "µs/write"),
        ),
        Goal::at_least(
            "JSON, deliveries/s against Node `ws`, 64 in flight, N=1,000",
            40.0,
            ratio(&standings, "ours, JSON, 64 in flight", "Node ws, 64 in flight", "deliveries/s"),
        ),
        Goal::at_least(
            "binary, deliveries/s against Node `ws`, 1,024 in flight, N=1,000",
            300.0,
            ratio(&standings, "ours, binary, 1,024 in flight", "Node ws, 1,024 in flight", "deliveries/s"),
        ),
        milliseconds(
            "binary, p99 at 1,024 in flight, N=1,000",
            100.0,
            median(&standings, "ours, binary, 1,024 in flight", "p99"),
        ),
    ];
    Ok(section)
}

pub(super) fn saturated_10000(bench: &Bench) -> Result<Section> {
    let trials = saturated(10_000, bench.window(6));
    let about = "The same with ten times the clients. Those who send a frame for each pixel take minutes for 1,024 placements: \
                 what is under way at the end is not waited for.";
    let (mut section, standings) = run(bench, about, &trials, SATURATED);
    against(&mut section, "against Node ws", &standings, "Node ws, 64 in flight", "deliveries/s");
    against(&mut section, "a write against the floor", &standings, "floor, 128 B, 64 in flight", "µs/write");
    section.goals = vec![
        Goal::at_most(
            "CPU per write against the floor, N=10,000, JSON",
            1.15,
            ratio(&standings, "ours, JSON, 64 in flight", "floor, 128 B, 64 in flight", "µs/write"),
        ),
        Goal::at_most(
            "CPU per write against the floor, N=10,000, binary",
            1.15,
            ratio(&standings, "ours, binary, 64 in flight", "floor, 128 B, 64 in flight", "µs/write"),
        ),
        Goal::at_least(
            "binary, deliveries/s against Node `ws`, 1,024 in flight, N=10,000",
            1_000.0,
            ratio(&standings, "ours, binary, 1,024 in flight", "Node ws, 1,024 in flight", "deliveries/s"),
        ),
        milliseconds(
            "binary, p99 at 1,024 in flight, N=10,000",
            500.0,
            median(&standings, "ours, binary, 1,024 in flight", "p99"),
        ),
    ];
    Ok(section)
}

fn saturated(clients: usize, window: Duration) -> Vec<(String, Trial)> {
    let floor = [Contestant::Floor { bytes: FRAME_BYTES }, Contestant::Floor { bytes: FLOOR_BYTES_MAX }];
    let narrow = [Contestant::NodeWs, Contestant::Axum, Contestant::OursJson, Contestant::OursBinary];
    let wide = [Contestant::NodeWs, Contestant::OursJson, Contestant::OursBinary];
    let of = |contestant: Contestant, placements: usize| {
        let flags = if contestant.is_ours() { UNPACED } else { PACED };
        let settle = placements == WINDOW || clients <= 1_000 || contestant.is_ours();
        let trial = Trial { flags, settle, ..trial(contestant, clients, Load::Window(placements), window) };
        (format!("{}, {} in flight", contestant.name(), crate::report::grouped(placements)), trial)
    };
    let narrow = floor.into_iter().chain(narrow).map(|contestant| of(contestant, WINDOW));
    narrow.chain(wide.into_iter().map(|contestant| of(contestant, WIDE_WINDOW))).collect()
}

pub(super) fn calm(bench: &Bench) -> Result<Section> {
    let of = |contestant: Contestant| {
        (contestant.name(), trial(contestant, 1_000, Load::Paced(50.0), bench.window(8)))
    };
    let trials: Vec<_> = Contestant::ALL.into_iter().map(of).collect();
    let about = "Nobody is saturated. Ours runs with its defaults and syncs each placement to the disk before anybody sees it; \
                 the others have no store at all.";
    let (mut section, standings) = run(bench, about, &trials, CALM);
    against(&mut section, "against Node ws", &standings, "Node ws", "µs/delivery");
    against(&mut section, "against the floor", &standings, "floor, 128 B", "µs/delivery");
    section.claims = [(CPU_PER_FRAME, "µs/delivery"), (LAST_P99, "last p99")]
        .map(|(claim, key)| {
            (
                claim.to_owned(),
                ratio(&standings, "ours, JSON", "Node ws", key).max(ratio(
                    &standings,
                    "ours, binary",
                    "Node ws",
                    key,
                )),
            )
        })
        .into();
    section.goals = vec![
        Goal::at_most(
            "CPU per frame at 50 px/s, N=1,000, against Node `ws`, JSON",
            0.5,
            ratio(&standings, "ours, JSON", "Node ws", "µs/delivery"),
        ),
        Goal::at_most(
            "CPU per frame at 50 px/s, N=1,000, against Node `ws`, binary",
            0.5,
            ratio(&standings, "ours, binary", "Node ws", "µs/delivery"),
        ),
        Goal::at_most(
            "p99 to the last receiver at 50 px/s, N=1,000, against Node `ws`, JSON",
            0.6,
            ratio(&standings, "ours, JSON", "Node ws", "last p99"),
        ),
        Goal::at_most(
            "p99 to the last receiver at 50 px/s, N=1,000, against Node `ws`, binary",
            0.6,
            ratio(&standings, "ours, binary", "Node ws", "last p99"),
        ),
    ];
    Ok(section)
}

pub(super) fn pacing(bench: &Bench) -> Result<Section> {
    let of = |contestant: Contestant, flags: &'static [&'static str]| {
        let how = if flags.is_empty() { "paced" } else { "never waiting" };
        let trial = Trial { flags, ..trial(contestant, 1_000, Load::Paced(1_000.0), bench.window(5)) };
        (format!("{}, {how}", contestant.name()), trial)
    };
    let trials = vec![
        of(Contestant::OursJson, PACED),
        of(Contestant::OursJson, UNPACED),
        of(Contestant::OursBinary, PACED),
        of(Contestant::OursBinary, UNPACED),
    ];
    let about = "The default gathers updates for 16 ms while they keep coming; `--sweep-interval-ms 0` never waits. A million frames a \
                 second are more than Node `ws` or axum send from one core, so they are not here.";
    let (mut section, standings) = run(bench, about, &trials, PACING);
    section.goals = vec![
        Goal::at_most(
            "CPU with pacing against without, 1,000 px/s, N=1,000, JSON",
            0.5,
            ratio(&standings, "ours, JSON, paced", "ours, JSON, never waiting", "cores"),
        ),
        Goal::at_most(
            "CPU with pacing against without, 1,000 px/s, N=1,000, binary",
            0.5,
            ratio(&standings, "ours, binary, paced", "ours, binary, never waiting", "cores"),
        ),
        Goal {
            what: "writes a second to each client with pacing, JSON and binary".to_owned(),
            wanted: "≤ 63".to_owned(),
            reached: format!(
                "{:.0}, {:.0}",
                median(&standings, "ours, JSON, paced", "writes/s"),
                median(&standings, "ours, binary, paced", "writes/s")
            ),
            met: ["ours, JSON, paced", "ours, binary, paced"]
                .iter()
                .all(|name| median(&standings, name, "writes/s") <= 63.0),
        },
    ];
    Ok(section)
}

pub(super) fn silent(bench: &Bench) -> Result<Section> {
    let of = |contestant: Contestant, silent: usize| {
        let who = if silent == 0 { "all read" } else { "one in ten never reads" };
        let trial = trial(contestant, 1_000, Load::Paced(5_000.0), bench.window(6));
        // By then the buffers of those who do not read are full.
        let trial = Trial { silent, warm_up: Duration::from_secs(4), ..trial };
        (format!("{}, {who}", contestant.name()), trial)
    };
    let trials = vec![
        of(Contestant::OursJson, 0),
        of(Contestant::OursJson, 100),
        of(Contestant::OursBinary, 0),
        of(Contestant::OursBinary, 100),
    ];
    let about = "1,000 clients at 5,000 pixels a second, with the defaults. A hundred of them stop reading once they are connected; the \
                 latencies are those of the others.";
    let (mut section, standings) = run(bench, about, &trials, SILENT);
    section.goals = vec![
        Goal::at_most(
            "one client in ten never reads: p99 of the others against none, JSON",
            1.2,
            ratio(&standings, "ours, JSON, one in ten never reads", "ours, JSON, all read", "p99"),
        ),
        Goal::at_most(
            "one client in ten never reads: p99 of the others against none, binary",
            1.2,
            ratio(&standings, "ours, binary, one in ten never reads", "ours, binary, all read", "p99"),
        ),
    ];
    Ok(section)
}

pub(super) fn full_house(bench: &Bench) -> Result<Section> {
    let of = |contestant: Contestant| {
        (contestant.name(), trial(contestant, 19_000, Load::Paced(100.0), bench.window(10)))
    };
    let trials = vec![of(Contestant::OursJson), of(Contestant::OursBinary)];
    let about = "19,000 connections to one process at 100 pixels a second: about as many as its 20,000 descriptors allow here.";
    let (mut section, standings) = run(bench, about, &trials, PACING);
    let faults: u64 = standings.iter().map(|standing| standing.faults.total()).sum();
    let got_through = standings.iter().all(|standing| standing.failed.is_none() && standing.rounds > 0);
    section.goals = vec![Goal {
        what: "19,000 connections, 100 px/s: updates lost, doubled or out of order".to_owned(),
        wanted: "0".to_owned(),
        reached: if got_through { faults.to_string() } else { "did not get through".to_owned() },
        met: got_through && faults == 0,
    }];
    Ok(section)
}

pub(super) fn interest(bench: &Bench) -> Result<Section> {
    let chunks = WIDE.chunks().count();
    let of = |name: &str, ground, pixels_per_second: f64| {
        let load = Load::Paced(pixels_per_second);
        let trial = trial(Contestant::OursBinary, 10_000, load, bench.window(6));
        (name.to_owned(), Trial { ground, ..trial })
    };
    let everywhere = CHUNK_PIXELS_PER_SECOND * chunks as f64;
    let (shared, spread) = ("one shared chunk", "spread over all chunks");
    let trials = vec![
        of("a canvas of one chunk", NARROW, CHUNK_PIXELS_PER_SECOND),
        of(shared, WIDE_SHARED, everywhere),
        of(spread, WIDE, everywhere),
    ];
    let about = format!(
        "10,000 binary clients on a canvas of 4,000×4,000 that is painted everywhere, {CHUNK_PIXELS_PER_SECOND} pixels a second in each of \
         its {chunks} chunks: all at one chunk, or about {} at each. Both store the same placements and make about as many writes. The \
         processor time is all that the server took, so the first line shows what storing takes: there, only the one chunk is painted.",
        10_000 / chunks
    );
    let (mut section, standings) = run(bench, &about, &trials, PACING);
    let what = "CPU per write, 10,000 clients spread over 4,000×4,000, against one shared chunk";
    section.goals = vec![Goal::at_most(what, 1.2, ratio(&standings, spread, shared, "µs/write"))];
    Ok(section)
}

pub(super) fn tls(bench: &Bench) -> Result<Section> {
    let of = |name: &str, flags: &'static [&'static str]| {
        let trial = trial(Contestant::OursBinary, 1_000, Load::Paced(1_000.0), bench.window(5));
        (name.to_owned(), Trial { flags, ..trial })
    };
    let (plain, secure) = ("ours, binary, plain", "ours, binary, TLS");
    let trials = [of(plain, PACED), of(secure, secure::FLAGS)];
    let about = "1,000 binary clients at 1,000 pixels a second, plain and with the gateway's own TLS, which a task for each connection \
                 speaks in user space: what it costs where there is no ingress. No goal is set for it.";
    let (mut section, standings) = run(bench, about, &trials, PACING);
    against(&mut section, "a write against plain", &standings, plain, "µs/write");
    Ok(section)
}

fn milliseconds(what: &str, limit: f64, reached: f64) -> Goal {
    let met = reached <= limit;
    Goal {
        what: what.to_owned(),
        wanted: format!("≤ {limit:.0} ms"),
        reached: format!("{reached:.0} ms"),
        met,
    }
}
