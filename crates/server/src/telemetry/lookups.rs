//! Figures that somebody else keeps: looked up when the metrics are read.

use std::fmt;

use pixel_store::embedded::Figures;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

/// What the store counted, and whether it takes placements.
pub(crate) type StoreLookup = Box<dyn Fn() -> (Figures, bool) + Send + Sync>;

/// The store's figures.
pub(super) struct StoreFigures(pub(super) StoreLookup);

impl fmt::Debug for StoreFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreFigures")
    }
}

impl Collector for StoreFigures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (figures, writable) = (self.0)();
        let mut counter = |name: &str, help: &str, value: u64| {
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            ConstCounter::new(value).encode(metric)
        };
        counter("store_commits", "Synced commits; each carries many submissions", figures.commits)?;
        counter("store_decided_submissions", "Submissions decided, accepted or not", figures.submissions)?;
        counter("store_checkpoints", "Checkpoints finished", figures.checkpoints)?;
        let mut seconds = |name: &str, help: &str, micros: u64| {
            let metric = encoder.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Counter)?;
            ConstCounter::new(micros as f64 / 1e6).encode(metric)
        };
        seconds("store_commit", "Time spent in commits", figures.commit_us)?;
        seconds("store_checkpoint", "Time spent on checkpoints", figures.checkpoint_us)?;
        let mut gauge = |name: &str, help: &str, unit: Option<&Unit>, value: u64| {
            let metric = encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?;
            ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)).encode(metric)
        };
        gauge("store_log", "Log kept on disk", Some(&Unit::Bytes), figures.log_bytes)?;
        gauge("store_chunks", "Painted chunks in memory", None, figures.chunks)?;
        gauge("store_records", "Idempotency records kept", None, figures.records)?;
        gauge("store_replayed_entries", "Log entries replayed at the start", None, figures.replayed_entries)?;
        gauge("store_writable", "1 while the store takes placements, else 0", None, writable.into())
    }
}

/// What the system knows of this process.
#[derive(Debug)]
pub(super) struct ProcessFigures;

impl Collector for ProcessFigures {
    /// Only Linux tells; elsewhere these metrics are not there.
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut gauge = |name: &str, help: &str, unit: Option<&Unit>, value: Option<i64>| match value {
            Some(value) => {
                let metric = encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?;
                ConstGauge::new(value).encode(metric)
            }
            None => Ok(()),
        };
        gauge("process_resident", "Resident memory", Some(&Unit::Bytes), resident_bytes())?;
        gauge("process_open_descriptors", "Open file descriptors", None, open_descriptors())
    }
}

fn resident_bytes() -> Option<i64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: i64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1_024)
}

fn open_descriptors() -> Option<i64> {
    // The one that lists them is open while they are listed.
    let listed = std::fs::read_dir("/proc/self/fd").ok()?.count();
    i64::try_from(listed.saturating_sub(1)).ok()
}
