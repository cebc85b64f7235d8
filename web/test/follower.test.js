/** Load, subscribe, follow, resume, resync: against a server played by hand. */

import assert from 'node:assert/strict';
import test from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';

import { Follower } from '../follower.js';

const EPOCH = 'a'.repeat(16);
const OTHER = 'b'.repeat(16);

/** @param {Partial<import('../protocol.js').Hello>} [other] @returns {import('../protocol.js').Hello} */
function hello(other = {}) {
  return {
    kind: 'hello', version: 1, frozen: false, guestsStartCooling: false, stale: false, epoch: EPOCH, sequence: 5, serverMs: 0, width: 300, height: 1,
    background: 0, cooldownMs: 0, chargesMax: 1, submissionPlacementsMax: 256, inFlightPlacementsMax: 256, chunksMax: 1024,
    nameCharactersMax: 20, person: 1, id: 'main', name: 'main', palette: [1, 2, 3], token: '', ...other,
  };
}

/** @param {number} after @param {number} to @param {number} value @param {string} [epoch] */
function frame(after, to, value, epoch = EPOCH) {
  return { kind: /** @type {const} */ ('frame'), cx: 0, cy: 0, epoch, after, to, offsets: Uint16Array.of(0), values: Uint8Array.of(value) };
}

function following() {
  /** @type {string[]} */
  const sent = [];
  /** @type {string[]} */
  const asked = [];
  /** @type {((response: Response) => void)[]} */
  const answers = [];
  let pings = 0n;
  const follower = new Follower(
    { send: (bytes) => sent.push(Buffer.from(bytes).toString('hex')) > 0, ping: () => { pings += 1n; return pings; } },
    '/chunks',
    (url) => new Promise((resolve) => {
      asked.push(url);
      answers.push(resolve);
    }),
    { loaded: () => undefined, painted: () => undefined, reached: () => undefined, dropped: () => undefined, restarted: () => undefined },
  );
  return {
    follower, sent, asked,
    /** Answers the oldest question. @param {number} sequence @param {number} value @param {string} [epoch] @param {number} [length] */
    async answer(sequence, value, epoch = EPOCH, length = 256) {
      answers.shift()?.(new Response(new Uint8Array(length).fill(value), { headers: { Epoch: epoch, Sequence: String(sequence) } }));
      for (let turns = 0; turns < 6; turns += 1) await turn();
    },
  };
}

/** A follower that holds and follows the first chunk at sequence 5. */
async function live() {
  const world = following();
  world.follower.connected(hello());
  world.follower.want([0]);
  await world.answer(5, 1);
  return world;
}

test('a chunk is loaded, then subscribed to at what is held', async () => {
  const { sent, asked } = await live();
  assert.deepEqual(asked, ['/chunks/0/0']);
  assert.deepEqual(sent, [`81${EPOCH}00000500000000000000`]);
});

test('a gap loads the chunk afresh, and frames wait for it', async () => {
  const { follower, asked, answer } = await live();
  follower.frame(frame(5, 6, 2));
  assert.equal(follower.replica?.value(0, 0), 2);
  follower.frame(frame(8, 9, 1));
  assert.equal(asked[1], '/chunks/0/0?since=9');
  follower.frame(frame(9, 10, 0));
  assert.equal(follower.replica?.value(0, 0), 2, 'the picture stays meanwhile');
  await answer(9, 1);
  assert.equal(follower.replica?.value(0, 0), 0);
  assert.equal(follower.replica?.chunk(0)?.sequence, 10);
});

test('frames that waited and do not fit lead to another load', async () => {
  const { follower, asked, answer } = await live();
  follower.frame(frame(8, 9, 1));
  follower.frame(frame(12, 13, 2));
  await answer(9, 1);
  assert.equal(asked[2], '/chunks/0/0?since=13');
  await answer(13, 2);
  assert.equal(follower.replica?.value(0, 0), 2);
});

test('a history that begins anew is untouched until somebody paints; of one that was there before that is known at 0 alone', async () => {
  const { follower } = await live();
  assert.equal(follower.untouched, false);
  follower.resync({ kind: 'resync', epoch: OTHER, chunks: [] });
  assert.equal(follower.untouched, true);
  follower.progress({ kind: 'progress', epoch: OTHER, sequence: 7 });
  assert.equal(follower.untouched, true, 'to begin anew counts as well');
  follower.progress({ kind: 'progress', epoch: OTHER, sequence: 8 });
  assert.equal(follower.untouched, false);
  follower.resync({ kind: 'resync', epoch: EPOCH, chunks: [] });
  follower.progress({ kind: 'progress', epoch: EPOCH, sequence: 6 });
  assert.equal(follower.untouched, false, 'rolled back');
  follower.connected(hello({ epoch: 'c'.repeat(16), sequence: 9 }));
  assert.equal(follower.untouched, false);
  follower.connected(hello({ epoch: 'd'.repeat(16), sequence: 0 }));
  assert.equal(follower.untouched, true);
});

