//! The rows about connections that nothing is sent to yet.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;

use crate::clock::now_ns;
use crate::contest::{Entrant, Sample, interleave, median, ratio};
use crate::contestant::{Contestant, Running};
use crate::crowd::{Crowd, Plan};
use crate::ledger::Faults;
use crate::machine::Moment;
use crate::report::{Goal, MEMORY, Section, Table};
use crate::rows::Bench;

/// Who has something to remember of a connection.
const SERVERS: [Contestant; 4] =
    [Contestant::NodeWs, Contestant::Axum, Contestant::OursJson, Contestant::OursBinary];
/// Clients that connect at once.
const NEWCOMERS: usize = 10_000;
/// Clients that are connected before memory is first looked at: buffers and threads are there by then.
const FIRST: usize = 100;
const FEW: usize = 1_000;
const MANY: usize = 19_000;
/// What a server may still tidy up after the last one came.
const REST: Duration = Duration::from_millis(2_500);

fn plan(server: &Running, contestant: Contestant, clients: usize) -> Plan {
    Plan::new(server.address, contestant.dialect(), clients)
}

pub(super) fn connects(bench: &Bench) -> Result<Section> {
    let entrant = |contestant: Contestant| {
        Entrant::new(contestant.name(), move || {
            let server = Running::start(&bench.programs, contestant, &[])?;
            let processes = [server.process()];
            let (before, start) = (Moment::now(&processes)?, now_ns());
            let crowd = Crowd::gather(plan(&server, contestant, NEWCOMERS))?;
            let seconds = (now_ns() - start) as f64 / 1e9;
            let usage = Moment::now(&processes)?.since(before);
            drop(crowd);
            Ok(Sample {
                foreign: usage.foreign,
                faults: Faults::default(),
                values: BTreeMap::from([
                    ("connects/s", NEWCOMERS as f64 / seconds),
                    ("µs/connect", usage.contestant * 1e6 / NEWCOMERS as f64),
                    ("cores", usage.contestant / usage.seconds),
                    ("generator cores", usage.generator / usage.seconds),
                ]),
            })
        })
    };
    let standings = interleave(bench.rounds, &Contestant::ALL.map(entrant));
    let columns = [
        ("connections/s", "connects/s"),
        ("CPU µs per connection", "µs/connect"),
        ("server core used", "cores"),
        ("client core used", "generator cores"),
    ];
    let mut section = Section {
        about: "10,000 clients connect as fast as they are let, 100 handshakes at a time. One counts once it was greeted; in binary, \
                once its subscription was read as well. The floor accepts, and says a word. Nobody tells anybody that somebody came, but for ours, which does so once a second."
            .to_owned(),
        tables: vec![Table::of(&standings, "", &columns).against("against Node ws", &standings, "Node ws", "connects/s")],
        goals: vec![
            Goal::at_least(
                "connections a second against Node `ws`, JSON",
                4.0,
                ratio(&standings, "ours, JSON", "Node ws", "connects/s"),
            ),
            Goal::at_least(
                "connections a second against Node `ws`, binary",
                4.0,
                ratio(&standings, "ours, binary", "Node ws", "connects/s"),
            ),
        ],
        ..Section::default()
    };
    section.note_rounds(&standings);
    Ok(section)
}

pub(super) fn memory(bench: &Bench) -> Result<Section> {
    let counts = [FEW, MANY];
    let entrants: Vec<Entrant<'_>> = SERVERS
        .iter()
        .flat_map(|contestant| counts.map(|clients| (*contestant, clients)))
        .map(|(contestant, clients)| {
            let name = format!("{}, {} clients", contestant.name(), crate::report::grouped(clients));
            Entrant::new(name, move || {
                let server = Running::start(&bench.programs, contestant, &[])?;
                let mut first = Crowd::gather(plan(&server, contestant, FIRST))?;
                first.idle(REST)?;
                let before = server.resident_bytes()?;
                let mut rest = Crowd::gather(plan(&server, contestant, clients - FIRST))?;
                rest.idle(REST)?;
                let grown = server.resident_bytes()?.saturating_sub(before);
                // Nothing here is timed: others do not matter.
                Ok(Sample {
                    values: BTreeMap::from([("B/connection", grown as f64 / (clients - FIRST) as f64)]),
                    ..Sample::default()
                })
            })
        })
        .collect();
    let standings = interleave(bench.rounds, &entrants);
    let of = |name: &str| median(&standings, name, "B/connection");
    let (json, binary) = (of("ours, JSON, 19,000 clients"), of("ours, binary, 19,000 clients"));
    let against_node = json.max(binary) / of("Node ws, 19,000 clients");
    let mut section = Section {
        about: "Resident memory with so many idle connections, less that with the first 100 of them, divided by the others. \
                Everything counts: sockets' state, names, identities, what the allocator keeps. The kernel's own buffers are in no process."
            .to_owned(),
        claims: [(MEMORY.to_owned(), against_node)].into(),
        tables: vec![
            Table::of(&standings, "", &[("bytes per connection", "B/connection")]).against(
                "against Node ws, 19,000 clients",
                &standings,
                "Node ws, 19,000 clients",
                "B/connection",
            ),
        ],
        goals: vec![
            bytes("memory of an idle connection, JSON, 19,000 of them", 512.0, json),
            bytes("memory of an idle connection, binary, 19,000 of them", 512.0, binary),
            Goal::at_most("memory of an idle connection against Node `ws`, the greater of both", 0.05, against_node),
        ],
        ..Section::default()
    };
    section.note_rounds(&standings);
    Ok(section)
}

fn bytes(what: &str, limit: f64, reached: f64) -> Goal {
    Goal {
        what: what.to_owned(),
        wanted: format!("≤ {limit:.0} B"),
        reached: format!("{reached:.0} B"),
        met: reached <= limit,
    }
}
