/** Loading chunks: a few at a time, patiently where nobody answers. */

import assert from 'node:assert/strict';
import test from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';

import { ChunkLoader, FIRST_RETRY_MS, REQUESTS_MAX, RETRY_MS_MAX } from '../chunks.js';

/** A loader whose server a test plays. @param {import('node:test').TestContext} context */
function loading(context) {
  context.mock.timers.enable({ apis: ['setTimeout'] });
  /** @type {{ url: string, answer: (response: Response) => void, fail: (error: Error) => void, signal: AbortSignal }[]} */
  const asked = [];
  /** @type {number[]} */
  const loaded = [];
  const loader = new ChunkLoader('', (url, { signal }) => new Promise((answer, fail) => {
    assert.ok(signal instanceof AbortSignal);
    asked.push({ url, answer, fail, signal });
  }), (cx) => loaded.push(cx));
  loader.resume();
  const settle = async () => { for (let turns = 0; turns < 6; turns += 1) await turn(); };
  return {
    loader, asked, loaded,
    /** @param {number} index */
    async answer(index) {
      asked[index].answer(new Response(new Uint8Array(1), { headers: { Epoch: 'a', Sequence: '1' } }));
      await settle();
    },
    /** @param {number} index */
    async fail(index) {
      asked[index].fail(new TypeError());
      await settle();
    },
    /** @param {number} ms */
    async pass(ms) {
      context.mock.timers.tick(ms);
      await settle();
    },
  };
}

test('so many requests are under way at once, and no more', async (context) => {
  const { loader, asked, loaded, answer } = loading(context);
  for (let cx = 0; cx < 10; cx += 1) loader.load(cx, 0, 0);
  assert.equal(asked.length, REQUESTS_MAX);
  await answer(0);
  assert.deepEqual([asked.length, loaded], [REQUESTS_MAX + 1, [0]]);
});

test('in doubt one request asks, and when it is answered the others follow', async (context) => {
  const { loader, asked, loaded, answer } = loading(context);
  for (let cx = 0; cx < 10; cx += 1) loader.load(cx, 0, 0);
  loader.doubt();
  assert.ok(asked.slice(0, REQUESTS_MAX).every(({ signal }) => signal.aborted), 'what may never be answered is given up');
  assert.equal(asked.length, REQUESTS_MAX + 1);
  await answer(REQUESTS_MAX);
  assert.equal(loaded.length, 1);
  assert.equal(asked.length, 2 * REQUESTS_MAX + 1);
});

test('a server that is away is asked for one thing at a time, ever more seldom, and for all of it when it is back', async (context) => {
  const { loader, asked, fail, pass, answer, loaded } = loading(context);
  loader.doubt();
  for (let cx = 0; cx < 4; cx += 1) loader.load(cx, 0, 0);
  assert.equal(asked.length, 1);
  await fail(0);
  await pass(FIRST_RETRY_MS - 1);
  assert.equal(asked.length, 1);
  await pass(1);
  assert.equal(asked.length, 2);
  for (let time = 0; time < 12; time += 1) {
    await fail(asked.length - 1);
    await pass(RETRY_MS_MAX);
  }
  assert.equal(asked.length, 14, 'one after each wait');
  await fail(13);
  loader.resume();
  assert.equal(asked.length, 18, 'at once');
  for (let index = 14; index < 18; index += 1) await answer(index);
  assert.deepEqual(loaded.toSorted(), [0, 1, 2, 3]);
  await pass(RETRY_MS_MAX);
  assert.equal(asked.length, 18);
});

test('what failed before is asked for at once when there is a connection again', async (context) => {
  const { loader, asked, fail, answer, loaded } = loading(context);
  loader.load(0, 0, 0);
  await fail(0);
  loader.doubt();
  assert.equal(asked.length, 2);
  loader.resume();
  assert.ok(asked[1].signal.aborted);
  await answer(2);
  assert.deepEqual(loaded, [0]);
});
