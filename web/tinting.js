/** Prints the wordmark in the canvas' commonest colours. */

import { commonest } from './commonest.js';
import { hex } from './inks.js';
import { letter } from './lettering.js';
import { texts } from './texts.js';

/** Colours in the wordmark. */
const TINTS_MAX = 6;

export class Tinting {
  #wordmark;
  /** @type {string[]} */
  #tints = [];

  /** @param {SVGSVGElement} wordmark */
  constructor(wordmark) {
    this.#wordmark = wordmark;
    letter(wordmark, texts.wordmark, []);
  }

  /** It has no colours yet. */
  get plain() {
    return this.#tints.length === 0;
  }

  /** @param {import('./replica.js').Replica} replica @param {(value: number) => number} color @param {number} background */
  look(replica, color, background) {
    const chunks = [];
    for (const key of replica.keys()) {
      const held = replica.chunk(key);
      if (held !== undefined) chunks.push(held);
    }
    const tints = commonest(chunks, replica.valueBytes, color, background, TINTS_MAX).map(hex);
    if (tints.join() === this.#tints.join()) return;
    this.#tints = tints;
    letter(this.#wordmark, texts.wordmark, tints);
  }
}
