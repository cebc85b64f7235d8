//! The rows of the benchmarks, in the order of the document.

mod connections;
mod curves;
mod durable;
mod fanout;
mod first_load;
mod page;
mod profile;
mod shared;
mod stampede;

use std::time::Duration;

use anyhow::Result;

use crate::contestant::Programs;
use crate::machine;
use crate::report::Section;

/// What all rows are run with.
#[derive(Clone, Debug)]
pub(crate) struct Bench {
    pub(crate) programs: Programs,
    pub(crate) rounds: usize,
    /// Short windows, to see that it works.
    pub(crate) quick: bool,
}

impl Bench {
    /// So many seconds of measuring, or fewer when it is to be quick.
    pub(crate) fn window(&self, seconds: u64) -> Duration {
        Duration::from_secs(if self.quick { 1 } else { seconds })
    }
}

/// One row.
#[derive(Clone, Copy)]
pub(crate) struct Row {
    /// What `--only` calls it.
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) run: fn(&Bench) -> Result<Section>,
}

impl Row {
    pub(crate) fn run(&self, bench: &Bench) -> Result<Section> {
        let machine = machine::facts().into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        let mut found = (self.run)(bench)?;
        // Of what was not measured nothing is said, and JSON has no word for it.
        found.claims.retain(|_, ratio| ratio.is_finite());
        let command = format!("cargo xtask bench --only {} --rounds {}", self.name, bench.rounds);
        Ok(Section { name: self.name.to_owned(), title: self.title.to_owned(), command, machine, ..found })
    }
}

/// Every row.
pub(crate) const ALL: &[Row] = &[
    Row { name: "saturated-1000", title: "1,000 clients, as fast as it goes", run: fanout::saturated_1000 },
    Row {
        name: "saturated-10000",
        title: "10,000 clients, as fast as it goes",
        run: fanout::saturated_10000,
    },
    Row { name: "calm", title: "1,000 clients, 50 pixels a second", run: fanout::calm },
    Row {
        name: "pacing",
        title: "1,000 clients, 1,000 pixels a second, with pacing and without",
        run: fanout::pacing,
    },
    Row { name: "silent", title: "Clients that never read among those that do", run: fanout::silent },
    Row { name: "full-house", title: "19,000 clients in one process", run: fanout::full_house },
    Row { name: "interest", title: "10,000 clients that view different chunks", run: fanout::interest },
    Row { name: "tls", title: "TLS at the gateway", run: fanout::tls },
    Row { name: "connects", title: "Connections a second", run: connections::connects },
    Row { name: "memory", title: "Memory of an idle connection", run: connections::memory },
    Row { name: "stampede", title: "10,000 come at once", run: stampede::stampede },
    Row { name: "first-load", title: "Bytes of a small canvas", run: first_load::first_load },
    Row { name: "durable", title: "Placements a second to the disk", run: durable::durable },
    Row { name: "redis", title: "Placements a second over two apis and Redis", run: shared::redis },
    Row { name: "cost", title: "What a delivery costs as clients become more", run: curves::cost },
    Row { name: "latency", title: "How long it takes as load grows", run: curves::latency },
    Row { name: "page", title: "How the page arrives", run: page::arrival },
    Row { name: "exploring", title: "Exploring a large canvas while a crowd paints", run: page::exploring },
    Row { name: "profile", title: "Where the time goes", run: profile::profile },
];