test('a resync of a chunk loads it with the sequence that will do; the subscription stands', async () => {
  const { follower, sent, asked, answer } = await live();
  follower.resync({ kind: 'resync', epoch: EPOCH, chunks: [{ cx: 0, cy: 0, since: 40 }] });
  assert.equal(asked[1], '/chunks/0/0?since=40');
  await answer(41, 2);
  assert.equal(sent.length, 1);
  assert.equal(follower.replica?.chunk(0)?.sequence, 41);
});

test('a resync of a chunk that is held new enough loads nothing: of a blank canvas everything is held at 0', async () => {
  const { follower, asked, answer } = following();
  follower.connected(hello({ sequence: 0 }));
  follower.want([0]);
  await answer(0, 1);
  follower.resync({ kind: 'resync', epoch: EPOCH, chunks: [{ cx: 0, cy: 0, since: 0 }] });
  assert.equal(asked.length, 1);
  follower.frame(frame(0, 1, 2));
  assert.equal(follower.replica?.value(0, 0), 2);
});

test('what is known before the connection is loaded, and followed from there when it opens', async () => {
  const { follower, sent, asked, answer } = following();
  follower.foresee({ width: 300, height: 1 }, 3, EPOCH);
  follower.want([0]);
  await answer(5, 1);
  assert.deepEqual([follower.replica?.value(0, 0), sent.length], [1, 0]);
  follower.connected(hello({ sequence: 7 }));
  assert.equal(asked.length, 1, 'it is not loaded again');
  assert.match(sent[0], /^81/u);
  follower.frame(frame(5, 7, 2));
  assert.equal(follower.replica?.value(0, 0), 2);
});

test('another epoch: everything is loaded and subscribed to afresh', async () => {
  const { follower, sent, asked, answer } = await live();
  follower.resync({ kind: 'resync', epoch: OTHER, chunks: [] });
  assert.equal(asked.length, 2);
  await answer(2, 2, OTHER);
  assert.equal(sent[1], `81${OTHER}00000200000000000000`);
  assert.equal(follower.replica?.value(0, 0), 2);
});

test('after a broken connection it resumes where it was, without loading', async () => {
  const { follower, sent, asked } = await live();
  follower.frame(frame(5, 6, 2));
  follower.disconnected();
  follower.connected(hello({ sequence: 9 }));
  assert.equal(asked.length, 1);
  assert.equal(sent[1], `81${EPOCH}00000600000000000000`);
});

test('a server that comes back with another epoch is loaded afresh', async () => {
  const { follower, asked, answer } = await live();
  follower.disconnected();
  follower.connected(hello({ epoch: OTHER, sequence: 1 }));
  assert.equal(asked.length, 2);
  await answer(1, 2, OTHER);
  assert.equal(follower.replica?.epoch, OTHER);
  assert.equal(follower.replica?.value(0, 0), 2);
});

test('a progress that was under way before the subscription was read claims nothing', async () => {
  const { follower } = await live();
  follower.progress({ kind: 'progress', epoch: EPOCH, sequence: 20 });
  assert.equal(follower.replica?.chunk(0)?.sequence, 5);
  follower.pong(1n);
  follower.progress({ kind: 'progress', epoch: EPOCH, sequence: 21 });
  assert.equal(follower.replica?.chunk(0)?.sequence, 21);
});

test('without a connection chunks still load, and are followed from where they are when there is one', async () => {
  const { follower, asked, sent, answer } = await live();
  follower.disconnected();
  follower.want([0, 1]);
  assert.deepEqual(asked, ['/chunks/0/0', '/chunks/1/0']);
  await answer(6, 2, EPOCH, 44);
  assert.equal(follower.replica?.value(256, 0), 2);
  const before = sent.length;
  follower.connected(hello({ sequence: 7 }));
  assert.equal(asked.length, 2);
  assert.ok(sent[before].startsWith('81'), 'it subscribes to what it holds');
});

test('a chunk no longer wanted is forgotten and unsubscribed from', async () => {
  const { follower, sent } = await live();
  follower.want([1]);
  assert.equal(sent[1], '820000');
  assert.equal(follower.replica?.chunk(0), undefined);
  follower.frame(frame(5, 6, 2));
  assert.equal(follower.replica?.chunk(0), undefined);
});
