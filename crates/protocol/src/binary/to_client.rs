//! What the server says.

use pixel_canvas::{
    ChunkId, Color, Epoch, Frame, Name, Palette, Point, Refusal, Sequence, Standing, Timestamp,
};

use super::reader::Reader;
use super::{Hello, Malformed};

mod kind {
    pub(super) const HELLO: u8 = 0x01;
    pub(super) const FRAME: u8 = 0x02;
    pub(super) const PROGRESS: u8 = 0x03;
    pub(super) const ACCEPTED: u8 = 0x04;
    pub(super) const REFUSED: u8 = 0x05;
    pub(super) const RESYNC: u8 = 0x06;
    pub(super) const PRESENCE: u8 = 0x07;
    pub(super) const PAINTERS: u8 = 0x08;
    pub(super) const ERROR: u8 = 0x09;
    pub(super) const PONG: u8 = 0x0A;
    pub(super) const TOKEN: u8 = 0x0B;
    pub(super) const PAINTER: u8 = 0x0C;
}

/// In `REFUSED`: there is no wait after which the same would be accepted.
const NEVER: u32 = u32::MAX;
/// In `PRESENCE`: the list is whole.
const FLAG_WHOLE: u8 = 1;

/// One message of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToClient {
    /// The canvas, its rules, and who the client is.
    Hello(Hello),
    /// Changes of one chunk.
    Frame(Frame),
    /// Every subscribed chunk is exact up to here.
    Progress {
        /// The epoch that holds.
        epoch: Epoch,
        /// Up to here.
        sequence: Sequence,
    },
    /// A submission is durable and in the log.
    Accepted {
        /// The submission's.
        key: u64,
        /// The sequence of its first placement; the others follow without a gap.
        first: Sequence,
        /// How many placements.
        count: u16,
        /// What the author may do next.
        standing: Standing,
    },
    /// Nothing of a submission happened; but [`Reason::Unknown`].
    Refused {
        /// The submission's.
        key: u64,
        /// Why.
        reason: Reason,
        /// When trying again makes sense, in milliseconds; `None`: never as it is.
        retry_after_ms: Option<u32>,
        /// Why, for people.
        sentence: String,
    },
    /// These chunks are to be loaded afresh, each at that sequence or later; none: everything is.
    Resync {
        /// The epoch that holds.
        epoch: Epoch,
        /// Which, and the least sequence that will do.
        chunks: Vec<(ChunkId, Sequence)>,
    },
    /// Who came and went.
    Presence {
        /// `come` is the whole list; what was known before is to be forgotten.
        whole: bool,
        /// Open sockets on this canvas.
        sockets: u32,
        /// Person numbers that left.
        gone: Vec<u32>,
        /// Person numbers that came or took another name, and the name.
        come: Vec<(u32, Name)>,
    },
    /// Who painted in a chunk just now, and where last.
    Painters {
        /// The chunk.
        chunk: ChunkId,
        /// Offset (row × 256 + column) and name, at most 16.
        painters: Vec<(u16, Name)>,
    },
    /// The message before was not understood; nothing changed.
    Error(String),
    /// Answers a ping.
    Pong {
        /// The ping's bytes.
        echo: [u8; 8],
        /// The server's clock.
        now: Timestamp,
    },
    /// Answers a token.
    Token {
        /// Until when it is valid.
        expires: Timestamp,
        /// The token to come back with; empty: the one sent was not valid, the identity stays.
        token: String,
    },
    /// Answers who painted a pixel.
    Painter {
        /// The pixel.
        at: Point,
        /// What it shows.
        color: Color,
        /// As which placement; zero where nobody painted.
        sequence: Sequence,
        /// When; zero where nobody painted.
        painted: Timestamp,
        /// Under which name; `None` where it was not recorded.
        name: Option<Name>,
    },
}

/// Why a submission was refused, as a number on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// 1: outside the canvas.
    Outside,
    /// 2: not a colour of the palette.
    Color,
    /// 3: wrong count.
    Count,
    /// 4: cooldown.
    Cooldown,
    /// 5: rate.
    Rate,
    /// 6: key used for other placements.
    KeyReused,
    /// 7: busy.
    Busy,
    /// 8: frozen.
    Frozen,
    /// 9: unavailable, this try did nothing.
    Unavailable,
    /// 10: unknown, retry with the same key.
    Unknown,
    /// 11: no such canvas.
    NoCanvas,
    /// 12: more than the limit ever allows at once.
    NeverEnough,
    /// 13: nothing to take back.
    NothingToUndo,
    /// 14: nothing to repeat.
    NothingToRedo,
    /// A reason that this version does not know.
    Other(u8),
}

