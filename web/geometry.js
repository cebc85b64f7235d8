/** Where a pixel lies: chunks, offsets, cells, and the straight lines between them. */

/** Pixels along one side of a chunk. */
export const CHUNK_SIDE_PIXELS = 256;
/** The longest side of a canvas, in pixels. */
export const CANVAS_SIDE_PIXELS_MAX = 65_536;
/** The largest picture of a canvas that the server draws in one piece. */
export const EXPORTED_PIXELS_MAX = 16_777_216;

/**
 * @typedef {{ width: number, height: number }} Size
 * @typedef {{ x: number, y: number }} Point
 * @typedef {{ cx: number, cy: number }} ChunkId
 */

/**
 * One number for a chunk, to key maps with: row × 256 + column.
 * @param {number} cx @param {number} cy
 */
export function chunkKey(cx, cy) {
  return cy * 256 + cx;
}

/** @param {number} key @returns {ChunkId} */
export function chunkOf(key) {
  return { cx: key & 0xff, cy: key >> 8 };
}

/** The key of the chunk that holds a pixel. @param {number} x @param {number} y */
export function chunkKeyAt(x, y) {
  return chunkKey(x >> 8, y >> 8);
}

/** @param {Size} canvas */
export function chunkCount({ width, height }) {
  return Math.ceil(width / CHUNK_SIDE_PIXELS) * Math.ceil(height / CHUNK_SIDE_PIXELS);
}

/** The keys of every chunk of a canvas. @param {Size} canvas */
export function chunkKeys({ width, height }) {
  const keys = [];
  for (let cy = 0; cy * CHUNK_SIDE_PIXELS < height; cy += 1) {
    for (let cx = 0; cx * CHUNK_SIDE_PIXELS < width; cx += 1) keys.push(chunkKey(cx, cy));
  }
  return keys;
}

/** One number for a pixel. @param {number} x @param {number} y */
export function cellKey(x, y) {
  return y * CANVAS_SIDE_PIXELS_MAX + x;
}

/** @param {number} key @returns {Point} */
export function cellOf(key) {
  return { x: key % CANVAS_SIDE_PIXELS_MAX, y: Math.floor(key / CANVAS_SIDE_PIXELS_MAX) };
}

/**
 * A chunk's size: 256×256, smaller at the canvas' right and lower edge.
 * @param {Size} canvas @param {number} cx @param {number} cy @returns {Size}
 */
export function chunkSize(canvas, cx, cy) {
  return {
    width: Math.min(CHUNK_SIDE_PIXELS, canvas.width - cx * CHUNK_SIDE_PIXELS),
    height: Math.min(CHUNK_SIDE_PIXELS, canvas.height - cy * CHUNK_SIDE_PIXELS),
  };
}

/** @param {Size} canvas @param {number} x @param {number} y */
export function holds(canvas, x, y) {
  return x >= 0 && y >= 0 && x < canvas.width && y < canvas.height;
}

/**
 * Every cell on the straight line from one cell to another, both ends included; each touches the next.
 * @param {Point} from @param {Point} to @returns {Point[]}
 */
export function line(from, to) {
  const cells = [];
  const width = Math.abs(to.x - from.x);
  const height = -Math.abs(to.y - from.y);
  const stepX = from.x < to.x ? 1 : -1;
  const stepY = from.y < to.y ? 1 : -1;
  let { x, y } = from;
  let error = width + height;
  for (;;) {
    cells.push({ x, y });
    if (x === to.x && y === to.y) return cells;
    const twice = 2 * error;
    if (twice >= height) {
      error += height;
      x += stepX;
    }
    if (twice <= width) {
      error += width;
      y += stepY;
    }
  }
}
