//! What a client says and hears in each dialect: bytes out, and messages taken apart where they lie.

use anyhow::{Result, bail, ensure};
use pixel_canvas::{Canvas, ChunkId, Color, Epoch, Palette, Placement, Point, Sequence, Size};
use pixel_protocol::binary::{self, ToClient, ToServer};
use pixel_protocol::json;
use pixel_protocol::websocket::{Opcode, write_masked_frame};

/// The colour of a placement is its number.
pub(crate) const NUMBER_MAX: u32 = 0x00ff_ffff;
/// The number of the floor's first message, which says only that it is there.
pub(crate) const WELCOME: u32 = u32::MAX;
/// Masks need not be secret on a loopback.
const MASK: [u8; 4] = [0x1b, 0x5d, 0xc3, 0x2f];
/// How an update begins in JSON, from whichever server.
const PIXEL_UPDATED: &[u8] = b"{\"type\":\"pixel_updated\",";

/// A square canvas, of which each client views one chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ground {
    /// Its name at ours.
    pub(crate) canvas: &'static str,
    /// Pixels of a side.
    pub(crate) side: u32,
    /// Clients view so many of its chunks, in turn; they paint all of them.
    pub(crate) views: usize,
}

/// One chunk: the canvas of every contestant.
pub(crate) const NARROW: Ground = Ground { canvas: "bench", side: 256, views: 1 };
/// 256 chunks, those at the right and lower edge smaller: only for who sends what is viewed.
pub(crate) const WIDE: Ground = Ground { canvas: "wide", side: 4_000, views: 256 };
/// The same, painted everywhere, but everybody views the same chunk.
pub(crate) const WIDE_SHARED: Ground = Ground { views: 1, ..WIDE };

/// A canvas as small as a first load is promised to be light for.
pub(crate) const SMALL: Ground = Ground { canvas: "small", side: 50, views: 1 };

impl Ground {
    fn size(self) -> Size {
        Size::new(self.side, self.side).expect("a canvas may have such a side")
    }

    /// The chunks, in the order in which clients take them.
    pub(crate) fn chunks(self) -> impl Iterator<Item = ChunkId> {
        self.size().chunks()
    }

    /// Which of the chunks the client at this place views.
    pub(crate) fn viewed(self, client: usize) -> usize {
        client % self.views
    }

    /// Which of the chunks it paints.
    pub(crate) fn painted(self, client: usize) -> usize {
        let (columns, rows) = self.size().chunk_grid();
        client % (columns * rows) as usize
    }
}

/// How a contestant is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// The floor's: messages of a fixed size that begin with the number, without any framing.
    Raw {
        /// Bytes of one message to a client.
        bytes: usize,
    },
    /// The original's JSON, from a server without sequences.
    PlainJson,
    /// Ours in JSON.
    Json,
    /// Ours in binary.
    Binary,
}

/// A placement as it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pixel {
    pub(crate) number: u32,
    pub(crate) x: u16,
    pub(crate) y: u16,
}

impl Pixel {
    /// The placement with this number in a chunk: its place looks random, and comes again only after all others of
    /// the chunk, so that nothing is coalesced and every placement has to arrive.
    pub(crate) fn numbered(number: u32, ground: Ground, chunk: ChunkId) -> Self {
        let size = ground.size().chunk_size(chunk);
        let nth = number % (size.width() * size.height());
        let mut place = (nth / size.width() * 256 + nth % size.width()) as u16;
        loop {
            // Each step can be undone, so different numbers stay different.
            for factor in [0x9e3b_u16, 0x7a4d, 0xc2b3] {
                place ^= place >> 7;
                place = place.wrapping_mul(factor).rotate_left(5);
            }
            let [x, y] = place.to_le_bytes();
            // A way that begins inside of a smaller chunk comes back to it, and no two ways meet.
            if u32::from(x) < size.width() && u32::from(y) < size.height() {
                return Self::within(chunk, number, x, y);
            }
        }
    }

