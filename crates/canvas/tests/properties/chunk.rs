//! A chunk is what was painted on it last, however often it is replayed.

use pixel_canvas::chunk::{Blank, Colors, FEW_PIXELS_MAX, MarkRow};
use pixel_canvas::{Chunk, Color, Mark, Palette, Sequence, Size, Timestamp};
use proptest::collection::vec;
use proptest::prelude::*;

/// Where, and in which of two colours.
type Stroke = (u8, u8, bool);

const COLORS: [Color; 2] = [Color([255; 3]), Color([9, 8, 7])];

fn palettes() -> [Palette; 2] {
    [Palette::TrueColor, Palette::Indexed(COLORS.to_vec())]
}

fn strokes() -> impl Strategy<Value = (Size, Vec<Stroke>)> {
    (1..=256_u32, 1..=20_u32).prop_flat_map(|(width, height)| {
        let stroke = (0..width as usize, 0..height as usize, any::<bool>());
        let stroke = stroke.prop_map(|(x, y, dark)| (x as u8, y as u8, dark));
        (Just(Size::new(width, height).expect("a size")), vec(stroke, 0..60))
    })
}

fn paint(chunk: &mut Chunk, palette: &Palette, strokes: &[Stroke], numbers: std::ops::RangeInclusive<usize>) {
    for number in numbers {
        let (x, y, dark) = strokes[number - 1];
        let mark = Mark {
            sequence: Sequence(number as u64),
            at: Timestamp(number as u64 * 10),
            author: number as u32,
        };
        chunk.paint(u16::from(y) << 8 | u16::from(x), COLORS[usize::from(dark)], palette, mark);
    }
}

fn same(a: &Chunk, b: &Chunk) -> bool {
    a.pixels() == b.pixels() && a.changed() == b.changed() && a.mark_rows() == b.mark_rows()
}

proptest! {
    #[test]
    fn a_pixel_shows_its_last_stroke((size, strokes) in strokes()) {
        for palette in palettes() {
            let blank = Blank::new(size, &palette, COLORS[0]);
            let mut chunk = Chunk::new(&blank);
            prop_assert_eq!(chunk.pixels(), blank.pixels());
            paint(&mut chunk, &palette, &strokes, 1..=strokes.len());
            prop_assert_eq!(chunk.changed(), Sequence(strokes.len() as u64));
            for y in 0..size.height() as u16 {
                for x in 0..size.width() as u16 {
                    let last = strokes.iter().rposition(|stroke| (u16::from(stroke.0), u16::from(stroke.1)) == (x, y));
                    let color = last.map_or(COLORS[0], |index| COLORS[usize::from(strokes[index].2)]);
                    prop_assert_eq!(chunk.color(y << 8 | x, &palette), color);
                    let mark = chunk.mark(y << 8 | x).map(|mark| (mark.sequence.0, mark.at.0, mark.author));
                    let expected = last.map(|index| index as u64 + 1).map(|n| (n, n * 10, n as u32));
                    prop_assert_eq!(mark, expected);
                }
            }
        }
    }

    #[test]
    fn replaying_any_stretch_changes_nothing(
        (size, strokes) in strokes(),
        ends: (prop::sample::Index, prop::sample::Index),
    ) {
        for palette in palettes() {
            let mut once = Chunk::new(&Blank::new(size, &palette, COLORS[0]));
            paint(&mut once, &palette, &strokes, 1..=strokes.len());
            let mut again = once.clone();
            let from = 1 + ends.0.index(strokes.len() + 1);
            let to = ends.1.index(strokes.len() + 1);
            paint(&mut again, &palette, &strokes, from..=to);
            prop_assert!(same(&once, &again));
            // And from a snapshot in the middle, with the log from before it.
            let mut resumed = Chunk::new(&Blank::new(size, &palette, COLORS[0]));
            paint(&mut resumed, &palette, &strokes, 1..=from - 1);
            paint(&mut resumed, &palette, &strokes, 1..=strokes.len());
            prop_assert!(same(&once, &resumed));
        }
    }

    #[test]
    fn a_chunk_comes_back_from_rest((size, strokes) in strokes()) {
        for palette in palettes() {
            let mut chunk = Chunk::new(&Blank::new(size, &palette, COLORS[0]));
            paint(&mut chunk, &palette, &strokes, 1..=strokes.len());
            let blank = Blank::new(size, &palette, COLORS[0]);
            let restore = |colors, rows| Chunk::restore(&blank, &palette, chunk.changed(), colors, rows);
            let rows = chunk.mark_rows().to_vec();
            let whole = Colors::Whole(chunk.pixels());
            for colors in [chunk.colors().clone(), whole.clone()] {
                prop_assert!(same(&chunk, &restore(colors, rows.clone()).expect("it was a chunk")));
            }
            let longer = Colors::Whole([&chunk.pixels()[..], &[0]].concat().into());
            prop_assert!(restore(longer, rows.clone()).is_none());
            let below = MarkRow { y: size.height() as u8, pixels: vec![(0, [1; 16])] };
            prop_assert!(restore(whole.clone(), vec![below]).is_none());
            let empty = MarkRow { y: 0, pixels: vec![] };
            prop_assert!(restore(whole.clone(), vec![empty]).is_none());
            let twice = MarkRow { y: 0, pixels: vec![(0, [1; 16]); 2] };
            prop_assert!(restore(whole, vec![twice]).is_none());
        }
    }

    #[test]
    fn a_mark_comes_back_from_rest(sequence in 1..1_u64 << 48, at in 0..1_u64 << 48, author: u32) {
        let mark = Mark { sequence: Sequence(sequence), at: Timestamp(at), author };
        prop_assert_eq!(Mark::from_bytes(mark.to_bytes()), Some(mark));
    }
}

