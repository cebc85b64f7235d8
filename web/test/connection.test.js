/** A connection that breaks, hangs, sleeps and comes back. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';

import {
  ATTEMPT_MS_MAX, Connection, DEAD_AFTER_SILENCE_MS, SHORT_OUTAGE_MS, SHORT_OUTAGE_WAIT_MS_MAX, WAIT_MS_MAX, waitMs,
} from '../connection.js';

/** @type {{ kind: string, hex: string }[]} */
const vectors = JSON.parse(readFileSync(new URL('../../crates/protocol/vectors/binary.json', import.meta.url), 'utf8'));
/** Of a fresh guest: it carries the token `a.b.c`. */
const HELLO = vectors[0].hex;

test('waits double, stay below their most, and are short while the outage is', () => {
  for (const random of [0, 0.5, 0.999]) {
    assert.ok(waitMs(0, 0, random) <= 500);
    assert.ok(waitMs(1, 0, random) <= 1_000);
    for (let attempt = 0; attempt < 40; attempt += 1) {
      assert.ok(waitMs(attempt, SHORT_OUTAGE_MS - 1, random) <= SHORT_OUTAGE_WAIT_MS_MAX);
      assert.ok(waitMs(attempt, SHORT_OUTAGE_MS, random) <= WAIT_MS_MAX);
    }
  }
  assert.equal(waitMs(20, 60_000, 1), WAIT_MS_MAX);
  assert.equal(waitMs(20, 60_000, 0), 0);
});

/** Sockets, time and storage that a test moves by hand. @param {import('node:test').TestContext} context */
function world(context) {
  context.mock.timers.enable({ apis: ['setTimeout', 'setInterval'] });
  let now = 0;
  /** @type {any[]} */
  const sockets = [];
  /** @type {string[]} */
  const sent = [];
  /** @type {string[]} */
  const states = [];
  const tokens = { kept: '' };
  /** @type {number[]} */
  const failures = [];
  const connection = new Connection('ws://here/ws', {
    open: () => {
      const socket = { closed: false, close() { this.closed = true; }, send: (/** @type {ArrayBuffer} */ bytes) => sent.push(Buffer.from(bytes).toString('hex')) };
      sockets.push(socket);
      return /** @type {any} */ (socket);
    },
    now: () => now,
    random: () => 1,
    tokens: { load: () => tokens.kept, save: (token) => { tokens.kept = token; } },
  }, { message: () => undefined, state: (state) => states.push(state), failed: (attempts) => failures.push(attempts) });
  return {
    connection, sockets, sent, states, tokens, failures,
    /** @param {number} ms */
    pass(ms) {
      for (let left = ms; left > 0; left -= 100) {
        now += Math.min(100, left);
        context.mock.timers.tick(Math.min(100, left));
      }
    },
    /** @param {string} hex */
    hear(hex) {
      sockets.at(-1).onmessage({ data: Uint8Array.from(Buffer.from(hex, 'hex')).buffer });
    },
    /** @param {number} [code] */
    close(code = 1006) {
      sockets.at(-1).onclose({ code });
    },
  };
}

test('a broken connection comes back by itself', (context) => {
  const { connection, sockets, states, hear, close, pass } = world(context);
  connection.start();
  hear(HELLO);
  assert.ok(connection.live);
  close();
  assert.ok(!connection.live);
  pass(600);
  assert.equal(sockets.length, 2);
  hear(HELLO);
  assert.deepEqual(states, ['live', 'reconnecting', 'live']);
  connection.stop();
});

test('an outage of ten seconds is over within three seconds of the return', (context) => {
  const { connection, sockets, hear, close, pass } = world(context);
  connection.start();
  hear(HELLO);
  pass(5_000);
  close();
  for (let passed = 0; passed < 10_000; passed += 100) {
    pass(100);
    if (sockets.at(-1).onclose !== null && !sockets.at(-1).closed) close();
  }
  const before = sockets.length;
  pass(2_100);
  assert.ok(sockets.length > before);
  hear(HELLO);
  assert.ok(connection.live);
  connection.stop();
});

