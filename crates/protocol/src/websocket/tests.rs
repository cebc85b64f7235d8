//! The framing's rules, and that it does not matter how the bytes are cut.

use std::ops::ControlFlow;

use proptest::prelude::*;

use super::*;

const MASK: [u8; 4] = [0x12, 0x34, 0x56, 0x78];
const CAP: usize = 4_096;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Owned {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>),
}

impl From<Message<'_>> for Owned {
    fn from(message: Message<'_>) -> Self {
        match message {
            Message::Text(text) => Self::Text(text.into()),
            Message::Binary(bytes) => Self::Binary(bytes.into()),
            Message::Ping(bytes) => Self::Ping(bytes.into()),
            Message::Pong(bytes) => Self::Pong(bytes.into()),
            Message::Close(code) => Self::Close(code),
        }
    }
}

/// A masked frame with any first byte, so that tests can break the rules.
fn raw_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write_masked_frame(&mut out, Opcode::Binary, payload, MASK);
    out[0] = first;
    out
}

fn decode_pieces<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Owned>, Result<(), Violation>) {
    let mut decoder = Decoder::new(CAP);
    let mut messages = Vec::new();
    for piece in pieces {
        let result = decoder.decode(piece, &mut |message| {
            messages.push(message.into());
            ControlFlow::Continue(())
        });
        match result {
            Ok(consumed) => assert_eq!(consumed, piece.len()),
            Err(violation) => return (messages, Err(violation)),
        }
    }
    (messages, Ok(()))
}

fn code_of(bytes: &[u8]) -> Option<u16> {
    let whole = decode_pieces([bytes]).1.err().map(|violation| violation.close_code);
    let single = decode_pieces(bytes.chunks(1)).1.err().map(|violation| violation.close_code);
    assert_eq!(whole, single, "cut into single bytes the verdict is the same");
    whole
}

