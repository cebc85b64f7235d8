//! The benchmarks without their clocks: a few clients of every contestant, of which only exactness is judged.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::contestant::{Contestant, Programs};
use crate::crowd::Load;
use crate::fanout::Trial;
use crate::ledger::Faults;
use crate::secure;
use crate::wire::{NARROW, WIDE};

/// Clients that show that nothing is lost.
const CLIENTS: usize = 20;
/// The same, spread over the wide canvas: two at each chunk.
const SPREAD_CLIENTS: usize = 512;
const PLAIN: &[&str] = &[];
/// How long they place.
const TIME: Duration = Duration::from_millis(150);

/// Every contestant has to deliver everything exactly once.
pub(crate) fn run(programs: &Programs) -> Result<()> {
    let all = Contestant::ALL.map(|contestant| (contestant, NARROW, CLIENTS, PLAIN));
    let wide = (Contestant::OursBinary, WIDE, SPREAD_CLIENTS, PLAIN);
    let tls = (Contestant::OursBinary, NARROW, CLIENTS, secure::FLAGS);
    for (contestant, ground, clients, flags) in all.into_iter().chain([wide, tls]) {
        let trial = Trial {
            contestant,
            flags,
            ground,
            clients,
            silent: 0,
            load: Load::Window(clients),
            warm_up: TIME,
            window: TIME,
            settle: true,
        };
        let outcome = trial.run(programs)?;
        ensure!(outcome.faults == Faults::default(), "{}: {:?}", contestant.name(), outcome.faults);
        ensure!(outcome.deliveries_per_second > 0.0, "{} delivered nothing", contestant.name());
        println!(
            "{} on {:?}{}: every placement came to each client once, in order",
            contestant.name(),
            ground.canvas,
            if flags.is_empty() { "" } else { " over TLS" }
        );
    }
    Ok(())
}