impl From<&Refusal> for Reason {
    fn from(refusal: &Refusal) -> Self {
        match refusal {
            Refusal::Outside { .. } => Self::Outside,
            Refusal::NotAColor(_) | Refusal::NotInPalette(_) | Refusal::NotAnIndex { .. } => Self::Color,
            Refusal::Count { .. } => Self::Count,
            Refusal::Cooldown { .. } => Self::Cooldown,
            Refusal::Rate { .. } => Self::Rate,
            Refusal::KeyReused => Self::KeyReused,
            Refusal::Busy { .. } => Self::Busy,
            Refusal::Frozen => Self::Frozen,
            Refusal::Unavailable => Self::Unavailable,
            Refusal::Unknown => Self::Unknown,
            Refusal::NoCanvas => Self::NoCanvas,
            Refusal::NeverEnough { .. } => Self::NeverEnough,
            Refusal::NothingToUndo => Self::NothingToUndo,
            Refusal::NothingToRedo => Self::NothingToRedo,
        }
    }
}

impl Reason {
    const KNOWN: [Self; 14] = [
        Self::Outside,
        Self::Color,
        Self::Count,
        Self::Cooldown,
        Self::Rate,
        Self::KeyReused,
        Self::Busy,
        Self::Frozen,
        Self::Unavailable,
        Self::Unknown,
        Self::NoCanvas,
        Self::NeverEnough,
        Self::NothingToUndo,
        Self::NothingToRedo,
    ];

    /// The number on the wire.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Other(code) => code,
            known => 1 + Self::KNOWN.iter().position(|k| *k == known).expect("all are listed") as u8,
        }
    }

    /// The reason of a number.
    #[must_use]
    pub fn from_code(code: u8) -> Self {
        let known = usize::from(code).checked_sub(1).and_then(|index| Self::KNOWN.get(index));
        known.copied().unwrap_or(Self::Other(code))
    }
}

/// Appends a `FRAME`, the message that the server sends most. `after` ≤ `to`, at most 2^32 − 1 apart.
pub fn encode_frame(
    out: &mut Vec<u8>,
    epoch: Epoch,
    chunk: ChunkId,
    after: Sequence,
    to: Sequence,
    palette: &Palette,
    pixels: &[(u16, Color)],
) {
    let value_bytes = palette.bytes_per_pixel();
    out.reserve(23 + pixels.len() * (2 + value_bytes));
    out.extend_from_slice(&[kind::FRAME, chunk.cx, chunk.cy]);
    out.extend_from_slice(&epoch.0.to_le_bytes());
    out.extend_from_slice(&to.0.to_le_bytes());
    out.extend_from_slice(&(to.since(after) as u32).to_le_bytes());
    let mut value = [0; 3];
    let value = &mut value[..value_bytes];
    for (offset, color) in pixels {
        out.extend_from_slice(&offset.to_le_bytes());
        palette.store(*color, value);
        out.extend_from_slice(value);
    }
}

