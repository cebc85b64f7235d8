/** One chunk's picture, and smaller ones of it for looking from afar. */

import { CHUNK_SIDE_PIXELS } from './geometry.js';

/** The smallest picture is 2 to this times smaller. */
const LEVEL_MAX = 3;

/**
 * Which picture to draw where a cell takes `scale` pixels: the one that is made at most half as large, for then
 * four of its pixels make one.
 * @param {number} scale
 */
export function levelFor(scale) {
  return scale >= 0.5 ? 0 : Math.min(LEVEL_MAX, Math.floor(Math.log2(1 / scale)));
}

export class Tile {
  /** Offsets that changed since they were painted. @type {Set<number> | 'all'} */
  changed = 'all';
  /** Each half as large as the one before; made when they are first wanted. @type {{ canvas: HTMLCanvasElement, context: CanvasRenderingContext2D }[]} */
  #pictures = [picture(CHUNK_SIDE_PIXELS)];
  /** What of each picture is older than the one before it, in cells. @type {({ x: number, y: number, toX: number, toY: number } | null)[]} */
  #behind = [null];

  /** @param {ImageData} image */
  put(image) {
    this.#pictures[0].context.putImageData(image, 0, 0);
    this.#touch(0, 0, CHUNK_SIDE_PIXELS, CHUNK_SIDE_PIXELS);
  }

  /** @param {number} x @param {number} y @param {string} color */
  paint(x, y, color) {
    const { context } = this.#pictures[0];
    context.fillStyle = color;
    context.fillRect(x, y, 1, 1);
    this.#touch(x, y, x + 1, y + 1);
  }

  /** @param {number} level 0: a pixel for each cell */
  picture(level) {
    for (let smaller = 1; smaller <= level; smaller += 1) this.#bringUp(smaller);
    return this.#pictures[level].canvas;
  }

  /** @param {number} x @param {number} y @param {number} toX @param {number} toY */
  #touch(x, y, toX, toY) {
    for (let level = 1; level < this.#pictures.length; level += 1) {
      const box = this.#behind[level];
      if (box === null) {
        this.#behind[level] = { x, y, toX, toY };
        continue;
      }
      box.x = Math.min(box.x, x);
      box.y = Math.min(box.y, y);
      box.toX = Math.max(box.toX, toX);
      box.toY = Math.max(box.toY, toY);
    }
  }

  /** @param {number} level */
  #bringUp(level) {
    if (this.#pictures.length === level) {
      this.#pictures.push(picture(CHUNK_SIDE_PIXELS >> level));
      this.#behind.push({ x: 0, y: 0, toX: CHUNK_SIDE_PIXELS, toY: CHUNK_SIDE_PIXELS });
    }
    const box = this.#behind[level];
    if (box === null) return;
    const [x, y] = [box.x >> level, box.y >> level];
    const [width, height] = [((box.toX - 1) >> level) + 1 - x, ((box.toY - 1) >> level) + 1 - y];
    // Halved, the browser's smoothing is the mean of four.
    this.#pictures[level].context.drawImage(this.#pictures[level - 1].canvas, x * 2, y * 2, width * 2, height * 2, x, y, width, height);
    this.#behind[level] = null;
  }
}

/** @param {number} side in pixels */
function picture(side) {
  const canvas = document.createElement('canvas');
  canvas.width = side;
  canvas.height = side;
  // Opaque, a picture is copied to the board; else it would be blended with what it hides.
  return { canvas, context: context2d(canvas, { alpha: false }) };
}

/** @param {HTMLCanvasElement} canvas @param {CanvasRenderingContext2DSettings} [settings] */
export function context2d(canvas, settings) {
  const context = canvas.getContext('2d', settings);
  if (context === null) throw new Error('this browser cannot draw');
  return context;
}
