//! Every metric by name, and how logs are written.

mod ecs;
mod lookups;

use std::io::IsTerminal;
use std::panic;
use std::sync::atomic::AtomicU64;

use pixel_canvas::Timestamp;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use tracing::error;
use tracing_subscriber::EnvFilter;

use self::ecs::Ecs;
pub(crate) use self::lookups::{Counted, CountsLookup, StoreLookup};
use self::lookups::{Counts, LookedUp, ProcessFigures, StoreFigures};

/// Every name begins so.
const PREFIX: &str = "pixel";

/// One label: its name and one of few values known beforehand.
type Label = [(&'static str, &'static str); 1];

/// The process' metrics. Services get the handles they need; the ops port reads them all.
pub(crate) struct Metrics {
    registry: Registry,
    /// What `crate::placing` counts.
    pub(crate) placing: PlacingMetrics,
    /// What the gateway counts.
    pub(crate) gateway: GatewayMetrics,
    /// What `crate::hop` counts.
    pub(crate) hop: HopMetrics,
    /// What the HTTP services count.
    pub(crate) http: HttpMetrics,
    /// What backups by schedule count.
    pub(crate) backups: BackupMetrics,
    /// What is looked up when somebody asks.
    pub(crate) process: ProcessMetrics,
}

/// Placements, from whichever door.
#[derive(Clone, Debug)]
pub(crate) struct PlacingMetrics {
    /// Placements acknowledged.
    pub(crate) accepted: Counter,
    /// Seconds that a call of the store took.
    pub(crate) call_seconds: Histogram,
    refused: Family<Label, Counter>,
}

impl PlacingMetrics {
    /// Counts a submission refused for `reason`.
    pub(crate) fn refused(&self, reason: &'static str) -> u64 {
        self.refused.get_or_create(&[("reason", reason)]).inc()
    }
}

/// Calls to apis of other processes.
#[derive(Clone, Debug)]
pub(crate) struct HopMetrics {
    /// Seconds until an api answered.
    pub(crate) seconds: Histogram,
    /// Calls that another api was asked, since the first did not answer.
    pub(crate) retries: Counter,
    /// Addresses of apis that are known.
    pub(crate) addresses: Gauge,
    /// Of them, those that do not answer.
    pub(crate) silent: Gauge,
}

/// Sockets.
#[derive(Clone, Debug)]
pub(crate) struct GatewayMetrics {
    /// Sockets open now.
    pub(crate) sockets: Gauge,
    /// Sockets opened.
    pub(crate) opened: Counter,
    /// Messages received from sockets.
    pub(crate) received: Counter,
    /// Bytes received from sockets, frames and all.
    pub(crate) received_bytes: Counter,
    /// Bytes written to sockets.
    pub(crate) sent_bytes: Counter,
    /// Writes to sockets.
    pub(crate) writes: Counter,
    /// Writes that found the socket full.
    pub(crate) blocked_writes: Counter,
    /// Sweeps of the fan-out.
    pub(crate) sweeps: Counter,
    /// Seconds from when the log brought a change until it was written to the last socket of a thread.
    pub(crate) fanout_seconds: Histogram,
    /// Connections told to load afresh.
    pub(crate) resyncs: Counter,
    /// Bytes that the shared wire logs hold.
    pub(crate) log_bytes: Gauge,
    closed: Family<Label, Counter>,
    refused_upgrades: Family<Label, Counter>,
}

impl GatewayMetrics {
    /// Counts a socket that was closed for `reason`.
    pub(crate) fn closed(&self, reason: &'static str) -> u64 {
        self.closed.get_or_create(&[("reason", reason)]).inc()
    }

    /// Counts an upgrade refused for `reason`.
    pub(crate) fn refused_upgrade(&self, reason: &'static str) -> u64 {
        self.refused_upgrades.get_or_create(&[("reason", reason)]).inc()
    }
}

/// HTTP requests of the public ports.
#[derive(Clone, Debug)]
pub(crate) struct HttpMetrics {
    requests: Family<[(&'static str, &'static str); 2], Counter>,
    /// Seconds until an answer's head was ready.
    pub(crate) seconds: Histogram,
    /// Bytes of compressed chunks kept.
    pub(crate) chunk_cache_bytes: Gauge,
    chunk_cache: Family<Label, Counter>,
}

