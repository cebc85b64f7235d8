/** A follower against a server that drops connections, forgets history, resets, and answers late and old: in the end both hold the same. */

import assert from 'node:assert/strict';
import test from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';

import { Follower } from '../follower.js';

const SEEDS = 400;
const STEPS = 120;
const WIDTH = 4;

/** @typedef {{ sequence: number, pixels: number[] }} Version */

/** Numbers that look random and are the same every time. @param {number} seed */
function dice(seed) {
  let state = seed * 2_654_435_761 % 4_294_967_296;
  return (/** @type {number} */ sides) => {
    state = (state * 1_664_525 + 1_013_904_223) % 4_294_967_296;
    return Math.floor(state / 65_536) % sides;
  };
}

/** A server of one canvas of one chunk, its wire in both directions, and its slow HTTP. */
class Played {
  #roll;
  #epoch = 1;
  /** Every version of this epoch; the last is now. @type {Version[]} */
  #versions = [{ sequence: 0, pixels: Array(WIDTH).fill(0) }];
  /** What can be replayed begins after this. */
  #trimmed = 0;
  /** Sent up to here; none: not subscribed. @type {number | undefined} */
  #cursor;
  connected = false;
  /** @type {(() => void)[]} */
  toClient = [];
  /** @type {Buffer[]} */
  toServer = [];
  /** @type {{ since: number, answer: (response: Response) => void }[]} */
  asked = [];
  #pings = 0n;
  follower;

