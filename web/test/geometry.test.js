/** Lines without gaps, and where things lie. */

import assert from 'node:assert/strict';
import test from 'node:test';

import { cellKey, cellOf, chunkKey, chunkOf, chunkSize, line } from '../geometry.js';
import { mapSize } from '../minimap.js';
import { Viewport, fragment, parseFragment } from '../viewport.js';

test('a line begins and ends where it should, and each cell touches the next', () => {
  for (const to of [[9, 4], [-3, 8], [0, 0], [-7, -7], [12, -1], [0, 30]]) {
    const cells = line({ x: 2, y: 3 }, { x: to[0], y: to[1] });
    assert.deepEqual(cells[0], { x: 2, y: 3 });
    assert.deepEqual(cells.at(-1), { x: to[0], y: to[1] });
    for (let index = 1; index < cells.length; index += 1) {
      const step = Math.max(Math.abs(cells[index].x - cells[index - 1].x), Math.abs(cells[index].y - cells[index - 1].y));
      assert.equal(step, 1);
    }
  }
});

test('keys name cells and chunks, to the farthest corner', () => {
  assert.deepEqual(cellOf(cellKey(65_535, 65_535)), { x: 65_535, y: 65_535 });
  assert.deepEqual(chunkOf(chunkKey(255, 255)), { cx: 255, cy: 255 });
  assert.deepEqual(chunkSize({ width: 600, height: 300 }, 2, 1), { width: 88, height: 44 });
});

/** @param {number} width @param {number} height @param {number} [ratio] */
function viewport(width, height, ratio = 1) {
  const port = new Viewport();
  port.resize({ width: 1440, height: 900 }, ratio, [{ top: 24, right: 280, bottom: 104, left: 280 }]);
  port.setCanvas({ width, height });
  return port;
}

test('the fitted board lies inside its place, its cells whole device pixels', () => {
  for (const [width, height, ratio] of [[50, 50, 1], [50, 50, 2], [160, 60, 1.5], [4_000, 4_000, 1], [8, 8, 3]]) {
    const port = viewport(width, height, ratio);
    const { left, top, right, bottom } = port.board;
    assert.ok(left >= 280 * ratio - 1 && right <= (1440 - 280) * ratio + 1);
    assert.ok(top >= 24 * ratio - 1 && bottom <= (900 - 104) * ratio + 1);
    const device = port.scale * ratio;
    if (device >= 1) assert.ok(Math.abs(device - Math.round(device)) < 1e-9);
    assert.ok(port.scale <= 50);
  }
});

test('a board is never thinner than a device pixel', () => {
  for (const [width, height] of [[65_536, 1], [1, 65_536]]) {
    const { left, top, right, bottom } = viewport(width, height, 1).board;
    assert.equal(Math.min(right - left, bottom - top), 1);
  }
});

test('what lies under the pointer stays there while zooming', () => {
  const port = viewport(4_000, 4_000);
  const before = port.cellAt(700, 400);
  for (let step = 0; step < 12; step += 1) port.zoomAt(700, 400, 1.25);
  for (let step = 0; step < 12; step += 1) {
    port.zoomAt(700, 400, 1.25);
    const now = port.cellAt(700, 400);
    assert.ok(Math.abs(now.x - before.x) <= 3 && Math.abs(now.y - before.y) <= 3);
  }
  assert.ok(port.scale <= 50);
});

test('many small steps of zoom come to as much as one', () => {
  const port = viewport(4_000, 4_000, 1);
  const before = port.scale;
  for (let step = 0; step < 200; step += 1) port.zoomAt(700, 400, 1.005);
  assert.ok(Math.abs(port.scale / before / 1.005 ** 200 - 1) < 0.03, `${port.scale / before}`);
  for (let step = 0; step < 2_000; step += 1) port.zoomAt(700, 400, 1 / 1.005);
  const least = port.scale;
  for (let step = 0; step < 10; step += 1) port.zoomAt(700, 400, 1.03);
  assert.ok(port.scale > least * 1.25, 'what goes beyond a bound is not remembered');
});

test('zooming in from the fitted board keeps what lies under the pointer, wherever it is', () => {
  for (const [width, height] of [[50, 50], [1_200, 900], [4_000, 4_000], [300, 2_000]]) {
    for (const [across, along] of [[0.02, 0.02], [0.98, 0.02], [0.5, 0.98], [0.3, 0.6], [0.98, 0.98]]) {
      const port = viewport(width, height);
      const { left, top, right, bottom } = port.board;
      const [x, y] = [left + (right - left) * across, top + (bottom - top) * along];
      for (let step = 0; step < 16; step += 1) {
        const before = port.cellAt(x, y);
        const cell = 1 / port.scale;
        port.zoomAt(x, y, 1.1);
        const now = port.cellAt(x, y);
        const slip = Math.max(Math.abs(now.x - before.x), Math.abs(now.y - before.y));
        assert.ok(slip <= Math.ceil(cell) + 1, `${slip} cells at ${port.scale} on ${width}×${height} at ${across}, ${along}`);
      }
    }
  }
});

