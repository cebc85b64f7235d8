/** How many placements one has left, and when the next one comes, as far as the server said. */

import { UNLIMITED_CHARGES } from './protocol.js';

export class Cooldown {
  #intervalMs = 0;
  #most = 0;
  #charges = 0;
  /** When the next charge comes; 0 when none is on its way. */
  #nextAt = 0;

  /** Whether the canvas has a cooldown at all. */
  get applies() {
    return this.#intervalMs > 0;
  }

  /** The most charges that gather. */
  get most() {
    return this.#most;
  }

  /** The canvas' rule. @param {number} intervalMs 0: none @param {number} most @param {boolean} startsCooling @param {number} now */
  rule(intervalMs, most, startsCooling, now) {
    const changed = intervalMs !== this.#intervalMs || most !== this.#most;
    this.#intervalMs = intervalMs;
    this.#most = most;
    if (!changed) return;
    this.#charges = startsCooling ? 0 : most;
    this.#nextAt = startsCooling ? now + intervalMs : 0;
  }

  /** What an `ACCEPTED` said. @param {number} charges @param {number} nextMs @param {number} now */
  accepted(charges, nextMs, now) {
    if (charges === UNLIMITED_CHARGES) return;
    this.#charges = charges;
    this.#nextAt = nextMs > 0 && charges < this.#most ? now + nextMs : 0;
  }

  /** What a `REFUSED` for the cooldown said. @param {number} retryMs @param {number} now */
  refused(retryMs, now) {
    this.#charges = 0;
    this.#nextAt = now + retryMs;
  }

  /**
   * Where one stands now; `part` is how much of the wait has passed, from 0 to 1.
   * @param {number} now @returns {{ charges: number, waitMs: number, part: number }}
   */
  standing(now) {
    while (this.#nextAt > 0 && now >= this.#nextAt) {
      this.#charges = Math.min(this.#most, this.#charges + 1);
      this.#nextAt = this.#charges < this.#most ? this.#nextAt + this.#intervalMs : 0;
    }
    const waitMs = this.#nextAt > 0 ? this.#nextAt - now : 0;
    const part = waitMs === 0 ? 1 : Math.max(0, 1 - waitMs / this.#intervalMs);
    return { charges: this.#charges, waitMs, part };
  }
}
