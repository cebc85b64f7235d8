//! What decides the submissions of one canvas: sequence, records, limits and histories, known to the
//! writer alone.

use std::collections::HashMap;
use std::sync::Arc;

use pixel_canvas::{
    Address, Author, Bucket, Canvas, Change, Entry, Epoch, Identity, Key, Painted, Placement, Point, Rate,
    Refusal, Sequence, Standing, State, Timestamp, Turn,
};

use super::buckets::Buckets;
use super::histories::Histories;
use super::picture::Picture;
use super::records::{
    Fingerprint, Record, Records, fingerprint, fingerprint_of_placements, fingerprint_of_turn,
};
use super::row::{Row, Trace};
use crate::{Accepted, Act, Limits, Outcome, Submission, SubmissionKey};

/// What somebody is told to wait who has too many keys under way, or comes while the store
/// remembers as many as it can, in milliseconds.
const BUSY_WAIT_MS: u64 = 10_000;

/// One canvas as the writer knows it: a group ahead of the readers while the group commits.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// The number that its rows are kept under.
    pub(crate) number: u32,
    pub(crate) canvas: Arc<Canvas>,
    pub(crate) epoch: Epoch,
    pub(crate) sequence: Sequence,
    /// Where it stood when the host last changed the cooldown: what was placed up to here is not
    /// held against anybody.
    pub(crate) rule_from: Sequence,
    /// Where the last row of the log ends, in bytes since the log's beginning.
    pub(crate) ends_at: u64,
    pub(crate) records: Records,
    pub(crate) identity_rates: Buckets<Identity>,
    pub(crate) address_rates: Buckets<Address>,
    pub(crate) cooldowns: Buckets<Identity>,
    pub(crate) address_cooldowns: Buckets<Address>,
    pub(crate) histories: Histories,
    /// What pixels show that were painted since the picture: its readers see them later.
    ahead: HashMap<Point, State>,
}

/// What the limits would hold if a submission were accepted.
#[derive(Default)]
struct Takings {
    identity_rate: Option<Bucket>,
    address_rate: Option<Bucket>,
    identity_cooldown: Option<Bucket>,
    address_cooldown: Option<Bucket>,
}

impl Ledger {
    /// The ledger of a canvas without history.
    pub(crate) fn new(number: u32, canvas: Arc<Canvas>, epoch: Epoch) -> Self {
        Self {
            number,
            canvas,
            epoch,
            sequence: Sequence::ZERO,
            rule_from: Sequence::ZERO,
            ends_at: 0,
            records: Records::default(),
            identity_rates: Buckets::default(),
            address_rates: Buckets::default(),
            cooldowns: Buckets::default(),
            address_cooldowns: Buckets::default(),
            histories: Histories::default(),
            ahead: HashMap::new(),
        }
    }

    /// Decides a call in order, `picture` being what readers see. The accepted ones make one entry,
    /// with a trace for each.
    pub(crate) fn decide(
        &mut self,
        call: Vec<Submission>,
        picture: &Picture,
        limits: &Limits,
        now: Timestamp,
    ) -> (Vec<Outcome>, Option<(Entry, Vec<Trace>)>) {
        self.records.expire(now);
        self.histories.expire(now);
        self.forget_full_buckets(now);
        if picture.sequence == self.sequence {
            self.ahead.clear();
        }
        let after = self.sequence;
        let (mut painted, mut traces) = (Vec::new(), Vec::new());
        let mut outcomes = Vec::with_capacity(call.len());
        for submission in call {
            outcomes.push(match self.decide_one(submission, picture, limits, now) {
                Decision::Known(outcome) => outcome,
                Decision::Accepted(accepted, one, trace) => {
                    painted.push(one);
                    traces.push(trace);
                    Outcome::Accepted(accepted)
                }
            });
        }
        let made = (!painted.is_empty()).then(|| {
            let (first, last) = (after.next(), self.sequence);
            (Entry { epoch: self.epoch, first, last, at: now, change: Change::Painted(painted) }, traces)
        });
        (outcomes, made)
    }

    /// Decides one submission; only an accepted one leaves a trace in the ledger.
    fn decide_one(
        &mut self,
        submission: Submission,
        picture: &Picture,
        limits: &Limits,
        now: Timestamp,
    ) -> Decision {
        if let Err(refusal) = submission.act.check(&self.canvas) {
            return Decision::refused(refusal);
        }
        let keyed = submission.key.map(|key| (key, fingerprint(&submission.act)));
        if let Some((key, fingerprint)) = keyed
            && let Some(known) = self.recall(&submission, key.key(), fingerprint, now)
        {
            return Decision::Known(known);
        }
        if self.canvas.frozen {
            return Decision::refused(Refusal::Frozen);
        }
        let (placements, retraced) = match &submission.act {
            Act::Place(placements) => (placements.clone(), None),
            Act::Retrace { turn, count } => {
                let Some(placements) = self.retrace(picture, submission.author.identity, *turn, *count)
                else {
                    return Decision::refused(turn.nothing());
                };
                (placements, Some((*turn, *count)))
            }
        };
        let takings = match self.take(&submission, placements.len() as u64, limits, now) {
            Ok(takings) => takings,
            Err(refusal) => return Decision::refused(refusal),
        };
        if !self.has_room_for(&submission) {
            return Decision::refused(Refusal::Busy { wait_ms: BUSY_WAIT_MS });
        }
        let first = self.sequence.next();
        let before = self.paint(picture, &placements);
        let trace = Trace { retraced, before, ..takings.trace(submission.key) };
        let Submission { author, name, key, act: _ } = submission;
        let painted = Painted { author, name, key: key.map(SubmissionKey::key), placements };
        self.histories.note(&painted, &trace, first, now);
        let accepted = self.accept(&painted, &trace, keyed, &takings, first, now);
        Decision::Accepted(accepted, painted, trace)
    }

