//! Figures that somebody else keeps: looked up when the metrics are read.

use std::fmt;

use pixel_store::{Condition, embedded, redis};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

/// What a store counted.
pub(crate) enum Counted {
    Folder(embedded::Figures),
    Redis(redis::Figures),
}

/// What the store counted; `None` where there is none yet.
pub(crate) type CountsLookup = Box<dyn Fn() -> Option<Counted> + Send + Sync>;
/// How the store is; `None` where there is none yet.
pub(crate) type StoreLookup = Box<dyn Fn() -> Option<Condition> + Send + Sync>;

/// One figure that somebody else keeps.
pub(super) struct LookedUp {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) unit: Option<Unit>,
    pub(super) value: Box<dyn Fn() -> i64 + Send + Sync>,
}

/// What the store counted.
pub(super) struct Counts(pub(super) CountsLookup);

/// What can be done with the store.
pub(super) struct StoreFigures(pub(super) StoreLookup);

impl fmt::Debug for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Counts")
    }
}

impl fmt::Debug for StoreFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreFigures")
    }
}

impl fmt::Debug for LookedUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl Collector for LookedUp {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let metric =
            encoder.encode_descriptor(self.name, self.help, self.unit.as_ref(), MetricType::Gauge)?;
        ConstGauge::new((self.value)()).encode(metric)
    }
}

impl Collector for StoreFigures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(condition) = (self.0)() else { return Ok(()) };
        let mut holds =
            |name: &str, help: &str, holds: bool| gauge(&mut encoder, name, help, None, holds.into());
        let readable = !matches!(condition, Condition::Away(..));
        holds("store_readable", "1 while the store can be read, else 0", readable)?;
        holds(
            "store_writable",
            "1 while the store takes placements, as far as this process writes, else 0",
            condition == Condition::Writable,
        )
    }
}

impl Collector for Counts {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        match (self.0)() {
            Some(Counted::Folder(figures)) => encode_folder(&mut encoder, &figures),
            Some(Counted::Redis(figures)) => encode_redis(&mut encoder, figures),
            None => Ok(()),
        }
    }
}

fn encode_folder(encoder: &mut DescriptorEncoder<'_>, figures: &embedded::Figures) -> fmt::Result {
    counter(encoder, "store_commits", "Synced commits; each carries many submissions", figures.commits)?;
    let help = "Submissions decided, accepted or not";
    counter(encoder, "store_decided_submissions", help, figures.submissions)?;
    counter(encoder, "store_checkpoints", "Checkpoints finished", figures.checkpoints)?;
    let mut seconds = |name: &str, help: &str, micros: u64| {
        let metric = encoder.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Counter)?;
        ConstCounter::new(micros as f64 / 1e6).encode(metric)
    };
    seconds("store_commit", "Time spent in commits", figures.commit_us)?;
    seconds("store_checkpoint", "Time spent on checkpoints", figures.checkpoint_us)?;
    gauge(encoder, "store_log", "Log kept on disk", Some(&Unit::Bytes), figures.log_bytes)?;
    gauge(encoder, "store_chunks", "Painted chunks in memory", None, figures.chunks)?;
    gauge(encoder, "store_records", "Idempotency records kept", None, figures.records)?;
    let help = "Log entries replayed at the start";
    gauge(encoder, "store_replayed_entries", help, None, figures.replayed_entries)
}

fn encode_redis(encoder: &mut DescriptorEncoder<'_>, figures: redis::Figures) -> fmt::Result {
    let help = "Placements that this process acknowledged and that the store lost since";
    counter(encoder, "store_lost_placements", help, figures.lost_placements)?;
    match figures.replicas {
        Some(replicas) => {
            let help = "Replicas of the store that could be promoted";
            gauge(encoder, "store_promotable_replicas", help, None, replicas.into())
        }
        None => Ok(()),
    }
}

fn counter(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    let metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    ConstCounter::new(value).encode(metric)
}

fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    value: u64,
) -> fmt::Result {
    let metric = encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?;
    ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)).encode(metric)
}

/// What the system knows of this process.
#[derive(Debug)]
pub(super) struct ProcessFigures;

impl Collector for ProcessFigures {
    /// Only Linux tells; elsewhere these metrics are not there.
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        if let Some(bytes) = resident_bytes() {
            gauge(&mut encoder, "process_resident", "Resident memory", Some(&Unit::Bytes), bytes)?;
        }
        if let Some(seconds) = processor_seconds() {
            let help = "Processor time used, by all threads";
            let metric =
                encoder.encode_descriptor("process_cpu", help, Some(&Unit::Seconds), MetricType::Counter)?;
            ConstCounter::new(seconds).encode(metric)?;
        }
        if let Some(count) = open_descriptors() {
            gauge(&mut encoder, "process_open_descriptors", "Open file descriptors", None, count)?;
        }
        if let Some(most) = descriptors_max() {
            gauge(&mut encoder, "process_descriptors_max", "File descriptors that may be open", None, most)?;
        }
        Ok(())
    }
}

fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1_024)
}

/// Clock ticks a second, as Linux tells times to programs, whatever it counts in itself.
const USER_HZ: f64 = 100.0;

fn processor_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The program's name, in parentheses, may hold anything; fields 14 and 15 are user and system time.
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut times = after_name.split_whitespace().skip(11).map(str::parse::<u64>);
    let (user, system) = (times.next()?.ok()?, times.next()?.ok()?);
    Some((user + system) as f64 / USER_HZ)
}

fn open_descriptors() -> Option<u64> {
    // The one that lists them is open while they are listed.
    let listed = std::fs::read_dir("/proc/self/fd").ok()?.count();
    u64::try_from(listed.saturating_sub(1)).ok()
}

/// The soft limit; `None` where there is none.
fn descriptors_max() -> Option<u64> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}
