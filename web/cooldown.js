/** How many placements one has left, and when the next one comes, as far as the server said, now or before a reload. */

import { UNLIMITED_CHARGES } from './protocol.js';

/** A memory that says more than this beyond an empty bucket is none: it is longer than any cooldown. */
const BEYOND_EMPTY_MS_MAX = 86_400_000;
/** What floating point may add to a whole number of intervals. */
const TOLERANCE = 1e-6;

/** @typedef {{ load: () => number, save: (fullInMs: number) => void }} Memory in how many ms all charges are there; NaN: unknown */

/** As the server counts: all that is known of a bucket is the moment at which it will be full. */
export class Cooldown {
  #memory;
  #intervalMs = 0;
  #most = 0;
  /** When all charges are there. */
  #fullAt = 0;

  /** @param {Memory} memory */
  constructor(memory) {
    this.#memory = memory;
  }

  /** Whether the canvas has a cooldown at all. */
  get applies() {
    return this.#intervalMs > 0;
  }

  /** The most charges that gather. */
  get most() {
    return this.#most;
  }

  /** The canvas' rule; a bucket that a former rule filled goes on. @param {number} intervalMs 0: none @param {number} most @param {boolean} startsCooling @param {number} now */
  rule(intervalMs, most, startsCooling, now) {
    const known = this.applies;
    this.#intervalMs = intervalMs;
    this.#most = most;
    if (known || !this.applies) return;
    const span = most * intervalMs;
    const fullInMs = this.#memory.load();
    const believed = fullInMs <= span + BEYOND_EMPTY_MS_MAX;
    this.#fullAt = now + (believed ? Math.max(0, fullInMs) : startsCooling ? span : 0);
  }

  /** One is somebody new. @param {number} now */
  renewed(now) {
    this.#fill(this.#most * this.#intervalMs, now);
  }

  /** What an `ACCEPTED` said. @param {number} charges @param {number} nextMs @param {number} now */
  accepted(charges, nextMs, now) {
    if (charges === UNLIMITED_CHARGES) return;
    this.#fill(charges >= this.#most ? 0 : nextMs + (this.#most - charges - 1) * this.#intervalMs, now);
  }

  /** What a `REFUSED` for the cooldown said: so many will be there after the wait. @param {number} retryMs @param {number} count @param {number} now */
  refused(retryMs, count, now) {
    this.#fill(retryMs + (this.#most - count) * this.#intervalMs, now);
  }

  /**
   * Where one stands now; `part` is how much of the wait has passed, from 0 to 1.
   * @param {number} now @returns {{ charges: number, waitMs: number, part: number }}
   */
  standing(now) {
    const missingMs = this.#fullAt - now;
    if (!this.applies || missingMs <= 0) return { charges: this.#most, waitMs: 0, part: 1 };
    const missing = Math.max(1, Math.ceil(missingMs / this.#intervalMs - TOLERANCE));
    // Beyond empty, as a slower rule left it: until the first charge is whole.
    const waitMs = missingMs - (Math.min(missing, this.#most) - 1) * this.#intervalMs;
    return { charges: Math.max(0, this.#most - missing), waitMs, part: Math.max(0, 1 - waitMs / this.#intervalMs) };
  }

  /** @param {number} fullInMs @param {number} now */
  #fill(fullInMs, now) {
    this.#fullAt = now + fullInMs;
    if (this.applies) this.#memory.save(fullInMs);
  }
}
