//! What clients say.

use pixel_canvas::placement::SOCKET_SUBMISSION_PLACEMENTS_MAX;
use pixel_canvas::{Canvas, ChunkId, Epoch, Palette, Placement, Point, Refusal, Sequence, Turn};

use super::Malformed;
use super::reader::Reader;
use crate::{CHUNKS_SUBSCRIBED_MAX, SUBSCRIBE_CHUNKS_MAX};

mod kind {
    pub(super) const SUBSCRIBE: u8 = 0x81;
    pub(super) const UNSUBSCRIBE: u8 = 0x82;
    pub(super) const SUBMIT: u8 = 0x83;
    pub(super) const NAME: u8 = 0x84;
    pub(super) const PING: u8 = 0x85;
    pub(super) const IDENTIFY: u8 = 0x86;
    pub(super) const UNDO: u8 = 0x87;
    pub(super) const REDO: u8 = 0x88;
    pub(super) const WHO: u8 = 0x89;
}

/// One message of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToServer<'a> {
    /// View these chunks too.
    Subscribe {
        /// The epoch of what is held.
        epoch: Epoch,
        /// 1 to 256 chunks and the sequence each is held at; zero for not held.
        chunks: Vec<(ChunkId, Sequence)>,
    },
    /// View these chunks no more.
    Unsubscribe {
        /// 1 to 1,024 chunks.
        chunks: Vec<ChunkId>,
    },
    /// Paint, all or nothing.
    Submit {
        /// The client's choice; the same one makes a retry safe.
        key: u64,
        /// 1 to 256 placements that are valid on the canvas, or why they are refused.
        placements: Result<Vec<Placement>, Refusal>,
    },
    /// Be shown under this name; empty forgets it.
    Name(&'a str),
    /// To be answered with the same bytes.
    Ping([u8; 8]),
    /// Be who this token says.
    Identify(&'a str),
    /// Take back or repeat one's own steps, as many as can be.
    Retrace {
        /// Which way: `UNDO` or `REDO`.
        turn: Turn,
        /// The client's choice, as in a submission.
        key: u64,
        /// The most steps; how many are allowed is checked later.
        count: u16,
    },
    /// Asks who painted this pixel and when.
    Who(Point),
}

impl<'a> ToServer<'a> {
    /// Reads one message to this canvas.
    pub fn decode(bytes: &'a [u8], canvas: &Canvas) -> Result<Self, Malformed> {
        let (&kind, body) =
            bytes.split_first().ok_or_else(|| Malformed("the message is empty".to_owned()))?;
        match kind {
            kind::SUBSCRIBE => decode_subscribe(Reader::new("SUBSCRIBE", body), canvas),
            kind::UNSUBSCRIBE => decode_unsubscribe(Reader::new("UNSUBSCRIBE", body), canvas),
            kind::SUBMIT => decode_submit(Reader::new("SUBMIT", body), canvas),
            kind::NAME => Ok(Self::Name(Reader::new("NAME", body).rest_text()?)),
            kind::PING => {
                let mut reader = Reader::new("PING", body);
                let echo = reader.array()?;
                reader.end()?;
                Ok(Self::Ping(echo))
            }
            kind::IDENTIFY => Ok(Self::Identify(Reader::new("IDENTIFY", body).rest_text()?)),
            kind::UNDO => decode_retrace(Reader::new("UNDO", body), Turn::Undo),
            kind::REDO => decode_retrace(Reader::new("REDO", body), Turn::Redo),
            kind::WHO => decode_who(Reader::new("WHO", body), canvas),
            other => Err(Malformed(format!("there is no kind 0x{other:02x}: the kinds are 0x81 to 0x89"))),
        }
    }

    /// Appends the message as a client sends it. A refused submission has no wire form: it is
    /// written as one without placements.
    pub fn encode(&self, canvas: &Canvas, out: &mut Vec<u8>) {
        match self {
            Self::Subscribe { epoch, chunks } => {
                out.push(kind::SUBSCRIBE);
                out.extend_from_slice(&epoch.0.to_le_bytes());
                for (chunk, have) in chunks {
                    out.extend_from_slice(&[chunk.cx, chunk.cy]);
                    out.extend_from_slice(&have.0.to_le_bytes());
                }
            }
            Self::Unsubscribe { chunks } => {
                out.push(kind::UNSUBSCRIBE);
                out.extend(chunks.iter().flat_map(|chunk| [chunk.cx, chunk.cy]));
            }
            Self::Submit { key, placements } => {
                out.push(kind::SUBMIT);
                out.extend_from_slice(&key.to_le_bytes());
                let mut value = [0; 3];
                let value = &mut value[..canvas.palette.bytes_per_pixel()];
                for placement in placements.as_deref().unwrap_or_default() {
                    out.extend_from_slice(&placement.at.x.to_le_bytes());
                    out.extend_from_slice(&placement.at.y.to_le_bytes());
                    canvas.palette.store(placement.color, value);
                    out.extend_from_slice(value);
                }
            }
            Self::Name(name) => {
                out.push(kind::NAME);
                out.extend_from_slice(name.as_bytes());
            }
            Self::Ping(echo) => {
                out.push(kind::PING);
                out.extend_from_slice(echo);
            }
            Self::Identify(token) => {
                out.push(kind::IDENTIFY);
                out.extend_from_slice(token.as_bytes());
            }
            Self::Retrace { turn, key, count } => {
                out.push(match turn {
                    Turn::Undo => kind::UNDO,
                    Turn::Redo => kind::REDO,
                });
                out.extend_from_slice(&key.to_le_bytes());
                out.extend_from_slice(&count.to_le_bytes());
            }
            Self::Who(at) => {
                out.push(kind::WHO);
                out.extend_from_slice(&at.x.to_le_bytes());
                out.extend_from_slice(&at.y.to_le_bytes());
            }
        }
    }
}

fn decode_subscribe<'a>(mut reader: Reader<'a>, canvas: &Canvas) -> Result<ToServer<'a>, Malformed> {
    let epoch = reader.epoch()?;
    let count = reader.entries(10)?;
    if !(1..=SUBSCRIBE_CHUNKS_MAX).contains(&count) {
        return Err(
            reader.malformed(format_args!("it names 1 to {SUBSCRIBE_CHUNKS_MAX} chunks, not {count}"))
        );
    }
    let mut chunks = Vec::with_capacity(count);
    while !reader.is_empty() {
        chunks.push((reader.chunk_of(canvas.size)?, reader.sequence()?));
    }
    Ok(ToServer::Subscribe { epoch, chunks })
}

