//! What it costs to write and to read one message of each kind that comes by the million.

use std::hint::black_box;
use std::ops::ControlFlow;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use pixel_canvas::{Canvas, ChunkId, Color, Epoch, Palette, Placement, Point, Sequence, Timestamp};
use pixel_protocol::websocket::{Decoder, Opcode, write_masked_frame};
use pixel_protocol::{MESSAGE_BYTES_MAX, binary, json};

const CHUNK: ChunkId = ChunkId { cx: 0, cy: 0 };
const PALETTE: Palette = Palette::TrueColor;

fn pixels(count: u16) -> Vec<(u16, Color)> {
    (0..count).map(|index| (index.wrapping_mul(40_503), Color([index as u8, 7, 9]))).collect()
}

fn frames(criterion: &mut Criterion) {
    for count in [1, 64, 1_024] {
        let pixels = pixels(count);
        let mut group = criterion.benchmark_group(format!("binary frame of {count}"));
        group.throughput(Throughput::Elements(count.into()));
        let mut out = Vec::new();
        group.bench_function("encode", |bencher| {
            bencher.iter(|| {
                out.clear();
                let (after, to) = (Sequence(1), Sequence(1 + u64::from(count)));
                binary::encode_frame(&mut out, Epoch(7), CHUNK, after, to, &PALETTE, black_box(&pixels));
            });
        });
        group.bench_function("decode", |bencher| {
            bencher.iter(|| binary::ToClient::decode(black_box(&out), &PALETTE).expect("what was written"));
        });
        group.finish();
    }
}

fn texts(criterion: &mut Criterion) {
    let placement = Placement { at: Point { x: 12, y: 34 }, color: Color([1, 2, 3]) };
    let mut out = Vec::new();
    criterion.bench_function("pixel_updated: encode", |bencher| {
        bencher.iter(|| {
            out.clear();
            let at = Timestamp(1_700_000_000_000);
            json::pixel_updated(&mut out, black_box(&placement), "Anonymous", at, Sequence(123_456));
        });
    });
    let asked = r##"{"type":"pixel_update","x":12,"y":34,"color":"#010203","username":"Anonymous"}"##;
    criterion.bench_function("pixel_update: parse", |bencher| {
        bencher.iter(|| json::parse(black_box(asked)).expect("a placement"));
    });
}

fn submissions(criterion: &mut Criterion) {
    let canvas = Canvas::default_canvas();
    let placements = vec![Placement { at: Point { x: 12, y: 34 }, color: Color([1, 2, 3]) }];
    let mut message = Vec::new();
    binary::ToServer::Submit { key: 7, placements: Ok(placements) }.encode(&canvas, &mut message);
    criterion.bench_function("SUBMIT of 1: decode", |bencher| {
        bencher.iter(|| binary::ToServer::decode(black_box(&message), &canvas).expect("what was written"));
    });
    let mut received = Vec::new();
    for _ in 0..16 {
        write_masked_frame(&mut received, Opcode::Binary, &message, [1, 2, 3, 4]);
    }
    let mut group = criterion.benchmark_group("WebSocket");
    group.throughput(Throughput::Elements(16));
    group.bench_function("16 masked frames: decode", |bencher| {
        bencher.iter_batched(
            || Decoder::new(MESSAGE_BYTES_MAX),
            |mut decoder| {
                let mut receive = |message: pixel_protocol::websocket::Message<'_>| {
                    black_box(message);
                    ControlFlow::Continue(())
                };
                decoder.decode(black_box(&received), &mut receive).expect("what was written")
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group!(codec, frames, texts, submissions);
criterion_main!(codec);
