/** One canvas' socket: opens it, notices when it is dead, and comes back with jitter. */

import { ProtocolError, SUBPROTOCOL, decode, identify, ping } from './protocol.js';

/** The first wait after a broken connection is at most this; it doubles with every attempt. */
export const FIRST_WAIT_MS = 500;
/** The longest wait between two attempts. */
export const WAIT_MS_MAX = 10_000;
/** While an outage is younger than this, a server that returns is found again quickly. */
export const SHORT_OUTAGE_MS = 15_000;
/** The longest wait between two attempts in a short outage. */
export const SHORT_OUTAGE_WAIT_MS_MAX = 2_000;
/** An attempt that has not said hello by then is given up. */
export const ATTEMPT_MS_MAX = 5_000;
/** A connection that lived this long is healthy: the next outage starts with short waits again. */
export const HEALTHY_AFTER_MS = 3_000;
/** After so much silence the page asks whether anyone is there. */
export const PING_AFTER_SILENCE_MS = 15_000;
/** After so much silence the connection is dead. */
export const DEAD_AFTER_SILENCE_MS = 35_000;
/** After waking up the server has this long to answer a ping; then a new connection is faster than waiting. */
export const WAKE_ANSWER_MS_MAX = 400;
/** An attempt that is older than this when the page wakes up was begun before it slept. */
const WAKE_ATTEMPT_MS_MAX = 2_000;
/** How often silence is looked at. */
const WATCH_INTERVAL_MS = 1_000;
/** Close code of a server that will not have this connection. */
const CLOSE_NOT_ALLOWED = 1008;

/**
 * @typedef {import('./protocol.js').FromServer} FromServer
 * @typedef {'connecting' | 'live' | 'reconnecting' | 'turned away'} ConnectionState
 * @typedef {object} Edge what the world outside gives; tests give their own
 * @property {(url: string, subprotocol: string) => WebSocket} open
 * @property {() => number} now milliseconds that only grow
 * @property {() => number} random from 0 to 1
 * @property {{ load: () => string, save: (token: string) => void }} tokens where the token to come back with is kept
 *
 * @typedef {object} Listener
 * @property {(message: FromServer, first: boolean) => void} message `first`: the hello that opens a connection
 * @property {(state: ConnectionState) => void} state
 * @property {(attempts: number) => void} [failed] so many attempts in a row were not answered with a hello
 */

/**
 * How long to wait before the next attempt: full jitter, doubling.
 * @param {number} attempt attempts that failed since the last healthy connection
 * @param {number} outageMs how long there has been no connection
 * @param {number} random from 0 to 1
 */
export function waitMs(attempt, outageMs, random) {
  const most = outageMs < SHORT_OUTAGE_MS ? SHORT_OUTAGE_WAIT_MS_MAX : WAIT_MS_MAX;
  return random * Math.min(most, FIRST_WAIT_MS * 2 ** Math.min(attempt, 10));
}

export class Connection {
  #url;
  #edge;
  #listener;
  /** @type {WebSocket | null} */
  #socket = null;
  /** @type {ConnectionState} */
  #state = 'connecting';
  #valueBytes = 3;
  #attempt = 0;
  #failures = 0;
  #brokenAt;
  #openedAt = 0;
  #liveAt = 0;
  #heardAt = 0;
  #askedAt = 0;
  #nonce = 0n;
  /** The token of this connection's hello. */
  #fresh = '';
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #retry;
  /** Runs while the answer to a wake-up's ping is waited for. @type {ReturnType<typeof setTimeout> | undefined} */
  #waking;
  /** Of that ping. */
  #wakeNonce = 0n;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #watch;

  /** @param {string} url @param {Edge} edge @param {Listener} listener */
  constructor(url, edge, listener) {
    this.#url = url;
    this.#edge = edge;
    this.#listener = listener;
    this.#brokenAt = edge.now();
  }

  get live() {
    return this.#state === 'live';
  }

  /** Opens the first connection and keeps one from then on. */
  start() {
    this.#watch = setInterval(() => this.#look(), WATCH_INTERVAL_MS);
    this.#open();
  }

