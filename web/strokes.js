/** One's own strokes, to be undone and done again. */

/** Strokes remembered. */
const STROKES_MAX = 100;

/** @typedef {{ x: number, y: number, before: number | undefined, after: number }} Touch `before`: where it was known */

export class Strokes {
  /** @type {Touch[][]} */
  #done = [];
  /** @type {Touch[][]} */
  #undone = [];
  /** @type {Touch[]} */
  #current = [];

  /** Whether there is something to undo. */
  get any() {
    return this.#done.length > 0 || this.#current.length > 0;
  }

  /** @param {Touch} touch */
  add(touch) {
    this.#current.push(touch);
  }

  /** It was refused: it has never been. @param {number} x @param {number} y @param {number} value */
  drop(x, y, value) {
    for (const stroke of [this.#current, ...this.#done.toReversed()]) {
      const index = stroke.findLastIndex((touch) => touch.x === x && touch.y === y && touch.after === value);
      if (index < 0) continue;
      stroke.splice(index, 1);
      if (stroke.length === 0) this.#done = this.#done.filter((other) => other !== stroke);
      return;
    }
  }

  /** The stroke is finished. */
  end() {
    if (this.#current.length === 0) return;
    this.#done.push(this.#current);
    this.#current = [];
    this.#undone = [];
    if (this.#done.length > STROKES_MAX) this.#done.shift();
  }

  /** The last stroke's touches, the newest first: those where `after` still stands can be taken back. */
  undo() {
    this.end();
    const stroke = this.#done.pop();
    if (stroke === undefined) return [];
    this.#undone.push(stroke);
    return [...stroke].reverse();
  }

  /** The touches to do again, in order. */
  redo() {
    const stroke = this.#undone.pop();
    if (stroke === undefined) return [];
    this.#done.push(stroke);
    return stroke;
  }
}
