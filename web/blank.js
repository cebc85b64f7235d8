/** Whether nobody has painted on the canvas yet, as far as that is known. */

import { chunkCount } from './geometry.js';
import { valueAt } from './replica.js';
import { WHOLE_CHUNKS_MAX } from './wanting.js';

export class Blank {
  #painted = false;

  /** Whether the first pixel is still looked for. */
  get open() {
    return !this.#painted;
  }

  /** Somebody has painted. */
  painted() {
    this.#painted = true;
  }

  /** History was replaced: what was painted is gone. */
  restarted() {
    this.#painted = false;
  }

  /** Looks through a chunk, until a pixel is found. @param {import('./replica.js').Held} held @param {number} valueBytes @param {(value: number) => boolean} isBlank */
  look({ pixels }, valueBytes, isBlank) {
    for (let at = 0; at < pixels.length && !this.#painted; at += valueBytes) this.#painted = !isBlank(valueAt(pixels, at, valueBytes));
  }

  /**
   * Whether it is: a small canvas as it was looked through, a large one as long as the server tells of nothing.
   * @param {import('./geometry.js').Size} size @param {{ missing: number, replica: unknown, untouched: boolean }} follower @param {boolean} greeted
   */
  is(size, { missing, replica, untouched }, greeted) {
    if (this.#painted) return false;
    return chunkCount(size) <= WHOLE_CHUNKS_MAX ? missing === 0 && replica !== null : greeted && untouched;
  }
}
