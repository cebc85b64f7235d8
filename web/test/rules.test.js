/** Small rules: colours and their names, the commonest one, where hints lie. */

import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import test from 'node:test';

import { commonest } from '../commonest.js';
import { hintPlace } from '../hint.js';
import { INKS, firstColor, nearPaper } from '../inks.js';
import { arrangement } from '../palette.js';
import { colorName } from '../texts.js';

test('the first colour can be seen on the background', () => {
  const inks = INKS.map(([color]) => color);
  assert.equal(firstColor(inks, 0xffffff), 0xd9392b);
  assert.notEqual(firstColor(inks, 0xd9392b), 0xd9392b);
  assert.equal(firstColor([0xffffff, 0xfefefe], 0xffffff), 0xfefefe);
  assert.equal(firstColor([0xffffff], 0xffffff), 0xffffff);
});

test('an ink that is the colour of the paper is known to be', () => {
  assert.deepEqual([0xffffff, 0xf4efe6, 0x1c1917, 0x000000, 0xd9392b].map(nearPaper), ['light', 'light', 'dark', 'dark', '']);
});

test('a palette takes one row where it fits, is never cut, and scrolls when it is more than its rows hold', () => {
  assert.deepEqual(arrangement(16, { width: 1_300, height: 900 }, false), { columns: 16, rows: 1, columnPixels: 48, scrolls: false });
  assert.deepEqual(arrangement(64, { width: 1_392, height: 900 }, false), { columns: 22, rows: 3, columnPixels: 48, scrolls: false });
  assert.deepEqual(arrangement(256, { width: 1_392, height: 900 }, false), { columns: 86, rows: 3, columnPixels: 48, scrolls: true });
  assert.deepEqual(arrangement(16, { width: 400, height: 900 }, true), { columns: 8, rows: 2, columnPixels: 50, scrolls: false });
  assert.deepEqual(arrangement(32, { width: 375, height: 900 }, true), { columns: 16, rows: 2, columnPixels: 50, scrolls: true });
  const narrow = arrangement(16, { width: 320, height: 568 }, true);
  assert.ok(narrow.scrolls && narrow.rows === 2 && narrow.columnPixels >= 44, 'a thumb hits each on the narrowest phone');
  assert.equal(arrangement(64, { width: 700, height: 390 }, false).rows, 1, 'a phone on its side');
  const side = arrangement(17, { width: 764, height: 390 }, false);
  assert.deepEqual(side, { columns: 17, rows: 1, columnPixels: 44, scrolls: false }, 'all of them fit');
  assert.equal(arrangement(1, { width: 20, height: 900 }, false).columns, 1);
});

test('the hint stands on the sheet where it can be read there, else below or beside it', () => {
  const view = { width: 1_440, height: 700 };
  assert.equal(hintPlace({ left: 110, top: 100, right: 190, bottom: 180 }, { x: 150, y: 140 }, { width: 320, height: 190 }, 60), null, 'no room');
  const on = hintPlace({ left: 400, top: 40, right: 1_000, bottom: 640 }, { x: 700, y: 340 }, view, 60);
  assert.deepEqual(on, { left: 490, top: 364, width: 420, onSheet: true });
  const line = /** @type {import('../hint.js').Place} */ (hintPlace({ left: 220, top: 349, right: 1_220, bottom: 350 }, { x: 720, y: 350 }, view, 60));
  assert.ok(!line.onSheet && line.top > 350 && line.width > 300);
  const tall = /** @type {import('../hint.js').Place} */ (hintPlace({ left: 719, top: 20, right: 720, bottom: 690 }, { x: 720, y: 350 }, view, 60));
  assert.ok(!tall.onSheet && tall.left > 720 && tall.left + tall.width <= view.width);
});

test('the print has no gradient, no blur and no emoji', () => {
  const folder = new URL('..', import.meta.url);
  for (const name of readdirSync(folder).filter((file) => /\.(?:css|html|js)$/u.test(file))) {
    const text = readFileSync(new URL(name, folder), 'utf8');
    assert.doesNotMatch(text, /gradient\(|blur\(|backdrop-filter|\p{Emoji_Presentation}/u, name);
  }
});

test('every colour has a name', () => {
  const names = Object.fromEntries(['#FFFFFF', '#000000', '#FF0000', '#00FF00', '#0000FF', '#FFD400', '#F289A8', '#8B4513', '#808080']
    .map((hex) => [hex, colorName(hex)]));
  assert.deepEqual(names, {
    '#FFFFFF': 'white', '#000000': 'black', '#FF0000': 'red', '#00FF00': 'green', '#0000FF': 'blue',
    '#FFD400': 'yellow', '#F289A8': 'light pink', '#8B4513': 'brown', '#808080': 'grey',
  });
});

test('the commonest colours come first, the background never', () => {
  const size = { width: 3, height: 2 };
  const pixels = Uint8Array.from([0, 1, 2, 2, 0, 0]);
  const colors = [0xffffff, 0xff0000, 0x0000ff];
  assert.deepEqual(commonest([{ sequence: 1, pixels, size }], 1, (value) => colors[value], 0xffffff, 4), [0x0000ff, 0xff0000]);
});
