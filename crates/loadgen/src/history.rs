//! The checker: did what many clients saw have one order, the same for all?
//!
//! It knows nothing of sockets: tests that kill servers feed it with their own observations.

use std::collections::BTreeMap;
use std::fmt;

use pixel_canvas::{Epoch, Sequence};

/// One acknowledgement as its client saw it. Times are microseconds on one clock for all clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    /// Which client.
    pub client: u32,
    /// The client's key for the submission.
    pub key: u64,
    /// When it was sent first.
    pub sent_us: u64,
    /// When the answer was read.
    pub acknowledged_us: u64,
    /// The epoch it was accepted in.
    pub epoch: Epoch,
    /// The sequence of its first placement.
    pub first: Sequence,
    /// How many placements.
    pub count: u32,
}

impl Acknowledged {
    fn last(&self) -> Sequence {
        self.first.plus(u64::from(self.count).saturating_sub(1))
    }
}

/// What broke a promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Breach {
    /// One submission was answered twice, differently.
    Changed(Acknowledged, Acknowledged),
    /// Two submissions have a sequence in common.
    Shared(Acknowledged, Acknowledged),
    /// Nobody was told of these sequences, though everybody who placed is among the clients.
    Hole(Sequence, Sequence),
    /// The second was sent after the first was acknowledged, and has the lower sequence.
    OutOfOrder(Acknowledged, Acknowledged),
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed(a, b) => {
                write!(f, "client {} was told {} for its key {}, then {}", a.client, a.first, a.key, b.first)
            }
            Self::Shared(a, b) => write!(
                f,
                "clients {} and {} both have a sequence in {}..={} and {}..={}",
                a.client,
                b.client,
                a.first,
                a.last(),
                b.first,
                b.last()
            ),
            Self::Hole(from, to) => write!(f, "sequences {from}..={to} belong to nobody"),
            Self::OutOfOrder(a, b) => write!(
                f,
                "client {} got sequence {} for what it sent after client {}'s {} was acknowledged",
                b.client, b.first, a.client, a.first
            ),
        }
    }
}

/// Everything that was acknowledged in one run.
#[derive(Clone, Debug, Default)]
pub struct History {
    acknowledged: Vec<Acknowledged>,
}

/// Whether sequences may belong to others: people who paint too, or answers that never came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Others {
    /// Every accepted placement of this span, after the first and up to the second, is here.
    None(Sequence, Sequence),
    /// There may be more.
    Some,
}

impl History {
    /// Notes an acknowledgement.
    pub fn push(&mut self, acknowledged: Acknowledged) {
        self.acknowledged.push(acknowledged);
    }

    /// Everything that breaks a promise, at most `limit` of it.
    #[must_use]
    pub fn check(&self, others: Others, limit: usize) -> Vec<Breach> {
        let mut breaches = Vec::new();
        let mut once: BTreeMap<(u32, u64), Acknowledged> = BTreeMap::new();
        for &answer in &self.acknowledged {
            let known = *once.entry((answer.client, answer.key)).or_insert(answer);
            if (known.first, known.count, known.epoch) != (answer.first, answer.count, answer.epoch) {
                breaches.push(Breach::Changed(known, answer));
            }
        }
        let mut by_epoch: BTreeMap<u64, Vec<Acknowledged>> = BTreeMap::new();
        for answer in once.into_values() {
            by_epoch.entry(answer.epoch.0).or_default().push(answer);
        }
        let epochs = by_epoch.len();
        for answers in by_epoch.values_mut() {
            answers.sort_by_key(|answer| (answer.first, answer.client));
            check_sharing(answers, &mut breaches);
            check_real_time(answers, &mut breaches);
            if let (Others::None(after, to), 1) = (others, epochs) {
                check_density(answers, after, to, &mut breaches);
            }
        }
        breaches.truncate(limit);
        breaches
    }
}

/// Sorted by sequence, no two may overlap.
fn check_sharing(answers: &[Acknowledged], breaches: &mut Vec<Breach>) {
    let mut furthest: Option<Acknowledged> = None;
    for &answer in answers {
        match furthest {
            Some(before) if answer.first <= before.last() => breaches.push(Breach::Shared(before, answer)),
            _ => {}
        }
        if furthest.is_none_or(|before| answer.last() > before.last()) {
            furthest = Some(answer);
        }
    }
}

