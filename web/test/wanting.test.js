/** What is held of a canvas while somebody looks around. */

import assert from 'node:assert/strict';
import test from 'node:test';

import { chunkKey } from '../geometry.js';
import { CHUNKS_MAX, SPARE_CHUNKS_MAX, Wanting } from '../wanting.js';

const LARGE = { width: 16_384, height: 16_384 };

/** A row of so many chunks from here on. @param {number} cx @param {number} cy @param {number} count */
function row(cx, cy, count) {
  return Array.from({ length: count }, (_, index) => chunkKey(cx + index, cy));
}

test('what is in view comes first, then what was, the latest before the earlier, and no more of it than is spared', () => {
  const wanting = new Wanting();
  wanting.chunks(LARGE, row(0, 0, 40), []);
  wanting.chunks(LARGE, row(0, 1, 4), []);
  const wanted = wanting.chunks(LARGE, row(0, 2, 4), []);
  assert.deepEqual(wanted.slice(0, 8), [...row(0, 2, 4), ...row(0, 1, 4).reverse()]);
  assert.equal(wanted.length, 4 + SPARE_CHUNKS_MAX);
});

test('a small canvas is held whole, a large one is not', () => {
  assert.equal(new Wanting().chunks({ width: 1_000, height: 1_000 }, row(1, 1, 1), []).length, 16);
  assert.equal(new Wanting().chunks({ width: 1_100, height: 1_000 }, row(1, 1, 1), []).length, 1);
});

test('what else is asked for has room up to the most', () => {
  const wanted = new Wanting().chunks(LARGE, row(0, 0, 64), Array.from({ length: 4_096 }, (_, index) => index));
  assert.equal(wanted.length, CHUNKS_MAX);
  assert.deepEqual(wanted.slice(0, 64), row(0, 0, 64));
});

test('a canvas that became smaller is not asked for what it lost', () => {
  const wanting = new Wanting();
  wanting.chunks(LARGE, row(0, 0, 10), []);
  assert.deepEqual(wanting.chunks({ width: 512, height: 8_192 }, row(0, 1, 1), []).sort((a, b) => a - b), [...row(0, 0, 2), ...row(0, 1, 1)]);
});
