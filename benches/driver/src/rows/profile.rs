//! The row that looks where the processor time goes: how much of it is the kernel's send.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::contest::{Entrant, Sample, interleave};
use crate::contestant::{Contestant, FRAME_BYTES, Running};
use crate::crowd::{Crowd, Load, Plan};
use crate::fanout::{QUIET, SENDERS};
use crate::machine::Moment;
use crate::report::{Section, Table};
use crate::rows::Bench;

const CLIENTS: usize = 1_000;
/// Looks a second.
const FREQUENCY: &str = "997";
/// The kernel's functions that every write to a socket is inside of, by whichever call it came.
const SENDS: [&str; 4] = ["do_writev", "__sys_sendto", "__sys_sendmsg", "ksys_write"];
/// Those that wait for the disk.
const SYNCS: [&str; 2] = ["do_fsync", "__x64_sys_fdatasync"];

pub(super) fn profile(bench: &Bench) -> Result<Section> {
    if !answers() {
        let note = "perf is not here, so nothing was looked at.".to_owned();
        return Ok(Section { notes: vec![note], ..Section::default() });
    }
    let contestants =
        [Contestant::Floor { bytes: FRAME_BYTES }, Contestant::OursJson, Contestant::OursBinary];
    let loads = [(Load::Paced(50.0), "50 px/s"), (Load::Window(64), "64 in flight")];
    let entrants: Vec<_> = loads
        .iter()
        .flat_map(|load| contestants.map(|contestant| (contestant, *load)))
        .map(|(contestant, (load, name))| {
            Entrant::new(format!("{}, {name}", contestant.name()), move || look(bench, contestant, load))
        })
        .collect();
    let standings = interleave(bench.rounds, &entrants);
    let columns = [
        ("in the kernel, %", "kernel"),
        ("sending, %", "send"),
        ("syncing the disk, %", "sync"),
        ("in the server's own code, %", "own"),
    ];
    let mut section = Section {
        about: "Where the server's processor time goes at 1,000 clients, by `perf record`: shares of all its samples. Sending is \
                everything inside of `send`, `sendmsg` and `writev`: on a loopback that includes most of the receiver's side of TCP. Ours \
                never waits between sweeps in the second load."
            .to_owned(),
        tables: vec![Table::of(&standings, "", &columns)],
        ..Section::default()
    };
    section.note_rounds(&standings);
    Ok(section)
}

fn look(bench: &Bench, contestant: Contestant, load: Load) -> Result<Sample> {
    let unpaced = contestant.is_ours() && matches!(load, Load::Window(_));
    let flags: &[&str] = if unpaced { &["--sweep-interval-ms", "0"] } else { &[] };
    let server = Running::start(&bench.programs, contestant, flags)?;
    let mut crowd = Crowd::gather(Plan {
        senders: SENDERS,
        stride: 16,
        ..Plan::new(server.address, contestant.dialect(), CLIENTS)
    })?;
    crowd.idle(QUIET)?;
    crowd.drive(load, Duration::from_millis(500), false)?;
    let folder = bench.programs.folder()?;
    let data = folder.path().join("perf.data");
    let window = bench.window(4);
    let mut perf = Command::new("perf")
        .args(["record", "-q", "-g", "-F", FREQUENCY, "-p", &server.process().to_string(), "-o"])
        .arg(&data)
        .args(["--", "sleep", &window.as_secs().to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("start perf")?;
    let processes = [server.process(), perf.id()];
    let before = Moment::now(&processes)?;
    crowd.drive(load, window, false)?;
    let usage = Moment::now(&processes)?.since(before);
    while perf.try_wait()?.is_none() {
        crowd.drive(load, Duration::from_millis(50), false)?;
    }
    crowd.settle()?;
    let report = Command::new("perf")
        .args(["report", "--stdio", "--children", "-g", "none", "-F", "overhead_children,overhead,sym", "-i"])
        .arg(&data)
        .stdin(Stdio::null())
        .output()
        .context("ask perf")?;
    ensure!(report.status.success(), "perf report: {}", String::from_utf8_lossy(&report.stderr));
    let shares = Shares::read(&String::from_utf8_lossy(&report.stdout));
    let values =
        [("kernel", shares.kernel), ("send", shares.send), ("sync", shares.sync), ("own", shares.own)];
    let faults = crowd.ledger.faults.clone();
    Ok(Sample { foreign: usage.foreign, faults, values: values.into() })
}

fn answers() -> bool {
    Command::new("perf").arg("--version").output().is_ok_and(|output| output.status.success())
}

/// Shares of all samples, in percent.
#[derive(Debug, Default, PartialEq)]
struct Shares {
    kernel: f64,
    send: f64,
    sync: f64,
    own: f64,
}

impl Shares {
    /// Lines like `79.56%  0.12%  [k] do_writev`: with and without what it calls.
    fn read(report: &str) -> Self {
        let mut shares = Self::default();
        for line in report.lines() {
            let mut words = line.split_whitespace();
            let mut percent = || words.next()?.strip_suffix('%')?.parse::<f64>().ok();
            let (Some(with_children), Some(own)) = (percent(), percent()) else { continue };
            let (Some(place), Some(symbol)) = (words.next(), words.next()) else { continue };
            if place == "[k]" {
                shares.kernel += own;
            } else {
                shares.own += own;
            }
            if SENDS.contains(&symbol) {
                shares.send += with_children;
            }
            if SYNCS.contains(&symbol) {
                // One is inside of the other.
                shares.sync = shares.sync.max(with_children);
            }
        }
        shares
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_of_perf_is_summed_up() {
        let report = "# Children      Self  Symbol\n    87.18%     0.50%  [k] do_syscall_64   -  -\n    79.50%     0.25%  [k] do_writev\n\
                      \n     3.25%     3.25%  [.] pixel_playground::gateway::sweep::Sweeper::run\n";
        assert_eq!(Shares::read(report), Shares { kernel: 0.75, send: 79.5, sync: 0.0, own: 3.25 });
    }
}