/// Sorted by sequence, they cover `(after, to]`.
fn check_density(answers: &[Acknowledged], after: Sequence, to: Sequence, breaches: &mut Vec<Breach>) {
    let mut reached = after;
    for answer in answers {
        if answer.first > reached.next() {
            breaches.push(Breach::Hole(reached.next(), Sequence(answer.first.0 - 1)));
        }
        reached = reached.max(answer.last());
    }
    if reached < to {
        breaches.push(Breach::Hole(reached.next(), to));
    }
}

/// From the highest sequence down: the earliest acknowledgement so far must not precede a sending.
fn check_real_time(answers: &[Acknowledged], breaches: &mut Vec<Breach>) {
    let mut earliest: Option<Acknowledged> = None;
    for &answer in answers.iter().rev() {
        if let Some(higher) = earliest.filter(|higher| higher.acknowledged_us < answer.sent_us) {
            breaches.push(Breach::OutOfOrder(higher, answer));
        }
        if earliest.is_none_or(|higher| answer.acknowledged_us < higher.acknowledged_us) {
            earliest = Some(answer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(
        client: u32,
        key: u64,
        sent_us: u64,
        acknowledged_us: u64,
        first: u64,
        count: u32,
    ) -> Acknowledged {
        let (epoch, first) = (Epoch(7), Sequence(first));
        Acknowledged { client, key, sent_us, acknowledged_us, epoch, first, count }
    }

    fn check(answers: &[Acknowledged], to: u64) -> Vec<Breach> {
        let history = History { acknowledged: answers.to_vec() };
        history.check(Others::None(Sequence(0), Sequence(to)), 10)
    }

    #[test]
    fn one_order_has_no_breach() {
        let a = answer(1, 1, 0, 10, 1, 2);
        let b = answer(2, 1, 5, 12, 4, 1);
        let c = answer(1, 2, 11, 20, 3, 1);
        assert_eq!(check(&[a, b, c], 4), []);
        assert_eq!(check(&[a, b, c, answer(1, 2, 11, 90, 3, 1)], 4), [], "a repeated answer is the same");
    }

    #[test]
    fn an_answer_that_changes_is_found() {
        let (a, b) = (answer(1, 1, 0, 10, 1, 1), answer(1, 1, 0, 20, 2, 1));
        assert_eq!(check(&[a, b], 1), [Breach::Changed(a, b)]);
    }

    #[test]
    fn a_shared_sequence_is_found_behind_a_short_one() {
        let (a, b, c) = (answer(1, 1, 0, 9, 1, 4), answer(2, 1, 0, 9, 2, 1), answer(3, 1, 0, 9, 4, 1));
        assert_eq!(check(&[c, b, a], 4), [Breach::Shared(a, b), Breach::Shared(a, c)]);
    }

    #[test]
    fn sequences_of_nobody_are_found() {
        let a = answer(1, 1, 0, 9, 2, 1);
        let holes = [Breach::Hole(Sequence(1), Sequence(1)), Breach::Hole(Sequence(3), Sequence(5))];
        assert_eq!(check(&[a], 5), holes);
        assert_eq!(History { acknowledged: vec![a] }.check(Others::Some, 10), []);
    }

    #[test]
    fn an_order_against_time_is_found() {
        let (late, early) = (answer(1, 1, 20, 30, 1, 1), answer(2, 1, 0, 10, 2, 1));
        assert_eq!(check(&[late, early], 2), [Breach::OutOfOrder(early, late)]);
        let meanwhile = answer(1, 1, 9, 30, 1, 1);
        assert_eq!(check(&[meanwhile, early], 2), [], "sent before the other was acknowledged");
    }

    #[test]
    fn epochs_are_judged_apart() {
        let a = answer(1, 1, 0, 10, 2, 1);
        let b = Acknowledged { epoch: Epoch(8), ..answer(2, 1, 20, 30, 1, 1) };
        assert_eq!(check(&[a, b], 2), []);
    }
}
