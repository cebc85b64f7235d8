/** Both compose files, started as they stand by podman-compose: painted through, taken down, brought up again. */

import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';

import { WAIT_MS_MAX, folder, load, must, podman, run } from '../../image/podman.mjs';
import { redis } from './redis.mjs';

load();

/** A compose file of this folder, with a port that is free. */
class Project {
  #file;
  #address;

  /** @param {string} file @param {number} port */
  constructor(file, port) {
    this.#file = join(folder, file.replace('.yaml', ''), file);
    this.#address = `127.0.0.1:${port}`;
    mkdirSync(join(this.#file, '..'));
    for (const secret of ['redis-password', 'admin-token']) {
      writeFileSync(join(this.#file, '..', secret), `the ${secret} of "somebody"\n`, { mode: 0o444 });
    }
    const text = readFileSync(new URL(`../${file}`, import.meta.url), 'utf8');
    assert.ok(text.includes('127.0.0.1:3000:3000') && text.includes('nofile: {'), text);
    writeFileSync(this.#file, text.replace('127.0.0.1:3000:3000', `${this.#address}:3000`)
      // Where this is a container itself it may not ask for more than it has.
      .replace(/^( *)nofile: .*$/mu, '$1nofile: 16384\n$1nproc: 4096'));
  }

  /** @param {string[]} words */
  #compose(...words) {
    const { status, said } = run('python3', '-m', 'podman_compose', '--file', this.#file, ...words);
    assert.equal(status, 0, said);
  }

  up() {
    this.#compose('up', '--detach', '--no-build');
  }

  down() {
    this.#compose('down');
  }

  /** A request that is asked again until it is answered so. @param {string} method @param {string} path @param {unknown} [body] */
  async ask(method, path, body, status = 200) {
    const settings = { method, headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
    for (const end = Date.now() + WAIT_MS_MAX; ;) {
      const answer = await fetch(`http://${this.#address}${path}`, settings).catch(() => undefined);
      if (answer?.status === status) return answer.json();
      assert.ok(Date.now() < end, `${method} ${path}: ${answer?.status}\n${this.#logs()}`);
      await pause(100);
    }
  }

  #logs() {
    const names = must('ps', '--all', '--format', '{{.Names}}').split('\n');
    return names.map((name) => `${name}: ${podman('logs', '--tail', '20', name).said}`).join('\n');
  }

  /** Waits until every container's own health check passes. */
  async healthy() {
    for (const name of must('ps', '--format', '{{.Names}}').split('\n')) {
      for (const end = Date.now() + WAIT_MS_MAX; podman('healthcheck', 'run', name).status !== 0;) {
        assert.ok(Date.now() < end, `${name} is not healthy\n${this.#logs()}`);
        await pause(100);
      }
    }
  }
}

/** @returns {Promise<number>} */
function freePort() {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0));
    });
  });
}

/** @param {Project} project */
async function isPaintedAndKept(project) {
  project.up();
  const painted = await project.ask('PUT', '/api/pixel', { x: 3, y: 4, color: '#102030' });
  assert.equal(painted.success, true);
  await project.healthy();
  project.down();
  assert.equal(must('ps', '--quiet'), '', 'nothing runs any more');
  project.up();
  assert.equal((await project.ask('GET', '/api/pixel/3/4')).color, '#102030', 'the volume kept it');
}

test('everything in one container', async () => {
  const project = new Project('compose.yaml', await freePort());
  await isPaintedAndKept(project);
  project.down();
});

test('three services over a Redis', async () => {
  redis('docker.io/library/redis:7-alpine');
  const project = new Project('compose.services.yaml', await freePort());
  await isPaintedAndKept(project);
  // A gateway that is reached wants an upgrade.
  await project.ask('GET', '/ws', undefined, 426);
  // Through the page's one address, over sockets; it checks every update itself.
  const painter = podman('exec', must('ps', '--quiet', '--filter', 'name=frontend'), '/loadgen',
    'run', '--url', 'http://frontend:3000', '--clients', '4', '--rate', '20', '--duration', '2s');
  assert.equal(painter.status, 0, painter.said);
  project.down();
});
