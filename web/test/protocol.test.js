/** The dialect against the golden vectors that the Rust tests read as well. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';

import { NEVER_MS, ProtocolError, UNLIMITED_CHARGES, decode, identify, name, ping, retrace, submit, subscribe, unsubscribe, who } from '../protocol.js';

/** @typedef {{ name: string, kind: string, direction: string, canvas: { palette: string[] | null }, hex: string, message: any }} Vector */

/** @type {Vector[]} */
const vectors = JSON.parse(readFileSync(new URL('../../crates/protocol/vectors/binary.json', import.meta.url), 'utf8'));

/** @param {string} hex */
function bytes(hex) {
  return Uint8Array.from(Buffer.from(hex, 'hex')).buffer;
}

/** @param {number} color */
function written(color) {
  return `#${color.toString(16).padStart(6, '0').toUpperCase()}`;
}

/** @param {string} color @param {string[] | null} palette */
function value(color, palette) {
  return palette === null ? Number.parseInt(color.slice(1), 16) : palette.indexOf(color);
}

/** What the page decoded, in the words of the vectors. @param {import('../protocol.js').FromServer} message @param {string[] | null} palette @returns {any} */
function inWords(message, palette) {
  switch (message.kind) {
    case 'hello': {
      const { kind: _, sequence, serverMs, background, palette: colors, chunksMax, ...rest } = message;
      return {
        ...rest, sequence: String(sequence), now: String(serverMs), background: written(background),
        palette: colors.length === 0 ? null : colors.map(written), chunksSubscribedMax: chunksMax,
      };
    }
    case 'frame': {
      const width = palette === null ? 3 : 1;
      const pixels = [...message.offsets].map((offset, index) => {
        const stored = [...message.values.slice(index * width, (index + 1) * width)];
        const color = palette === null ? `#${Buffer.from(stored).toString('hex').toUpperCase()}` : palette[stored[0]];
        return { offset, color };
      });
      return { cx: message.cx, cy: message.cy, epoch: message.epoch, after: String(message.after), to: String(message.to), pixels };
    }
    case 'progress': return { epoch: message.epoch, sequence: String(message.sequence) };
    case 'accepted': return {
      key: String(message.key), first: String(message.first), count: message.count,
      charges: message.charges === UNLIMITED_CHARGES ? null : message.charges, nextMs: message.nextMs,
    };
    case 'refused': return {
      key: String(message.key), reason: message.reason,
      retryAfterMs: message.retryAfterMs === NEVER_MS ? null : message.retryAfterMs, sentence: message.sentence,
    };
    case 'resync': return {
      epoch: message.epoch, chunks: message.chunks.map(({ cx, cy, since }) => ({ cx, cy, since: String(since) })),
    };
    case 'presence': return { whole: message.whole, sockets: message.sockets, gone: message.gone, come: message.come };
    case 'painters': return { cx: message.cx, cy: message.cy, painters: message.painters };
    case 'error': return { sentence: message.sentence };
    case 'pong': return { echo: message.nonce, now: String(message.serverMs) };
    case 'token': return { expires: String(message.expiresMs), token: message.token };
    case 'painter': return {
      x: message.x, y: message.y, color: palette === null ? written(message.value) : palette[message.value],
      sequence: String(message.sequence), painted: String(message.paintedMs), name: message.name === '' ? null : message.name,
    };
    default: return undefined;
  }
}

/** The page's bytes of a message to the server. @param {Vector} vector */
function written8(vector) {
  const { kind, message, canvas } = vector;
  switch (kind) {
    case 'SUBSCRIBE': return subscribe(message.epoch, message.chunks.map((/** @type {any} */ chunk) => ({ ...chunk, have: Number(chunk.have) })));
    case 'UNSUBSCRIBE': return unsubscribe(message.chunks);
    case 'SUBMIT': return submit(BigInt(message.key), message.placements.map((/** @type {any} */ { x, y, color }) => (
      { x, y, value: value(color, canvas.palette) })), canvas.palette === null ? 3 : 1);
    case 'NAME': return name(message.name);
    case 'PING': return ping(Buffer.from(message.echo, 'hex').readBigUInt64LE());
    case 'IDENTIFY': return identify(message.token);
    case 'UNDO': return retrace('undo', BigInt(message.key), message.count);
    case 'REDO': return retrace('redo', BigInt(message.key), message.count);
    case 'WHO': return who(message.x, message.y);
    default: throw new Error(`the page does not write ${kind}`);
  }
}

for (const vector of vectors) {
  test(`${vector.kind}: ${vector.name}`, () => {
    if (vector.direction === 'toClient') {
      const message = decode(bytes(vector.hex), vector.canvas.palette === null ? 3 : 1);
      assert.ok(message);
      const words = inWords(message, vector.canvas.palette);
      if (message.kind === 'pong') {
        const echo = Buffer.alloc(8);
        echo.writeBigUInt64LE(message.nonce);
        words.echo = echo.toString('hex');
      }
      assert.deepEqual(words, vector.message);
    } else {
      assert.equal(Buffer.from(written8(vector)).toString('hex'), vector.hex);
    }
  });
}

test('a kind that the page does not know is ignored', () => {
  assert.equal(decode(bytes('7f0102'), 3), null);
});

test('bytes after those known in ACCEPTED are ignored', () => {
  const accepted = vectors.find(({ kind }) => kind === 'ACCEPTED');
  assert.ok(accepted);
  assert.deepEqual(decode(bytes(`${accepted.hex}ffff`), 3), decode(bytes(accepted.hex), 3));
});

test('a message that ends too early is an error, wherever it ends', () => {
  const cut = vectors.filter(({ kind }) => ['HELLO', 'PROGRESS', 'ACCEPTED', 'PONG', 'PAINTER'].includes(kind));
  for (const { hex, canvas } of cut) {
    for (let length = 2; length < hex.length; length += 2) {
      assert.throws(() => decode(bytes(hex.slice(0, length)), canvas.palette === null ? 3 : 1), ProtocolError);
    }
  }
});

test('rubbish is an error or a message, never anything else', () => {
  let state = 1;
  const next = () => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    return state >> 16;
  };
  for (let round = 0; round < 20_000; round += 1) {
    const rubbish = Uint8Array.from({ length: 1 + next() % 60 }, () => next() & 0xff);
    rubbish[0] = 1 + next() % 13;
    try {
      decode(rubbish.buffer, 3);
    } catch (error) {
      assert.ok(error instanceof ProtocolError, String(error));
    }
  }
});
