/** What one has painted and the server has not yet answered: shown at once, sent in batches, taken back when refused. */

import { cellKey, cellOf, chunkKeyAt } from './geometry.js';
import { NEVER_MS, RETRACED_STEPS_MAX, Reason, SUBMISSION_PLACEMENTS_MAX, retrace, submit } from './protocol.js';

/** Placements that may wait for an answer or a connection. */
export const WAITING_PLACEMENTS_MAX = 4_096;
/** A submission without an answer is given up after this: the server keeps its key for 10 minutes. */
export const ANSWER_MS_MAX = 300_000;
/** A submission that was asked to wait longer than this is taken back instead; one that may have been painted asks after it. */
export const RETRY_MS_MAX = 6_000;
/** How often one submission is tried again. */
export const TRIES_MAX = 8;
/** Refusals of one try, not of its key: an earlier try under that key may have been painted all the same. @type {Set<number>} */
const PASSING = new Set([Reason.RATE, Reason.BUSY, Reason.UNAVAILABLE, Reason.UNKNOWN]);

/**
 * @typedef {{ x: number, y: number, value: number, at: number, sequence: number }} Placement
 *   `at`: when it was painted, in ms; `sequence`: 0 until it was accepted
 * @typedef {{ turn: import('./protocol.js').Turn, count: number, at: number, foreseen: Placement[], stroke: import('./strokes.js').Stroke }} Steps
 *   own ones to take back or repeat; `foreseen`: how their cells will probably look, shown until the server's answer is
 * @typedef {{ key: bigint, order: number, placements: Placement[], steps: Steps | null, tries: number, sent: boolean, doubtful: boolean }} Submission
 *   `order`: how many placements and steps were before it; `doubtful`: an earlier try under this key may have been painted
 * @typedef {{ reason: number, retryMs: number, sentence: string }} Refusal `reason` 0: no answer came in time
 *
 * @typedef {object} Listener
 * @property {(x: number, y: number) => void} changed a cell shows another colour now
 * @property {(placements: Placement[], refusal: Refusal) => void} takenBack
 * @property {(steps: Steps, refusal: Refusal) => void} notRetraced
 * @property {(submission: Submission, count: number) => void} accepted `count`: of steps, so many were made
 * @property {() => void} slowed the server asked to wait; nothing is lost
 */

export class Submissions {
  #send;
  #listener;
  #key;
  #valueBytes = 3;
  #batchMax = 1;
  #inFlightMax = 0;
  #inFlight = 0;
  /** Placements and steps that were put into submissions. */
  #ordered = 0;
  #holdUntil = 0;
  /** The server asked to wait: until all is answered one goes at a time, since only the first can have a chance. */
  #slow = false;
  /** Painted, not yet in a submission, in order. @type {Placement[]} */
  #queue = [];
  /** In their order; those not `sent` wait for a connection or their time. @type {Map<bigint, Submission>} */
  #open = new Map();
  /** What each cell shows above the replica, the newest last. @type {Map<number, Placement[]>} */
  #shown = new Map();

  /**
   * @param {(bytes: ArrayBuffer) => boolean} send
   * @param {bigint} firstKey random: keys count up from here
   * @param {Listener} listener
   */
  constructor(send, firstKey, listener) {
    this.#send = send;
    this.#key = firstKey;
    this.#listener = listener;
  }

