/** Draws the board: the sheet, its shadow, and of its chunks only what changed and is in view. */

import { CHUNK_SIDE_PIXELS, cellOf, chunkKey, chunkKeyAt, chunkOf } from './geometry.js';
import { hex } from './inks.js';
import { Tile, context2d, levelFor } from './tile.js';

/** More changed pixels than this repaint their chunk whole. */
const CHANGED_PIXELS_MAX = 1_024;
/** The sheet's hard shadow, in CSS pixels. */
export const SHADOW_PIXELS = 6;
/** The ink line around the sheet, in CSS pixels. */
const FRAME_PIXELS = 2;
/** Ink in the light; in the dark it parts the sheet from its bright shadow. */
const FRAME_COLOR = '#1C1917';

/**
 * @typedef {import('./viewport.js').Viewport} Viewport
 * @typedef {object} Pixels what the view draws
 * @property {(key: number) => import('./replica.js').Held | undefined} chunk
 * @property {(x: number, y: number) => number | undefined} value of a cell, one's own waiting paint included
 * @property {() => Iterable<number>} waitingCells whose value is not the chunk's
 */

export class View {
  #canvas;
  #context;
  #viewport;
  #pixels;
  /** @type {Map<number, Tile>} */
  #tiles = new Map();
  /** Tiles that changed since the last drawing. @type {Set<number>} */
  #dirty = new Set();
  #whole = true;
  /** @type {number[]} */
  #palette = [];
  #background = 0xffffff;
  #lookup = new Uint32Array(256);
  #paper = '#F4EFE6';
  #ink = '#1C1917';
  #blank = '#E7DFD1';
  #known = false;

  /** @param {HTMLCanvasElement} canvas @param {Viewport} viewport @param {Pixels} pixels */
  constructor(canvas, viewport, pixels) {
    this.#canvas = canvas;
    this.#context = context2d(canvas, { alpha: false });
    this.#viewport = viewport;
    this.#pixels = pixels;
  }