  /** Ends it for good. */
  stop() {
    clearInterval(this.#watch);
    this.rest();
  }

  /** Tries no more until it is woken. */
  rest() {
    clearTimeout(this.#retry);
    this.#leave();
  }

  /** Sends bytes; false when there is nobody to send them to. @param {ArrayBuffer} bytes */
  send(bytes) {
    if (this.#socket === null || !this.live) return false;
    this.#socket.send(bytes);
    return true;
  }

  /**
   * Asks for a pong. The server answers in order, so its pong proves that it has read everything before.
   * @returns {bigint} what comes back as the pong's `nonce`
   */
  ping() {
    this.#nonce += 1n;
    this.#askedAt = this.#edge.now();
    this.send(ping(this.#nonce));
    return this.#nonce;
  }

  /** The page woke up or the network is back: be right at once instead of at the next look. */
  wake() {
    if (this.live) {
      if (this.#waking !== undefined) return;
      this.#wakeNonce = this.ping();
      this.#waking = setTimeout(() => {
        this.#broken(0);
        this.#open();
      }, WAKE_ANSWER_MS_MAX);
    } else if (this.#socket === null || this.#edge.now() - this.#openedAt > WAKE_ATTEMPT_MS_MAX) {
      this.#leave();
      this.#open();
    }
  }

  #open() {
    clearTimeout(this.#retry);
    const socket = this.#edge.open(this.#url, SUBPROTOCOL);
    socket.binaryType = 'arraybuffer';
    this.#socket = socket;
    this.#openedAt = this.#edge.now();
    let greeted = false;
    socket.onmessage = ({ data }) => {
      if (socket !== this.#socket || !(data instanceof ArrayBuffer)) return;
      this.#heardAt = this.#edge.now();
      try {
        const message = decode(data, this.#valueBytes);
        if (message === null) return;
        // What else is heard may have lain here since before the sleep.
        if (message.kind === 'pong' && message.nonce >= this.#wakeNonce) this.#awake();
        if (message.kind === 'hello') this.#valueBytes = message.palette.length === 0 ? 3 : 1;
        this.#hear(message, !greeted);
        greeted = true;
      } catch (error) {
        if (!(error instanceof ProtocolError)) throw error;
        this.#broken(0); // What cannot be read cannot be followed: come back and resume.
      }
    };
    socket.onclose = ({ code }) => {
      if (socket === this.#socket) this.#broken(code);
    };
  }

  /** @param {FromServer} message @param {boolean} first */
  #hear(message, first) {
    if (first && message.kind !== 'hello') throw new ProtocolError('the server did not say hello');
    if (first) {
      this.#liveAt = this.#heardAt;
      this.#failures = 0;
      this.#setState('live');
    }
    if (message.kind === 'hello' && message.token !== '') this.#introduce(message.token);
    if (message.kind === 'token' && message.token !== '') this.#edge.tokens.save(message.token);
    if (message.kind === 'token' && message.token === '') this.#edge.tokens.save(this.#fresh);
    this.#listener.message(message, first);
  }

  /** The server took us for somebody new: say who we were, or stay who we are now. @param {string} fresh */
  #introduce(fresh) {
    this.#fresh = fresh;
    const known = this.#edge.tokens.load();
    if (known === '') this.#edge.tokens.save(fresh);
    else this.send(identify(known));
  }

  /** @param {number} code of the close */
  #broken(code) {
    const now = this.#edge.now();
    if (this.live) {
      this.#brokenAt = now;
      if (now - this.#liveAt >= HEALTHY_AFTER_MS) this.#attempt = 0;
    } else {
      this.#failures += 1;
    }
    this.#leave();
    const turnedAway = code === CLOSE_NOT_ALLOWED;
    this.#setState(turnedAway ? 'turned away' : this.#state === 'connecting' ? 'connecting' : 'reconnecting');
    const outageMs = turnedAway ? SHORT_OUTAGE_MS : now - this.#brokenAt;
    this.#retry = setTimeout(() => this.#open(), waitMs(this.#attempt, outageMs, this.#edge.random()));
    this.#attempt += 1;
    if (this.#failures > 0) this.#listener.failed?.(this.#failures);
  }

  /** The server answers, or there is nobody left to hear. */
  #awake() {
    clearTimeout(this.#waking);
    this.#waking = undefined;
  }

  #leave() {
    this.#awake();
    const socket = this.#socket;
    this.#socket = null;
    if (socket === null) return;
    socket.onmessage = null;
    socket.onclose = null;
    socket.close();
  }

  #look() {
    if (this.#socket === null) return;
    const now = this.#edge.now();
    if (!this.live) {
      if (now - this.#openedAt > ATTEMPT_MS_MAX) this.#broken(0);
      return;
    }
    if (now - this.#heardAt > DEAD_AFTER_SILENCE_MS) this.#broken(0);
    else if (now - Math.max(this.#heardAt, this.#askedAt) > PING_AFTER_SILENCE_MS) this.ping();
  }

  /** @param {ConnectionState} state */
  #setState(state) {
    if (state === this.#state) return;
    this.#state = state;
    this.#listener.state(state);
  }
}
