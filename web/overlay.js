/** Draws what lies above the board: grid, cursor, ghost pixel, and the few things that move. */

import { isLight } from './inks.js';
import { context2d } from './tile.js';
import { hex } from './view.js';

const INK = '#1C1917';
const PAPER = '#F4EFE6';
/** Of the lines between cells that are painted: to be seen on dark ones and on light ones. */
const GRID = '#80786F';
/** One's own pixel presses in. */
const PRESS_MS = 120;
/** Somebody else's pixel rings once. */
const RING_MS = 400;
/** Somebody's name stays this long, the last part of it fading. */
const NAME_MS = 1_800;
const NAME_FADE_MS = 600;
/** A refused pixel flies back to the palette. */
const FLIGHT_MS = 200;
/** One breath of the ghost pixel on an empty canvas. */
const BREATH_MS = 3_200;
/** Names shown at once; more would be a swarm. */
const NAMES_MAX = 8;
/** Movements at once; older ones end early. */
const MOVEMENTS_MAX = 64;
/** From this many CSS pixels a cell the grid shows. */
const GRID_SCALE_MIN = 20;
/** On an empty canvas it shows from farther away. */
const EMPTY_GRID_SCALE_MIN = 4;
/** A ghost pixel is never smaller, in CSS pixels. */
const GHOST_PIXELS_MIN = 6;
/** A ghost lets through what is below. */
const GHOST_ALPHA = 0.6;

/**
 * @typedef {import('./viewport.js').Viewport} Viewport
 * @typedef {{ x: number, y: number }} Point
 * @typedef {{ kind: 'press' | 'ring', x: number, y: number, color: number, from: number, to?: undefined }} CellMovement
 * @typedef {{ kind: 'flight', x: number, y: number, color: number, from: number, to: Point }} Flight `to` in CSS pixels
 * @typedef {{ name: string, x: number, y: number, from: number }} Label
 */

export class Overlay {
  #canvas;
  #context;
  #viewport;
  /** @type {(CellMovement | Flight)[]} */
  #movements = [];
  /** @type {Map<string, Label>} */
  #labels = new Map();
  /** @type {Point | null} */
  #hover = null;
  /** @type {Point | null} */
  #cursor = null;
  /** @type {Point | null} */
  #ghost = null;
  #chosen = 0;
  #ready = true;
  #empty = false;
  #still = false;
  /** Something is to be drawn that does not move by itself. */
  #stale = true;
  #moved = false;
  #lines = INK;
  #ink = INK;
  #paper = PAPER;
  #font = '14px sans-serif';

  /** @param {HTMLCanvasElement} canvas @param {Viewport} viewport */
  constructor(canvas, viewport) {
    this.#canvas = canvas;
    this.#context = context2d(canvas);
    this.#viewport = viewport;
  }

  /** @param {{ ink: string, paper: string, family: string }} theme */
  theme({ ink, paper, family }) {
    this.#stale = true;
    this.#ink = ink;
    this.#paper = paper;
    this.#font = `600 14px ${family}`;
  }

  /** The sheet's own colour, in the dark as in the light. @param {number} background */
  setBackground(background) {
    this.#stale = true;
    this.#lines = isLight(background) ? INK : PAPER;
  }

  /** Whether this person wants nothing to move. @param {boolean} still */
  setStill(still) {
    this.#stale = true;
    this.#still = still;
  }

  /** The cell under the pointer. @param {Point | null} cell */
  setHover(cell) {
    this.#stale = true;
    this.#hover = cell;
  }

  /** The cell that the keyboard is on. @param {Point | null} cell */
  setCursor(cell) {
    this.#stale = true;
    this.#cursor = cell;
  }

  /** @param {number} color */
  setChosen(color) {
    this.#stale = true;
    this.#chosen = color;
  }

  /** Whether a pixel could be painted now. @param {boolean} ready */
  setReady(ready) {
    this.#stale ||= ready !== this.#ready;
    this.#ready = ready;
  }

  /** Nothing is painted yet: a grid, and one pixel that breathes. @param {Point | null} ghost */
  setEmpty(ghost) {
    this.#stale = true;
    this.#empty = ghost !== null;
    this.#ghost = ghost;
  }

  /** The board lies somewhere else now. */
  invalidate() {
    this.#stale = true;
  }

