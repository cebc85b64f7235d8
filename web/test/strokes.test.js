/** Strokes that are undone and done again, and what becomes of them when that is refused. */

import assert from 'node:assert/strict';
import test from 'node:test';

import { NEVER_MS, Reason } from '../protocol.js';
import { Retracing } from '../retracing.js';
import { Strokes } from '../strokes.js';
import { texts } from '../texts.js';

/** A page on which nothing but these strokes is painted. */
function painting() {
  const strokes = new Strokes();
  /** @type {Map<string, number | undefined>} */
  const cells = new Map();
  /** @type {{ turn: import('../protocol.js').Turn, count: number, places: number[], stroke: import('../strokes.js').Stroke }[]} */
  const asked = [];
  /** @type {string[]} */
  const said = [];
  const room = { left: 100 };
  const retracing = new Retracing(strokes, {
    valueOf: (x, y) => (cells.has(`${x},${y}`) ? cells.get(`${x},${y}`) : 0),
    retrace: (turn, count, foreseen, stroke) => {
      if (room.left < count) return false;
      for (const { x, y, value } of foreseen) cells.set(`${x},${y}`, value);
      asked.push({ turn, count, places: foreseen.map(({ x }) => x), stroke });
      return true;
    },
    tell: (sentence) => said.push(sentence),
    announce: () => undefined,
  });
  return {
    strokes, cells, asked, said, room, retracing,
    /** @param {number[]} places in one row */
    stroke(...places) {
      for (const x of places) {
        strokes.add({ x, y: 0, before: 0, after: 1 });
        cells.set(`${x},0`, 1);
      }
      strokes.end();
    },
    /** The server refuses the latest, and the board shows again what it did. @param {number} reason */
    refuse(reason) {
      const last = asked.at(-1);
      assert.ok(last !== undefined);
      for (const x of last.places) cells.set(`${x},0`, last.turn === 'undo' ? 1 : 0);
      retracing.refused({ ...last, at: 0, foreseen: [] }, { reason, retryMs: reason === Reason.COOLDOWN ? 2_000 : NEVER_MS, sentence: '' });
    },
    /** What was asked for. */
    turns: () => asked.map(({ turn, count, places }) => [turn, count, places]),
  };
}

test('a stroke is undone backwards, done again forwards, and a new one ends redo', () => {
  const { strokes, retracing, stroke, turns } = painting();
  stroke(1, 2);
  retracing.turn('undo');
  assert.equal(strokes.anyUndone, true);
  retracing.turn('redo');
  assert.deepEqual(turns(), [['undo', 2, [2, 1]], ['redo', 2, [1, 2]]]);
  retracing.turn('undo');
  stroke(3);
  assert.equal(strokes.anyUndone, false);
});

test('what was refused is no part of a stroke, and a stroke of nothing else is none', () => {
  const { strokes, retracing, stroke, turns } = painting();
  stroke(1);
  stroke(2, 3);
  strokes.drop(2, 0, 1);
  retracing.turn('undo');
  assert.deepEqual(turns(), [['undo', 1, [3]]]);
  strokes.drop(1, 0, 1);
  assert.equal(strokes.any, false);
  strokes.drop(3, 0, 1);
  assert.equal(strokes.anyUndone, false, 'also of one that is undone');
});

test('an undo that has to wait keeps its stroke: the next one takes back the same', () => {
  const { strokes, retracing, stroke, turns, refuse, said } = painting();
  stroke(1);
  stroke(2);
  retracing.turn('undo');
  refuse(Reason.COOLDOWN);
  assert.deepEqual(said, [texts.notRetraced.cooldown(2_000)]);
  retracing.turn('undo');
  assert.deepEqual(turns(), [['undo', 1, [2]], ['undo', 1, [2]]]);
  retracing.turn('redo');
  refuse(Reason.COOLDOWN);
  assert.deepEqual([strokes.any, strokes.anyUndone], [true, true]);
  retracing.turn('redo');
  assert.deepEqual(turns().slice(2), [['redo', 1, [2]], ['redo', 1, [2]]]);
});

test('a refused undo comes back below what was painted meanwhile', () => {
  const { retracing, stroke, turns, refuse } = painting();
  stroke(1);
  retracing.turn('undo');
  stroke(2);
  refuse(Reason.COOLDOWN);
  retracing.turn('undo');
  retracing.turn('undo');
  assert.deepEqual(turns().slice(1), [['undo', 1, [2]], ['undo', 1, [1]]]);
});

