//! One entry of the log as it lies in its row: versioned, with a checksum.
//!
//! Little-endian. version `u8` = 2 · kind `u8` · ends at `u64` · epoch `u64` · at `u64` · body ·
//! CRC-32 of all before it `u32`. The row's key holds the canvas' number and the last sequence.
//!
//! Body of kind 1, painted: submissions `u16`, then for each: flags `u8` · identity 16 bytes ·
//! address 16 bytes, if · since `u64`, if · name (`u8` length, text) · key 16 bytes, if · identity's
//! cooldown `u64`, if · address' cooldown `u64`, if · placements `u16`, then x `u16`, y `u16`, red,
//! green, blue each · turn `u8` (0 placed, 1 undo, 2 redo) · steps asked for `u16`, if not placed ·
//! what each placement covered: red, green, blue, sequence 6 bytes. Body of kind 2, reset: placements
//! `u32`, then x, y and colour each. Version 1 ends a submission with its placements.

use pixel_canvas::{
    Address, Author, Bucket, Change, Color, Entry, Epoch, Identity, Key, Name, Painted, Placement, Point,
    Sequence, State, Timestamp, Turn,
};

use super::bytes::{Input, put_short_text};

/// The version that this program writes.
pub(crate) const ROW_VERSION: u8 = 2;
/// The version whose submissions say nothing of what they covered.
const ROW_VERSION_BEFORE: u8 = 1;

pub(crate) const PAINTED: u8 = 1;
pub(crate) const RESET: u8 = 2;

const HAS_ADDRESS: u8 = 1;
const HAS_SINCE: u8 = 1 << 1;
const HAS_KEY: u8 = 1 << 2;
const KEY_IS_THE_CLIENTS: u8 = 1 << 3;
const COOLED_IDENTITY: u8 = 1 << 4;
const COOLED_ADDRESS: u8 = 1 << 5;

const PLACED: u8 = 0;

const PLACEMENT_BYTES: usize = 7;
/// The least that a submission takes: flags, identity, an empty name's length, a count.
const SUBMISSION_BYTES_MIN: usize = 1 + 16 + 1 + 2;

/// An entry with what only the store needs of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// How many bytes of rows this canvas' log had taken, this row included, since its beginning:
    /// the log's size is the difference of two rows.
    pub(crate) ends_at: u64,
    /// The entry.
    pub(crate) entry: Entry,
    /// One for each submission of a painted entry; empty for a reset.
    pub(crate) traces: Vec<Trace>,
}

/// What a submission left behind in the limits, and what it found. The log carries results, not
/// rules, so that a replay needs no rule that was amended since, and no pixels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Trace {
    /// Whether the client chose the key, not a gateway.
    pub(crate) client_key: bool,
    /// The identity's cooldown after it.
    pub(crate) identity: Option<Bucket>,
    /// The cooldown of its address' guests after it.
    pub(crate) address: Option<Bucket>,
    /// What it asked for, where it was not placements.
    pub(crate) retraced: Option<(Turn, u16)>,
    /// What each of its placements covered; empty where that is not known.
    pub(crate) before: Vec<State>,
}

/// Why a row could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unreadable {
    /// Written by a program that knows more.
    #[error("a log row of version {0}; this program reads version {ROW_VERSION}")]
    Version(u8),
    /// Not what was written.
    #[error("a damaged log row")]
    Damaged,
}

