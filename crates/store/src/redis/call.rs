//! A call as `place.lua` takes it, and its answers as outcomes.

use std::collections::HashMap;

use pixel_canvas::{
    Bucket, Canvas, ChunkId, Epoch, Painted, Palette, Placement, Point, Rate, Refusal, Sequence, Standing,
    Timestamp, Turn,
};

use super::answer::{Answer, read};
use super::entry::submission_body;
use crate::embedded::bytes::{Input, put_short_text};
use crate::embedded::records::fingerprint;
use crate::embedded::tables::chunk_key;
use crate::{Accepted, Act, Limits, Outcome, StoreError, Submission, SubmissionKey};

const HAS_ADDRESS: u8 = 1;
const HAS_SINCE: u8 = 1 << 1;
const HAS_KEY: u8 = 1 << 2;
const KEY_IS_THE_CLIENTS: u8 = 1 << 3;
const IS_UNDO: u8 = 1 << 4;
const IS_REDO: u8 = 1 << 5;

/// A call, checked as far as the canvas' size and palette go.
pub(crate) struct Call<'a> {
    canvas: &'a Canvas,
    submissions: &'a [Submission],
    /// Why not, for each that is refused already.
    refused: Vec<Option<Refusal>>,
}

impl<'a> Call<'a> {
    pub(crate) fn new(canvas: &'a Canvas, submissions: &'a [Submission]) -> Self {
        let refused = submissions.iter().map(|submission| submission.act.check(canvas).err()).collect();
        Self { canvas, submissions, refused }
    }

    /// The arguments from the limits on.
    pub(crate) fn put_arguments(&self, limits: &Limits, arguments: &mut Vec<Vec<u8>>) {
        let pixel_bytes = self.canvas.palette.bytes_per_pixel();
        let mut blank = vec![0; pixel_bytes];
        self.canvas.palette.store(self.canvas.background, &mut blank);
        arguments.extend([limit_bytes(limits), pixel_bytes.to_string().into_bytes(), blank]);
        let chunks_at = arguments.len();
        arguments.push(Vec::new());
        let mut chunks = Chunks::new(self.canvas);
        for (submission, refused) in self.submissions.iter().zip(&self.refused) {
            if refused.is_none() {
                arguments.push(deciding(submission, &mut chunks));
                let Submission { author, name, key, act } = submission.clone();
                let placements = match act {
                    Act::Place(placements) => placements,
                    // The script knows what it paints, and puts that in.
                    Act::Retrace { .. } => Vec::new(),
                };
                let client_key = key.is_some_and(SubmissionKey::is_clients);
                let painted = Painted { author, name, key: key.map(SubmissionKey::key), placements };
                arguments.push(submission_body(&painted, client_key));
            }
        }
        arguments[chunks_at] = chunks.described;
    }

    /// The outcomes, in order.
    pub(crate) fn outcomes(self, mut answer: Answer) -> Result<Vec<Outcome>, StoreError> {
        let (now, cooldown) = read(&answer.bytes()?, |input| {
            let (now, interval_us, burst) = (Timestamp(input.u64()?), input.u64()?, input.u64()?);
            Some((now, (interval_us > 0).then_some(Rate { interval_us, burst })))
        })?;
        let standing =
            |bucket: Bucket| cooldown.map_or(Standing::UNLIMITED, |rate| bucket.standing(rate, now));
        let mut outcomes = Vec::with_capacity(self.submissions.len());
        for refused in self.refused {
            outcomes.push(match refused {
                Some(refusal) => Outcome::Refused(refusal),
                None => read(&answer.bytes()?, |input| outcome(input, standing))?,
            });
        }
        Ok(outcomes)
    }
}

/// The chunks that a call paints, numbered as they come.
pub(crate) struct Chunks<'a> {
    canvas: &'a Canvas,
    numbers: HashMap<ChunkId, u16>,
    /// Key and pixel count of each.
    pub(crate) described: Vec<u8>,
}

impl<'a> Chunks<'a> {
    pub(crate) fn new(canvas: &'a Canvas) -> Self {
        Self { canvas, numbers: HashMap::new(), described: Vec::new() }
    }

    pub(crate) fn number(&mut self, id: ChunkId) -> u16 {
        // A call is at most some thousand placements.
        let next = self.numbers.len() as u16;
        *self.numbers.entry(id).or_insert_with(|| {
            let pixels = self.canvas.size.chunk_size(id).pixels() as u32;
            self.described.extend_from_slice(&chunk_key(id).to_le_bytes());
            self.described.extend_from_slice(&pixels.to_le_bytes());
            next
        })
    }
}

