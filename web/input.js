/** What hands do on the board — mouse, touch, pen, wheel, keyboard — turned into what they mean. */

import { line } from './geometry.js';

/** A press that moves less than this is a click. */
const CLICK_PIXELS_MAX = 5;
/** A press that is shorter than this is a click. */
const CLICK_MS_MAX = 500;
/** A finger that began to move waits this long for a second one before it paints. */
const SECOND_FINGER_MS = 80;
/** One press of a zoom key. */
const KEY_ZOOM = 1.25;
/** How fast held keys pan, in CSS pixels a second. */
const KEY_PAN_PIXELS_PER_S = 900;
/** A wheel's pixel of travel zooms by e to this. */
const WHEEL_ZOOM = 0.0016;
/** A wheel that counts in lines: pixels of one. */
const WHEEL_LINE_PIXELS = 32;
/** What is left of the speed of a thrown board after a second. */
const GLIDE_LEFT = 0.004;
/** Slower than this a thrown board rests, in CSS pixels a ms. */
const GLIDE_REST = 0.02;
/** Arrow keys with Shift take steps of this many cells. */
const LONG_STEP_CELLS = 8;
/** Signs, and the keys that they are on elsewhere. */
const SIGNS = new Map([['+', 'NumpadAdd'], ['=', 'NumpadAdd'], ['-', 'NumpadSubtract']]);

/**
 * @typedef {{ x: number, y: number }} Point
 * @typedef {object} Meaning what the page does about it; points are CSS pixels, cells are cells
 * @property {(cells: Point[], stroke: boolean) => void} paint
 * @property {() => void} strokeEnd
 * @property {(point: Point) => Point} cellAt
 * @property {(dx: number, dy: number) => void} pan
 * @property {(point: Point, factor: number) => void} zoom
 * @property {(point: Point | null) => void} hover
 * @property {(dx: number, dy: number) => void} step the cell cursor
 * @property {() => void} paintAtCursor
 * @property {(cell: Point) => void} take the colour of a cell
 * @property {(step: number) => void} cycle through the colours
 * @property {(index: number) => void} choose a colour by its number
 * @property {() => void} fit
 * @property {() => void} undo
 * @property {() => void} redo
 * @property {() => void} keys show what the keys do
 * @property {() => Point} pointer where zoom keys zoom
 * @property {() => void} turnBrush take the brush up or put it down
 * @property {() => boolean} brush whether a drag paints
 * @property {() => boolean} still whether nothing is to move by itself
 * @property {() => void} moved something changed that the next frame shows
 */

/** @typedef {{ id: number, kind: string, button: number, start: Point, last: Point, cell: Point, at: number, far: boolean, mode: 'undecided' | 'paint' | 'pan' }} Press */

export class Input {
  #canvas;
  #mean;
  /** @type {Map<number, Press>} */
  #presses = new Map();
  #held = new Set();
  #space = false;
  /** It was held while the board was pressed: letting go of it paints nothing. */
  #spaceSpent = false;
  /** CSS pixels a ms. */
  #glide = { x: 0, y: 0, on: false };
  #lastMoveAt = 0;
  /** Cells that a finger went over before it was clear that it paints. @type {Point[]} */
  #path = [];

