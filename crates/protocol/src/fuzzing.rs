//! Fuzz targets: everything that reads what came over a socket.

#[path = "../../../fuzz/run.rs"]
mod run;

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use pixel_canvas::{
    Canvas, CanvasSpec, ChunkId, Color, Epoch, Placement, Point, Replica, Sequence, Timestamp, Turn,
};
use serde::de::IgnoredAny;
use serde_json::Value;

use self::run::fuzz;
use crate::websocket::{Decoder, Message, Opcode, Violation, close_payload, write_masked_frame};
use crate::{binary, json};

/// The golden frames of a dialect and direction.
fn golden(vectors: &str, direction: &str) -> Vec<Value> {
    let vectors: Vec<Value> = serde_json::from_str(vectors).expect("vectors are JSON");
    vectors.into_iter().filter(|vector| vector["direction"] == direction).collect()
}

fn golden_bytes(direction: &str) -> Vec<Vec<u8>> {
    let bytes = |vector: &Value| -> Vec<u8> {
        let digits = vector["hex"].as_str().expect("hex");
        digits
            .as_bytes()
            .chunks(2)
            .map(|pair| {
                let pair = std::str::from_utf8(pair).expect("ASCII");
                u8::from_str_radix(pair, 16).expect("two digits")
            })
            .collect()
    };
    // The first byte says which canvas.
    let golden = golden(include_str!("../vectors/binary.json"), direction);
    golden.iter().flat_map(|vector| [0, 1].map(|canvas| [&[canvas][..], &bytes(vector)].concat())).collect()
}

fn golden_texts(direction: &str) -> Vec<Vec<u8>> {
    let golden = golden(include_str!("../vectors/json.json"), direction);
    golden.iter().filter_map(|vector| Some(vector["text"].as_str()?.as_bytes().to_vec())).collect()
}

/// A canvas with a palette, or without one.
fn canvas(choice: u8) -> Canvas {
    if choice.is_multiple_of(2) {
        return Canvas::default_canvas();
    }
    let palette = Some(vec!["#FFFFFF".to_owned(), "#1C1917".to_owned(), "#E4572E".to_owned()]);
    let spec = CanvasSpec { id: "p".to_owned(), width: 600, height: 300, palette, ..CanvasSpec::default() };
    Canvas::parse(&spec).expect("a canvas")
}

/// A message that outlives its bytes.
#[derive(Debug, PartialEq)]
enum Owned {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>),
}

/// What comes of these bytes when so many arrive at a time.
fn decoded(bytes: &[u8], at_a_time: usize) -> (Vec<Owned>, Result<(), Violation>) {
    const MESSAGE_BYTES_MAX: usize = 1_000;
    let mut messages = Vec::new();
    let mut decoder = Decoder::new(MESSAGE_BYTES_MAX);
    for piece in bytes.chunks(at_a_time) {
        let taken = decoder.decode(piece, &mut |message| {
            messages.push(match message {
                Message::Text(text) => Owned::Text(text.to_owned()),
                Message::Binary(bytes) => Owned::Binary(bytes.to_vec()),
                Message::Ping(bytes) => Owned::Ping(bytes.to_vec()),
                Message::Pong(bytes) => Owned::Pong(bytes.to_vec()),
                Message::Close(code) => Owned::Close(code),
            });
            ControlFlow::Continue(())
        });
        match taken {
            Ok(taken) => assert_eq!(taken, piece.len(), "nobody broke off"),
            Err(violation) => return (messages, Err(violation)),
        }
    }
    for message in &messages {
        let length = match message {
            Owned::Text(text) => text.len(),
            Owned::Binary(bytes) | Owned::Ping(bytes) | Owned::Pong(bytes) => bytes.len(),
            Owned::Close(_) => 0,
        };
        assert!(length <= MESSAGE_BYTES_MAX);
    }
    (messages, Ok(()))
}

#[test]
fn fuzz_websocket_frames() {
    let frame = |opcode, payload: &[u8]| {
        let mut out = Vec::new();
        write_masked_frame(&mut out, opcode, payload, [1, 2, 3, 4]);
        out
    };
    let unfinished = |mut frame: Vec<u8>| {
        frame[0] &= 0x7f;
        frame
    };
    let seeds = [
        frame(Opcode::Text, "{\"type\":\"ping\"} ä€".as_bytes()),
        frame(Opcode::Binary, &[7; 300]),
        frame(Opcode::Ping, b"hello"),
        frame(Opcode::Pong, b""),
        frame(Opcode::Close, &close_payload(1000, "bye")),
        [
            unfinished(frame(Opcode::Text, b"\xe2\x82")),
            frame(Opcode::Ping, b"x"),
            frame(Opcode::Continuation, b"\xac"),
        ]
        .concat(),
    ];
    fuzz("websocket_frames", &seeds, |bytes| {
        let whole = decoded(bytes, bytes.len().max(1));
        for at_a_time in [1, 7] {
            let pieces = decoded(bytes, at_a_time);
            assert_eq!(pieces, whole, "{at_a_time} at a time");
        }
    });
}

