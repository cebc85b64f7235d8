//! The rows of what a browser sees: how the page arrives, and how smoothly a large canvas is explored while a crowd paints.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::clock::now_ns;
use crate::contest::{Entrant, Sample, interleave};
use crate::contestant::{Contestant, Programs, Running};
use crate::crowd::{Crowd, Load, Plan};
use crate::ledger::Faults;
use crate::machine::GivingWay;
use crate::report::{Column, Section, Table};
use crate::rows::Bench;
use crate::wire::{SMALL, WIDE};

/// An empty page, as the measuring program calls it.
const EMPTY: &str = "-";
/// Clients that paint while somebody looks around, and what they paint a second in all.
const CLIENTS: usize = 1_000;
const LOADS: [(f64, Processor); 3] =
    [(1_000.0, Processor::Shared), (10_000.0, Processor::Shared), (10_000.0, Processor::Viewers)];
/// Clients that fill the canvas with a picture, each of which holds a copy of it.
const PAINTERS: &str = "8";
const PAINTED_AT_ONCE: &str = "256";
/// A picture of one's own, of the canvas' size, instead of the drawn one.
const PICTURE: &str = "PIXEL_PLAYGROUND_PHOTOGRAPH";

const ARRIVAL: &[Column] = &[
    ("answers", "answers"),
    ("bytes, gzip and heads included", "bytes"),
    ("first paint, ms", "first paint"),
    ("the canvas is seen, ms", "sheet"),
];
const EXPLORING: &[Column] = &[
    ("painted, px/s", "painted"),
    ("refreshes without a new frame, %", "missed"),
    ("frames over 16.7 ms, %", "late"),
    ("frame p50, ms", "frame p50"),
    ("frame p95, ms", "frame p95"),
];

/// Whose the processor is while somebody looks around.
#[derive(Clone, Copy, PartialEq)]
enum Processor {
    /// The browser shares it with server and crowd as equals.
    Shared,
    /// Server and crowd give way to the browser: a viewer's machine carries neither.
    Viewers,
}

pub(super) fn arrival(bench: &Bench) -> Result<Section> {
    let server = Running::start(&bench.programs, Contestant::OursBinary, &[])?;
    let url = server.page(SMALL.canvas)?;
    let entrants = [("an empty page", EMPTY), ("the page", &url)].map(|(name, url)| {
        Entrant::new(name, || {
            let mut looking = look(&bench.programs, "arrival", url)?;
            looking.wait()?;
            found(looking, Faults::default())
        })
    });
    let standings = interleave(bench.rounds, &entrants);
    let about = "Chromium, without a graphics card, opens a page on a server that it never asked before, with an empty canvas of 50×50. Beside \
                 it, a page of one sentence. Without TLS a browser takes gzip; with it, brotli is less.";
    let table = Table::of(&standings, "", ARRIVAL).against(
        "first paint against empty",
        &standings,
        "an empty page",
        "first paint",
    );
    Ok(Section { about: about.to_owned(), tables: vec![table], ..Section::default() })
}

