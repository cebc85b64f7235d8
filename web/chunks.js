/** Loads chunks over HTTP: the ones wanted most first, a few at a time, again when it failed. */

import { chunkKey } from './geometry.js';

/** Requests under way at once; browsers open six connections to a host. */
export const REQUESTS_MAX = 6;
/** The first wait after a failed request; it doubles. */
export const FIRST_RETRY_MS = 500;
/** The longest wait after a failed request. */
export const RETRY_MS_MAX = 8_000;

/**
 * @typedef {{ epoch: string, sequence: number, pixels: Uint8Array }} Snapshot
 * @typedef {{ cx: number, cy: number, since: number, failures: number }} Job
 * @typedef {(url: string, init: RequestInit) => Promise<Response>} Fetch
 */

/**
 * Fetches one snapshot. Rejects with the wait in milliseconds that the server asked for, or 0.
 * @param {Fetch} fetch @param {string} url @param {AbortSignal} signal @returns {Promise<Snapshot>}
 */
export async function snapshot(fetch, url, signal) {
  const response = await fetch(url, { signal });
  const epoch = response.headers.get('Epoch');
  const sequence = Number(response.headers.get('Sequence'));
  if (!response.ok || epoch === null || !Number.isSafeInteger(sequence)) {
    throw new LoadError(Number(response.headers.get('Retry-After')) * 1_000 || 0);
  }
  return { epoch: epoch.toLowerCase(), sequence, pixels: new Uint8Array(await response.arrayBuffer()) };
}

/** A request that was answered with something else than a snapshot. */
export class LoadError extends Error {
  /** @param {number} retryAfterMs */
  constructor(retryAfterMs) {
    super('no snapshot');
    this.retryAfterMs = retryAfterMs;
  }
}

export class ChunkLoader {
  #base;
  #fetch;
  #loaded;
  /** Nothing is asked for before it is known what there is. */
  #paused = true;
  /** There is no socket that says that the server is there. */
  #doubted = false;
  /** While in doubt: failures since the last answer. */
  #failures = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #hold;
  /** Waiting, in the order in which they are to be loaded. @type {Map<number, Job>} */
  #queue = new Map();
  /** @type {Map<number, { job: Job, abort: AbortController }>} */
  #running = new Map();
  /** Failed; they go back to the queue when their time has come. @type {Map<number, { job: Job, timer: ReturnType<typeof setTimeout> }>} */
  #retries = new Map();

  /**
   * @param {string} base the path under which a canvas' chunks lie
   * @param {Fetch} fetch
   * @param {(cx: number, cy: number, snapshot: Snapshot) => void} loaded
   */
  constructor(base, fetch, loaded) {
    this.#base = base;
    this.#fetch = fetch;
    this.#loaded = loaded;
  }

  /** Whether a chunk is waiting or under way. @param {number} key */
  has(key) {
    return this.#queue.has(key) || this.#running.has(key) || this.#retries.has(key);
  }

  /**
   * Loads a chunk, never one older than `since`. A request under way that might answer older is given up.
   * @param {number} cx @param {number} cy @param {number} since
   */
  load(cx, cy, since) {
    const key = chunkKey(cx, cy);
    const before = this.#running.get(key);
    if (before !== undefined && before.job.since >= since) return;
    before?.abort.abort();
    this.#running.delete(key);
    const waiting = this.#queue.get(key);
    this.#forgetRetry(key);
    this.#queue.set(key, { cx, cy, since: Math.max(since, waiting?.since ?? 0), failures: 0 });
    this.#next();
  }

  /** Loads these first, in this order. @param {Iterable<number>} keys */
  prefer(keys) {
    /** @type {Map<number, Job>} */
    const ordered = new Map();
    for (const key of keys) {
      const job = this.#queue.get(key);
      if (job !== undefined) ordered.set(key, job);
    }
    for (const [key, job] of this.#queue) ordered.set(key, job);
    this.#queue = ordered;
  }

  /** No longer wanted. @param {number} key */
  cancel(key) {
    this.#queue.delete(key);
    this.#running.get(key)?.abort.abort();
    this.#running.delete(key);
    this.#forgetRetry(key);
  }

  /**
   * The socket is gone, and perhaps the server: what was under way may never be answered. One request at a time asks
   * whether anybody is there, and while nobody is there are long waits between them.
   */
  doubt() {
    this.#doubted = true;
    this.#failures = 1;
    this.#startOver();
  }

  /** There is a server. */
  resume() {
    this.#paused = false;
    if (this.#doubted) {
      this.#doubted = false;
      this.#failures = 0;
      clearTimeout(this.#hold);
      this.#hold = undefined;
      this.#startOver();
    }
    this.#next();
  }

  /** What is under way or waits after a failure is asked for anew. */
  #startOver() {
    for (const [key, { job, abort }] of this.#running) {
      abort.abort();
      this.#queue.set(key, job);
    }
    this.#running.clear();
    for (const [key, { job, timer }] of this.#retries) {
      clearTimeout(timer);
      this.#queue.set(key, job);
    }
    this.#retries.clear();
    this.#next();
  }

  #next() {
    for (const [key, job] of this.#queue) {
      const most = this.#failures > 0 ? 1 : REQUESTS_MAX;
      if (this.#paused || this.#hold !== undefined || this.#running.size >= most) return;
      this.#queue.delete(key);
      void this.#run(key, job);
    }
  }

  /** @param {number} key @param {Job} job */
  async #run(key, job) {
    const abort = new AbortController();
    this.#running.set(key, { job, abort });
    const current = () => this.#running.get(key)?.abort === abort;
    try {
      const url = `${this.#base}/${job.cx}/${job.cy}${job.since > 0 ? `?since=${job.since}` : ''}`;
      const loaded = await snapshot(this.#fetch, url, abort.signal);
      if (!current()) return;
      this.#running.delete(key);
      this.#failures = 0;
      this.#loaded(job.cx, job.cy, loaded);
    } catch (error) {
      if (!current()) return;
      this.#running.delete(key);
      const asked = error instanceof LoadError ? error.retryAfterMs : 0;
      if (this.#doubted) this.#holdAll(key, job, asked);
      else this.#retryLater(key, job, Math.max(asked, retryMs(job.failures)));
    }
    this.#next();
  }

  /** @param {number} key @param {Job} job @param {number} ms */
  #retryLater(key, job, ms) {
    const timer = setTimeout(() => {
      this.#retries.delete(key);
      this.#queue.set(key, { ...job, failures: job.failures + 1 });
      this.#next();
    }, ms);
    this.#retries.set(key, { job, timer });
  }

  /** Nobody seems to be there: nothing is asked for a while. @param {number} key @param {Job} job @param {number} askedMs */
  #holdAll(key, job, askedMs) {
    this.#queue = new Map([[key, job], ...this.#queue]);
    clearTimeout(this.#hold);
    this.#hold = setTimeout(() => {
      this.#hold = undefined;
      this.#next();
    }, Math.max(askedMs, retryMs(this.#failures - 1)));
    this.#failures += 1;
  }

  /** @param {number} key */
  #forgetRetry(key) {
    clearTimeout(this.#retries.get(key)?.timer);
    this.#retries.delete(key);
  }
}

/** How long to wait after so many failures before. @param {number} failures */
function retryMs(failures) {
  return Math.min(RETRY_MS_MAX, FIRST_RETRY_MS * 2 ** Math.max(0, Math.min(failures, 10)));
}
