//! What a run must have been like: acknowledgements, streams, copies and limits held against the store's log.

use std::collections::{BTreeMap, BTreeSet};

use loadgen::history::{Acknowledged, History, Others};
use pixel_canvas::{Change, Epoch, Identity, Painted, Rate, Sequence, Timestamp};
use pixel_store::Act;

use super::client::{Asked, Client, Fate};
use super::machine::{Logged, Machine, Promise};
use crate::gateway::session::{Dialect, socket_key};

/// Faults that are told of one run, at most.
const TOLD_MAX: usize = 20;

/// An acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// `None` where the dialect does not tell.
    pub(super) first: Option<Sequence>,
    pub(super) last: Sequence,
    /// When, in microseconds of the run.
    pub(super) us: u64,
    /// The epoch that its client was in.
    pub(super) epoch: Epoch,
}

/// What the log holds of one accepted submission.
struct Kept<'a> {
    act: &'a Act,
    painted: &'a Painted,
    first: Sequence,
    at: Timestamp,
    epoch: Epoch,
    /// It is gone, as it may be.
    lost: bool,
}

impl Kept<'_> {
    fn last(&self) -> Sequence {
        self.first.plus(self.painted.placements.len() as u64 - 1)
    }
}

fn kept<'a>(log: &'a [Logged], lost: bool) -> impl Iterator<Item = Kept<'a>> {
    log.iter().flat_map(move |logged| {
        let painted: &[Painted] = match &logged.entry.change {
            Change::Painted(painted) => painted,
            Change::Reset { .. } => &[],
        };
        let mut first = logged.entry.first;
        painted.iter().zip(&logged.accepted).map(move |(painted, submission)| {
            let kept = Kept {
                act: &submission.act,
                painted,
                first,
                at: logged.entry.at,
                epoch: logged.entry.epoch,
                lost,
            };
            first = first.plus(painted.placements.len() as u64);
            kept
        })
    })
}

/// Everything that was wrong, in words.
pub(super) fn judge(machine: &Machine, clients: &[&Client]) -> Vec<String> {
    let mut wrongs = Vec::new();
    if machine.promise == Promise::Durable && !machine.lost.is_empty() {
        wrongs.push("the model lost what it showed".into());
    }
    let all: Vec<Kept<'_>> = kept(&machine.log, false).chain(kept(&machine.lost, true)).collect();
    dense(machine, &mut wrongs);
    once(&all, &mut wrongs);
    if let Some(rate) = machine.ledger.canvas.cooldown() {
        limited(&all, rate, &mut wrongs);
    }
    let mut history = History::default();
    for client in clients {
        for asked in client.asked.values() {
            answered(client, asked, &all, &mut history, &mut wrongs);
        }
        let faults = client.view.faults;
        if faults.total() > 0 {
            wrongs.push(format!("client {}: its stream is not contiguous: {faults:?}", client.number));
        }
        wrongs.extend(client.wrongs.iter().map(|wrong| format!("client {}: {wrong}", client.number)));
    }
    wrongs.extend(history.check(Others::Some, TOLD_MAX).iter().map(ToString::to_string));
    wrongs.truncate(TOLD_MAX);
    wrongs
}

/// The log has every sequence once.
fn dense(machine: &Machine, wrongs: &mut Vec<String>) {
    let mut reached = Sequence::ZERO;
    for logged in &machine.log {
        if logged.entry.first != reached.next() {
            wrongs.push(format!("the log goes on with {} after {reached}", logged.entry.first));
        }
        reached = logged.entry.last;
    }
}

/// No key of a person is in the log twice.
fn once(all: &[Kept<'_>], wrongs: &mut Vec<String>) {
    let mut keys = BTreeSet::new();
    for kept in all.iter().filter(|kept| !kept.lost) {
        if let Some(key) = kept.painted.key
            && !keys.insert((kept.painted.author.identity, key))
        {
            wrongs.push(format!("{key:?} is in the log twice"));
        }
    }
}

/// Nobody placed more in any time than the cooldown allows.
fn limited(all: &[Kept<'_>], rate: Rate, wrongs: &mut Vec<String>) {
    let mut times: BTreeMap<Identity, Vec<Timestamp>> = BTreeMap::new();
    for kept in all.iter().filter(|kept| !kept.lost) {
        let placed = kept.painted.placements.iter().map(|_| kept.at);
        times.entry(kept.painted.author.identity).or_default().extend(placed);
    }
    for (who, times) in times {
        for (index, from) in times.iter().enumerate() {
            for (count, to) in (1..).zip(&times[index..]) {
                let allowed = rate.burst + to.since(*from) * 1_000 / rate.interval_us;
                if count > allowed {
                    wrongs.push(format!("{who:?} placed {count} from {from:?} to {to:?}: {allowed} may be"));
                    return;
                }
            }
        }
    }
}

/// One submission's answer is what the log says of it.
fn answered(
    client: &Client,
    asked: &Asked,
    all: &[Kept<'_>],
    history: &mut History,
    wrongs: &mut Vec<String>,
) {
    let key = (client.dialect == Dialect::Binary).then(|| socket_key(asked.key));
    let is_its = |kept: &&Kept<'_>| {
        let painted = kept.painted;
        let same_key = match key {
            Some(key) => painted.key == Some(key),
            // A JSON client has none: it is no other client's of the same person.
            None => painted.key.is_none_or(|key| !key.0.starts_with(b"socket")),
        };
        painted.author.identity == client.identity && *kept.act == asked.act && same_key
    };
    let number = client.number;
    match asked.fate {
        Fate::Accepted(answer) => {
            let there = |kept: &&Kept<'_>| {
                kept.last() == answer.last && answer.first.is_none_or(|first| first == kept.first)
            };
            let mut found: Vec<_> = all.iter().filter(is_its).filter(there).collect();
            // Undoing twice is twice the same act: the epoch tells which is meant.
            found.sort_by_key(|kept| kept.epoch != answer.epoch);
            let Some(found) = found.first() else {
                wrongs.push(format!("client {number}: {} is not in the log: {answer:?}", asked.key));
                return;
            };
            if found.epoch != answer.epoch && client.dialect == Dialect::Json {
                // The same act of the same person, twice, in two epochs: which is meant cannot be told.
                return;
            }
            history.push(Acknowledged {
                client: number,
                key: asked.key,
                sent_us: asked.sent_us,
                acknowledged_us: answer.us,
                epoch: found.epoch,
                first: found.first,
                count: found.painted.placements.len() as u32,
            });
        }
        Fate::Refused => {
            if matches!(asked.act, Act::Place(_)) && all.iter().any(|kept| is_its(&kept)) {
                wrongs.push(format!("client {number}: {} was refused and painted", asked.key));
            }
        }
        Fate::Pending => wrongs.push(format!("client {number}: {} was never answered", asked.key)),
        Fate::Unknown => {}
    }
    // Each placement of a run has a colour of its own, so equal acts are one submission.
    if let Act::Place(_) = &asked.act {
        let times = all.iter().filter(is_its).filter(|kept| !kept.lost).count();
        if times > 1 {
            wrongs.push(format!("client {number}: {} was painted {times} times", asked.key));
        }
    }
}
