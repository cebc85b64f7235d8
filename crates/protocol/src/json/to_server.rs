//! What clients say, read so strictly that every mistake gets a sentence that names it.

use std::borrow::Cow;
use std::fmt::Display;

use pixel_canvas::history::RETRACED_STEPS_MAX;
use pixel_canvas::placement::shorten;
use pixel_canvas::{Epoch, Sequence, Turn};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::REF_BYTES_MAX;

/// One message of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToServer {
    /// Be shown under this name.
    SetUsername(String),
    /// Paint one pixel; place and colour are not checked against a canvas yet.
    PixelUpdate {
        /// Column.
        x: i64,
        /// Row.
        y: i64,
        /// Meant to be `#RRGGBB`.
        color: String,
        /// For this placement only.
        username: Option<String>,
        /// Asks for `accepted`.
        reference: Option<Ref>,
    },
    /// Asks for `pong`.
    Ping,
    /// Asks for everything after a position.
    Resume {
        /// The epoch of the position.
        epoch: Epoch,
        /// Everything after this one.
        sequence: Sequence,
    },
    /// Take back or repeat one's own steps, as many as can be.
    Retrace {
        /// Which way: `undo` or `redo`.
        turn: Turn,
        /// The most steps, 1 to 256.
        count: u16,
        /// Asks for `accepted`.
        reference: Option<Ref>,
    },
}

/// What a client calls one of its placements: an integer or a string, kept as the JSON it came as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ref(Box<str>);

impl Ref {
    /// The JSON, at most 32 bytes.
    #[must_use]
    pub fn as_json(&self) -> &str {
        &self.0
    }
}

/// Why a message was not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct JsonError {
    /// What was wrong and what is allowed.
    pub message: String,
    /// The message's `ref`, where it has a valid one, so that the answer can carry it.
    pub reference: Option<Ref>,
}

/// The fields of any message, as the JSON they came as; `null` counts as left out.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    username: Option<&'a RawValue>,
    #[serde(borrow)]
    x: Option<&'a RawValue>,
    #[serde(borrow)]
    y: Option<&'a RawValue>,
    #[serde(borrow)]
    color: Option<&'a RawValue>,
    #[serde(borrow, rename = "ref")]
    reference: Option<&'a RawValue>,
    #[serde(borrow)]
    epoch: Option<&'a RawValue>,
    #[serde(borrow)]
    sequence: Option<&'a RawValue>,
    #[serde(borrow)]
    count: Option<&'a RawValue>,
}

/// Reads one message.
pub fn parse(text: &str) -> Result<ToServer, JsonError> {
    let wrong = |message| JsonError { message, reference: None };
    // A derived struct would take an array of its fields too.
    if !text.trim_ascii_start().starts_with('{') {
        return Err(wrong("a message is one JSON object".to_owned()));
    }
    let fields: Fields<'_> =
        serde_json::from_str(text).map_err(|error| wrong(format!("this is not a JSON object: {error}")))?;
    let reference = fields.reference.map(parse_ref).transpose().map_err(wrong)?;
    match fields.message(reference.as_ref()) {
        Ok(message) => Ok(message),
        Err(message) => Err(JsonError { message, reference }),
    }
}

impl Fields<'_> {
    fn message(&self, reference: Option<&Ref>) -> Result<ToServer, String> {
        const KINDS: &str = "one of set_username, pixel_update, undo, redo, ping, resume";
        let kind = string("type", self.kind, KINDS)?;
        match &*kind {
            "set_username" => {
                Ok(ToServer::SetUsername(string("username", self.username, "a string")?.into_owned()))
            }
            "pixel_update" => Ok(ToServer::PixelUpdate {
                x: integer("x", self.x)?,
                y: integer("y", self.y)?,
                color: string("color", self.color, "a string such as \"#1C1917\"")?.into_owned(),
                username: match self.username {
                    None => None,
                    some => Some(string("username", some, "a string")?.into_owned()),
                },
                reference: reference.cloned(),
            }),
            "undo" => self.retrace(Turn::Undo, reference),
            "redo" => self.retrace(Turn::Redo, reference),
            "ping" => Ok(ToServer::Ping),
            "resume" => {
                let allowed = "a string of 16 hex digits";
                let text = string("epoch", self.epoch, allowed)?;
                let epoch = Epoch::parse(&text).ok_or_else(|| not("epoch", allowed, &text))?;
                let number = integer("sequence", self.sequence)?;
                let sequence = u64::try_from(number).ok().map(Sequence).filter(|s| *s <= Sequence::MAX);
                let sequence =
                    sequence.ok_or_else(|| not("sequence", "an integer from 0 to 2^53 - 1", number))?;
                Ok(ToServer::Resume { epoch, sequence })
            }
            other => Err(format!("unknown type {:?}: it must be {KINDS}", shorten(other))),
        }
    }

    fn retrace(&self, turn: Turn, reference: Option<&Ref>) -> Result<ToServer, String> {
        let number = self.count.map_or(Ok(1), |raw| integer("count", Some(raw)))?;
        let count = u16::try_from(number).ok();
        let count = count.filter(|count| (1..=RETRACED_STEPS_MAX).contains(&usize::from(*count)));
        let allowed = format!("an integer from 1 to {RETRACED_STEPS_MAX}");
        let count = count.ok_or_else(|| not("count", &allowed, number))?;
        Ok(ToServer::Retrace { turn, count, reference: reference.cloned() })
    }
}

/// Up to here every whole number is told apart: 2^53.
const INTEGER_MAX: f64 = 9_007_199_254_740_992.0;

/// A whole number. JSON does not tell 5 from 5.0, and neither do many clients.
fn integer(key: &str, raw: Option<&RawValue>) -> Result<i64, String> {
    let raw = raw.ok_or_else(|| format!("{key} is missing: it must be an integer"))?;
    let whole = |number: &f64| number.fract() == 0.0 && number.abs() <= INTEGER_MAX;
    let parsed = raw.get().parse().ok();
    let parsed =
        parsed.or_else(|| serde_json::from_str(raw.get()).ok().filter(whole).map(|number| number as i64));
    parsed.ok_or_else(|| not(key, "an integer", raw.get()))
}

fn string<'a>(key: &str, raw: Option<&'a RawValue>, allowed: &str) -> Result<Cow<'a, str>, String> {
    let raw = raw.ok_or_else(|| format!("{key} is missing: it must be {allowed}"))?;
    // Borrowed where nothing is escaped.
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    match serde_json::from_str(raw.get()) {
        Ok(Text(text)) => Ok(text),
        Err(_) => Err(not(key, allowed, raw.get())),
    }
}

fn parse_ref(raw: &RawValue) -> Result<Ref, String> {
    let json = raw.get();
    let string = json.starts_with('"');
    let integer = json.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    if json.len() > REF_BYTES_MAX || !(string || integer) {
        return Err(not("ref", "an integer, or a string of at most 32 bytes as JSON", json));
    }
    // Valid JSON may hold half a surrogate pair as an escape, which is no string to most readers.
    if string && serde_json::from_str::<String>(json).is_err() {
        return Err(not("ref", "a string of whole characters", json));
    }
    Ok(Ref(json.into()))
}

fn not(key: &str, allowed: &str, got: impl Display) -> String {
    format!("{key} must be {allowed}, not {}", shorten(&got.to_string()))
}