/// The index of a placement's pixel in its chunk.
pub(crate) fn index_in_chunk(canvas: &Canvas, at: Point) -> u16 {
    let (x, y) = at.within();
    let width = canvas.size.chunk_size(at.chunk()).width();
    // At most 256 × 256 − 1.
    (u32::from(y) * width + u32::from(x)) as u16
}

/// What the script decides by, and what it paints; `place.lua` describes the bytes.
fn deciding(submission: &Submission, chunks: &mut Chunks<'_>) -> Vec<u8> {
    let Submission { author, name, key, act } = submission;
    let flag = |is: bool, bit: u8| if is { bit } else { 0 };
    let is_turn = |turn| matches!(act, Act::Retrace { turn: asked, .. } if *asked == turn);
    let mut out = Vec::with_capacity(96 + act.placements_max() * 7);
    out.push(
        flag(author.address.is_some(), HAS_ADDRESS)
            | flag(author.since.is_some(), HAS_SINCE)
            | flag(key.is_some(), HAS_KEY)
            | flag(key.is_some_and(SubmissionKey::is_clients), KEY_IS_THE_CLIENTS)
            | flag(is_turn(Turn::Undo), IS_UNDO)
            | flag(is_turn(Turn::Redo), IS_REDO),
    );
    out.extend_from_slice(&author.identity.0);
    out.extend_from_slice(&author.address.map_or([0; 16], |address| address.0));
    out.extend_from_slice(&author.since.unwrap_or_default().0.to_le_bytes());
    out.extend_from_slice(&key.map_or([0; 16], |key| key.key().0));
    out.extend_from_slice(&fingerprint(act));
    out.extend_from_slice(&(act.placements_max() as u16).to_le_bytes());
    put_short_text(&mut out, name.as_str());
    let canvas = chunks.canvas;
    match act {
        Act::Place(placements) => {
            let mut stored = vec![0; canvas.palette.bytes_per_pixel()];
            for Placement { at, color } in placements {
                out.extend_from_slice(&chunks.number(at.chunk()).to_le_bytes());
                out.extend_from_slice(&index_in_chunk(canvas, *at).to_le_bytes());
                canvas.palette.store(*color, &mut stored);
                out.extend_from_slice(&stored);
            }
        }
        Act::Retrace { .. } => {
            out.extend_from_slice(&canvas.size.width().to_le_bytes());
            if let Palette::Indexed(colors) = &canvas.palette {
                colors.iter().for_each(|color| out.extend_from_slice(&color.0));
            }
        }
    }
    out
}

fn limit_bytes(limits: &Limits) -> Vec<u8> {
    let mut out = Vec::with_capacity(40);
    for rate in [limits.identity, limits.address] {
        let (interval_us, burst) = rate.map_or((0, 0), |rate| (rate.interval_us, rate.burst));
        out.extend_from_slice(&interval_us.to_le_bytes());
        out.extend_from_slice(&burst.to_le_bytes());
    }
    out.extend_from_slice(&limits.guests_per_address.to_le_bytes());
    out
}

/// Reads what the script decided for one submission.
fn outcome(input: &mut Input<'_>, standing: impl FnOnce(Bucket) -> Standing) -> Option<Outcome> {
    let refusal = match input.u8()? {
        b'A' => {
            let (first, count) = (Sequence(input.u64()?), input.u32()?);
            let (epoch, at) = (Epoch(input.u64()?), Timestamp(input.u64()?));
            let standing = standing(Bucket { full_at_us: input.u64()? });
            return Some(Outcome::Accepted(Accepted { first, count, epoch, at, standing }));
        }
        b'K' => Refusal::KeyReused,
        b'F' => Refusal::Frozen,
        b'U' => Refusal::NothingToUndo,
        b'D' => Refusal::NothingToRedo,
        b'N' => Refusal::NeverEnough { count: input.u64()?, max: input.u64()? },
        b'R' => Refusal::Rate { wait_ms: input.u64()? },
        b'C' => Refusal::Cooldown { wait_ms: input.u64()? },
        b'B' => Refusal::Busy { wait_ms: input.u64()? },
        _ => return None,
    };
    Some(Outcome::Refused(refusal))
}
