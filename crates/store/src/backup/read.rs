//! Reading a backup: all of it before any of it is believed.

use std::io::{Read, Seek, SeekFrom};

use pixel_canvas::{Canvas, CanvasId, Sequence, Timestamp};
use sha2::{Digest, Sha256};

use super::parts::{CONTENT_BYTES_MAX, FORMAT_VERSION, HEAD_BYTES, MAGIC, PART_HEAD_BYTES, Part, part_head};
use super::{BackupError, KeptCanvas, Summary};
use crate::{Created, Kept, Restoration, Store, StoreError};

/// A backup that was found to be whole.
#[derive(Debug)]
pub struct Backup<R> {
    file: R,
    summary: Summary,
    /// Where the parts of each canvas begin.
    starts: Vec<u64>,
}

impl<R: Read + Seek + Send> Backup<R> {
    /// Reads a backup from its first byte to its last.
    pub fn read(mut file: R) -> Result<Self, BackupError> {
        file.seek(SeekFrom::Start(0))?;
        let mut parts = Parts::new(&mut file);
        let made_at = parts.head()?;
        let mut summary = Summary { made_at, canvases: Vec::new() };
        let mut starts = Vec::new();
        let mut start = 0;
        // The highest sequence of what belongs to the canvas so far.
        let mut highest = Sequence::ZERO;
        loop {
            let at = parts.at;
            let damaged = |what| BackupError::Damaged { at, what };
            let before = parts.digest.clone();
            let part = parts.next()?;
            match part {
                Part::Canvas(_) => (start, highest) = (at, Sequence::ZERO),
                Part::Kept(Kept::Chunk(_, chunk)) => highest = highest.max(chunk.changed()),
                Part::Kept(Kept::Later(pixels)) => {
                    highest = pixels.iter().map(|pixel| pixel.mark.sequence).fold(highest, Sequence::max);
                }
                Part::Kept(Kept::Authors(_)) | Part::Void => {}
                Part::Whole(canvas, sequence) => {
                    if highest > sequence {
                        return Err(damaged("a canvas that ends before what was painted on it"));
                    }
                    summary.canvases.push(KeptCanvas { canvas, sequence });
                    starts.push(start);
                }
                Part::End { canvases, digest } => {
                    if canvases as usize != summary.canvases.len() || digest[..] != before.finalize()[..] {
                        return Err(damaged("the checksum of the whole does not fit what is before it,"));
                    }
                    let at = parts.at;
                    let ends = file.read(&mut [0])? == 0;
                    let more = BackupError::Damaged { at, what: "something follows its end" };
                    return if ends { Ok(Self { file, summary, starts }) } else { Err(more) };
                }
            }
        }
    }

    /// What it holds.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Puts one of its canvases back, whole or not at all; `None` when it holds none of that id.
    /// See [`Store::restore`].
    pub async fn restore(
        &mut self,
        store: &dyn Store,
        id: &CanvasId,
        replace: bool,
    ) -> Result<Option<Created>, BackupError> {
        let Some(index) = self.summary.canvases.iter().position(|kept| kept.canvas.id == *id) else {
            return Ok(None);
        };
        let KeptCanvas { canvas, sequence } = self.summary.canvases[index].clone();
        self.file.seek(SeekFrom::Start(self.starts[index]))?;
        let mut parts = Parts::new(&mut self.file);
        parts.at = self.starts[index];
        // The file may have changed since it was found to be whole.
        let mut failed = None;
        let mut kept = std::iter::from_fn(|| match parts.kept() {
            Ok(kept) => kept.map(Ok),
            Err(error) => {
                failed = Some(error);
                Some(Err(StoreError::Unavailable("the backup cannot be read".into())))
            }
        });
        let restored = store.restore(Restoration { canvas, sequence, replace, kept: &mut kept }).await;
        match failed {
            Some(error) => Err(error),
            None => Ok(Some(restored?)),
        }
    }
}

/// The parts of a file, in order.
struct Parts<R> {
    file: R,
    at: u64,
    digest: Sha256,
    /// The one that began last and has not ended.
    canvas: Option<Canvas>,
}

impl<R: Read> Parts<R> {
    fn new(file: R) -> Self {
        Self { file, at: 0, digest: Sha256::new(), canvas: None }
    }

    fn head(&mut self) -> Result<Timestamp, BackupError> {
        let head: Vec<u8> = self.take(HEAD_BYTES)?;
        let (magic, rest) = head.split_at(MAGIC.len());
        let (version, made_at) = rest.split_at(4);
        if magic != MAGIC {
            return Err(BackupError::NotOne);
        }
        let version = u32::from_le_bytes(version.try_into().expect("it was split there"));
        if version > FORMAT_VERSION {
            return Err(BackupError::Newer { found: version });
        }
        Ok(Timestamp(u64::from_le_bytes(made_at.try_into().expect("8 bytes are left"))))
    }

    fn next(&mut self) -> Result<Part, BackupError> {
        let at = self.at;
        let damaged = |what| BackupError::Damaged { at, what };
        let head = self.take(PART_HEAD_BYTES)?;
        let length = u32::from_le_bytes([head[1], head[2], head[3], head[4]]) as usize;
        if length > CONTENT_BYTES_MAX {
            return Err(damaged("a part of an impossible length"));
        }
        let content = self.take(length)?;
        if part_head(head[0], &content)[..] != head {
            return Err(damaged("a part whose checksum does not fit"));
        }
        let content = zstd::bulk::decompress(&content, CONTENT_BYTES_MAX);
        let content = content.map_err(|_| damaged("a part that cannot be unpacked"))?;
        let part = Part::decode(head[0], &content, self.canvas.as_ref());
        let part = part.ok_or_else(|| damaged("a part that makes no sense"))?;
        let fits = match (&part, self.canvas.take()) {
            (Part::Canvas(canvas), None) => {
                self.canvas = Some(canvas.clone());
                true
            }
            (Part::Kept(_), Some(canvas)) => {
                self.canvas = Some(canvas);
                true
            }
            (Part::Whole(after, _), Some(before)) => before.can_become(after),
            (Part::Void, Some(_)) | (Part::End { .. }, None) => true,
            _ => false,
        };
        if fits { Ok(part) } else { Err(damaged("a part that has no place")) }
    }

    /// The next piece of the canvas; `None` at its end.
    fn kept(&mut self) -> Result<Option<Kept>, BackupError> {
        loop {
            match self.next()? {
                Part::Canvas(_) => {}
                Part::Kept(kept) => return Ok(Some(kept)),
                Part::Whole(..) | Part::Void | Part::End { .. } => return Ok(None),
            }
        }
    }

    fn take(&mut self, count: usize) -> Result<Vec<u8>, BackupError> {
        let mut bytes = Vec::with_capacity(count);
        let read = self.file.by_ref().take(count as u64).read_to_end(&mut bytes)?;
        self.digest.update(&bytes);
        self.at += read as u64;
        if read < count {
            let short = BackupError::CutShort { at: self.at };
            // What does not even begin as a backup is none.
            return Err(
                if self.at < HEAD_BYTES as u64 && !bytes.starts_with(&MAGIC[..read.min(MAGIC.len())]) {
                    BackupError::NotOne
                } else {
                    short
                },
            );
        }
        Ok(bytes)
    }
}
