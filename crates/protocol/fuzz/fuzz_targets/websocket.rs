//! Frames of strangers: cut anywhere, they give the same messages and the same verdict.
#![no_main]

use std::ops::ControlFlow;

use libfuzzer_sys::fuzz_target;
use pixel_protocol::MESSAGE_BYTES_MAX;
use pixel_protocol::websocket::{Decoder, Violation};

fn decode<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<String>, Option<Violation>) {
    let mut decoder = Decoder::new(MESSAGE_BYTES_MAX);
    let mut messages = Vec::new();
    for piece in pieces {
        let decoded = decoder.decode(piece, &mut |message| {
            messages.push(format!("{message:?}"));
            ControlFlow::Continue(())
        });
        if let Err(violation) = decoded {
            return (messages, Some(violation));
        }
    }
    (messages, None)
}

fuzz_target!(|input: (u8, &[u8])| {
    let (step, bytes) = input;
    let whole = decode(std::iter::once(bytes));
    let pieces = decode(bytes.chunks(usize::from(step).max(1)));
    assert_eq!(whole.0, pieces.0);
    assert_eq!(whole.1.is_some(), pieces.1.is_some());
});
