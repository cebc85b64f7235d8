//! What a script answers: a status, then strings to be read in order.

use pixel_canvas::{Epoch, Sequence};

use crate::StoreError;
use crate::embedded::bytes::Input;

/// A server said what this program cannot read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    /// Written by a program that knows more.
    #[error("a canvas kept in another version than this program's")]
    Version,
    /// Not what was written.
    #[error("the server answered what this program does not understand")]
    Answer,
}

impl From<Unreadable> for StoreError {
    fn from(unreadable: Unreadable) -> Self {
        Self::Unavailable(unreadable.into())
    }
}

/// How a script ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// As asked.
    Done,
    /// The canvas is not there.
    Gone,
    /// The canvas is another than was thought; nothing happened.
    Moved,
}

/// The strings after the status.
#[derive(Debug)]
pub(crate) struct Answer(std::vec::IntoIter<Vec<u8>>);

impl Answer {
    /// Splits the status off.
    pub(crate) fn parse(strings: Vec<Vec<u8>>) -> Result<(Status, Self), Unreadable> {
        let mut strings = strings.into_iter();
        let status = match strings.next().as_deref() {
            Some(b"done") => Status::Done,
            Some(b"gone") => Status::Gone,
            Some(b"moved") => Status::Moved,
            Some(b"version") => return Err(Unreadable::Version),
            _ => return Err(Unreadable::Answer),
        };
        Ok((status, Self(strings)))
    }

    /// The next string, where there is one.
    pub(crate) fn next(&mut self) -> Option<Vec<u8>> {
        self.0.next()
    }

    pub(crate) fn bytes(&mut self) -> Result<Vec<u8>, Unreadable> {
        self.0.next().ok_or(Unreadable::Answer)
    }

    /// A number in digits.
    pub(crate) fn number(&mut self) -> Result<u64, Unreadable> {
        number(&self.bytes()?)
    }

    pub(crate) fn sequence(&mut self) -> Result<Sequence, Unreadable> {
        self.number().map(Sequence)
    }

    pub(crate) fn epoch(&mut self) -> Result<Epoch, Unreadable> {
        read(&self.bytes()?, |input| input.u64().map(Epoch))
    }
}

/// A number in digits.
pub(crate) fn number(digits: &[u8]) -> Result<u64, Unreadable> {
    std::str::from_utf8(digits).ok().and_then(|text| text.parse().ok()).ok_or(Unreadable::Answer)
}

/// Reads all of a string's fields.
pub(crate) fn read<T>(
    bytes: &[u8],
    fields: impl FnOnce(&mut Input<'_>) -> Option<T>,
) -> Result<T, Unreadable> {
    let mut input = Input(bytes);
    let value = fields(&mut input).ok_or(Unreadable::Answer)?;
    input.end().ok_or(Unreadable::Answer)?;
    Ok(value)
}
