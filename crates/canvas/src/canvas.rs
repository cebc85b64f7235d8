//! One canvas as its host described it: name, size, palette, rules.

use std::fmt;
use std::sync::Arc;

use crate::author::is_hidden;
use crate::cooldown::Rate;
use crate::geometry::{CANVAS_SIDE_PIXELS_MAX, Size};
use crate::palette::{Color, Palette};

/// The longest canvas id, in characters.
pub const CANVAS_ID_CHARACTERS_MAX: usize = 64;
/// The longest canvas name, in characters.
pub const CANVAS_NAME_CHARACTERS_MAX: usize = 80;
/// The longest cooldown, in milliseconds: one day.
pub const COOLDOWN_MS_MAX: u64 = 86_400_000;
/// The most charges that may be saved up.
pub const CHARGES_MAX: u32 = 10_000;

/// The most canvases that a host may make.
pub const CANVASES_MAX: usize = 1_000;

/// The id of the canvas that exists without being asked for.
pub const DEFAULT_CANVAS: &str = "main";

/// What a canvas is called in paths: 1 to 64 of `a-z 0-9 - _`, starting with a letter or digit.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CanvasId(Arc<str>);

impl CanvasId {
    /// Reads an id, or `None` when it is not one.
    #[must_use]
    pub fn parse(raw: &str) -> Option<Self> {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
        let fits = (1..=CANVAS_ID_CHARACTERS_MAX).contains(&raw.len());
        let starts = raw.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        (fits && starts && raw.bytes().all(allowed)).then(|| Self(raw.into()))
    }

    /// `main`.
    #[must_use]
    pub fn default_canvas() -> Self {
        Self(DEFAULT_CANVAS.into())
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CanvasId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a host asks for, unchecked: the keys of `POST /api/canvases` and of `[[canvas]]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CanvasSpec {
    /// See [`CanvasId`].
    pub id: String,
    /// 1 to 80 characters; the id when left out.
    pub name: Option<String>,
    /// 1 to 65,536 pixels.
    pub width: i64,
    /// 1 to 65,536 pixels.
    pub height: i64,
    /// 1 to 256 colours as `#RRGGBB`; any colour when left out.
    pub palette: Option<Vec<String>>,
    /// `#RRGGBB`; white, or the palette's first colour, when left out.
    pub background: Option<String>,
    /// 0 to 86,400,000; 0 (none) when left out.
    pub cooldown_ms: Option<i64>,
    /// 1 to 10,000; 1 when left out.
    pub charges_max: Option<i64>,
}

/// What a host may change later; `None` leaves a thing as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Amendment {
    /// 1 to 80 characters.
    pub name: Option<String>,
    /// 0 to 86,400,000.
    pub cooldown_ms: Option<i64>,
    /// 1 to 10,000.
    pub charges_max: Option<i64>,
    /// Whether placements are refused.
    pub frozen: Option<bool>,
}

/// Which key of a canvas' description is wrong, and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct InvalidCanvas {
    /// The key, as in `POST /api/canvases`.
    pub key: &'static str,
    /// What was wrong and what is allowed.
    pub problem: String,
}

/// A canvas: checked, and what every service needs to know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canvas {
    /// What paths call it.
    pub id: CanvasId,
    /// What people call it.
    pub name: String,
    /// Fixed for its life.
    pub size: Size,
    /// Fixed for its life.
    pub palette: Palette,
    /// One of the palette's colours; fixed for its life.
    pub background: Color,
    /// Milliseconds that a placement costs; 0 for none.
    pub cooldown_ms: u64,
    /// How many placements can be saved up, at least 1.
    pub charges_max: u32,
    /// Whether placements are refused.
    pub frozen: bool,
}

impl Canvas {
    /// The canvas that exists without being asked for: `main`, 50×50, white, true colour, no cooldown.
    #[must_use]
    pub fn default_canvas() -> Self {
        Self {
            id: CanvasId::default_canvas(),
            name: DEFAULT_CANVAS.into(),
            size: Size::new(50, 50).expect("50 is a side"),
            palette: Palette::TrueColor,
            background: Color::WHITE,
            cooldown_ms: 0,
            charges_max: 1,
            frozen: false,
        }
    }

