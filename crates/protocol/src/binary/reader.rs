//! Reads a message's fields off its front, and says which message ended too early.

use pixel_canvas::{ChunkId, Epoch, Sequence, Size, Timestamp};

use super::Malformed;

/// What is left of one message.
pub(super) struct Reader<'a> {
    name: &'static str,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// The body of the message of this name.
    pub(super) fn new(name: &'static str, body: &'a [u8]) -> Self {
        Self { name, rest: body }
    }

    pub(super) fn malformed(&self, problem: impl std::fmt::Display) -> Malformed {
        Malformed(format!("{}: {problem}", self.name))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// How many entries of `bytes` each are left; an error where the last is cut.
    pub(super) fn entries(&self, bytes: usize) -> Result<usize, Malformed> {
        if self.rest.len().is_multiple_of(bytes) {
            Ok(self.rest.len() / bytes)
        } else {
            Err(self.malformed(format_args!("the list ends inside an entry of {bytes} bytes")))
        }
    }

    /// Fails when something follows the last field.
    pub(super) fn end(&self) -> Result<(), Malformed> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(self.malformed(format_args!("{} bytes too long", self.rest.len())))
        }
    }

    pub(super) fn bytes(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self
            .rest
            .split_at_checked(count)
            .ok_or_else(|| self.malformed(format_args!("{} bytes too short", count - self.rest.len())))?;
        self.rest = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        Ok(self.bytes(N)?.try_into().expect("that many were taken"))
    }

    pub(super) fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    pub(super) fn u16(&mut self) -> Result<u16, Malformed> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(super) fn u32(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64, Malformed> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub(super) fn epoch(&mut self) -> Result<Epoch, Malformed> {
        self.u64().map(Epoch)
    }

    pub(super) fn timestamp(&mut self) -> Result<Timestamp, Malformed> {
        self.u64().map(Timestamp)
    }

    pub(super) fn sequence(&mut self) -> Result<Sequence, Malformed> {
        let sequence = Sequence(self.u64()?);
        if sequence > Sequence::MAX {
            return Err(self.malformed(format_args!("{sequence} is over 2^53 - 1, no sequence")));
        }
        Ok(sequence)
    }

    /// A chunk of any canvas.
    pub(super) fn chunk(&mut self) -> Result<ChunkId, Malformed> {
        let [cx, cy] = self.array()?;
        Ok(ChunkId { cx, cy })
    }

    /// A chunk of a canvas of this size.
    pub(super) fn chunk_of(&mut self, size: Size) -> Result<ChunkId, Malformed> {
        let ChunkId { cx, cy } = self.chunk()?;
        size.chunk(cx.into(), cy.into()).ok_or_else(|| {
            let (columns, rows) = size.chunk_grid();
            self.malformed(format_args!("there is no chunk {cx},{cy}, the canvas has {columns}×{rows}"))
        })
    }

    /// Text of so many bytes.
    pub(super) fn text(&mut self, bytes: usize) -> Result<&'a str, Malformed> {
        let bytes = self.bytes(bytes)?;
        std::str::from_utf8(bytes).map_err(|_| self.malformed("the text is not UTF-8"))
    }

    /// Text up to the message's end.
    pub(super) fn rest_text(&mut self) -> Result<&'a str, Malformed> {
        self.text(self.rest.len())
    }
}
