/** Small rules: cooldown, first colour, names of colours, undo. */

import assert from 'node:assert/strict';
import test from 'node:test';

import { commonest } from '../commonest.js';
import { Cooldown } from '../cooldown.js';
import { INKS, firstColor } from '../inks.js';
import { Strokes } from '../strokes.js';
import { colorName } from '../texts.js';

test('charges come back one by one, up to the most', () => {
  const cooldown = new Cooldown();
  cooldown.rule(1_000, 3, false, 0);
  assert.equal(cooldown.standing(0).charges, 3);
  cooldown.accepted(0, 600, 10_000);
  assert.deepEqual(cooldown.standing(10_000), { charges: 0, waitMs: 600, part: 0.4 });
  assert.equal(cooldown.standing(10_600).charges, 1);
  assert.equal(cooldown.standing(11_599).charges, 1);
  assert.deepEqual(cooldown.standing(99_000), { charges: 3, waitMs: 0, part: 1 });
});

test('a refusal says how long', () => {
  const cooldown = new Cooldown();
  cooldown.rule(5_000, 1, true, 0);
  assert.equal(cooldown.standing(0).charges, 0);
  cooldown.refused(2_000, 100);
  assert.equal(cooldown.standing(100).waitMs, 2_000);
  assert.equal(cooldown.standing(2_100).charges, 1);
});

test('the first colour can be seen on the background', () => {
  const inks = INKS.map(([color]) => color);
  assert.equal(firstColor(inks, 0xffffff), 0xd9392b);
  assert.notEqual(firstColor(inks, 0xd9392b), 0xd9392b);
  assert.equal(firstColor([0xffffff, 0xfefefe], 0xffffff), 0xfefefe);
  assert.equal(firstColor([0xffffff], 0xffffff), 0xffffff);
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

test('a stroke is undone backwards, done again forwards, and a new one ends redo', () => {
  const strokes = new Strokes();
  strokes.add({ x: 1, y: 0, after: 1 });
  strokes.add({ x: 2, y: 0, after: 1 });
  strokes.end();
  assert.deepEqual(strokes.undo().map(({ x }) => x), [2, 1]);
  assert.deepEqual(strokes.redo().map(({ x }) => x), [1, 2]);
  strokes.undo();
  strokes.add({ x: 3, y: 0, after: 1 });
  strokes.end();
  assert.deepEqual(strokes.redo(), []);
});
