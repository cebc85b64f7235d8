//! What it costs to paint in a chunk, and to hand its pixels out.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use pixel_canvas::chunk::Blank;
use pixel_canvas::{Chunk, Color, Mark, Palette, Sequence, Size, Timestamp};

const SIDE: u32 = 256;
/// Painted at a time.
const PIXELS: u64 = 1_024;

fn blank() -> Blank {
    Blank::new(Size::new(SIDE, SIDE).expect("a size"), &Palette::TrueColor, Color([255; 3]))
}

/// Paints so many pixels after the chunk's last sequence, here and there.
fn paint(chunk: &mut Chunk, count: u64) {
    let changed = chunk.changed().0;
    for sequence in changed + 1..=changed + count {
        let offset = (sequence as u16).wrapping_mul(40_503);
        let mark = Mark { sequence: Sequence(sequence), at: Timestamp(1_700_000_000_000), author: 1 };
        chunk.paint(offset, Color([offset as u8, 1, 2]), &Palette::TrueColor, mark);
    }
}

fn painting(criterion: &mut Criterion) {
    let blank = blank();
    let mut full = Chunk::new(&blank);
    paint(&mut full, 65_536);
    let mut group = criterion.benchmark_group("paint 1,024 pixels");
    group.throughput(Throughput::Elements(PIXELS));
    for (name, chunk) in [("of a blank chunk", Chunk::new(&blank)), ("of a full chunk", full.clone())] {
        group.bench_function(name, |bencher| {
            let given = || chunk.clone();
            bencher.iter_batched_ref(given, |chunk| paint(black_box(chunk), PIXELS), BatchSize::LargeInput);
        });
    }
    group.finish();

    let mut few = Chunk::new(&blank);
    paint(&mut few, 10);
    for (name, chunk) in [("pixels of a chunk with 10 painted", &few), ("pixels of a full chunk", &full)] {
        criterion.bench_function(name, |bencher| bencher.iter(|| black_box(chunk).pixels()));
    }
}

criterion_group!(chunk, painting);
criterion_main!(chunk);
