/** The card of one pixel: who painted it, when, and its colour to take; after a long press, a rest of the pointer or of the cursor. */

import { chunkKeyAt, holds } from './geometry.js';
import { hex } from './inks.js';
import { make, style, word } from './make.js';
import { who } from './protocol.js';
import { colorName, texts } from './texts.js';

/** A pointer or cursor that stays on a cell this long asks about it. */
const REST_MS = 400;
/** A finger that stays this long does not paint: it asks. */
const PRESS_MS = 500;
/** A finger that moves less stays. */
const STILL_PIXELS_MAX = 5;

/**
 * @typedef {{ x: number, y: number }} Point
 * @typedef {'pointer' | 'finger' | 'keyboard'} Asker
 */

/** @param {import('./more.js').Table} table */
export async function open(table) {
  await style('more.css');
  return new Card(table);
}

class Card {
  #table;
  #swatch = make('span', { class: 'swatch' });
  #painter = make('strong', { dir: 'auto' });
  #age = make('span');
  #place = make('span', { class: 'mono' });
  #element;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** The cell that the pointer rests on. */
  #resting = '';
  /** Fingers on the board, and where the first came down. */
  #fingers = new Set();
  #down = { x: 0, y: 0 };
  /** What was asked and not yet answered. @type {{ cell: Point, asker: Asker } | null} */
  #asked = null;
  /** What is shown, and of which cell. */
  #color = 0;
  #cell = { x: 0, y: 0 };

  /** @param {import('./more.js').Table} table */
  constructor(table) {
    this.#table = table;
    this.#element = make('section', { id: 'card', 'aria-label': texts.card.label, hidden: true },
      this.#swatch, make('p', {}, this.#painter, this.#age, this.#place), word(texts.card.use, () => this.#use()));
    document.getElementById('beside')?.append(this.#element);
    const { board } = table;
    board.addEventListener('pointermove', (event) => this.#move(event));
    board.addEventListener('pointerdown', (event) => this.#press(event));
    for (const type of ['pointerup', 'pointercancel', 'pointerleave']) board.addEventListener(type, (event) => this.#lift(/** @type {PointerEvent} */ (event)));
    document.addEventListener('keydown', (event) => { if (event.key === 'Escape') this.#close(); });
  }

  /** @param {import('./protocol.js').FromServer} message */
  heard(message) {
    if (message.kind === 'hello') this.#asked = null;
    if (message.kind !== 'painter' || this.#asked === null) return;
    const { cell, asker } = this.#asked;
    if (message.x !== cell.x || message.y !== cell.y) return;
    this.#asked = null;
    this.#show(message, asker);
  }

  moved() {
    this.#close();
  }

  /** @param {number} key of a chunk that changed: who painted the cell before is old news */
  changed(key) {
    const { x, y } = this.#cell;
    if (!this.#element.hidden && chunkKeyAt(x, y) === key && this.#table.colorAt(x, y) !== this.#color) this.#close();
  }

  /** @param {Point} cell */
  stepped(cell) {
    this.#wait(REST_MS, cell, 'keyboard');
  }

  /** @param {PointerEvent} event */
  #move(event) {
    if (event.pointerType === 'touch') {
      if (Math.hypot(event.clientX - this.#down.x, event.clientY - this.#down.y) >= STILL_PIXELS_MAX) clearTimeout(this.#timer);
      return;
    }
    if (event.buttons !== 0) return;
    const cell = this.#table.viewport.cellAt(event.clientX, event.clientY);
    const resting = `${cell.x},${cell.y}`;
    if (resting === this.#resting) return;
    this.#resting = resting;
    this.#wait(REST_MS, cell, 'pointer');
  }

  /** @param {PointerEvent} event */
  #press(event) {
    this.#close();
    if (event.pointerType !== 'touch') return;
    this.#fingers.add(event.pointerId);
    if (this.#fingers.size > 1) return;
    this.#down = { x: event.clientX, y: event.clientY };
    this.#wait(PRESS_MS, this.#table.viewport.cellAt(event.clientX, event.clientY), 'finger', () => {
      // The press is spent: for whoever paints with it, it never was.
      this.#table.board.dispatchEvent(new PointerEvent('pointercancel', { pointerId: event.pointerId, pointerType: 'touch' }));
    });
  }

  /** @param {PointerEvent} event */
  #lift(event) {
    this.#fingers.delete(event.pointerId);
    this.#resting = '';
    if (event.isTrusted) clearTimeout(this.#timer);
  }

  /** @param {number} ms @param {Point} cell @param {Asker} asker @param {() => void} [first] */
  #wait(ms, cell, asker, first) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      const rules = this.#table.rules();
      if (rules === null || !holds(rules, cell.x, cell.y)) return;
      first?.();
      this.#asked = this.#table.send(who(cell.x, cell.y)) ? { cell, asker } : null;
    }, ms);
  }

  /** @param {import('./protocol.js').Painter} painter @param {Asker} asker */
  #show({ x, y, sequence, paintedMs, name }, asker) {
    const color = this.#table.colorAt(x, y);
    if (color === undefined) return;
    const blank = sequence === 0;
    const by = blank ? texts.card.nobody : name === '' ? texts.card.somebody : name;
    const age = blank ? '' : texts.ago(Math.max(0, this.#table.now() - paintedMs));
    if (asker === 'keyboard') this.#table.describe({ x, y }, texts.card.said(x, y, colorName(hex(color)), by, age));
    // A pointer that rests on blank paper asks nothing.
    if (blank && asker === 'pointer') return this.#close();
    [this.#color, this.#cell] = [color, { x, y }];
    this.#swatch.style.backgroundColor = hex(color);
    this.#painter.textContent = by;
    this.#age.textContent = age;
    this.#place.textContent = `${x}, ${y}`;
    this.#element.hidden = false;
  }

  #use() {
    this.#table.palette.take(this.#color);
    this.#close();
    this.#table.board.focus({ preventScroll: true });
  }

  #close() {
    clearTimeout(this.#timer);
    this.#asked = null;
    this.#element.hidden = true;
  }
}
