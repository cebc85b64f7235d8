//! Where a pixel lies: points, sizes, and the chunks that hold them.

use serde::{Deserialize, Serialize};

/// Pixels along one side of a chunk.
pub const CHUNK_SIDE_PIXELS: u32 = 256;
/// The longest side of a canvas, in pixels.
pub const CANVAS_SIDE_PIXELS_MAX: u32 = 65_536;

/// One pixel's place; x grows to the right, y downwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Point {
    /// Column, from 0.
    pub x: u16,
    /// Row, from 0.
    pub y: u16,
}

/// Width and height of a canvas or chunk in pixels, each from 1 to 65,536.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "(u32, u32)", into = "(u32, u32)")]
pub struct Size {
    width: u32,
    height: u32,
}

/// A 256×256 square of the canvas: column and row of the square. Smaller at the canvas' edges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChunkId {
    /// Column of chunks, from 0.
    pub cx: u8,
    /// Row of chunks, from 0.
    pub cy: u8,
}

impl TryFrom<(u32, u32)> for Size {
    type Error = &'static str;

    fn try_from((width, height): (u32, u32)) -> Result<Self, Self::Error> {
        Self::new(width, height).ok_or("it is not a size")
    }
}

impl From<Size> for (u32, u32) {
    fn from(size: Size) -> Self {
        (size.width(), size.height())
    }
}

impl Size {
    /// A size, or `None` when a side is 0 or longer than [`CANVAS_SIDE_PIXELS_MAX`].
    #[must_use]
    pub fn new(width: u32, height: u32) -> Option<Self> {
        let side = 1..=CANVAS_SIDE_PIXELS_MAX;
        (side.contains(&width) && side.contains(&height)).then_some(Self { width, height })
    }

    /// Width in pixels.
    #[must_use]
    pub fn width(self) -> u32 {
        self.width
    }

    /// Height in pixels.
    #[must_use]
    pub fn height(self) -> u32 {
        self.height
    }

    /// Width times height.
    #[must_use]
    pub fn pixels(self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }

    /// The point at (x, y), or `None` outside.
    #[must_use]
    pub fn point(self, x: i64, y: i64) -> Option<Point> {
        let inside = (0..i64::from(self.width)).contains(&x) && (0..i64::from(self.height)).contains(&y);
        inside.then_some(Point { x: x as u16, y: y as u16 })
    }

    /// Whether the point lies inside.
    #[must_use]
    pub fn holds(self, at: Point) -> bool {
        u32::from(at.x) < self.width && u32::from(at.y) < self.height
    }

    /// How many columns and rows of chunks cover this size.
    #[must_use]
    pub fn chunk_grid(self) -> (u32, u32) {
        (self.width.div_ceil(CHUNK_SIDE_PIXELS), self.height.div_ceil(CHUNK_SIDE_PIXELS))
    }

    /// The chunk at column `cx`, row `cy`, or `None` outside.
    #[must_use]
    pub fn chunk(self, cx: u32, cy: u32) -> Option<ChunkId> {
        let (columns, rows) = self.chunk_grid();
        (cx < columns && cy < rows).then_some(ChunkId { cx: cx as u8, cy: cy as u8 })
    }

    /// Every chunk, row by row.
    pub fn chunks(self) -> impl Iterator<Item = ChunkId> {
        let (columns, rows) = self.chunk_grid();
        (0..rows).flat_map(move |cy| (0..columns).map(move |cx| ChunkId { cx: cx as u8, cy: cy as u8 }))
    }

    /// The size of one chunk of this canvas: 256×256, smaller at the right and lower edge.
    ///
    /// `id` lies inside, as [`Size::chunk`] makes it.
    #[must_use]
    pub fn chunk_size(self, id: ChunkId) -> Size {
        let side =
            |whole: u32, index: u8| (whole - u32::from(index) * CHUNK_SIDE_PIXELS).min(CHUNK_SIDE_PIXELS);
        Size { width: side(self.width, id.cx), height: side(self.height, id.cy) }
    }
}

impl Point {
    /// The chunk that holds this pixel.
    #[must_use]
    pub fn chunk(self) -> ChunkId {
        ChunkId { cx: (self.x >> 8) as u8, cy: (self.y >> 8) as u8 }
    }

    /// Column and row inside its chunk.
    #[must_use]
    pub fn within(self) -> (u8, u8) {
        (self.x as u8, self.y as u8)
    }

    /// Row × 256 + column inside its chunk, whatever the chunk's own width: what the wire carries.
    #[must_use]
    pub fn offset(self) -> u16 {
        (self.y & 0xff) << 8 | (self.x & 0xff)
    }
}

impl ChunkId {
    /// The pixel of this chunk at `offset` (row × 256 + column).
    #[must_use]
    pub fn point(self, offset: u16) -> Point {
        Point { x: u16::from(self.cx) << 8 | (offset & 0xff), y: u16::from(self.cy) << 8 | offset >> 8 }
    }

    /// The chunk's upper left pixel.
    #[must_use]
    pub fn origin(self) -> Point {
        self.point(0)
    }
}