impl ToClient {
    /// Appends the message, without a WebSocket header.
    pub fn encode(&self, palette: &Palette, out: &mut Vec<u8>) {
        match self {
            Self::Hello(hello) => {
                out.push(kind::HELLO);
                hello.encode(out);
            }
            Self::Frame(frame) => {
                encode_frame(out, frame.epoch, frame.chunk, frame.after, frame.to, palette, &frame.pixels);
            }
            Self::Progress { epoch, sequence } => {
                out.push(kind::PROGRESS);
                out.extend_from_slice(&epoch.0.to_le_bytes());
                out.extend_from_slice(&sequence.0.to_le_bytes());
            }
            Self::Accepted { key, first, count, standing } => {
                out.push(kind::ACCEPTED);
                out.extend_from_slice(&key.to_le_bytes());
                out.extend_from_slice(&first.0.to_le_bytes());
                out.extend_from_slice(&count.to_le_bytes());
                out.extend_from_slice(&standing.charges.to_le_bytes());
                let next_ms = u32::try_from(standing.next_ms).unwrap_or(u32::MAX);
                out.extend_from_slice(&next_ms.to_le_bytes());
            }
            Self::Refused { key, reason, retry_after_ms, sentence } => {
                out.push(kind::REFUSED);
                out.extend_from_slice(&key.to_le_bytes());
                out.push(reason.code());
                out.extend_from_slice(&retry_after_ms.unwrap_or(NEVER).to_le_bytes());
                out.extend_from_slice(sentence.as_bytes());
            }
            Self::Resync { epoch, chunks } => {
                out.push(kind::RESYNC);
                out.extend_from_slice(&epoch.0.to_le_bytes());
                for (chunk, since) in chunks {
                    out.extend_from_slice(&[chunk.cx, chunk.cy]);
                    out.extend_from_slice(&since.0.to_le_bytes());
                }
            }
            Self::Presence { whole, sockets, gone, come } => {
                out.extend_from_slice(&[kind::PRESENCE, if *whole { FLAG_WHOLE } else { 0 }]);
                out.extend_from_slice(&sockets.to_le_bytes());
                out.extend_from_slice(&(gone.len() as u16).to_le_bytes());
                out.extend(gone.iter().flat_map(|person| person.to_le_bytes()));
                out.extend_from_slice(&(come.len() as u16).to_le_bytes());
                for (person, name) in come {
                    out.extend_from_slice(&person.to_le_bytes());
                    write_name(out, name);
                }
            }
            Self::Painters { chunk, painters } => {
                out.extend_from_slice(&[kind::PAINTERS, chunk.cx, chunk.cy]);
                for (offset, name) in painters {
                    out.extend_from_slice(&offset.to_le_bytes());
                    write_name(out, name);
                }
            }
            Self::Error(sentence) => {
                out.push(kind::ERROR);
                out.extend_from_slice(sentence.as_bytes());
            }
            Self::Pong { echo, now } => {
                out.push(kind::PONG);
                out.extend_from_slice(echo);
                out.extend_from_slice(&now.0.to_le_bytes());
            }
            Self::Token { expires, token } => {
                out.push(kind::TOKEN);
                out.extend_from_slice(&expires.0.to_le_bytes());
                out.extend_from_slice(token.as_bytes());
            }
            Self::Painter { at, color, sequence, painted, name } => {
                out.push(kind::PAINTER);
                out.extend_from_slice(&at.x.to_le_bytes());
                out.extend_from_slice(&at.y.to_le_bytes());
                let mut value = [0; 3];
                let value = &mut value[..palette.bytes_per_pixel()];
                palette.store(*color, value);
                out.extend_from_slice(value);
                out.extend_from_slice(&sequence.0.to_le_bytes());
                out.extend_from_slice(&painted.0.to_le_bytes());
                match name {
                    Some(name) => write_name(out, name),
                    None => out.push(0),
                }
            }
        }
    }

