//! How a call and its outcomes are written between processes: a version, then plain fields.

use pixel_canvas::CanvasId;
use pixel_store::{Outcome, Submission};

/// Where an api takes calls: never routed to the public.
pub(crate) const PATH: &str = "/internal/placements";
/// The header with the body's seal, in hex.
pub(crate) const SEAL: &str = "seal";
/// A call's body, in bytes: 4,096 placements of 1,024 submissions take some 160 KiB.
pub(crate) const CALL_BYTES_MAX: usize = 1 << 20;

/// The first byte of both bodies. Another layout is another version.
const VERSION: u8 = 1;

/// Why a call cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// Of a version that this program does not know.
    Version(u8),
    /// Of ours, but not a call.
    Malformed,
}

/// Writes a call.
pub(crate) fn encode_call(canvas: &CanvasId, submissions: &[Submission]) -> Vec<u8> {
    write(&(canvas.as_str(), submissions))
}

/// Reads a call.
pub(crate) fn decode_call(body: &[u8]) -> Result<(CanvasId, Vec<Submission>), Unreadable> {
    let (&version, fields) = body.split_first().ok_or(Unreadable::Malformed)?;
    if version != VERSION {
        return Err(Unreadable::Version(version));
    }
    let (id, submissions): (&str, Vec<Submission>) =
        postcard::from_bytes(fields).map_err(|_| Unreadable::Malformed)?;
    Ok((CanvasId::parse(id).ok_or(Unreadable::Malformed)?, submissions))
}

/// Writes outcomes.
pub(crate) fn encode_outcomes(outcomes: &[Outcome]) -> Vec<u8> {
    write(&outcomes)
}

/// Reads the outcomes of so many submissions.
pub(crate) fn decode_outcomes(body: &[u8], count: usize) -> Option<Vec<Outcome>> {
    let (&version, fields) = body.split_first()?;
    let outcomes: Vec<Outcome> = postcard::from_bytes(fields).ok()?;
    (version == VERSION && outcomes.len() == count).then_some(outcomes)
}

fn write(fields: &impl serde::Serialize) -> Vec<u8> {
    postcard::to_extend(fields, vec![VERSION]).expect("memory takes plain fields")
}

#[cfg(test)]
mod tests {
    use pixel_canvas::{
        Address, Author, Color, Epoch, Identity, Key, Name, Placement, Point, Refusal, Sequence, Size,
        Standing, Timestamp,
    };
    use pixel_store::{Accepted, SubmissionKey};

    use super::*;

    fn call() -> (CanvasId, Vec<Submission>) {
        let author = Author {
            identity: Identity([1; 16]),
            address: Some(Address([2; 16])),
            since: Some(Timestamp(1_800_000_000_000)),
        };
        let placement = Placement { at: Point { x: 65_535, y: 3 }, color: Color([9, 8, 7]) };
        let name = Name::parse("Ännchen").expect("a name");
        let key = Some(SubmissionKey::Client(Key([3; 16])));
        let first = Submission { author, name, key, placements: vec![placement; 3] };
        let nobody = Author { address: None, since: None, ..author };
        let second = Submission { author: nobody, key: None, name: Name::anonymous(), ..first.clone() };
        (CanvasId::default_canvas(), vec![first, second])
    }

    #[test]
    fn a_call_comes_back_as_it_was() {
        let (canvas, submissions) = call();
        let body = encode_call(&canvas, &submissions);
        assert_eq!(decode_call(&body), Ok((canvas, submissions)));
    }

    #[test]
    fn every_outcome_comes_back_as_it_was() {
        let accepted = Accepted {
            first: Sequence(7),
            count: 3,
            epoch: Epoch(u64::MAX),
            at: Timestamp(5),
            standing: Standing { charges: 2, next_ms: 900 },
        };
        let size = Size::new(50, 50).expect("a size");
        let refusals = [
            Refusal::Outside { x: -1, y: 70_000, size },
            Refusal::NotAColor("red".into()),
            Refusal::NotInPalette(Color([1, 2, 3])),
            Refusal::NotAnIndex { index: 9, colors: 4 },
            Refusal::Count { count: 300, max: 256 },
            Refusal::NeverEnough { count: 30, max: 20 },
            Refusal::Cooldown { wait_ms: 5 },
            Refusal::Rate { wait_ms: 6 },
            Refusal::KeyReused,
            Refusal::Busy { wait_ms: 7 },
            Refusal::Frozen,
            Refusal::NoCanvas,
            Refusal::Unavailable,
            Refusal::Unknown,
        ];
        let outcomes: Vec<Outcome> =
            refusals.into_iter().map(Outcome::Refused).chain([Outcome::Accepted(accepted)]).collect();
        let body = encode_outcomes(&outcomes);
        assert_eq!(decode_outcomes(&body, outcomes.len()).as_ref(), Some(&outcomes));
        assert_eq!(decode_outcomes(&body, outcomes.len() + 1), None);
    }

    #[test]
    fn rubbish_and_other_versions_are_told_apart_and_never_panic() {
        let (canvas, submissions) = call();
        let body = encode_call(&canvas, &submissions);
        for end in 0..body.len() {
            assert_eq!(decode_call(&body[..end]), Err(Unreadable::Malformed), "{end} bytes");
        }
        let mut newer = body.clone();
        newer[0] = VERSION + 1;
        assert_eq!(decode_call(&newer), Err(Unreadable::Version(VERSION + 1)));
        // A list that claims to be longer than its bytes takes no memory for the claim.
        let mut long = vec![VERSION, 4];
        long.extend(b"main");
        long.extend([0xff, 0xff, 0xff, 0xff, 0x0f]);
        assert_eq!(decode_call(&long), Err(Unreadable::Malformed));
    }
}
