/** Charges: as the server counts them, also after a reload. */

import assert from 'node:assert/strict';
import test from 'node:test';

import { Cooldown } from '../cooldown.js';

/** A cooldown whose memory is full at this moment of the server's clock. @param {number} [fullAt] */
function remembering(fullAt = NaN) {
  const memory = { fullAt, now: 0 };
  const cooldown = new Cooldown({
    load: () => memory.fullAt - memory.now,
    save: (ms) => { memory.fullAt = memory.now + ms; },
  });
  return { cooldown, memory };
}

test('charges come back one by one, up to the most', () => {
  const { cooldown } = remembering();
  cooldown.rule(1_000, 3, false, 0);
  assert.equal(cooldown.standing(0).charges, 3);
  cooldown.accepted(0, 600, 10_000);
  assert.deepEqual(cooldown.standing(10_000), { charges: 0, waitMs: 600, part: 0.4 });
  assert.equal(cooldown.standing(10_600).charges, 1);
  assert.equal(cooldown.standing(11_599).charges, 1);
  assert.deepEqual(cooldown.standing(99_000), { charges: 3, waitMs: 0, part: 1 });
});

test('a refusal says how long', () => {
  const { cooldown } = remembering();
  cooldown.rule(5_000, 1, true, 0);
  assert.deepEqual(cooldown.standing(0), { charges: 0, waitMs: 5_000, part: 0 });
  cooldown.refused(2_000, 1, 100);
  assert.equal(cooldown.standing(100).waitMs, 2_000);
  assert.equal(cooldown.standing(2_100).charges, 1);
});

test('a refusal of many says when that many are there: fewer are there before', () => {
  const { cooldown } = remembering();
  cooldown.rule(4_000, 12, false, 0);
  cooldown.accepted(3, 4_000, 0);
  cooldown.refused(8_000, 5, 0);
  assert.deepEqual(cooldown.standing(0), { charges: 3, waitMs: 4_000, part: 0 });
});

test('after a reload the wait goes on, and charges that were left are left', () => {
  const { cooldown, memory } = remembering();
  cooldown.rule(60_000, 12, true, 0);
  assert.equal(cooldown.standing(0).charges, 0, 'nobody knows this guest yet');
  cooldown.accepted(7, 30_000, 0);
  const { cooldown: again } = remembering(memory.fullAt - 40_000);
  again.rule(60_000, 12, true, 5);
  assert.deepEqual(again.standing(5), { charges: 8, waitMs: 50_000, part: 1 - 50_000 / 60_000 });
  const { cooldown: late } = remembering(-99_000);
  late.rule(60_000, 12, true, 5);
  assert.deepEqual(late.standing(5), { charges: 12, waitMs: 0, part: 1 });
});

test('a memory that is nonsense is none, and promises nothing', () => {
  for (const fullAt of [NaN, Infinity, 1e300]) {
    const { cooldown } = remembering(fullAt);
    cooldown.rule(1_000, 3, true, 0);
    assert.deepEqual(cooldown.standing(0), { charges: 0, waitMs: 1_000, part: 0 }, String(fullAt));
  }
});

test('a token that is not taken makes one new: nothing is promised', () => {
  const { cooldown, memory } = remembering(-1);
  cooldown.rule(1_000, 3, true, 0);
  assert.equal(cooldown.standing(0).charges, 3);
  cooldown.renewed(0);
  assert.equal(cooldown.standing(0).charges, 0);
  assert.equal(memory.fullAt, 3_000);
});

test('an amended rule counts on from the same bucket, as the server does', () => {
  const { cooldown } = remembering();
  cooldown.rule(1_000, 10, false, 0);
  cooldown.accepted(6, 1_000, 0);
  cooldown.rule(2_000, 10, true, 0);
  assert.deepEqual(cooldown.standing(0), { charges: 8, waitMs: 2_000, part: 0 });
  cooldown.rule(1_000, 2, true, 0);
  assert.deepEqual(cooldown.standing(0), { charges: 0, waitMs: 3_000, part: 0 }, 'beyond empty');
  cooldown.rule(0, 1, false, 0);
  assert.equal(cooldown.applies, false);
});
