//! What lies in the database file: its tables, and the codecs of their smaller rows.

use std::sync::Arc;

use pixel_canvas::{
    Bucket, Canvas, CanvasId, ChunkId, Color, Epoch, Identity, Name, Palette, Sequence, Size, Timestamp,
};
use redb::TableDefinition;

use super::bytes::{Input, put_short_text, put_text};
use super::picture::Era;

/// The version of everything in the file; a change that the program before could not read raises
/// it. This program reads earlier ones, and makes them its own: version 1 had chunks in their whole
/// form only, and kept authors under the canvas' number; version 2 had no histories, version 3 no journal.
pub const FORMAT_VERSION: u32 = 4;
/// The first version that keeps authors under their canvas' layer.
pub(crate) const FORMAT_WITH_LAYERED_AUTHORS: u32 = 2;

/// Single facts, by name.
pub(crate) const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
pub(crate) const META_VERSION: &str = "format_version";
/// The next number that no canvas and no layer had.
pub(crate) const META_NEXT_NUMBER: &str = "next_number";
/// How many commits were acknowledged.
pub(crate) const META_COMMITS: &str = "commits";

/// Canvas number → [`CanvasRow`].
pub(crate) const CANVASES: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("canvases");
/// (canvas number, last sequence) → one entry of the log, see `row.rs`.
pub(crate) const LOG: TableDefinition<'_, (u32, u64), &[u8]> = TableDefinition::new("log");
/// Canvas number → [`CheckpointRow`].
pub(crate) const CHECKPOINTS: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("checkpoints");
/// (layer, chunk row × 256 + column) → `changed` and the pixels, see `picture_rows.rs`.
pub(crate) const CHUNKS: TableDefinition<'_, (u32, u16), &[u8]> = TableDefinition::new("chunks");
/// (layer, chunk, row of the chunk) → its marks, see `picture_rows.rs`.
pub(crate) const MARKS: TableDefinition<'_, (u32, u16, u8), &[u8]> = TableDefinition::new("marks");
/// (layer, author number) → identity and name.
pub(crate) const AUTHORS: TableDefinition<'_, (u32, u32), &[u8]> = TableDefinition::new("authors");
/// (canvas number, last moment that any is kept to, sequence of the first) → idempotency records.
pub(crate) const RECORDS: TableDefinition<'_, (u32, u64, u64), &[u8]> = TableDefinition::new("records");
/// (layer, identity) → that person's history, see `histories.rs`.
pub(crate) const HISTORIES: TableDefinition<'_, (u32, u128), &[u8]> = TableDefinition::new("histories");
/// Canvas number → the cooldowns that were running at the checkpoint.
pub(crate) const COOLDOWNS: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("cooldowns");
/// Numbers of deleted canvases and replaced layers whose rows are to be removed.
pub(crate) const RUBBISH: TableDefinition<'_, u32, ()> = TableDefinition::new("rubbish");

/// A canvas at rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CanvasRow {
    pub(crate) canvas: Arc<Canvas>,
    /// Where its chunks lie.
    pub(crate) layer: u32,
    /// Its last epochs, the one that holds at the end; never empty.
    pub(crate) eras: Vec<Era>,
    /// Where its history stood when its cooldown was last changed.
    pub(crate) rule_from: Sequence,
}

impl CanvasRow {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_canvas(&mut out, &self.canvas);
        out.extend_from_slice(&self.layer.to_le_bytes());
        out.push(self.eras.len() as u8);
        for era in &self.eras {
            out.extend_from_slice(&era.epoch.0.to_le_bytes());
            out.extend_from_slice(&era.from.0.to_le_bytes());
        }
        out.extend_from_slice(&self.rule_from.0.to_le_bytes());
        out
    }

    pub(crate) fn decode(value: &[u8]) -> Option<Self> {
        let mut input = Input(value);
        let canvas = Arc::new(read_canvas(&mut input)?);
        let layer = input.u32()?;
        let count = input.u8()?;
        let era = |_| Some(Era { epoch: Epoch(input.u64()?), from: Sequence(input.u64()?) });
        let eras: Vec<Era> = (0..count).map(era).collect::<Option<_>>()?;
        let rule_from = Sequence(input.u64()?);
        input.end()?;
        (!eras.is_empty()).then_some(Self { canvas, layer, eras, rule_from })
    }
}

/// A canvas' description.
pub(crate) fn put_canvas(out: &mut Vec<u8>, canvas: &Canvas) {
    put_short_text(out, canvas.id.as_str());
    put_text(out, &canvas.name);
    out.extend_from_slice(&canvas.size.width().to_le_bytes());
    out.extend_from_slice(&canvas.size.height().to_le_bytes());
    let colors: &[Color] = match &canvas.palette {
        Palette::TrueColor => &[],
        Palette::Indexed(colors) => colors,
    };
    out.extend_from_slice(&(colors.len() as u16).to_le_bytes());
    colors.iter().for_each(|color| out.extend_from_slice(&color.0));
    out.extend_from_slice(&canvas.background.0);
    out.extend_from_slice(&canvas.cooldown_ms.to_le_bytes());
    out.extend_from_slice(&canvas.charges_max.to_le_bytes());
    out.push(u8::from(canvas.frozen));
}

