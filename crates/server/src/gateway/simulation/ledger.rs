//! What the modelled store decides: the port's rules in their order, from the log alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use pixel_canvas::entry::RESET_PLACEMENTS_MAX;
use pixel_canvas::{
    Bucket, Canvas, Change, Color, Entry, Epoch, History, Identity, Key, Painted, Placement, Point, Rate,
    Refusal, Sequence, Standing, State, Step, Timestamp,
};
use pixel_store::{Accepted, Act, Outcome, Submission, SubmissionKey};

/// How long a record is kept under a client's key.
const CLIENT_KEY_KEPT_MS: u64 = 600_000;
/// The same under a gateway's.
const GATEWAY_KEY_KEPT_MS: u64 = 60_000;

/// An accepted submission under its key.
struct Record {
    act: Act,
    accepted: Accepted,
    kept_ms: u64,
}

/// One canvas, as its log says.
pub(super) struct Ledger {
    pub(super) canvas: Arc<Canvas>,
    pub(super) epoch: Epoch,
    pub(super) sequence: Sequence,
    rate: Option<Rate>,
    records: BTreeMap<(Identity, Key), Record>,
    rates: BTreeMap<Identity, Bucket>,
    cooldowns: BTreeMap<Identity, Bucket>,
    histories: BTreeMap<Identity, History>,
    pixels: BTreeMap<(u16, u16), State>,
}

impl Ledger {
    /// The ledger of a canvas without a log.
    pub(super) fn new(canvas: Arc<Canvas>, epoch: Epoch, rate: Option<Rate>) -> Self {
        Self {
            canvas,
            epoch,
            sequence: Sequence::ZERO,
            rate,
            records: BTreeMap::new(),
            rates: BTreeMap::new(),
            cooldowns: BTreeMap::new(),
            histories: BTreeMap::new(),
            pixels: BTreeMap::new(),
        }
    }

    /// Decides a call in order: an outcome for each, the submissions that are new, and their entry.
    pub(super) fn decide(
        &mut self,
        call: Vec<Submission>,
        at: Timestamp,
    ) -> (Vec<Outcome>, Option<(Vec<Submission>, Entry)>) {
        let first = self.sequence.next();
        let (mut outcomes, mut fresh, mut painted) = (Vec::new(), Vec::new(), Vec::new());
        for submission in call {
            outcomes.push(match self.decide_one(&submission, at) {
                Ok((accepted, None)) => Outcome::Accepted(accepted),
                Ok((accepted, Some(one))) => {
                    fresh.push(submission);
                    painted.push(one);
                    Outcome::Accepted(accepted)
                }
                Err(refusal) => Outcome::Refused(refusal),
            });
        }
        let (epoch, last) = (self.epoch, self.sequence);
        let entry = Entry { epoch, first, last, at, change: Change::Painted(painted) };
        let made = (!fresh.is_empty()).then_some((fresh, entry));
        (outcomes, made)
    }

