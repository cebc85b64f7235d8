//! Every pixel lies in exactly one chunk, at exactly one offset.

use std::collections::HashSet;

use pixel_canvas::{ChunkId, Point, Size};
use proptest::prelude::*;

fn size() -> impl Strategy<Value = Size> {
    (1..=65_536_u32, 1..=65_536_u32)
        .prop_map(|(width, height)| Size::new(width, height).expect("within bounds"))
}

proptest! {
    #[test]
    fn a_point_comes_back_from_its_chunk_and_offset(x: u16, y: u16) {
        let point = Point { x, y };
        prop_assert_eq!(point.chunk().point(point.offset()), point);
        let (column, row) = point.within();
        prop_assert_eq!(point.offset(), u16::from(row) * 256 + u16::from(column));
        prop_assert_eq!(point.chunk().origin().chunk(), point.chunk());
    }

    #[test]
    fn an_offset_comes_back_from_its_point(cx: u8, cy: u8, offset: u16) {
        let chunk = ChunkId { cx, cy };
        prop_assert_eq!(chunk.point(offset).chunk(), chunk);
        prop_assert_eq!(chunk.point(offset).offset(), offset);
    }

    #[test]
    fn points_inside_are_those_between_the_sides(size in size(), x in -9..70_000_i64, y in -9..70_000_i64) {
        let inside = x >= 0 && y >= 0 && x < i64::from(size.width()) && y < i64::from(size.height());
        match size.point(x, y) {
            Some(point) => {
                prop_assert!(inside);
                prop_assert_eq!((i64::from(point.x), i64::from(point.y)), (x, y));
                prop_assert!(size.holds(point));
                let ChunkId { cx, cy } = point.chunk();
                prop_assert_eq!(size.chunk(cx.into(), cy.into()), Some(point.chunk()));
                let (column, row) = point.within();
                let chunk = size.chunk_size(point.chunk());
                prop_assert!(u32::from(column) < chunk.width() && u32::from(row) < chunk.height());
            }
            None => prop_assert!(!inside),
        }
    }

    #[test]
    fn chunks_cover_a_canvas_once(width in 1..2_000_u32, height in 1..2_000_u32) {
        let size = Size::new(width, height).expect("within bounds");
        let chunks: Vec<ChunkId> = size.chunks().collect();
        prop_assert_eq!(chunks.iter().copied().collect::<HashSet<_>>().len(), chunks.len());
        prop_assert_eq!(chunks.iter().map(|id| size.chunk_size(*id).pixels()).sum::<u64>(), size.pixels());
        let (columns, rows) = size.chunk_grid();
        prop_assert_eq!(chunks.len() as u32, columns * rows);
        prop_assert_eq!(size.chunk(columns, 0), None);
        prop_assert_eq!(size.chunk(0, rows), None);
    }
}

#[test]
fn the_largest_canvas_is_65536_on_a_side() {
    let largest = Size::new(65_536, 65_536).expect("the most");
    assert_eq!(largest.chunk_grid(), (256, 256));
    assert_eq!(largest.point(65_535, 65_535), Some(Point { x: 65_535, y: 65_535 }));
    assert_eq!(largest.point(65_536, 0), None);
    for (width, height) in [(0, 1), (1, 0), (65_537, 1), (1, 65_537), (u32::MAX, u32::MAX)] {
        assert_eq!(Size::new(width, height), None);
    }
}