    fn within(chunk: ChunkId, number: u32, x: u8, y: u8) -> Self {
        Self { number, x: u16::from_be_bytes([chunk.cx, x]), y: u16::from_be_bytes([chunk.cy, y]) }
    }
}

/// One message of a server, as far as a benchmark cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard<'a> {
    /// Pixels; the bytes are the same for every client.
    Update(&'a [u8]),
    /// The first message, with the position that it tells in binary.
    Greeting(Epoch, Sequence),
    /// The subscription was read.
    Subscribed,
    /// The subscription began at a canvas that nobody painted, of which there is nothing to have; later, a fault.
    LoadAfresh,
    /// To be answered by a pong.
    Ping(&'a [u8]),
    /// People and progress.
    Other,
}

/// The request that opens a WebSocket.
pub(crate) fn upgrade(dialect: Dialect, canvas: &str, host: &str) -> Vec<u8> {
    let subprotocol = match dialect {
        Dialect::Raw { .. } => return Vec::new(),
        Dialect::PlainJson => String::new(),
        Dialect::Json => format!("Sec-WebSocket-Protocol: {}\r\n", json::SUBPROTOCOL),
        Dialect::Binary => format!("Sec-WebSocket-Protocol: {}\r\n", binary::SUBPROTOCOL),
    };
    format!(
        "GET /ws?canvas={canvas} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{subprotocol}\r\n"
    )
    .into_bytes()
}

/// Appends one placement.
pub(crate) fn place(dialect: Dialect, pixel: Pixel, out: &mut Vec<u8>) {
    let Pixel { number, x, y } = pixel;
    match dialect {
        Dialect::Raw { .. } => out.extend_from_slice(&number.to_le_bytes()),
        Dialect::PlainJson | Dialect::Json => {
            let message = format!(
                "{{\"type\":\"pixel_update\",\"x\":{x},\"y\":{y},\"color\":\"#{number:06X}\",\
                 \"username\":\"Anonymous\"}}"
            );
            write_masked_frame(out, Opcode::Text, message.as_bytes(), MASK);
        }
        Dialect::Binary => {
            let [red, green, blue, _] = number.to_le_bytes();
            let placement = Placement { at: Point { x, y }, color: Color([red, green, blue]) };
            submit(number.into(), vec![placement], out);
        }
    }
}

/// Appends a submission in binary.
pub(crate) fn submit(key: u64, placements: Vec<Placement>, out: &mut Vec<u8>) {
    say(&ToServer::Submit { key, placements: Ok(placements) }, out);
}

/// Appends the subscription to a chunk, and a ping whose answer says that it was read.
pub(crate) fn subscribe(chunk: ChunkId, epoch: Epoch, have: Sequence, out: &mut Vec<u8>) {
    say(&ToServer::Subscribe { epoch, chunks: vec![(chunk, have)] }, out);
    say(&ToServer::Ping([0; 8]), out);
}

/// Appends the answer to a ping.
pub(crate) fn pong(payload: &[u8], out: &mut Vec<u8>) {
    write_masked_frame(out, Opcode::Pong, payload, MASK);
}

fn say(message: &ToServer<'_>, out: &mut Vec<u8>) {
    let mut payload = Vec::with_capacity(64);
    // Only the palette matters for the encoding, and true colour is the default.
    message.encode(&Canvas::default_canvas(), &mut payload);
    write_masked_frame(out, Opcode::Binary, &payload, MASK);
}

/// The length of the head of an HTTP answer that accepts the upgrade; `None` while bytes are missing.
pub(crate) fn upgraded(bytes: &[u8]) -> Result<Option<usize>> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let head = String::from_utf8_lossy(&bytes[..end]);
    ensure!(head.starts_with("HTTP/1.1 101 "), "the upgrade was refused: {head}");
    Ok(Some(end + 4))
}

