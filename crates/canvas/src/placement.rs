//! From raw input to a placement, or the reason why not.

use serde::{Deserialize, Serialize};

use crate::canvas::Canvas;
use crate::geometry::{Point, Size};
use crate::palette::Color;

/// The most placements one submission of a socket may carry.
pub const SOCKET_SUBMISSION_PLACEMENTS_MAX: usize = 256;
/// The most placements one submission of any kind may carry.
pub const SUBMISSION_PLACEMENTS_MAX: usize = 1_024;

/// One pixel, one colour: valid for its canvas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// Where.
    pub at: Point,
    /// Which colour, one that the canvas' palette has.
    pub color: Color,
}

impl Placement {
    /// Checks a place and a colour in text against the canvas.
    pub fn parse(x: i64, y: i64, color: &str, canvas: &Canvas) -> Result<Self, Refusal> {
        let at = canvas.size.point(x, y).ok_or(Refusal::Outside { x, y, size: canvas.size })?;
        let color = Color::parse(color).ok_or_else(|| Refusal::NotAColor(shorten(color)))?;
        let placement = Self { at, color };
        placement.check(canvas)?;
        Ok(placement)
    }

    /// Checks a placement that another canvas, or this one earlier, held to be valid.
    pub fn check(&self, canvas: &Canvas) -> Result<(), Refusal> {
        if !canvas.size.holds(self.at) {
            let (x, y) = (self.at.x.into(), self.at.y.into());
            return Err(Refusal::Outside { x, y, size: canvas.size });
        }
        if !canvas.palette.allows(self.color) {
            return Err(Refusal::NotInPalette(self.color));
        }
        Ok(())
    }
}

/// At most 32 characters of somebody's input, for an error.
#[must_use]
pub fn shorten(raw: &str) -> String {
    raw.chars().take(32).collect()
}

/// A wait for people: in tenths of a second, rounded up, so that it is over when it was said to be.
fn seconds(wait_ms: u64) -> String {
    let tenths = wait_ms.div_ceil(100).max(1);
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// Why a submission was not accepted. Expected: a value, not an error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Refusal {
    /// The place is not on the canvas.
    #[error("({x}, {y}) is outside: x is 0 to {}, y is 0 to {}", size.width() - 1, size.height() - 1)]
    Outside {
        /// The column asked for.
        x: i64,
        /// The row asked for.
        y: i64,
        /// The canvas' size.
        size: Size,
    },
    /// The text is not `#RRGGBB`.
    #[error("{0:?} is not a colour: write #RRGGBB, as in #1C1917")]
    NotAColor(String),
    /// The colour is not in the canvas' palette.
    #[error("{0} is not in this canvas' palette")]
    NotInPalette(Color),
    /// The index names no colour of the canvas' palette.
    #[error("{index} is not in this canvas' palette: its colours are 0 to {}", colors - 1)]
    NotAnIndex {
        /// What was sent.
        index: u8,
        /// How many colours the palette has, at least 1.
        colors: usize,
    },
    /// Nothing, or more than a submission may carry.
    #[error("a submission carries 1 to {max} placements, not {count}")]
    Count {
        /// How many were sent.
        count: usize,
        /// How many may be.
        max: usize,
    },
    /// More at once than the rule can ever allow.
    #[error("{count} placements at once are more than the {max} that the limit ever allows together")]
    NeverEnough {
        /// How many were sent.
        count: u64,
        /// The most the rule allows together.
        max: u64,
    },
    /// The cooldown has not passed.
    #[error("cooling down: the next placement is possible in {} s", seconds(*wait_ms))]
    Cooldown {
        /// Milliseconds until it would be accepted.
        wait_ms: u64,
    },
    /// The rate limit of the identity or its address.
    #[error("too fast: try again in {} s", seconds(*wait_ms))]
    Rate {
        /// Milliseconds until it would be accepted.
        wait_ms: u64,
    },
    /// The key was used for another payload.
    #[error("this idempotency key was already used for other placements")]
    KeyReused,
    /// Too much is under way, or the identity has too many keys.
    #[error("busy: try again in {} s", seconds(*wait_ms))]
    Busy {
        /// Milliseconds after which trying again makes sense.
        wait_ms: u64,
    },
    /// The canvas takes no placements now.
    #[error("this canvas is frozen: it can be looked at, not painted")]
    Frozen,
    /// There is no such canvas, or no longer.
    #[error("there is no such canvas")]
    NoCanvas,
    /// The store could not be reached: this try did nothing. An earlier one under the same key may have.
    #[error("the canvas cannot be saved right now; this try painted nothing")]
    Unavailable,
    /// It may or may not have happened: retry with the same key.
    #[error("it is not known whether this was painted; try again with the same key")]
    Unknown,
    /// Nothing that the person placed within the last hour can be taken back.
    #[error(
        "there is nothing to take back: what you painted was taken back already, was painted over, or is too long ago"
    )]
    NothingToUndo,
    /// Nothing that the person took back can be repeated.
    #[error("there is nothing to repeat: only what you took back just now can be")]
    NothingToRedo,
}

impl Refusal {
    /// After how many milliseconds trying again makes sense; `None` where it never does.
    #[must_use]
    pub fn retry_after_ms(&self) -> Option<u64> {
        match self {
            Self::Cooldown { wait_ms } | Self::Rate { wait_ms } | Self::Busy { wait_ms } => Some(*wait_ms),
            Self::Unavailable | Self::Unknown => Some(1_000),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_told_to_wait_for_no_time() {
        for (wait_ms, shown) in [(0, "0.1 s"), (9, "0.1 s"), (101, "0.2 s"), (2_000, "2.0 s")] {
            for refusal in
                [Refusal::Cooldown { wait_ms }, Refusal::Rate { wait_ms }, Refusal::Busy { wait_ms }]
            {
                assert!(refusal.to_string().ends_with(&format!(" {shown}")), "{refusal}");
            }
        }
    }
}
