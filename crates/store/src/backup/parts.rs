//! The bytes of a backup. Little-endian throughout.
//!
//! A head: `pixel-playground backup\n`, version u32, when it was begun u64 (Unix milliseconds). Then
//! parts: kind u8, length u32, CRC-32 u32 of kind, length and content, content (zstd). The last part
//! says how many canvases there are, and the SHA-256 of everything before it: whatever is missing,
//! changed, doubled or out of order is found.

use std::io::{self, Write};

use pixel_canvas::chunk::{Blank, MarkRow};
use pixel_canvas::{Canvas, Chunk, ChunkId, Color, Identity, Mark, Name, Point, Sequence, Timestamp};
use sha2::{Digest, Sha256};

use crate::embedded::bytes::Input;
use crate::embedded::picture_rows::{decode_chunk, decode_marks, encode_chunk, encode_marks};
use crate::embedded::tables::{
    chunk_key, chunk_of_key, decode_author, encode_author, put_canvas, read_canvas,
};
use crate::{Kept, Repaint};

/// The version of the format; this program reads this one and those before.
pub const FORMAT_VERSION: u32 = 1;
/// What a backup begins with.
pub(super) const MAGIC: &[u8; 24] = b"pixel-playground backup\n";
/// Bytes before the first part.
pub(super) const HEAD_BYTES: usize = MAGIC.len() + 4 + 8;
/// Bytes of a part before its content.
pub(super) const PART_HEAD_BYTES: usize = 9;
/// The most bytes of a part's content, before it is compressed and after: a chunk with all its marks
/// takes 1.3 MiB.
pub(super) const CONTENT_BYTES_MAX: usize = 2 << 20;
/// The most pixels of a part that paints later; 24 bytes each.
pub(super) const LATER_PIXELS_MAX: usize = 16_384;
/// The most authors of a part; up to 97 bytes each.
pub(super) const AUTHORS_MAX: usize = 4_096;
/// zstd's level: marks are half as long as with the fastest, for little more time.
const COMPRESSION: i32 = 3;

const CANVAS: u8 = 1;
const CHUNK: u8 = 2;
const LATER: u8 = 3;
const AUTHORS: u8 = 4;
const WHOLE: u8 = 5;
const VOID: u8 = 6;
const END: u8 = 7;

/// One part of a backup.
#[derive(Debug)]
pub(super) enum Part {
    /// A canvas begins; what follows is its own.
    Canvas(Canvas),
    /// A piece of it.
    Kept(Kept),
    /// It is whole: as it is described now, exact at this sequence.
    Whole(Canvas, Sequence),
    /// It was reset or deleted meanwhile: what came of it since it began counts for nothing.
    Void,
    /// The file is whole: so many canvases, and the hash of everything before.
    End { canvases: u32, digest: [u8; 32] },
}

impl Part {
    /// Its kind and content.
    pub(super) fn encode(&self) -> (u8, Vec<u8>) {
        let mut out = Vec::new();
        let kind = match self {
            Self::Canvas(canvas) => {
                put_canvas(&mut out, canvas);
                CANVAS
            }
            Self::Kept(Kept::Chunk(id, chunk)) => {
                put_chunk(&mut out, *id, chunk);
                CHUNK
            }
            Self::Kept(Kept::Later(pixels)) => {
                for Repaint { at, color, mark } in pixels {
                    out.extend_from_slice(&at.x.to_le_bytes());
                    out.extend_from_slice(&at.y.to_le_bytes());
                    out.extend_from_slice(&color.0);
                    out.extend_from_slice(&mark.to_bytes());
                }
                LATER
            }
            Self::Kept(Kept::Authors(authors)) => {
                for (identity, name) in authors {
                    let author = encode_author(*identity, name);
                    out.push(author.len() as u8);
                    out.extend_from_slice(&author);
                }
                AUTHORS
            }
            Self::Whole(canvas, sequence) => {
                out.extend_from_slice(&sequence.0.to_le_bytes());
                put_canvas(&mut out, canvas);
                WHOLE
            }
            Self::Void => VOID,
            Self::End { canvases, digest } => {
                out.extend_from_slice(&canvases.to_le_bytes());
                out.extend_from_slice(digest);
                END
            }
        };
        (kind, out)
    }

