/** The ink blocks at the bottom: one is chosen, and raised. */

import { INKS, hex, nearPaper } from './inks.js';
import { colorName, texts } from './texts.js';

/** Free colours that are remembered. */
const RECENT_COLORS_MAX = 4;
/** Side of an ink block, in CSS pixels. */
const BLOCK_PIXELS = 48;
/** A block is narrower where all of them fit then; a thumb still hits it. */
const BLOCK_PIXELS_MIN = 44;
/** Rows of blocks at a desk, one for so many CSS pixels of the window's height; more colours than they hold are scrolled to. */
const DESK_ROWS_MAX = 3;
const DESK_ROW_HEIGHT = 300;
/** Rows of blocks in the hand. */
const HAND_ROWS_MAX = 2;
/** Blocks in one row of a hand's palette at most; of one that scrolls the last is seen in half. */
const HAND_COLUMNS_MAX = 8;
/** Arrow keys, and which way they go among the blocks. */
const WAYS = new Map([['ArrowLeft', -1], ['ArrowUp', -1], ['ArrowRight', 1], ['ArrowDown', 1]]);

/**
 * How many columns and rows so many blocks take, and how wide a column is.
 * @param {number} count @param {import('./geometry.js').Size} room the width that there is, the height of the window, in CSS pixels
 * @param {boolean} inHand
 * @returns {{ columns: number, rows: number, columnPixels: number, scrolls: boolean }}
 */
export function arrangement(count, { width, height }, inHand) {
  if (inHand) {
    const most = Math.max(1, Math.min(HAND_COLUMNS_MAX, Math.floor(width / BLOCK_PIXELS_MIN)));
    const scrolls = count > most * HAND_ROWS_MAX;
    const columns = scrolls ? Math.ceil(count / HAND_ROWS_MAX) : Math.min(count, most);
    return { columns, rows: Math.ceil(count / columns), columnPixels: width / (scrolls ? most - 0.5 : columns), scrolls };
  }
  const most = Math.max(1, Math.floor(width / BLOCK_PIXELS));
  const rowsMax = Math.max(1, Math.min(DESK_ROWS_MAX, Math.floor(height / DESK_ROW_HEIGHT)));
  const rows = Math.min(rowsMax, Math.ceil(count / most));
  const columns = Math.ceil(count / rows);
  const fitting = Math.min(BLOCK_PIXELS, Math.floor(width / columns));
  const scrolls = fitting < BLOCK_PIXELS_MIN;
  return { columns, rows, columnPixels: scrolls ? BLOCK_PIXELS : fitting, scrolls };
}

/** @typedef {{ load: () => number[], save: (colors: number[]) => void }} Recent */

export class PaletteBar {
  #blocks;
  #picker;
  #pickerBlock;
  #recentRow;
  #recent;
  #chosen;
  #picked;
  #arranged = '';
  /** @type {number[]} */
  #colors = [];
  #color = 0;

