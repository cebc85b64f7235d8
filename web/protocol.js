/** The binary dialect of docs/protocol.md: messages from the server read, messages to it written. */

export const SUBPROTOCOL = 'pixels.v1.bin';
/** `charges` of an `ACCEPTED` on a canvas without cooldown. */
export const UNLIMITED_CHARGES = 0xffff_ffff;
/** `retryAfterMs` of a `REFUSED` that makes no sense to try again. */
export const NEVER_MS = 0xffff_ffff;
/** The most placements that one `SUBMIT` carries. */
export const SUBMISSION_PLACEMENTS_MAX = 256;
/** The most steps that one `UNDO` or `REDO` walks. */
export const RETRACED_STEPS_MAX = 256;
/** The most chunks that one `SUBSCRIBE` names. */
export const SUBSCRIBE_CHUNKS_MAX = 256;

/** Why a submission was refused. */
export const Reason = /** @type {const} */ ({
  OUTSIDE: 1, NOT_IN_PALETTE: 2, COUNT: 3, COOLDOWN: 4, RATE: 5, KEY_REUSED: 6,
  BUSY: 7, FROZEN: 8, UNAVAILABLE: 9, UNKNOWN: 10, NO_CANVAS: 11, NEVER_ENOUGH: 12,
  NOTHING_TO_UNDO: 13, NOTHING_TO_REDO: 14,
});

/**
 * An epoch is 16 hex digits, as in the HTTP header; a sequence is a number (below 2^53); a key is a bigint;
 * a colour is 0xRRGGBB; a pixel value is a colour, or an index on a canvas with a palette.
 *
 * @typedef {object} Hello
 * @property {'hello'} kind
 * @property {number} version
 * @property {boolean} frozen
 * @property {boolean} guestsStartCooling
 * @property {boolean} stale the store is away: what is seen may be old, and nothing can be placed
 * @property {string} epoch
 * @property {number} sequence
 * @property {number} serverMs Unix milliseconds
 * @property {number} width
 * @property {number} height
 * @property {number} background a colour
 * @property {number} cooldownMs 0: none
 * @property {number} chargesMax
 * @property {number} submissionPlacementsMax
 * @property {number} inFlightPlacementsMax
 * @property {number} chunksMax
 * @property {number} nameCharactersMax
 * @property {number} person own number in the presence list
 * @property {string} id of the canvas
 * @property {string} name of the canvas
 * @property {number[]} palette colours; none: true colour
 * @property {string} token empty when the client has one
 *
 * @typedef {object} Frame
 * @property {'frame'} kind
 * @property {number} cx
 * @property {number} cy
 * @property {string} epoch
 * @property {number} after
 * @property {number} to
 * @property {Uint16Array} offsets
 * @property {Uint8Array} values as many bytes for each offset as a pixel value has
 *
 * @typedef {{ kind: 'progress', epoch: string, sequence: number }} Progress
 * @typedef {{ kind: 'accepted', key: bigint, first: number, count: number, charges: number, nextMs: number }} Accepted
 * @typedef {{ kind: 'refused', key: bigint, reason: number, retryAfterMs: number, sentence: string }} Refused
 * @typedef {{ kind: 'resync', epoch: string, chunks: { cx: number, cy: number, since: number }[] }} Resync
 * @typedef {{ kind: 'presence', whole: boolean, sockets: number, gone: number[], come: { person: number, name: string }[] }} Presence
 * @typedef {{ kind: 'painters', cx: number, cy: number, painters: { offset: number, name: string }[] }} Painters
 * @typedef {{ kind: 'error', sentence: string }} ErrorMessage
 * @typedef {{ kind: 'pong', nonce: bigint, serverMs: number }} Pong
 * @typedef {{ kind: 'token', expiresMs: number, token: string }} Token
 * @typedef {{ kind: 'painter', x: number, y: number, value: number, sequence: number, paintedMs: number, name: string }} Painter
 *   `sequence` 0: nobody painted there; `name` is empty where it was not recorded
 * @typedef {'undo' | 'redo'} Turn
 * @typedef {Hello | Frame | Progress | Accepted | Refused | Resync | Presence | Painters | ErrorMessage | Pong | Token | Painter} FromServer
 */

/** The server said something that this dialect does not have. */
export class ProtocolError extends Error {}

const utf8 = new TextEncoder();

/** Reads one message from its start; every step past its end throws. */
class Reader {
  #view;
  #at = 0;

  /** @param {ArrayBuffer} message */
  constructor(message) {
    this.#view = new DataView(message);
  }

