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

/// A name as people see it: trimmed, at most 20 characters, no control characters, never empty.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(Arc<str>);

impl Name {
    /// Trims, drops control and invisible direction characters, cuts at 20 characters;
    /// `None` when nothing is left.
    #[must_use]
    pub fn parse(raw: &str) -> Option<Self> {
        let visible = |c: &char| !c.is_control() && !is_invisible(*c);
        let kept: String = raw.trim().chars().filter(visible).take(NAME_CHARACTERS_MAX).collect();
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

impl TryFrom<String> for Name {
    type Error = &'static str;

    /// Only what is a name as it stands.
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).filter(|name| name.as_str() == text).ok_or("it is not a name")
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.as_str().to_owned()
    }
}

/// Zero-width, direction-override and line-separator characters: they forge other names.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
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