fn decode_unsubscribe<'a>(mut reader: Reader<'a>, canvas: &Canvas) -> Result<ToServer<'a>, Malformed> {
    let count = reader.entries(2)?;
    if !(1..=CHUNKS_SUBSCRIBED_MAX).contains(&count) {
        return Err(
            reader.malformed(format_args!("it names 1 to {CHUNKS_SUBSCRIBED_MAX} chunks, not {count}"))
        );
    }
    let mut chunks = Vec::with_capacity(count);
    while !reader.is_empty() {
        chunks.push(reader.chunk_of(canvas.size)?);
    }
    Ok(ToServer::Unsubscribe { chunks })
}

fn decode_retrace(mut reader: Reader<'_>, turn: Turn) -> Result<ToServer<'_>, Malformed> {
    let (key, count) = (reader.u64()?, reader.u16()?);
    reader.end()?;
    Ok(ToServer::Retrace { turn, key, count })
}

fn decode_who<'a>(mut reader: Reader<'a>, canvas: &Canvas) -> Result<ToServer<'a>, Malformed> {
    let (x, y) = (reader.u16()?, reader.u16()?);
    reader.end()?;
    let at = canvas.size.point(x.into(), y.into());
    at.map(ToServer::Who).ok_or_else(|| reader.malformed(format_args!("({x}, {y}) is outside the canvas")))
}

fn decode_submit<'a>(mut reader: Reader<'a>, canvas: &Canvas) -> Result<ToServer<'a>, Malformed> {
    let key = reader.u64()?;
    let value_bytes = canvas.palette.bytes_per_pixel();
    let count = reader.entries(4 + value_bytes)?;
    let placements = decode_placements(&mut reader, canvas, count, value_bytes)?;
    Ok(ToServer::Submit { key, placements })
}

fn decode_placements(
    reader: &mut Reader<'_>,
    canvas: &Canvas,
    count: usize,
    value_bytes: usize,
) -> Result<Result<Vec<Placement>, Refusal>, Malformed> {
    let max = SOCKET_SUBMISSION_PLACEMENTS_MAX;
    if !(1..=max).contains(&count) {
        return Ok(Err(Refusal::Count { count, max }));
    }
    let mut placements = Vec::with_capacity(count);
    while !reader.is_empty() {
        let (x, y) = (i64::from(reader.u16()?), i64::from(reader.u16()?));
        let value = reader.bytes(value_bytes)?;
        let Some(at) = canvas.size.point(x, y) else {
            return Ok(Err(Refusal::Outside { x, y, size: canvas.size }));
        };
        let Some(color) = canvas.palette.load(value) else {
            return Ok(Err(not_an_index(value[0], &canvas.palette)));
        };
        placements.push(Placement { at, color });
    }
    Ok(Ok(placements))
}

/// True colour has a colour for every value, so only an index can miss.
fn not_an_index(index: u8, palette: &Palette) -> Refusal {
    let colors = match palette {
        Palette::TrueColor => pixel_canvas::palette::PALETTE_COLORS_MAX,
        Palette::Indexed(colors) => colors.len(),
    };
    Refusal::NotAnIndex { index, colors }
}
