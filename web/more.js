/** What most visits do without: its files are loaded when it is asked for, and it hears then what happens. */

/**
 * What a part sees of the page, and may do there.
 * @typedef {object} Table
 * @property {string} canvasId
 * @property {string} api where the canvas' API is
 * @property {HTMLCanvasElement} board
 * @property {import('./viewport.js').Viewport} viewport
 * @property {import('./palette.js').PaletteBar} palette
 * @property {() => import('./protocol.js').Hello | null} rules
 * @property {(x: number, y: number) => number | undefined} colorAt a cell's colour, where it is known
 * @property {() => number} now the server's Unix milliseconds
 * @property {(sentence: string) => void} remark says and announces a sentence in passing
 * @property {(sentence: string) => void} announce says it to those who listen alone
 * @property {(bytes: ArrayBuffer) => boolean} send
 */

/**
 * What a part wants to hear of.
 * @typedef {object} Part
 * @property {(message: import('./protocol.js').FromServer) => void} [heard]
 * @property {() => void} [moved] the board is seen from elsewhere
 * @property {(cell: { x: number, y: number }) => void} [stepped] the keyboard's cursor is there now
 */

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

  /** @param {() => Promise<Module>} load */
  async open(load) {
    try {
      this.#parts.add(await (await load()).open(this.#table));
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
      this.#failed(); // No connection, or a server of another version by now.
    }
  }

  /** @param {import('./protocol.js').FromServer} message */
  heard(message) {
    for (const part of this.#parts) part.heard?.(message);
  }

  moved() {
    for (const part of this.#parts) part.moved?.();
  }

  /** @param {{ x: number, y: number }} cell */
  stepped(cell) {
    for (const part of this.#parts) part.stepped?.(cell);
  }
}
