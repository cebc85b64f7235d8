/** Painting at once, being answered, refused, asked to wait, and cut off. */

import assert from 'node:assert/strict';
import test from 'node:test';

import { NEVER_MS, Reason, UNLIMITED_CHARGES } from '../protocol.js';
import { ANSWER_MS_MAX, RETRY_MS_MAX, Submissions, TRIES_MAX, WAITING_PLACEMENTS_MAX } from '../submissions.js';

const STROKE = { number: 0, touches: [], taken: 0, made: 0 };

/** @param {{ batchMax?: number, inFlightMax?: number, online?: boolean }} [rules] */
function painting({ batchMax = 256, inFlightMax = 256, online = true } = {}) {
  const wire = { online };
  /** @type {{ key: bigint, count: number, hex: string }[]} */
  const sent = [];
  /** @type {{ places: string[], reason: number }[]} */
  const takenBack = [];
  /** @type {{ turn: string, count: number, reason: number }[]} */
  const notRetraced = [];
  const submissions = new Submissions((bytes) => {
    if (!wire.online) return false;
    const view = new DataView(bytes);
    sent.push({ key: view.getBigUint64(1, true), count: (bytes.byteLength - 9) / 7, hex: Buffer.from(bytes).toString('hex') });
    return true;
  }, 100n, {
    changed: () => undefined,
    takenBack: (placements, { reason }) => takenBack.push({ places: placements.map(({ x, y }) => `${x},${y}`), reason }),
    notRetraced: ({ turn, count }, { reason }) => notRetraced.push({ turn, count, reason }),
    accepted: () => undefined,
    slowed: () => undefined,
  });
  submissions.rules({ valueBytes: 3, batchMax, inFlightMax });
  return { submissions, sent, takenBack, notRetraced, wire };
}

/** @param {bigint} key @param {number} first @param {number} count */
function accepted(key, first, count) {
  return { kind: /** @type {const} */ ('accepted'), key, first, count, charges: UNLIMITED_CHARGES, nextMs: 0 };
}

/** @param {bigint} key @param {number} reason @param {number} [retryAfterMs] */
function refused(key, reason, retryAfterMs = NEVER_MS) {
  return { kind: /** @type {const} */ ('refused'), key, reason, retryAfterMs, sentence: 'because' };
}

test('paint shows at once, goes out in one batch, and gives way to the replica when that has it', () => {
  const { submissions, sent } = painting();
  submissions.paint(1, 2, 0xff0000, 0);
  submissions.paint(2, 2, 0xff0000, 0);
  assert.equal(submissions.value(1, 2), 0xff0000);
  submissions.flush(0);
  assert.deepEqual(sent.map(({ key, count }) => [key, count]), [[101n, 2]]);
  submissions.accepted(accepted(101n, 7, 2));
  assert.equal(submissions.value(1, 2), 0xff0000, 'accepted, but the frame is not here yet');
  submissions.reached(0, 7);
  assert.equal(submissions.value(1, 2), undefined);
  assert.equal(submissions.value(2, 2), 0xff0000);
  submissions.reached(0, 8);
  assert.equal(submissions.value(2, 2), undefined);
  assert.equal(submissions.waiting, 0);
});

test('what was accepted before history was replaced shows no longer; what has no answer yet does', () => {
  const { submissions } = painting();
  submissions.paint(1, 1, 1, 0);
  submissions.flush(0);
  submissions.accepted(accepted(101n, 900, 1));
  submissions.paint(2, 2, 2, 0);
  submissions.restarted();
  assert.equal(submissions.value(1, 1), undefined);
  assert.equal(submissions.value(2, 2), 2);
});

test('a refused submission is taken back whole; what was painted below shows again', () => {
  const { submissions, takenBack } = painting();
  submissions.paint(1, 1, 1, 0);
  submissions.flush(0);
  submissions.paint(1, 1, 2, 0);
  submissions.flush(0);
  submissions.refused(refused(102n, Reason.COOLDOWN, 9_000), 0);
  assert.deepEqual(takenBack, [{ places: ['1,1'], reason: Reason.COOLDOWN }]);
  assert.equal(submissions.value(1, 1), 1);
});

test('after a broken connection the same key goes out again with the same bytes', () => {
  const { submissions, sent, wire } = painting();
  submissions.paint(1, 1, 1, 0);
  submissions.flush(0);
  wire.online = false;
  submissions.disconnected();
  submissions.paint(2, 2, 2, 0);
  submissions.flush(0);
  wire.online = true;
  submissions.flush(0);
  assert.equal(sent[1].hex, sent[0].hex);
  assert.equal(sent[2].key, 102n);
  assert.equal(submissions.waiting, 2);
});

