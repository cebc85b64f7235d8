/** Letters drawn in pixels: the wordmark and the few words set in it. */

const SVG = 'http://www.w3.org/2000/svg';
/** Rows of every letter. */
const ROWS = 5;

/** Row by row; `#` is a pixel. @type {Record<string, string>} */
const LETTERS = {
  A: '###|#.#|###|#.#|#.#', C: '###|#..|#..|#..|###', D: '##.|#.#|#.#|#.#|##.', E: '###|#..|##.|#..|###',
  G: '####|#...|#.##|#..#|####', I: '#|#|#|#|#', K: '#.#|#.#|##.|#.#|#.#', L: '#..|#..|#..|#..|###',
  N: '#..#|##.#|#.##|#..#|#..#', O: '###|#.#|#.#|#.#|###', P: '###|#.#|###|#..|#..', R: '###|#.#|##.|#.#|#.#',
  T: '###|.#.|.#.|.#.|.#.', U: '#.#|#.#|#.#|#.#|###', X: '#.#|#.#|.#.|#.#|#.#', Y: '#.#|#.#|.#.|.#.|.#.',
  '.': '.|.|.|.|#', ' ': '..|..|..|..|..',
};

/**
 * Draws lines of text into an SVG element, each letter over a tint printed a little out of register.
 * @param {SVGSVGElement} svg @param {string[]} lines @param {string[]} tints none: ink alone
 * @returns {number} how many squares wide it is
 */
export function letter(svg, lines, tints) {
  /** @type {string[]} */
  const ink = [];
  /** @type {Map<string, string[]>} */
  const tinted = new Map();
  let [width, count] = [0, 0];
  lines.forEach((text, row) => {
    let x = 0;
    for (const character of text) {
      const rows = (LETTERS[character] ?? LETTERS[' ']).split('|');
      const squares = rows.flatMap((pixels, y) => [...pixels].flatMap((pixel, column) => (
        pixel === '#' ? [`M${x + column} ${row * (ROWS + 2) + y}h1v1h-1z`] : [])));
      ink.push(...squares);
      if (tints.length > 0 && character !== ' ') {
        const tint = tints[count % tints.length];
        tinted.set(tint, [...tinted.get(tint) ?? [], ...squares]);
        count += 1;
      }
      x += rows[0].length + 1;
    }
    width = Math.max(width, x - 1);
  });
  svg.setAttribute('viewBox', `0 0 ${width} ${lines.length * (ROWS + 2) - 1}`);
  const tintPaths = [...tinted].map(([tint, squares]) => path(squares, tint, 'translate(0.6 0.6)'));
  svg.replaceChildren(...tintPaths, path(ink, 'currentColor', ''));
  return width;
}

/** @param {string[]} squares @param {string} fill @param {string} transform */
function path(squares, fill, transform) {
  const element = document.createElementNS(SVG, 'path');
  element.setAttribute('d', squares.join(''));
  element.setAttribute('fill', fill);
  if (transform !== '') element.setAttribute('transform', transform);
  return element;
}
