/** What the page holds of a canvas, and how it follows the server without ever guessing. */

import { CHUNK_SIDE_PIXELS, chunkKey, chunkKeyAt, chunkSize } from './geometry.js';

/**
 * @typedef {import('./geometry.js').Size} Size
 * @typedef {import('./protocol.js').Frame} Frame
 * @typedef {{ sequence: number, pixels: Uint8Array, size: Size }} Held row by row, as many bytes a pixel as a value has
 * @typedef {'applied' | 'dropped' | 'gap' | 'other epoch' | 'not held' | 'invalid'} Verdict
 */

export class Replica {
  #size;
  #valueBytes;
  #values;
  #epoch;
  /** @type {Map<number, Held>} */
  #chunks = new Map();

  /**
   * @param {Size} size
   * @param {number} paletteLength colours of the palette; 0 for true colour
   * @param {string} epoch
   */
  constructor(size, paletteLength, epoch) {
    this.#size = size;
    this.#valueBytes = paletteLength === 0 ? 3 : 1;
    this.#values = paletteLength === 0 ? 256 : paletteLength;
    this.#epoch = epoch;
  }

  get epoch() {
    return this.#epoch;
  }

  get size() {
    return this.#size;
  }

  /** Bytes that one pixel takes: 3, or 1 with a palette. */
  get valueBytes() {
    return this.#valueBytes;
  }

  /** Drops everything and starts again in another epoch. @param {string} epoch */
  restart(epoch) {
    this.#epoch = epoch;
    this.#chunks.clear();
  }

  /**
   * Takes a snapshot of a chunk in. An older one than the copy, another epoch's, or one of the wrong
   * length is left; the answer says whether it was taken.
   * @param {number} cx @param {number} cy @param {string} epoch @param {number} sequence @param {Uint8Array} pixels
   */
  load(cx, cy, epoch, sequence, pixels) {
    const key = chunkKey(cx, cy);
    const size = chunkSize(this.#size, cx, cy);
    const held = this.#chunks.get(key);
    const older = held !== undefined && held.sequence > sequence;
    const fits = epoch === this.#epoch && pixels.length === size.width * size.height * this.#valueBytes;
    if (!fits || older) return false;
    this.#chunks.set(key, { sequence, pixels, size });
    return true;
  }

  /** Forgets a chunk. @param {number} key */
  drop(key) {
    this.#chunks.delete(key);
  }

  /** Applies a frame whole, or not at all. @param {Frame} frame @returns {Verdict} */
  apply(frame) {
    if (frame.epoch !== this.#epoch) return 'other epoch';
    const held = this.#chunks.get(chunkKey(frame.cx, frame.cy));
    if (held === undefined) return 'not held';
    if (frame.to <= held.sequence) return 'dropped';
    if (frame.after > held.sequence) return 'gap';
    if (!this.#valid(frame, held)) return 'invalid';
    const bytes = this.#valueBytes;
    for (let index = 0; index < frame.offsets.length; index += 1) {
      const start = place(frame.offsets[index], held.size) * bytes;
      for (let byte = 0; byte < bytes; byte += 1) held.pixels[start + byte] = frame.values[index * bytes + byte];
    }
    held.sequence = frame.to;
    return 'applied';
  }

  /**
   * A chunk is exact up to here: nothing happened in it since its last frame.
   * @param {number} key @param {string} epoch @param {number} sequence
   */
  progress(key, epoch, sequence) {
    const held = this.#chunks.get(key);
    if (held !== undefined && epoch === this.#epoch) held.sequence = Math.max(held.sequence, sequence);
  }

  /** What is held of a chunk. @param {number} key */
  chunk(key) {
    return this.#chunks.get(key);
  }

  /** The keys of every chunk held. */
  keys() {
    return this.#chunks.keys();
  }

  /**
   * A pixel's value, or `undefined` where its chunk is not held.
   * @param {number} x @param {number} y inside the canvas
   */
  value(x, y) {
    const held = this.#chunks.get(chunkKeyAt(x, y));
    if (held === undefined) return undefined;
    const start = ((y & 0xff) * held.size.width + (x & 0xff)) * this.#valueBytes;
    return valueAt(held.pixels, start, this.#valueBytes);
  }

  /** @param {Frame} frame @param {Held} held */
  #valid(frame, held) {
    for (const offset of frame.offsets) {
      if (offset % CHUNK_SIDE_PIXELS >= held.size.width || offset / CHUNK_SIDE_PIXELS >= held.size.height) return false;
    }
    return this.#valueBytes === 3 || frame.values.every((value) => value < this.#values);
  }
}

/** The value that begins at a byte. @param {Uint8Array} pixels @param {number} at @param {number} valueBytes */
export function valueAt(pixels, at, valueBytes) {
  return valueBytes === 1 ? pixels[at] : (pixels[at] << 16) | (pixels[at + 1] << 8) | pixels[at + 2];
}

/** The index of an offset among a chunk's pixels. @param {number} offset @param {Size} size */
function place(offset, size) {
  return Math.floor(offset / CHUNK_SIDE_PIXELS) * size.width + (offset % CHUNK_SIDE_PIXELS);
}
