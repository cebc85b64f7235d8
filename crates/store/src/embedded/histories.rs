//! What people can take back and repeat on one canvas: their histories, for an hour after the last act.
//!
//! At rest, little-endian: changed `u64` · at `u64` · steps that stand `u16` · then for each step
//! x `u16`, y `u16`, and what it covered and what it painted: red, green, blue, sequence 6 bytes.

use std::collections::{BTreeMap, HashMap, HashSet};

use pixel_canvas::history::{HISTORY_KEPT_MS, Plan};
use pixel_canvas::{Color, History, Identity, Painted, Point, Sequence, State, Step, Timestamp};

use super::bytes::Input;
use super::row::{Trace, put_sequence, read_sequence};

/// The most steps that all histories of one canvas hold together, some 50 bytes each; beyond it, those
/// leave whose people have been idle for longest.
pub(crate) const HISTORIES_STEPS_MAX: usize = 1_000_000;

/// One person's history.
#[derive(Debug, Default)]
struct Kept {
    history: History,
    /// The sequence that its last act ended with: what is replayed up to here is in it already.
    changed: Sequence,
    at: Timestamp,
}

/// The histories of one canvas.
#[derive(Debug, Default)]
pub(crate) struct Histories {
    kept: HashMap<Identity, Kept>,
    /// Whose they are by their last act, so that the longest idle ones are found.
    idle: BTreeMap<Sequence, Identity>,
    steps: usize,
    /// Whose history changed since it was saved last.
    unsaved: HashSet<Identity>,
}

impl Histories {
    /// The history of a person, where there is one.
    pub(crate) fn get(&self, person: Identity) -> Option<&History> {
        self.kept.get(&person).map(|kept| &kept.history)
    }

    /// Takes a submission in that was accepted, which painted from `first` on.
    pub(crate) fn note(&mut self, painted: &Painted, trace: &Trace, first: Sequence, at: Timestamp) {
        let last = first.plus(painted.placements.len() as u64 - 1);
        match trace.retraced {
            None => self.change(painted.author.identity, last, at, |history| {
                let mut sequence = first;
                for (placement, before) in painted.placements.iter().zip(&trace.before) {
                    let after = State { color: placement.color, sequence };
                    history.placed(Step { at: placement.at, before: *before, after });
                    sequence = sequence.next();
                }
            }),
            Some((turn, count)) => {
                let mut found: HashMap<Point, Sequence> = HashMap::new();
                for (placement, before) in painted.placements.iter().zip(&trace.before) {
                    found.entry(placement.at).or_insert(before.sequence);
                }
                self.change(painted.author.identity, last, at, |history| {
                    let plan = history.plan(turn, count.into(), |at| found.get(&at).copied());
                    if plan.placements == painted.placements {
                        history.walk(&plan, first);
                    } else {
                        // Some of it was forgotten before: what is left would be walked wrongly.
                        *history = History::default();
                    }
                });
            }
        }
    }

    /// The same where the log is replayed, which may tell what is in the history already.
    pub(crate) fn note_again(&mut self, painted: &Painted, trace: &Trace, first: Sequence, at: Timestamp) {
        let known = self.kept.get(&painted.author.identity).is_some_and(|kept| kept.changed >= first);
        // The version before did not say what was covered.
        if !known && trace.before.len() == painted.placements.len() {
            self.note(painted, trace, first, at);
        }
    }

    /// Drops the steps of a plan that cannot be walked.
    pub(crate) fn pass(&mut self, person: Identity, plan: &Plan) {
        if let Some(kept) = self.kept.get_mut(&person) {
            let before = kept.history.steps().len();
            kept.history.pass(plan);
            self.steps -= before - kept.history.steps().len();
        }
    }

    fn change(&mut self, person: Identity, last: Sequence, at: Timestamp, act: impl FnOnce(&mut History)) {
        let kept = self.kept.entry(person).or_default();
        let before = kept.history.steps().len();
        act(&mut kept.history);
        self.steps = self.steps + kept.history.steps().len() - before;
        self.idle.remove(&kept.changed);
        self.idle.insert(last, person);
        (kept.changed, kept.at) = (last, at);
        self.unsaved.insert(person);
        while self.steps > HISTORIES_STEPS_MAX {
            let Some(longest_idle) = self.longest_idle() else { break };
            self.forget(longest_idle);
        }
    }

    /// Forgets those whose last act is too long ago.
    pub(crate) fn expire(&mut self, now: Timestamp) {
        while let Some(person) = self.longest_idle() {
            if self.kept[&person].at.plus(HISTORY_KEPT_MS) >= now {
                break;
            }
            self.forget(person);
        }
    }

    fn longest_idle(&self) -> Option<Identity> {
        self.idle.first_key_value().map(|(_, person)| *person)
    }

    fn forget(&mut self, person: Identity) {
        if let Some(kept) = self.kept.remove(&person) {
            self.steps -= kept.history.steps().len();
            self.idle.remove(&kept.changed);
            self.unsaved.insert(person);
        }
    }