impl Row {
    /// The row's value. `ends_at` counts this row too, so it is worked out here from where the
    /// row before ended.
    pub(crate) fn encode(entry: &Entry, traces: &[Trace], starts_at: u64) -> (Vec<u8>, u64) {
        let mut out = Vec::with_capacity(64);
        out.push(ROW_VERSION);
        out.push(match entry.change {
            Change::Painted(_) => PAINTED,
            Change::Reset { .. } => RESET,
        });
        let ends_at_from = out.len();
        out.extend_from_slice(&[0; 8]);
        out.extend_from_slice(&entry.epoch.0.to_le_bytes());
        out.extend_from_slice(&entry.at.0.to_le_bytes());
        match &entry.change {
            Change::Painted(painted) => {
                let count = u16::try_from(painted.len()).expect("calls are split below 65,536 submissions");
                out.extend_from_slice(&count.to_le_bytes());
                for (painted, trace) in painted.iter().zip(traces) {
                    put_painted(&mut out, painted, trace);
                    put_past(&mut out, trace);
                }
            }
            Change::Reset { placements } => {
                let count = u32::try_from(placements.len()).expect("a reset lists at most 65,536");
                out.extend_from_slice(&count.to_le_bytes());
                put_placements(&mut out, placements);
            }
        }
        let ends_at = starts_at + (out.len() + 4) as u64;
        out[ends_at_from..ends_at_from + 8].copy_from_slice(&ends_at.to_le_bytes());
        let checksum = crc32fast::hash(&out);
        out.extend_from_slice(&checksum.to_le_bytes());
        (out, ends_at)
    }

    /// Reads a row; `last` comes from its key.
    pub(crate) fn decode(value: &[u8], last: Sequence) -> Result<Self, Unreadable> {
        match value.first() {
            Some(&(ROW_VERSION_BEFORE | ROW_VERSION)) => {}
            Some(&version) => return Err(Unreadable::Version(version)),
            None => return Err(Unreadable::Damaged),
        }
        let (body, checksum) = value.split_last_chunk::<4>().ok_or(Unreadable::Damaged)?;
        if crc32fast::hash(body) != u32::from_le_bytes(*checksum) {
            return Err(Unreadable::Damaged);
        }
        read(body, last).ok_or(Unreadable::Damaged)
    }

    /// Where a row ends and when it was accepted, without reading the rest.
    pub(crate) fn peek(value: &[u8]) -> Option<(u64, Timestamp)> {
        let mut input = Input(value.get(2..)?);
        let ends_at = input.u64()?;
        input.u64()?;
        Some((ends_at, Timestamp(input.u64()?)))
    }
}

fn read(body: &[u8], last: Sequence) -> Option<Row> {
    let mut input = Input(body);
    let with_past = input.u8()? > ROW_VERSION_BEFORE;
    let kind = input.u8()?;
    let ends_at = input.u64()?;
    let epoch = Epoch(input.u64()?);
    let at = Timestamp(input.u64()?);
    let (change, traces, count) = read_change(&mut input, kind, with_past)?;
    input.end()?;
    let first = Sequence(last.0.checked_sub(count)?).next();
    Some(Row { ends_at, entry: Entry { epoch, first, last, at, change }, traces })
}

/// A change of this kind, what its submissions left behind, and how many sequences it takes.
pub(crate) fn read_change(
    input: &mut Input<'_>,
    kind: u8,
    with_past: bool,
) -> Option<(Change, Vec<Trace>, u64)> {
    match kind {
        PAINTED => {
            let count = usize::from(input.u16()?);
            if count == 0 || count * SUBMISSION_BYTES_MIN > input.0.len() {
                return None;
            }
            let read_one = |_| {
                let (painted, mut trace) = read_painted(input)?;
                if with_past {
                    read_past(input, &mut trace, painted.placements.len())?;
                }
                Some((painted, trace))
            };
            let read = (0..count).map(read_one).collect::<Option<Vec<_>>>()?;
            let (painted, traces): (Vec<Painted>, Vec<Trace>) = read.into_iter().unzip();
            let placements = painted.iter().map(|one| one.placements.len() as u64).sum();
            Some((Change::Painted(painted), traces, placements))
        }
        RESET => {
            let count = input.u32()? as usize;
            let placements = read_placements(input, count)?;
            Some((Change::Reset { placements }, Vec::new(), (count as u64).max(1)))
        }
        _ => None,
    }
}