    /// The second half is there where it is new.
    fn decide_one(
        &mut self,
        submission: &Submission,
        at: Timestamp,
    ) -> Result<(Accepted, Option<Painted>), Refusal> {
        let identity = submission.author.identity;
        if let Act::Place(placements) = &submission.act {
            placements.iter().try_for_each(|placement| placement.check(&self.canvas))?;
        }
        if let Some(key) = submission.key
            && let Some(known) = self.records.get(&(identity, key.key()))
            && at.since(known.accepted.at) < known.kept_ms
        {
            let same = known.act == submission.act;
            return if same { Ok((known.accepted, None)) } else { Err(Refusal::KeyReused) };
        }
        if self.canvas.frozen {
            return Err(Refusal::Frozen);
        }
        let plan = match &submission.act {
            Act::Place(_) => None,
            Act::Retrace { turn, count } => {
                let history = self.histories.entry(identity).or_default();
                let shown = |at: Point| self.pixels.get(&(at.x, at.y)).map_or(Sequence::ZERO, |s| s.sequence);
                let plan = history.plan(*turn, (*count).into(), |at| Some(shown(at)));
                history.pass(&plan);
                let plan = history.plan(*turn, (*count).into(), |at| Some(shown(at)));
                if plan.placements.is_empty() {
                    return Err(turn.nothing());
                }
                Some(plan)
            }
        };
        let placements = match (&submission.act, &plan) {
            (Act::Place(placements), _) => placements.clone(),
            (_, Some(plan)) => plan.placements.clone(),
            (_, None) => Vec::new(),
        };
        let count = placements.len() as u64;
        let rated = self.take(self.rate, self.rates.get(&identity).copied(), count, at)?;
        let rated = rated.map_err(|wait_ms| Refusal::Rate { wait_ms })?;
        let cooldown = self.canvas.cooldown();
        let known = self.cooldowns.get(&identity).copied().filter(|bucket| !bucket.is_full(at));
        let made = || Some(Bucket::empty_at(submission.author.since?, cooldown?));
        let cooled = self.take(cooldown, known.or_else(made), count, at)?;
        let cooled = cooled.map_err(|wait_ms| Refusal::Cooldown { wait_ms })?;

        let first = self.sequence.next();
        self.rates.extend(rated.map(|bucket| (identity, bucket)));
        self.cooldowns.extend(cooled.map(|bucket| (identity, bucket)));
        let mut steps = Vec::new();
        for placement in &placements {
            self.sequence = self.sequence.next();
            let after = State { color: placement.color, sequence: self.sequence };
            let place = (placement.at.x, placement.at.y);
            let before = self.pixels.insert(place, after);
            let blank = State { color: self.canvas.background, sequence: Sequence::ZERO };
            steps.push(Step { at: placement.at, before: before.unwrap_or(blank), after });
        }
        let history = self.histories.entry(identity).or_default();
        match &plan {
            Some(plan) => history.walk(plan, first),
            None => steps.into_iter().for_each(|step| history.placed(step)),
        }
        let standing = match (cooldown, cooled) {
            (Some(rate), Some(bucket)) => bucket.standing(rate, at),
            _ => Standing::UNLIMITED,
        };
        let accepted = Accepted { first, count: count as u32, epoch: self.epoch, at, standing };
        if let Some(key) = submission.key {
            let kept_ms = match key {
                SubmissionKey::Client(_) => CLIENT_KEY_KEPT_MS,
                SubmissionKey::Gateway(_) => GATEWAY_KEY_KEPT_MS,
            };
            let record = Record { act: submission.act.clone(), accepted, kept_ms };
            self.records.insert((identity, key.key()), record);
        }
        let Submission { author, name, key, .. } = submission.clone();
        Ok((accepted, Some(Painted { author, name, key: key.map(SubmissionKey::key), placements })))
    }

    /// What a bucket becomes: an error where the rule never allows so many, an inner one for a wait.
    fn take(
        &self,
        rate: Option<Rate>,
        bucket: Option<Bucket>,
        count: u64,
        at: Timestamp,
    ) -> Result<Result<Option<Bucket>, u64>, Refusal> {
        let Some(rate) = rate else { return Ok(Ok(None)) };
        if count > rate.burst {
            return Err(Refusal::NeverEnough { count, max: rate.burst });
        }
        Ok(bucket.unwrap_or_default().take(rate, count, at).map(Some))
    }

    /// Puts every pixel back to the background under another epoch.
    pub(super) fn reset(&mut self, epoch: Epoch, at: Timestamp) -> Entry {
        let background = self.canvas.background;
        let place = |(x, y): (u16, u16)| Placement { at: Point { x, y }, color: background };
        let painted = self.pixels.iter().filter(|(_, state)| state.color != background);
        let mut placements: Vec<Placement> = painted.map(|(at, _)| place(*at)).collect();
        if placements.is_empty() {
            placements.push(place((0, 0)));
        }
        assert!(placements.len() <= RESET_PLACEMENTS_MAX, "the canvas is small");
        let first = self.sequence.next();
        self.sequence = self.sequence.plus(placements.len() as u64);
        self.epoch = epoch;
        self.pixels.clear();
        self.histories.clear();
        Entry { epoch, first, last: self.sequence, at, change: Change::Reset { placements } }
    }
}

/// The pixels that a log leaves behind, with the placement that put each there.
pub(super) fn picture<'a>(
    entries: impl Iterator<Item = &'a Arc<Entry>>,
) -> BTreeMap<(u16, u16), (Color, Sequence)> {
    let mut pixels = BTreeMap::new();
    for entry in entries {
        for (sequence, placement, _) in entry.placements() {
            pixels.insert((placement.at.x, placement.at.y), (placement.color, sequence));
        }
    }
    pixels
}