pub(super) fn exploring(bench: &Bench) -> Result<Section> {
    let server = Running::start(&bench.programs, Contestant::OursBinary, &[])?;
    if !bench.quick {
        fill(bench, &server)?;
    }
    let url = format!("{}#x=1000&y=1000&zoom=2", server.page(WIDE.canvas)?);
    let mut trials = Vec::new();
    for (pixels_per_second, processor) in LOADS {
        let way = if processor == Processor::Viewers { ", the crowd gives way" } else { "" };
        for (page, url) in [("an empty page", EMPTY), ("the page", &url)] {
            trials.push((
                format!("{page}, {pixels_per_second} px/s{way}"),
                url,
                pixels_per_second,
                processor,
            ));
        }
    }
    let entrants: Vec<_> = trials
        .iter()
        .map(|(name, url, pixels_per_second, processor)| {
            Entrant::new(name.clone(), || {
                let mut crowd = Crowd::gather(Plan {
                    ground: WIDE,
                    senders: CLIENTS,
                    ..Plan::new(server.address, Contestant::OursBinary.dialect(), CLIENTS)
                })?;
                let giving_way = (*processor == Processor::Viewers).then(GivingWay::begin).transpose()?;
                let mut looking = look(&bench.programs, "frames", url)?;
                let began = now_ns();
                while looking.try_wait()?.is_none() {
                    crowd.drive(Load::Paced(*pixels_per_second), Duration::from_millis(50), false)?;
                }
                let seconds = (now_ns() - began) as f64 / 1e9;
                drop(giving_way);
                let painted = crowd.ledger.sent() as f64 / seconds;
                crowd.settle()?;
                let mut sample = found(looking, crowd.ledger.faults.clone())?;
                sample.values.insert("painted", painted);
                Ok(sample)
            })
        })
        .collect();
    let standings = interleave(bench.rounds, &entrants);
    let about = "A canvas of 4,000×4,000 that `loadgen paint` filled with a picture, explored in a window of 1,440×900 with keys and wheel \
                 for six seconds while 1,000 clients paint all over it; and a page of one sentence, with the same painting beside it. \
                 Chromium draws without a graphics card and shares the two cores with the server and the crowd, so the empty page's \
                 share says what the machine does to anybody. Where the crowd gives way, it and the server run only when the browser does \
                 not want to: a viewer's machine carries neither. A frame is over 16.7 ms when it was begun so long after the one before, \
                 though it may be shown in time; a refresh without a new frame is what an eye sees. The picture is drawn, or that of `PIXEL_PLAYGROUND_PHOTOGRAPH=FILE.png`.";
    let mut section = Section {
        about: about.to_owned(),
        tables: vec![Table::of(&standings, "", EXPLORING)],
        ..Section::default()
    };
    section.note_rounds(&standings);
    Ok(section)
}

/// Fills the canvas with a picture.
fn fill(bench: &Bench, server: &Running) -> Result<()> {
    let folder = bench.programs.folder()?;
    #[expect(clippy::disallowed_methods, reason = "a command reads its environment here")]
    let own = std::env::var_os(PICTURE).map(PathBuf::from);
    let picture = match own {
        Some(picture) => picture,
        None => {
            let drawn = folder.path().join("picture.png");
            let side = WIDE.side.to_string();
            must(program(&bench.programs).arg("picture").arg(&drawn).arg(side))?;
            drawn
        }
    };
    let mut loadgen = Command::new(bench.programs.peers.join("loadgen"));
    loadgen.arg("paint").arg(picture).args(["--url", &server.origin()?, "--canvas", WIDE.canvas]);
    must(loadgen.args(["--clients", PAINTERS, "--batch", PAINTED_AT_ONCE, "--order", "rows"]))
}

fn must(command: &mut Command) -> Result<()> {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status().context("fill the canvas")?;
    ensure!(status.success(), "filling the canvas ended with {status}");
    Ok(())
}

/// A browser that begins to look.
fn look(programs: &Programs, what: &str, url: &str) -> Result<Child> {
    let mut command = program(programs);
    command.args([what, url]).stdin(Stdio::null()).stdout(Stdio::piped());
    command.spawn().context("start node")
}

/// The program that looks, on whichever core is free, as a browser would be.
fn program(programs: &Programs) -> Command {
    let mut command = Command::new("taskset");
    let cores = format!("0-{}", crate::machine::cores() - 1);
    command.args(["-c", &cores, "node"]).arg(programs.root.join("web/test/measure.mjs"));
    command
}

/// What it saw.
fn found(looking: Child, faults: Faults) -> Result<Sample> {
    let output = looking.wait_with_output()?;
    ensure!(output.status.success(), "the browser saw nothing");
    let seen: BTreeMap<String, f64> =
        serde_json::from_slice(&output.stdout).context("what the browser saw")?;
    let keys = ARRIVAL.iter().chain(EXPLORING).map(|(_, key)| *key);
    let values = keys.filter_map(|key| Some((key, *seen.get(key)?))).collect();
    // Who else used the machine cannot be told from the browser's many processes.
    Ok(Sample { faults, values, ..Sample::default() })
}
