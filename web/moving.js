/** Moving a template by hand: one finger, the left button or arrow keys move it, two fingers the board as ever. */

import { texts } from './texts.js';

/** Arrow keys with Shift move it by this many cells. */
const LONG_STEP_CELLS = 8;

const said = texts.template;

/**
 * @typedef {import('./geometry.js').Point} Point
 * @typedef {{ place: () => Point, put: (place: Point) => void, done: () => void }} Laid where it lies, and what to do with that
 */

export class Moving {
  #table;
  #laid;
  #on = false;
  /** Fingers and buttons that are down. @type {Map<number, Point>} */
  #held = new Map();
  /** The cell of the template that the first of them took hold of. @type {Point} */
  #grip = { x: 0, y: 0 };

  /** @param {import('./more.js').Table} table @param {Laid} laid */
  constructor(table, laid) {
    this.#table = table;
    this.#laid = laid;
    for (const type of /** @type {const} */ (['pointerdown', 'pointermove', 'pointerup', 'pointercancel'])) {
      document.addEventListener(type, (event) => this.#pointer(event), { capture: true });
    }
  }

  get on() {
    return this.#on;
  }

  begin() {
    this.#on = true;
    this.#table.board.focus({ preventScroll: true });
    this.#table.announce(said.moveKeys);
  }

  end() {
    this.#on = false;
    this.#held.clear();
  }

  /** Whether the key was one of its own. @param {KeyboardEvent} event */
  key(event) {
    const cells = event.shiftKey ? LONG_STEP_CELLS : 1;
    const by = { ArrowLeft: [-cells, 0], ArrowRight: [cells, 0], ArrowUp: [0, -cells], ArrowDown: [0, cells] }[event.code];
    if (by !== undefined) {
      const { x, y } = this.#laid.place();
      this.#laid.put({ x: x + by[0], y: y + by[1] });
      const now = this.#laid.place();
      this.#table.announce(said.liesAt(now.x, now.y));
    } else if (event.code === 'Enter' || event.code === 'NumpadEnter' || event.code === 'Escape') this.#laid.done();
    else if (event.code !== 'Space') return false; // Nothing is painted meanwhile.
    return true;
  }

  /** @param {PointerEvent} event */
  #pointer(event) {
    const { board, viewport } = this.#table;
    if (!this.#on) return;
    const point = { x: event.clientX, y: event.clientY };
    if (event.type === 'pointerdown') {
      if (event.target !== board || event.button !== 0) return;
      if (this.#held.size === 0) this.#grasp(point);
      board.setPointerCapture(event.pointerId);
    } else if (!this.#held.has(event.pointerId)) return;
    event.stopPropagation();
    // Of a button that goes up while another is down the browser tells so.
    const up = event.pointerType === 'mouse' && (event.buttons & 1) === 0;
    const before = this.#held.get(event.pointerId);
    if (up || event.type === 'pointerup' || event.type === 'pointercancel') {
      this.#held.delete(event.pointerId);
      return;
    }
    this.#held.set(event.pointerId, point);
    if (before === undefined || event.type !== 'pointermove') return;
    if (this.#held.size === 1) {
      const { x, y } = viewport.cellAt(point.x, point.y);
      this.#laid.put({ x: x - this.#grip.x, y: y - this.#grip.y });
      return;
    }
    const other = [...this.#held].find(([id]) => id !== event.pointerId)?.[1] ?? point;
    const apart = (/** @type {Point} */ a) => Math.max(1, Math.hypot(a.x - other.x, a.y - other.y));
    this.#table.pinch({ x: (point.x - before.x) / 2, y: (point.y - before.y) / 2 }, { x: (point.x + other.x) / 2, y: (point.y + other.y) / 2 }, apart(point) / apart(before));
    this.#grasp(other);
  }

  /** Takes hold of what lies there. @param {Point} point in CSS pixels */
  #grasp({ x, y }) {
    const cell = this.#table.viewport.cellAt(x, y);
    const place = this.#laid.place();
    this.#grip = { x: cell.x - place.x, y: cell.y - place.y };
  }
}