/// Reads a canvas' description.
pub(crate) fn read_canvas(input: &mut Input<'_>) -> Option<Canvas> {
    let id = CanvasId::parse(input.short_text()?)?;
    let name = input.text()?.to_owned();
    let size = Size::new(input.u32()?, input.u32()?)?;
    let count = usize::from(input.u16()?);
    let colors = input.slice(count * 3)?.chunks_exact(3).map(|rgb| Color([rgb[0], rgb[1], rgb[2]])).collect();
    let palette = if count == 0 { Palette::TrueColor } else { Palette::indexed(colors).ok()? };
    let background = Some(Color(input.array()?)).filter(|color| palette.allows(*color))?;
    let (cooldown_ms, charges_max, frozen) = (input.u64()?, input.u32()?, input.u8()? != 0);
    Some(Canvas { id, name, size, palette, background, cooldown_ms, charges_max, frozen })
}

/// How far a canvas is kept outside its log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CheckpointRow {
    /// Everything up to here is in chunks, authors, records and cooldowns: replay begins after it.
    pub(crate) sequence: Sequence,
    /// Where the row of that sequence ended in the log.
    pub(crate) ends_at: u64,
    /// The store's clock then.
    pub(crate) at: Timestamp,
}

impl CheckpointRow {
    pub(crate) fn encode(&self) -> [u8; 24] {
        let mut out = [0; 24];
        out[..8].copy_from_slice(&self.sequence.0.to_le_bytes());
        out[8..16].copy_from_slice(&self.ends_at.to_le_bytes());
        out[16..].copy_from_slice(&self.at.0.to_le_bytes());
        out
    }

    pub(crate) fn decode(value: &[u8]) -> Option<Self> {
        let mut input = Input(value);
        let row =
            Self { sequence: Sequence(input.u64()?), ends_at: input.u64()?, at: Timestamp(input.u64()?) };
        input.end().map(|()| row)
    }
}

/// A chunk's key inside its layer.
pub(crate) fn chunk_key(id: ChunkId) -> u16 {
    u16::from(id.cy) << 8 | u16::from(id.cx)
}

/// The chunk of a key.
pub(crate) fn chunk_of_key(key: u16) -> ChunkId {
    ChunkId { cx: key as u8, cy: (key >> 8) as u8 }
}

pub(crate) fn encode_author(identity: Identity, name: &Name) -> Vec<u8> {
    let mut out = identity.0.to_vec();
    put_short_text(&mut out, name.as_str());
    out
}

pub(crate) fn decode_author(value: &[u8]) -> Option<(Identity, Name)> {
    let mut input = Input(value);
    let author = (Identity(input.array()?), Name::from(input.short_text()?.to_owned()));
    input.end().map(|()| author)
}

/// Cooldowns at rest: kind `u8` (0 an identity's, 1 an address'), subject 16 bytes, `u64` each.
pub(crate) fn put_cooldown(out: &mut Vec<u8>, kind: u8, subject: [u8; 16], bucket: Bucket) {
    out.push(kind);
    out.extend_from_slice(&subject);
    out.extend_from_slice(&bucket.full_at_us.to_le_bytes());
}

/// Reads one cooldown; the outer `None` when the bytes are not one.
pub(crate) fn read_cooldown(input: &mut Input<'_>) -> Option<(u8, [u8; 16], Bucket)> {
    Some((input.u8()?, input.array()?, Bucket { full_at_us: input.u64()? }))
}

#[cfg(test)]
mod tests {
    use pixel_canvas::CanvasSpec;

    use super::*;

    #[test]
    fn a_canvas_comes_back_from_rest() {
        let spec = CanvasSpec {
            id: "a-b".into(),
            name: Some("Ä Canvas".into()),
            width: 65_536,
            height: 1,
            palette: Some(vec!["#000000".into(), "#ff0000".into()]),
            background: Some("#FF0000".into()),
            cooldown_ms: Some(5_000),
            charges_max: Some(7),
        };
        let eras =
            vec![Era { epoch: Epoch(9), from: Sequence(0) }, Era { epoch: Epoch(8), from: Sequence(70) }];
        for canvas in [Canvas::parse(&spec).unwrap(), Canvas { frozen: true, ..Canvas::default_canvas() }] {
            let row =
                CanvasRow { canvas: Arc::new(canvas), layer: 3, eras: eras.clone(), rule_from: Sequence(5) };
            let bytes = row.encode();
            assert_eq!(CanvasRow::decode(&bytes), Some(row));
            for end in 0..bytes.len() {
                assert_eq!(CanvasRow::decode(&bytes[..end]), None, "{end}");
            }
        }
    }

    #[test]
    fn fuzz_table_rows() {
        let eras = vec![Era { epoch: Epoch(9), from: Sequence(0) }];
        let canvas = Arc::new(Canvas::default_canvas());
        let canvas = CanvasRow { canvas, layer: 3, eras, rule_from: Sequence(5) };
        let author = encode_author(Identity([1; 16]), &Name::anonymous());
        let seeds = [canvas.encode(), CheckpointRow::default().encode().to_vec(), author];
        crate::run::fuzz("table_rows", &seeds, |bytes| {
            if let Some(row) = CanvasRow::decode(bytes) {
                assert_eq!(CanvasRow::decode(&row.encode()), Some(row));
            }
            if let Some(row) = CheckpointRow::decode(bytes) {
                assert_eq!(row.encode()[..], *bytes);
            }
            let _ = decode_author(bytes);
            let _ = read_cooldown(&mut Input(bytes));
        });
    }
}