/// One submission as the log holds it.
pub(crate) fn put_painted(out: &mut Vec<u8>, painted: &Painted, trace: &Trace) {
    let flag = |is: bool, bit: u8| if is { bit } else { 0 };
    out.push(
        flag(painted.author.address.is_some(), HAS_ADDRESS)
            | flag(painted.author.since.is_some(), HAS_SINCE)
            | flag(painted.key.is_some(), HAS_KEY)
            | flag(trace.client_key, KEY_IS_THE_CLIENTS)
            | flag(trace.identity.is_some(), COOLED_IDENTITY)
            | flag(trace.address.is_some(), COOLED_ADDRESS),
    );
    out.extend_from_slice(&painted.author.identity.0);
    if let Some(address) = painted.author.address {
        out.extend_from_slice(&address.0);
    }
    if let Some(since) = painted.author.since {
        out.extend_from_slice(&since.0.to_le_bytes());
    }
    put_short_text(out, painted.name.as_str());
    if let Some(key) = painted.key {
        out.extend_from_slice(&key.0);
    }
    for bucket in [trace.identity, trace.address].into_iter().flatten() {
        out.extend_from_slice(&bucket.full_at_us.to_le_bytes());
    }
    let count = u16::try_from(painted.placements.len()).expect("a submission carries at most 1,024");
    out.extend_from_slice(&count.to_le_bytes());
    put_placements(out, &painted.placements);
}

/// Reads one submission of the log.
pub(crate) fn read_painted(input: &mut Input<'_>) -> Option<(Painted, Trace)> {
    let flags = input.u8()?;
    let has = |bit: u8| flags & bit != 0;
    let identity = Identity(input.array()?);
    let address = if has(HAS_ADDRESS) { Some(Address(input.array()?)) } else { None };
    let since = if has(HAS_SINCE) { Some(Timestamp(input.u64()?)) } else { None };
    let name = Name::from(input.short_text()?.to_owned());
    let key = if has(HAS_KEY) { Some(Key(input.array()?)) } else { None };
    let mut bucket = |bit: u8| -> Option<Option<Bucket>> {
        if has(bit) { Some(Some(Bucket { full_at_us: input.u64()? })) } else { Some(None) }
    };
    let (identity_bucket, address_bucket) = (bucket(COOLED_IDENTITY)?, bucket(COOLED_ADDRESS)?);
    let count = usize::from(input.u16()?);
    let placements = read_placements(input, count)?;
    let author = Author { identity, address, since };
    let trace = Trace {
        client_key: has(KEY_IS_THE_CLIENTS),
        identity: identity_bucket,
        address: address_bucket,
        ..Trace::default()
    };
    Some((Painted { author, name, key, placements }, trace))
}

/// What a submission found, behind what it painted.
fn put_past(out: &mut Vec<u8>, trace: &Trace) {
    match trace.retraced {
        None => out.push(PLACED),
        Some((turn, count)) => {
            out.push(put_turn(turn));
            out.extend_from_slice(&count.to_le_bytes());
        }
    }
    for state in &trace.before {
        out.extend_from_slice(&state.color.0);
        put_sequence(out, state.sequence);
    }
}

fn read_past(input: &mut Input<'_>, trace: &mut Trace, placements: usize) -> Option<()> {
    trace.retraced = match input.u8()? {
        PLACED => None,
        turn => Some((read_turn(turn)?, input.u16()?)),
    };
    // As many as there are placements, which are read: a list of them takes no memory for a claim.
    trace.before = (0..placements)
        .map(|_| Some(State { color: Color(input.array()?), sequence: read_sequence(input)? }))
        .collect::<Option<_>>()?;
    Some(())
}

/// A turn as one byte, never 0.
pub(crate) fn put_turn(turn: Turn) -> u8 {
    match turn {
        Turn::Undo => 1,
        Turn::Redo => 2,
    }
}

fn read_turn(byte: u8) -> Option<Turn> {
    [Turn::Undo, Turn::Redo].into_iter().find(|turn| put_turn(*turn) == byte)
}

/// A sequence in 6 bytes, as in a pixel's mark.
pub(crate) fn put_sequence(out: &mut Vec<u8>, sequence: Sequence) {
    out.extend_from_slice(&sequence.0.to_le_bytes()[..6]);
}

pub(crate) fn read_sequence(input: &mut Input<'_>) -> Option<Sequence> {
    let mut wide = [0; 8];
    wide[..6].copy_from_slice(input.slice(6)?);
    Some(Sequence(u64::from_le_bytes(wide)))
}

