/** One's own strokes, to be undone and done again. */

/** Strokes remembered. */
const STROKES_MAX = 100;

/**
 * @typedef {{ x: number, y: number, before: number | undefined, after: number }} Touch `before`: where it was known
 * @typedef {{ number: number, touches: Touch[], taken: number, made: number }} Stroke `number`: in the order of painting; 0 for one from before
 *   the page was loaded, whose touches are not known; `taken`: so many of its pixels were taken back, or are on
 *   the way to be; `made`: so many the server says
 * @typedef {import('./protocol.js').Turn} Turn
 */

export class Strokes {
  /** The latest last. @type {Stroke[]} */
  #done = [];
  /** The earliest last: it is done again first. @type {Stroke[]} */
  #undone = [];
  /** @type {Touch[]} */
  #current = [];
  #number = 0;
  /** Strokes up to this number were of a former history. */
  #former = -1;

  /** Whether there is something to undo. */
  get any() {
    return this.#done.length > 0 || this.#current.length > 0;
  }

  /** Whether there is something to do again. */
  get anyUndone() {
    return this.#undone.length > 0;
  }

  /** @param {Touch} touch */
  add(touch) {
    this.#undone = [];
    this.#current.push(touch);
  }

  /** It was refused: it has never been. @param {number} x @param {number} y @param {number} value */
  drop(x, y, value) {
    const strokes = [...this.#undone, ...this.#done.toReversed()];
    for (const touches of [this.#current, ...strokes.map((stroke) => stroke.touches)]) {
      const index = touches.findLastIndex((touch) => touch.x === x && touch.y === y && touch.after === value);
      if (index < 0) continue;
      touches.splice(index, 1);
      for (const stroke of strokes) if (stroke.touches === touches && touches.length === 0) this.forget(stroke);
      return;
    }
  }

  /** The stroke is finished. */
  end() {
    if (this.#current.length === 0) return;
    this.#number += 1;
    this.#done.push({ number: this.#number, touches: this.#current, taken: 0, made: 0 });
    this.#current = [];
    if (this.#done.length > STROKES_MAX) this.#done.shift();
  }

  /** The last stroke, which is undone now; without any, one from before the page was loaded. @returns {Stroke} */
  undo() {
    this.end();
    const stroke = this.#done.pop() ?? { number: 0, touches: [], taken: 0, made: 0 };
    this.#undone.push(stroke);
    return stroke;
  }

  /** The stroke that was undone last, which is done again now. @returns {Stroke} */
  redo() {
    const stroke = this.#undone.pop();
    if (stroke === undefined) return { number: 0, touches: [], taken: 1, made: 1 };
    this.#done.push(stroke);
    return stroke;
  }

  /** It could not be undone, or done again, and still can be. @param {Turn} turn @param {Stroke} stroke */
  putBack(turn, stroke) {
    this.forget(stroke);
    if (stroke.number <= this.#former) return;
    if (turn === 'undo' && stroke.touches.length > 0) {
      this.#done.push(stroke);
      this.#done.sort((a, b) => a.number - b.number);
    }
    // What was painted since ended what could be done again.
    if (turn === 'redo' && this.#current.length === 0 && this.#done.every(({ number }) => number < stroke.number)) {
      this.#undone.push(stroke);
      this.#undone.sort((a, b) => b.number - a.number);
    }
  }

  /** History was replaced: there is nothing of them any more. */
  restarted() {
    [this.#done, this.#undone, this.#current] = [[], [], []];
    this.#former = this.#number;
  }

  /** It can neither be undone nor done again. @param {Stroke} stroke */
  forget(stroke) {
    this.#done = this.#done.filter((other) => other !== stroke);
    this.#undone = this.#undone.filter((other) => other !== stroke);
  }
}