  /** @param {number} x @param {number} y @param {number} color @param {number} now */
  press(x, y, color, now) {
    if (!this.#still) this.#move({ kind: 'press', x, y, color, from: now });
  }

  /** Somebody painted here. @param {number} x @param {number} y @param {number} color @param {string} name @param {number} now */
  ring(x, y, color, name, now) {
    this.#move({ kind: 'ring', x, y, color, from: now });
    if (name === '') return;
    this.#labels.delete(name);
    this.#labels.set(name, { name, x, y, from: now });
    if (this.#labels.size > NAMES_MAX) this.#labels.delete(this.#labels.keys().next().value ?? '');
  }

  /** A refused pixel goes home. @param {number} x @param {number} y @param {number} color @param {Point} to @param {number} now */
  flyBack(x, y, color, to, now) {
    if (this.#still) this.#move({ kind: 'ring', x, y, color, from: now });
    else this.#move({ kind: 'flight', x, y, color, from: now, to });
  }

  /** Draws, and says whether something is moving still. @param {number} now */
  draw(now) {
    const moves = this.#movements.length > 0 || this.#labels.size > 0 || (this.#ghost !== null && !this.#still);
    if (!this.#stale && !moves && !this.#moved) return false;
    [this.#stale, this.#moved] = [false, moves];
    const context = this.#context;
    context.clearRect(0, 0, this.#canvas.width, this.#canvas.height);
    this.#movements = this.#movements.filter(({ kind, from }) => now - from < lasts(kind));
    for (const [name, { from }] of this.#labels) if (now - from >= NAME_MS) this.#labels.delete(name);
    this.#drawGrid();
    if (this.#ghost !== null) this.#drawBreath(this.#ghost, now);
    if (this.#hover !== null) this.#drawGhost(this.#hover);
    for (const movement of this.#movements) this.#drawMovement(movement, now);
    for (const label of this.#labels.values()) this.#drawLabel(label, now);
    if (this.#cursor !== null) this.#drawCursor(this.#cursor);
    return moves;
  }

  /** @param {CellMovement | Flight} movement */
  #move(movement) {
    this.#movements.push(movement);
    if (this.#movements.length > MOVEMENTS_MAX) this.#movements.shift();
  }

  /** A length in CSS pixels, in whole device pixels. @param {number} length */
  #device(length) {
    return Math.max(1, Math.round(length * this.#viewport.ratio));
  }

  #drawGrid() {
    const { scale } = this.#viewport;
    if (scale < (this.#empty ? EMPTY_GRID_SCALE_MIN : GRID_SCALE_MIN)) return;
    const context = this.#context;
    const board = this.#viewport.board;
    const { x, y, toX, toY } = this.#viewport.cells;
    const { left, top, scale: device } = this.#viewport.device;
    const width = this.#device(0.5);
    const [from, to] = [Math.max(0, board.left), Math.min(this.#canvas.width, board.right)];
    const [above, below] = [Math.max(0, board.top), Math.min(this.#canvas.height, board.bottom)];
    context.globalAlpha = this.#empty ? 0.14 : Math.min(0.4, 0.08 + (scale - GRID_SCALE_MIN) / 50);
    context.fillStyle = this.#empty ? this.#lines : GRID;
    for (let column = Math.max(1, x); column < toX; column += 1) context.fillRect(left + Math.round(column * device), above, width, below - above);
    for (let row = Math.max(1, y); row < toY; row += 1) context.fillRect(from, top + Math.round(row * device), to - from, width);
    context.globalAlpha = 1;
  }

  /** @param {Point} cell @param {number} now */
  #drawBreath({ x, y }, now) {
    const context = this.#context;
    const { left, top, right, bottom } = this.#viewport.cell(x, y);
    const breath = this.#still ? 0.5 : (1 - Math.cos((now / BREATH_MS) * 2 * Math.PI)) / 2;
    context.globalAlpha = 0.25 + 0.75 * breath;
    context.fillStyle = hex(this.#chosen);
    context.fillRect(left, top, right - left, bottom - top);
    context.globalAlpha = 1;
    this.#outline(left, top, right, bottom, 2, this.#lines);
  }

  /** @param {Point} cell */
  #drawGhost({ x, y }) {
    const cell = this.#viewport.cell(x, y);
    const least = this.#device(GHOST_PIXELS_MIN);
    const grow = Math.max(0, Math.ceil((least - (cell.right - cell.left)) / 2));
    const [left, top, right, bottom] = [cell.left - grow, cell.top - grow, cell.right + grow, cell.bottom + grow];
    if (this.#ready) {
      this.#context.globalAlpha = GHOST_ALPHA;
      this.#context.fillStyle = hex(this.#chosen);
      this.#context.fillRect(left, top, right - left, bottom - top);
      this.#context.globalAlpha = 1;
    }
    this.#outline(left, top, right, bottom, 2, INK);
    this.#outline(left - this.#device(2), top - this.#device(2), right + this.#device(2), bottom + this.#device(2), 1, PAPER);
  }

  /** @param {Point} cell */
  #drawCursor({ x, y }) {
    const { left, top, right, bottom } = this.#viewport.cell(x, y);
    for (const [out, width, color] of /** @type {const} */ ([[6, 2, PAPER], [4, 4, INK], [0, 1, PAPER]])) {
      const by = Math.round(out * this.#viewport.ratio);
      this.#outline(left - by, top - by, right + by, bottom + by, width, color);
    }
  }

  /** A frame whose outer edge is given. @param {number} left @param {number} top @param {number} right @param {number} bottom @param {number} pixels @param {string} color */
  #outline(left, top, right, bottom, pixels, color) {
    const width = this.#device(pixels);
    const context = this.#context;
    context.fillStyle = color;
    context.fillRect(left, top, right - left, width);
    context.fillRect(left, bottom - width, right - left, width);
    context.fillRect(left, top + width, width, bottom - top - 2 * width);
    context.fillRect(right - width, top + width, width, bottom - top - 2 * width);
  }

  /** @param {CellMovement | Flight} movement @param {number} now */
  #drawMovement(movement, now) {
    const context = this.#context;
    const { left, top, right, bottom } = this.#viewport.cell(movement.x, movement.y);
    const part = Math.min(1, Math.max(0, (now - movement.from) / lasts(movement.kind)));
    if (movement.kind === 'press') {
      const up = Math.round(this.#device(6) * (1 - part));
      context.fillStyle = INK;
      context.fillRect(left, top, right - left, bottom - top);
      context.fillStyle = hex(movement.color);
      context.fillRect(left - up, top - up, right - left, bottom - top);
    } else if (movement.kind === 'ring') {
      const out = Math.round(this.#device(14) * (this.#still ? 0.4 : part)) + this.#device(2);
      context.globalAlpha = this.#still ? 1 : 1 - part * part;
      this.#outline(left - out, top - out, right + out, bottom + out, 3, INK);
      this.#outline(left - out, top - out, right + out, bottom + out, 2, hex(movement.color));
      context.globalAlpha = 1;
    } else if (movement.to !== undefined) {
      const ease = part * part;
      const size = Math.max(right - left, this.#device(10));
      const x = (left + right) / 2 + (movement.to.x * this.#viewport.ratio - (left + right) / 2) * ease;
      const y = (top + bottom) / 2 + (movement.to.y * this.#viewport.ratio - (top + bottom) / 2) * ease;
      const [edgeX, edgeY] = [Math.round(x - size / 2), Math.round(y - size / 2)];
      context.fillStyle = hex(movement.color);
      context.fillRect(edgeX, edgeY, size, size);
      this.#outline(edgeX, edgeY, edgeX + size, edgeY + size, 2, this.#ink);
    }
  }

  /** @param {Label} label @param {number} now */
  #drawLabel({ name, x, y, from }, now) {
    const context = this.#context;
    const { ratio } = this.#viewport;
    const { right, top } = this.#viewport.cell(x, y);
    context.save();
    context.globalAlpha = Math.min(1, (NAME_MS - (now - from)) / NAME_FADE_MS);
    context.scale(ratio, ratio);
    context.font = this.#font;
    context.textBaseline = 'middle';
    const width = Math.ceil(context.measureText(name).width) + 12;
    const most = this.#canvas.width / ratio - width - 8;
    const atX = Math.round(Math.min(right / ratio + 4, most));
    const atY = Math.round(Math.max(top / ratio - 26, 4));
    context.fillStyle = this.#ink;
    context.fillRect(atX, atY, width, 24);
    context.fillStyle = this.#paper;
    context.fillText(name, atX + 6, atY + 13);
    context.restore();
  }
}

/** @param {'press' | 'ring' | 'flight'} kind */
function lasts(kind) {
  return kind === 'press' ? PRESS_MS : kind === 'ring' ? RING_MS : FLIGHT_MS;
}