test('an attempt that hangs is given up', (context) => {
  const { connection, sockets, pass } = world(context);
  connection.start();
  pass(ATTEMPT_MS_MAX + 2_000);
  assert.ok(sockets[0].closed);
  assert.equal(sockets.length, 2);
  connection.stop();
});

test('silence is asked about, then taken for death', (context) => {
  const { connection, sockets, sent, hear, pass } = world(context);
  connection.start();
  hear(HELLO);
  pass(17_000);
  assert.ok(sent.some((message) => message.startsWith('85')));
  pass(DEAD_AFTER_SILENCE_MS);
  assert.ok(sockets[0].closed);
  assert.ok(sockets.length >= 2);
  connection.stop();
});

test('after waking up, a connection that does not answer is replaced within half a second', (context) => {
  const { connection, sockets, hear, pass } = world(context);
  connection.start();
  hear(HELLO);
  pass(1_000);
  connection.wake();
  connection.wake();
  pass(500);
  assert.ok(sockets[0].closed);
  assert.equal(sockets.length, 2);
  hear(HELLO);
  pass(1_000);
  assert.equal(sockets.length, 2, 'the new one stays');
  connection.stop();
});

test('after waking up, a connection that answers stays', (context) => {
  const { connection, sockets, hear, pass } = world(context);
  connection.start();
  hear(HELLO);
  connection.wake();
  pass(300);
  hear('0a01000000000000000000000000000000');
  pass(5_000);
  assert.equal(sockets.length, 1);
  connection.stop();
});

test('after waking up, frames that lay there since before the sleep prove nothing', (context) => {
  const { connection, sockets, hear, pass } = world(context);
  connection.start();
  hear(HELLO);
  connection.ping();
  connection.wake();
  pass(100);
  hear(HELLO);
  hear('0a01000000000000000000000000000000'); // The pong of the ping before the sleep.
  pass(400);
  assert.ok(sockets[0].closed);
  assert.equal(sockets.length, 2);
  connection.stop();
});

test('attempts that fail are counted until one does not; at rest there are none until it is woken', (context) => {
  const { connection, sockets, failures, hear, close, pass } = world(context);
  connection.start();
  close();
  pass(600);
  close();
  assert.deepEqual(failures, [1, 2]);
  connection.rest();
  const before = sockets.length;
  pass(60_000);
  assert.equal(sockets.length, before);
  connection.wake();
  hear(HELLO);
  close();
  assert.deepEqual(failures, [1, 2], 'one that was live has not failed');
  connection.stop();
});

test('waking up ends a wait at once', (context) => {
  const { connection, sockets, hear, close } = world(context);
  connection.start();
  hear(HELLO);
  close();
  connection.wake();
  assert.equal(sockets.length, 2);
  connection.stop();
});

test('a fresh guest keeps its token, and says next time who it was', (context) => {
  const { connection, sent, tokens, hear, close, pass } = world(context);
  connection.start();
  hear(HELLO);
  assert.equal(tokens.kept, 'a.b.c');
  assert.equal(sent.length, 0);
  tokens.kept = 'x.y.z';
  close();
  pass(600);
  hear(HELLO);
  assert.deepEqual(sent, [`86${Buffer.from('x.y.z').toString('hex')}`]);
  hear('0b0000000000000000');
  assert.equal(tokens.kept, 'a.b.c', 'a token that is not valid gives way to the fresh one');
  connection.stop();
});

test('rubbish from the server ends the connection, not the page', (context) => {
  const { connection, sockets, hear, pass } = world(context);
  connection.start();
  hear(HELLO);
  hear('03ff');
  assert.ok(sockets[0].closed);
  pass(600);
  assert.equal(sockets.length, 2);
  connection.stop();
});
