//! How a call and its outcomes are written between processes: a version, then plain fields.
//!
//! A call of placements alone is written as version 1, and so are its outcomes: processes of the
//! version before read and write that. One that takes back or repeats is version 2, which carries any act.

use pixel_canvas::{Author, CanvasId, Name, Placement};
use pixel_store::{Act, Outcome, Submission, SubmissionKey};
use serde::{Deserialize, Serialize};

/// Where an api takes calls: never routed to the public.
pub(crate) const PATH: &str = "/internal/placements";
/// The header with the body's seal, in hex.
pub(crate) const SEAL: &str = "seal";
/// The header of an answer with what keeps the api from placing, in a word.
pub(crate) const TROUBLE: &str = "trouble";
/// A call's body, in bytes: 4,096 placements of 1,024 submissions take some 160 KiB.
pub(crate) const CALL_BYTES_MAX: usize = 1 << 20;

/// The first byte of both bodies. Another layout is another version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// Placements alone.
    Placements = 1,
    /// Any act.
    Acts = 2,
}

impl Version {
    /// The version that such a call is written in.
    pub(crate) fn of(submissions: &[Submission]) -> Self {
        let plain = submissions.iter().all(|submission| matches!(submission.act, Act::Place(_)));
        if plain { Self::Placements } else { Self::Acts }
    }

    fn read(byte: u8) -> Option<Self> {
        [Self::Placements, Self::Acts].into_iter().find(|version| *version as u8 == byte)
    }
}

/// A submission as version 1 has it.
#[derive(Serialize, Deserialize)]
struct PlacingSubmission {
    author: Author,
    name: Name,
    key: Option<SubmissionKey>,
    placements: Vec<Placement>,
}

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
    let version = Version::of(submissions);
    match version {
        Version::Placements => {
            let plain: Vec<PlacingSubmission> = submissions.iter().filter_map(plain).collect();
            write(version, &(canvas.as_str(), plain))
        }
        Version::Acts => write(version, &(canvas.as_str(), submissions)),
    }
}

/// Reads a call, and the version that its outcomes are to be written in.
pub(crate) fn decode_call(body: &[u8]) -> Result<(Version, CanvasId, Vec<Submission>), Unreadable> {
    let (&byte, fields) = body.split_first().ok_or(Unreadable::Malformed)?;
    let version = Version::read(byte).ok_or(Unreadable::Version(byte))?;
    let (id, submissions): (&str, Vec<Submission>) = match version {
        Version::Placements => {
            let (id, plain): (&str, Vec<PlacingSubmission>) = read(fields)?;
            (id, plain.into_iter().map(any).collect())
        }
        Version::Acts => read(fields)?,
    };
    Ok((version, CanvasId::parse(id).ok_or(Unreadable::Malformed)?, submissions))
}

fn plain(submission: &Submission) -> Option<PlacingSubmission> {
    let Submission { author, name, key, act: Act::Place(placements) } = submission else { return None };
    let (name, placements) = (name.clone(), placements.clone());
    Some(PlacingSubmission { author: *author, name, key: *key, placements })
}

fn any(plain: PlacingSubmission) -> Submission {
    let PlacingSubmission { author, name, key, placements } = plain;
    Submission { author, name, key, act: Act::Place(placements) }
}

/// Writes outcomes. Those of placements alone are never of a kind that version 1 does not have.
pub(crate) fn encode_outcomes(version: Version, outcomes: &[Outcome]) -> Vec<u8> {
    write(version, &outcomes)
}

/// Reads the outcomes of so many submissions.
pub(crate) fn decode_outcomes(body: &[u8], version: Version, count: usize) -> Option<Vec<Outcome>> {
    let (&byte, fields) = body.split_first()?;
    let outcomes: Vec<Outcome> = postcard::from_bytes(fields).ok()?;
    (Version::read(byte) == Some(version) && outcomes.len() == count).then_some(outcomes)
}

fn read<'a, T: Deserialize<'a>>(fields: &'a [u8]) -> Result<T, Unreadable> {
    postcard::from_bytes(fields).map_err(|_| Unreadable::Malformed)
}

fn write(version: Version, fields: &impl Serialize) -> Vec<u8> {
    postcard::to_extend(fields, vec![version as u8]).expect("memory takes plain fields")
}

#[cfg(test)]
mod tests {
    use pixel_canvas::{
        Address, Author, Color, Epoch, Identity, Key, Name, Placement, Point, Refusal, Sequence, Size,
        Standing, Timestamp, Turn,
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
        let first = Submission { author, name, key, act: Act::Place(vec![placement; 3]) };
        let nobody = Author { address: None, since: None, ..author };
        let second = Submission { author: nobody, key: None, name: Name::anonymous(), ..first.clone() };
        (CanvasId::default_canvas(), vec![first, second])
    }