test('no more is in flight than the server allows', () => {
  const { submissions, sent } = painting({ batchMax: 4, inFlightMax: 8 });
  for (let x = 0; x < 20; x += 1) submissions.paint(x, 0, 1, 0);
  submissions.flush(0);
  assert.equal(sent.reduce((sum, { count }) => sum + count, 0), 8);
  submissions.accepted(accepted(101n, 1, 4));
  submissions.flush(0);
  assert.equal(sent.reduce((sum, { count }) => sum + count, 0), 12);
});

test('too fast: nothing is lost, it goes out again after the wait', () => {
  const { submissions, sent, takenBack } = painting();
  submissions.paint(1, 1, 1, 0);
  submissions.flush(0);
  submissions.refused(refused(101n, Reason.RATE, 800), 1_000);
  submissions.flush(1_500);
  assert.equal(sent.length, 1);
  submissions.flush(1_800);
  assert.equal(sent.length, 2);
  assert.notEqual(sent[1].key, sent[0].key, 'a refused key is not used again');
  assert.deepEqual(takenBack, []);
});

test('of several that were too fast the first goes out first again, an undo behind its stroke', () => {
  const { submissions, sent } = painting();
  submissions.paint(1, 1, 1, 0);
  submissions.flush(0);
  submissions.paint(1, 1, 2, 0);
  submissions.flush(0);
  submissions.retrace('undo', 2, [], STROKE, 0);
  submissions.flush(0);
  for (const { key } of [...sent]) submissions.refused(refused(key, Reason.RATE, 800), 0);
  for (let turn = 3; turn < 6; turn += 1) {
    submissions.flush(800);
    assert.equal(sent.length, turn + 1, 'one at a time');
    submissions.accepted(accepted(sent[turn].key, turn, 1));
  }
  const what = sent.map(({ hex }) => hex.slice(0, 2) + hex.slice(18));
  assert.deepEqual(what.slice(3), what.slice(0, 3));
});

test('where the limit is low the rest waits for its turn, however long that takes', () => {
  const { submissions, sent, takenBack } = painting({ batchMax: 10 });
  for (let x = 0; x < 120; x += 1) submissions.paint(x, 0, 1, 0);
  let [now, answered, stored] = [0, 0, 0];
  submissions.flush(now);
  while (submissions.waiting > 0) {
    for (; answered < sent.length; answered += 1) {
      // Ten every two seconds; each second try of the first is too early.
      if (Math.floor(now / 2_000) * 10 > stored) {
        submissions.accepted(accepted(sent[answered].key, stored + 1, sent[answered].count));
        stored += sent[answered].count;
      } else submissions.refused(refused(sent[answered].key, Reason.RATE, 1_000), now);
    }
    now += 1_000;
    assert.ok(now < 60_000, 'it comes to an end');
    submissions.flush(now);
  }
  assert.deepEqual([stored, takenBack], [120, []]);
});

test('what waits is given up when its values mean something else', () => {
  const { submissions, sent, takenBack, notRetraced } = painting();
  submissions.paint(1, 1, 1, 0);
  submissions.flush(0);
  submissions.retrace('undo', 1, [], STROKE, 0);
  submissions.paint(2, 2, 1, 0);
  submissions.giveUp({ reason: Reason.NOT_IN_PALETTE, retryMs: NEVER_MS, sentence: 'because' });
  assert.deepEqual(takenBack, [{ places: ['2,2', '1,1'], reason: Reason.NOT_IN_PALETTE }]);
  assert.deepEqual(notRetraced, [{ turn: 'undo', count: 1, reason: Reason.NOT_IN_PALETTE }]);
  submissions.flush(0);
  assert.deepEqual([sent.length, submissions.waiting, submissions.value(1, 1)], [1, 0, undefined]);
});

test('an unknown outcome is asked for under its own key', () => {
  const { submissions, sent } = painting();
  submissions.paint(1, 1, 1, 0);
  submissions.flush(0);
  submissions.refused(refused(101n, Reason.UNKNOWN, 1_000), 0);
  submissions.flush(1_000);
  assert.equal(sent[1].hex, sent[0].hex);
});

