/** The board as a grid for whoever does not see it: its one cell says where the cursor is, in what colour, by whom. */

export class Grid {
  #board;
  #row = document.createElement('div');
  #cell = document.createElement('div');

  /** @param {HTMLCanvasElement} board */
  constructor(board) {
    this.#board = board;
    this.#cell.id = 'cell';
    this.#row.setAttribute('role', 'row');
    this.#cell.setAttribute('role', 'gridcell');
    this.#row.append(this.#cell);
    board.append(this.#row);
    board.setAttribute('role', 'grid');
    board.setAttribute('aria-activedescendant', this.#cell.id);
  }

  /** @param {import('./geometry.js').Size} size @param {string} label */
  measures({ width, height }, label) {
    this.#board.setAttribute('aria-label', label);
    this.#board.setAttribute('aria-colcount', String(width));
    this.#board.setAttribute('aria-rowcount', String(height));
  }

  /** @param {import('./geometry.js').Point} cell @param {string} sentence */
  at({ x, y }, sentence) {
    this.#row.setAttribute('aria-rowindex', String(y + 1));
    this.#cell.setAttribute('aria-colindex', String(x + 1));
    this.#cell.textContent = sentence;
  }
}
