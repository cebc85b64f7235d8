/** Undo and redo: a stroke is taken back or repeated, shown at once, and stays where it was when that is refused. */

import { NEVER_MS, Reason } from './protocol.js';
import { texts } from './texts.js';

/**
 * @typedef {import('./protocol.js').Turn} Turn
 * @typedef {import('./strokes.js').Stroke} Stroke
 * @typedef {import('./submissions.js').Refusal} Refusal
 *
 * @typedef {object} Page
 * @property {(x: number, y: number) => number | undefined} valueOf what a cell shows, where it is known
 * @property {(turn: Turn, count: number, foreseen: { x: number, y: number, value: number }[], stroke: Stroke) => boolean} retrace
 *   asks for it; false when too much waits
 * @property {(sentence: string) => void} tell says and announces it
 * @property {(sentence: string) => void} announce
 */

export class Retracing {
  #strokes;
  #page;

  /** @param {import('./strokes.js').Strokes} strokes @param {Page} page */
  constructor(strokes, page) {
    this.#strokes = strokes;
    this.#page = page;
  }

  /**
   * Takes the last stroke back, or repeats the one taken back last, and shows that at once; the server knows which pixels are
   * still one's own. Of strokes from before the page was loaded it is one pixel at a time, and nothing is foreseen.
   * @param {Turn} turn
   */
  turn(turn) {
    const stroke = turn === 'undo' ? this.#strokes.undo() : this.#strokes.redo();
    const standing = stroke.touches.filter(({ x, y, before, after }) => {
      const value = this.#page.valueOf(x, y);
      return value === undefined || value === (turn === 'undo' ? after : before);
    });
    if (turn === 'undo') standing.reverse();
    const foreseen = standing.flatMap(({ x, y, before, after }) => {
      const value = turn === 'undo' ? before : after;
      return value === undefined ? [] : [{ x, y, value }];
    });
    const count = turn === 'redo' ? stroke.taken : stroke.touches.length === 0 ? 1 : standing.length;
    if (count === 0) {
      this.#strokes.forget(stroke);
      this.#page.tell(texts.nothingTo[turn]);
    } else if (this.#page.retrace(turn, count, foreseen, stroke)) {
      stroke.taken += turn === 'undo' ? count : -count;
      this.#page.announce(texts.retraced[turn](count));
    } else {
      this.#strokes.putBack(turn, stroke);
      this.#page.tell(texts.tooMuchWaiting);
    }
  }

  /** So many of the steps were made: the server remembers no more of them, or others painted over the rest. @param {import('./submissions.js').Steps} steps @param {number} count */
  accepted({ turn, count: asked, stroke }, count) {
    const sign = turn === 'undo' ? 1 : -1;
    stroke.taken -= sign * (asked - count);
    stroke.made += sign * count;
  }

  /** @param {import('./submissions.js').Steps} steps @param {Refusal} refusal */
  refused({ turn, count, stroke }, refusal) {
    const { reason } = refusal;
    const nothing = reason === Reason.NOTHING_TO_UNDO || reason === Reason.NOTHING_TO_REDO;
    stroke.taken += turn === 'undo' ? -count : count;
    if (nothing && turn === 'undo' && stroke.taken > 0) {
      if (stroke.taken <= stroke.made) this.#page.tell(texts.undoneOnly(stroke.made));
      return; // Else more of it is on the way.
    }
    if (nothing) this.#strokes.forget(stroke);
    else this.#strokes.putBack(turn, stroke);
    this.#page.tell(nothing ? texts.nothingTo[turn] : whyRefused(refusal, texts.notRetraced));
  }
}

/** Why it was refused, in the words for paint or in those for undo. @param {Refusal} refusal @param {typeof texts.refused} words */
export function whyRefused({ reason, retryMs, sentence }, words) {
  if (reason === 0) return words.stale;
  if (reason === Reason.FROZEN) return words.frozen;
  return reason === Reason.COOLDOWN && retryMs !== NEVER_MS ? words.cooldown(retryMs) : words.because(sentence);
}
