/** Which colours a canvas has most of, for the wordmark. */

import { valueAt } from './replica.js';

/** Pixels looked at in each chunk, and in all of them together. */
const CHUNK_SAMPLES_MAX = 4_096;
const SAMPLES_MAX = 65_536;
/** Colours that are much alike count as one: bits kept of each part. */
const KEPT_BITS_MASK = 0xf0f0f0;

/**
 * The commonest values other than the background, the commonest first.
 * @param {import('./replica.js').Held[]} chunks @param {number} valueBytes
 * @param {(value: number) => number} color @param {number} background a colour @param {number} most
 */
export function commonest(chunks, valueBytes, color, background, most) {
  /** @type {Map<number, { color: number, count: number }>} */
  const found = new Map();
  const samples = Math.min(CHUNK_SAMPLES_MAX, Math.ceil(SAMPLES_MAX / chunks.length));
  for (const { pixels } of chunks) {
    const total = pixels.length / valueBytes;
    const step = Math.max(1, Math.ceil(total / samples));
    for (let index = 0; index < total; index += step) {
      const at = index * valueBytes;
      const seen = color(valueAt(pixels, at, valueBytes));
      if (seen === background) continue;
      const entry = found.get(seen & KEPT_BITS_MASK);
      if (entry === undefined) found.set(seen & KEPT_BITS_MASK, { color: seen, count: 1 });
      else entry.count += 1;
    }
  }
  return [...found.values()].sort((a, b) => b.count - a.count).slice(0, most).map((entry) => entry.color);
}