  /**
   * @param {{ blocks: HTMLElement, picker: HTMLInputElement, pickerBlock: HTMLElement, recentRow: HTMLElement }} parts
   * @param {Recent} recent @param {(color: number) => void} chosen
   * @param {() => void} picked with a pointer: the hand goes back to the board, and so does the keyboard
   */
  constructor({ blocks, picker, pickerBlock, recentRow }, recent, chosen, picked) {
    this.#blocks = blocks;
    this.#picker = picker;
    this.#pickerBlock = pickerBlock;
    this.#recentRow = recentRow;
    this.#recent = recent;
    this.#chosen = chosen;
    this.#picked = picked;
    blocks.addEventListener('keydown', (event) => this.#key(event));
    recentRow.addEventListener('keydown', (event) => this.#recentKey(event));
    picker.addEventListener('input', () => this.choose(Number.parseInt(picker.value.slice(1), 16)));
    blocks.addEventListener('wheel', (event) => {
      // A mouse has one wheel.
      if (event.deltaX === 0) blocks.scrollLeft += event.deltaY;
    }, { passive: true });
    picker.addEventListener('change', () => this.#remember(Number.parseInt(picker.value.slice(1), 16)));
  }

  get color() {
    return this.#color;
  }

  /** Those on offer. */
  get colors() {
    return this.#colors;
  }

  /** A colour's place among those on offer. @param {number} color */
  indexOf(color) {
    const index = this.#colors.indexOf(color);
    return index < 0 ? undefined : index;
  }

  /** Where the chosen block is, for what flies back to it. */
  get home() {
    const { left, top, width, height } = (this.#blocks.querySelector('[aria-checked=true]') ?? this.#pickerBlock).getBoundingClientRect();
    return { x: left + width / 2, y: top + height / 2 };
  }

  /** The colours on offer. @param {number[]} palette none: any colour */
  offer(palette) {
    const free = palette.length === 0;
    this.#colors = free ? INKS.map(([color]) => color) : [...palette];
    this.#pickerBlock.hidden = !free;
    this.#blocks.replaceChildren(...this.#colors.map((color, index) => this.#block(color, free ? INKS[index][1] : colorName(hex(color)), index)));
    this.#blocks.append(this.#pickerBlock);
    this.#showRecent(free ? this.#recent.load() : []);
    this.#show();
  }

  /** Lays the blocks out. @param {import('./geometry.js').Size} room @param {boolean} inHand */
  arrange(room, inHand) {
    const count = this.#colors.length + (this.#pickerBlock.hidden ? 0 : 1);
    const { columns, rows, columnPixels, scrolls } = arrangement(count, room, inHand);
    this.#blocks.style.setProperty('--columns', String(columns));
    this.#blocks.style.setProperty('--rows', String(rows));
    this.#blocks.style.setProperty('--column', `${columnPixels}px`);
    this.#blocks.classList.toggle('scrolls', scrolls);
    // Half a block at the end shows that there are more.
    const half = (Math.floor(room.width / BLOCK_PIXELS - 0.5) + 0.5) * BLOCK_PIXELS;
    this.#blocks.style.maxWidth = scrolls && !inHand ? `${half}px` : '';
    const arranged = `${columns} ${columnPixels}`;
    if (arranged !== this.#arranged) this.#blocks.querySelector('[aria-checked=true]')?.scrollIntoView({ block: 'nearest', inline: 'nearest' });
    this.#arranged = arranged;
  }

  /** @param {number} color */
  choose(color) {
    this.#color = color;
    this.#show();
    this.#chosen(color);
  }

  /** @param {number} index */
  chooseAt(index) {
    if (index < this.#colors.length) this.choose(this.#colors[index]);
  }

  /** @param {number} by */
  step(by) {
    const index = this.#colors.indexOf(this.#color);
    const next = index < 0 ? 0 : (index + by + this.#colors.length) % this.#colors.length;
    this.choose(this.#colors[next]);
  }

  /** A colour taken from the board, which may be none of those on offer. @param {number} color */
  take(color) {
    if (!this.#colors.includes(color) && !this.#pickerBlock.hidden) this.#remember(color);
    this.choose(color);
  }

  /** @param {number} color @param {string} name @param {number} index */
  #block(color, name, index) {
    const block = document.createElement('button');
    block.type = 'button';
    block.className = 'ink';
    block.setAttribute('role', 'radio');
    block.style.backgroundColor = hex(color);
    block.dataset.color = hex(color);
    block.dataset.near = nearPaper(color);
    block.title = index < 10 ? `${name} (${(index + 1) % 10})` : name;
    block.setAttribute('aria-label', `${name}, ${hex(color)}`);
    block.addEventListener('click', ({ detail }) => {
      this.choose(color);
      if (detail > 0) this.#picked();
    });
    return block;
  }

  #show() {
    const known = this.#colors.includes(this.#color);
    for (const block of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll('.ink[data-color]'))) {
      const chosen = block.dataset.color === hex(this.#color);
      block.setAttribute('aria-checked', String(chosen));
      if (!this.#blocks.contains(block)) continue; // The recent ones are few: Tab goes to each.
      block.tabIndex = chosen ? 0 : -1;
      if (chosen) block.scrollIntoView({ block: 'nearest', inline: 'nearest' });
    }
    const first = this.#blocks.firstElementChild;
    if (!known && first instanceof HTMLElement) first.tabIndex = 0;
    this.#pickerBlock.classList.toggle('chosen', !known && !this.#pickerBlock.hidden);
    this.#pickerBlock.style.backgroundColor = known ? '' : hex(this.#color);
    if (!this.#pickerBlock.hidden) this.#picker.value = hex(this.#color).toLowerCase();
  }

  /** @param {number} color */
  #remember(color) {
    if (this.#colors.includes(color)) return;
    const colors = [color, ...this.#recent.load().filter((other) => other !== color)].slice(0, RECENT_COLORS_MAX);
    this.#recent.save(colors);
    this.#showRecent(colors);
    this.#show();
  }

  /** @param {number[]} colors */
  #showRecent(colors) {
    this.#recentRow.hidden = colors.length === 0;
    this.#recentRow.replaceChildren(...colors.map((color) => this.#block(color, `${texts.recent}, ${colorName(hex(color))}`, 10)));
    for (const block of this.#recentRow.children) if (block instanceof HTMLElement) block.tabIndex = 0;
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const by = WAYS.get(event.code);
    if (by === undefined || event.target === this.#picker) return;
    event.preventDefault();
    this.step(by);
    /** @type {HTMLElement | null} */ (this.#blocks.querySelector('[aria-checked=true]'))?.focus();
  }

  /** @param {KeyboardEvent} event */
  #recentKey(event) {
    const by = WAYS.get(event.code);
    const blocks = /** @type {HTMLElement[]} */ ([...this.#recentRow.children]);
    const index = blocks.findIndex((block) => block === event.target);
    if (by === undefined || index < 0) return;
    event.preventDefault();
    const next = blocks[(index + by + blocks.length) % blocks.length];
    next.click();
    next.focus();
  }
}