#[test]
fn the_accept_key_is_the_one_of_the_rfc() {
    assert_eq!(accept_key("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

#[test]
fn the_rfc_s_masked_hello_is_read() {
    let hello = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    assert_eq!(decode_pieces([&hello[..]]), (vec![Owned::Text("Hello".into())], Ok(())));
}

#[test]
fn the_rfc_s_unmasked_hello_is_written() {
    let mut out = Vec::new();
    write_frame(&mut out, Opcode::Text, b"Hello");
    assert_eq!(out, [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);
    assert_eq!(frame_header(Opcode::Binary, 256).as_bytes(), [0x82, 0x7e, 0x01, 0x00]);
    assert_eq!(frame_header(Opcode::Binary, 65_536).as_bytes(), [0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0]);
}

#[test]
fn a_control_frame_may_come_between_fragments() {
    let frames = [raw_frame(0x01, b"Hel"), raw_frame(0x89, b"?"), raw_frame(0x80, b"lo")].concat();
    let expected = vec![Owned::Ping(b"?".into()), Owned::Text("Hello".into())];
    assert_eq!(decode_pieces([&frames[..]]), (expected.clone(), Ok(())));
    assert_eq!(decode_pieces(frames.chunks(1)), (expected, Ok(())));
}

#[test]
fn breaches_of_the_framing_close_with_1002() {
    let mut long_ping = raw_frame(0x89, &[0; 126]);
    let mut unmasked = Vec::new();
    write_frame(&mut unmasked, Opcode::Text, b"x");
    let mut high_bit = vec![0x82, 0xff];
    high_bit.extend_from_slice(&(1_u64 << 63).to_be_bytes());
    let two_beginnings = [raw_frame(0x01, b"a"), raw_frame(0x81, b"b")].concat();
    let breaches: &mut [&[u8]] = &mut [
        &raw_frame(0xc2, b""),
        &raw_frame(0x83, b""),
        &raw_frame(0x8b, b""),
        &raw_frame(0x09, b""),
        &raw_frame(0x80, b""),
        &raw_frame(0x88, b"\x03"),
        &raw_frame(0x88, &999_u16.to_be_bytes()),
        &raw_frame(0x88, &1005_u16.to_be_bytes()),
        &raw_frame(0x88, &2999_u16.to_be_bytes()),
        &raw_frame(0x88, &5000_u16.to_be_bytes()),
        &unmasked,
        &high_bit,
        &two_beginnings,
    ];
    for breach in breaches {
        assert_eq!(code_of(breach), Some(close::PROTOCOL), "{breach:02x?}");
    }
    long_ping.truncate(2);
    assert_eq!(code_of(&long_ping), Some(close::PROTOCOL), "found before the payload arrives");
}

#[test]
fn valid_close_codes_pass() {
    for code in [1000, 1001, 1003, 1007, 1011, 3000, 4999_u16] {
        let frame = raw_frame(0x88, &[&code.to_be_bytes()[..], b"bye"].concat());
        assert_eq!(decode_pieces([&frame[..]]).0, [Owned::Close(Some(code))]);
    }
    assert_eq!(decode_pieces([&raw_frame(0x88, b"")[..]]).0, [Owned::Close(None)]);
}

#[test]
fn text_that_is_not_utf8_closes_with_1007_as_soon_as_it_shows() {
    let bad = b"\xce\xba\xed\xa0\x80";
    assert_eq!(code_of(&raw_frame(0x81, bad)), Some(close::NOT_UTF8));
    assert_eq!(code_of(&raw_frame(0x01, bad)), Some(close::NOT_UTF8), "in a fragment");
    let mut begun = raw_frame(0x81, &[bad as &[u8], &[b'x'; 100]].concat());
    begun.truncate(11);
    assert_eq!(code_of(&begun), Some(close::NOT_UTF8), "inside a frame that is still arriving");
    assert_eq!(code_of(&raw_frame(0x81, b"\xce")), Some(close::NOT_UTF8), "ends inside a character");
    assert_eq!(code_of(&raw_frame(0x88, b"\x03\xe8\xff")), Some(close::NOT_UTF8), "a close reason");
    let split = [raw_frame(0x01, b"\xce"), raw_frame(0x80, b"\xba")].concat();
    assert_eq!(decode_pieces([&split[..]]).0, [Owned::Text("κ".into())], "cut inside a character");
}

#[test]
fn a_message_over_the_cap_closes_with_1009_before_it_arrives() {
    assert_eq!(code_of(&raw_frame(0x82, &[0; CAP])), None);
    let mut over = raw_frame(0x82, &[0; CAP + 1]);
    over.truncate(4);
    assert_eq!(code_of(&over), Some(close::TOO_BIG));
    let fragments = [raw_frame(0x02, &[0; CAP]), raw_frame(0x00, b"x")].concat();
    assert_eq!(code_of(&fragments), Some(close::TOO_BIG), "fragments count together");
    let empty = |count: usize| [raw_frame(0x02, b""), raw_frame(0x00, b"").repeat(count)].concat();
    assert_eq!(code_of(&empty(CAP)), None);
    assert_eq!(code_of(&empty(CAP + 1)), Some(close::TOO_BIG), "more fragments than bytes");
    let mut huge = vec![0x82, 0xff];
    huge.extend_from_slice(&(u64::MAX >> 1).to_be_bytes());
    assert_eq!(code_of(&huge), Some(close::TOO_BIG));
}

#[test]
fn an_idle_decoder_holds_no_memory() {
    assert_eq!(size_of::<Decoder>(), 16);
    let mut decoder = Decoder::new(CAP);
    let frames = [raw_frame(0x01, b"a"), raw_frame(0x80, b"b")].concat();
    for byte in frames.chunks(1) {
        decoder.decode(byte, &mut |_| ControlFlow::Continue(())).expect("valid");
    }
    assert!(decoder.partial.is_none());
}

#[test]
fn when_the_receiver_breaks_the_rest_can_be_passed_later() {
    let frames = [raw_frame(0x82, b"one"), raw_frame(0x82, b"two"), raw_frame(0x82, b"three")].concat();
    let mut decoder = Decoder::new(CAP);
    let mut rest = &frames[..];
    let mut seen = Vec::new();
    while !rest.is_empty() {
        let mut calls = 0;
        let consumed = decoder
            .decode(rest, &mut |message| {
                calls += 1;
                seen.push(Owned::from(message));
                ControlFlow::Break(())
            })
            .expect("valid");
        assert_eq!(calls, 1);
        rest = &rest[consumed..];
    }
    let expected = [b"one" as &[u8], b"two", b"three"].map(|bytes| Owned::Binary(bytes.into()));
    assert_eq!(seen, expected);
}

/// Frames of messages with their fragments, with control frames between them.
fn traffic() -> impl Strategy<Value = (Vec<u8>, Vec<Owned>)> {
    let bytes = proptest::collection::vec(any::<u8>(), 0..300);
    let small = proptest::collection::vec(any::<u8>(), 0..=125);
    let message = prop_oneof![
        "\\PC{0,80}".prop_map(Owned::Text),
        bytes.prop_map(Owned::Binary),
        small.clone().prop_map(Owned::Ping),
        small.prop_map(Owned::Pong),
        Just(Owned::Close(Some(1000))),
    ];
    let cut = (message, 0_usize..4, any::<[u8; 4]>());
    proptest::collection::vec(cut, 0..12).prop_map(|messages| {
        let (mut wire, mut owned) = (Vec::new(), Vec::new());
        for (message, cuts, mask) in messages {
            let (opcode, payload) = match &message {
                Owned::Text(text) => (Opcode::Text, text.as_bytes().to_vec()),
                Owned::Binary(bytes) => (Opcode::Binary, bytes.clone()),
                Owned::Ping(bytes) => (Opcode::Ping, bytes.clone()),
                Owned::Pong(bytes) => (Opcode::Pong, bytes.clone()),
                Owned::Close(code) => (Opcode::Close, close_payload(code.unwrap_or(1000), "bye")),
            };
            let pieces = if opcode.is_control() { 1 } else { cuts + 1 };
            let step = payload.len().div_ceil(pieces).max(1);
            let mut parts: Vec<&[u8]> = payload.chunks(step).collect();
            if parts.is_empty() {
                parts.push(&[]);
            }
            for (index, part) in parts.iter().enumerate() {
                let start = wire.len();
                write_masked_frame(&mut wire, opcode, part, mask);
                let fin = if index + 1 == parts.len() { 0x80 } else { 0 };
                let bits = if index == 0 { opcode as u8 } else { 0 };
                wire[start] = fin | bits;
            }
            owned.push(message);
        }
        (wire, owned)
    })
}

/// Cuts bytes at places that a list of lengths chooses.
fn cut<'a>(mut bytes: &'a [u8], lengths: &[usize]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    for length in lengths.iter().cycle().take(bytes.len().max(1)) {
        if bytes.is_empty() {
            break;
        }
        let (piece, rest) = bytes.split_at((*length).min(bytes.len()));
        pieces.push(piece);
        bytes = rest;
    }
    pieces
}

proptest! {
    #[test]
    fn however_the_bytes_are_cut_the_messages_are_the_same(
        (wire, expected) in traffic(),
        lengths in proptest::collection::vec(1_usize..40, 1..10),
    ) {
        prop_assert_eq!(decode_pieces([&wire[..]]), (expected.clone(), Ok(())));
        prop_assert_eq!(decode_pieces(cut(&wire, &lengths)), (expected, Ok(())));
    }

    #[test]
    fn rubbish_gets_the_same_verdict_however_it_is_cut(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        first in prop_oneof![Just(0x81_u8), Just(0x82), Just(0x01), Just(0x88), any::<u8>()],
        lengths in proptest::collection::vec(1_usize..40, 1..10),
    ) {
        let mut wire = vec![first, 0x80 | bytes.len().min(125) as u8];
        wire.extend_from_slice(&bytes);
        let whole = decode_pieces([&wire[..]]);
        let pieces = decode_pieces(cut(&wire, &lengths));
        // A breach that shows early may hide a second one behind it, never a message before it.
        prop_assert_eq!(whole.0, pieces.0);
        prop_assert_eq!(whole.1.is_err(), pieces.1.is_err());
    }

    #[test]
    fn masking_twice_is_nothing(bytes in proptest::collection::vec(any::<u8>(), 0..100), mask: [u8; 4], at in 0_usize..9) {
        let mut masked = bytes.clone();
        apply_mask(&mut masked, mask, at);
        for (index, (masked, byte)) in masked.iter().zip(&bytes).enumerate() {
            prop_assert_eq!(*masked, byte ^ mask[(at + index) % 4]);
        }
    }
}