for (const doubt of ['an unknown outcome', 'a broken connection']) {
  test(`after ${doubt} the same key is asked for until the store decides, however often it is refused meanwhile`, () => {
    const { submissions, sent, takenBack } = painting();
    submissions.paint(1, 1, 1, 0);
    submissions.flush(0);
    if (doubt === 'an unknown outcome') submissions.refused(refused(101n, Reason.UNKNOWN, 1_000), 0);
    else submissions.disconnected();
    let now = 0;
    for (let round = 0; round < 2 * TRIES_MAX; round += 1) {
      for (const [reason, waitMs] of [[Reason.UNAVAILABLE, 1_000], [Reason.BUSY, 250], [Reason.RATE, RETRY_MS_MAX + 1], [Reason.UNKNOWN, 1_000]]) {
        now += RETRY_MS_MAX;
        submissions.flush(now);
        submissions.refused(refused(101n, reason, waitMs), now);
      }
    }
    submissions.flush(now + RETRY_MS_MAX);
    assert.equal(sent.length, 2 + 8 * TRIES_MAX);
    assert.ok(sent.every(({ hex }) => hex === sent[0].hex), 'the same key and placements');
    assert.equal(submissions.value(1, 1), 1, 'it still shows');
    submissions.accepted(accepted(101n, 7, 1));
    assert.deepEqual([submissions.waiting, takenBack], [0, []]);
  });
}

test('what may have been painted is taken back when the store refuses it, or its time is up', () => {
  const { submissions, takenBack } = painting();
  submissions.paint(1, 1, 1, 0);
  submissions.flush(0);
  submissions.refused(refused(101n, Reason.UNKNOWN, 1_000), 0);
  submissions.flush(1_000);
  submissions.refused(refused(101n, Reason.COOLDOWN, 9_000), 1_000);
  assert.deepEqual(takenBack, [{ places: ['1,1'], reason: Reason.COOLDOWN }]);
  submissions.paint(2, 2, 1, 2_000);
  submissions.flush(2_000);
  submissions.refused(refused(102n, Reason.UNKNOWN, 1_000), 2_000);
  submissions.flush(3_000);
  submissions.refused(refused(102n, Reason.UNAVAILABLE, 1_000), 3_000);
  submissions.expire(2_000 + ANSWER_MS_MAX + 1);
  assert.deepEqual(takenBack.slice(1), [{ places: ['2,2'], reason: 0 }]);
});

test('where no earlier try may have been painted, unavailable takes back at once', () => {
  const { submissions, takenBack } = painting();
  submissions.paint(1, 1, 1, 0);
  submissions.flush(0);
  submissions.refused(refused(101n, Reason.UNAVAILABLE, 1_000), 0);
  assert.deepEqual(takenBack, [{ places: ['1,1'], reason: Reason.UNAVAILABLE }]);
});

test('more than is ever allowed at once goes out in halves', () => {
  const { submissions, sent, takenBack } = painting();
  for (let x = 0; x < 5; x += 1) submissions.paint(x, 0, 1, 0);
  submissions.flush(0);
  submissions.refused(refused(101n, Reason.NEVER_ENOUGH), 0);
  submissions.flush(0);
  assert.deepEqual(sent.slice(1).map(({ count }) => count), [3, 2]);
  assert.deepEqual(takenBack, []);
});

test('parts of parts keep their order', () => {
  const { submissions, sent } = painting();
  for (let x = 0; x < 8; x += 1) submissions.paint(x, 0, 1, 0);
  submissions.flush(0);
  submissions.refused(refused(101n, Reason.NEVER_ENOUGH), 0);
  submissions.flush(0);
  for (const { key } of sent.slice(1, 3)) submissions.refused(refused(key, Reason.NEVER_ENOUGH), 0);
  submissions.flush(0);
  // Behind kind and key comes the x of the first placement.
  const firsts = sent.slice(3).map(({ hex }) => Number.parseInt(hex.slice(18, 20), 16));
  assert.deepEqual(firsts, [0, 2, 4, 6]);
});

test('what nobody answered is taken back in the end', () => {
  const { submissions, takenBack } = painting({ online: false });
  submissions.paint(1, 1, 1, 0);
  submissions.flush(0);
  submissions.expire(ANSWER_MS_MAX);
  assert.equal(takenBack.length, 0);
  submissions.expire(ANSWER_MS_MAX + 1);
  assert.deepEqual(takenBack, [{ places: ['1,1'], reason: 0 }]);
  assert.equal(submissions.value(1, 1), undefined);
});

test('what may wait is bounded', () => {
  const { submissions } = painting({ online: false });
  for (let x = 0; x < WAITING_PLACEMENTS_MAX; x += 1) assert.ok(submissions.paint(x, 0, 1, 0));
  assert.equal(submissions.paint(0, 1, 1, 0), false);
});

/** Kind, key and count of an undo or redo. @param {{ hex: string }} message */
function steps({ hex }) {
  const view = new DataView(Uint8Array.from(Buffer.from(hex, 'hex')).buffer);
  return [view.getUint8(0), view.getBigUint64(1, true), view.getUint16(9, true)];
}

