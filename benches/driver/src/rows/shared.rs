//! The row about placements that several processes write to one Redis.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::clock::now_ns;
use crate::contest::{Entrant, Sample, interleave, ratio};
use crate::contestant::{
    CLIENT_CORE, Contestant, SERVER_CORE, free_address, get, metric, on_core, write_config,
};
use crate::crowd::{Crowd, Load, Plan};
use crate::ledger::Faults;
use crate::machine::Moment;
use crate::report::{Goal, Section, Table};
use crate::resp::{Redis, encode};
use crate::rows::Bench;

const OURS: &str = "ours: a gateway, two apis, Redis";
const BARE: &str = "the same calls from a bare pipelined client";
/// Clients that place; each key of the last ten minutes is kept, and one client may have 10,000 of them.
const WRITERS: usize = 256;
/// Placements under way in all.
const IN_FLIGHT: usize = 1_024;
const WARM_UP: Duration = Duration::from_millis(500);
/// How long the calls are listened to that the bare client repeats.
const LISTENING: Duration = Duration::from_secs(1);
/// Calls that the bare client has under way.
const PIPELINED: usize = 16;
/// In the words of a call: the command, its hash, the number of keys, the key, then what `place.lua` calls `ARGV`.
const FIRST_DECIDING: usize = 4 + 8;
/// Where the idempotency key is in what decides a submission.
const KEY: std::ops::Range<usize> = 41..49;
const ACCEPTED: &str = "pixel_placing_accepted_placements_total";
const CALLS: &str = "pixel_placing_call_seconds_count";
const START_PATIENCE_NS: u64 = 30_000_000_000;

pub(super) fn redis(bench: &Bench) -> Result<Section> {
    // Both halves of a round need the same server, with the script and the canvas in it.
    let bare = std::cell::RefCell::new(None);
    let entrants = [
        Entrant::new(OURS, || {
            let (ours, client) = round(bench)?;
            bare.replace(Some(client));
            Ok(ours)
        }),
        Entrant::new(BARE, || bare.take().context("ours did not get through")),
    ];
    let standings = interleave(bench.rounds, &entrants);
    let columns = [
        ("placements/s", "placements/s"),
        ("calls/s", "calls/s"),
        ("placements per call", "batch"),
        ("p50 ms", "p50"),
        ("p99 ms", "p99"),
        ("Redis' core used", "redis"),
    ];
    let reached = ratio(&standings, OURS, BARE, "placements/s");
    let mut section = Section {
        about: "256 binary clients with 1,024 placements under way place through a gateway and two apis; Redis has `appendonly yes` and \
                `appendfsync everysec`, and core 0 for itself, while all else shares core 1. Then the services are stopped, and one client repeats on \
                the same server the very calls that they had made, read off with MONITOR outside of the measured time: the same script, \
                batches, places and names under new keys, 16 calls pipelined."
            .to_owned(),
        tables: vec![Table::of(&standings, "", &columns).against("against the bare client", &standings, BARE, "placements/s")],
        goals: vec![Goal::at_least("placements/s over two apis and Redis, against a bare pipelined client", 0.7, reached)],
        ..Section::default()
    };
    section.note_rounds(&standings);
    Ok(section)
}

