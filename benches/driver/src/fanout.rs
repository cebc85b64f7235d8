//! One measured fan-out: a contestant, a crowd and a load.

use std::time::Duration;

use anyhow::Result;
use hdrhistogram::Histogram;

use crate::contest::Sample;
use crate::contestant::{Contestant, Programs, Running};
use crate::crowd::{Crowd, Load, Plan};
use crate::ledger::Faults;
use crate::machine::{Moment, Usage};
use crate::secure;
use crate::wire::Ground;

/// Clients that place, in every fan-out; one at each chunk, where there are more chunks.
pub(crate) const SENDERS: usize = 64;
/// After everybody is there, news of who came is let pass.
pub(crate) const QUIET: Duration = Duration::from_millis(1_300);

/// What is measured.
#[derive(Clone, Debug)]
pub(crate) struct Trial {
    pub(crate) contestant: Contestant,
    pub(crate) flags: &'static [&'static str],
    pub(crate) ground: Ground,
    pub(crate) clients: usize,
    pub(crate) silent: usize,
    pub(crate) load: Load,
    pub(crate) warm_up: Duration,
    pub(crate) window: Duration,
    /// Whether what is under way at the end is waited for.
    pub(crate) settle: bool,
}

/// What came of it.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) usage: Usage,
    /// Placements that every reader got, a second.
    pub(crate) pixels_per_second: f64,
    pub(crate) deliveries_per_second: f64,
    /// The contestant's processor time for each placement that reached a client.
    pub(crate) cpu_us_per_delivery: f64,
    /// The same for each write to a socket; where a contestant does not count them, a delivery is one.
    pub(crate) cpu_us_per_write: f64,
    /// The same of the threads that write alone; of a contestant that has no others, all.
    pub(crate) sweeping_us_per_write: f64,
    pub(crate) writes_per_client_second: f64,
    /// Writes that found a socket full.
    pub(crate) blocked_writes: f64,
    /// From the send to each receiver's read.
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    /// From the send to the last receiver's read.
    pub(crate) last_p50_ms: f64,
    pub(crate) last_p99_ms: f64,
    pub(crate) faults: Faults,
}

impl Outcome {
    /// What a table can show of it.
    pub(crate) fn sample(&self) -> Sample {
        let values = [
            ("px/s", self.pixels_per_second),
            ("deliveries/s", self.deliveries_per_second),
            ("µs/delivery", self.cpu_us_per_delivery),
            ("µs/write", self.cpu_us_per_write),
            ("sweeping µs/write", self.sweeping_us_per_write),
            ("writes/s", self.writes_per_client_second),
            ("blocked", self.blocked_writes),
            ("p50", self.p50_ms),
            ("p99", self.p99_ms),
            ("last p50", self.last_p50_ms),
            ("last p99", self.last_p99_ms),
            ("cores", self.usage.contestant / self.usage.seconds),
            ("generator cores", self.usage.generator / self.usage.seconds),
        ];
        Sample { foreign: self.usage.foreign, faults: self.faults.clone(), values: values.into() }
    }
}

impl Trial {
    /// Starts the contestant, brings the crowd together, and measures.
    pub(crate) fn run(&self, programs: &Programs) -> Result<Outcome> {
        let server = Running::start(programs, self.contestant, self.flags)?;
        let outcome = self.measure(&server);
        if outcome.is_err() {
            eprintln!("\n{} said:\n{}", self.contestant.name(), server.log());
        }
        outcome
    }

    fn measure(&self, server: &Running) -> Result<Outcome> {
        let senders = SENDERS.max(self.ground.chunks().count()).min(self.clients);
        let stride = match self.load {
            Load::Paced(_) => 1,
            // At millions a second, taking every latency would be what is measured.
            Load::Window(_) if self.contestant == Contestant::OursBinary => 16,
            Load::Window(_) => 2,
        };
        let mut crowd = Crowd::gather(Plan {
            tls: self.flags == secure::FLAGS,
            ground: self.ground,
            senders,
            silent: self.silent,
            stride,
            ..Plan::new(server.address, self.contestant.dialect(), self.clients)
        })?;
        crowd.idle(QUIET)?;
        crowd.drive(self.load, self.warm_up, false)?;
        let processes = [server.process()];
        let writes = server.metric("pixel_gateway_writes_total")?;
        let (before, deliveries) = (Moment::now(&processes)?, crowd.ledger.deliveries);
        crowd.drive(self.load, self.window, true)?;
        let (after, deliveries) = (Moment::now(&processes)?, crowd.ledger.deliveries - deliveries);
        let writes = match (writes, server.metric("pixel_gateway_writes_total")?) {
            (Some(before), Some(after)) => after - before,
            _ => deliveries as f64,
        };
        if self.settle {
            crowd.settle()?;
        }
        let usage = after.since(before);
        let readers = (self.clients - self.silent) as f64;
        let deliveries = deliveries as f64;
        let last = crowd.ledger.last_latency_us()?;
        let latency = &crowd.ledger.latency_us;
        let ms = |of: &Histogram<u64>, quantile: f64| {
            if of.is_empty() { f64::NAN } else { of.value_at_quantile(quantile) as f64 / 1_000.0 }
        };
        Ok(Outcome {
            usage,
            pixels_per_second: deliveries / readers / usage.seconds,
            deliveries_per_second: deliveries / usage.seconds,
            cpu_us_per_delivery: usage.contestant * 1e6 / deliveries,
            cpu_us_per_write: usage.contestant * 1e6 / writes,
            sweeping_us_per_write: if usage.sweeping > 0.0 { usage.sweeping } else { usage.contestant } * 1e6
                / writes,
            writes_per_client_second: writes / self.clients as f64 / usage.seconds,
            blocked_writes: server.metric("pixel_gateway_blocked_writes_total")?.unwrap_or_default(),
            p50_ms: ms(latency, 0.5),
            p99_ms: ms(latency, 0.99),
            last_p50_ms: ms(&last, 0.5),
            last_p99_ms: ms(&last, 0.99),
            faults: crowd.ledger.faults.clone(),
        })
    }
}