    /// Reads a part of `canvas`, the one that began last; `None` when the content is not one.
    pub(super) fn decode(kind: u8, content: &[u8], canvas: Option<&Canvas>) -> Option<Self> {
        let mut input = Input(content);
        let part = match kind {
            CANVAS => Self::Canvas(read_canvas(&mut input)?),
            CHUNK => Self::Kept(read_chunk(&mut input, canvas?)?),
            LATER => {
                let mut pixels = Vec::new();
                while !input.0.is_empty() && pixels.len() < LATER_PIXELS_MAX {
                    pixels.push(read_repaint(&mut input, canvas?)?);
                }
                Self::Kept(Kept::Later(pixels))
            }
            AUTHORS => {
                let mut authors: Vec<(Identity, Name)> = Vec::new();
                while !input.0.is_empty() && authors.len() < AUTHORS_MAX {
                    let length = input.u8()?;
                    authors.push(decode_author(input.slice(length.into())?)?);
                }
                Self::Kept(Kept::Authors(authors))
            }
            WHOLE => {
                let sequence = Sequence(input.u64()?);
                Self::Whole(read_canvas(&mut input)?, sequence)
            }
            VOID => Self::Void,
            END => Self::End { canvases: input.u32()?, digest: input.array()? },
            _ => return None,
        };
        input.end().map(|()| part)
    }
}

/// Its key u16, its pixels behind their length u32, then its rows of marks: number u8, length u16, marks.
fn put_chunk(out: &mut Vec<u8>, id: ChunkId, chunk: &Chunk) {
    out.extend_from_slice(&chunk_key(id).to_le_bytes());
    let pixels = encode_chunk(chunk);
    out.extend_from_slice(&(pixels.len() as u32).to_le_bytes());
    out.extend_from_slice(&pixels);
    for row in chunk.mark_rows() {
        let marks = encode_marks(row, chunk.size().width() as usize);
        out.push(row.y);
        out.extend_from_slice(&(marks.len() as u16).to_le_bytes());
        out.extend_from_slice(&marks);
    }
}

fn read_chunk(input: &mut Input<'_>, canvas: &Canvas) -> Option<Kept> {
    let id = chunk_of_key(input.u16()?);
    let id = canvas.size.chunk(id.cx.into(), id.cy.into())?;
    let length = input.u32()?;
    let (changed, colors) = decode_chunk(input.slice(length as usize)?)?;
    let size = canvas.size.chunk_size(id);
    let mut rows = Vec::new();
    while !input.0.is_empty() {
        let (y, length) = (input.u8()?, input.u16()?);
        rows.push(MarkRow { y, pixels: decode_marks(input.slice(length.into())?, size.width() as usize)? });
    }
    let blank = Blank::new(size, &canvas.palette, canvas.background);
    Some(Kept::Chunk(id, Chunk::restore(&blank, &canvas.palette, changed, colors, rows)?))
}

fn read_repaint(input: &mut Input<'_>, canvas: &Canvas) -> Option<Repaint> {
    let at = Point { x: input.u16()?, y: input.u16()? };
    let (color, mark) = (Color(input.array()?), Mark::from_bytes(input.array()?)?);
    (canvas.size.holds(at) && canvas.palette.allows(color)).then_some(Repaint { at, color, mark })
}

/// The head of a part, and the checksum in it.
pub(super) fn part_head(kind: u8, content: &[u8]) -> [u8; PART_HEAD_BYTES] {
    let mut head = [kind; PART_HEAD_BYTES];
    head[1..5].copy_from_slice(&(content.len() as u32).to_le_bytes());
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(&head[..5]);
    checksum.update(content);
    head[5..].copy_from_slice(&checksum.finalize().to_le_bytes());
    head
}

