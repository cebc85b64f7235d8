/** Templates: what a picture wants of the canvas, how far it is painted, and the link to it. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { BLANK, NOTHING, RIGHT, Template, WRONG, checkPlace, nearest, parseTemplate, symbol, wanted, withTemplate } from '../template.js';

const HASH = '0123456789abcdef';

/** @param {...(number | null)} colors */
function rgba(...colors) {
  return new Uint8ClampedArray(colors.flatMap((color) => (color === null ? [9, 9, 9, 127] : [color >> 16, (color >> 8) & 0xff, color & 0xff, 255])));
}

/** A canvas that remembers. @param {number} width @param {number} height @param {number} fill */
function canvas(width, height, fill) {
  const values = new Map();
  return {
    size: { width, height },
    /** @param {number} x @param {number} y @param {number | undefined} value */
    paint: (x, y, value) => values.set(`${x},${y}`, value),
    /** @param {number} x @param {number} y @returns {number | undefined} */
    value: (x, y) => (values.has(`${x},${y}`) ? values.get(`${x},${y}`) : fill),
  };
}

test('transparent pixels want nothing, and a palette gives its nearest colour', () => {
  const picture = { width: 2, height: 2 };
  const pixels = rgba(0xff0000, null, 0xee1111, 0x00ff00);
  assert.deepEqual([...wanted(pixels, picture, picture, [])], [0xff0000, NOTHING, 0xee1111, 0x00ff00]);
  assert.deepEqual([...wanted(pixels, picture, picture, [0xffffff, 0xff0000, 0x008800])], [1, NOTHING, 1, 2]);
  assert.equal(nearest(0x123456, [0x123456]), 0);
});

test('a picture is laid smaller or larger by the middle of each part', () => {
  const picture = { width: 4, height: 2 };
  const pixels = rgba(1, 1, 2, 2, 1, 1, 2, 2);
  assert.deepEqual([...wanted(pixels, picture, { width: 2, height: 1 }, [])], [1, 2]);
  assert.deepEqual([...wanted(pixels, picture, { width: 8, height: 1 }, [])], [1, 1, 1, 1, 2, 2, 2, 2]);
});

test('progress counts what is right, and says what is not known', () => {
  const board = canvas(600, 10, 0);
  const values = new Int32Array(600 * 2).fill(7);
  values[0] = NOTHING;
  const template = new Template({ hash: HASH, x: 0, y: 0, width: 600, height: 2 }, values, board.size);
  assert.deepEqual([...template.chunks], [0, 1, 2]);
  assert.deepEqual(template.progress, { right: 0, known: 0, total: 1_199, counted: false });
  for (const key of template.chunks) template.count(key, board.value);
  assert.deepEqual(template.progress, { right: 0, known: 1_199, total: 1_199, counted: true });
  board.paint(300, 1, 7);
  board.paint(301, 1, undefined);
  template.count(1, board.value);
  assert.deepEqual(template.progress, { right: 1, known: 1_198, total: 1_199, counted: true });
});

test('a map says what is right and what is wrong, across chunks, and nothing of what it does not know', () => {
  const board = canvas(258, 300, 7);
  const values = new Int32Array(4 * 2).fill(7);
  values[0] = NOTHING;
  const template = new Template({ hash: HASH, x: 254, y: 10, width: 4, height: 2 }, values, board.size);
  board.paint(255, 10, 0);
  board.paint(256, 11, 0);
  board.paint(257, 11, undefined);
  template.count(0, board.value);
  assert.deepEqual(template.map, { width: 4, height: 2, cells: Uint8Array.of(BLANK, WRONG, BLANK, BLANK, RIGHT, RIGHT, BLANK, BLANK) });
  template.count(1, board.value);
  assert.deepEqual([...template.map.cells], [BLANK, WRONG, RIGHT, RIGHT, RIGHT, RIGHT, WRONG, BLANK]);
});

test('on the map of a large template a cell is wrong when one of its pixels is, also where chunks meet', () => {
  const board = canvas(1_000, 100, 7);
  const template = new Template({ hash: HASH, x: 0, y: 0, width: 960, height: 6 }, new Int32Array(960 * 6).fill(7), board.size);
  board.paint(255, 5, 0); // The cell of the pixels 255 to 257.
  for (const key of template.chunks) template.count(key, board.value);
  const { width, height, cells } = template.map;
  assert.deepEqual([width, height], [320, 2]);
  assert.deepEqual([...cells.keys()].filter((at) => cells[at] !== RIGHT), [320 + 85]);
  assert.equal(cells[320 + 85], WRONG);
});