test('an undo goes out behind what was painted before it, ahead of what was painted later, in steps of 256', () => {
  const { submissions, sent, wire } = painting({ inFlightMax: 1_024 });
  wire.online = false;
  submissions.paint(1, 1, 1, 0);
  assert.equal(submissions.retrace('undo', 300, [], STROKE, 0), true);
  submissions.paint(2, 2, 2, 0);
  assert.equal(submissions.waiting, 302);
  wire.online = true;
  submissions.flush(0);
  assert.deepEqual([sent[0].key, sent[0].count], [101n, 1]);
  assert.deepEqual(sent.slice(1, 3).map(steps), [[0x87, 102n, 256], [0x87, 103n, 44]]);
  assert.deepEqual([sent[3].key, sent[3].count], [104n, 1]);
});

test('an undo without an answer goes out again under its key, and is over when it is answered', () => {
  const { submissions, sent } = painting();
  submissions.retrace('redo', 2, [], STROKE, 0);
  submissions.flush(0);
  submissions.disconnected();
  submissions.flush(0);
  assert.deepEqual(sent.map(steps), [[0x88, 101n, 2], [0x88, 101n, 2]]);
  submissions.accepted(accepted(101n, 7, 1));
  submissions.disconnected();
  submissions.flush(0);
  assert.equal(sent.length, 2);
  assert.equal(submissions.waiting, 0);
});

test('a refused undo says so, one that is too fast waits, one that is too much is halved', () => {
  const { submissions, sent, notRetraced, takenBack } = painting();
  submissions.retrace('undo', 1, [], STROKE, 0);
  submissions.flush(0);
  submissions.refused(refused(101n, Reason.NOTHING_TO_UNDO), 0);
  assert.deepEqual(notRetraced, [{ turn: 'undo', count: 1, reason: Reason.NOTHING_TO_UNDO }]);
  submissions.retrace('undo', 5, [], STROKE, 0);
  submissions.flush(0);
  submissions.refused(refused(102n, Reason.RATE, 500), 0);
  submissions.flush(499);
  assert.equal(sent.length, 2);
  submissions.flush(500);
  assert.deepEqual(steps(sent[2]), [0x87, 103n, 5]);
  submissions.refused(refused(103n, Reason.NEVER_ENOUGH), 600);
  submissions.flush(600);
  assert.deepEqual(sent.slice(3).map(steps), [[0x87, 104n, 3]], 'one at a time');
  submissions.expire(ANSWER_MS_MAX + 1);
  assert.deepEqual(notRetraced.slice(1).map(({ count, reason }) => [count, reason]), [[3, 0], [2, 0]]);
  assert.equal(submissions.waiting, 0);
  assert.deepEqual(takenBack, []);
});

test('an undo shows at once, and gives way to what the server made of it', () => {
  const { submissions } = painting();
  submissions.paint(1, 2, 0xff0000, 0);
  submissions.flush(0);
  submissions.accepted(accepted(101n, 7, 1));
  submissions.reached(0, 7);
  submissions.retrace('undo', 2, [{ x: 1, y: 2, value: 0xffffff }, { x: 3, y: 2, value: 0xeeeeee }], STROKE, 0);
  assert.deepEqual([submissions.value(1, 2), submissions.value(3, 2)], [0xffffff, 0xeeeeee]);
  submissions.flush(0);
  submissions.accepted(accepted(102n, 8, 1)); // One of them was painted over meanwhile.
  assert.equal(submissions.value(3, 2), 0xeeeeee);
  submissions.reached(0, 8);
  assert.deepEqual([submissions.value(1, 2), submissions.value(3, 2)], [undefined, undefined]);
});

test('an undo that is refused shows nothing of itself any longer', () => {
  const { submissions, notRetraced } = painting();
  submissions.retrace('undo', 1, [{ x: 1, y: 2, value: 0xffffff }], STROKE, 0);
  submissions.flush(0);
  submissions.refused(refused(101n, Reason.NOTHING_TO_UNDO), 0);
  assert.equal(submissions.value(1, 2), undefined);
  assert.equal(notRetraced.length, 1);
});

test('an undo of more than the limit allows at once goes in halves, each with what it foresees', () => {
  const { submissions, sent } = painting();
  const foreseen = [1, 2, 3].map((x) => ({ x, y: 0, value: 0xffffff }));
  submissions.retrace('undo', 3, foreseen, STROKE, 0);
  submissions.flush(0);
  submissions.refused(refused(101n, Reason.NEVER_ENOUGH), 0);
  submissions.flush(0);
  assert.equal(sent.length, 3);
  submissions.accepted(accepted(sent[1].key, 5, 2));
  submissions.reached(0, 6);
  assert.deepEqual(foreseen.map(({ x }) => submissions.value(x, 0)), [undefined, undefined, 0xffffff]);
});
