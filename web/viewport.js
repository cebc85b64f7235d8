/** Which part of the canvas is seen, and how large: plain numbers, no drawing. */

import { CHUNK_SIDE_PIXELS, chunkKey, chunkOf } from './geometry.js';

/** The closest look, in CSS pixels a cell. */
export const SCALE_MAX = 50;
/** How much smaller than fitted the board may become. */
const SCALE_MIN_OF_FIT = 0.75;
/** The board is quite free to leave the view from 1 + 1/3 times the fitted scale on: so what lies under the pointer can stay there. */
const FREEDOM_GROWTH = 3;
/** Below this many device pixels a chunk the scale is not rounded. */
const SNAP_CHUNK_PIXELS_MIN = 32;
/** What floating point may make of a whole number of device pixels. */
const WHOLE_TOLERANCE = 1e-6;

/**
 * @typedef {import('./geometry.js').Size} Size
 * @typedef {import('./geometry.js').Point} Point
 * @typedef {{ top: number, right: number, bottom: number, left: number }} Insets CSS pixels kept free of the fitted board
 * @typedef {{ left: number, top: number, right: number, bottom: number }} Box device pixels, or chunks
 */

/** How many there are in a box of chunks. @param {Box} box */
function count({ left, top, right, bottom }) {
  return Math.max(0, right - left) * Math.max(0, bottom - top);
}

export class Viewport {
  /** @type {Size} */
  #canvas = { width: 1, height: 1 };
  /** @type {Size} */
  #view = { width: 1, height: 1 };
  /** Places that the fitted board may take; the one that shows it largest is taken. @type {Insets[]} */
  #places = [{ top: 0, right: 0, bottom: 0, left: 0 }];
  #ratio = 1;
  #scale = 1;
  /** The scale before it was rounded to whole device pixels: many small steps of zoom add up. */
  #wished = 1;
  #left = 0;
  #top = 0;
  /** Nobody has moved the view: it goes on fitting. */
  #fitted = true;

  /** CSS pixels a cell. */
  get scale() {
    return this.#scale;
  }

  /** Device pixels a CSS pixel. */
  get ratio() {
    return this.#ratio;
  }

  get fitted() {
    return this.#fitted;
  }