test('what lies beyond the canvas is not asked for', () => {
  const board = canvas(10, 10, 0);
  const place = { hash: HASH, x: -2, y: 8, width: 4, height: 4 };
  const template = new Template(place, new Int32Array(16).fill(3), board.size);
  assert.equal(template.progress.total, 4);
  assert.equal(template.at(1, 9), 3);
  assert.equal(template.at(2, 9), NOTHING);
  assert.equal(template.at(0, 7), NOTHING);
  const away = new Template({ ...place, x: 50 }, new Int32Array(16).fill(3), board.size);
  assert.deepEqual([[...away.chunks], away.progress.total], [[], 0]);
  assert.deepEqual(away.nextWrong({ x: 0, y: 0 }, board.value), { cell: null, known: true });
});

test('the next wrong pixel is the nearest, across chunks, and there is an end', () => {
  const board = canvas(600, 300, 5);
  const template = new Template({ hash: HASH, x: 0, y: 0, width: 600, height: 300 }, new Int32Array(600 * 300).fill(5), board.size);
  assert.deepEqual(template.nextWrong({ x: 3, y: 3 }, board.value), { cell: null, known: true });
  board.paint(250, 10, 1);
  board.paint(258, 10, 1);
  board.paint(599, 299, 1);
  assert.deepEqual(template.nextWrong({ x: 255, y: 10 }, board.value).cell, { x: 258, y: 10 });
  assert.deepEqual(template.nextWrong({ x: 258, y: 10 }, board.value).cell, { x: 250, y: 10 }, 'not the one where one is');
  assert.deepEqual(template.nextWrong({ x: 500, y: 299 }, board.value).cell, { x: 599, y: 299 });
  board.paint(599, 299, undefined);
  assert.deepEqual(template.nextWrong({ x: 500, y: 299 }, board.value).cell, { x: 258, y: 10 }, 'what is not known is not wrong');
});

test('the wrong pixel where one is comes last of all', () => {
  const board = canvas(10, 10, 5);
  const template = new Template({ hash: HASH, x: 2, y: 2, width: 2, height: 1 }, new Int32Array(2).fill(5), board.size);
  board.paint(2, 2, 0);
  assert.deepEqual(template.nextWrong({ x: 2, y: 2 }, board.value), { cell: { x: 2, y: 2 }, known: true });
  board.paint(3, 2, 0);
  assert.deepEqual(template.nextWrong({ x: 2, y: 2 }, board.value).cell, { x: 3, y: 2 });
  for (const x of [2, 3]) board.paint(x, 2, undefined);
  assert.deepEqual(template.nextWrong({ x: 2, y: 2 }, board.value), { cell: null, known: false });
});

test('a link carries hash, place and size, beside where one looks', () => {
  const place = { hash: HASH, x: -12, y: 40, width: 64, height: 32 };
  const link = withTemplate('#x=5&y=6&zoom=8', place);
  assert.equal(link, `#x=5&y=6&zoom=8&template=${HASH}&tx=-12&ty=40&tw=64&th=32`);
  assert.deepEqual(parseTemplate(link), place);
  assert.deepEqual(parseTemplate(withTemplate(link, { ...place, x: 3 })), { ...place, x: 3 });
  assert.equal(withTemplate(link, null), '#x=5&y=6&zoom=8');
  assert.equal(withTemplate('', null), '');
});

test('a link of nonsense names no template', () => {
  assert.equal(parseTemplate(`#template=${HASH}&tx=0&ty=0&tw=65536&th=65536`), null, 'more than is ever laid');
  const good = { template: HASH, tx: '1', ty: '2', tw: '3', th: '4' };
  for (const [name, value] of [
    ['template', '0123'], ['template', `${HASH}0`], ['template', '0123456789ABCDEF'], ['template', '<b>0123456789abc'],
    ['tx', ''], ['tx', '1e3'], ['tx', '1.5'], ['tx', '-65537'], ['ty', 'NaN'], ['tw', '0'], ['tw', '-1'], ['th', '65537'], ['th', '9999999999'],
  ]) assert.equal(parseTemplate(`#${new URLSearchParams({ ...good, [name]: value })}`), null, `${name}=${value}`);
  assert.equal(parseTemplate('#%E0%A4%A'), null);
  assert.equal(checkPlace(undefined, [undefined, null, '3', {}]), null);
});

test('letters count as lists do', () => {
  assert.deepEqual([0, 25, 26, 27, 51, 52, 701, 702].map(symbol), ['A', 'Z', 'AA', 'AB', 'AZ', 'BA', 'ZZ', 'AAA']);
});
