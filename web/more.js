/** Opens what most visits do without: its files are loaded when it is asked for. */

/**
 * What such a part sees of the page, and may do there.
 * @typedef {object} Table
 * @property {string} canvasId
 * @property {string} api where the canvas' API is
 * @property {HTMLCanvasElement} board
 * @property {import('./viewport.js').Viewport} viewport
 * @property {import('./palette.js').PaletteBar} palette
 * @property {() => import('./protocol.js').Hello | null} rules
 * @property {(x: number, y: number) => number | undefined} colorAt a cell's colour, where it is known
 * @property {(sentence: string) => void} remark says and announces a sentence in passing
 * @property {(bytes: ArrayBuffer) => boolean} send
 */

/** @typedef {{ open: (table: Table) => void | Promise<void> }} Part */

export class More {
  #table;
  #failed;

  /** @param {Table} table @param {() => void} failed a part could not be loaded */
  constructor(table, failed) {
    this.#table = table;
    this.#failed = failed;
  }

  /** @param {() => Promise<Part>} load */
  async open(load) {
    try {
      await (await load()).open(this.#table);
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
      this.#failed(); // No connection, or a server of another version by now.
    }
  }
}
