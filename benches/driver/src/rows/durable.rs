//! The row about placements that are synced to a disk.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Seek, Write};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::clock::now_ns;
use crate::contest::{Entrant, Sample, interleave, ratio};
use crate::contestant::{Contestant, Running};
use crate::crowd::{Crowd, Load, Plan};
use crate::machine::Moment;
use crate::report::{Goal, Section, Table};
use crate::rows::Bench;

const OURS: &str = "ours, 64 writers";
const APPEND: &str = "append and fdatasync, groups of the same size";
/// Closed-loop writers: each has one placement under way.
const WRITERS: usize = 64;
const WARM_UP: Duration = Duration::from_millis(500);
/// Where a file is there already, a sync has no new size to write down: the best that a log can do.
const FILE_BYTES: usize = 64 << 20;
const COMMITS: &str = "pixel_store_commits_total";
const SUBMISSIONS: &str = "pixel_store_decided_submissions_total";
const COMMIT_SECONDS: &str = "pixel_store_commit_seconds_total";
const LOG: &str = "pixel_store_log_bytes";

/// What ours wrote at a time, which the bare disk is then asked to do.
#[derive(Clone, Copy, Default)]
struct Group {
    placements: f64,
    bytes: f64,
}

pub(super) fn durable(bench: &Bench) -> Result<Section> {
    let group = Cell::new(Group::default());
    let entrants = [
        Entrant::new(OURS, || {
            let (sample, found) = ours(bench)?;
            group.set(found);
            Ok(sample)
        }),
        Entrant::new(APPEND, || raw(bench, group.get(), 0)),
        Entrant::new("the same into a file that is there already", || raw(bench, group.get(), FILE_BYTES)),
    ];
    let standings = interleave(bench.rounds, &entrants);
    let columns = [
        ("placements/s", "placements/s"),
        ("commits/s", "commits/s"),
        ("ms a commit", "commit ms"),
        ("placements per commit", "group"),
        ("log bytes per commit", "bytes"),
        ("p50 ms", "p50"),
        ("p99 ms", "p99"),
    ];
    let reached = ratio(&standings, OURS, APPEND, "placements/s");
    let mut section = Section {
        about: "64 binary clients that each wait until their placement comes back, which is after it was synced; `--sweep-interval-ms 0`. \
                Beside it, a loop that appends as many bytes for as many placements to a file on the same disk and syncs them: \
                what a log of the same groups could do at best, without deciding, answering or telling anything. A log that grows has its \
                new size synced, too; one that is written over has not."
            .to_owned(),
        tables: vec![Table::of(&standings, "", &columns).against("against appending", &standings, APPEND, "placements/s")],
        goals: vec![Goal::at_least("placements/s, durable, embedded, 64 writers, against raw group commit", 0.3, reached)],
        ..Section::default()
    };
    section.note_rounds(&standings);
    Ok(section)
}

fn ours(bench: &Bench) -> Result<(Sample, Group)> {
    let contestant = Contestant::OursBinary;
    let server = Running::start(&bench.programs, contestant, &["--sweep-interval-ms", "0"])?;
    let mut crowd =
        Crowd::gather(Plan { senders: WRITERS, ..Plan::new(server.address, contestant.dialect(), WRITERS) })?;
    let metric = |name: &str| server.metric(name)?.context("ours has metrics");
    let load = Load::Window(WRITERS);
    crowd.drive(load, WARM_UP, false)?;
    let processes = [server.process()];
    let figures = || {
        Ok::<_, anyhow::Error>([
            metric(COMMITS)?,
            metric(SUBMISSIONS)?,
            metric(LOG)?,
            metric(COMMIT_SECONDS)?,
        ])
    };
    let (before, deliveries, counted) = (Moment::now(&processes)?, crowd.ledger.deliveries, figures()?);
    crowd.drive(load, bench.window(4), true)?;
    let (after, deliveries, now) =
        (Moment::now(&processes)?, crowd.ledger.deliveries - deliveries, figures()?);
    crowd.settle()?;
    let [commits, submissions, bytes, seconds] = [0, 1, 2, 3].map(|index: usize| now[index] - counted[index]);
    ensure!(commits > 0.0, "nothing was committed");
    let group = Group { placements: submissions / commits, bytes: bytes / commits };
    let usage = after.since(before);
    let values = [
        ("placements/s", deliveries as f64 / WRITERS as f64 / usage.seconds),
        ("commits/s", commits / usage.seconds),
        ("commit ms", seconds * 1_000.0 / commits),
        ("group", group.placements),
        ("bytes", group.bytes),
        ("p50", crowd.ledger.latency_us.value_at_quantile(0.5) as f64 / 1_000.0),
        ("p99", crowd.ledger.latency_us.value_at_quantile(0.99) as f64 / 1_000.0),
        ("cores", usage.contestant / usage.seconds),
    ];
    let faults = crowd.ledger.faults.clone();
    Ok((Sample { foreign: usage.foreign, faults, values: values.into() }, group))
}

/// Group commit without anything around it, into a file of so many bytes that is written anew when it ends; 0: one that grows.
fn raw(bench: &Bench, group: Group, file_bytes: usize) -> Result<Sample> {
    ensure!(group.placements > 0.0 && group.bytes > 0.0, "ours did not tell the size of its groups");
    let folder = bench.programs.folder()?;
    let mut file = File::create(folder.path().join("log"))?;
    file.write_all(&vec![0; file_bytes])?;
    file.sync_all()?;
    file.rewind()?;
    let bytes = vec![0x5a; group.bytes as usize];
    let mut written = 0;
    let (before, start) = (Moment::now(&[])?, now_ns());
    let window = bench.window(4).as_nanos() as u64;
    let mut commits = 0_u64;
    while now_ns() - start < window {
        if file_bytes > 0 && written + bytes.len() > file_bytes {
            file.rewind()?;
            written = 0;
        }
        file.write_all(&bytes)?;
        file.sync_data()?;
        written += bytes.len();
        commits += 1;
    }
    let usage = Moment::now(&[])?.since(before);
    let per_second = commits as f64 / usage.seconds;
    let values = BTreeMap::from([
        ("placements/s", per_second * group.placements),
        ("commits/s", per_second),
        ("commit ms", 1_000.0 / per_second),
        ("group", group.placements),
        ("bytes", group.bytes),
    ]);
    Ok(Sample { foreign: usage.foreign, values, ..Sample::default() })
}