impl HttpMetrics {
    /// Counts an answer of `service`.
    pub(crate) fn answered(&self, service: &'static str, status: u16) {
        let class = match status {
            200..=299 | 101 => "ok",
            304 => "not_modified",
            429 => "limited",
            503 => "busy",
            400..=499 => "client_error",
            _ => "server_error",
        };
        self.requests.get_or_create(&[("service", service), ("answer", class)]).inc();
    }

    /// Counts a look into the cache of compressed chunks.
    pub(crate) fn chunk_looked_up(&self, hit: bool) {
        self.chunk_cache.get_or_create(&[("result", if hit { "hit" } else { "miss" })]).inc();
    }
}

/// Backups by schedule.
#[derive(Clone, Debug, Default)]
pub(crate) struct BackupMetrics {
    /// Made.
    pub(crate) made: Counter,
    /// Tried in vain.
    pub(crate) failed: Counter,
    /// When the newest of this process was begun, in Unix seconds.
    pub(crate) newest: Gauge<f64, AtomicU64>,
}

/// The process itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct ProcessMetrics {
    /// 1 while the process takes work; 0 while it starts or drains.
    pub(crate) ready: Gauge,
}

impl Metrics {
    /// Registers every metric. A counter's name gets `_total` when it is read.
    pub(crate) fn new(version: &'static str, started: Timestamp) -> Self {
        let mut root = Registry::with_prefix(PREFIX);
        root.register("build", "The version that runs", Info::new([("version", version)]));

        let placing = PlacingMetrics {
            accepted: Counter::default(),
            call_seconds: Histogram::new(exponential_buckets(0.000_25, 2.0, 16)),
            refused: Family::default(),
        };
        let r = root.sub_registry_with_prefix("placing");
        r.register("accepted_placements", "Placements acknowledged as durable", placing.accepted.clone());
        r.register("refused_submissions", "Submissions refused, by reason", placing.refused.clone());
        let help = "Time of one call to the store, which may carry many submissions";
        r.register_with_unit("call", help, Unit::Seconds, placing.call_seconds.clone());

        let hop = HopMetrics {
            seconds: Histogram::new(exponential_buckets(0.000_25, 2.0, 16)),
            retries: Counter::default(),
            addresses: Gauge::default(),
            silent: Gauge::default(),
        };
        let r = root.sub_registry_with_prefix("hop");
        let help = "Time until an api of another process answered a call";
        r.register_with_unit("call", help, Unit::Seconds, hop.seconds.clone());
        r.register("retried_calls", "Calls that another api was asked again", hop.retries.clone());
        r.register("api_addresses", "Addresses of other processes' apis", hop.addresses.clone());
        r.register("silent_apis", "Addresses whose api does not answer", hop.silent.clone());

        let gateway = GatewayMetrics {
            sockets: Gauge::default(),
            opened: Counter::default(),
            received: Counter::default(),
            received_bytes: Counter::default(),
            sent_bytes: Counter::default(),
            writes: Counter::default(),
            blocked_writes: Counter::default(),
            sweeps: Counter::default(),
            fanout_seconds: Histogram::new(exponential_buckets(0.000_25, 2.0, 14)),
            resyncs: Counter::default(),
            log_bytes: Gauge::default(),
            closed: Family::default(),
            refused_upgrades: Family::default(),
        };
        let r = root.sub_registry_with_prefix("gateway");
        r.register("sockets", "WebSockets open now", gateway.sockets.clone());
        r.register("opened_sockets", "WebSockets opened", gateway.opened.clone());
        r.register("closed_sockets", "WebSockets closed, by reason", gateway.closed.clone());
        r.register("refused_upgrades", "Upgrades refused, by reason", gateway.refused_upgrades.clone());
        r.register("received_messages", "Messages received from sockets", gateway.received.clone());
        r.register_with_unit(
            "received",
            "Received from sockets",
            Unit::Bytes,
            gateway.received_bytes.clone(),
        );
        r.register_with_unit("sent", "Written to sockets", Unit::Bytes, gateway.sent_bytes.clone());
        r.register("writes", "Writes to sockets", gateway.writes.clone());
        r.register("blocked_writes", "Writes that found the socket full", gateway.blocked_writes.clone());
        r.register("sweeps", "Sweeps of the fan-out over the sockets", gateway.sweeps.clone());
        let help = "Time from when the log brought a change until it was written to the last socket";
        r.register_with_unit("fanout", help, Unit::Seconds, gateway.fanout_seconds.clone());
        r.register("resyncs", "Times a connection was told to load afresh", gateway.resyncs.clone());
        r.register_with_unit("log", "Held by the shared wire logs", Unit::Bytes, gateway.log_bytes.clone());

        let http = HttpMetrics {
            requests: Family::default(),
            seconds: Histogram::new(exponential_buckets(0.000_25, 2.0, 16)),
            chunk_cache_bytes: Gauge::default(),
            chunk_cache: Family::default(),
        };
        let r = root.sub_registry_with_prefix("http");
        r.register(
            "requests",
            "HTTP requests answered, by service and kind of answer",
            http.requests.clone(),
        );
        r.register_with_unit("request", "Time until an answer began", Unit::Seconds, http.seconds.clone());
        r.register_with_unit(
            "chunk_cache",
            "Compressed chunks kept",
            Unit::Bytes,
            http.chunk_cache_bytes.clone(),
        );
        r.register("chunk_cache_lookups", "Looks into that cache, by result", http.chunk_cache.clone());

        let backups = BackupMetrics::default();
        let r = root.sub_registry_with_prefix("backup");
        r.register("made", "Backups made by schedule", backups.made.clone());
        r.register("failed", "Backups by schedule that failed", backups.failed.clone());
        let help = "When the newest backup of this process was begun, in Unix time; 0 before the first";
        r.register_with_unit("newest_time", help, Unit::Seconds, backups.newest.clone());

        let process = ProcessMetrics::default();
        root.register("ready", "1 while the process takes work, 0 while it drains", process.ready.clone());
        let begun = Gauge::<f64, AtomicU64>::default();
        begun.set(started.0 as f64 / 1_000.0);
        let help = "When the process started, in Unix time";
        root.register_with_unit("process_start_time", help, Unit::Seconds, begun);
        root.register_collector(Box::new(ProcessFigures));

        Self { registry: root, placing, gateway, hop, http, backups, process }
    }

