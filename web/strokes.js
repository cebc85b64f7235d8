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

  /** @param {Touch} touch */
  add(touch) {
    this.#current.push(touch);
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