/// Takes the first message of what was read apart, with its length; `None` while bytes are missing.
pub(crate) fn hear(dialect: Dialect, bytes: &[u8]) -> Result<Option<(Heard<'_>, usize)>> {
    if let Dialect::Raw { bytes: size } = dialect {
        let Some(message) = bytes.get(..size) else { return Ok(None) };
        let welcome = message.starts_with(&WELCOME.to_le_bytes());
        let heard = if welcome { Heard::Greeting(Epoch(0), Sequence::ZERO) } else { Heard::Update(message) };
        return Ok(Some((heard, size)));
    }
    let (payload_at, length) = match *bytes {
        [_, 127, a, b, c, d, e, f, g, h, ..] => (10, u64::from_be_bytes([a, b, c, d, e, f, g, h]) as usize),
        [_, 126, a, b, ..] => (4, usize::from(u16::from_be_bytes([a, b]))),
        [_, short @ 0..=125, ..] => (2, usize::from(short)),
        [_, 128..=255, ..] => bail!("a masked frame from a server"),
        _ => return Ok(None),
    };
    let Some(payload) = bytes.get(payload_at..payload_at + length) else { return Ok(None) };
    let heard = match (bytes[0], dialect) {
        (0x82, Dialect::Binary) => hear_binary(payload)?,
        (0x81, Dialect::Json | Dialect::PlainJson) => hear_json(payload)?,
        (0x89, _) => Heard::Ping(payload),
        (0x8a, _) => Heard::Other,
        (first, _) => bail!("a frame that begins with {first:#x}: {}", String::from_utf8_lossy(payload)),
    };
    Ok(Some((heard, payload_at + length)))
}

fn hear_binary(payload: &[u8]) -> Result<Heard<'_>> {
    // The one kind that comes by the million is told by its first byte alone.
    if payload.first() == Some(&0x02) {
        return Ok(Heard::Update(payload));
    }
    Ok(match ToClient::decode(payload, &Palette::TrueColor)? {
        Some(ToClient::Hello(hello)) => Heard::Greeting(hello.epoch, hello.sequence),
        Some(ToClient::Pong { .. }) => Heard::Subscribed,
        Some(ToClient::Refused { sentence, .. } | ToClient::Error(sentence)) => bail!("refused: {sentence}"),
        Some(ToClient::Resync { .. }) => Heard::LoadAfresh,
        _ => Heard::Other,
    })
}

fn hear_json(payload: &[u8]) -> Result<Heard<'_>> {
    if payload.starts_with(PIXEL_UPDATED) {
        return Ok(Heard::Update(payload));
    }
    if payload.starts_with(b"{\"type\":\"connected\"") {
        return Ok(Heard::Greeting(Epoch(0), Sequence::ZERO));
    }
    let bad = [&b"{\"type\":\"error\""[..], b"{\"type\":\"resync\""];
    ensure!(!bad.iter().any(|start| payload.starts_with(start)), "{}", String::from_utf8_lossy(payload));
    Ok(Heard::Other)
}