    /// Reads a message; `None` for a kind of a later version, which a client ignores.
    ///
    /// The palette is that of the `HELLO` before; `HELLO` itself does not need it.
    pub fn decode(bytes: &[u8], palette: &Palette) -> Result<Option<Self>, Malformed> {
        let (&kind, body) =
            bytes.split_first().ok_or_else(|| Malformed("the message is empty".to_owned()))?;
        Ok(Some(match kind {
            kind::HELLO => Self::Hello(Hello::decode(body)?),
            kind::FRAME => decode_frame(Reader::new("FRAME", body), palette)?,
            kind::PROGRESS => {
                let mut reader = Reader::new("PROGRESS", body);
                Self::Progress { epoch: reader.epoch()?, sequence: reader.sequence()? }
            }
            kind::ACCEPTED => {
                let mut reader = Reader::new("ACCEPTED", body);
                let (key, first, count) = (reader.u64()?, reader.sequence()?, reader.u16()?);
                let standing = Standing { charges: reader.u32()?, next_ms: reader.u32()?.into() };
                Self::Accepted { key, first, count, standing }
            }
            kind::REFUSED => {
                let mut reader = Reader::new("REFUSED", body);
                let (key, code, wait) = (reader.u64()?, reader.u8()?, reader.u32()?);
                let sentence = reader.rest_text()?.to_owned();
                let retry_after_ms = (wait != NEVER).then_some(wait);
                Self::Refused { key, reason: Reason::from_code(code), retry_after_ms, sentence }
            }
            kind::RESYNC => {
                let mut reader = Reader::new("RESYNC", body);
                let epoch = reader.epoch()?;
                let mut chunks = Vec::with_capacity(reader.entries(10)?);
                while !reader.is_empty() {
                    chunks.push((reader.chunk()?, reader.sequence()?));
                }
                Self::Resync { epoch, chunks }
            }
            kind::PRESENCE => decode_presence(Reader::new("PRESENCE", body))?,
            kind::PAINTERS => {
                let mut reader = Reader::new("PAINTERS", body);
                let chunk = reader.chunk()?;
                let mut painters = Vec::new();
                while !reader.is_empty() {
                    painters.push((reader.u16()?, read_name(&mut reader)?));
                }
                Self::Painters { chunk, painters }
            }
            kind::ERROR => Self::Error(Reader::new("ERROR", body).rest_text()?.to_owned()),
            kind::PONG => {
                let mut reader = Reader::new("PONG", body);
                let (echo, now) = (reader.array()?, reader.timestamp()?);
                reader.end()?;
                Self::Pong { echo, now }
            }
            kind::TOKEN => {
                let mut reader = Reader::new("TOKEN", body);
                Self::Token { expires: reader.timestamp()?, token: reader.rest_text()?.to_owned() }
            }
            kind::PAINTER => decode_painter(Reader::new("PAINTER", body), palette)?,
            _ => return Ok(None),
        }))
    }
}

fn decode_frame(mut reader: Reader<'_>, palette: &Palette) -> Result<ToClient, Malformed> {
    let chunk = reader.chunk()?;
    let epoch = reader.epoch()?;
    let (to, span) = (reader.sequence()?, u64::from(reader.u32()?));
    let after = to.0.checked_sub(span).map(Sequence);
    let after = after.ok_or_else(|| reader.malformed("it begins before the first sequence"))?;
    let value_bytes = palette.bytes_per_pixel();
    let mut pixels = Vec::with_capacity(reader.entries(2 + value_bytes)?);
    while !reader.is_empty() {
        let offset = reader.u16()?;
        let color = palette.load(reader.bytes(value_bytes)?);
        pixels.push((offset, color.ok_or_else(|| reader.malformed("a colour is not in the palette"))?));
    }
    Ok(ToClient::Frame(Frame { epoch, chunk, after, to, pixels }))
}

fn decode_painter(mut reader: Reader<'_>, palette: &Palette) -> Result<ToClient, Malformed> {
    let at = Point { x: reader.u16()?, y: reader.u16()? };
    let color = palette.load(reader.bytes(palette.bytes_per_pixel())?);
    let color = color.ok_or_else(|| reader.malformed("a colour is not in the palette"))?;
    let (sequence, painted) = (reader.sequence()?, reader.timestamp()?);
    let bytes = reader.u8()?;
    let text = reader.text(bytes.into())?;
    let name =
        (!text.is_empty()).then(|| Name::parse(text).ok_or_else(|| reader.malformed("a name is empty")));
    Ok(ToClient::Painter { at, color, sequence, painted, name: name.transpose()? })
}

fn decode_presence(mut reader: Reader<'_>) -> Result<ToClient, Malformed> {
    let (flags, sockets) = (reader.u8()?, reader.u32()?);
    let gone_count = usize::from(reader.u16()?);
    let gone = reader.bytes(gone_count * 4)?;
    let gone = gone.as_chunks::<4>().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect();
    // Not reserved by the count: a person takes at least 6 bytes that have to be there.
    let mut come = Vec::new();
    for _ in 0..reader.u16()? {
        come.push((reader.u32()?, read_name(&mut reader)?));
    }
    reader.end()?;
    Ok(ToClient::Presence { whole: flags & FLAG_WHOLE != 0, sockets, gone, come })
}

/// A name has at most 20 characters, so its length fits a byte.
fn write_name(out: &mut Vec<u8>, name: &Name) {
    out.push(name.as_str().len() as u8);
    out.extend_from_slice(name.as_str().as_bytes());
}

fn read_name(reader: &mut Reader<'_>) -> Result<Name, Malformed> {
    let bytes = reader.u8()?;
    let text = reader.text(bytes.into())?;
    Name::parse(text).ok_or_else(|| reader.malformed("a name is empty"))
}
