//! What one person did on one canvas, step by step, to take back and to repeat.
//!
//! A step may be taken back while its pixel still shows what the step put there, and repeated while it
//! shows what taking it back put there: sequences tell, so nobody else's paint is ever covered. Taking
//! back paints the colour of before under a sequence of its own; from then on that sequence is the name
//! of the state of before, in every step of this history that knows it. So several steps on one pixel
//! can be walked back and forth.

use std::collections::{HashMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::geometry::Point;
use crate::order::Sequence;
use crate::palette::Color;
use crate::placement::{Placement, Refusal};

/// The most steps that are remembered, those that were taken back included.
pub const HISTORY_STEPS_MAX: usize = 1_000;
/// The most steps that one submission takes back or repeats.
pub const RETRACED_STEPS_MAX: usize = 256;
/// How long a history is remembered after its last act, in milliseconds.
pub const HISTORY_KEPT_MS: u64 = 3_600_000;

/// What a pixel shows, and the placement that put it there; sequence zero where nobody painted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// The colour.
    pub color: Color,
    /// As which placement.
    pub sequence: Sequence,
}

/// What one placement did to one pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Where.
    pub at: Point,
    /// What it covered.
    pub before: State,
    /// What it painted.
    pub after: State,
}

/// Which way a history is walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Turn {
    /// Back: newest first.
    Undo,
    /// Forth again: what was taken back last comes first.
    Redo,
}

impl Turn {
    /// The refusal of who has nothing to walk.
    #[must_use]
    pub fn nothing(self) -> Refusal {
        match self {
            Self::Undo => Refusal::NothingToUndo,
            Self::Redo => Refusal::NothingToRedo,
        }
    }

    /// What a pixel must show, and what it shows then.
    fn ends(self, step: &Step) -> (State, State) {
        match self {
            Self::Undo => (step.after, step.before),
            Self::Redo => (step.before, step.after),
        }
    }
}

/// One person's steps on one canvas, oldest first. Those from a point on are taken back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    steps: VecDeque<Step>,
    /// How many of the steps stand; the others were taken back, the next one first.
    done: usize,
}

/// What a walk would do; nothing is done yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    turn: Turn,
    /// For each step on the way whether it can be walked; the others are over for good.
    walked: Vec<bool>,
    /// What to paint, in order; empty where nothing can be walked.
    pub placements: Vec<Placement>,
}

impl History {
    /// Puts a history together again, of which the first `done` steps stand; `None` when it is not one.
    #[must_use]
    pub fn restore(steps: Vec<Step>, done: usize) -> Option<Self> {
        (done <= steps.len() && steps.len() <= HISTORY_STEPS_MAX).then(|| Self { steps: steps.into(), done })
    }

    /// Its steps, oldest first.
    pub fn steps(&self) -> impl ExactSizeIterator<Item = &Step> {
        self.steps.iter()
    }

    /// How many of its steps stand; those behind them were taken back.
    #[must_use]
    pub fn done(&self) -> usize {
        self.done
    }

    /// The person placed: a new step, and what was taken back can be repeated no more.
    pub fn placed(&mut self, step: Step) {
        self.steps.truncate(self.done);
        if self.steps.len() == HISTORY_STEPS_MAX {
            self.steps.pop_front();
        }
        self.steps.push_back(step);
        self.done = self.steps.len();
    }

    /// Plans to walk `count` steps where pixels show what `standing` says; `None` is nothing of interest.
    #[must_use]
    pub fn plan(
        &self,
        turn: Turn,
        count: usize,
        mut standing: impl FnMut(Point) -> Option<Sequence>,
    ) -> Plan {
        let mut plan = Plan { turn, walked: Vec::new(), placements: Vec::new() };
        // By the names of before the walk: what it paints has none yet.
        let mut shown: HashMap<Point, Option<Sequence>> = HashMap::new();
        let ahead = match turn {
            Turn::Undo => self.done,
            Turn::Redo => self.steps.len() - self.done,
        };
        for number in 0..ahead {
            if plan.placements.len() == count {
                break;
            }
            let step = &self.steps[self.index(turn, number)];
            let (from, to) = turn.ends(step);
            let shows = shown.entry(step.at).or_insert_with(|| standing(step.at));
            let walked = *shows == Some(from.sequence);
            if walked {
                *shows = Some(to.sequence);
                plan.placements.push(Placement { at: step.at, color: to.color });
            }
            plan.walked.push(walked);
        }
        plan
    }

    /// Does what was planned, its placements having the sequences from `first` on.
    pub fn walk(&mut self, plan: &Plan, first: Sequence) {
        let mut names = HashMap::new();
        let mut sequence = first;
        for (number, _) in plan.walked.iter().enumerate().filter(|(_, walked)| **walked) {
            let step = &self.steps[self.index(plan.turn, number)];
            names.insert((step.at, plan.turn.ends(step).1.sequence), sequence);
            sequence = sequence.next();
        }
        self.pass(plan);
        match plan.turn {
            Turn::Undo => self.done -= plan.placements.len(),
            Turn::Redo => self.done += plan.placements.len(),
        }
        for step in &mut self.steps {
            for state in [&mut step.before, &mut step.after] {
                if let Some(name) = names.get(&(step.at, state.sequence)) {
                    state.sequence = *name;
                }
            }
        }
    }

    /// Drops the steps on the way that cannot be walked: they never can be, whatever becomes of the
    /// plan.
    pub fn pass(&mut self, plan: &Plan) {
        let length = plan.walked.len();
        let start = match plan.turn {
            Turn::Undo => self.done - length,
            Turn::Redo => self.done,
        };
        let walked = |index: usize| {
            let number = match plan.turn {
                Turn::Undo => length - 1 - index,
                Turn::Redo => index,
            };
            plan.walked[number]
        };
        let mut index = 0;
        self.steps.retain(|_| {
            let kept = index < start || index >= start + length || walked(index - start);
            index += 1;
            kept
        });
        if plan.turn == Turn::Undo {
            self.done = start + plan.placements.len();
        }
    }

    /// Which step is the one of this number on the way.
    fn index(&self, turn: Turn, number: usize) -> usize {
        match turn {
            Turn::Undo => self.done - 1 - number,
            Turn::Redo => self.done + number,
        }
    }
}
