//! One entry of the log as it lies in its stream; `log.lua` describes the bytes around the body,
//! `row.rs` a submission inside it.

use pixel_canvas::{Entry, Epoch, Painted, Placement, Sequence, Timestamp};
use sha1::{Digest, Sha1};

use crate::embedded::bytes::Input;
use crate::embedded::row::{self, Trace, Unreadable, put_painted, put_placements, read_change};

/// The version that the scripts write.
pub(crate) const ENTRY_VERSION: u8 = if cfg!(feature = "next-version") { 2 } else { 1 };
/// The kind of an entry that painted, as the scripts write it.
pub(crate) const PAINTED: u8 = if cfg!(feature = "next-version") { 129 } else { row::PAINTED };
/// The checksum's hex digits.
const CHECKSUM_BYTES: usize = 8;

/// A submission's part of an entry's body. The limits and histories are kept elsewhere.
pub(crate) fn submission_body(painted: &Painted, client_key: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + painted.placements.len() * 7);
    put_painted(&mut out, painted, &Trace { client_key, ..Trace::default() });
    out
}

/// A reset's body.
pub(crate) fn reset_body(placements: &[Placement]) -> Vec<u8> {
    let count = u32::try_from(placements.len()).expect("a reset lists at most 65,536");
    let mut out = count.to_le_bytes().to_vec();
    put_placements(&mut out, placements);
    out
}

/// Reads an entry; `id` is its ID in the stream.
pub(crate) fn decode(id: &[u8], bytes: &[u8]) -> Result<Entry, Unreadable> {
    match bytes.first() {
        // A version reads what those before it wrote.
        Some(1..=ENTRY_VERSION) => {}
        Some(&version) => return Err(Unreadable::Version(version)),
        None => return Err(Unreadable::Damaged),
    }
    let (body, checksum) = bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or(Unreadable::Damaged)?;
    let digest = Sha1::digest(body);
    let expected = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
    if checksum[..] != *format!("{expected:08x}").as_bytes() {
        return Err(Unreadable::Damaged);
    }
    let last =
        std::str::from_utf8(id).ok().and_then(|id| id.strip_suffix("-0")).and_then(|id| id.parse().ok());
    last.and_then(|last| read(body, Sequence(last))).ok_or(Unreadable::Damaged)
}

fn read(body: &[u8], last: Sequence) -> Option<Entry> {
    let mut input = Input(body.get(1..)?);
    let kind = match input.u8()? {
        PAINTED => row::PAINTED,
        kind => kind,
    };
    let _ends_at = input.u64()?;
    let (epoch, at, first) = (Epoch(input.u64()?), Timestamp(input.u64()?), Sequence(input.u64()?));
    let (change, _, count) = read_change(&mut input, kind, false)?;
    input.end()?;
    let fits = first > Sequence::ZERO && last.0.checked_sub(first.0)?.checked_add(1)? == count;
    fits.then_some(Entry { epoch, first, last, at, change })
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::embedded::row::RESET;

    /// What the script writes around a body.
    fn entry(version: u8, kind: u8, first: u64, body: &[u8]) -> Vec<u8> {
        let mut out = vec![version, kind];
        for field in [7, 8, 9, first] {
            out.extend_from_slice(&u64::to_le_bytes(field));
        }
        out.extend_from_slice(body);
        let digest = Sha1::digest(&out);
        let hex: String = digest[..4].iter().map(|byte| format!("{byte:02x}")).collect();
        out.extend_from_slice(hex.as_bytes());
        out
    }

    #[test]
    fn a_newer_version_says_so_and_a_damaged_entry_is_not_read() {
        let body = reset_body(&[]);
        let good = entry(1, RESET, 5, &body);
        assert_eq!(decode(b"5-0", &good).map(|entry| entry.first), Ok(Sequence(5)));
        assert_eq!(decode(b"5-0", &entry(2, RESET, 5, &body)), Err(Unreadable::Version(2)));
        assert_eq!(decode(b"6-0", &good), Err(Unreadable::Damaged), "the ID says another last");
        assert_eq!(decode(b"5-1", &good), Err(Unreadable::Damaged));
        for at in 1..good.len() {
            let mut wrong = good.clone();
            wrong[at] ^= 1;
            assert_eq!(decode(b"5-0", &wrong), Err(Unreadable::Damaged), "byte {at}");
            assert!(decode(b"5-0", &good[..at]).is_err(), "{at} bytes");
        }
    }

    proptest! {
        /// With the checksum made to fit, so that the reader behind it is what is tried.
        #[test]
        fn rubbish_never_panics(kind in 0..4_u8, first in any::<u64>(), body in vec(any::<u8>(), 0..400)) {
            let bytes = entry(1, kind, first, &body);
            if let Ok(entry) = decode(b"9-0", &bytes) {
                prop_assert!(entry.placements().count() * 7 <= bytes.len());
            }
        }
    }

    #[test]
    fn fuzz_log_entries() {
        // Kind and first sequence, then the body; the checksum is made to fit.
        let reset = [&[RESET][..], &5_u64.to_le_bytes(), &reset_body(&[])].concat();
        assert!(decode(b"5-0", &entry(1, RESET, 5, &reset[9..])).is_ok());
        crate::run::fuzz("log_entries", &[reset], |bytes| {
            let _ = decode(b"5-0", bytes);
            let Some((head, body)) = bytes.split_at_checked(9) else { return };
            let first = u64::from_le_bytes(head[1..].try_into().expect("8 bytes"));
            for id in [&b"5-0"[..], b"9-0", b"x"] {
                if let Ok(entry) = decode(id, &entry(1, head[0], first, body)) {
                    assert!(entry.placements().count() * 7 <= bytes.len());
                }
            }
        });
    }
}
