/** Keeps the replica in step with the server: load, subscribe, resume, resync. */

import { ChunkLoader } from './chunks.js';
import { chunkKey, chunkOf } from './geometry.js';
import { SUBSCRIBE_CHUNKS_MAX, subscribe, unsubscribe } from './protocol.js';
import { Replica } from './replica.js';

/** Frames kept for a chunk while it loads; beyond, it is loaded once more, from the newest on. */
export const WAITING_FRAMES_MAX = 512;
/** A snapshot of another epoch than the connection's is asked for again after this. */
const OTHER_EPOCH_RETRY_MS = 500;
/** And after this while there is no connection that could bring news of that epoch. */
const OTHER_EPOCH_RETRY_APART_MS = 8_000;

/**
 * @typedef {import('./protocol.js').Hello} Hello
 * @typedef {import('./protocol.js').Frame} Frame
 * @typedef {import('./protocol.js').Resync} Resync
 * @typedef {import('./protocol.js').Progress} Progress
 * @typedef {import('./chunks.js').Snapshot} Snapshot
 *
 * @typedef {object} Wire
 * @property {(bytes: ArrayBuffer) => boolean} send
 * @property {() => bigint} ping whose pong proves that everything sent before was read
 *
 * @typedef {object} Listener
 * @property {(key: number) => void} loaded a whole chunk is new
 * @property {(frame: Frame) => void} painted pixels of a chunk changed
 * @property {(key: number, sequence: number) => void} reached a chunk is exact up to here
 * @property {(key: number) => void} dropped a chunk is no longer held
 * @property {() => void} restarted history was replaced: sequences mean something else now
 */

export class Follower {
  #wire;
  #listener;
  #loader;
  /** @type {Replica | null} */
  #replica = null;
  #chunksMax = 0;
  #connected = false;
  #sequence = 0;
  /** The sequence at which nobody had painted yet; `null`: the first that is heard of a history that has just begun. @type {number | null} */
  #untouchedAt = 0;
  /** The newest sequence heard of before that. A reset goes on counting; a history that was rolled back does not, and may be painted. */
  #formerly = 0;
  /** Wanted, the most wanted first. @type {Set<number>} */
  #wanted = new Set();
  /** The server sends frames of these, or will when it has read what is on its way. @type {Set<number>} */
  #subscribed = new Set();
  /**
   * The server has read the subscription of these, so that a `PROGRESS` speaks of them too. Before,
   * one that was under way already would claim more than the chunk has.
   * @type {Set<number>}
   */
  #settled = new Set();
  /** Pings behind subscriptions. @type {Map<bigint, number[]>} */
  #barriers = new Map();
  /** Frames that came while their chunk was loading. @type {Map<number, Frame[]>} */
  #waiting = new Map();

  /** @param {Wire} wire @param {string} chunksPath @param {import('./chunks.js').Fetch} fetch @param {Listener} listener */
  constructor(wire, chunksPath, fetch, listener) {
    this.#wire = wire;
    this.#listener = listener;
    this.#loader = new ChunkLoader(chunksPath, fetch, (cx, cy, snapshot) => this.#arrive(cx, cy, snapshot));
  }

  /** What is held; `null` before the first hello. */
  get replica() {
    return this.#replica;
  }

  /** The newest sequence heard of. */
  get sequence() {
    return this.#sequence;
  }

  /** Nobody has painted in this history yet, as far as the server has said. */
  get untouched() {
    return this.#sequence <= (this.#untouchedAt ?? 0);
  }