test('the point under a cell leads back to the cell', () => {
  const port = viewport(300, 300);
  port.look(150.5, 150.5, 17.3);
  for (const [x, y] of [[150, 150], [140, 130], [170, 149]]) {
    const { left, top, right, bottom } = port.cell(x, y);
    assert.deepEqual(port.cellAt((left + right) / 2, (top + bottom) / 2), { x, y });
  }
});

test('chunks in view come nearest first', () => {
  const port = viewport(4_000, 4_000);
  port.look(1_000, 1_000, 4);
  const keys = port.chunks(512);
  assert.deepEqual(chunkOf(keys[0]), { cx: 3, cy: 3 });
  assert.ok(keys.length < 12);
});

test('of more chunks than are wanted a whole sheet in the middle is taken, the nearest first', () => {
  for (const [width, height] of [[65_536, 65_536], [65_536, 3_000], [700, 65_536]]) {
    for (const [across, along] of [[0.5, 0.5], [0.01, 0.97], [0.7, 0.2]]) {
      const port = viewport(width, height);
      port.look(width * across, height * along, port.scale);
      const far = (/** @type {number} */ key) => Math.hypot(chunkOf(key).cx * 256 + 128 - port.centre.x, chunkOf(key).cy * 256 + 128 - port.centre.y);
      const all = port.chunks(Infinity);
      const wanted = port.chunks(100);
      assert.ok(all.length === port.chunksInView && all.length > 200, `${all.length}`);
      assert.ok(wanted.length > 66 && wanted.length <= 100, `${wanted.length}`);
      assert.equal(wanted[0], all[0]);
      const distances = wanted.map(far);
      assert.deepEqual(distances, [...distances].sort((a, b) => a - b), `${width}×${height} at ${across}, ${along}`);
      const side = (/** @type {'cx' | 'cy'} */ axis) => new Set(wanted.map((key) => chunkOf(key)[axis])).size;
      assert.equal(side('cx') * side('cy'), wanted.length, 'it has no ragged edge');
    }
  }
});

test('following a cell brings it into the free part of the view', () => {
  const port = viewport(500, 500);
  port.look(250, 250, 40);
  port.follow(265, 250);
  const { right } = port.cell(265, 250);
  assert.ok(right <= 1440 - 280 + 1);
});

test('a place in the fragment is read, by the names of others too, and nonsense is nothing', () => {
  const canvas = { width: 100, height: 100 };
  assert.deepEqual(parseFragment('#x=5&y=6&zoom=7.5', canvas), { x: 5, y: 6, scale: 7.5 });
  assert.deepEqual(parseFragment('#x=5&y=6&scale=3', canvas), { x: 5, y: 6, scale: 3 });
  assert.deepEqual(parseFragment('#x=1e9&y=-4', canvas), { x: 99, y: 0, scale: 16 });
  for (const nonsense of ['', '#', '#x=5', '#x=&y=', '#x=a&y=b&zoom=c', '#x=NaN&y=Infinity', '#%%%']) {
    assert.equal(parseFragment(nonsense, canvas), null);
  }
});

test('a fragment keeps what others wrote into it', () => {
  const port = viewport(4_000, 4_000);
  assert.equal(fragment(port, '#nonsense'), '#nonsense', 'fitted, it is left alone');
  port.look(10.5, 20.5, 4);
  assert.equal(fragment(port, '#scale=9&x=1&template=abc&y=2'), '#x=10&y=20&zoom=4&template=abc');
  port.fit();
  assert.equal(fragment(port, '#x=10&y=20&zoom=4&template=abc'), '#template=abc');
  assert.equal(fragment(port, '#x=10&y=20&zoom=4'), '');
});

test('a large canvas has a map of its shape, a small one has none', () => {
  assert.deepEqual(mapSize({ width: 4_000, height: 4_000 }), { width: 128, height: 128 });
  assert.deepEqual(mapSize({ width: 4_000, height: 1_000 }), { width: 128, height: 32 });
  assert.deepEqual(mapSize({ width: 1, height: 65_536 }), { width: 12, height: 128 });
  assert.equal(mapSize({ width: 256, height: 50 }), null);
});

test('a place survives its fragment', () => {
  const port = viewport(4_000, 4_000);
  port.look(1_234.5, 777.5, 12);
  const place = parseFragment(fragment(port, ''), { width: 4_000, height: 4_000 });
  assert.deepEqual({ ...place, scale: Math.round(place?.scale ?? 0) }, { x: 1_234, y: 777, scale: 12 });
});