  /** @param {(sides: number) => number} roll */
  constructor(roll) {
    this.#roll = roll;
    this.follower = new Follower(
      {
        send: (bytes) => this.connected && this.toServer.push(Buffer.from(bytes)) > 0,
        ping: () => {
          this.#pings += 1n;
          this.toServer.push(Buffer.from([0x85, Number(this.#pings & 0xffn)]));
          return this.#pings & 0xffn;
        },
      },
      '/chunks',
      (url) => new Promise((answer) => {
        this.asked.push({ since: Number(new URL(url, 'http://here').searchParams.get('since')), answer });
      }),
      { loaded() {}, painted() {}, reached() {}, dropped() {}, restarted() {} },
    );
    this.follower.want([0]);
  }

  get now() {
    return /** @type {Version} */ (this.#versions.at(-1));
  }

  get epoch() {
    return this.#epoch.toString(16).padStart(16, '0');
  }

  paint() {
    const pixels = [...this.now.pixels];
    pixels[this.#roll(WIDTH)] = this.#roll(8);
    this.#versions.push({ sequence: this.now.sequence + 1, pixels });
  }

  /** Sends what is new since the cursor, as one frame. */
  sweep() {
    const { sequence, pixels } = this.now;
    if (this.#cursor === undefined || this.#cursor >= sequence) return;
    const frame = {
      kind: /** @type {const} */ ('frame'), cx: 0, cy: 0, epoch: this.epoch, after: this.#cursor, to: sequence,
      offsets: Uint16Array.from(pixels.keys()), values: Uint8Array.from(pixels),
    };
    this.#cursor = sequence;
    this.toClient.push(() => this.follower.frame(frame));
  }

  progress() {
    if (!this.connected || (this.#cursor !== undefined && this.#cursor < this.now.sequence)) return;
    const progress = { kind: /** @type {const} */ ('progress'), epoch: this.epoch, sequence: this.now.sequence };
    this.toClient.push(() => this.follower.progress(progress));
  }

  /** The connection fell behind: the cursor jumps. */
  fallBehind() {
    if (this.#cursor === undefined) return;
    this.#cursor = this.now.sequence;
    this.#resync([{ cx: 0, cy: 0, since: this.#cursor }]);
  }

  reset() {
    this.#epoch += 1;
    this.#trimmed = 0;
    this.#versions = [{ sequence: this.#roll(3), pixels: Array(WIDTH).fill(this.#roll(8)) }];
    this.#cursor = undefined;
    this.#resync([]);
  }

  trim() {
    this.#trimmed = this.now.sequence;
  }

  /** Reads one message of the client. */
  read() {
    const message = this.toServer.shift();
    if (message === undefined) return;
    if (message[0] === 0x85) {
      this.toClient.push(() => this.follower.pong(BigInt(message[1])));
    } else if (message[0] === 0x81) {
      const epoch = message.readBigUInt64LE(1).toString(16).padStart(16, '0');
      const have = Number(message.readBigUInt64LE(11));
      if (have > 0 && epoch !== this.epoch) {
        this.#cursor = undefined;
        this.#resync([]);
      } else if (have === 0 || have < this.#trimmed || have > this.now.sequence) {
        this.#cursor = this.now.sequence;
        this.#resync([{ cx: 0, cy: 0, since: this.#cursor }]);
      } else {
        this.#cursor = have;
      }
      this.sweep();
      this.progress();
    } else if (message[0] === 0x82) {
      this.#cursor = undefined;
    }
  }

  deliver() {
    this.toClient.shift()?.();
  }

  /** Answers one request, with any version that is new enough. @param {boolean} newest */
  async answer(newest) {
    const [question] = this.asked.splice(this.#roll(Math.max(1, this.asked.length)), 1);
    if (question === undefined) return;
    const enough = this.#versions.filter(({ sequence }) => sequence >= question.since);
    const version = newest || enough.length === 0 ? this.now : enough[this.#roll(enough.length)];
    question.answer(new Response(Uint8Array.from(version.pixels), { headers: { Epoch: this.epoch, Sequence: String(version.sequence) } }));
    for (let turns = 0; turns < 5; turns += 1) await turn();
  }

  connect() {
    this.connected = true;
    this.follower.connected({
      kind: 'hello', version: 1, frozen: false, guestsStartCooling: false, stale: false, epoch: this.epoch, sequence: this.now.sequence, serverMs: 0,
      width: WIDTH, height: 1, background: 0, cooldownMs: 0, chargesMax: 1, submissionPlacementsMax: 256, inFlightPlacementsMax: 256,
      chunksMax: 1024, nameCharactersMax: 20, person: 1, id: 'main', name: 'main', palette: [0, 1, 2, 3, 4, 5, 6, 7], token: '',
    });
  }

  disconnect() {
    this.connected = false;
    [this.toClient, this.toServer, this.#cursor] = [[], [], undefined];
    this.follower.disconnected();
  }

  /** @param {{ cx: number, cy: number, since: number }[]} chunks */
  #resync(chunks) {
    const resync = { kind: /** @type {const} */ ('resync'), epoch: this.epoch, chunks };
    if (this.connected) this.toClient.push(() => this.follower.resync(resync));
  }
}

test(`in ${SEEDS} stories of ${STEPS} steps the page ends with the server's pixels, and never claims what it does not have`, async (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] });
  for (let seed = 1; seed <= SEEDS; seed += 1) {
    const roll = dice(seed);
    const server = new Played(roll);
    for (let step = 0; step < STEPS; step += 1) {
      const chance = roll(100);
      if (chance < 25) server.paint();
      else if (chance < 40) server.sweep();
      else if (chance < 60) server.deliver();
      else if (chance < 75) server.read();
      else if (chance < 85) await server.answer(false);
      else if (chance < 88) server.progress();
      else if (chance < 90) server.fallBehind();
      else if (chance < 91) server.reset();
      else if (chance < 93) server.trim();
      else if (chance < 96 || !server.connected) server[server.connected ? 'disconnect' : 'connect']();
      else context.mock.timers.tick(600);
    }
    if (!server.connected) server.connect();
    for (let round = 0; round < 60; round += 1) {
      server.read();
      server.sweep();
      server.deliver();
      await server.answer(true);
      context.mock.timers.tick(600);
    }
    while (server.toClient.length > 0) server.deliver();
    const held = server.follower.replica?.chunk(0);
    assert.deepEqual([...held?.pixels ?? []], server.now.pixels, `story ${seed}`);
    assert.equal(held?.sequence, server.now.sequence, `story ${seed}`);
    server.follower.want([]);
  }
});
