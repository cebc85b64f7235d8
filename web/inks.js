/** The colours at hand on a canvas that allows any: inks that suit the paper. */

/** Each with its name, in the order of the palette. */
export const INKS = /** @type {const} */ ([
  [0x1c1917, 'Ink'], [0x6b625a, 'Slate'], [0xb8aea1, 'Ash'], [0xffffff, 'White'], [0xd9392b, 'Vermilion'],
  [0x8c2318, 'Brick'], [0xf07f1f, 'Orange'], [0xf5c32c, 'Ochre'], [0xa3c644, 'Lime'], [0x2c8c4b, 'Leaf'],
  [0x14505a, 'Pine'], [0x58b7dd, 'Sky'], [0x2a4cc4, 'Ultramarine'], [0x7d4ab5, 'Violet'], [0xf289a8, 'Rose'],
]);

/** The ink of a first visit, unless the sheet has that colour. */
export const FIRST_INK = 0xd9392b;

/**
 * A colour to begin with that can be seen on the background.
 * @param {number[]} colors the palette @param {number} background
 */
export function firstColor(colors, background) {
  if (colors.includes(FIRST_INK) && distance(FIRST_INK, background) > 120) return FIRST_INK;
  const visible = colors.filter((color) => distance(color, background) > 120);
  const candidates = visible.length > 0 ? visible : colors.filter((color) => color !== background);
  const vivid = [...candidates].sort((a, b) => spread(b) - spread(a))[0];
  return vivid ?? colors[0] ?? FIRST_INK;
}

/** The paper of the light and of the dark page, and how far a colour has to be from it to be told from it. */
const PAPERS = /** @type {const} */ ([[0xf4efe6, 'light'], [0x1c1917, 'dark']]);
const PAPER_DISTANCE_MIN = 48;

/** The page whose paper a colour cannot be told from: `light`, `dark`, or empty. @param {number} color */
export function nearPaper(color) {
  return PAPERS.find(([paper]) => distance(color, paper) < PAPER_DISTANCE_MIN)?.[1] ?? '';
}

/** `#RRGGBB` of a colour. @param {number} color */
export function hex(color) {
  return `#${color.toString(16).padStart(6, '0').toUpperCase()}`;
}

/** Whether ink can be read on a colour better than paper can. @param {number} color */
export function isLight(color) {
  return 0.299 * (color >> 16) + 0.587 * ((color >> 8) & 0xff) + 0.114 * (color & 0xff) > 128;
}

/** How far two colours are apart, from 0 to 441. @param {number} a @param {number} b */
function distance(a, b) {
  return Math.hypot((a >> 16) - (b >> 16), ((a >> 8) & 0xff) - ((b >> 8) & 0xff), (a & 0xff) - (b & 0xff));
}

/** How colourful a colour is, from 0 to 255. @param {number} color */
function spread(color) {
  const parts = [color >> 16, (color >> 8) & 0xff, color & 0xff];
  return Math.max(...parts) - Math.min(...parts);
}
