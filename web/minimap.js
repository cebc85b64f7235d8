/** A small map of a large canvas: what was seen of it, and where one is. */

import { CHUNK_SIDE_PIXELS, chunkOf } from './geometry.js';
import { context2d } from './tile.js';

/** A canvas with a longer side than this has a map while it is not seen whole. */
const CANVAS_SIDE_MIN = 256;
/** The map's longer side, in CSS pixels; the shorter is at least `SHORT_PIXELS_MIN`. */
const LONG_PIXELS = 128;
const SHORT_PIXELS_MIN = 12;
/** What was painted comes to the map a few chunks at a time, so that no frame has all of them to draw. */
const REDRAW_INTERVAL_MS = 100;
const REDRAWN_CHUNKS_MAX = 8;
/** And where one is, so much later. */
const SHOW_INTERVAL_MS = 50;
/** The mark of where one is stays at least this large, in CSS pixels. */
const MARK_PIXELS_MIN = 6;

/**
 * How large the map of a canvas is, in CSS pixels; `null` for one that needs none.
 * @param {import('./geometry.js').Size} canvas @returns {import('./geometry.js').Size | null}
 */
export function mapSize({ width, height }) {
  const long = Math.max(width, height);
  if (long <= CANVAS_SIDE_MIN) return null;
  const side = (/** @type {number} */ length) => Math.max(SHORT_PIXELS_MIN, Math.round(LONG_PIXELS * length / long));
  return { width: side(width), height: side(height) };
}

export class MiniMap {
  #place;
  #canvas;
  #context;
  #viewport;
  #tile;
  /** What was seen, a chunk's last look even after it was dropped. */
  #picture = document.createElement('canvas');
  /** @type {import('./geometry.js').Size} */
  #size = { width: 1, height: 1 };
  /** @type {Set<number>} */
  #changed = new Set();
  #redrawnAt = 0;
  #shownAt = 0;
  #needed = false;
  #moved = true;
  #ink = '';
  #paper = '';
  #blank = '';

  /**
   * @param {HTMLElement} place what is pressed; the canvas in it may be smaller than a finger @param {import('./viewport.js').Viewport} viewport
   * @param {(key: number, scale: number) => HTMLCanvasElement | undefined} tile a chunk's picture, for drawing a cell as so many pixels
   * @param {(x: number, y: number) => void} goTo a cell
   */
  constructor(place, viewport, tile, goTo) {
    const canvas = /** @type {HTMLCanvasElement} */ (place.firstElementChild);
    this.#place = place;
    this.#canvas = canvas;
    this.#context = context2d(canvas);
    this.#viewport = viewport;
    this.#tile = tile;
    const go = (/** @type {PointerEvent} */ event) => {
      const { left, top, width, height } = canvas.getBoundingClientRect();
      const part = (/** @type {number} */ from, /** @type {number} */ length) => Math.max(0, Math.min(1, from / length));
      goTo(part(event.clientX - left, width) * this.#size.width, part(event.clientY - top, height) * this.#size.height);
    };
    place.addEventListener('pointerdown', (event) => {
      event.preventDefault(); // The board keeps the keyboard.
      place.setPointerCapture(event.pointerId);
      go(event);
    });
    place.addEventListener('pointermove', (event) => { if (place.hasPointerCapture(event.pointerId)) go(event); });
  }

  /** @param {import('./geometry.js').Size} size */
  setCanvas(size) {
    this.#size = size;
    const map = mapSize(size);
    this.#needed = map !== null;
    const [width, height] = [map?.width ?? 1, map?.height ?? 1];
    this.#canvas.style.width = `${width}px`;
    this.#canvas.style.height = `${height}px`;
    [this.#canvas.width, this.#canvas.height] = [width * 2, height * 2]; // Fine enough for every screen.
    this.renew();
    this.viewMoved();
  }

  /** @param {{ ink: string, paper: string, blank: string }} theme */
  theme({ ink, paper, blank }) {
    [this.#ink, this.#paper, this.#blank] = [ink, paper, blank];
    this.#moved = true;
  }

  /** Nothing that was seen is there any longer. */
  renew() {
    this.#picture = document.createElement('canvas');
    [this.#picture.width, this.#picture.height] = [this.#canvas.width, this.#canvas.height];
    this.#moved = true;
  }

  viewMoved() {
    const { left, top, right, bottom } = this.#viewport.board;
    const { width, height } = this.#viewport.window;
    this.#place.hidden = !this.#needed || (left >= 0 && top >= 0 && right <= width && bottom <= height);
    this.#moved = true;
  }

  /** @param {number} key of a chunk that looks different now */
  changed(key) {
    if (this.#needed) this.#changed.add(key);
  }

  /** Draws what there is to draw, and says in how many ms there is more of it; 0: not by itself. @param {number} now */
  draw(now) {
    if (this.#place.hidden) return 0;
    const redrawIn = () => (this.#changed.size > 0 ? this.#redrawnAt + REDRAW_INTERVAL_MS - now : Infinity);
    const showIn = () => (this.#moved ? this.#shownAt + SHOW_INTERVAL_MS - now : Infinity);
    const redraws = redrawIn() <= 0;
    if (redraws) this.#redraw(now);
    if (redraws || showIn() <= 0) this.#show(now);
    const next = Math.min(redrawIn(), showIn());
    return next === Infinity ? 0 : Math.max(1, Math.ceil(next));
  }

  /** @param {number} now */
  #redraw(now) {
    this.#redrawnAt = now;
    const context = context2d(this.#picture);
    const [across, along] = [this.#picture.width / this.#size.width, this.#picture.height / this.#size.height];
    for (const key of [...this.#changed].slice(0, REDRAWN_CHUNKS_MAX)) {
      this.#changed.delete(key);
      const tile = this.#tile(key, Math.min(across, along));
      if (tile === undefined) continue;
      const { cx, cy } = chunkOf(key);
      const [x, y] = [cx * CHUNK_SIDE_PIXELS, cy * CHUNK_SIDE_PIXELS];
      context.drawImage(tile, x * across, y * along, CHUNK_SIDE_PIXELS * across, CHUNK_SIDE_PIXELS * along);
    }
  }

  /** @param {number} now */
  #show(now) {
    [this.#shownAt, this.#moved] = [now, false];
    const context = this.#context;
    const { width, height } = this.#canvas;
    context.fillStyle = this.#blank;
    context.fillRect(0, 0, width, height);
    context.drawImage(this.#picture, 0, 0);
    const { x, y, toX, toY } = this.#viewport.cells;
    const least = MARK_PIXELS_MIN * 2;
    const span = (/** @type {number} */ from, /** @type {number} */ to, /** @type {number} */ side, /** @type {number} */ pixels) => {
      const length = Math.min(pixels, Math.max(least, Math.round((to - from) * pixels / side)));
      const start = Math.round((from + to) / 2 * pixels / side - length / 2);
      return [Math.max(0, Math.min(pixels - length, start)), length];
    };
    const [left, markWidth] = span(x, toX, this.#size.width, width);
    const [top, markHeight] = span(y, toY, this.#size.height, height);
    // Ink between two lines of paper is seen on every picture, and in the dark the other way round.
    for (const [line, color] of /** @type {const} */ ([[10, this.#paper], [4, this.#ink]])) {
      context.lineWidth = line;
      context.strokeStyle = color;
      context.strokeRect(left + 2, top + 2, markWidth - 4, markHeight - 4);
    }
  }
}
