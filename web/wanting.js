/** Which chunks are to be held: those in view, those that show the whole, and some that were in view last. */

import { chunkCount, chunkKeys, chunkOf, chunkSize } from './geometry.js';

/** Chunks held at once. */
export const CHUNKS_MAX = 512;
/** Of those, so many that were in view last and are not now; those seen longest ago go first. */
export const SPARE_CHUNKS_MAX = 32;
/** A canvas of at most so many chunks is held whole, so that its map is, and its first pixel is found. */
export const WHOLE_CHUNKS_MAX = 16;

export class Wanting {
  /** Chunks that were in view, the latest last. @type {Set<number>} */
  #seen = new Set();

  /**
   * The most wanted first.
   * @param {import('./geometry.js').Size} canvas @param {number[]} inView nearest first
   * @param {Iterable<number>} besides what else is asked for, while there is room
   */
  chunks(canvas, inView, besides) {
    for (const key of inView) {
      this.#seen.delete(key);
      this.#seen.add(key);
    }
    const wanted = new Set(inView);
    if (chunkCount(canvas) <= WHOLE_CHUNKS_MAX) for (const key of chunkKeys(canvas)) wanted.add(key);
    for (const key of besides) if (wanted.size < CHUNKS_MAX) wanted.add(key);
    const most = Math.min(CHUNKS_MAX, wanted.size + SPARE_CHUNKS_MAX);
    for (const key of [...this.#seen].reverse()) {
      const { cx, cy } = chunkOf(key);
      const { width, height } = chunkSize(canvas, cx, cy);
      // A canvas that is smaller now has it no more.
      if (wanted.size >= most || width <= 0 || height <= 0) this.#seen.delete(key);
      else wanted.add(key);
    }
    return [...wanted];
  }
}