  get left() {
    return this.#view.byteLength - this.#at;
  }

  u8() {
    return this.#view.getUint8(this.#step(1));
  }

  u16() {
    return this.#view.getUint16(this.#step(2), true);
  }

  u32() {
    return this.#view.getUint32(this.#step(4), true);
  }

  u64() {
    return this.#view.getBigUint64(this.#step(8), true);
  }

  /** A u64 that stays below 2^53: a sequence or a time. */
  count() {
    const value = this.u64();
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new ProtocolError(`${value} is no sequence`);
    return Number(value);
  }

  epoch() {
    return this.u64().toString(16).padStart(16, '0');
  }

  color() {
    return (this.u8() << 16) | (this.u8() << 8) | this.u8();
  }

  /** @param {number} valueBytes */
  value(valueBytes) {
    return valueBytes === 3 ? this.color() : this.u8();
  }

  /** @param {number} length bytes */
  bytes(length) {
    return new Uint8Array(this.#view.buffer, this.#step(length), length);
  }

  /** @param {number} length bytes */
  text(length) {
    return new TextDecoder().decode(this.bytes(length));
  }

  /** @param {number} length bytes */
  #step(length) {
    const at = this.#at;
    if (length > this.left) throw new ProtocolError('the message ends too early');
    this.#at += length;
    return at;
  }
}

/**
 * Reads one message of the server. `null`: a kind that this page does not know, to be ignored.
 * @param {ArrayBuffer} message
 * @param {number} valueBytes bytes of a pixel value: 3, or 1 with a palette
 * @returns {FromServer | null}
 */
export function decode(message, valueBytes) {
  const from = new Reader(message);
  switch (from.u8()) {
    case 0x01:
      return hello(from);
    case 0x02:
      return frame(from, valueBytes);
    case 0x03:
      return { kind: 'progress', epoch: from.epoch(), sequence: from.count() };
    case 0x04:
      return {
        kind: 'accepted', key: from.u64(), first: from.count(), count: from.u16(), charges: from.u32(), nextMs: from.u32(),
      };
    case 0x05:
      return { kind: 'refused', key: from.u64(), reason: from.u8(), retryAfterMs: from.u32(), sentence: from.text(from.left) };
    case 0x06: {
      const epoch = from.epoch();
      const chunks = [];
      while (from.left > 0) chunks.push({ cx: from.u8(), cy: from.u8(), since: from.count() });
      return { kind: 'resync', epoch, chunks };
    }
    case 0x07: {
      const whole = (from.u8() & 1) !== 0;
      const sockets = from.u32();
      const gone = [];
      for (let count = from.u16(); count > 0; count -= 1) gone.push(from.u32());
      const come = [];
      for (let count = from.u16(); count > 0; count -= 1) come.push({ person: from.u32(), name: from.text(from.u8()) });
      return { kind: 'presence', whole, sockets, gone, come };
    }
    case 0x08: {
      const [cx, cy] = [from.u8(), from.u8()];
      const painters = [];
      while (from.left > 0) painters.push({ offset: from.u16(), name: from.text(from.u8()) });
      return { kind: 'painters', cx, cy, painters };
    }
    case 0x09:
      return { kind: 'error', sentence: from.text(from.left) };
    case 0x0a:
      return { kind: 'pong', nonce: from.u64(), serverMs: from.count() };
    case 0x0b:
      return { kind: 'token', expiresMs: from.count(), token: from.text(from.left) };
    case 0x0c:
      return {
        kind: 'painter', x: from.u16(), y: from.u16(), value: from.value(valueBytes), sequence: from.count(),
        paintedMs: from.count(), name: from.text(from.u8()),
      };
    default:
      return null;
  }
}

/** @param {Reader} from @returns {Hello} */
function hello(from) {
  const version = from.u8();
  const flags = from.u8();
  return {
    kind: 'hello',
    version,
    frozen: (flags & 1) !== 0,
    guestsStartCooling: (flags & 2) !== 0,
    stale: (flags & 4) !== 0,
    epoch: from.epoch(),
    sequence: from.count(),
    serverMs: from.count(),
    width: from.u32(),
    height: from.u32(),
    background: from.color(),
    cooldownMs: from.u32(),
    chargesMax: from.u32(),
    submissionPlacementsMax: from.u16(),
    inFlightPlacementsMax: from.u16(),
    chunksMax: from.u16(),
    nameCharactersMax: from.u8(),
    person: from.u32(),
    id: from.text(from.u8()),
    name: from.text(from.u16()),
    palette: Array.from({ length: from.u16() }, () => from.color()),
    token: from.text(from.u16()),
  };
}

