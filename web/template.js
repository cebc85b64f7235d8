/** A template: the values that a picture wants on a part of the canvas, and how far they are painted. No drawing. */

import { CANVAS_SIDE_PIXELS_MAX, CHUNK_SIDE_PIXELS, chunkKey, chunkOf } from './geometry.js';
import { PICTURE_PIXELS_MAX } from './picture.js';

/** More transparent than this, a pixel of the picture wants nothing. */
const OPAQUE_MIN = 128;
/** Where the picture wants nothing. */
export const NOTHING = -1;
/** A map of it has at most so many cells a side. */
const MAP_SIDE_CELLS_MAX = 320;
/** What a cell of the map says: nothing is known or wanted there, all is as it should be, something is not. */
export const [BLANK, RIGHT, WRONG] = [0, 1, 2];

/**
 * @typedef {import('./geometry.js').Size} Size
 * @typedef {import('./geometry.js').Point} Point
 * @typedef {{ hash: string, x: number, y: number, width: number, height: number }} Place of a file's picture on the canvas
 * @typedef {(x: number, y: number) => number | undefined} Values what a canvas shows; `undefined` where that is not known
 * @typedef {{ right: number, known: number, total: number, counted: boolean }} Progress `counted`: all of its chunks were
 * @typedef {{ width: number, height: number, cells: Uint8Array }} Cells of a map, row by row
 * @typedef {{ right: number, known: number, left: number, top: number, map: Cells }} Counted a chunk's part of them all
 */

/**
 * The values that a picture wants, as large as asked: the middle of each part counts, and what a palette lacks becomes
 * its nearest colour.
 * @param {Uint8ClampedArray} rgba @param {Size} picture @param {Size} size @param {number[]} palette none: any colour
 * @returns {Int32Array<ArrayBuffer>} row by row
 */
export function wanted(rgba, picture, size, palette) {
  const values = new Int32Array(size.width * size.height).fill(NOTHING);
  /** @type {Map<number, number>} */
  const known = new Map();
  for (let y = 0; y < size.height; y += 1) {
    const row = Math.floor((y + 0.5) * picture.height / size.height) * picture.width;
    for (let x = 0; x < size.width; x += 1) {
      const at = (row + Math.floor((x + 0.5) * picture.width / size.width)) * 4;
      if (rgba[at + 3] < OPAQUE_MIN) continue;
      const color = (rgba[at] << 16) | (rgba[at + 1] << 8) | rgba[at + 2];
      let value = known.get(color);
      if (value === undefined) {
        value = palette.length === 0 ? color : nearest(color, palette);
        known.set(color, value);
      }
      values[y * size.width + x] = value;
    }
  }
  return values;
}

/** The index of the colour that is most like another. @param {number} color @param {number[]} palette */
export function nearest(color, palette) {
  let [best, least] = [0, Infinity];
  palette.forEach((other, index) => {
    // Eyes see green best and blue worst.
    const [red, green, blue] = [16, 8, 0].map((by) => ((color >> by) & 0xff) - ((other >> by) & 0xff));
    const far = 3 * red * red + 4 * green * green + 2 * blue * blue;
    if (far < least) [best, least] = [index, far];
  });
  return best;
}

export class Template {
  #place;
  #values;
  #canvas;
  /** Chunks that it lies on; `null` until they were counted. @type {Map<number, Counted | null>} */
  #chunks = new Map();
  /** A cell of its map stands for so many pixels a side. */
  #step;
  /** Cells that it wants painted; looked at when it is asked for. @type {number | undefined} */
  #total;

  /** @param {Place} place @param {Int32Array} values row by row @param {Size} canvas */
  constructor(place, values, canvas) {
    this.#place = place;
    this.#values = values;
    this.#canvas = canvas;
    this.#step = Math.ceil(Math.max(place.width, place.height) / MAP_SIDE_CELLS_MAX);
    const { x, y, toX, toY } = this.#inside;
    if (x >= toX || y >= toY) return;
    for (let cy = y >> 8; cy * CHUNK_SIDE_PIXELS < toY; cy += 1) {
      for (let cx = x >> 8; cx * CHUNK_SIDE_PIXELS < toX; cx += 1) this.#chunks.set(chunkKey(cx, cy), null);
    }
  }

