//! `HELLO`: a canvas with its rules, and who the client is there.

use std::sync::Arc;

use pixel_canvas::author::NAME_CHARACTERS_MAX;
use pixel_canvas::placement::SOCKET_SUBMISSION_PLACEMENTS_MAX;
use pixel_canvas::{Canvas, CanvasId, Color, Epoch, Palette, Sequence, Size, Timestamp};

use super::reader::Reader;
use super::{Malformed, VERSION};
use crate::{CHUNKS_SUBSCRIBED_MAX, IN_FLIGHT_PLACEMENTS_MAX};

const FLAG_FROZEN: u8 = 1;
const FLAG_GUESTS_COOL: u8 = 1 << 1;
const FLAG_STALE: u8 = 1 << 2;

/// What opens a conversation, and what tells it of changed rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The dialect's version; a client that knows only version 1 may go on with any.
    pub version: u8,
    /// The canvas and its rules.
    pub canvas: Arc<Canvas>,
    /// A new guest has to wait for its first placement.
    pub guests_start_cooling: bool,
    /// The store is away: what is seen may be old, and nothing can be placed.
    pub stale: bool,
    /// The epoch that holds.
    pub epoch: Epoch,
    /// Where the canvas stands.
    pub sequence: Sequence,
    /// The server's clock.
    pub now: Timestamp,
    /// The most placements in one `SUBMIT`.
    pub submission_placements_max: u16,
    /// The most placements without an answer.
    pub in_flight_placements_max: u16,
    /// The most chunks viewed at a time.
    pub chunks_subscribed_max: u16,
    /// The longest name, in characters.
    pub name_characters_max: u8,
    /// The number that presence knows this connection by.
    pub person: u32,
    /// The token to come back with; empty when the client has one.
    pub token: String,
}

impl Hello {
    /// A hello with this version's limits; who comes new to a canvas with a cooldown starts cooling.
    #[must_use]
    pub fn new(
        canvas: &Canvas,
        epoch: Epoch,
        sequence: Sequence,
        now: Timestamp,
        person: u32,
        token: &str,
    ) -> Self {
        Self {
            version: VERSION,
            canvas: Arc::new(canvas.clone()),
            guests_start_cooling: canvas.cooldown().is_some(),
            stale: false,
            epoch,
            sequence,
            now,
            submission_placements_max: SOCKET_SUBMISSION_PLACEMENTS_MAX as u16,
            in_flight_placements_max: IN_FLIGHT_PLACEMENTS_MAX as u16,
            chunks_subscribed_max: CHUNKS_SUBSCRIBED_MAX as u16,
            name_characters_max: NAME_CHARACTERS_MAX as u8,
            person,
            token: token.to_owned(),
        }
    }

    /// Appends the body.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let canvas = &*self.canvas;
        let frozen = if canvas.frozen { FLAG_FROZEN } else { 0 };
        let cooling = if self.guests_start_cooling { FLAG_GUESTS_COOL } else { 0 };
        let stale = if self.stale { FLAG_STALE } else { 0 };
        out.extend_from_slice(&[self.version, frozen | cooling | stale]);
        for wide in [self.epoch.0, self.sequence.0, self.now.0] {
            out.extend_from_slice(&wide.to_le_bytes());
        }
        out.extend_from_slice(&canvas.size.width().to_le_bytes());
        out.extend_from_slice(&canvas.size.height().to_le_bytes());
        out.extend_from_slice(&canvas.background.0);
        out.extend_from_slice(&(canvas.cooldown_ms as u32).to_le_bytes());
        out.extend_from_slice(&canvas.charges_max.to_le_bytes());
        let limits =
            [self.submission_placements_max, self.in_flight_placements_max, self.chunks_subscribed_max];
        for limit in limits {
            out.extend_from_slice(&limit.to_le_bytes());
        }
        out.push(self.name_characters_max);
        out.extend_from_slice(&self.person.to_le_bytes());
        out.push(canvas.id.as_str().len() as u8);
        out.extend_from_slice(canvas.id.as_str().as_bytes());
        out.extend_from_slice(&(canvas.name.len() as u16).to_le_bytes());
        out.extend_from_slice(canvas.name.as_bytes());
        let colors: &[Color] = match &canvas.palette {
            Palette::TrueColor => &[],
            Palette::Indexed(colors) => colors,
        };
        out.extend_from_slice(&(colors.len() as u16).to_le_bytes());
        for color in colors {
            out.extend_from_slice(&color.0);
        }
        out.extend_from_slice(&(self.token.len() as u16).to_le_bytes());
        out.extend_from_slice(self.token.as_bytes());
    }

    /// Reads a body; bytes behind the token are of a later version.
    pub(super) fn decode(body: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new("HELLO", body);
        let [version, flags] = reader.array()?;
        let (epoch, sequence, now) = (reader.epoch()?, reader.sequence()?, reader.timestamp()?);
        let (width, height) = (reader.u32()?, reader.u32()?);
        let size = Size::new(width, height)
            .ok_or_else(|| reader.malformed(format_args!("{width}×{height} is no size of a canvas")))?;
        let background = Color(reader.array()?);
        let (cooldown_ms, charges_max) = (reader.u32()?, reader.u32()?);
        let limits = [reader.u16()?, reader.u16()?, reader.u16()?];
        let name_characters_max = reader.u8()?;
        let person = reader.u32()?;
        let id_bytes = reader.u8()?;
        let id = reader.text(id_bytes.into())?;
        let id = CanvasId::parse(id).ok_or_else(|| reader.malformed("the id is none of a canvas"))?;
        let name_bytes = reader.u16()?;
        let name = reader.text(name_bytes.into())?.to_owned();
        let palette = match reader.u16()? {
            0 => Palette::TrueColor,
            count => {
                let colors = reader.bytes(usize::from(count) * 3)?;
                let colors = colors.as_chunks::<3>().0.iter().map(|rgb| Color(*rgb)).collect();
                Palette::indexed(colors).map_err(|problem| reader.malformed(problem))?
            }
        };
        let token_bytes = reader.u16()?;
        let token = reader.text(token_bytes.into())?.to_owned();
        let canvas = Canvas {
            id,
            name,
            size,
            palette,
            background,
            cooldown_ms: cooldown_ms.into(),
            charges_max,
            frozen: flags & FLAG_FROZEN != 0,
        };
        let [submission_placements_max, in_flight_placements_max, chunks_subscribed_max] = limits;
        Ok(Self {
            version,
            canvas: Arc::new(canvas),
            guests_start_cooling: flags & FLAG_GUESTS_COOL != 0,
            stale: flags & FLAG_STALE != 0,
            epoch,
            sequence,
            now,
            submission_placements_max,
            in_flight_placements_max,
            chunks_subscribed_max,
            name_characters_max,
            person,
            token,
        })
    }
}