/** @param {Reader} from @param {number} valueBytes @returns {Frame} */
function frame(from, valueBytes) {
  const [cx, cy] = [from.u8(), from.u8()];
  const epoch = from.epoch();
  const to = from.count();
  const after = to - from.u32();
  const count = from.left / (2 + valueBytes);
  if (!Number.isInteger(count) || after < 0) throw new ProtocolError('a frame of an impossible length');
  const offsets = new Uint16Array(count);
  const values = new Uint8Array(count * valueBytes);
  for (let index = 0; index < count; index += 1) {
    offsets[index] = from.u16();
    values.set(from.bytes(valueBytes), index * valueBytes);
  }
  return { kind: 'frame', cx, cy, epoch, after, to, offsets, values };
}

/** Writes one message of a known length. */
class Writer {
  #view;
  #at = 0;

  /** @param {number} kind @param {number} length bytes after the kind */
  constructor(kind, length) {
    this.#view = new DataView(new ArrayBuffer(1 + length));
    this.u8(kind);
  }

  get done() {
    return this.#view.buffer;
  }

  /** @param {number} value */
  u8(value) {
    this.#view.setUint8(this.#at, value);
    this.#at += 1;
  }

  /** @param {number} value */
  u16(value) {
    this.#view.setUint16(this.#at, value, true);
    this.#at += 2;
  }

  /** @param {bigint} value */
  u64(value) {
    this.#view.setBigUint64(this.#at, value, true);
    this.#at += 8;
  }

  /** @param {Uint8Array} bytes */
  bytes(bytes) {
    new Uint8Array(this.#view.buffer).set(bytes, this.#at);
    this.#at += bytes.length;
  }
}

/**
 * `SUBSCRIBE`: view these chunks too; `have` is the sequence that each is held at, 0 for not held.
 * @param {string} epoch @param {{ cx: number, cy: number, have: number }[]} chunks 1 to 256
 */
export function subscribe(epoch, chunks) {
  const to = new Writer(0x81, 8 + chunks.length * 10);
  to.u64(BigInt(`0x${epoch}`));
  for (const { cx, cy, have } of chunks) {
    to.u8(cx);
    to.u8(cy);
    to.u64(BigInt(have));
  }
  return to.done;
}

/** `UNSUBSCRIBE`: view these chunks no longer. @param {{ cx: number, cy: number }[]} chunks */
export function unsubscribe(chunks) {
  const to = new Writer(0x82, chunks.length * 2);
  for (const { cx, cy } of chunks) {
    to.u8(cx);
    to.u8(cy);
  }
  return to.done;
}

/**
 * `SUBMIT`: paint these, all or none.
 * @param {bigint} key @param {{ x: number, y: number, value: number }[]} placements 1 to 256
 * @param {number} valueBytes bytes of a pixel value: 3, or 1 with a palette
 */
export function submit(key, placements, valueBytes) {
  const to = new Writer(0x83, 8 + placements.length * (4 + valueBytes));
  to.u64(key);
  for (const { x, y, value } of placements) {
    to.u16(x);
    to.u16(y);
    if (valueBytes === 3) {
      to.u8(value >> 16);
      to.u8((value >> 8) & 0xff);
    }
    to.u8(value & 0xff);
  }
  return to.done;
}

/**
 * `UNDO` or `REDO`: take back or repeat one's own placements, as many as can be.
 * @param {Turn} turn @param {bigint} key @param {number} count 1 to 256
 */
export function retrace(turn, key, count) {
  const to = new Writer(turn === 'undo' ? 0x87 : 0x88, 10);
  to.u64(key);
  to.u16(count);
  return to.done;
}

/** `WHO`: ask who painted a pixel and when. @param {number} x @param {number} y */
export function who(x, y) {
  const to = new Writer(0x89, 4);
  to.u16(x);
  to.u16(y);
  return to.done;
}

/** `NAME`: be called this; empty forgets it. @param {string} text */
export function name(text) {
  return textMessage(0x84, text);
}

/** `PING`: ask for the same 8 bytes back. @param {bigint} nonce */
export function ping(nonce) {
  const to = new Writer(0x85, 8);
  to.u64(nonce);
  return to.done;
}

/** `IDENTIFY`: be who this token says. @param {string} token */
export function identify(token) {
  return textMessage(0x86, token);
}

/** @param {number} kind @param {string} text */
function textMessage(kind, text) {
  const bytes = utf8.encode(text);
  const to = new Writer(kind, bytes.length);
  to.bytes(bytes);
  return to.done;
}
