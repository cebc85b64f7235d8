//! The rows that are charts: what a delivery costs as clients become more, and how long it takes as load grows.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::chart::{Chart, Line};
use crate::contest::{Entrant, Standing, interleave};
use crate::contestant::Contestant;
use crate::crowd::Load;
use crate::fanout::Trial;
use crate::report::{Section, Table, grouped};
use crate::rows::Bench;
use crate::wire::NARROW;

const ALL: [Contestant; 5] = Contestant::ALL;
const CLIENTS: [usize; 4] = [10, 100, 1_000, 10_000];
const PIXELS_PER_SECOND: [u32; 8] = [10, 50, 100, 200, 500, 2_000, 5_000, 20_000];
/// Who answers later than this at one load is not asked for more.
const OVERLOADED_P99_MS: f64 = 250.0;
/// Nor is who uses so much of its core.
const OVERLOADED_CORES: f64 = 0.97;

fn trial(contestant: Contestant, clients: usize, load: Load, window: Duration) -> Trial {
    let warm_up = Duration::from_millis(500);
    Trial { contestant, flags: &[], ground: NARROW, clients, silent: 0, load, warm_up, window, settle: true }
}

pub(super) fn cost(bench: &Bench) -> Result<Section> {
    let of = |clients: usize, contestant: Contestant| {
        let flags: &[&str] = if contestant.is_ours() { &["--sweep-interval-ms", "0"] } else { &[] };
        let trial = Trial { flags, ..trial(contestant, clients, Load::Window(64), bench.window(3)) };
        let name = format!("{} to {}", contestant.name(), grouped(clients));
        Entrant::new(name, move || Ok(trial.run(&bench.programs)?.sample()))
    };
    let entrants: Vec<_> =
        CLIENTS.iter().flat_map(|clients| ALL.map(|contestant| of(*clients, contestant))).collect();
    let standings = interleave(bench.rounds, &entrants);
    let point =
        |contestant: usize, step: usize| standings[step * ALL.len() + contestant].median("µs/delivery");
    let line = |(index, contestant): (usize, &Contestant)| {
        let points = CLIENTS.iter().enumerate().map(|(step, clients)| (*clients as f64, point(index, step)));
        let points = points.filter(|(_, cost)| cost.is_finite()).collect();
        Line { name: contestant.name(), color: contestant.color(), points }
    };
    let chart = Chart {
        title: "Cost of a delivery against clients",
        x: "clients, 64 placements in flight",
        y: "CPU µs for each pixel that reaches a client",
        lines: ALL.iter().enumerate().map(line).collect(),
    };
    write(bench, "cost.svg", &chart)?;
    let columns = CLIENTS.map(|clients| format!("{} clients", grouped(clients)));
    let rows = ALL.iter().enumerate().map(|(index, contestant)| {
        let costs = (0..CLIENTS.len()).map(|step| crate::report::short(point(index, step)));
        [contestant.name()].into_iter().chain(costs).collect()
    });
    let mut section = Section {
        about: "64 placements in flight, `--sweep-interval-ms 0`: processor time of the server for each pixel that reaches a client, in µs."
            .to_owned(),
        tables: vec![Table {
            columns: [String::new()].into_iter().chain(columns).collect(),
            rows: rows.collect(),
        }],
        charts: vec![("cost.svg".to_owned(), chart.title.to_owned())],
        ..Section::default()
    };
    section.note_rounds(&standings);
    Ok(section)
}

pub(super) fn latency(bench: &Bench) -> Result<Section> {
    let contestants = &ALL[1..];
    let mut overloaded: Vec<Contestant> = Vec::new();
    let none = |contestant: &Contestant| {
        let (name, color) = (contestant.name(), contestant.color());
        Line { name, color, points: Vec::new() }
    };
    let mut lines: Vec<Line> = contestants.iter().map(none).collect();
    let mut all: Vec<Standing> = Vec::new();
    for load in PIXELS_PER_SECOND {
        let asked: Vec<(usize, Contestant)> = contestants.iter().copied().enumerate().collect();
        let asked: Vec<_> =
            asked.into_iter().filter(|(_, contestant)| !overloaded.contains(contestant)).collect();
        let entrant = |(_, contestant): &(usize, Contestant)| {
            let trial = trial(*contestant, 1_000, Load::Paced(load.into()), bench.window(4));
            let name = format!("{}, {} px/s", contestant.name(), grouped(load as usize));
            Entrant::new(name, move || Ok(trial.run(&bench.programs)?.sample()))
        };
        let entrants: Vec<_> = asked.iter().map(entrant).collect();
        let standings = interleave(bench.rounds, &entrants);
        for ((index, contestant), standing) in asked.iter().zip(&standings) {
            let (p99, cores) = (standing.median("p99"), standing.median("cores"));
            if p99.is_finite() {
                lines[*index].points.push((load.into(), p99));
            }
            // Not a number counts as overloaded, too.
            if !(p99 < OVERLOADED_P99_MS && cores < OVERLOADED_CORES) {
                overloaded.push(*contestant);
            }
        }
        all.extend(standings);
    }
    let chart = Chart {
        title: "Latency against load, 1,000 clients",
        x: "pixels a second",
        y: "p99 in ms, from the send to each client's read",
        lines,
    };
    write(bench, "latency.svg", &chart)?;
    let columns = PIXELS_PER_SECOND.map(|load| format!("{} px/s", grouped(load as usize)));
    let rows = chart.lines.iter().map(|Line { name, points, .. }| {
        let at = |load: u32| points.iter().find(|(x, _)| *x == f64::from(load));
        let cells = PIXELS_PER_SECOND
            .map(|load| at(load).map_or("–".to_owned(), |(_, y)| crate::report::short(*y)));
        [name.clone()].into_iter().chain(cells).collect()
    });
    let mut section = Section {
        about: format!(
            "p99 in ms from a placement's send to each client's read, with the defaults: ours paces itself, and syncs before anybody \
             sees a pixel. Who needs over {OVERLOADED_P99_MS} ms, or its whole core, is not asked for more."
        ),
        tables: vec![Table {
            columns: [String::new()].into_iter().chain(columns).collect(),
            rows: rows.collect(),
        }],
        charts: vec![("latency.svg".to_owned(), chart.title.to_owned())],
        ..Section::default()
    };
    section.note_rounds(&all);
    Ok(section)
}

fn write(bench: &Bench, name: &str, chart: &Chart<'_>) -> Result<()> {
    let folder = bench.programs.root.join("docs/performance");
    fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    fs::write(folder.join(name), chart.svg()).with_context(|| format!("write {name}"))
}
