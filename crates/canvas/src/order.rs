//! What orders history: sequences, epochs and timestamps.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The place of one accepted placement in the one order of its canvas: dense, from 1.
///
/// 0 is "before everything". At most 2^53 − 1, so that JavaScript holds it exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Sequence(pub u64);

impl Sequence {
    /// Before the first placement.
    pub const ZERO: Self = Self(0);
    /// The last that there can be: JavaScript's largest exact integer.
    pub const MAX: Self = Self((1 << 53) - 1);

    /// The sequence that follows this one.
    #[must_use]
    pub fn next(self) -> Self {
        self.plus(1)
    }

    /// The sequence `count` places later.
    #[must_use]
    pub fn plus(self, count: u64) -> Self {
        Self(self.0 + count)
    }

    /// How many sequences lie in `(earlier, self]`; 0 when `earlier` is not earlier.
    #[must_use]
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A random number that changes whenever history may have been rolled back or replaced.
///
/// Compared only for equality. Written as 16 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Epoch(pub u64);

impl Epoch {
    /// Reads 16 hex digits, any case; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
        digits.then(|| u64::from_str_radix(text, 16).ok().map(Self))?
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Unix time in milliseconds. It decides cooldowns and is shown to people; it never decides order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// This moment `millis` later.
    #[must_use]
    pub fn plus(self, millis: u64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// Milliseconds from `earlier` to this moment; 0 when it is not earlier.
    #[must_use]
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_is_sixteen_hex_digits_and_nothing_else() {
        assert_eq!(Epoch::parse("00000000000000ff"), Some(Epoch(255)));
        assert_eq!(Epoch::parse(&Epoch(u64::MAX).to_string()), Some(Epoch(u64::MAX)));
        for wrong in ["", "ff", "+0000000000000ff", "00000000000000fg", "00000000000000fff"] {
            assert_eq!(Epoch::parse(wrong), None, "{wrong:?}");
        }
    }
}
