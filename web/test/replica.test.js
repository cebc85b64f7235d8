/** The rules by which a client follows a chunk. */

import assert from 'node:assert/strict';
import test from 'node:test';

import { Replica } from '../replica.js';

const EPOCH = '0123456789abcdef';

/** @param {number} after @param {number} to @param {[number, number][]} pixels offsets and values @param {Partial<import('../protocol.js').Frame>} [other] */
function frame(after, to, pixels, other = {}) {
  return {
    kind: /** @type {const} */ ('frame'), cx: 0, cy: 0, epoch: EPOCH, after, to,
    offsets: Uint16Array.from(pixels.map(([offset]) => offset)), values: Uint8Array.from(pixels.map(([, value]) => value)), ...other,
  };
}

/** A canvas of 300×2 with a palette of 4; its first chunk held at 10. */
function held() {
  const replica = new Replica({ width: 300, height: 2 }, 4, EPOCH);
  assert.ok(replica.load(0, 0, EPOCH, 10, new Uint8Array(512)));
  return replica;
}

test('a frame that continues the chunk is applied whole', () => {
  const replica = held();
  assert.equal(replica.apply(frame(10, 12, [[0, 1], [257, 3], [0, 2]])), 'applied');
  assert.equal(replica.value(0, 0), 2);
  assert.equal(replica.value(1, 1), 3);
  assert.equal(replica.chunk(0)?.sequence, 12);
});

test('a frame that overlaps what is held is applied', () => {
  const replica = held();
  assert.equal(replica.apply(frame(4, 11, [[5, 1]])), 'applied');
  assert.equal(replica.chunk(0)?.sequence, 11);
});

test('a frame that is already there is dropped', () => {
  const replica = held();
  assert.equal(replica.apply(frame(8, 10, [[0, 1]])), 'dropped');
  assert.equal(replica.value(0, 0), 0);
});

test('a frame after something missing is a gap, and changes nothing', () => {
  const replica = held();
  assert.equal(replica.apply(frame(11, 12, [[0, 1]])), 'gap');
  assert.equal(replica.value(0, 0), 0);
  assert.equal(replica.chunk(0)?.sequence, 10);
});

test('a frame of another epoch, another chunk or impossible content changes nothing', () => {
  const replica = held();
  assert.equal(replica.apply(frame(10, 11, [[0, 1]], { epoch: 'f'.repeat(16) })), 'other epoch');
  assert.equal(replica.apply(frame(10, 11, [[0, 1]], { cx: 1 })), 'not held');
  assert.equal(replica.apply(frame(10, 11, [[0, 1], [512, 1]])), 'invalid');
  assert.equal(replica.apply(frame(10, 11, [[0, 1], [1, 4]])), 'invalid');
  assert.equal(replica.value(0, 0), 0);
});

test('a snapshot is taken unless it is older, of another epoch, or of another length', () => {
  const replica = held();
  assert.equal(replica.load(0, 0, EPOCH, 9, new Uint8Array(512).fill(1)), false);
  assert.equal(replica.load(0, 0, 'f'.repeat(16), 20, new Uint8Array(512)), false);
  assert.equal(replica.load(0, 0, EPOCH, 20, new Uint8Array(511)), false);
  assert.equal(replica.load(1, 0, EPOCH, 20, new Uint8Array(88)), true);
  assert.equal(replica.load(0, 0, EPOCH, 10, new Uint8Array(512).fill(1)), true);
  assert.equal(replica.value(299, 1), 0);
  assert.equal(replica.value(255, 1), 1);
});

test('an edge chunk counts offsets in rows of 256', () => {
  const replica = held();
  replica.load(1, 0, EPOCH, 10, new Uint8Array(88));
  assert.equal(replica.apply(frame(10, 11, [[256 + 43, 2]], { cx: 1 })), 'applied');
  assert.equal(replica.value(299, 1), 2);
  assert.equal(replica.apply(frame(11, 12, [[44, 2]], { cx: 1 })), 'invalid');
});

test('true colour takes three bytes a pixel', () => {
  const replica = new Replica({ width: 2, height: 1 }, 0, EPOCH);
  replica.load(0, 0, EPOCH, 0, new Uint8Array(6).fill(255));
  replica.apply({ ...frame(0, 1, [[1, 0]]), values: Uint8Array.from([1, 2, 3]) });
  assert.equal(replica.value(0, 0), 0xffffff);
  assert.equal(replica.value(1, 0), 0x010203);
});

test('progress moves a chunk forward, never back', () => {
  const replica = held();
  replica.progress(0, EPOCH, 30);
  replica.progress(0, EPOCH, 20);
  replica.progress(0, 'f'.repeat(16), 40);
  assert.equal(replica.chunk(0)?.sequence, 30);
});