/// Placements as the log holds them, and as an idempotency record's fingerprint is taken of them.
pub(crate) fn put_placements(out: &mut Vec<u8>, placements: &[Placement]) {
    for Placement { at, color } in placements {
        out.extend_from_slice(&at.x.to_le_bytes());
        out.extend_from_slice(&at.y.to_le_bytes());
        out.extend_from_slice(&color.0);
    }
}

/// Reads so many placements.
pub(crate) fn read_placements(input: &mut Input<'_>, count: usize) -> Option<Vec<Placement>> {
    let bytes = input.slice(count.checked_mul(PLACEMENT_BYTES)?)?;
    let read = |b: &[u8]| Placement {
        at: Point { x: u16::from_le_bytes([b[0], b[1]]), y: u16::from_le_bytes([b[2], b[3]]) },
        color: Color([b[4], b[5], b[6]]),
    };
    Some(bytes.chunks_exact(PLACEMENT_BYTES).map(read).collect())
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;

    use super::*;

    fn placement() -> impl Strategy<Value = Placement> {
        (any::<u16>(), any::<u16>(), any::<[u8; 3]>())
            .prop_map(|(x, y, rgb)| Placement { at: Point { x, y }, color: Color(rgb) })
    }

    fn submission() -> impl Strategy<Value = (Painted, Trace)> {
        let author = (any::<[u8; 16]>(), option::of(any::<[u8; 16]>()), option::of(any::<u64>()));
        let name = "\\PC{1,20}".prop_filter_map("a name", |raw| Name::parse(&raw));
        let turn = prop_oneof![Just(Turn::Undo), Just(Turn::Redo)];
        let trace = (
            any::<bool>(),
            option::of(any::<u64>()),
            option::of(any::<u64>()),
            option::of((turn, any::<u16>())),
        );
        let state = (any::<[u8; 3]>(), 0..1_u64 << 48)
            .prop_map(|(rgb, sequence)| State { color: Color(rgb), sequence: Sequence(sequence) });
        (author, name, option::of(any::<[u8; 16]>()), vec((placement(), state), 1..20), trace).prop_map(
            |(
                (identity, address, since),
                name,
                key,
                both,
                (client_key, of_identity, of_address, retraced),
            )| {
                let (placements, before) = both.into_iter().unzip();
                let author = Author {
                    identity: Identity(identity),
                    address: address.map(Address),
                    since: since.map(Timestamp),
                };
                let bucket = |full_at_us| Bucket { full_at_us };
                let (identity, address) = (of_identity.map(bucket), of_address.map(bucket));
                let trace = Trace { client_key, identity, address, retraced, before };
                (Painted { author, name, key: key.map(Key), placements }, trace)
            },
        )
    }

    fn row() -> impl Strategy<Value = Row> {
        let painted = vec(submission(), 1..8).prop_map(|both| {
            let (painted, traces): (Vec<_>, Vec<_>) = both.into_iter().unzip();
            let count = painted.iter().map(|p: &Painted| p.placements.len() as u64).sum::<u64>();
            (Change::Painted(painted), traces, count)
        });
        let reset = vec(placement(), 0..50).prop_map(|placements| {
            let count = placements.len().max(1) as u64;
            (Change::Reset { placements }, Vec::new(), count)
        });
        (prop_oneof![painted, reset], any::<u64>(), any::<u64>(), 1..1_u64 << 53).prop_map(
            |((change, traces, count), epoch, at, first)| {
                let (first, last) = (Sequence(first), Sequence(first + count - 1));
                let entry = Entry { epoch: Epoch(epoch), first, last, at: Timestamp(at), change };
                let (_, ends_at) = Row::encode(&entry, &traces, 7);
                Row { ends_at, entry, traces }
            },
        )
    }

    proptest! {
        #[test]
        fn a_row_comes_back_as_it_was_written(row in row()) {
            let (bytes, ends_at) = Row::encode(&row.entry, &row.traces, 7);
            prop_assert_eq!(ends_at, 7 + bytes.len() as u64);
            prop_assert_eq!(Row::peek(&bytes), Some((ends_at, row.entry.at)));
            prop_assert_eq!(Row::decode(&bytes, row.entry.last), Ok(row));
        }

        #[test]
        fn a_row_with_any_byte_changed_or_missing_is_not_read(
            row in row(), at in any::<prop::sample::Index>(), flip in 1..=255_u8,
        ) {
            let (bytes, _) = Row::encode(&row.entry, &row.traces, 0);
            let mut flipped = bytes.clone();
            flipped[at.index(bytes.len())] ^= flip;
            prop_assert!(Row::decode(&flipped, row.entry.last).is_err());
            prop_assert!(Row::decode(&bytes[..at.index(bytes.len())], row.entry.last).is_err());
        }

        /// With the checksum made to fit, so that the reader behind it is what is tried.
        #[test]
        fn rubbish_never_panics_and_never_allocates_more_than_it_holds(
            version in 1..=ROW_VERSION, kind in 0..4_u8, body in vec(any::<u8>(), 0..400), last in any::<u64>(),
        ) {
            let mut bytes = vec![version, kind];
            bytes.extend_from_slice(&body);
            bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
            if let Ok(row) = Row::decode(&bytes, Sequence(last)) {
                prop_assert!(row.entry.placements().count() * PLACEMENT_BYTES <= bytes.len());
            }
        }
    }

    #[test]
    fn a_newer_version_says_so() {
        assert_eq!(Row::decode(&[3, 0, 0], Sequence(1)), Err(Unreadable::Version(3)));
    }

    /// One submission of one placement, as the program before wrote it.
    #[test]
    fn a_row_of_the_version_before_is_read_without_its_past() {
        let placement = Placement { at: Point { x: 3, y: 4 }, color: Color([5, 6, 7]) };
        let author = Author { identity: Identity([8; 16]), address: None, since: None };
        let painted = Painted { author, name: Name::anonymous(), key: None, placements: vec![placement] };
        let mut bytes = vec![1, PAINTED];
        for field in [77_u64, 9, 10] {
            bytes.extend_from_slice(&field.to_le_bytes());
        }
        bytes.extend_from_slice(&1_u16.to_le_bytes());
        put_painted(&mut bytes, &painted, &Trace::default());
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        let row = Row::decode(&bytes, Sequence(1)).expect("it is read");
        assert_eq!((row.ends_at, row.entry.change), (77, Change::Painted(vec![painted])));
        assert_eq!(row.traces, [Trace::default()]);
    }

    #[test]
    fn fuzz_log_rows() {
        let with_checksum = |body: &[u8]| [body, &crc32fast::hash(body).to_le_bytes()].concat();
        let placements = vec![Placement { at: Point { x: 1, y: 2 }, color: Color([3; 3]) }; 2];
        let name = Name::parse("Ann").expect("a name");
        let author = Author { identity: Identity([1; 16]), address: Some(Address([2; 16])), since: None };
        let painted = Painted { author, name, key: Some(Key([3; 16])), placements: placements.clone() };
        let state = State { color: Color([0; 3]), sequence: Sequence(1) };
        let trace = Trace { retraced: Some((Turn::Undo, 2)), before: vec![state; 2], ..Trace::default() };
        let entry = |change| Entry {
            epoch: Epoch(9),
            first: Sequence(5),
            last: Sequence(6),
            at: Timestamp(7),
            change,
        };
        let seeds = [
            (entry(Change::Painted(vec![painted])), vec![trace]),
            (entry(Change::Reset { placements }), Vec::new()),
        ]
        .map(|(entry, traces)| {
            let (row, _) = Row::encode(&entry, &traces, 0);
            row[..row.len() - 4].to_vec()
        });
        // The checksum is made to fit, so that the reader behind it is what is tried.
        let check = |body: &[u8]| {
            let _ = Row::decode(body, Sequence(6));
            let _ = Row::peek(body);
            let row = [body, &crc32fast::hash(body).to_le_bytes()].concat();
            if let Ok(row) = Row::decode(&row, Sequence(1 << 40)) {
                assert!(row.entry.placements().count() * PLACEMENT_BYTES <= body.len());
            }
        };
        assert!(seeds.iter().all(|body| Row::decode(&with_checksum(body), Sequence(6)).is_ok()));
        crate::run::fuzz("log_rows", &seeds, check);
    }
}