/// An update, decoded: its pixels in order, and the sequences `(after, to]` that it covers where it tells them.
pub(crate) fn decode(
    dialect: Dialect,
    payload: &[u8],
    pixels: &mut Vec<Pixel>,
) -> Result<Option<(Sequence, Sequence)>> {
    match dialect {
        Dialect::Raw { .. } => {
            let number = payload[..4].try_into().expect("the caller cut a whole message");
            pixels.push(Pixel::numbered(u32::from_le_bytes(number), NARROW, ChunkId { cx: 0, cy: 0 }));
            Ok(None)
        }
        Dialect::PlainJson | Dialect::Json => {
            #[derive(serde::Deserialize)]
            struct Update<'a> {
                x: u16,
                y: u16,
                #[serde(borrow)]
                color: &'a str,
                sequence: Option<u64>,
            }
            let update: Update<'_> = serde_json::from_slice(payload)?;
            let number = u32::from_str_radix(update.color.trim_start_matches('#'), 16)?;
            pixels.push(Pixel { number, x: update.x, y: update.y });
            ensure!(
                update.sequence.is_some() == (dialect == Dialect::Json),
                "a sequence is there, or missing"
            );
            Ok(update.sequence.map(|to| (Sequence(to.saturating_sub(1)), Sequence(to))))
        }
        Dialect::Binary => {
            let Some(ToClient::Frame(frame)) = ToClient::decode(payload, &Palette::TrueColor)? else {
                bail!("not a frame")
            };
            for (offset, Color([red, green, blue])) in frame.pixels {
                let [x, y] = offset.to_le_bytes();
                let number = u32::from_le_bytes([red, green, blue, 0]);
                pixels.push(Pixel::within(frame.chunk, number, x, y));
            }
            Ok(Some((frame.after, frame.to)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_come_again_only_after_all_others() {
        for (ground, cx, cy) in [(NARROW, 0, 0), (WIDE, 3, 9), (WIDE, 15, 2), (WIDE, 15, 15)] {
            let chunk = ChunkId { cx, cy };
            let mut seen = std::collections::HashSet::new();
            for number in 0..ground.size().chunk_size(chunk).pixels() as u32 {
                let Pixel { x, y, .. } = Pixel::numbered(number, ground, chunk);
                let at = Point { x, y };
                assert!(ground.size().holds(at) && at.chunk() == chunk, "{number} lies outside of {chunk:?}");
                assert!(seen.insert((x, y)), "{number} is where another was");
            }
        }
    }

    #[test]
    fn clients_take_the_chunks_in_turn_and_paint_all_even_where_they_share_one() {
        let taken = |of: fn(Ground, usize) -> usize, ground| {
            let chunks: std::collections::HashSet<_> = (0..512).map(|client| of(ground, client)).collect();
            chunks.len()
        };
        let grounds = [NARROW, SMALL, WIDE, WIDE_SHARED];
        assert_eq!(grounds.map(|ground| taken(Ground::viewed, ground)), [1, 1, 256, 1]);
        assert_eq!(grounds.map(|ground| taken(Ground::painted, ground)), [1, 1, 256, 256]);
    }

    #[test]
    fn updates_of_every_dialect_tell_their_pixels() {
        let expected = Pixel { number: 0x0a_0b_0c, x: 3, y: 200 };
        let plain =
            br##"{"type":"pixel_updated","x":3,"y":200,"color":"#0A0B0C","username":"A","timestamp":1}"##;
        let ours = br##"{"type":"pixel_updated","x":3,"y":200,"color":"#0A0B0C","username":"A","timestamp":1,"sequence":9}"##;
        let mut frame = Vec::new();
        let (chunk, pixels) = (ChunkId { cx: 0, cy: 0 }, vec![(200 * 256 + 3, Color([0x0c, 0x0b, 0x0a]))]);
        let (after, to) = (Sequence(8), Sequence(9));
        ToClient::Frame(pixel_canvas::Frame { epoch: Epoch(7), chunk, after, to, pixels })
            .encode(&Palette::TrueColor, &mut frame);
        let covered = Some((after, to));
        for (dialect, payload, tells) in [
            (Dialect::PlainJson, &plain[..], None),
            (Dialect::Json, &ours[..], covered),
            (Dialect::Binary, &frame[..], covered),
        ] {
            let mut pixels = Vec::new();
            assert_eq!(decode(dialect, payload, &mut pixels).expect("an update"), tells, "{dialect:?}");
            assert_eq!(pixels, [expected], "{dialect:?}");
        }
    }

    #[test]
    fn messages_are_cut_where_they_end() {
        let mut bytes = Vec::new();
        let long = format!("{{\"type\":\"pixel_updated\",\"x\":{:>200}", 1);
        pixel_protocol::websocket::write_frame(&mut bytes, Opcode::Text, long.as_bytes());
        pixel_protocol::websocket::write_frame(&mut bytes, Opcode::Ping, b"hi");
        let (heard, length) = hear(Dialect::Json, &bytes).expect("good").expect("whole");
        assert_eq!((heard, length), (Heard::Update(long.as_bytes()), long.len() + 4));
        assert_eq!(hear(Dialect::Json, &bytes[length..]).expect("good"), Some((Heard::Ping(b"hi"), 4)));
        assert_eq!(hear(Dialect::Json, &bytes[..length - 1]).expect("good"), None);
        assert!(hear(Dialect::Json, b"\x81\x10{\"type\":\"error\"}").is_err());
    }
}
