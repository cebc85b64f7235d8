//! Who places: identities, the keys of their submissions, addresses and names.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::order::Timestamp;

/// The longest name, in characters.
pub const NAME_CHARACTERS_MAX: usize = 20;
/// What a placement without a name is shown under.
pub const ANONYMOUS: &str = "Anonymous";

/// Who a caller is to cooldowns, rates, idempotency and undo: an opaque 128-bit number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Identity(pub [u8; 16]);

/// All guests of one network address (IPv6: one /64), as an opaque 128-bit number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Address(pub [u8; 16]);

/// The idempotency key of one submission, unique per identity and canvas: an opaque 128-bit number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Key(pub [u8; 16]);

fn hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, f)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, f)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, f)
    }
}

/// A name as people see it: trimmed, at most 20 characters, every one of them visible, never empty.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Name(Arc<str>);

impl Name {
    /// Trims, drops what [`is_hidden`], cuts at 20 characters; `None` when nothing is left.
    #[must_use]
    pub fn parse(raw: &str) -> Option<Self> {
        let kept: String = raw.trim().chars().filter(|c| !is_hidden(*c)).take(NAME_CHARACTERS_MAX).collect();
        let kept = kept.trim();
        (!kept.is_empty()).then(|| Self(kept.into()))
    }

    /// `Anonymous`.
    #[must_use]
    pub fn anonymous() -> Self {
        Self(ANONYMOUS.into())
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for Name {
    /// What a version with other rules took for a name is shown as far as it is one.
    fn from(text: String) -> Self {
        Self::parse(&text).unwrap_or_else(Self::anonymous)
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.as_str().to_owned()
    }
}

/// Whether a character has no shape of its own: control and format characters, direction marks, line separators,
/// fillers, variation selectors and what is no character. With them a name looks like another, or like none.
#[must_use]
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || u32::from(c) & 0xfffe == 0xfffe
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{fdd0}'..='\u{fdef}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Who stands behind a submission, as the limits need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Author {
    /// Whom cooldown, rate, keys and undo belong to.
    pub identity: Identity,
    /// Whose guests share an address' limits; `None` lifts these (an account, the host).
    pub address: Option<Address>,
    /// When a guest was made: on a canvas with a cooldown it starts cooling then.
    /// `None` for who did not come into being by asking (a REST call's address).
    pub since: Option<Timestamp>,
}