    /// Adds what the store counted, looked up when it is asked for.
    pub(crate) fn watch_counts(&mut self, lookup: CountsLookup) {
        self.registry.register_collector(Box::new(Counts(lookup)));
    }

    /// Adds what can be done with the store, looked up when it is asked for.
    pub(crate) fn watch_store(&mut self, lookup: StoreLookup) {
        self.registry.register_collector(Box::new(StoreFigures(lookup)));
    }

    /// Adds how many sockets the address has that has most.
    pub(crate) fn watch_addresses(&mut self, most: impl Fn() -> u32 + Send + Sync + 'static) {
        self.registry.register_collector(Box::new(LookedUp {
            name: "gateway_busiest_address_sockets",
            help: "WebSockets open now of the address that has most",
            unit: None,
            value: Box::new(move || most().into()),
        }));
    }

    /// Adds when the certificate of the public ports expires, in Unix time.
    pub(crate) fn watch_certificate(&mut self, expires_seconds: impl Fn() -> i64 + Send + Sync + 'static) {
        self.registry.register_collector(Box::new(LookedUp {
            name: "tls_certificate_expiry",
            help: "When the certificate of the public ports expires, in Unix time",
            unit: Some(Unit::Seconds),
            value: Box::new(expires_seconds),
        }));
    }

    /// All of them in OpenMetrics text.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("a String takes everything written to it");
        text
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// For people.
    Text,
    /// For programs; everything that the process says is a line of JSON then, its greeting too.
    Json,
}

/// Starts logging to standard error.
///
/// `filter` is in the words of `tracing`: `info`, `warn`, `info,pixel_store=debug`. `services` are those
/// of this process.
pub(crate) fn start_logging(filter: EnvFilter, format: LogFormat, services: Vec<&'static str>) {
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let text = match format {
        LogFormat::Auto => std::io::stderr().is_terminal(),
        LogFormat::Text => true,
        LogFormat::Json => false,
    };
    if text {
        return builder.with_target(false).with_ansi(std::io::stderr().is_terminal()).compact().init();
    }
    builder.event_format(Ecs::new(services)).init();
    panic::set_hook(Box::new(|panic| {
        let said = panic.payload_as_str().unwrap_or_default();
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        error!(error.type = "panic", error.message = said, "a thread panicked at {place}");
    }));
}

