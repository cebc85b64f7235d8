/** Finds out why there is no connection: the canvas may be gone, or the server have none to give. */

/** It asks at most so often. */
const INTERVAL_MS = 3_000;
/** So many attempts that failed while the canvas is there mean that the server has no connection to give. */
const NO_ROOM_ATTEMPTS = 3;

/** @typedef {'unknown' | 'gone' | 'turned away'} Finding */

export class Lookout {
  #id;
  #found;
  /** @type {Finding} */
  #finding = 'unknown';
  #askedAt = -Infinity;

  /** @param {string} id of the canvas @param {(finding: Finding, before: Finding) => void} found */
  constructor(id, found) {
    this.#id = id;
    this.#found = found;
  }

  get finding() {
    return this.#finding;
  }

  /** There is a connection. */
  connected() {
    this.#finding = 'unknown';
  }

  /**
   * Asks the list of canvases, which answers without an error either way.
   * @param {number} attempts to connect that failed in a row @param {number} now ms
   */
  async look(attempts, now) {
    if (now - this.#askedAt < INTERVAL_MS && attempts > 0) return;
    this.#askedAt = now;
    const answer = await fetch('/api/canvases').then((response) => (response.ok ? response.json() : null), () => null);
    /** @type {{ id: string }[] | undefined} */
    const canvases = answer?.canvases;
    const there = canvases?.some(({ id }) => id === this.#id);
    const before = this.#finding;
    if (there === false) this.#finding = 'gone';
    else if (there === true) this.#finding = attempts >= NO_ROOM_ATTEMPTS ? 'turned away' : 'unknown';
    if (this.#finding !== before) this.#found(this.#finding, before);
  }
}
