//! Changes as the frames that carry them, in both dialects. Pure.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use pixel_canvas::{Canvas, ChunkId, Color, Entry, Epoch, Name, Sequence, Timestamp};
use pixel_protocol::websocket::{Opcode, write_frame};
use pixel_protocol::{PAINTERS_MAX, binary, json};

use super::fanout::Segment;
use super::news::News;
use super::presence::Changes;

/// The changes of one chunk: the last colour of each pixel, the last place of each painter.
#[derive(Default)]
pub(crate) struct ChunkChanges<'a> {
    pub(crate) to: Sequence,
    pixels: Vec<(u16, Color)>,
    places: HashMap<u16, usize>,
    painters: Vec<(u16, &'a Name)>,
}

impl<'a> ChunkChanges<'a> {
    fn paint(&mut self, offset: u16, color: Color, name: Option<&'a Name>, sequence: Sequence) {
        self.to = sequence;
        match self.places.get(&offset) {
            Some(place) => self.pixels[*place].1 = color,
            None => {
                self.places.insert(offset, self.pixels.len());
                self.pixels.push((offset, color));
            }
        }
        let Some(name) = name else { return };
        if let Some(painter) = self.painters.iter_mut().find(|(_, painter)| *painter == name) {
            painter.0 = offset;
        } else if self.painters.len() < PAINTERS_MAX {
            self.painters.push((offset, name));
        }
    }

    /// Appends the frame that carries them to who is at `after` or later.
    pub(crate) fn write_frame(
        &self,
        out: &mut Vec<u8>,
        epoch: Epoch,
        id: ChunkId,
        after: Sequence,
        canvas: &Canvas,
    ) {
        let mut payload = Vec::new();
        binary::encode_frame(&mut payload, epoch, id, after, self.to, &canvas.palette, &self.pixels);
        write_frame(out, Opcode::Binary, &payload);
    }

    /// Who painted, and where last; at most [`PAINTERS_MAX`] of them.
    pub(crate) fn painters(&self) -> Vec<(u16, Name)> {
        self.painters.iter().map(|(offset, name)| (*offset, (*name).clone())).collect()
    }
}

/// What changed in which chunk, in the chunks' order.
pub(crate) fn changed_chunks(entries: &[Arc<Entry>]) -> BTreeMap<ChunkId, ChunkChanges<'_>> {
    let mut changed: BTreeMap<ChunkId, ChunkChanges<'_>> = BTreeMap::new();
    for entry in entries {
        for (sequence, placement, name) in entry.placements() {
            let chunk = changed.entry(placement.at.chunk()).or_default();
            chunk.paint(placement.at.offset(), placement.color, name, sequence);
        }
    }
    changed
}

/// Appends one message of the binary dialect as a WebSocket frame.
pub(crate) fn write_binary(out: &mut Vec<u8>, message: &binary::ToClient, canvas: &Canvas) {
    let mut payload = Vec::new();
    message.encode(&canvas.palette, &mut payload);
    write_frame(out, Opcode::Binary, &payload);
}

/// Every placement as one `pixel_updated`, none left out.
pub(crate) fn json_segment(after: Sequence, entries: &[Arc<Entry>]) -> Segment {
    let (mut frames, mut ends, mut text) = (Vec::new(), Vec::new(), Vec::new());
    let background = Name::anonymous();
    let mut to = after;
    for entry in entries {
        for (sequence, placement, name) in entry.placements() {
            text.clear();
            let name = name.unwrap_or(&background).as_str();
            json::pixel_updated(&mut text, placement, name, entry.at, sequence);
            write_frame(&mut frames, Opcode::Text, &text);
            ends.push(frames.len() as u32);
        }
        to = entry.last;
    }
    Segment { after, to, bytes: frames.into(), ends: Some(ends.into()) }
}

/// The messages of a change in who is here.
pub(crate) fn people(changes: &Changes, names: &[Name], canvas: &Canvas, now: Timestamp) -> News {
    let (mut json_frames, mut text) = (Vec::new(), Vec::new());
    json::stats(&mut text, changes.sockets, now);
    write_frame(&mut json_frames, Opcode::Text, &text);
    text.clear();
    json::user_list(&mut text, names.iter().map(Name::as_str), now);
    write_frame(&mut json_frames, Opcode::Text, &text);

    let Changes { sockets, gone, come, listed } = changes;
    News::People {
        json: json_frames.into(),
        changes: presence(false, *sockets, gone, come, canvas),
        everyone: presence(true, *sockets, &[], listed, canvas),
    }
}

/// The whole list of people on a canvas that nobody came to so far.
pub(crate) fn nobody(canvas: &Canvas) -> Bytes {
    presence(true, 0, &[], &[], canvas)
}

fn presence(whole: bool, sockets: u32, gone: &[u32], come: &[(u32, Name)], canvas: &Canvas) -> Bytes {
    let mut frame = Vec::new();
    let message = binary::ToClient::Presence { whole, sockets, gone: gone.to_vec(), come: come.to_vec() };
    write_binary(&mut frame, &message, canvas);
    frame.into()
}