  /** The canvas' colours. @param {number[]} palette none: true colour @param {number} background */
  rules(palette, background) {
    this.#known = true;
    this.#palette = palette;
    this.#background = background;
    palette.forEach((color, index) => {
      this.#lookup[index] = opaque(color);
    });
    for (const key of this.#tiles.keys()) this.#mark(key, 'all');
    this.#whole = true;
  }

  /** The colour that a value stands for. @param {number} value */
  color(value) {
    return this.#palette.length === 0 ? value : this.#palette[value] ?? this.#background;
  }

  /** The page's own colours. @param {{ paper: string, ink: string, blank: string }} theme */
  theme({ paper, ink, blank }) {
    this.#paper = paper;
    this.#ink = ink;
    this.#blank = blank;
    this.#whole = true;
  }

  /** The next drawing draws everything. */
  invalidate() {
    this.#whole = true;
  }

  /** The pictures were lost: chunks have to be loaded into it again. */
  renew() {
    this.#tiles.clear();
    this.#dirty.clear();
    this.#whole = true;
  }

  /** @param {number} key of a chunk that is new as a whole */
  chunkLoaded(key) {
    if (!this.#tiles.has(key)) this.#tiles.set(key, new Tile());
    this.#mark(key, 'all');
  }

  /** @param {number} key of a chunk that is no longer held */
  chunkDropped(key) {
    if (this.#tiles.delete(key)) this.#whole = true;
    this.#dirty.delete(key);
  }

  /** @param {import('./protocol.js').Frame} frame that was applied */
  painted(frame) {
    this.#mark(chunkKey(frame.cx, frame.cy), frame.offsets);
  }

  /** One cell shows another colour. @param {number} x @param {number} y */
  cellChanged(x, y) {
    this.#mark(chunkKeyAt(x, y), [((y & 0xff) << 8) | (x & 0xff)]);
  }

  /** A chunk's picture as it is now, for drawing a cell as so many pixels. @param {number} key @param {number} scale */
  picture(key, scale) {
    const tile = this.#tiles.get(key);
    if (tile === undefined) return undefined;
    this.#paintTile(key, tile);
    return tile.picture(levelFor(scale));
  }

  /** Whether there is anything to draw. */
  get pending() {
    return this.#whole || this.#dirty.size > 0;
  }

  draw() {
    if (this.#whole) this.#drawWhole();
    else for (const key of this.#dirty) this.#drawChanged(key);
    this.#dirty.clear();
    this.#whole = false;
  }

  /** @param {number} key @param {Iterable<number> | 'all'} offsets */
  #mark(key, offsets) {
    const tile = this.#tiles.get(key);
    if (tile === undefined) return;
    this.#dirty.add(key);
    if (tile.changed === 'all') return;
    if (offsets === 'all') {
      tile.changed = 'all';
      return;
    }
    for (const offset of offsets) tile.changed.add(offset);
    if (tile.changed.size > CHANGED_PIXELS_MAX) tile.changed = 'all';
  }

  #drawWhole() {
    const table = { left: 0, top: 0, right: this.#canvas.width, bottom: this.#canvas.height };
    if (!this.#known) {
      this.#fill(this.#paper, table);
      return;
    }
    const { board, ratio } = this.#viewport;
    const shadow = Math.round(SHADOW_PIXELS * ratio);
    const line = Math.round(FRAME_PIXELS * ratio);
    const frame = { left: board.left - line, top: board.top - line, right: board.right + line, bottom: board.bottom + line };
    const below = { left: frame.left + shadow, top: frame.top + shadow, right: frame.right + shadow, bottom: frame.bottom + shadow };
    // Where the board covers the window nothing is filled that it hides: that would be half of a frame's work.
    this.#fillAround(this.#paper, table, frame);
    this.#fillAround(this.#ink, below, frame);
    this.#fillAround(FRAME_COLOR, frame, board);
    const seen = [...this.#tiles.keys()].filter((key) => this.#viewport.sees(key));
    if (seen.length < this.#viewport.chunksInView || !this.#viewport.seamless) this.#fill(this.#blank, board);
    this.#clipped(board, () => { for (const key of seen) this.#drawTile(key); });
  }

  /** @param {string} color @param {import('./viewport.js').Box} box of which only what is in the window is filled */
  #fill(color, { left, top, right, bottom }) {
    const [fromX, fromY] = [Math.max(0, left), Math.max(0, top)];
    const [width, height] = [Math.min(this.#canvas.width, right) - fromX, Math.min(this.#canvas.height, bottom) - fromY];
    if (width <= 0 || height <= 0) return;
    this.#context.fillStyle = color;
    this.#context.fillRect(fromX, fromY, width, height);
  }

  /** Fills what of a box lies outside of another. @param {string} color @param {import('./viewport.js').Box} box @param {import('./viewport.js').Box} hole */
  #fillAround(color, box, hole) {
    const [top, bottom] = [Math.max(box.top, hole.top), Math.min(box.bottom, hole.bottom)];
    this.#fill(color, { ...box, bottom: Math.min(box.bottom, hole.top) });
    this.#fill(color, { ...box, top: Math.max(box.top, hole.bottom) });
    this.#fill(color, { left: box.left, top, right: Math.min(box.right, hole.left), bottom });
    this.#fill(color, { left: Math.max(box.left, hole.right), top, right: box.right, bottom });
  }

  /** Draws what changed of one chunk, and nothing else. @param {number} key */
  #drawChanged(key) {
    const tile = this.#tiles.get(key);
    if (tile === undefined) return;
    const { cx, cy } = chunkOf(key);
    const [originX, originY] = [cx * CHUNK_SIDE_PIXELS, cy * CHUNK_SIDE_PIXELS];
    let [x, y, toX, toY] = [0, 0, CHUNK_SIDE_PIXELS, CHUNK_SIDE_PIXELS];
    if (tile.changed !== 'all') {
      [x, y, toX, toY] = [CHUNK_SIDE_PIXELS, CHUNK_SIDE_PIXELS, 0, 0];
      for (const offset of tile.changed) {
        x = Math.min(x, offset & 0xff);
        y = Math.min(y, offset >> 8);
        toX = Math.max(toX, (offset & 0xff) + 1);
        toY = Math.max(toY, (offset >> 8) + 1);
      }
    }
    const changed = this.#viewport.cell(originX + x, originY + y, toX - x, toY - y);
    const board = this.#viewport.board;
    const box = {
      left: Math.max(board.left, changed.left - 1),
      top: Math.max(board.top, changed.top - 1),
      right: Math.min(board.right, changed.right + 1),
      bottom: Math.min(board.bottom, changed.bottom + 1),
    };
    const seen = box.right > 0 && box.bottom > 0 && box.left < this.#canvas.width && box.top < this.#canvas.height;
    // What is out of sight is painted when it comes into sight.
    if (seen && box.left < box.right && box.top < box.bottom) this.#clipped(box, () => this.#drawTile(key));
  }

  /** @param {import('./viewport.js').Box} box @param {() => void} draw */
  #clipped({ left, top, right, bottom }, draw) {
    const context = this.#context;
    context.save();
    context.beginPath();
    context.rect(left, top, right - left, bottom - top);
    context.clip();
    draw();
    context.restore();
  }

  /** @param {number} key */
  #drawTile(key) {
    const { left, top, scale } = this.#viewport.device;
    const picture = this.picture(key, scale);
    if (picture === undefined) return;
    const { cx, cy } = chunkOf(key);
    const side = CHUNK_SIDE_PIXELS * scale;
    this.#context.imageSmoothingEnabled = scale < 1;
    this.#context.drawImage(picture, left + cx * side, top + cy * side, side, side);
  }

  /** Brings a tile up to its chunk and to one's own waiting paint. @param {number} key @param {Tile} tile */
  #paintTile(key, tile) {
    const { cx, cy } = chunkOf(key);
    const [originX, originY] = [cx * CHUNK_SIDE_PIXELS, cy * CHUNK_SIDE_PIXELS];
    let offsets = tile.changed;
    if (offsets === 'all') {
      const held = this.#pixels.chunk(key);
      if (held === undefined) return; // Its chunk is on the way; until then the picture stays.
      tile.put(this.#image(held));
      offsets = new Set();
      for (const cell of this.#pixels.waitingCells()) {
        const { x, y } = cellOf(cell);
        if (chunkKeyAt(x, y) === key) offsets.add(((y & 0xff) << 8) | (x & 0xff));
      }
    }
    for (const offset of offsets) {
      const [x, y] = [offset & 0xff, offset >> 8];
      const value = this.#pixels.value(originX + x, originY + y);
      if (value === undefined) continue;
      tile.paint(x, y, hex(this.color(value)));
    }
    tile.changed = new Set();
  }

  /** @param {import('./replica.js').Held} held */
  #image({ pixels, size }) {
    const image = new ImageData(CHUNK_SIDE_PIXELS, CHUNK_SIDE_PIXELS);
    const to = new Uint32Array(image.data.buffer).fill(opaque(this.#background));
    const indexed = this.#palette.length > 0;
    let from = 0;
    for (let y = 0; y < size.height; y += 1) {
      const row = y * CHUNK_SIDE_PIXELS;
      for (let x = 0; x < size.width; x += 1) {
        if (indexed) {
          to[row + x] = this.#lookup[pixels[from]];
          from += 1;
        } else {
          to[row + x] = 0xff00_0000 | (pixels[from + 2] << 16) | (pixels[from + 1] << 8) | pixels[from];
          from += 3;
        }
      }
    }
    return image;
  }
}

/** A colour as four bytes in memory: red, green, blue, opaque. @param {number} color */
function opaque(color) {
  return (0xff00_0000 | ((color & 0xff) << 16) | (color & 0xff00) | (color >> 16)) >>> 0;
}
