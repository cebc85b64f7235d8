//! The machine: what it is, and who used its processors and memory for how much.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::clock::now_ns;

/// Nanoseconds in one of the ticks that /proc/stat counts.
const TICK_NS: u64 = 10_000_000;
/// How the threads of ours are called that write to sockets.
const SWEEPING: &str = "gateway-";

/// Processor time at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    now_ns: u64,
    /// The contestant's, summed over its processes and threads.
    contestant_ns: u64,
    /// That of its threads which write to sockets, in ours.
    sweeping_ns: u64,
    own_ns: u64,
    /// Everybody's, interrupts and stolen time included.
    all_ns: u64,
}

impl Moment {
    /// Now, for a contestant of these processes.
    pub(crate) fn now(processes: &[u32]) -> Result<Self> {
        let used =
            |of: fn(&str) -> bool| processes.iter().map(|process| cpu_ns(*process, of)).sum::<Result<u64>>();
        Ok(Self {
            now_ns: now_ns(),
            contestant_ns: used(|_| true)?,
            sweeping_ns: used(|thread| thread.starts_with(SWEEPING))?,
            own_ns: cpu_ns(std::process::id(), |_| true)?,
            all_ns: all_cpu_ns()?,
        })
    }

    /// What was used since.
    pub(crate) fn since(self, before: Self) -> Usage {
        let seconds = (self.now_ns - before.now_ns) as f64 / 1e9;
        let contestant = (self.contestant_ns - before.contestant_ns) as f64 / 1e9;
        let sweeping = (self.sweeping_ns - before.sweeping_ns) as f64 / 1e9;
        let own = (self.own_ns - before.own_ns) as f64 / 1e9;
        let all = self.all_ns.saturating_sub(before.all_ns) as f64 / 1e9;
        let foreign = (all - contestant - own).max(0.0) / (seconds * cores() as f64);
        Usage { seconds, contestant, sweeping, generator: own, foreign }
    }
}

/// What was used between two moments.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    pub(crate) seconds: f64,
    /// Processor seconds of the contestant.
    pub(crate) contestant: f64,
    /// Of those, the seconds of threads that write to sockets; 0 where they have no name.
    pub(crate) sweeping: f64,
    /// Processor seconds of this process.
    pub(crate) generator: f64,
    /// The share of the whole machine that somebody else used.
    pub(crate) foreign: f64,
}

/// While it lives, this session's processes run only when others do not want to: a browser is a session of its own.
pub(crate) struct GivingWay(());

impl GivingWay {
    /// Where the kernel shares the processors between sessions before it looks at their processes.
    const NICENESS: &str = "/proc/self/autogroup";
    const SWITCH: &str = "/proc/sys/kernel/sched_autogroup_enabled";

    pub(crate) fn begin() -> Result<Self> {
        let shared = fs::read_to_string(Self::SWITCH).unwrap_or_default();
        ensure!(shared.trim() == "1", "give way: {} is not 1", Self::SWITCH);
        fs::write(Self::NICENESS, "19").with_context(|| format!("give way: write {}", Self::NICENESS))?;
        Ok(Self(()))
    }
}

impl Drop for GivingWay {
    fn drop(&mut self) {
        if let Err(error) = fs::write(Self::NICENESS, "0") {
            eprintln!("what follows goes on giving way: {error}");
        }
    }
}

pub(crate) fn cores() -> usize {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let is_core = |line: &&str| line.starts_with("cpu") && !line.starts_with("cpu ");
    stat.lines().filter(is_core).count().max(1)
}

/// The processor time of those of a process' threads that are called so.
fn cpu_ns(process: u32, of: fn(&str) -> bool) -> Result<u64> {
    let mut sum = 0;
    let folder = format!("/proc/{process}/task");
    for task in fs::read_dir(&folder).with_context(|| format!("read {folder}"))? {
        let task = task?.path();
        let said = |file: &str| fs::read_to_string(task.join(file));
        // A thread may end in between.
        let (Ok(name), Ok(text)) = (said("comm"), said("schedstat")) else { continue };
        let running = text.split_whitespace().next().context("schedstat is empty")?;
        if of(&name) {
            sum += running.parse::<u64>()?;
        }
    }
    Ok(sum)
}

fn all_cpu_ns() -> Result<u64> {
    let stat = fs::read_to_string("/proc/stat")?;
    let line = stat.lines().next().context("/proc/stat is empty")?;
    let ticks: Vec<u64> = line.split_whitespace().skip(1).map(str::parse).collect::<Result<_, _>>()?;
    // user nice system idle iowait irq softirq steal; guest time is inside user.
    let busy: u64 =
        ticks.iter().take(8).enumerate().filter(|(index, _)| !matches!(index, 3 | 4)).map(|(_, n)| n).sum();
    Ok(busy * TICK_NS)
}

/// Resident memory in bytes.
pub(crate) fn resident_bytes(process: u32) -> Result<u64> {
    let rollup = fs::read_to_string(format!("/proc/{process}/smaps_rollup"))?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Rss:")).context("no resident size")?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib * 1_024)
}

/// Begins to watch for the most memory that a process has.
pub(crate) fn watch_peak(process: u32) -> Result<()> {
    fs::write(format!("/proc/{process}/clear_refs"), "5").context("reset the peak of a process' memory")
}

/// The most resident memory since then, in bytes.
pub(crate) fn peak_bytes(process: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no peak")?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib * 1_024)
}

/// What the reader of a table wants to know of the machine.
pub(crate) fn facts() -> Vec<(&'static str, String)> {
    let first_line = |path: &str| {
        fs::read_to_string(path).unwrap_or_default().lines().next().unwrap_or_default().to_owned()
    };
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown");
    let meminfo = first_line("/proc/meminfo");
    let kib: u64 = meminfo.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).unwrap_or_default();
    let virtual_machine =
        cpuinfo.lines().any(|line| line.starts_with("flags") && line.contains(" hypervisor"));
    vec![
        (
            "processor",
            format!(
                "{}{}",
                model.trim_start_matches([' ', '\t', ':']),
                if virtual_machine { ", in a virtual machine" } else { "" }
            ),
        ),
        ("cores", cores().to_string()),
        ("memory", format!("{:.1} GiB", kib as f64 / (1 << 20) as f64)),
        ("kernel", format!("Linux {}", first_line("/proc/sys/kernel/osrelease"))),
        ("Node.js", first_words("node")),
        ("Redis", first_words("redis-server")),
        ("congestion control", first_line("/proc/sys/net/ipv4/tcp_congestion_control")),
    ]
}

/// What a program says of its version, without hashes and the like.
fn first_words(program: &str) -> String {
    let output = Command::new(program).arg("--version").output();
    let said = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    said.split_whitespace()
        .find(|word| word.contains('.'))
        .unwrap_or("not here")
        .trim_start_matches("v=")
        .to_owned()
}
