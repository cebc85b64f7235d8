//! The row in which everybody comes at once: to load, and to go on where they were.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::clock::now_ns;
use crate::contest::{Entrant, Sample, interleave};
use crate::contestant::{Contestant, Running};
use crate::crowd::{Crowd, Load, Plan};
use crate::loads;
use crate::machine::{self, Moment};
use crate::report::{Section, Table};
use crate::rows::Bench;
use crate::wire::NARROW;

/// Who comes.
const CLIENTS: usize = 10_000;
/// Painted before they come, about.
const PIXELS_PER_SECOND: f64 = 2_000.0;
const PAINTING: Duration = Duration::from_millis(1_500);
/// So long nothing happens, so that memory lies still.
const REST: Duration = Duration::from_millis(1_500);
const MISSES: &str = "pixel_http_chunk_cache_lookups_total{result=\"miss\"}";

pub(super) fn stampede(bench: &Bench) -> Result<Section> {
    let entrants = [
        Entrant::new("10,000 first loads of a chunk", || first_loads(bench)),
        Entrant::new("10,000 resumes", || resumes(bench)),
    ];
    let standings = interleave(bench.rounds, &entrants);
    let columns = [
        ("seconds until all have it", "seconds"),
        ("clients/s", "clients/s"),
        ("bytes to each", "bytes"),
        ("bodies compressed", "reads"),
        ("memory grew at most by, MiB", "MiB"),
    ];
    let mut section = Section {
        about: "First loads: each of 10,000 clients opens a connection, asks for the one chunk of a canvas with 3,000 painted pixels and \
                gets the same compressed bytes, 1,000 of them at a time. Resumes: 10,000 binary clients that were there before the pixels were \
                painted open a socket, subscribe with what they had, and get exactly what they missed from the gateway's log."
            .to_owned(),
        tables: vec![Table::of(&standings, "", &columns)],
        ..Section::default()
    };
    section.note_rounds(&standings);
    Ok(section)
}

/// A server whose canvas is painted, and the crowd that saw it, which had the first pixel when the others came.
fn painted(bench: &Bench) -> Result<(Running, Crowd)> {
    let contestant = Contestant::OursBinary;
    let server = Running::start(&bench.programs, contestant, &[])?;
    let plan = plan(&server, 1);
    // Nothing can be had of a canvas that nobody painted.
    let mut first = Crowd::gather(plan)?;
    first.drive(Load::Window(1), Duration::from_millis(100), false)?;
    first.settle()?;
    drop(first);
    let mut painters = Crowd::gather(plan)?;
    painters.drive(Load::Paced(PIXELS_PER_SECOND), PAINTING, false)?;
    painters.settle()?;
    painters.idle(REST)?;
    ensure!(painters.ledger.faults.total() == 0, "{:?}", painters.ledger.faults);
    Ok((server, painters))
}

fn plan(server: &Running, clients: usize) -> Plan {
    Plan::new(server.address, Contestant::OursBinary.dialect(), clients)
}

fn first_loads(bench: &Bench) -> Result<Sample> {
    let (server, painters) = painted(bench)?;
    drop(painters);
    let api = server.api.context("ours has an api")?;
    let processes = [server.process()];
    let (memory, misses) = (server.resident_bytes()?, server.metric(MISSES)?);
    machine::watch_peak(server.process())?;
    let before = Moment::now(&processes)?;
    let loaded = loads::load(api, &format!("/api/canvases/{}/chunks/0/0", NARROW.canvas), CLIENTS)?;
    let usage = Moment::now(&processes)?.since(before);
    let reads = server.metric(MISSES)?.zip(misses).map_or(f64::NAN, |(after, before)| after - before);
    Ok(sample(usage.foreign, loaded.seconds, loaded.body_bytes as f64, reads, grown(&server, memory)?))
}

fn resumes(bench: &Bench) -> Result<Sample> {
    let (server, painters) = painted(bench)?;
    let (resume, bytes) = (painters.greeted_at, painters.ledger.bytes());
    let processes = [server.process()];
    let (memory, misses) = (server.resident_bytes()?, server.metric(MISSES)?);
    machine::watch_peak(server.process())?;
    let (before, start) = (Moment::now(&processes)?, now_ns());
    let mut crowd = Crowd::gather_with(Plan { resume, ..plan(&server, CLIENTS) }, painters.ledger)?;
    crowd.settle()?;
    let seconds = (now_ns() - start) as f64 / 1e9;
    let usage = Moment::now(&processes)?.since(before);
    let reads = server.metric(MISSES)?.zip(misses).map_or(f64::NAN, |(after, before)| after - before);
    let sample = sample(usage.foreign, seconds, bytes as f64, reads, grown(&server, memory)?);
    Ok(Sample { faults: crowd.ledger.faults.clone(), ..sample })
}

fn grown(server: &Running, before: u64) -> Result<f64> {
    Ok(machine::peak_bytes(server.process())?.saturating_sub(before) as f64 / f64::from(1 << 20))
}

fn sample(foreign: f64, seconds: f64, bytes: f64, reads: f64, mebibytes: f64) -> Sample {
    let values = [
        ("seconds", seconds),
        ("clients/s", CLIENTS as f64 / seconds),
        ("bytes", bytes),
        ("reads", reads),
        ("MiB", mebibytes),
    ];
    Sample { foreign, values: values.into(), ..Sample::default() }
}