  /** @param {Size} canvas */
  setCanvas(canvas) {
    this.#canvas = canvas;
    if (this.#fitted) this.fit();
    else this.#clamp();
  }

  /** @param {Size} view in CSS pixels @param {number} ratio @param {Insets[]} places */
  resize(view, ratio, places) {
    const centre = this.centre;
    this.#view = view;
    this.#ratio = ratio;
    this.#places = places;
    if (this.#fitted) this.fit();
    else this.#centreOn(centre.x, centre.y);
  }

  /** Shows the whole board, as large as it goes, each cell a whole number of device pixels where it can be. */
  fit() {
    const { scale, place } = this.#best();
    this.#fitted = true;
    this.#scale = this.#wished = scale;
    this.#left = place.left + (this.#view.width - place.left - place.right - this.#canvas.width * scale) / 2;
    this.#top = place.top + (this.#view.height - place.top - place.bottom - this.#canvas.height * scale) / 2;
  }

  /** The cell in the middle of the view; with fractions. */
  get centre() {
    return { x: (this.#view.width / 2 - this.#left) / this.#scale, y: (this.#view.height / 2 - this.#top) / this.#scale };
  }

  /** Looks at a cell from this close. @param {number} x @param {number} y @param {number} scale */
  look(x, y, scale) {
    this.#fitted = false;
    this.#wished = this.#bounded(scale);
    this.#scale = this.#snapped(this.#wished);
    this.#centreOn(x, y);
  }

  /** Looks at a cell from as close as before. @param {number} x @param {number} y */
  moveTo(x, y) {
    this.#fitted = false;
    this.#centreOn(x, y);
  }

  /** Zooms; what lies at (px, py) stays there. @param {number} px @param {number} py @param {number} factor */
  zoomAt(px, py, factor) {
    this.#wished = this.#bounded(this.#wished * factor);
    const scale = this.#snapped(this.#wished);
    if (scale === this.#scale) return;
    const { x, y } = this.#exact(px, py);
    this.#fitted = false;
    this.#scale = scale;
    this.#left = px - x * scale;
    this.#top = py - y * scale;
    this.#clamp();
  }

  /** Moves the board by CSS pixels. @param {number} dx @param {number} dy */
  pan(dx, dy) {
    this.#fitted = false;
    this.#left += dx;
    this.#top += dy;
    this.#clamp();
  }

  /** Moves the view as little as shows a cell inside the free part of the view. @param {number} x @param {number} y */
  follow(x, y) {
    const { place } = this.#best();
    const box = this.cell(x, y);
    const [left, right] = [box.left / this.#ratio, box.right / this.#ratio];
    const [top, bottom] = [box.top / this.#ratio, box.bottom / this.#ratio];
    const dx = Math.max(0, place.left - left) - Math.max(0, right - (this.#view.width - place.right));
    const dy = Math.max(0, place.top - top) - Math.max(0, bottom - (this.#view.height - place.bottom));
    if (dx !== 0 || dy !== 0) this.pan(dx, dy);
  }

  /** The cell under a point of the view; may lie outside the canvas. @param {number} px @param {number} py @returns {Point} */
  cellAt(px, py) {
    const { left, top, scale } = this.device;
    return { x: Math.floor((px * this.#ratio - left) / scale), y: Math.floor((py * this.#ratio - top) / scale) };
  }

  /** Where the board lies in device pixels, and how many of them a cell takes. */
  get device() {
    return { left: Math.round(this.#left * this.#ratio), top: Math.round(this.#top * this.#ratio), scale: this.#scale * this.#ratio };
  }

  /** A rectangle of cells in whole device pixels. @param {number} x @param {number} y @param {number} [width] @param {number} [height] @returns {Box} */
  cell(x, y, width = 1, height = 1) {
    const { left, top, scale } = this.device;
    return {
      left: left + Math.round(x * scale),
      top: top + Math.round(y * scale),
      right: left + Math.round((x + width) * scale),
      bottom: top + Math.round((y + height) * scale),
    };
  }

  /** What is seen of the table, in whole device pixels. */
  get window() {
    return { width: Math.round(this.#view.width * this.#ratio), height: Math.round(this.#view.height * this.#ratio) };
  }

  /** The board in whole device pixels; a line of one, where it is lower or narrower. */
  get board() {
    const { left, top, right, bottom } = this.cell(0, 0, this.#canvas.width, this.#canvas.height);
    return { left, top, right: Math.max(left + 1, right), bottom: Math.max(top + 1, bottom) };
  }

  /** The cells in view: from and to, `to` excluded. */
  get cells() {
    const first = this.cellAt(0, 0);
    const last = this.cellAt(this.#view.width, this.#view.height);
    const { width, height } = this.#canvas;
    return {
      x: Math.max(0, Math.min(width, first.x)),
      y: Math.max(0, Math.min(height, first.y)),
      toX: Math.max(0, Math.min(width, last.x + 1)),
      toY: Math.max(0, Math.min(height, last.y + 1)),
    };
  }

  /** Whether chunks meet at whole device pixels: then nothing below shows between them. */
  get seamless() {
    const side = CHUNK_SIDE_PIXELS * this.device.scale;
    return Math.abs(side - Math.round(side)) < WHOLE_TOLERANCE;
  }

  /** How many chunks are in view. */
  get chunksInView() {
    return count(this.#chunkBox);
  }

  /** Whether some of a chunk is in view. @param {number} key */
  sees(key) {
    const { cx, cy } = chunkOf(key);
    const { left, top, right, bottom } = this.#chunkBox;
    return cx >= left && cx < right && cy >= top && cy < bottom;
  }

  /** Keys of the chunks in view, the nearest to the middle first. @param {number} most at least 1 */
  chunks(most) {
    const middle = this.centre;
    const box = this.#chunkBox;
    const [middleX, middleY] = [Math.floor(middle.x / CHUNK_SIDE_PIXELS), Math.floor(middle.y / CHUNK_SIDE_PIXELS)];
    const around = (/** @type {number} */ reach) => ({
      left: Math.max(box.left, middleX - reach),
      top: Math.max(box.top, middleY - reach),
      right: Math.min(box.right, middleX + reach + 1),
      bottom: Math.min(box.bottom, middleY + reach + 1),
    });
    // Of more than that a sheet in the middle is taken, as large as they make.
    let near = box;
    if (count(box) > most) {
      let reach = 0;
      while (count(around(reach + 1)) <= most) reach += 1;
      near = around(reach);
    }
    const keys = [];
    for (let cy = near.top; cy < near.bottom; cy += 1) {
      for (let cx = near.left; cx < near.right; cx += 1) keys.push(chunkKey(cx, cy));
    }
    const half = CHUNK_SIDE_PIXELS / 2;
    const far = (/** @type {number} */ key) => {
      const { cx, cy } = chunkOf(key);
      return Math.hypot(cx * CHUNK_SIDE_PIXELS + half - middle.x, cy * CHUNK_SIDE_PIXELS + half - middle.y);
    };
    return keys.sort((a, b) => far(a) - far(b));
  }

  /** The chunks in view, `right` and `bottom` not among them. */
  get #chunkBox() {
    const { x, y, toX, toY } = this.cells;
    return {
      left: Math.floor(x / CHUNK_SIDE_PIXELS),
      top: Math.floor(y / CHUNK_SIDE_PIXELS),
      right: Math.ceil(toX / CHUNK_SIDE_PIXELS),
      bottom: Math.ceil(toY / CHUNK_SIDE_PIXELS),
    };
  }

  /** @param {number} px @param {number} py */
  #exact(px, py) {
    return { x: (px - this.#left) / this.#scale, y: (py - this.#top) / this.#scale };
  }

  /** @param {number} x @param {number} y */
  #centreOn(x, y) {
    this.#left = this.#view.width / 2 - x * this.#scale;
    this.#top = this.#view.height / 2 - y * this.#scale;
    this.#clamp();
  }

  /** The place where the fitted board is largest, and its scale there. */
  #best() {
    let best = { scale: 0, place: this.#places[0] };
    for (const place of this.#places) {
      const width = Math.max(16, this.#view.width - place.left - place.right);
      const height = Math.max(16, this.#view.height - place.top - place.bottom);
      const device = Math.min(width / this.#canvas.width, height / this.#canvas.height, SCALE_MAX) * this.#ratio;
      const scale = whole(device) / this.#ratio;
      if (scale > best.scale) best = { scale, place };
    }
    return best;
  }

  /** @param {number} scale */
  #bounded(scale) {
    const least = Math.min(this.#best().scale * SCALE_MIN_OF_FIT, SCALE_MAX);
    return Math.max(least, Math.min(SCALE_MAX, scale));
  }

  /** The nearest scale at which a chunk's side is a whole number of device pixels: so no seams. @param {number} scale */
  #snapped(scale) {
    const chunk = scale * this.#ratio * CHUNK_SIDE_PIXELS;
    return chunk < SNAP_CHUNK_PIXELS_MIN ? scale : Math.round(chunk) / CHUNK_SIDE_PIXELS / this.#ratio;
  }

  /** A fitted board stays inside the view; the closer one looks, the farther it may leave, until only the middle has to be on it. */
  #clamp() {
    const freedom = Math.max(0, Math.min(1, (this.#scale / this.#best().scale - 1) * FREEDOM_GROWTH));
    this.#left = clamped(this.#left, this.#canvas.width * this.#scale, this.#view.width, freedom);
    this.#top = clamped(this.#top, this.#canvas.height * this.#scale, this.#view.height, freedom);
  }
}

/** The largest scale below this at which cells, or from afar chunks, are whole device pixels. @param {number} device pixels a cell */
function whole(device) {
  if (device >= 1) return Math.floor(device);
  const chunk = device * CHUNK_SIDE_PIXELS;
  return chunk < SNAP_CHUNK_PIXELS_MIN ? device : Math.floor(chunk) / CHUNK_SIDE_PIXELS;
}

/** @param {number} start @param {number} board @param {number} view @param {number} freedom from 0 to 1 */
function clamped(start, board, view, freedom) {
  const [inside, covered] = [Math.min(0, view - board), view / 2 - board];
  const least = inside + Math.min(0, covered - inside) * freedom;
  const most = Math.max(0, view - board) + Math.max(0, view / 2 - Math.max(0, view - board)) * freedom;
  return Math.max(least, Math.min(most, start));
}

/**
 * A place from the URL's fragment: `#x=…&y=…&zoom=…` (`scale` is accepted for `zoom`); `null` for nonsense.
 * @param {string} hash @param {Size} canvas @returns {{ x: number, y: number, scale: number } | null}
 */
export function parseFragment(hash, canvas) {
  const fields = new URLSearchParams(hash.replace(/^#/u, ''));
  const read = (/** @type {string[]} */ ...names) => {
    const text = names.map((name) => fields.get(name)).find((value) => value !== null && value !== '');
    return text === undefined ? NaN : Number(text);
  };
  const [x, y, scale] = [read('x'), read('y'), read('zoom', 'scale')];
  if (!Number.isFinite(x) || !Number.isFinite(y)) return null;
  const inside = (/** @type {number} */ value, /** @type {number} */ side) => Math.max(0, Math.min(side - 1, Math.floor(value)));
  return { x: inside(x, canvas.width), y: inside(y, canvas.height), scale: Number.isFinite(scale) && scale > 0 ? scale : 16 };
}

/**
 * The fragment of a place; what else stood in the fragment stays.
 * @param {Viewport} viewport @param {string} before
 */
export function fragment(viewport, before) {
  const fields = new URLSearchParams(before.replace(/^#/u, ''));
  const names = ['x', 'y', 'zoom', 'scale'];
  if (viewport.fitted && !names.some((name) => fields.has(name))) return before;
  for (const name of names) fields.delete(name);
  const rest = fields.size > 0 ? `&${fields}` : '';
  if (viewport.fitted) return rest.replace('&', '#');
  const { x, y } = viewport.centre;
  const zoom = viewport.scale >= 10 ? viewport.scale.toFixed(1) : viewport.scale.toFixed(3);
  return `#x=${Math.floor(x)}&y=${Math.floor(y)}&zoom=${Number(zoom)}${rest}`;
}
