/** Says what to do on an empty canvas: on the sheet where it has room, beside it where it has not. */

import { isLight } from './inks.js';
import { letter } from './lettering.js';
import { texts } from './texts.js';

/** The widest it gets, in CSS pixels. */
const WIDTH_MAX = 432;
/** The part of the sheet's, or of the window's, width that it takes at most. */
const WIDTH_PART = 0.72;
/** Its squares on the sheet are at least so large that they can be read, in CSS pixels. */
const SQUARE_MIN = 2;
/** What it keeps away from the pixel above it, and from the sheet. */
const GAP = 24;
/** Rows of squares, as letters have. */
const ROWS = 5;

/** @typedef {{ left: number, top: number, right: number, bottom: number }} Box CSS pixels */
/** @typedef {{ left: number, top: number, width: number, onSheet: boolean }} Place */

/**
 * Where it stands. @param {Box} sheet @param {{ x: number, y: number }} ghost where the one pixel is @param {{ width: number, height: number }} view
 * the free part of the window @param {number} squares how many it is wide
 * @returns {Place | null} `null`: there is no room
 */
export function hintPlace(sheet, ghost, view, squares) {
  const square = (/** @type {number} */ across) => Math.floor(Math.min(across * WIDTH_PART, WIDTH_MAX) / squares);
  const top = Math.round(ghost.y + GAP);
  const inside = square(sheet.right - sheet.left);
  if (inside >= SQUARE_MIN && top + ROWS * inside + GAP / 2 <= sheet.bottom) {
    return { left: Math.round(ghost.x - inside * squares / 2), top, width: inside * squares, onSheet: true };
  }
  const outside = Math.max(SQUARE_MIN, square(view.width));
  const [width, height] = [outside * squares, outside * ROWS];
  const below = Math.round(sheet.bottom + GAP);
  if (width > view.width) return null;
  if (below + height <= view.height) return { left: Math.round(Math.max(8, ghost.x - width / 2)), top: below, width, onSheet: false };
  const beside = Math.max(SQUARE_MIN, square(view.width - sheet.right)) * squares;
  const left = Math.round(sheet.right + GAP);
  return left + beside > view.width ? null : { left, top: Math.round(ghost.y - height / 2), width: beside, onSheet: false };
}

export class Hint {
  #place;
  #squares;

  /** @param {HTMLElement} place @param {SVGSVGElement} words */
  constructor(place, words) {
    this.#place = place;
    this.#squares = letter(words, [texts.hint], []);
  }

  hide() {
    this.#place.hidden = true;
  }

  /** @param {Box} sheet @param {{ x: number, y: number }} ghost @param {{ width: number, height: number }} view @param {number} background a colour */
  show(sheet, ghost, view, background) {
    const place = hintPlace(sheet, ghost, view, this.#squares);
    this.#place.hidden = place === null;
    if (place === null) return;
    const { left, top, width, onSheet } = place;
    this.#place.dataset.on = !onSheet ? 'table' : isLight(background) ? 'light' : 'dark';
    this.#place.style.width = `${width}px`;
    this.#place.style.transform = `translate(${left}px, ${top}px)`;
  }
}
