/** A sheet of glass over the board, made of panes: a browser draws and blends only those that have something on them. */

import { context2d } from './tile.js';

/** A pane's side, in CSS pixels. */
const PANE_PIXELS = 256;

/**
 * @typedef {import('./viewport.js').Box} Box
 * @typedef {{ canvas: HTMLCanvasElement, context: CanvasRenderingContext2D, box: Box, drawn: boolean }} Pane
 */

export class Glass {
  #place;
  #viewport;
  /** Row by row; made when they are first drawn on. @type {Map<number, Pane>} */
  #panes = new Map();
  #size = { width: 0, height: 0 };
  #side = PANE_PIXELS;

  /** @param {HTMLElement} place @param {import('./viewport.js').Viewport} viewport */
  constructor(place, viewport) {
    this.#place = place;
    this.#viewport = viewport;
  }

  /** In device pixels. */
  get size() {
    return this.#size;
  }

  /** The panes were lost. */
  renew() {
    this.#place.replaceChildren();
    this.#panes.clear();
  }

  /** Begins anew: what is not drawn until `finish` is gone. */
  begin() {
    const { window, ratio } = this.#viewport;
    const side = Math.round(PANE_PIXELS * ratio);
    if (window.width !== this.#size.width || window.height !== this.#size.height || side !== this.#side) {
      this.renew();
      [this.#size, this.#side] = [window, side];
    }
    for (const pane of this.#panes.values()) pane.drawn = false;
  }

  /**
   * Draws what lies inside of a box, once on each pane that it touches; coordinates are the window's device pixels.
   * @param {Box} box @param {(context: CanvasRenderingContext2D, pane: Box) => void} draw
   */
  draw(box, draw) {
    const [side, { width, height }] = [this.#side, this.#size];
    const last = { column: Math.ceil(Math.min(box.right, width) / side), row: Math.ceil(Math.min(box.bottom, height) / side) };
    for (let row = Math.floor(Math.max(0, box.top) / side); row < last.row; row += 1) {
      for (let column = Math.floor(Math.max(0, box.left) / side); column < last.column; column += 1) {
        const pane = this.#pane(column, row);
        if (!pane.drawn) this.#wipe(pane);
        draw(pane.context, pane.box);
      }
    }
  }

  /** Panes with nothing on them are put away. */
  finish() {
    for (const { canvas, drawn } of this.#panes.values()) if (!drawn) canvas.style.visibility = 'hidden';
  }

  /** @param {Pane} pane */
  #wipe(pane) {
    const { canvas, context, box } = pane;
    pane.drawn = true;
    canvas.style.visibility = 'visible';
    context.clearRect(box.left, box.top, canvas.width, canvas.height);
  }

  /** @param {number} column @param {number} row @returns {Pane} */
  #pane(column, row) {
    const key = row * 65_536 + column;
    const known = this.#panes.get(key);
    if (known !== undefined) return known;
    const [left, top, { ratio }] = [column * this.#side, row * this.#side, this.#viewport];
    const box = { left, top, right: Math.min(left + this.#side, this.#size.width), bottom: Math.min(top + this.#side, this.#size.height) };
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [box.right - left, box.bottom - top];
    Object.assign(canvas.style, {
      left: `${left / ratio}px`, top: `${top / ratio}px`, width: `${canvas.width / ratio}px`, height: `${canvas.height / ratio}px`,
    });
    this.#place.append(canvas);
    const pane = { canvas, context: context2d(canvas), box, drawn: false };
    pane.context.translate(-left, -top);
    this.#panes.set(key, pane);
    return pane;
  }
}
