/** Draws what lies above the board: grid, cursor, ghost pixel, and the few things that move. */

import { Glass } from './glass.js';
import { hex, isLight } from './inks.js';
import { context2d } from './tile.js';

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
/** Of those, rings: where more paint at once, only some are shown. */
const RINGS_MAX = 16;
/** How far a ring goes out from its cell, in CSS pixels, and how thick it is. */
const [RING_NEAR_PIXELS, RING_FAR_PIXELS, RING_LINE_PIXELS] = [2, 16, 3];
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
 * @typedef {import('./viewport.js').Box} Box
 * @typedef {{ x: number, y: number }} Point
 * @typedef {{ kind: 'press' | 'ring', x: number, y: number, color: number, from: number, to?: undefined }} CellMovement
 * @typedef {{ kind: 'flight', x: number, y: number, color: number, from: number, to: Point }} Flight `to` in CSS pixels
 * @typedef {{ name: string, x: number, y: number, from: number }} Label
 */

export class Overlay {
  #glass;
  #viewport;
  /** Only to measure words. */
  #ruler = context2d(document.createElement('canvas'));
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
  #lines = INK;
  #ink = INK;
  #paper = PAPER;
  #font = '14px sans-serif';

  /** @param {HTMLElement} place @param {Viewport} viewport */
  constructor(place, viewport) {
    this.#glass = new Glass(place, viewport);
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

  /** What was drawn is lost. */
  renew() {
    this.#stale = true;
    this.#glass.renew();
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
    const rings = this.#movements.reduce((count, { kind }) => count + (kind === 'ring' ? 1 : 0), 0);
    if (rings < RINGS_MAX || name !== '') this.#move({ kind: 'ring', x, y, color, from: now });
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
    if (!this.#stale && !moves) return false;
    this.#stale = false;
    this.#glass.begin();
    this.#movements = this.#movements.filter(({ kind, from }) => now - from < lasts(kind));
    for (const [name, { from }] of this.#labels) if (now - from >= NAME_MS) this.#labels.delete(name);
    this.#drawGrid();
    if (this.#ghost !== null) this.#drawBreath(this.#ghost, now);
    if (this.#hover !== null) this.#drawGhost(this.#hover);
    for (const movement of this.#movements) this.#drawMovement(movement, now);
    for (const label of this.#labels.values()) this.#drawLabel(label, now);
    if (this.#cursor !== null) this.#drawCursor(this.#cursor);
    this.#glass.finish();
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
    const { scale, board, device: { left, top, scale: cell } } = this.#viewport;
    if (scale < (this.#empty ? EMPTY_GRID_SCALE_MIN : GRID_SCALE_MIN)) return;
    const width = this.#device(0.5);
    const alpha = this.#empty ? 0.14 : Math.min(0.4, 0.08 + (scale - GRID_SCALE_MIN) / 50);
    this.#glass.draw(board, (context, pane) => {
      const [from, to] = [Math.max(pane.left, board.left), Math.min(pane.right, board.right)];
      const [above, below] = [Math.max(pane.top, board.top), Math.min(pane.bottom, board.bottom)];
      const first = (/** @type {number} */ device) => Math.max(1, Math.floor(device / cell));
      context.globalAlpha = alpha;
      context.fillStyle = this.#empty ? this.#lines : GRID;
      // The board has no line at its own edge.
      for (let column = first(from - left); left + column * cell < Math.min(to, board.right - 0.5); column += 1) {
        context.fillRect(left + Math.round(column * cell), above, width, below - above);
      }
      for (let row = first(above - top); top + row * cell < Math.min(below, board.bottom - 0.5); row += 1) {
        context.fillRect(from, top + Math.round(row * cell), to - from, width);
      }
      context.globalAlpha = 1;
    });
  }

  /** @param {Point} cell @param {number} now */
  #drawBreath({ x, y }, now) {
    const box = this.#viewport.cell(x, y);
    const breath = this.#still ? 0.5 : (1 - Math.cos((now / BREATH_MS) * 2 * Math.PI)) / 2;
    this.#glass.draw(box, (context) => {
      fill(context, box, hex(this.#chosen), 0.25 + 0.75 * breath);
      this.#outline(context, box, 2, this.#lines);
    });
  }

  /** @param {Point} cell */
  #drawGhost({ x, y }) {
    const cell = this.#viewport.cell(x, y);
    const least = this.#device(GHOST_PIXELS_MIN);
    const box = grown(cell, Math.max(0, Math.ceil((least - (cell.right - cell.left)) / 2)));
    const outer = grown(box, this.#device(2));
    this.#glass.draw(outer, (context) => {
      if (this.#ready) fill(context, box, hex(this.#chosen), GHOST_ALPHA);
      this.#outline(context, box, 2, INK);
      this.#outline(context, outer, 1, PAPER);
    });
  }

  /** @param {Point} cell */
  #drawCursor({ x, y }) {
    const cell = this.#viewport.cell(x, y);
    const around = (/** @type {number} */ pixels) => grown(cell, Math.round(pixels * this.#viewport.ratio));
    this.#glass.draw(around(6), (context) => {
      this.#outline(context, around(6), 2, PAPER);
      this.#outline(context, around(4), 4, INK);
      this.#outline(context, cell, 1, PAPER);
    });
  }

  /** A frame whose outer edge is given. @param {CanvasRenderingContext2D} context @param {Box} box @param {number} pixels @param {string} color */
  #outline(context, { left, top, right, bottom }, pixels, color) {
    const width = this.#device(pixels);
    context.fillStyle = color;
    context.fillRect(left, top, right - left, width);
    context.fillRect(left, bottom - width, right - left, width);
    context.fillRect(left, top + width, width, bottom - top - 2 * width);
    context.fillRect(right - width, top + width, width, bottom - top - 2 * width);
  }

  /** @param {CellMovement | Flight} movement @param {number} now */
  #drawMovement(movement, now) {
    const cell = this.#viewport.cell(movement.x, movement.y);
    const part = Math.min(1, Math.max(0, (now - movement.from) / lasts(movement.kind)));
    if (movement.kind === 'press') {
      const up = Math.round(this.#device(6) * (1 - part));
      const raised = { left: cell.left - up, top: cell.top - up, right: cell.right - up, bottom: cell.bottom - up };
      this.#glass.draw({ ...cell, left: raised.left, top: raised.top }, (context) => {
        fill(context, cell, INK);
        fill(context, raised, hex(movement.color));
      });
    } else if (movement.kind === 'ring') {
      const way = this.#device(RING_FAR_PIXELS - RING_NEAR_PIXELS) * (this.#still ? 0.4 : part);
      const ring = grown(cell, Math.round(way) + this.#device(RING_NEAR_PIXELS));
      this.#glass.draw(ring, (context) => {
        context.globalAlpha = this.#still ? 1 : 1 - part * part;
        this.#outline(context, ring, RING_LINE_PIXELS, INK);
        this.#outline(context, ring, RING_LINE_PIXELS - 1, hex(movement.color));
        context.globalAlpha = 1;
      });
    } else if (movement.to !== undefined) {
      const ease = part * part;
      const size = Math.max(cell.right - cell.left, this.#device(10));
      const [fromX, fromY] = [(cell.left + cell.right) / 2, (cell.top + cell.bottom) / 2];
      const left = Math.round(fromX + (movement.to.x * this.#viewport.ratio - fromX) * ease - size / 2);
      const top = Math.round(fromY + (movement.to.y * this.#viewport.ratio - fromY) * ease - size / 2);
      const box = { left, top, right: left + size, bottom: top + size };
      this.#glass.draw(box, (context) => {
        fill(context, box, hex(movement.color));
        this.#outline(context, box, 2, this.#ink);
      });
    }
  }

  /** @param {Label} label @param {number} now */
  #drawLabel({ name, x, y, from }, now) {
    const { ratio } = this.#viewport;
    const { right, top } = this.#viewport.cell(x, y);
    this.#ruler.font = this.#font;
    const width = Math.ceil(this.#ruler.measureText(name).width) + 12;
    const atX = Math.round(Math.min(right / ratio + 4, this.#glass.size.width / ratio - width - 8));
    const atY = Math.round(Math.max(top / ratio - 26, 4));
    const box = { left: atX * ratio, top: atY * ratio, right: (atX + width) * ratio, bottom: (atY + 24) * ratio };
    this.#glass.draw(box, (context) => {
      context.save();
      context.globalAlpha = Math.min(1, (NAME_MS - (now - from)) / NAME_FADE_MS);
      context.scale(ratio, ratio);
      context.font = this.#font;
      context.textBaseline = 'middle';
      context.fillStyle = this.#ink;
      context.fillRect(atX, atY, width, 24);
      context.fillStyle = this.#paper;
      context.fillText(name, atX + 6, atY + 13);
      context.restore();
    });
  }
}

/** @param {CanvasRenderingContext2D} context @param {Box} box @param {string} color @param {number} [alpha] */
function fill(context, { left, top, right, bottom }, color, alpha = 1) {
  context.globalAlpha = alpha;
  context.fillStyle = color;
  context.fillRect(left, top, right - left, bottom - top);
  context.globalAlpha = 1;
}

/** @param {Box} box @param {number} by device pixels @returns {Box} */
function grown({ left, top, right, bottom }, by) {
  return { left: left - by, top: top - by, right: right + by, bottom: bottom + by };
}

/** @param {'press' | 'ring' | 'flight'} kind */
function lasts(kind) {
  return kind === 'press' ? PRESS_MS : kind === 'ring' ? RING_MS : FLIGHT_MS;
}