    /// Whose histories are to be saved, or removed where they are forgotten.
    pub(crate) fn take_unsaved(&mut self) -> Vec<Identity> {
        self.unsaved.drain().collect()
    }

    /// A history for keeping it at rest; `None` where it is forgotten.
    pub(crate) fn encode(&self, person: Identity) -> Option<Vec<u8>> {
        let Kept { history, changed, at } = self.kept.get(&person)?;
        let mut out = Vec::with_capacity(18 + history.steps().len() * 22);
        out.extend_from_slice(&changed.0.to_le_bytes());
        out.extend_from_slice(&at.0.to_le_bytes());
        out.extend_from_slice(&(history.done() as u16).to_le_bytes());
        for Step { at, before, after } in history.steps() {
            out.extend_from_slice(&at.x.to_le_bytes());
            out.extend_from_slice(&at.y.to_le_bytes());
            for state in [before, after] {
                out.extend_from_slice(&state.color.0);
                put_sequence(&mut out, state.sequence);
            }
        }
        Some(out)
    }

    /// Takes a history in again; `None` when it is not one.
    pub(crate) fn load(&mut self, person: Identity, value: &[u8]) -> Option<()> {
        let mut input = Input(value);
        let (changed, at) = (Sequence(input.u64()?), Timestamp(input.u64()?));
        let done = usize::from(input.u16()?);
        let mut steps = Vec::new();
        while !input.0.is_empty() {
            let at = Point { x: input.u16()?, y: input.u16()? };
            let mut state =
                || Some(State { color: Color(input.array()?), sequence: read_sequence(&mut input)? });
            steps.push(Step { at, before: state()?, after: state()? });
        }
        let history = History::restore(steps, done)?;
        self.steps += history.steps().len();
        self.idle.insert(changed, person);
        self.kept.insert(person, Kept { history, changed, at });
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use pixel_canvas::history::HISTORY_STEPS_MAX;
    use pixel_canvas::{Author, Name, Placement, Turn};

    use super::*;

    fn person(number: u64) -> Identity {
        Identity(u128::from(number).to_be_bytes())
    }

    /// Somebody paints as much as a history holds.
    fn paint(histories: &mut Histories, number: u64, at: Timestamp) {
        let author = Author { identity: person(number), address: None, since: None };
        let placement = |x| Placement { at: Point { x, y: 1 }, color: Color([x as u8, 2, 3]) };
        let placements: Vec<Placement> = (0..HISTORY_STEPS_MAX as u16).map(placement).collect();
        let before = vec![State { color: Color::WHITE, sequence: Sequence::ZERO }; placements.len()];
        let painted = Painted { author, name: Name::anonymous(), key: None, placements };
        let first = Sequence(number * HISTORY_STEPS_MAX as u64 + 1);
        histories.note(&painted, &Trace { before, ..Trace::default() }, first, at);
    }

    #[test]
    fn the_longest_idle_leave_when_there_are_too_many_steps() {
        let mut histories = Histories::default();
        let people = (HISTORIES_STEPS_MAX / HISTORY_STEPS_MAX) as u64;
        for number in 0..people + 2 {
            paint(&mut histories, number, Timestamp(7));
        }
        assert_eq!(histories.steps, HISTORIES_STEPS_MAX);
        assert!(histories.get(person(1)).is_none());
        assert!(histories.get(person(2)).is_some());
    }

    #[test]
    fn a_history_is_forgotten_after_an_hour_and_not_before() {
        let mut histories = Histories::default();
        paint(&mut histories, 1, Timestamp(5));
        paint(&mut histories, 2, Timestamp(6));
        histories.expire(Timestamp(5 + HISTORY_KEPT_MS));
        assert!(histories.get(person(1)).is_some());
        histories.take_unsaved();
        histories.expire(Timestamp(6 + HISTORY_KEPT_MS));
        assert!(histories.get(person(1)).is_none() && histories.get(person(2)).is_some());
        assert_eq!(histories.take_unsaved(), [person(1)], "what lies at rest is to be removed");
    }

    #[test]
    fn a_history_comes_back_from_rest_and_rubbish_does_not() {
        let mut histories = Histories::default();
        paint(&mut histories, 1, Timestamp(5));
        let kept = histories.kept.get_mut(&person(1)).expect("somebody painted");
        let plan = kept.history.plan(Turn::Undo, 3, |at| Some(Sequence(u64::from(at.x) + 1_001)));
        kept.history.walk(&plan, Sequence(9_000));
        let bytes = histories.encode(person(1)).expect("it is kept");
        let mut loaded = Histories::default();
        assert_eq!(loaded.load(person(1), &bytes), Some(()));
        assert_eq!(loaded.get(person(1)), histories.get(person(1)));
        assert_eq!(loaded.encode(person(1)), Some(bytes.clone()));
        for end in [0, 17, bytes.len() - 1] {
            assert_eq!(loaded.load(person(2), &bytes[..end]), None, "{end} bytes");
        }
    }
}