  /** Wanted chunks that are not held yet. */
  get missing() {
    let count = 0;
    for (const key of this.#wanted) if (this.#replica?.chunk(key) === undefined) count += 1;
    return count;
  }

  /**
   * There is no connection yet, but it is known what the canvas is like: load what is wanted meanwhile.
   * @param {import('./geometry.js').Size} size @param {number} paletteLength @param {string} epoch
   */
  foresee(size, paletteLength, epoch) {
    if (this.#replica !== null) return;
    this.#replica = new Replica(size, paletteLength, epoch);
    this.#loader.resume();
  }

  /** A connection opened: carry on from what is held. @param {Hello} hello */
  connected(hello) {
    this.#connected = true;
    this.#loader.resume();
    this.#chunksMax = hello.chunksMax;
    this.#subscribed.clear();
    this.#settled.clear();
    this.#barriers.clear();
    const replica = this.#replica;
    const same = replica !== null && replica.size.width === hello.width && replica.size.height === hello.height
      && (replica.valueBytes === 3) === (hello.palette.length === 0);
    if (!same) {
      this.#forget();
      if (replica !== null) this.#listener.restarted();
      this.#untouchedAt = 0;
      this.#replica = new Replica({ width: hello.width, height: hello.height }, hello.palette.length, hello.epoch);
    } else if (replica.epoch !== hello.epoch) {
      this.#restart(hello.epoch);
    }
    this.#sequence = hello.sequence;
    this.#untouchedAt ??= 0; // What happened before this hello is not known.
    this.#subscribe([...this.#replica?.keys() ?? []]);
    this.want([...this.#wanted]);
  }

  /** The connection broke: hold what there is, and go on loading, for the server may be there for whoever looks. */
  disconnected() {
    this.#connected = false;
    this.#loader.doubt();
  }

  /** Follow these chunks, the most wanted first, and no others. @param {number[]} keys */
  want(keys) {
    const wanted = new Set(this.#chunksMax > 0 ? keys.slice(0, this.#chunksMax) : keys);
    const gone = [];
    for (const key of this.#wanted) {
      if (!wanted.has(key)) gone.push(key);
    }
    this.#wanted = wanted;
    this.#abandon(gone);
    if (this.#replica === null) return;
    for (const key of wanted) {
      if (this.#replica.chunk(key) === undefined && !this.#loader.has(key)) this.#load(key, 0);
    }
    this.#loader.prefer(wanted);
  }

  /** @param {Frame} frame */
  frame(frame) {
    const key = chunkKey(frame.cx, frame.cy);
    if (!this.#wanted.has(key)) return;
    this.#sequence = Math.max(this.#sequence, frame.to);
    const waiting = this.#waiting.get(key);
    if (waiting === undefined) {
      this.#apply(key, frame);
    } else if (waiting.length < WAITING_FRAMES_MAX) {
      waiting.push(frame);
    } else {
      this.#load(key, frame.to);
    }
  }

  /** @param {Progress} progress */
  progress(progress) {
    const replica = this.#replica;
    if (replica === null || progress.epoch !== replica.epoch) return;
    this.#untouchedAt ??= progress.sequence > this.#formerly ? progress.sequence : 0;
    this.#sequence = Math.max(this.#sequence, progress.sequence);
    for (const key of this.#settled) {
      if (this.#waiting.has(key)) continue;
      replica.progress(key, progress.epoch, progress.sequence);
      this.#listener.reached(key, progress.sequence);
    }
  }

  /** @param {Resync} resync */
  resync(resync) {
    if (resync.chunks.length === 0) {
      this.#subscribed.clear(); // The server has dropped them all.
      this.#settled.clear();
      this.#barriers.clear();
      this.#restart(resync.epoch);
    } else if (resync.epoch === this.#replica?.epoch) {
      for (const { cx, cy, since } of resync.chunks) {
        const key = chunkKey(cx, cy);
        const held = this.#replica.chunk(key);
        // Held at 0, which is new enough where nobody ever painted, is for the server the same as not held.
        const newEnough = held !== undefined && held.sequence >= since && !this.#waiting.has(key);
        if (this.#wanted.has(key) && !newEnough) this.#load(key, since);
      }
    }
  }

  /** @param {bigint} nonce */
  pong(nonce) {
    const keys = this.#barriers.get(nonce) ?? [];
    this.#barriers.delete(nonce);
    for (const key of keys) if (this.#subscribed.has(key)) this.#settled.add(key);
  }

  /** @param {number} key @param {Frame} frame */
  #apply(key, frame) {
    switch (this.#replica?.apply(frame)) {
      case 'applied':
        this.#listener.painted(frame);
        this.#listener.reached(key, frame.to);
        break;
      case 'gap':
      case 'invalid':
      case 'not held':
        this.#load(key, frame.to);
        break;
      case 'other epoch':
        this.#restart(frame.epoch);
        break;
      default:
    }
  }

  /** @param {number} key @param {number} since */
  #load(key, since) {
    const { cx, cy } = chunkOf(key);
    this.#waiting.set(key, []);
    this.#loader.load(cx, cy, since);
  }

  /** Asks again for what did not fit, if it is wanted still. @param {number} key @param {number} ms */
  #loadLater(key, ms) {
    const { cx, cy } = chunkOf(key);
    setTimeout(() => {
      if (this.#wanted.has(key) && this.#waiting.has(key) && !this.#loader.has(key)) this.#loader.load(cx, cy, 0);
    }, ms);
  }

  /** @param {number} cx @param {number} cy @param {Snapshot} snapshot */
  #arrive(cx, cy, snapshot) {
    const key = chunkKey(cx, cy);
    const replica = this.#replica;
    if (replica === null || !this.#wanted.has(key)) return;
    if (snapshot.epoch !== replica.epoch) {
      // Either an old copy, or news of an epoch that the socket will bring as well.
      this.#loadLater(key, this.#connected ? OTHER_EPOCH_RETRY_MS : OTHER_EPOCH_RETRY_APART_MS);
      return;
    }
    const taken = replica.load(cx, cy, snapshot.epoch, snapshot.sequence, snapshot.pixels);
    const held = replica.chunk(key);
    const frames = this.#waiting.get(key) ?? [];
    if (held === undefined) {
      this.#loadLater(key, OTHER_EPOCH_RETRY_MS);
      return;
    }
    this.#waiting.delete(key);
    if (taken) this.#listener.loaded(key);
    for (const frame of frames) {
      // A frame that does not fit starts another load, and the frames after it wait for that one.
      const waiting = this.#waiting.get(key);
      if (waiting === undefined) this.#apply(key, frame);
      else waiting.push(frame);
    }
    this.#listener.reached(key, held.sequence);
    if (!this.#subscribed.has(key)) this.#subscribe([key]);
  }

  /** @param {number[]} keys of chunks held */
  #subscribe(keys) {
    const replica = this.#replica;
    if (replica === null || !this.#connected || keys.length === 0) return;
    for (let start = 0; start < keys.length; start += SUBSCRIBE_CHUNKS_MAX) {
      const part = keys.slice(start, start + SUBSCRIBE_CHUNKS_MAX);
      this.#wire.send(subscribe(replica.epoch, part.map((key) => ({ ...chunkOf(key), have: replica.chunk(key)?.sequence ?? 0 }))));
    }
    for (const key of keys) this.#subscribed.add(key);
    this.#barriers.set(this.#wire.ping(), keys);
  }

  /** @param {number[]} keys no longer wanted */
  #abandon(keys) {
    const subscribed = keys.filter((key) => this.#subscribed.delete(key));
    for (const key of keys) {
      this.#settled.delete(key);
      this.#waiting.delete(key);
      this.#loader.cancel(key);
      this.#replica?.drop(key);
      this.#listener.dropped(key);
    }
    if (subscribed.length > 0 && this.#connected) this.#wire.send(unsubscribe(subscribed.map(chunkOf)));
  }

  /** History was replaced: nothing held is worth anything. The picture stays until its chunks arrive. @param {string} epoch */
  #restart(epoch) {
    this.#forget();
    [this.#formerly, this.#sequence] = [this.#sequence, 0];
    this.#untouchedAt = null;
    this.#replica?.restart(epoch);
    this.#listener.restarted();
    if (this.#connected) this.want([...this.#wanted]);
  }

  #forget() {
    for (const key of this.#wanted) this.#loader.cancel(key);
    this.#waiting.clear();
  }
}