    /// The same, with one more that takes back.
    fn retracing_call() -> (CanvasId, Vec<Submission>) {
        let (canvas, mut submissions) = call();
        let act = Act::Retrace { turn: Turn::Undo, count: 256 };
        submissions.push(Submission { act, ..submissions[0].clone() });
        (canvas, submissions)
    }

    #[test]
    fn a_call_comes_back_as_it_was() {
        for ((canvas, submissions), version) in
            [(call(), Version::Placements), (retracing_call(), Version::Acts)]
        {
            let body = encode_call(&canvas, &submissions);
            assert_eq!(body[0], version as u8);
            assert_eq!(decode_call(&body), Ok((version, canvas, submissions)));
        }
    }

    /// As the version before wrote it, byte by byte.
    #[test]
    fn a_call_of_placements_alone_is_written_as_it_always_was() {
        let (canvas, submissions) = call();
        let mut written = vec![1, 4];
        written.extend(b"main");
        written.push(2);
        // Author, name, key, then as many placements: x and y as varints, and a colour.
        written.extend([1; 16]);
        written.push(1);
        written.extend([2; 16]);
        written.extend([1, 0x80, 0xa0, 0xf1, 0xc2, 0xb1, 0x34]);
        written.push(8);
        written.extend("Ännchen".bytes());
        written.extend([1, 0]);
        written.extend([3; 16]);
        let placements = [&[3][..], &[0xff, 0xff, 0x03, 3, 9, 8, 7].repeat(3)].concat();
        written.extend(&placements);
        written.extend([1; 16]);
        written.extend([0, 0, 9]);
        written.extend(b"Anonymous");
        written.push(0);
        written.extend(&placements);
        assert_eq!(encode_call(&canvas, &submissions), written);
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
            Refusal::NothingToUndo,
            Refusal::NothingToRedo,
        ];
        let outcomes: Vec<Outcome> =
            refusals.into_iter().map(Outcome::Refused).chain([Outcome::Accepted(accepted)]).collect();
        for version in [Version::Placements, Version::Acts] {
            let body = encode_outcomes(version, &outcomes);
            assert_eq!(decode_outcomes(&body, version, outcomes.len()).as_ref(), Some(&outcomes));
            assert_eq!(decode_outcomes(&body, version, outcomes.len() + 1), None);
        }
        let body = encode_outcomes(Version::Placements, &outcomes);
        assert_eq!(decode_outcomes(&body, Version::Acts, outcomes.len()), None, "of another question");
    }

    #[test]
    fn rubbish_and_other_versions_are_told_apart_and_never_panic() {
        let (canvas, submissions) = call();
        let body = encode_call(&canvas, &submissions);
        for end in 0..body.len() {
            assert_eq!(decode_call(&body[..end]), Err(Unreadable::Malformed), "{end} bytes");
        }
        let mut newer = body.clone();
        newer[0] = 3;
        assert_eq!(decode_call(&newer), Err(Unreadable::Version(3)));
        // A list that claims to be longer than its bytes takes no memory for the claim.
        let mut long = vec![1, 4];
        long.extend(b"main");
        long.extend([0xff, 0xff, 0xff, 0xff, 0x0f]);
        assert_eq!(decode_call(&long), Err(Unreadable::Malformed));
    }

    #[test]
    fn fuzz_hop_calls() {
        let seeds = [call(), retracing_call()].map(|(canvas, call)| encode_call(&canvas, &call));
        crate::run::fuzz("hop_calls", &seeds, |bytes| {
            let Ok((_, canvas, submissions)) = decode_call(bytes) else { return };
            let again = encode_call(&canvas, &submissions);
            let (_, same_canvas, same) = decode_call(&again).expect("what was read can be written");
            assert_eq!((same_canvas, same), (canvas, submissions));
        });
    }

    #[test]
    fn fuzz_hop_outcomes() {
        let refused = [Refusal::Unknown, Refusal::Cooldown { wait_ms: 5 }].map(Outcome::Refused);
        let seeds = [Version::Placements, Version::Acts].map(|version| encode_outcomes(version, &refused));
        crate::run::fuzz("hop_outcomes", &seeds, |bytes| {
            for (version, count) in [(Version::Placements, 1), (Version::Placements, 2), (Version::Acts, 2)] {
                let outcomes = decode_outcomes(bytes, version, count);
                assert!(outcomes.is_none_or(|outcomes| outcomes.len() == count));
            }
        });
    }
}
