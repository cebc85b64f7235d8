//! Which colours a canvas allows, and how many bytes a pixel takes.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The most colours a palette holds.
pub const PALETTE_COLORS_MAX: usize = 256;

/// Red, green, blue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Color(pub [u8; 3]);

impl Color {
    /// The background of a canvas that names none.
    pub const WHITE: Self = Self([0xff; 3]);

    /// Reads `#RRGGBB`, any case; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('#')?;
        if digits.len() != 6 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let value = u32::from_str_radix(digits, 16).ok()?;
        let [_, red, green, blue] = value.to_be_bytes();
        Some(Self([red, green, blue]))
    }
}

impl fmt::Display for Color {
    /// `#RRGGBB` in capitals.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [red, green, blue] = self.0;
        write!(f, "#{red:02X}{green:02X}{blue:02X}")
    }
}

/// The colours that a canvas allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Palette {
    /// Any colour; a pixel is 3 bytes.
    TrueColor,
    /// These colours, 1 to 256, all different; a pixel is 1 byte, its index.
    Indexed(Vec<Color>),
}

impl Palette {
    /// A palette of these colours, or the sentence that says what is wrong with them.
    pub fn indexed(colors: Vec<Color>) -> Result<Self, String> {
        if colors.is_empty() || colors.len() > PALETTE_COLORS_MAX {
            return Err(format!("a palette has 1 to {PALETTE_COLORS_MAX} colours, not {}", colors.len()));
        }
        for (index, color) in colors.iter().enumerate() {
            if colors[..index].contains(color) {
                return Err(format!("the palette names {color} twice"));
            }
        }
        Ok(Self::Indexed(colors))
    }

    /// Bytes that a stored pixel takes: 3, or 1 with a palette.
    #[must_use]
    pub fn bytes_per_pixel(&self) -> usize {
        match self {
            Self::TrueColor => 3,
            Self::Indexed(_) => 1,
        }
    }

    /// Whether this colour may be painted.
    #[must_use]
    pub fn allows(&self, color: Color) -> bool {
        match self {
            Self::TrueColor => true,
            Self::Indexed(colors) => colors.contains(&color),
        }
    }

    /// Writes the colour as it is stored; `out` is [`Palette::bytes_per_pixel`] long and the colour allowed.
    pub fn store(&self, color: Color, out: &mut [u8]) {
        match self {
            Self::TrueColor => out.copy_from_slice(&color.0),
            Self::Indexed(colors) => {
                let index = colors.iter().position(|c| *c == color);
                out[0] = index.expect("placements are parsed against the palette") as u8;
            }
        }
    }

    /// Reads a stored colour; `None` when the bytes name no colour of this palette.
    #[must_use]
    pub fn load(&self, stored: &[u8]) -> Option<Color> {
        match self {
            Self::TrueColor => stored.try_into().ok().map(Color),
            Self::Indexed(colors) => match stored {
                [index] => colors.get(usize::from(*index)).copied(),
                _ => None,
            },
        }
    }
}