/// A process that is killed when dropped.
struct Process {
    child: Child,
    ops: Option<SocketAddr>,
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself, and then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    fn start(mut command: Command, folder: &Path, name: &str, ops: Option<SocketAddr>) -> Result<Self> {
        let log = File::create(folder.join(format!("{name}.log")))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).current_dir(folder);
        Ok(Self { child: command.spawn().with_context(|| format!("start {name}"))?, ops })
    }

    fn wait_until(&mut self, name: &str, ready: impl Fn() -> bool) -> Result<()> {
        let deadline = now_ns() + START_PATIENCE_NS;
        while !ready() {
            if self.child.try_wait()?.is_some() || now_ns() > deadline {
                bail!("{name} does not answer");
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    fn id(&self) -> u32 {
        self.child.id()
    }
}

/// What ours does over Redis, then what a bare client does with the same calls.
fn round(bench: &Bench) -> Result<(Sample, Sample)> {
    let folder = bench.programs.folder()?;
    let address = free_address()?;
    let mut command = on_core(SERVER_CORE);
    command.args([
        "redis-server",
        "--bind",
        "127.0.0.1",
        "--port",
        &address.port().to_string(),
        "--save",
        "",
    ]);
    command.args(["--appendonly", "yes", "--appendfsync", "everysec", "--dir"]).arg(folder.path());
    let mut server = Process::start(command, folder.path(), "redis", None)?;
    server.wait_until("Redis", || Redis::connect(address).is_ok())?;

    let services = Services::start(bench, folder.path(), address)?;
    let (ours, calls) = services.measure(bench, &server, address)?;
    drop(services);
    let bare = repeat(bench, &server, address, calls)?;
    Ok((ours, bare))
}

struct Services {
    apis: [Process; 2],
    gateway: Process,
    address: SocketAddr,
}

impl Services {
    fn start(bench: &Bench, folder: &Path, redis: SocketAddr) -> Result<Self> {
        let config = write_config(folder)?;
        let store = format!("redis://{redis}/0");
        let service = |target: &str, name: &str, flags: &[&str]| {
            let ops = free_address()?;
            let mut command = on_core(CLIENT_CORE);
            command.arg(&bench.programs.ours).args(["--target", target, "--store", &store]);
            command.args(["--rate-limit", "off", "--ops-listen", &ops.to_string()]).args(flags);
            let mut process = Process::start(command, folder, name, Some(ops))?;
            process.wait_until(name, || get(ops, "/readyz").is_ok())?;
            Ok::<_, anyhow::Error>(process)
        };
        let config = config.to_string_lossy();
        let (one, other, address) = (free_address()?, free_address()?, free_address()?);
        let apis = [
            service("api", "api-1", &["--api-listen", &one.to_string(), "--config", &config])?,
            service("api", "api-2", &["--api-listen", &other.to_string()])?,
        ];
        let urls = format!("http://{one},http://{other}");
        let listen = address.to_string();
        let flags = ["--gateway-listen", &listen, "--api-url", &urls, "--sweep-interval-ms", "0"];
        Ok(Self { apis, gateway: service("gateway", "gateway", &flags)?, address })
    }

    /// Summed over both apis.
    fn metric(&self, name: &str) -> Result<f64> {
        self.apis.iter().filter_map(|api| api.ops).map(|ops| metric(ops, name)).sum()
    }

    /// The figures, and calls to repeat.
    fn measure(
        &self,
        bench: &Bench,
        server: &Process,
        redis: SocketAddr,
    ) -> Result<(Sample, Vec<crate::resp::Command>)> {
        let mut crowd = Crowd::gather(Plan {
            senders: WRITERS,
            stride: 16,
            ..Plan::new(self.address, Contestant::OursBinary.dialect(), WRITERS)
        })?;
        let load = Load::Window(IN_FLIGHT);
        crowd.drive(load, WARM_UP, false)?;
        let processes: Vec<u32> = self.apis.iter().chain([&self.gateway, server]).map(Process::id).collect();
        let now = || Ok::<_, anyhow::Error>((Moment::now(&processes)?, Moment::now(&[server.id()])?));
        let figures = || Ok::<_, anyhow::Error>((self.metric(ACCEPTED)?, self.metric(CALLS)?));
        let ((before, redis_before), counted) = (now()?, figures()?);
        crowd.drive(load, bench.window(4), true)?;
        let ((after, redis_after), counted_after) = (now()?, figures()?);

        let mut monitor = Redis::connect(redis)?;
        monitor.monitor()?;
        crowd.drive(load, LISTENING, false)?;
        let calls = monitor.monitored("EVALSHA", Duration::from_millis(200))?;
        drop(monitor);
        crowd.settle()?;

        let usage = after.since(before);
        let (accepted, made) = (counted_after.0 - counted.0, counted_after.1 - counted.1);
        let values = BTreeMap::from([
            ("placements/s", accepted / usage.seconds),
            ("calls/s", made / usage.seconds),
            ("batch", accepted / made),
            ("p50", crowd.ledger.latency_us.value_at_quantile(0.5) as f64 / 1_000.0),
            ("p99", crowd.ledger.latency_us.value_at_quantile(0.99) as f64 / 1_000.0),
            ("redis", redis_after.since(redis_before).contestant / usage.seconds),
        ]);
        let faults: Faults = crowd.ledger.faults.clone();
        let calls = of_this_size(calls, accepted / made);
        Ok((Sample { foreign: usage.foreign, faults, values }, calls))
    }
}

/// The half of the calls that are nearest to this many submissions.
fn of_this_size(mut calls: Vec<crate::resp::Command>, submissions: f64) -> Vec<crate::resp::Command> {
    calls.retain(|call| call.len() >= FIRST_DECIDING + 2);
    calls.sort_by_key(|call| ((call.len() - FIRST_DECIDING) / 2).abs_diff(submissions as usize));
    calls.truncate(calls.len().div_ceil(2));
    calls
}

/// Makes the same calls again and again, under keys that nobody used.
fn repeat(
    bench: &Bench,
    server: &Process,
    redis: SocketAddr,
    mut calls: Vec<crate::resp::Command>,
) -> Result<Sample> {
    ensure!(!calls.is_empty(), "no call was seen to repeat");
    let mut client = Redis::connect(redis)?;
    let window = bench.window(4).as_nanos() as u64;
    let (mut accepted, mut made, mut next_key) = (0_u64, 0_u64, u64::MAX / 2);
    let mut turn = 0;
    let (before, start) = (Moment::now(&[server.id()])?, now_ns());
    let mut send = |client: &mut Redis| {
        let count = calls.len();
        let call = &mut calls[turn % count];
        turn += 1;
        for deciding in call[FIRST_DECIDING..].iter_mut().step_by(2) {
            next_key += 1;
            deciding
                .get_mut(KEY)
                .context("a submission without a key")?
                .copy_from_slice(&next_key.to_le_bytes());
        }
        client.send(&encode(call))
    };
    for _ in 0..PIPELINED {
        send(&mut client)?;
    }
    while now_ns() - start < window {
        client.receive(&mut |text| accepted += u64::from(is_accepted(text)))?;
        made += 1;
        send(&mut client)?;
    }
    let usage = Moment::now(&[server.id()])?.since(before);
    ensure!(accepted > 0, "nothing of the repeated calls was accepted");
    let values = BTreeMap::from([
        ("placements/s", accepted as f64 / usage.seconds),
        ("calls/s", made as f64 / usage.seconds),
        ("batch", accepted as f64 / made as f64),
        ("redis", usage.contestant / usage.seconds),
    ]);
    Ok(Sample { foreign: usage.foreign, values, ..Sample::default() })
}

/// Whether a submission was accepted: `A`, first sequence and count, epoch, time, cooldown.
fn is_accepted(answer: &[u8]) -> bool {
    answer.first() == Some(&b'A') && answer.len() == 1 + 12 + 8 + 16
}