    /// What so many steps of somebody's paint; `None` where none can be walked.
    fn retrace(
        &mut self,
        picture: &Picture,
        person: Identity,
        turn: Turn,
        count: u16,
    ) -> Option<Vec<Placement>> {
        let history = self.histories.get(person)?;
        let plan = history.plan(turn, count.into(), |at| Some(self.state(picture, at).sequence));
        // Steps that cannot be walked now never can be: they are not looked at again, also where the
        // limits refuse the walk.
        self.histories.pass(person, &plan);
        (!plan.placements.is_empty()).then_some(plan.placements)
    }

    /// What a pixel shows after all that was decided.
    fn state(&self, picture: &Picture, at: Point) -> State {
        self.ahead.get(&at).copied().unwrap_or_else(|| picture.state(at))
    }

    /// Gives these placements their sequences, and says what each of them covers.
    fn paint(&mut self, picture: &Picture, placements: &[Placement]) -> Vec<State> {
        let mut before = Vec::with_capacity(placements.len());
        for Placement { at, color } in placements {
            self.sequence = self.sequence.next();
            before.push(self.state(picture, *at));
            self.ahead.insert(*at, State { color: *color, sequence: self.sequence });
        }
        before
    }

    /// What was answered under this key before.
    fn recall(
        &self,
        submission: &Submission,
        key: Key,
        payload: Fingerprint,
        now: Timestamp,
    ) -> Option<Outcome> {
        let identity = submission.author.identity;
        let record = self.records.get(identity, key)?;
        if record.fingerprint != payload {
            return Some(Outcome::Refused(Refusal::KeyReused));
        }
        let Record { first, count, epoch, at, .. } = *record;
        let standing = self.standing(self.cooldown_bucket(submission, now), now);
        Some(Outcome::Accepted(Accepted { first, count, epoch, at, standing }))
    }

    /// Asks every limit; all allow it, or the longest wait of the first kind that does not.
    fn take(
        &self,
        submission: &Submission,
        count: u64,
        limits: &Limits,
        now: Timestamp,
    ) -> Result<Takings, Refusal> {
        let author = &submission.author;
        let cooldown = self.canvas.cooldown();
        let shared = cooldown.zip(author.address).map(|(rate, _)| rate.shared_by(limits.guests_per_address));
        for rate in [limits.identity, limits.address.filter(|_| author.address.is_some()), cooldown, shared] {
            if let Some(rate) = rate.filter(|rate| count > rate.burst) {
                return Err(Refusal::NeverEnough { count, max: rate.burst });
            }
        }
        let take = |rate: Option<Rate>, bucket: Option<Bucket>| -> Result<Option<Bucket>, u64> {
            rate.map(|rate| bucket.unwrap_or_default().take(rate, count, now)).transpose()
        };
        let of_address =
            |buckets: &Buckets<Address>| author.address.and_then(|address| buckets.get(&address));

        let identity_rate = take(limits.identity, self.identity_rates.get(&author.identity));
        let address_rate =
            take(limits.address.filter(|_| author.address.is_some()), of_address(&self.address_rates));
        let (identity_rate, address_rate) =
            both(identity_rate, address_rate).map_err(|wait_ms| Refusal::Rate { wait_ms })?;

        let identity_cooldown = take(cooldown, self.cooldown_bucket(submission, now));
        let address_cooldown = take(shared, of_address(&self.address_cooldowns));
        let (identity_cooldown, address_cooldown) =
            both(identity_cooldown, address_cooldown).map_err(|wait_ms| Refusal::Cooldown { wait_ms })?;

        Ok(Takings { identity_rate, address_rate, identity_cooldown, address_cooldown })
    }

    fn has_room_for(&self, submission: &Submission) -> bool {
        let identity = submission.author.identity;
        let address_fits = |buckets: &Buckets<Address>| {
            submission.author.address.is_none_or(|address| buckets.has_room_for(&address))
        };
        submission.key.is_none_or(|key| self.records.has_room_for(identity, key))
            && self.identity_rates.has_room_for(&identity)
            && self.cooldowns.has_room_for(&identity)
            && address_fits(&self.address_rates)
            && address_fits(&self.address_cooldowns)
    }