test('of two undone at once that are refused both come back, in their order', () => {
  const { retracing, stroke, asked, turns, cells } = painting();
  stroke(1);
  stroke(2);
  retracing.turn('undo');
  retracing.turn('undo');
  for (const { turn, count, stroke: of } of [...asked]) {
    retracing.refused({ turn, count, stroke: of, at: 0, foreseen: [] }, { reason: Reason.COOLDOWN, retryMs: 1, sentence: '' });
  }
  for (const x of [1, 2]) cells.set(`${x},0`, 1);
  retracing.turn('undo');
  assert.deepEqual(turns().at(-1), ['undo', 1, [2]]);
});

test('a stroke that is painted over is said to be, and redo goes on with the one before it', () => {
  const { retracing, stroke, turns, cells, said } = painting();
  stroke(1);
  stroke(2);
  cells.set('2,0', 7);
  retracing.turn('undo');
  assert.deepEqual([turns(), said], [[], [texts.nothingTo.undo]]);
  retracing.turn('undo');
  retracing.turn('redo');
  assert.deepEqual(turns(), [['undo', 1, [1]], ['redo', 1, [1]]]);
});

test('where a cell is not loaded the server is asked', () => {
  const { retracing, stroke, turns, cells } = painting();
  stroke(1, 2);
  cells.set('2,0', undefined);
  retracing.turn('undo');
  assert.deepEqual(turns(), [['undo', 2, [2, 1]]]);
});

test('when too much waits the stroke stays to be undone', () => {
  const { strokes, retracing, stroke, said, room, turns } = painting();
  stroke(1, 2);
  room.left = 1;
  retracing.turn('undo');
  assert.deepEqual([strokes.any, strokes.anyUndone, said], [true, false, [texts.tooMuchWaiting]]);
  room.left = 2;
  retracing.turn('undo');
  assert.deepEqual(turns(), [['undo', 2, [2, 1]]]);
});

test('what the server knows nothing of is forgotten, so that the next undo goes on', () => {
  const { strokes, retracing, stroke, refuse, turns } = painting();
  stroke(1);
  stroke(2);
  retracing.turn('undo');
  refuse(Reason.NOTHING_TO_UNDO);
  retracing.turn('undo');
  assert.deepEqual(turns().at(-1), ['undo', 1, [1]]);
  assert.equal(strokes.any, false);
});

test('of a stroke longer than the server remembers the part that was taken back can be done again', () => {
  const { strokes, retracing, stroke, asked, turns, said } = painting();
  stroke(1, 2, 3, 4, 5, 6);
  retracing.turn('undo');
  const part = { turn: asked[0].turn, stroke: asked[0].stroke, at: 0, foreseen: [], count: 2 };
  const nothing = { reason: Reason.NOTHING_TO_UNDO, retryMs: NEVER_MS, sentence: '' };
  retracing.accepted(part, 2);
  retracing.accepted({ ...part, count: 2 }, 1);
  retracing.refused({ ...part, count: 1 }, nothing);
  assert.deepEqual(said, [], 'one is still on its way');
  retracing.refused({ ...part, count: 1 }, nothing);
  assert.deepEqual([strokes.anyUndone, said], [true, [texts.undoneOnly(3)]]);
  retracing.turn('redo');
  assert.deepEqual(turns().at(-1)?.slice(0, 2), ['redo', 3]);
});

test('a long stroke of which nothing is remembered is forgotten, and said once', () => {
  const { strokes, retracing, stroke, asked, said } = painting();
  stroke(1, 2, 3);
  retracing.turn('undo');
  for (let part = 0; part < 3; part += 1) {
    retracing.refused({ turn: 'undo', stroke: asked[0].stroke, at: 0, foreseen: [], count: 1 }, { reason: Reason.NOTHING_TO_UNDO, retryMs: NEVER_MS, sentence: '' });
  }
  assert.deepEqual([strokes.anyUndone, said], [false, [texts.nothingTo.undo]]);
});

test('after history was replaced there is nothing to undo, also where an undo was on its way', () => {
  const { strokes, retracing, stroke, refuse } = painting();
  stroke(1);
  stroke(2);
  retracing.turn('undo');
  strokes.restarted();
  assert.deepEqual([strokes.any, strokes.anyUndone], [false, false]);
  refuse(Reason.COOLDOWN);
  assert.deepEqual([strokes.any, strokes.anyUndone], [false, false]);
});

test('without a stroke of this page one pixel from before is undone, and done again', () => {
  const { strokes, retracing, turns } = painting();
  retracing.turn('undo');
  assert.equal(strokes.anyUndone, true);
  retracing.turn('redo');
  assert.deepEqual(turns(), [['undo', 1, []], ['redo', 1, []]]);
});
