//! The numbers by which the plane names authors.

use std::collections::HashMap;

use pixel_canvas::{Identity, Name};

/// The most authors that a canvas numbers between two resets; whoever comes later is not recorded.
pub(crate) const AUTHORS_MAX: usize = 1_000_000;

/// The author who is not recorded.
pub(crate) const NOBODY: u32 = 0;

/// Numbers from 1, in the order in which (identity, name) first appear in the log since the last
/// reset: a replay gives the same ones.
#[derive(Debug, Default)]
pub(crate) struct Authors {
    numbers: HashMap<(Identity, Name), u32>,
    known: Vec<(Identity, Name)>,
}

impl Authors {
    /// The number of an author, given when first asked for.
    pub(crate) fn number(&mut self, identity: Identity, name: &Name) -> u32 {
        let author = (identity, name.clone());
        if let Some(number) = self.numbers.get(&author) {
            return *number;
        }
        if self.known.len() >= AUTHORS_MAX {
            return NOBODY;
        }
        self.known.push(author.clone());
        let number = self.known.len() as u32;
        self.numbers.insert(author, number);
        number
    }

    /// The name behind a number.
    pub(crate) fn name(&self, number: u32) -> Option<&Name> {
        let index = (number as usize).checked_sub(1)?;
        self.known.get(index).map(|(_, name)| name)
    }

    /// Everyone after the first `saved`, with their numbers.
    pub(crate) fn after(&self, saved: usize) -> impl Iterator<Item = (u32, &(Identity, Name))> {
        self.known.iter().enumerate().skip(saved).map(|(index, author)| (index as u32 + 1, author))
    }
}