  /** @param {HTMLCanvasElement} canvas @param {Meaning} mean */
  constructor(canvas, mean) {
    this.#canvas = canvas;
    this.#mean = mean;
    canvas.addEventListener('pointerdown', (event) => this.#down(event));
    canvas.addEventListener('pointermove', (event) => this.#move(event));
    canvas.addEventListener('pointerup', (event) => this.#up(event, true));
    canvas.addEventListener('pointercancel', (event) => this.#up(event, false));
    canvas.addEventListener('pointerleave', () => mean.hover(null));
    canvas.addEventListener('contextmenu', (event) => event.preventDefault());
    canvas.addEventListener('auxclick', (event) => event.preventDefault());
    canvas.addEventListener('wheel', (event) => this.#wheel(event), { passive: false });
    canvas.addEventListener('keydown', (event) => this.#keyDown(event));
    canvas.addEventListener('keyup', (event) => this.#keyUp(event));
    canvas.addEventListener('blur', () => this.#letGo());
  }

  /** Goes on with what goes on by itself; true while it does. @param {number} ms since the last frame */
  frame(ms) {
    const way = KEY_PAN_PIXELS_PER_S * ms / 1_000;
    const across = Number(this.#held.has('KeyA')) - Number(this.#held.has('KeyD'));
    const along = Number(this.#held.has('KeyW')) - Number(this.#held.has('KeyS'));
    if (across !== 0 || along !== 0) this.#mean.pan(across * way, along * way);
    if (this.#glide.on) {
      this.#mean.pan(this.#glide.x * ms, this.#glide.y * ms);
      const left = GLIDE_LEFT ** (ms / 1_000);
      this.#glide.x *= left;
      this.#glide.y *= left;
      this.#glide.on = Math.hypot(this.#glide.x, this.#glide.y) > GLIDE_REST;
    }
    return this.#glide.on || across !== 0 || along !== 0;
  }

  /** A thrown board stops here. */
  rest() {
    this.#glide.on = false;
  }

  /** @param {PointerEvent} event */
  #down(event) {
    this.#canvas.focus({ preventScroll: true });
    this.#canvas.setPointerCapture(event.pointerId);
    this.#glide.on = false;
    const point = at(event);
    const press = {
      id: event.pointerId, kind: event.pointerType, button: event.button, start: point, last: point, cell: this.#mean.cellAt(point),
      at: event.timeStamp, far: false, mode: /** @type {Press['mode']} */ ('undecided'),
    };
    this.#presses.set(press.id, press);
    if (this.#presses.size > 1) {
      // A second finger: both move the board, and what the first began is over.
      for (const one of this.#presses.values()) {
        if (one.mode === 'paint') this.#mean.strokeEnd();
        one.mode = 'pan';
        one.far = true;
      }
      this.#path = [];
      return;
    }
    const brush = this.#mean.brush() || event.shiftKey;
    if (press.button !== 0) press.mode = 'pan';
    else if (this.#space) {
      press.mode = 'pan';
      this.#spaceSpent = true;
    }
    else if (!brush) press.mode = 'pan';
    else if (press.kind === 'touch') this.#path = [this.#mean.cellAt(point)];
    else {
      press.mode = 'paint';
      this.#mean.paint([this.#mean.cellAt(point)], true);
    }
    if (press.kind !== 'mouse') this.#mean.hover(null);
  }

  /** @param {PointerEvent} event */
  #move(event) {
    const press = this.#presses.get(event.pointerId);
    if (press === undefined) {
      if (event.pointerType !== 'touch') this.#mean.hover(at(event));
      return;
    }
    if (press.kind === 'mouse' && press.button === 0 && (event.buttons & 1) === 0) {
      this.#up(event, true); // Another button is still down: the browser tells of it so.
      return;
    }
    const point = at(event);
    if (Math.hypot(point.x - press.start.x, point.y - press.start.y) >= CLICK_PIXELS_MAX) press.far = true;
    if (this.#presses.size > 1) this.#pinch(press, point, event);
    else if (press.mode === 'pan') this.#drag(press, point, event);
    else this.#stroke(press, event);
    press.last = point;
    if (event.pointerType !== 'touch') this.#mean.hover(point);
  }

  /** @param {Press} press @param {Point} point @param {PointerEvent} event */
  #pinch(press, point, event) {
    const other = [...this.#presses.values()].find((one) => one !== press);
    if (other === undefined) return;
    const middle = (/** @type {Point} */ a) => ({ x: (a.x + other.last.x) / 2, y: (a.y + other.last.y) / 2 });
    const apart = (/** @type {Point} */ a) => Math.hypot(a.x - other.last.x, a.y - other.last.y);
    const [before, after] = [middle(press.last), middle(point)];
    this.#swing(after.x - before.x, after.y - before.y, event.timeStamp);
    if (apart(press.last) > 0 && apart(point) > 0) this.#mean.zoom(after, apart(point) / apart(press.last));
  }

  /** @param {Press} press @param {Point} point @param {PointerEvent} event */
  #drag(press, point, event) {
    if (!press.far) return;
    this.#swing(point.x - press.last.x, point.y - press.last.y, event.timeStamp);
  }

  /** Moves the board, and remembers how fast, should it be thrown. @param {number} dx @param {number} dy @param {number} now ms */
  #swing(dx, dy, now) {
    this.#mean.pan(dx, dy);
    const ms = Math.max(1, now - this.#lastMoveAt);
    this.#lastMoveAt = now;
    // The speed is a mean over some 50 ms, so that one late event throws nothing.
    const weight = Math.min(1, ms / 50);
    this.#glide.x += (dx / ms - this.#glide.x) * weight;
    this.#glide.y += (dy / ms - this.#glide.y) * weight;
  }

  /** @param {Press} press @param {PointerEvent} event */
  #stroke(press, event) {
    const events = event.getCoalescedEvents?.() ?? [];
    const cells = [];
    for (const one of events.length > 0 ? events : [event]) {
      const to = this.#mean.cellAt(at(one));
      if (to.x === press.cell.x && to.y === press.cell.y) continue;
      cells.push(...line(press.cell, to).slice(1));
      press.cell = to;
    }
    if (press.mode === 'paint') {
      if (cells.length > 0) this.#mean.paint(cells, true);
      return;
    }
    this.#path.push(...cells);
    if (press.far && event.timeStamp - press.at >= SECOND_FINGER_MS) {
      press.mode = 'paint';
      this.#mean.paint(this.#path, true);
      this.#path = [];
    }
  }

  /** @param {PointerEvent} event @param {boolean} meant false when the system took the pointer away */
  #up(event, meant) {
    const press = this.#presses.get(event.pointerId);
    if (press === undefined) return;
    this.#presses.delete(event.pointerId);
    const click = meant && !press.far && event.timeStamp - press.at < CLICK_MS_MAX;
    const cell = this.#mean.cellAt(at(event));
    if (press.mode === 'paint') {
      this.#mean.strokeEnd();
    } else if (press.mode === 'undecided') {
      if (meant) {
        this.#mean.paint(this.#path.length > 0 ? this.#path : [cell], true);
        this.#mean.strokeEnd();
      }
      this.#path = [];
    } else if (click && press.button === 0 && !this.#space) {
      this.#mean.paint([cell], false);
      this.#mean.strokeEnd();
    } else if (click && press.button === 1) {
      this.#mean.take(cell);
    } else if (this.#presses.size === 0 && press.far) {
      const fresh = event.timeStamp - this.#lastMoveAt < 60;
      this.#glide.on = fresh && !this.#mean.still() && Math.hypot(this.#glide.x, this.#glide.y) > GLIDE_REST * 10;
      if (this.#glide.on) this.#mean.moved();
    }
    if (this.#presses.size === 0 && !this.#glide.on) [this.#glide.x, this.#glide.y] = [0, 0];
  }

  /** @param {WheelEvent} event */
  #wheel(event) {
    event.preventDefault();
    this.#glide.on = false;
    const pixels = event.deltaMode === 0 ? event.deltaY : event.deltaY * WHEEL_LINE_PIXELS;
    // A pinch on a trackpad comes as a wheel with Ctrl, in small steps.
    const factor = Math.exp(-Math.max(-240, Math.min(240, pixels)) * WHEEL_ZOOM * (event.ctrlKey ? 6 : 1));
    this.#mean.zoom(at(event), factor);
  }

  /** @param {KeyboardEvent} event */
  #keyDown(event) {
    if (event.altKey) return;
    if (event.ctrlKey || event.metaKey) {
      if (!isZ(event)) return;
      event.preventDefault();
      if (event.shiftKey) this.#mean.redo();
      else this.#mean.undo();
      return;
    }
    if (event.key === '?') this.#mean.keys();
    else if (!this.#key(event)) return;
    event.preventDefault();
  }

  /** Letters by their place on the keyboard, signs by what is printed there. @param {KeyboardEvent} event @returns {boolean} whether it means something */
  #key(event) {
    const mean = this.#mean;
    const cells = event.shiftKey ? LONG_STEP_CELLS : 1;
    const digit = event.shiftKey ? undefined : /^Digit(?<digit>\d)$/u.exec(event.code)?.groups?.digit;
    if (digit !== undefined) {
      mean.choose((Number(digit) + 9) % 10);
      return true;
    }
    switch (SIGNS.get(event.key) ?? event.code) {
      case 'ArrowLeft': mean.step(-cells, 0); return true;
      case 'ArrowRight': mean.step(cells, 0); return true;
      case 'ArrowUp': mean.step(0, -cells); return true;
      case 'ArrowDown': mean.step(0, cells); return true;
      case 'Enter':
      case 'NumpadEnter':
        if (!event.repeat) mean.paintAtCursor();
        return true;
      case 'Space':
        if (!event.repeat) [this.#space, this.#spaceSpent] = [true, this.#presses.size > 0];
        return true;
      case 'KeyW':
      case 'KeyA':
      case 'KeyS':
      case 'KeyD':
        this.#held.add(event.code);
        mean.moved();
        return true;
      case 'KeyE':
      case 'Equal':
      case 'NumpadAdd': mean.zoom(mean.pointer(), KEY_ZOOM); return true;
      case 'KeyQ':
      case 'Minus':
      case 'NumpadSubtract': mean.zoom(mean.pointer(), 1 / KEY_ZOOM); return true;
      case 'KeyF':
      case 'Home': mean.fit(); return true;
      case 'KeyJ': mean.cycle(-1); return true;
      case 'KeyK': mean.cycle(1); return true;
      case 'KeyB': mean.turnBrush(); return true;
      case 'KeyI': mean.take(mean.cellAt(mean.pointer())); return true;
      default: return false;
    }
  }

  /** @param {KeyboardEvent} event */
  #keyUp(event) {
    this.#held.delete(event.code);
    if (event.code !== 'Space' || !this.#space) return;
    event.preventDefault();
    this.#space = false;
    if (!this.#spaceSpent) this.#mean.paintAtCursor();
  }

  /** The keyboard is somewhere else now. */
  #letGo() {
    this.#held.clear();
    this.#space = false;
  }
}

/** Whether a shortcut's letter is Z: as it is printed; by its place where none of the Latin letters is. @param {KeyboardEvent} event */
function isZ({ key, code }) {
  const letter = key.toLowerCase();
  return letter === 'z' || (code === 'KeyZ' && !/^[a-z]$/u.test(letter));
}

/** Where an event happened, in the board's CSS pixels: it begins at the window's corner. @param {MouseEvent} event @returns {Point} */
function at(event) {
  return { x: event.clientX, y: event.clientY };
}
