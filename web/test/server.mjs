/** Processes of one's own on free ports, for tests that need real ones. */

import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

/** A server that is not up by then will not come. */
const START_MS_MAX = 60_000;

const root = fileURLToPath(new URL('../../', import.meta.url));

/** The executable: as the environment says, else what was built last. */
export function executable() {
  if (process.env.PIXEL_PLAYGROUND_BIN !== undefined) return process.env.PIXEL_PLAYGROUND_BIN;
  const built = ['release', 'debug'].map((profile) => join(root, 'target', profile, 'pixel-playground')).filter((path) => existsSync(path));
  const found = built.sort((a, b) => statSync(b).mtimeMs - statSync(a).mtimeMs)[0];
  if (found === undefined) throw new Error('build the server first: cargo build -p pixel-playground');
  return found;
}

const FLAGS = ['--frontend-listen', '--api-listen', '--gateway-listen', '--ops-listen'];

/** @returns {Promise<number>} */
function freePort() {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.on('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address();
      probe.close(() => (address !== null && typeof address === 'object' ? resolve(address.port) : reject(new Error('no port'))));
    });
  });
}

export class Server {
  #folder = mkdtempSync(join(tmpdir(), 'pixel-playground-page-'));
  /** @type {number[]} */
  #ports = [];
  /** @type {import('node:child_process').ChildProcess | undefined} */
  #process;
  #output = '';
  #settings;

  /** @param {string[]} [settings] beyond those that every test needs; all services over a folder, unless they say otherwise */
  constructor(settings = []) {
    this.#settings = settings;
  }

  /** Where the page is. */
  get url() {
    return `http://127.0.0.1:${this.#ports[0]}`;
  }

  /** Where the API is, where it runs. */
  get api() {
    return `http://127.0.0.1:${this.#ports[1]}`;
  }

  /** Where the gateway is, where it runs. */
  get gateway() {
    return `http://127.0.0.1:${this.#ports[2]}`;
  }

  /** The host's password. */
  get adminToken() {
    return readFileSync(join(this.#folder, 'data/admin-token'), 'utf8').trim();
  }

  /** Starts it; a second time on the same ports and store. */
  async start() {
    if (this.#ports.length === 0) this.#ports = await Promise.all(FLAGS.map(() => freePort()));
    const store = this.#settings.includes('--target') ? [] : ['--store', `embedded:${join(this.#folder, 'data')}`];
    this.#output = '';
    this.#process = spawn(executable(), [
      ...FLAGS.flatMap((flag, index) => [flag, `127.0.0.1:${this.#ports[index]}`]), ...store, ...this.#settings,
      // Not this test's environment: the server refuses variables of ours that it does not know.
    ], { stdio: ['ignore', 'pipe', 'pipe'], env: {} });
    for (const stream of [this.#process.stdout, this.#process.stderr]) {
      stream?.on('data', (text) => {
        this.#output = (this.#output + text).slice(-8_000);
      });
    }
    const end = Date.now() + START_MS_MAX;
    while (Date.now() < end && this.#process.exitCode === null) {
      const ready = await fetch(`http://127.0.0.1:${this.#ports[3]}/readyz`).then(({ ok }) => ok, () => false);
      if (ready) return;
      await pause(50);
    }
    throw new Error(`the server did not start:\n${this.#output}`);
  }

  /** Ends it as a power cut would. */
  async kill() {
    const running = this.#process;
    if (running === undefined || running.exitCode !== null) return;
    const ended = new Promise((resolve) => { running.once('exit', resolve); });
    running.kill('SIGKILL');
    await ended;
  }

  /** Ends it and takes its folder away. */
  async remove() {
    await this.kill();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** Asks the API as the host. @param {string} method @param {string} path @param {unknown} [body] */
  async host(method, path, body) {
    const response = await fetch(this.url + path, {
      method,
      headers: { Authorization: `Bearer ${this.adminToken}`, 'Content-Type': 'application/json' },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
    return response;
  }

  /** A canvas' pixels in one chunk. @param {string} id @param {number} [cx] @param {number} [cy] */
  async pixels(id, cx = 0, cy = 0) {
    const response = await fetch(`${this.url}/api/canvases/${id}/chunks/${cx}/${cy}`);
    if (!response.ok) throw new Error(`chunk of ${id}: ${response.status}`);
    return new Uint8Array(await response.arrayBuffer());
  }
}

/** A Redis of one's own, which keeps nothing. */
export class Redis {
  /** @type {import('node:child_process').ChildProcess | undefined} */
  #process;
  #port = 0;

  get url() {
    return `redis://127.0.0.1:${this.#port}/0`;
  }

  /** Services wait for it, so nobody has to. */
  async start() {
    this.#port = await freePort();
    this.#process = spawn('redis-server', ['--bind', '127.0.0.1', '--port', String(this.#port), '--save', ''], { stdio: 'ignore' });
  }

  kill() {
    this.#process?.kill('SIGKILL');
  }
}