    /// Checks a host's description.
    pub fn parse(spec: &CanvasSpec) -> Result<Self, InvalidCanvas> {
        let id = CanvasId::parse(&spec.id).ok_or_else(|| InvalidCanvas {
            key: "id",
            problem: format!(
                "{:?} is not an id: 1 to {CANVAS_ID_CHARACTERS_MAX} of a-z, 0-9, - and _, first a letter or digit",
                spec.id.chars().take(80).collect::<String>()
            ),
        })?;
        let name = match &spec.name {
            Some(name) => parse_name(name)?,
            None => id.as_str().to_owned(),
        };
        let side = |key, value: i64| {
            within(key, value, 1, i64::from(CANVAS_SIDE_PIXELS_MAX)).map(|side| side as u32)
        };
        let (width, height) = (side("width", spec.width)?, side("height", spec.height)?);
        let size = Size::new(width, height).expect("both sides were checked");
        let palette = match &spec.palette {
            None => Palette::TrueColor,
            Some(colors) => {
                let colors = colors.iter().map(|c| parse_color("palette", c)).collect::<Result<_, _>>()?;
                Palette::indexed(colors).map_err(|problem| InvalidCanvas { key: "palette", problem })?
            }
        };
        let background = match (&spec.background, &palette) {
            (Some(color), _) => parse_color("background", color)?,
            (None, Palette::Indexed(colors)) if !colors.contains(&Color::WHITE) => colors[0],
            (None, _) => Color::WHITE,
        };
        if !palette.allows(background) {
            let problem = format!("{background} is not in the palette: name one of its colours");
            return Err(InvalidCanvas { key: "background", problem });
        }
        let mut canvas =
            Self { id, name, size, palette, background, cooldown_ms: 0, charges_max: 1, frozen: false };
        canvas.amend(&Amendment {
            cooldown_ms: spec.cooldown_ms,
            charges_max: spec.charges_max,
            ..Amendment::default()
        })?;
        Ok(canvas)
    }

    /// Whether these can be the same canvas at two moments: size, palette and background are for life.
    #[must_use]
    pub fn can_become(&self, later: &Self) -> bool {
        (&self.id, self.size, &self.palette, self.background)
            == (&later.id, later.size, &later.palette, later.background)
    }

    /// Applies what a host changes; nothing is changed when any of it is wrong.
    pub fn amend(&mut self, amendment: &Amendment) -> Result<(), InvalidCanvas> {
        let mut amended = self.clone();
        if let Some(name) = &amendment.name {
            amended.name = parse_name(name)?;
        }
        if let Some(cooldown) = amendment.cooldown_ms {
            amended.cooldown_ms = within("cooldown_ms", cooldown, 0, COOLDOWN_MS_MAX as i64)?;
        }
        if let Some(charges) = amendment.charges_max {
            amended.charges_max = within("charges_max", charges, 1, i64::from(CHARGES_MAX))? as u32;
        }
        if let Some(frozen) = amendment.frozen {
            amended.frozen = frozen;
        }
        *self = amended;
        Ok(())
    }

    /// The cooldown as a rate; `None` where there is none.
    #[must_use]
    pub fn cooldown(&self) -> Option<Rate> {
        (self.cooldown_ms > 0)
            .then(|| Rate { interval_us: self.cooldown_ms * 1_000, burst: u64::from(self.charges_max) })
    }
}

fn parse_name(raw: &str) -> Result<String, InvalidCanvas> {
    let name = raw.trim();
    let fits = (1..=CANVAS_NAME_CHARACTERS_MAX).contains(&name.chars().count());
    if !fits || name.chars().any(is_hidden) {
        let problem = format!("a name has 1 to {CANVAS_NAME_CHARACTERS_MAX} characters, none of them hidden");
        return Err(InvalidCanvas { key: "name", problem });
    }
    Ok(name.to_owned())
}

fn parse_color(key: &'static str, raw: &str) -> Result<Color, InvalidCanvas> {
    Color::parse(raw).ok_or_else(|| InvalidCanvas {
        key,
        problem: format!("{:?} is not a colour: write #RRGGBB", raw.chars().take(32).collect::<String>()),
    })
}

fn within(key: &'static str, value: i64, least: i64, most: i64) -> Result<u64, InvalidCanvas> {
    if (least..=most).contains(&value) {
        Ok(value as u64)
    } else {
        Err(InvalidCanvas { key, problem: format!("{value} is not in {least} to {most}") })
    }
}