#[cfg(test)]
mod tests {
    use pixel_store::{embedded, redis};

    use super::*;

    #[test]
    fn every_metric_has_help_and_a_prefix() {
        let mut metrics = Metrics::new("0.0.0", Timestamp(1_500));
        metrics.watch_counts(Box::new(|| Some(Counted::Folder(embedded::Figures::default()))));
        metrics.watch_store(Box::new(|| Some(pixel_store::Condition::Writable)));
        metrics.placing.refused("cooldown");
        metrics.http.answered("api", 200);
        let text = metrics.text();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            assert!(line.starts_with("pixel_"), "{line}");
        }
        for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
            let name = line.split(' ').next().expect("a name");
            assert!(text.contains(&format!("# HELP {name} ")), "{name} has no help");
        }
        assert!(text.contains("pixel_placing_refused_submissions_total{reason=\"cooldown\"} 1"), "{text}");
        assert!(
            text.contains("pixel_store_writable 1\n")
                && text.contains("pixel_process_start_time_seconds 1.5")
        );
        assert!(text.ends_with("# EOF\n"));
    }

    /// Every metric that a process can have, at least once.
    fn all_of_them() -> String {
        let mut metrics = Metrics::new("0.0.0", Timestamp(0));
        metrics.watch_counts(Box::new(|| Some(Counted::Folder(embedded::Figures::default()))));
        let figures = redis::Figures { lost_placements: 0, replicas: Some(2) };
        metrics.watch_counts(Box::new(move || Some(Counted::Redis(figures))));
        metrics.watch_store(Box::new(|| Some(pixel_store::Condition::Writable)));
        metrics.watch_addresses(|| 0);
        metrics.watch_certificate(|| 0);
        metrics.placing.refused("cooldown");
        metrics.gateway.closed("client");
        metrics.gateway.refused_upgrade("origin");
        metrics.http.answered("api", 200);
        metrics.http.chunk_looked_up(true);
        metrics.text()
    }

    #[test]
    fn the_handbook_names_every_metric() {
        let handbook = include_str!("../../../docs/operations.md");
        for line in all_of_them().lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
            let (name, kind) = line.split_once(' ').expect("a name and a kind");
            let end = match kind {
                "counter" => "_total",
                "info" => "_info",
                _ => "",
            };
            assert!(
                handbook.contains(&format!("| `{name}{end}` |")),
                "docs/operations.md does not tell of {name}{end}"
            );
        }
    }

    #[test]
    fn rules_and_dashboard_name_only_metrics_that_there_are() {
        let exported = all_of_them();
        let samples: Vec<&str> = exported
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.split(['{', ' ']).next())
            .collect();
        let rules = include_str!("../../../deploy/helm/pixel-playground/files/rules.yaml");
        let recorded: Vec<&str> =
            rules.lines().filter_map(|line| line.trim().strip_prefix("- record: ")).collect();
        let dashboard = include_str!("../../../deploy/helm/pixel-playground/files/dashboard.json");
        for text in [rules, dashboard] {
            let names = text.split(|c: char| !(c.is_ascii_alphanumeric() || "_:".contains(c)));
            let ours: Vec<&str> = names.filter(|name| name.contains("pixel_")).collect();
            assert!(ours.len() > 20, "{ours:?}");
            for name in ours {
                assert!(samples.contains(&name) || recorded.contains(&name), "nobody exports {name}");
            }
        }
    }

    #[test]
    fn every_alert_has_a_runbook_in_the_handbook() {
        let rules = include_str!("../../../deploy/helm/pixel-playground/files/rules.yaml");
        let handbook = include_str!("../../../docs/operations.md");
        let after = |prefix| rules.lines().filter_map(move |line| line.trim().strip_prefix(prefix));
        let alerts: Vec<&str> = after("- alert: ").collect();
        let runbooks: Vec<&str> = after("runbook_url: docs/operations.md#").collect();
        assert!(alerts.len() > 10);
        assert_eq!(runbooks, alerts.iter().map(|alert| alert.to_lowercase()).collect::<Vec<_>>());
        for alert in alerts {
            assert!(
                handbook.contains(&format!("\n### {alert}\n")),
                "docs/operations.md does not tell of {alert}"
            );
        }
    }
}
