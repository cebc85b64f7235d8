/** What most visits do without: its files are loaded when it is asked for, and it hears then what happens. */

/**
 * What a part sees of the page, and may do there.
 * @typedef {object} Table
 * @property {string} canvasId
 * @property {string} api where the canvas' API is
 * @property {HTMLCanvasElement} board
 * @property {import('./viewport.js').Viewport} viewport
 * @property {import('./palette.js').PaletteBar} palette
 * @property {() => Pick<import('./protocol.js').Hello, 'width' | 'height' | 'palette'> | null} rules
 * @property {(x: number, y: number) => number | undefined} colorAt a cell's colour, where it is known
 * @property {() => number} now the server's Unix milliseconds
 * @property {(sentence: string) => void} remark says and announces a sentence in passing
 * @property {(sentence: string) => void} announce says it to those who listen alone
 * @property {(cell: Point, sentence: string) => void} describe says what the cursor's cell is
 * @property {(bytes: ArrayBuffer) => boolean} send
 * @property {(x: number, y: number) => number | undefined} valueAt what a cell shows, where it is known
 * @property {(value: number) => number} color that a value stands for
 * @property {(color: number) => number | undefined} indexOf a colour's place among those on offer
 * @property {() => Point} cursor where one is: the keyboard's cell, or the middle
 * @property {(cell: Point, scale: number) => void} go looks at a cell from at least this close, the cursor on it
 * @property {(by: Point, at: Point, factor: number) => void} pinch moves and zooms the board
 * @property {() => void} want the chunks that parts want have changed
 */

/**
 * What a part wants to hear of.
 * @typedef {object} Part
 * @property {(message: import('./protocol.js').FromServer) => void} [heard]
 * @property {() => void} [moved] the board is seen from elsewhere
 * @property {() => void} [renewed] pictures were lost and are drawn anew
 * @property {(cell: Point) => void} [stepped] the keyboard's cursor is there now
 * @property {(key: number) => void} [changed] cells of a chunk show something else
 * @property {Iterable<number>} [chunks] that are to be held besides those in view
 */

/** @typedef {{ x: number, y: number }} Point */

/** @typedef {{ open: (table: Table) => Part | Promise<Part> }} Module */

export class More {
  #table;
  #failed;
  /** @type {Set<Part>} */
  #parts = new Set();

  /** @param {Table} table @param {() => void} failed a part could not be loaded */
  constructor(table, failed) {
    this.#table = table;
    this.#failed = failed;
  }

  /** Whether it opened. @param {() => Promise<Module>} load @param {boolean} asked somebody waits for it, and is told when it does not come */
  async open(load, asked = true) {
    try {
      this.#parts.add(await (await load()).open(this.#table));
      return true;
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
      if (asked) this.#failed(); // No connection, or a server of another version by now.
      return false;
    }
  }

  /** @param {import('./protocol.js').FromServer} message */
  heard(message) {
    for (const part of this.#parts) part.heard?.(message);
  }

  moved() {
    for (const part of this.#parts) part.moved?.();
  }

  renewed() {
    for (const part of this.#parts) part.renewed?.();
  }

  /** @param {number} key of a chunk */
  changed(key) {
    for (const part of this.#parts) part.changed?.(key);
  }

  /** Chunks that parts want held. */
  get chunks() {
    return [...this.#parts].flatMap((part) => [...part.chunks ?? []]);
  }

  /** @param {Point} cell */
  stepped(cell) {
    for (const part of this.#parts) part.stepped?.(cell);
  }
}
