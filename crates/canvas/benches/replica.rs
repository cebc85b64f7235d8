//! What it costs a client to keep its copy of a chunk up to date.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use pixel_canvas::{ChunkId, Color, Epoch, Frame, Palette, Replica, Sequence, Size, Verdict};

const SIDE: u32 = 256;
const CHUNK: ChunkId = ChunkId { cx: 0, cy: 0 };
const EPOCH: Epoch = Epoch(7);

fn following(criterion: &mut Criterion) {
    for count in [1_u16, 64, 1_024] {
        let mut replica = Replica::new(Size::new(SIDE, SIDE).expect("a size"), Palette::TrueColor, EPOCH);
        assert!(replica.load(CHUNK, EPOCH, Sequence(0), vec![255; (SIDE * SIDE * 3) as usize]));
        let pixels =
            (0..count).map(|index| (index.wrapping_mul(40_503), Color([index as u8, 1, 2]))).collect();
        let (after, to) = (Sequence(0), Sequence(count.into()));
        let mut frame = Frame { epoch: EPOCH, chunk: CHUNK, after, to, pixels };
        let mut group = criterion.benchmark_group("replica");
        group.throughput(Throughput::Elements(count.into()));
        group.bench_function(format!("apply a frame of {count}"), |bencher| {
            bencher.iter(|| {
                assert_eq!(replica.apply(black_box(&frame)), Verdict::Applied);
                frame.after = frame.to;
                frame.to = Sequence(frame.to.0 + u64::from(count));
            });
        });
        group.finish();
    }
}

criterion_group!(replica, following);
criterion_main!(replica);