#[test]
fn a_snapshot_that_is_held_does_not_change() {
    let size = Size::new(3, 3).expect("a size");
    let mut chunk = Chunk::new(&Blank::new(size, &Palette::TrueColor, Color::WHITE));
    let held = chunk.pixels();
    paint(&mut chunk, &Palette::TrueColor, &[(1, 1, true)], 1..=1);
    assert!(held.iter().all(|byte| *byte == 255));
    assert_ne!(held, chunk.pixels());
}

#[test]
fn an_index_outside_the_palette_is_no_chunk() {
    let palette = Palette::Indexed(COLORS.to_vec());
    let size = Size::new(2, 1).expect("a size");
    let blank = Blank::new(size, &palette, COLORS[0]);
    let restores = |colors| Chunk::restore(&blank, &palette, Sequence(1), colors, vec![]).is_some();
    assert!(!restores(Colors::Whole(vec![0, 2].into())));
    assert!(restores(Colors::Whole(vec![0, 1].into())));
    assert!(!restores(Colors::Few(vec![(0, [2, 0, 0])])));
    assert!(restores(Colors::Few(vec![(1, [1, 0, 0])])));
    assert!(!restores(Colors::Few(vec![(2, [1, 0, 0])])));
    assert!(!restores(Colors::Few(vec![(1, [1, 0, 0]), (0, [1, 0, 0])])));
}

#[test]
fn a_chunk_is_the_same_before_and_after_it_is_kept_whole() {
    for palette in palettes() {
        let size = Size::new(256, 256).expect("a size");
        let blank = Blank::new(size, &palette, COLORS[0]);
        let mut chunk = Chunk::new(&blank);
        let mut expected = blank.pixels().to_vec();
        let mut pixel = vec![0; palette.bytes_per_pixel()];
        palette.store(COLORS[1], &mut pixel);
        for number in 0..FEW_PIXELS_MAX + 2 {
            // Not in the order of the list, and no pixel twice: 7,919 is prime.
            let offset = (number * 7_919 % 65_536) as u16;
            let mark = Mark { sequence: Sequence(number as u64 + 1), at: Timestamp(1), author: 1 };
            chunk.paint(offset, COLORS[1], &palette, mark);
            let start = usize::from(offset) * pixel.len();
            expected[start..start + pixel.len()].copy_from_slice(&pixel);
            if number + 3 > FEW_PIXELS_MAX {
                assert!(*chunk.pixels() == expected, "after {} pixels", number + 1);
            }
            assert_eq!(chunk.color(offset, &palette), COLORS[1]);
        }
        assert!(matches!(chunk.colors(), Colors::Whole(_)));
    }
}
