/** Puts things in their places, in the hand and at a desk: what the board may take, and how many device pixels it has. */

const inHand = matchMedia('(max-width: 839px) and (min-height: 480px)');
/** A phone on its side: little height, so that what can go into the sheet goes there. */
const onItsSide = matchMedia('(max-height: 479px)');
/** Whether the recent colours have room beside the palette, and all blocks for undo and brush in one row. */
const roomy = matchMedia('(min-width: 1080px)');
/** What a desk's palette keeps away from the window's sides, and from what lies beside it. */
const DESK_EDGE_PIXELS = 24;
const DESK_GAP_PIXELS = 16;
/** Blocks beside it that stand in one row where there is little room. */
const SIDE_COLUMNS = 2;
/**
 * What is kept free above a hand's palette: two lines of words beside the blocks for undo, or above them where there are more
 * blocks. So the board stays where it is when words and blocks come and go.
 */
const [HAND_WORDS_PIXELS, HAND_TIMED_WORDS_PIXELS] = [64, 120];

/**
 * @typedef {object} Parts
 * @property {HTMLCanvasElement} board
 * @property {HTMLElement} header
 * @property {HTMLElement} status
 * @property {HTMLElement} tools
 * @property {HTMLElement} inks
 * @property {HTMLElement} side what lies beside the palette at a desk, and above it in the hand
 * @property {HTMLElement} nameField
 * @property {HTMLElement} namePlace where the name stands at a desk
 * @property {HTMLElement} sheetName where it stands in the hand
 * @property {HTMLElement} here where the map stands in the hand; at a desk it is below the sentence
 * @property {HTMLElement} map
 * @property {HTMLElement} recent
 * @property {HTMLElement} sheetRecent where the recent colours stand when there is no room beside the palette
 */

export class Layout {
  #parts;
  #viewport;
  #changed;
  #arrangePalette;
  /** The board's size in device pixels, where the browser tells. @type {ResizeObserverSize | undefined} */
  #devicePixels;

  /** @param {Parts} parts @param {import('./viewport.js').Viewport} viewport @param {(room: import('./geometry.js').Size, inHand: boolean) => void} arrangePalette @param {() => void} changed */
  constructor(parts, viewport, arrangePalette, changed) {
    this.#parts = parts;
    this.#viewport = viewport;
    this.#arrangePalette = arrangePalette;
    this.#changed = changed;
  }

  /** Keeps things in their places from now on. */
  start() {
    const board = new ResizeObserver(([{ devicePixelContentBoxSize }]) => {
      this.#devicePixels = devicePixelContentBoxSize?.[0];
      this.measure();
    });
    try {
      board.observe(this.#parts.board, { box: 'device-pixel-content-box' });
    } catch {
      board.observe(this.#parts.board); // This browser does not tell; its rounding is guessed.
    }
    const sizes = new ResizeObserver(() => this.measure());
    // What is beside the palette keeps its width at a desk; what lies in it comes and goes.
    for (const part of [this.#parts.tools, this.#parts.side, ...this.#parts.side.children]) sizes.observe(part);
    // The sentence is long or short, and the map is there or not.
    new ResizeObserver(() => this.#leaveRoomForStatus()).observe(this.#parts.status);
    for (const query of [inHand, onItsSide, roomy]) query.addEventListener('change', () => this.measure());
  }

  measure() {
    const { board, header, status, tools, inks } = this.#parts;
    this.#arrange();
    const ratio = devicePixelRatio;
    const { clientWidth: width, clientHeight: height } = board;
    const across = exact(this.#devicePixels?.inlineSize, width * ratio);
    const along = exact(this.#devicePixels?.blockSize, height * ratio);
    if (board.width !== across) board.width = across;
    if (board.height !== along) board.height = along;
    document.documentElement.style.setProperty('--tools-height', `${tools.offsetHeight}px`);
    document.documentElement.style.setProperty('--side-width', `${this.#parts.side.offsetWidth}px`);
    const above = header.getBoundingClientRect();
    const says = status.getBoundingClientRect();
    const [edge, air] = onItsSide.matches ? [16, 20] : [32, 24];
    const below = (/** @type {DOMRect} */ { top }) => height - top + air;
    if ('bare' in document.documentElement.dataset) {
      this.#viewport.resize({ width, height }, ratio, [{ top: 8, right: 16, bottom: 16, left: 8 }]);
    } else if (inHand.matches) {
      const words = document.body.classList.contains('timed') ? HAND_TIMED_WORDS_PIXELS : HAND_WORDS_PIXELS;
      const lowest = Math.min(says.top, tools.getBoundingClientRect().top - words);
      this.#viewport.resize({ width, height }, ratio, [{ top: above.bottom + 8, right: 8, bottom: height - lowest + 16, left: 2 }]);
    } else {
      const lane = Math.max(above.right, width - says.left) + 8;
      const [bar, row] = [tools.getBoundingClientRect(), inks.getBoundingClientRect()];
      // Between what is said, the blocks beside the palette may stand higher than it.
      const aside = row.left - DESK_GAP_PIXELS <= lane;
      this.#viewport.resize({ width, height }, ratio, [
        { top: edge, right: lane, bottom: below(aside ? row : bar), left: lane },
        { top: above.bottom + 16, right: 24, bottom: below(bar), left: 24 },
      ]);
    }
    this.#changed();
  }

  /** What lies beside the board keeps off what is said above it, or below it in the hand. */
  #leaveRoomForStatus() {
    const { style } = document.documentElement;
    style.setProperty('--status-height', `${this.#parts.status.offsetHeight}px`);
  }

  /** What the palette may take of the window's width: at a desk it stays in the middle. */
  #paletteWidth() {
    const { board, recent, side } = this.#parts;
    if (inHand.matches) return board.clientWidth;
    const blocks = [...side.children].map(({ clientWidth }) => clientWidth).filter((width) => width > 0);
    const sideWidth = blocks.slice(0, roomy.matches ? blocks.length : SIDE_COLUMNS).reduce((sum, width) => sum + width + DESK_GAP_PIXELS, 0);
    const recentWidth = roomy.matches && !recent.hidden ? recent.scrollWidth + DESK_GAP_PIXELS : 0;
    return board.clientWidth - 2 * (DESK_EDGE_PIXELS + Math.max(sideWidth, recentWidth, DESK_GAP_PIXELS));
  }

  #arrange() {
    const { nameField, namePlace, sheetName, recent, sheetRecent, tools, here, status, map } = this.#parts;
    const place = inHand.matches || onItsSide.matches ? sheetName : namePlace;
    if (nameField.parentElement !== place) place.append(nameField);
    const mapPlace = inHand.matches ? here : status;
    if (map.parentElement !== mapPlace) mapPlace.append(map);
    const row = roomy.matches ? tools : sheetRecent;
    if (recent.parentElement !== row) row.append(recent);
    this.#arrangePalette({ width: this.#paletteWidth(), height: this.#parts.board.clientHeight }, inHand.matches);
  }
}

/** A length in device pixels: as told, unless that cannot be meant (an emulated screen). @param {number | undefined} told @param {number} guessed */
function exact(told, guessed) {
  return told !== undefined && Math.abs(told - guessed) < 2 ? told : Math.round(guessed);
}
