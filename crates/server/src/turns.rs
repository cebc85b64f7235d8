//! Whose turn it is among services that do the same: those that did not answer lately come last.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts the turns.
#[derive(Debug, Default)]
pub(crate) struct Turns(AtomicUsize);

impl Turns {
    /// All of them in the order in which they are to be asked this time. Those that answer share the turns
    /// evenly; silent ones follow, for where nobody else is left one of them may answer again.
    pub(crate) fn order<'a, T>(&self, all: &'a [T], is_silent: impl Fn(&T) -> bool) -> Vec<&'a T> {
        let turn = self.0.fetch_add(1, Ordering::Relaxed);
        let (mut silent, mut order): (Vec<&T>, Vec<&T>) = all.iter().partition(|one| is_silent(one));
        for part in [&mut order, &mut silent] {
            let first = turn.checked_rem(part.len()).unwrap_or_default();
            part.rotate_left(first);
        }
        order.append(&mut silent);
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silent_ones_come_last_and_the_others_share_the_turns_evenly() {
        let (turns, all) = (Turns::default(), ['a', 'b', 'c']);
        let orders = |silent: &str| -> Vec<String> {
            let order = || turns.order(&all, |one| silent.contains(*one)).into_iter().collect();
            (0..6).map(|_| order()).collect()
        };
        assert_eq!(orders(""), ["abc", "bca", "cab", "abc", "bca", "cab"]);
        assert_eq!(orders("a"), ["bca", "cba", "bca", "cba", "bca", "cba"]);
        assert_eq!(orders("ac"), ["bac", "bca", "bac", "bca", "bac", "bca"]);
        assert_eq!(orders("abc"), ["abc", "bca", "cab", "abc", "bca", "cab"]);
        assert!(turns.order(&all[..0], |_| true).is_empty());
    }
}