/// Writes a backup part by part, and hashes it.
pub(super) struct Writer<W> {
    out: W,
    digest: Sha256,
}

impl<W: Write> Writer<W> {
    pub(super) fn begin(out: W, made_at: Timestamp) -> io::Result<Self> {
        let mut writer = Self { out, digest: Sha256::new() };
        writer.put(MAGIC)?;
        writer.put(&FORMAT_VERSION.to_le_bytes())?;
        writer.put(&made_at.0.to_le_bytes())?;
        Ok(writer)
    }

    pub(super) fn part(&mut self, part: &Part) -> io::Result<()> {
        let (kind, content) = part.encode();
        let content = zstd::bulk::compress(&content, COMPRESSION)?;
        self.put(&part_head(kind, &content))?;
        self.put(&content)
    }

    /// The last part.
    pub(super) fn end(mut self, canvases: u32) -> io::Result<()> {
        let digest = self.digest.clone().finalize().into();
        self.part(&Part::End { canvases, digest })?;
        self.out.flush()
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.digest.update(bytes);
        self.out.write_all(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fuzz_backup_parts() {
        let canvas = Canvas::default_canvas();
        let mark = Mark { sequence: Sequence(1), at: Timestamp(2), author: 0 };
        let repaint = Repaint { at: Point { x: 1, y: 1 }, color: Color([1; 3]), mark };
        let mut chunk = Chunk::new(&Blank::new(
            canvas.size.chunk_size(ChunkId { cx: 0, cy: 0 }),
            &canvas.palette,
            canvas.background,
        ));
        chunk.paint(0, Color([9; 3]), &canvas.palette, mark);
        let parts = [
            Part::Canvas(canvas.clone()),
            Part::Kept(Kept::Chunk(ChunkId { cx: 0, cy: 0 }, chunk)),
            Part::Kept(Kept::Later(vec![repaint])),
            Part::Kept(Kept::Authors(vec![(Identity([1; 16]), Name::anonymous())])),
            Part::Whole(canvas, Sequence(7)),
            Part::Void,
            Part::End { canvases: 1, digest: [0; 32] },
        ];
        let seeds = parts.map(|part| {
            let (kind, content) = part.encode();
            [&[kind][..], &content].concat()
        });
        crate::run::fuzz("backup_parts", &seeds, |bytes| {
            let Some((&kind, content)) = bytes.split_first() else { return };
            let canvas = Canvas::default_canvas();
            assert!(Part::decode(kind, content, None).is_none() || kind != CHUNK);
            let Some(part) = Part::decode(kind, content, Some(&canvas)) else { return };
            let (again, encoded) = part.encode();
            assert_eq!(again, kind);
            assert!(Part::decode(kind, &encoded, Some(&canvas)).is_some(), "it is read again as it was");
        });
    }

    #[test]
    fn fuzz_backup_files() {
        let canvas = Canvas::default_canvas();
        let parts = [Part::Canvas(canvas.clone()), Part::Whole(canvas, Sequence(0)), Part::Void];
        let plain = |part: Part| {
            let (kind, content) = part.encode();
            [&[kind][..], &(content.len() as u16).to_le_bytes(), &content].concat()
        };
        let seeds = [parts.map(plain).concat()];
        crate::run::fuzz("backup_files", &seeds, |bytes| {
            let _ = crate::backup::Backup::read(std::io::Cursor::new(bytes));
            // The head and each part's checksum are made to fit: kind, length u16, content.
            let mut file = Writer::begin(Vec::new(), Timestamp(1)).expect("memory takes it").out;
            let mut rest = bytes;
            while let [kind, low, high, more @ ..] = rest {
                let length = usize::from(u16::from_le_bytes([*low, *high])).min(more.len());
                let (content, behind) = more.split_at(length);
                let content = zstd::bulk::compress(content, COMPRESSION).expect("memory takes it");
                file.extend_from_slice(&part_head(*kind, &content));
                file.extend_from_slice(&content);
                rest = behind;
            }
            let _ = crate::backup::Backup::read(std::io::Cursor::new(file));
        });
    }
}
