/** Draws a template over the board: as it is, as dots, or as letters. */

import { hex, isLight } from './inks.js';
import { make } from './make.js';
import { NOTHING, symbol } from './template.js';
import { context2d } from './tile.js';

/** From this many device pixels a cell dots can be told apart. */
const DOT_SCALE_MIN = 5;
/** Letters are at least so large, in CSS pixels; where they would be smaller there are dots. */
const SYMBOL_PIXELS_MIN = 14;
/** A dot's side, and a letter's square, in parts of a cell; a letter, in parts of its square. */
const DOT_PART = 0.4;
const SQUARE_PART = 0.8;
const LETTER_PART = 0.75;

/** Colours that are not on offer have two letters each, which may come again. */
const [OTHER_SYMBOLS_FROM, OTHER_SYMBOLS] = [26, 676];

/** @typedef {'picture' | 'dots' | 'symbols'} Style */

export class Layer {
  #table;
  #canvas = make('canvas', { id: 'template', 'aria-hidden': 'true' });
  #context = context2d(this.#canvas);
  /** The template's picture, a pixel for a cell. */
  #picture = document.createElement('canvas');
  /** @type {import('./template.js').Template | null} */
  #template = null;
  /** @type {Style} */
  #style = 'picture';
  #asked = false;

  /** @param {import('./more.js').Table} table */
  constructor(table) {
    this.#table = table;
    table.board.after(this.#canvas);
  }

  /** @param {import('./template.js').Template | null} template @param {Int32Array} values @param {(value: number) => number} color */
  lay(template, values, color) {
    this.#template = template;
    if (template !== null) {
      const { width, height } = template.place;
      const image = new ImageData(width, height);
      const pixels = new DataView(image.data.buffer);
      values.forEach((value, index) => { if (value !== NOTHING) pixels.setUint32(index * 4, color(value) * 256 + 255); });
      this.#picture = make('canvas', { width, height });
      context2d(this.#picture).putImageData(image, 0, 0);
    }
    this.wake();
  }

  /** It lies elsewhere. @param {import('./template.js').Template} template */
  move(template) {
    this.#template = template;
    this.wake();
  }

  /** @param {Style} style @param {number} opacity from 0 to 1 @param {boolean} hidden */
  look(style, opacity, hidden) {
    this.#style = style;
    // Dots and letters leave the canvas to be seen between them.
    this.#canvas.style.opacity = style === 'picture' ? String(opacity) : '1';
    this.#canvas.hidden = hidden;
    this.wake();
  }

  /** Draws with the next frame. */
  wake() {
    if (this.#asked) return;
    this.#asked = true;
    requestAnimationFrame(() => {
      this.#asked = false;
      this.#draw();
    });
  }

  #draw() {
    const { board, viewport } = this.#table;
    if (this.#canvas.width !== board.width) this.#canvas.width = board.width;
    if (this.#canvas.height !== board.height) this.#canvas.height = board.height;
    const context = this.#context;
    context.clearRect(0, 0, board.width, board.height);
    if (this.#template === null || this.#canvas.hidden) return;
    const { x, y, width, height } = this.#template.place;
    const { left, top, right, bottom } = viewport.cell(x, y, width, height);
    const { scale } = viewport.device;
    if (this.#style === 'symbols' && scale * SQUARE_PART * LETTER_PART >= SYMBOL_PIXELS_MIN * viewport.ratio) {
      this.#drawSymbols();
      return;
    }
    context.imageSmoothingEnabled = scale < 1;
    context.drawImage(this.#picture, left, top, right - left, bottom - top);
    if (this.#style !== 'picture' && scale >= DOT_SCALE_MIN) this.#keepDots();
    this.#frame(left, top, right, bottom);
  }

  /** Leaves a dot of each cell. */
  #keepDots() {
    const context = this.#context;
    const { left, top, scale } = this.#table.viewport.device;
    const side = Math.ceil(scale);
    const dot = Math.max(2, Math.round(side * DOT_PART));
    const tile = make('canvas', { width: side, height: side });
    context2d(tile).fillRect((side - dot) >> 1, (side - dot) >> 1, dot, dot);
    const pattern = context.createPattern(tile, 'repeat');
    if (pattern === null) return;
    pattern.setTransform(new DOMMatrix([scale / side, 0, 0, scale / side, left, top]));
    context.globalCompositeOperation = 'destination-in';
    context.fillStyle = pattern;
    context.fillRect(0, 0, this.#canvas.width, this.#canvas.height);
    context.globalCompositeOperation = 'source-over';
  }

  /** A lettered square of colour where a cell is not yet as it should be. */
  #drawSymbols() {
    const template = /** @type {import('./template.js').Template} */ (this.#template);
    const { viewport, valueAt, color, indexOf } = this.#table;
    const context = this.#context;
    const cells = viewport.cells;
    const { x, y, width, height } = template.place;
    const side = Math.round(viewport.device.scale * SQUARE_PART);
    context.font = `700 ${Math.ceil(side * LETTER_PART)}px ${getComputedStyle(document.documentElement).getPropertyValue('--sans')}`;
    context.textAlign = 'center';
    context.textBaseline = 'middle';
    for (let row = Math.max(y, cells.y); row < Math.min(y + height, cells.toY); row += 1) {
      for (let column = Math.max(x, cells.x); column < Math.min(x + width, cells.toX); column += 1) {
        const want = template.at(column, row);
        if (want === NOTHING || want === valueAt(column, row)) continue;
        const { left, top, right, bottom } = viewport.cell(column, row);
        const [edgeX, edgeY] = [Math.round((left + right - side) / 2), Math.round((top + bottom - side) / 2)];
        const paint = color(want);
        const ink = isLight(paint) ? '#1C1917' : '#F4EFE6';
        context.fillStyle = ink;
        context.fillRect(edgeX - 1, edgeY - 1, side + 2, side + 2);
        context.fillStyle = hex(paint);
        context.fillRect(edgeX, edgeY, side, side);
        context.fillStyle = ink;
        context.fillText(symbol(indexOf(paint) ?? OTHER_SYMBOLS_FROM + paint % OTHER_SYMBOLS), (left + right) / 2, (top + bottom) / 2 + 1, side - 2);
      }
    }
  }

  /** A line around the whole, so that one sees where it lies. @param {number} left @param {number} top @param {number} right @param {number} bottom */
  #frame(left, top, right, bottom) {
    const context = this.#context;
    const dash = 4 * this.#table.viewport.ratio;
    context.lineWidth = Math.max(1, Math.round(this.#table.viewport.ratio));
    context.strokeStyle = '#1C1917';
    context.setLineDash([dash, dash]);
    context.strokeRect(left + 0.5, top + 0.5, right - left - 1, bottom - top - 1);
    context.setLineDash([]);
  }
}