  /** Placements without an answer. */
  get waiting() {
    let count = this.#queue.length;
    for (const submission of this.#open.values()) count += weight(submission);
    return count;
  }

  /** Cells that show something else than the replica may. @returns {Iterable<number>} */
  get cells() {
    return this.#shown.keys();
  }

  /** The rules of the canvas. @param {{ valueBytes: number, batchMax: number, inFlightMax: number }} rules */
  rules({ valueBytes, batchMax, inFlightMax }) {
    this.#valueBytes = valueBytes;
    this.#batchMax = Math.max(1, Math.min(batchMax, inFlightMax, SUBMISSION_PLACEMENTS_MAX));
    this.#inFlightMax = inFlightMax;
  }

  /** What a cell shows above the replica. @param {number} x @param {number} y */
  value(x, y) {
    return this.#shown.get(cellKey(x, y))?.at(-1)?.value;
  }

  /** Paints a cell at once; false when too many wait already. @param {number} x @param {number} y @param {number} value @param {number} now */
  paint(x, y, value, now) {
    if (this.waiting >= WAITING_PLACEMENTS_MAX) return false;
    const placement = { x, y, value, at: now, sequence: 0 };
    this.#queue.push(placement);
    this.#show(placement);
    return true;
  }

  /**
   * Takes back or repeats own placements, after those painted before and before those painted later; false when
   * too many wait already. The server decides what that paints: what is foreseen shows at once, and gives way to its answer.
   * @param {import('./protocol.js').Turn} turn @param {number} count @param {{ x: number, y: number, value: number }[]} foreseen
   * in the order of the steps; none: not known @param {import('./strokes.js').Stroke} stroke that they are of @param {number} now
   */
  retrace(turn, count, foreseen, stroke, now) {
    if (this.waiting + count > WAITING_PLACEMENTS_MAX) return false;
    while (this.#queue.length > 0) this.#opened({ placements: this.#queue.splice(0, this.#batchMax), steps: null });
    for (let done = 0; done < count; done += RETRACED_STEPS_MAX) {
      const part = foreseen.slice(done, done + RETRACED_STEPS_MAX).map((cell) => ({ ...cell, at: now, sequence: 0 }));
      for (const placement of part) this.#show(placement);
      this.#opened({ placements: [], steps: { turn, count: Math.min(count - done, RETRACED_STEPS_MAX), at: now, foreseen: part, stroke } });
    }
    return true;
  }

  /** Sends what may be sent. @param {number} now */
  flush(now) {
    if (now < this.#holdUntil) return;
    if (this.#open.size === 0) this.#slow = false;
    for (const submission of this.#open.values()) {
      if (!submission.sent && !this.#sendOne(submission)) return;
    }
    while (this.#queue.length > 0) {
      const room = Math.min(this.#batchMax, this.#inFlightMax - this.#inFlight);
      if (room <= 0) return;
      if (!this.#sendOne(this.#opened({ placements: this.#queue.splice(0, room), steps: null }))) return;
    }
  }

  /** The connection broke: what has no answer goes out again, under the same keys. */
  disconnected() {
    this.#inFlight = 0;
    for (const submission of this.#open.values()) {
      submission.doubtful ||= submission.sent;
      submission.sent = false;
    }
  }

  /** @param {import('./protocol.js').Accepted} message */
  accepted(message) {
    const submission = this.#answered(message.key);
    if (submission === undefined) return;
    submission.placements.forEach((placement, index) => {
      placement.sequence = message.first + index;
    });
    // Which of the steps were made is not told: after the last of them the replica knows.
    for (const placement of submission.steps?.foreseen ?? []) placement.sequence = message.first + message.count - 1;
    this.#listener.accepted(submission, message.count);
  }

  /** @param {import('./protocol.js').Refused} message @param {number} now */
  refused(message, now) {
    const submission = this.#answered(message.key);
    if (submission === undefined) return;
    const { reason, retryAfterMs: retryMs, sentence } = message;
    submission.doubtful ||= reason === Reason.UNKNOWN;
    if (reason === Reason.NEVER_ENOUGH && weight(submission) > 1) {
      this.#split(submission);
    } else if (submission.doubtful && PASSING.has(reason)) {
      // These say nothing of the earlier try: only its own key can tell, until its time is up.
      this.#tryAgain(submission, Math.min(retryMs, RETRY_MS_MAX), now);
    } else if (this.#worthRetrying(submission, reason, retryMs)) {
      submission.tries += 1;
      submission.key = this.#nextKey();
      this.#tryAgain(submission, retryMs, now);
    } else if (submission.steps !== null) {
      this.#notRetraced(submission.steps, { reason, retryMs, sentence });
    } else {
      this.#takeBack(submission.placements, { reason, retryMs, sentence });
    }
  }

  /** A chunk is exact up to here: what was accepted by then stands in the replica. @param {number} chunk @param {number} sequence */
  reached(chunk, sequence) {
    if (this.#shown.size === 0) return;
    for (const [key, placements] of this.#shown) {
      const { x, y } = cellOf(key);
      if (chunkKeyAt(x, y) !== chunk) continue;
      this.#keep(key, placements.filter((placement) => placement.sequence === 0 || placement.sequence > sequence));
    }
  }

  /** A chunk is not followed any longer: what was accepted there needs no showing. @param {number} chunk */
  left(chunk) {
    this.reached(chunk, Infinity);
  }

  /** History was replaced: no chunk will ever reach the sequences of what was accepted before. */
  restarted() {
    for (const [key, placements] of this.#shown) this.#keep(key, placements.filter(({ sequence }) => sequence === 0));
  }

  /** What is painted means something else now: nothing that waits is to be sent. @param {Refusal} refusal */
  giveUp(refusal) {
    const placements = this.#queue.splice(0);
    for (const submission of [...this.#open.values()]) {
      this.#answered(submission.key);
      placements.push(...submission.placements);
      if (submission.steps !== null) this.#notRetraced(submission.steps, refusal);
    }
    if (placements.length > 0) this.#takeBack(placements, refusal);
  }

  /** Takes back what has waited too long. @param {number} now */
  expire(now) {
    const old = (/** @type {Placement} */ placement) => now - placement.at > ANSWER_MS_MAX;
    const stale = this.#queue.filter(old);
    if (stale.length > 0) this.#queue = this.#queue.filter((placement) => !old(placement));
    for (const submission of [...this.#open.values()]) {
      if (submission.steps !== null && now - submission.steps.at > ANSWER_MS_MAX) {
        this.#answered(submission.key);
        this.#notRetraced(submission.steps, { reason: 0, retryMs: NEVER_MS, sentence: '' });
      }
      if (submission.placements.some(old)) stale.push(...this.#answered(submission.key)?.placements ?? []);
    }
    if (stale.length > 0) this.#takeBack(stale, { reason: 0, retryMs: NEVER_MS, sentence: '' });
  }

  /** @param {Placement} placement */
  #show(placement) {
    const { x, y } = placement;
    const cell = this.#shown.get(cellKey(x, y));
    if (cell === undefined) this.#shown.set(cellKey(x, y), [placement]);
    else cell.push(placement);
    this.#listener.changed(x, y);
  }

  /** Shows these no longer. @param {Placement[]} placements */
  #hide(placements) {
    const gone = new Set(placements);
    for (const { x, y } of placements) {
      const key = cellKey(x, y);
      this.#keep(key, (this.#shown.get(key) ?? []).filter((placement) => !gone.has(placement)));
    }
  }

  /** @param {Steps} steps @param {Refusal} refusal */
  #notRetraced(steps, refusal) {
    this.#hide(steps.foreseen);
    this.#listener.notRetraced(steps, refusal);
  }

  #nextKey() {
    this.#key = BigInt.asUintN(64, this.#key + 1n);
    return this.#key;
  }

  /** Puts one behind those that are open. @param {Pick<Submission, 'placements' | 'steps'>} what */
  #opened(what) {
    const submission = { ...what, key: this.#nextKey(), order: this.#ordered, tries: 0, sent: false, doubtful: false };
    this.#ordered += weight(submission);
    this.#open.set(submission.key, submission);
    return submission;
  }

  /** @param {Submission} submission */
  #sendOne(submission) {
    const count = weight(submission);
    if (this.#inFlight > 0 && (this.#slow || this.#inFlight + count > this.#inFlightMax)) return false;
    const { key, placements, steps } = submission;
    if (!this.#send(steps === null ? submit(key, placements, this.#valueBytes) : retrace(steps.turn, key, steps.count))) return false;
    submission.sent = true;
    this.#inFlight += count;
    return true;
  }

  /** @param {bigint} key */
  #answered(key) {
    const submission = this.#open.get(key);
    if (submission === undefined) return undefined;
    this.#open.delete(key);
    if (submission.sent) this.#inFlight -= weight(submission);
    return submission;
  }

  /** @param {Submission} submission @param {number} waitMs @param {number} now */
  #tryAgain(submission, waitMs, now) {
    submission.sent = false;
    this.#reopen([submission]);
    this.#holdUntil = Math.max(this.#holdUntil, now + waitMs);
    this.#slow = true;
    this.#listener.slowed();
  }

  /** Whether one of which nothing has happened is tried again. @param {Submission} submission @param {number} reason @param {number} retryMs */
  #worthRetrying(submission, reason, retryMs) {
    const passes = reason === Reason.RATE || reason === Reason.BUSY;
    return passes && retryMs <= RETRY_MS_MAX && submission.tries < TRIES_MAX;
  }

  /** More than the limit ever allows at once: in halves then. @param {Submission} submission */
  #split(submission) {
    const { placements, steps } = submission;
    const half = Math.ceil(weight(submission) / 2);
    if (steps === null) this.#batchMax = Math.min(this.#batchMax, half);
    this.#reopen([[0, half], [half, Infinity]].map(([from, to]) => ({
      ...submission, key: this.#nextKey(), order: submission.order + from, sent: false, doubtful: false, placements: placements.slice(from, to),
      steps: steps === null ? null : { ...steps, count: Math.min(steps.count, to) - from, foreseen: steps.foreseen.slice(from, to) },
    })));
  }

  /** Puts submissions back to where they were: behind those painted before, ahead of those painted later. @param {Submission[]} again */
  #reopen(again) {
    const all = [...again, ...this.#open.values()].sort((a, b) => a.order - b.order);
    this.#open = new Map(all.map((submission) => [submission.key, submission]));
  }

  /** @param {Placement[]} placements @param {Refusal} refusal */
  #takeBack(placements, refusal) {
    this.#hide(placements);
    this.#listener.takenBack(placements, refusal);
  }

  /** @param {number} key of a cell @param {Placement[]} placements that it goes on showing */
  #keep(key, placements) {
    if (placements.length === this.#shown.get(key)?.length) return;
    if (placements.length === 0) this.#shown.delete(key);
    else this.#shown.set(key, placements);
    const { x, y } = cellOf(key);
    this.#listener.changed(x, y);
  }
}

/** The most placements that it makes. @param {Submission} submission */
function weight({ placements, steps }) {
  return placements.length + (steps?.count ?? 0);
}