#[test]
fn fuzz_json_to_server() {
    fuzz("json_to_server", &golden_texts("toServer"), |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        let reference = match json::parse(text) {
            Ok(message) => {
                // In what is ignored, numbers may be greater than a `Value` can hold.
                assert!(serde_json::from_str::<BTreeMap<String, IgnoredAny>>(text).is_ok());
                match message {
                    json::ToServer::PixelUpdate { reference, .. }
                    | json::ToServer::Retrace { reference, .. } => reference,
                    _ => None,
                }
            }
            Err(wrong) => {
                assert!(!wrong.message.is_empty() && wrong.message.len() < 400, "{}", wrong.message);
                wrong.reference
            }
        };
        // Whatever a client calls it, an answer that names it is JSON.
        let mut answer = Vec::new();
        json::error(&mut answer, text, reference.as_ref(), Some(1));
        assert!(serde_json::from_slice::<Value>(&answer).is_ok_and(|answer| answer["type"] == "error"));
    });
}

#[test]
fn fuzz_json_to_client() {
    fuzz("json_to_client", &golden_texts("toClient"), |bytes| {
        let Ok(mut message) = serde_json::from_slice(bytes) else { return };
        let mut again = Vec::new();
        match &mut message {
            json::ToClient::PixelUpdated { x, y, color, username, timestamp, sequence } => {
                let Some(parsed) = Color::parse(color) else { return };
                *color = parsed.to_string();
                let placement = Placement { at: Point { x: *x, y: *y }, color: parsed };
                let (at, sequence) = (Timestamp(*timestamp), Sequence(*sequence));
                json::pixel_updated(&mut again, &placement, username, at, sequence);
            }
            json::ToClient::UserList { users, timestamp } => {
                json::user_list(&mut again, users.iter().map(String::as_str), Timestamp(*timestamp));
            }
            json::ToClient::Error { message, reference: None, retry_after: None } => {
                json::error(&mut again, message, None, None);
            }
            json::ToClient::Stats { active_users, timestamp } => {
                json::stats(&mut again, *active_users, Timestamp(*timestamp));
            }
            json::ToClient::Pong { timestamp } => json::pong(&mut again, Timestamp(*timestamp)),
            _ => return,
        }
        assert_eq!(serde_json::from_slice::<json::ToClient>(&again).ok().as_ref(), Some(&message));
    });
}

#[test]
fn fuzz_binary_to_server() {
    let mut seeds = golden_bytes("toServer");
    let at = Point { x: 1, y: 2 };
    for message in [
        binary::ToServer::Submit {
            key: 9,
            placements: Ok(vec![Placement { at, color: Color([255; 3]) }; 3]),
        },
        binary::ToServer::Retrace { turn: Turn::Redo, key: 1, count: 2 },
    ] {
        for choice in [0, 1] {
            let mut bytes = vec![choice];
            message.encode(&canvas(choice), &mut bytes);
            seeds.push(bytes);
        }
    }
    fuzz("binary_to_server", &seeds, |bytes| {
        let Some((&choice, bytes)) = bytes.split_first() else { return };
        let canvas = canvas(choice);
        let Ok(message) = binary::ToServer::decode(bytes, &canvas) else { return };
        if matches!(message, binary::ToServer::Submit { placements: Err(_), .. }) {
            return;
        }
        let mut again = Vec::new();
        message.encode(&canvas, &mut again);
        assert_eq!(again, bytes, "{message:?}");
    });
}

#[test]
fn fuzz_binary_to_client() {
    fuzz("binary_to_client", &golden_bytes("toClient"), |bytes| {
        let Some((&choice, bytes)) = bytes.split_first() else { return };
        let canvas = canvas(choice);
        let decoded = binary::ToClient::decode(bytes, &canvas.palette);
        let Ok(Some(message)) = &decoded else { return };
        let mut again = Vec::new();
        message.encode(&canvas.palette, &mut again);
        assert_eq!(binary::ToClient::decode(&again, &canvas.palette), decoded);
        let binary::ToClient::Frame(frame) = message else { return };
        // What a client does with it next.
        let mut replica = Replica::new(canvas.size, canvas.palette.clone(), frame.epoch);
        let chunk = ChunkId { cx: 0, cy: 0 };
        let size = canvas.size.chunk_size(chunk);
        let pixels = (size.width() * size.height()) as usize * canvas.palette.bytes_per_pixel();
        replica.load(chunk, frame.epoch, Sequence::ZERO, vec![0; pixels]);
        let _ = replica.apply(frame);
        replica.restart(Epoch(0));
    });
}
