//! One entry of a canvas' log: what one call changed, in order.

use crate::author::{Author, Key, Name};
use crate::order::{Epoch, Sequence, Timestamp};
use crate::placement::Placement;

/// What one call changed: sequences `first..=last`, at one moment, in one epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The epoch that holds after this entry.
    pub epoch: Epoch,
    /// The sequence of its first change.
    pub first: Sequence,
    /// The sequence of its last change; the entry's own name in the log.
    pub last: Sequence,
    /// The store's clock when it was accepted.
    pub at: Timestamp,
    /// What changed.
    pub change: Change,
}

/// The kinds of change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Submissions in order; their placements take one sequence each.
    Painted(Vec<Painted>),
    /// Every pixel went back to the background, under a new epoch.
    ///
    /// `placements` are the pixels that this changed, one sequence each; where none differed, the
    /// first pixel alone, so that the order stays dense for who reads updates. When they were more
    /// than [`RESET_PLACEMENTS_MAX`], the list is empty and the reset takes one sequence.
    Reset {
        /// The pixels that were not the background before.
        placements: Vec<Placement>,
    },
}

/// The most pixels that a reset lists one by one.
pub const RESET_PLACEMENTS_MAX: usize = 65_536;

/// One accepted submission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Painted {
    /// Who.
    pub author: Author,
    /// The name that the placements are shown under.
    pub name: Name,
    /// The key it came under, where it had one.
    pub key: Option<Key>,
    /// What, in order.
    pub placements: Vec<Placement>,
}

impl Entry {
    /// The sequence before this entry's first.
    #[must_use]
    pub fn after(&self) -> Sequence {
        Sequence(self.first.0 - 1)
    }

    /// Every placement with its sequence and name, in order.
    pub fn placements(&self) -> impl Iterator<Item = (Sequence, &Placement, Option<&Name>)> {
        let (painted, reset): (&[Painted], &[Placement]) = match &self.change {
            Change::Painted(painted) => (painted, &[]),
            Change::Reset { placements } => (&[], placements),
        };
        let painted =
            painted.iter().flat_map(|p| p.placements.iter().map(move |placement| (placement, Some(&p.name))));
        painted
            .chain(reset.iter().map(|placement| (placement, None)))
            .enumerate()
            .map(|(index, (placement, name))| (self.first.plus(index as u64), placement, name))
    }
}