    fn accept(
        &mut self,
        painted: &Painted,
        trace: &Trace,
        keyed: Option<(SubmissionKey, Fingerprint)>,
        takings: &Takings,
        first: Sequence,
        at: Timestamp,
    ) -> Accepted {
        let Author { identity, address, .. } = painted.author;
        let count = painted.placements.len() as u32;
        if let Some(bucket) = takings.identity_rate {
            self.identity_rates.set(identity, bucket);
        }
        if let (Some(bucket), Some(address)) = (takings.address_rate, address) {
            self.address_rates.set(address, bucket);
        }
        self.note(identity, address, trace);
        if let Some((key, fingerprint)) = keyed {
            let client = key.is_clients();
            let record = Record { fingerprint, first, count, epoch: self.epoch, at, client };
            self.records.keep(identity, key.key(), record);
        }
        Accepted {
            first,
            count,
            epoch: self.epoch,
            at,
            standing: self.standing(takings.identity_cooldown, at),
        }
    }

    /// Takes the cooldowns over that a submission left behind.
    fn note(&mut self, identity: Identity, address: Option<Address>, trace: &Trace) {
        if let Some(bucket) = trace.identity {
            self.cooldowns.set(identity, bucket);
        }
        if let (Some(bucket), Some(address)) = (trace.address, address) {
            self.address_cooldowns.set(address, bucket);
        }
    }

    /// The host changed name, rules or freeze. Under another cooldown everybody starts afresh: who
    /// waits out an old, longer one would not understand why.
    pub(crate) fn amend(&mut self, canvas: Arc<Canvas>) {
        if canvas.cooldown() != self.canvas.cooldown() {
            self.rule_from = self.sequence;
            self.cooldowns = Buckets::default();
            self.address_cooldowns = Buckets::default();
        }
        self.canvas = canvas;
    }

    /// Takes a row of the log in again, as if it were accepted now; the last reset ended at `reset`.
    pub(crate) fn replay(&mut self, row: &Row, reset: Sequence) {
        let entry = &row.entry;
        self.sequence = entry.last;
        self.ends_at = row.ends_at;
        self.records.expire(entry.at);
        self.histories.expire(entry.at);
        let Change::Painted(painted) = &entry.change else {
            return;
        };
        let mut first = entry.first;
        for (one, trace) in painted.iter().zip(&row.traces) {
            let count = one.placements.len() as u32;
            if first > self.rule_from {
                self.note(one.author.identity, one.author.address, trace);
            }
            if first > reset {
                self.histories.note_again(one, trace, first, entry.at);
            }
            if let Some(key) = one.key {
                let fingerprint = match trace.retraced {
                    Some((turn, count)) => fingerprint_of_turn(turn, count),
                    None => fingerprint_of_placements(&one.placements),
                };
                let (epoch, at, client) = (entry.epoch, entry.at, trace.client_key);
                let record = Record { fingerprint, first, count, epoch, at, client };
                self.records.keep(one.author.identity, key, record);
            }
            first = first.plus(u64::from(count));
        }
    }

    /// The author's cooldown. A new guest's is empty when the guest is made. A full bucket counts
    /// as none, so that it makes no difference when it is forgotten.
    fn cooldown_bucket(&self, submission: &Submission, now: Timestamp) -> Option<Bucket> {
        let author = &submission.author;
        let rate = self.canvas.cooldown()?;
        let known = self.cooldowns.get(&author.identity).filter(|bucket| !bucket.is_full(now));
        known.or_else(|| author.since.map(|since| Bucket::empty_at(since, rate)))
    }

    fn standing(&self, bucket: Option<Bucket>, now: Timestamp) -> Standing {
        match self.canvas.cooldown() {
            Some(rate) => bucket.unwrap_or_default().standing(rate, now),
            None => Standing::UNLIMITED,
        }
    }

    fn forget_full_buckets(&mut self, now: Timestamp) {
        self.identity_rates.sweep(now);
        self.cooldowns.sweep(now);
        self.address_rates.sweep(now);
        self.address_cooldowns.sweep(now);
    }
}

/// What became of one submission.
enum Decision {
    /// Refused, or answered as before.
    Known(Outcome),
    /// New.
    Accepted(Accepted, Painted, Trace),
}

impl Decision {
    fn refused(refusal: Refusal) -> Self {
        Self::Known(Outcome::Refused(refusal))
    }
}

impl Takings {
    fn trace(&self, key: Option<SubmissionKey>) -> Trace {
        Trace {
            client_key: key.is_some_and(SubmissionKey::is_clients),
            identity: self.identity_cooldown,
            address: self.address_cooldown,
            ..Trace::default()
        }
    }
}

/// Both, or the longer wait.
fn both<T>(a: Result<T, u64>, b: Result<T, u64>) -> Result<(T, T), u64> {
    match (a, b) {
        (Ok(a), Ok(b)) => Ok((a, b)),
        (Err(a), Err(b)) => Err(a.max(b)),
        (Err(wait), Ok(_)) | (Ok(_), Err(wait)) => Err(wait),
    }
}