  /** @returns {Place} */
  get place() {
    return this.#place;
  }

  /** @param {number} key of a chunk */
  liesOn(key) {
    return this.#chunks.has(key);
  }

  /** The chunks that it lies on. @returns {Iterable<number>} */
  get chunks() {
    return this.#chunks.keys();
  }

  /** Pixels painted as it wants, pixels of which that is known, and all that it wants. @returns {Progress} */
  get progress() {
    let [right, known] = [0, 0];
    for (const counted of this.#chunks.values()) [right, known] = [right + (counted?.right ?? 0), known + (counted?.known ?? 0)];
    if (this.#total === undefined) {
      const [{ x, y, toX, toY }, { x: left, y: top, width }] = [this.#inside, this.#place];
      this.#total = 0;
      for (let row = y - top; row < toY - top; row += 1) {
        for (let at = row * width + x - left; at < row * width + toX - left; at += 1) if (this.#values[at] !== NOTHING) this.#total += 1;
      }
    }
    return { right, known, total: this.#total, counted: [...this.#chunks.values()].every((counted) => counted !== null) };
  }

  /** Where it is right and where it is wrong, as far as it was counted. @returns {Cells} */
  get map() {
    const [width, height] = [this.#place.width, this.#place.height].map((side) => Math.ceil(side / this.#step));
    const cells = new Uint8Array(width * height);
    for (const counted of this.#chunks.values()) {
      if (counted === null) continue;
      const { left, top, map } = counted;
      for (let index = 0; index < map.cells.length; index += 1) {
        const at = (top + Math.floor(index / map.width)) * width + left + index % map.width;
        // A cell may lie on two chunks.
        cells[at] = Math.max(cells[at], map.cells[index]);
      }
    }
    return { width, height, cells };
  }

  /** What it wants of a cell. @param {number} x @param {number} y */
  at(x, y) {
    const [column, row] = [x - this.#place.x, y - this.#place.y];
    const { width, height } = this.#place;
    return column >= 0 && row >= 0 && column < width && row < height ? this.#values[row * width + column] : NOTHING;
  }

  /** Counts a chunk afresh. @param {number} key @param {Values} values */
  count(key, values) {
    if (!this.#chunks.has(key)) return;
    const { x: fromX, y: fromY, toX, toY } = this.#part(key);
    const column = (/** @type {number} */ x) => Math.floor((x - this.#place.x) / this.#step);
    const row = (/** @type {number} */ y) => Math.floor((y - this.#place.y) / this.#step);
    const [left, top] = [column(fromX), row(fromY)];
    const [width, height] = [column(toX - 1) + 1 - left, row(toY - 1) + 1 - top];
    const cells = new Uint8Array(width * height);
    let [right, known] = [0, 0];
    this.#each(key, (x, y, want) => {
      const value = values(x, y);
      if (value === undefined) return;
      known += 1;
      right += Number(value === want);
      const at = (row(y) - top) * width + column(x) - left;
      cells[at] = Math.max(cells[at], value === want ? RIGHT : WRONG);
    });
    this.#chunks.set(key, { right, known, left, top, map: { width, height, cells } });
  }

  /**
   * The wrong cell that is nearest to another, that one itself last of all; `null` when none is known, and whether all was.
   * @param {Point} from @param {Values} values @returns {{ cell: Point | null, known: boolean }}
   */
  nextWrong(from, values) {
    /** @type {Point | null} */
    let best = null;
    let least = Infinity;
    let known = true;
    const far = (/** @type {number} */ key) => {
      const { cx, cy } = chunkOf(key);
      return Math.hypot(...[[cx, from.x], [cy, from.y]].map(([chunk, at]) => Math.max(0, chunk * CHUNK_SIDE_PIXELS - at, at - (chunk + 1) * CHUNK_SIDE_PIXELS + 1)));
    };
    for (const key of [...this.#chunks.keys()].sort((a, b) => far(a) - far(b))) {
      if (far(key) >= least) break;
      this.#each(key, (x, y, want) => {
        const value = values(x, y);
        known &&= value !== undefined;
        if (value === undefined || value === want) return;
        const distance = Math.hypot(x - from.x, y - from.y) || Number.MAX_VALUE;
        if (distance < least) [best, least] = [{ x, y }, distance];
      });
    }
    return { cell: best, known };
  }

  /** The part of it that lies on the canvas. */
  get #inside() {
    const { x, y, width, height } = this.#place;
    const { width: right, height: bottom } = this.#canvas;
    return { x: Math.max(0, x), y: Math.max(0, y), toX: Math.min(right, x + width), toY: Math.min(bottom, y + height) };
  }

  /** The part of that which lies on a chunk. @param {number} key */
  #part(key) {
    const { cx, cy } = chunkOf(key);
    const [left, top] = [cx * CHUNK_SIDE_PIXELS, cy * CHUNK_SIDE_PIXELS];
    const { x, y, toX, toY } = this.#inside;
    return {
      x: Math.max(x, left), y: Math.max(y, top),
      toX: Math.min(toX, left + CHUNK_SIDE_PIXELS), toY: Math.min(toY, top + CHUNK_SIDE_PIXELS),
    };
  }

  /** @param {number} key @param {(x: number, y: number, want: number) => void} visit every cell of a chunk of which it wants something */
  #each(key, visit) {
    const { x, y, toX, toY } = this.#part(key);
    for (let row = y; row < toY; row += 1) {
      for (let column = x; column < toX; column += 1) {
        const want = this.at(column, row);
        if (want !== NOTHING) visit(column, row, want);
      }
    }
  }
}

/** The fields of a fragment that name a template. */
const FIELDS = /** @type {const} */ (['template', 'tx', 'ty', 'tw', 'th']);

/** A fragment that names a template, or none, besides what it says already. @param {string} before @param {Place | null} place */
export function withTemplate(before, place) {
  const fields = new URLSearchParams(before.replace(/^#/u, ''));
  for (const name of FIELDS) fields.delete(name);
  if (place !== null) {
    const { hash, x, y, width, height } = place;
    FIELDS.forEach((name, index) => fields.set(name, String([hash, x, y, width, height][index])));
  }
  return fields.size > 0 ? `#${fields}` : '';
}

/** The template that a fragment names; `null` for none, and for nonsense. @param {string} fragment @returns {Place | null} */
export function parseTemplate(fragment) {
  const fields = new URLSearchParams(fragment.replace(/^#/u, ''));
  const [hash, ...texts] = FIELDS.map((name) => fields.get(name) ?? '');
  return checkPlace(hash, texts.map((text) => (/^-?\d{1,6}$/u.test(text) ? Number(text) : NaN)));
}

/** A place that can be meant, or `null`. @param {unknown} hash @param {unknown[]} numbers x, y, width, height @returns {Place | null} */
export function checkPlace(hash, numbers) {
  const within = (/** @type {unknown} */ value, /** @type {number} */ least) => (
    typeof value === 'number' && Number.isInteger(value) && value >= least && value <= CANVAS_SIDE_PIXELS_MAX);
  const fits = typeof hash === 'string' && /^[\da-f]{16}$/u.test(hash)
    && numbers.every((value, index) => within(value, index < 2 ? -CANVAS_SIDE_PIXELS_MAX : 1));
  if (!fits) return null;
  const [x, y, width, height] = /** @type {number[]} */ (numbers);
  return width * height > PICTURE_PIXELS_MAX ? null : { hash, x, y, width, height };
}

/** The letters that stand for a colour, by its index: A to Z, AA to … @param {number} index */
export function symbol(index) {
  let [text, left] = ['', index + 1];
  while (left > 0) {
    left -= 1;
    text = String.fromCharCode(65 + left % 26) + text;
    left = Math.floor(left / 26);
  }
  return text;
}
