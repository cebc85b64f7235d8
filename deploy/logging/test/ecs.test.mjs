/** What a running server logs is held against the Elastic Common Schema itself, as its makers publish it. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';

import ecs from '@elastic/ecs';

/** What has not been logged by then will not be. */
const WAIT_MS_MAX = 60_000;
/** Our own fields stand below this. */
const OWN = 'pixel.';

/** The server whose lines are read. */
const executable = process.env.PIXEL_PLAYGROUND_BIN ?? '';
assert.ok(existsSync(executable), `PIXEL_PLAYGROUND_BIN is ${JSON.stringify(executable)}, which is not there: \`cargo xtask test --only build,watching\` builds it first`);

const folder = mkdtempSync(join(tmpdir(), 'pixel-playground-logs-'));
after(() => rmSync(folder, { recursive: true, force: true }));

/** A process whose log lines are read as they come. */
class Process {
  /** @type {Record<string, unknown>[]} */
  lines = [];
  #child;
  #wake = () => {};

  /** @param {...string} flags */
  constructor(...flags) {
    const common = ['--log-format', 'json', '--log-filter', 'debug', '--ops-listen', '127.0.0.1:0'];
    this.#child = spawn(executable, [...common, ...flags], { stdio: ['ignore', 'inherit', 'pipe'], env: {} });
    let rest = '';
    this.#child.stderr.setEncoding('utf8').on('data', (text) => {
      const whole = (rest + text).split('\n');
      rest = whole.pop() ?? '';
      this.lines.push(...whole.map((line) => JSON.parse(line)));
      this.#wake();
    });
  }

  /** Waits for a line. @param {(line: Record<string, unknown>) => boolean} wanted */
  async line(wanted) {
    const end = Date.now() + WAIT_MS_MAX;
    for (;;) {
      const found = this.lines.find(wanted);
      if (found !== undefined) return found;
      assert.ok(Date.now() < end, `in vain: ${wanted}\n${JSON.stringify(this.lines.slice(-20), null, 1)}`);
      await new Promise((resolve) => {
        this.#wake = () => resolve(undefined);
        setTimeout(resolve, 1_000);
      });
    }
  }

  async stop() {
    const closed = new Promise((resolve) => { this.#child.once('close', resolve); });
    this.#child.kill('SIGTERM');
    await closed;
  }
}

/** What a field of the schema may hold, by the schema's type. @type {Record<string, (value: unknown) => boolean>} */
const HOLDS = {
  date: (value) => typeof value === 'string' && /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z$/u.test(value),
  keyword: (value) => typeof value === 'string',
  wildcard: (value) => typeof value === 'string',
  match_only_text: (value) => typeof value === 'string',
  long: (value) => Number.isSafeInteger(value),
};

/** @param {Record<string, unknown>} line */
function hold(line) {
  for (const [name, value] of Object.entries(line)) {
    if (name.startsWith(OWN)) continue;
    const field = ecs.EcsFlat[name];
    assert.ok(field, `${name} is no field of the schema: ${JSON.stringify(line)}`);
    const values = field.normalize.includes('array') ? value : [value];
    assert.ok(Array.isArray(values) && values.every(HOLDS[field.type]), `${name} is no ${field.type}: ${JSON.stringify(line)}`);
  }
}

test('every line of a server is one of the schema', async () => {
  const [frontend, api, gateway] = ['frontend', 'api', 'gateway'].map((name) => [`--${name}-listen`, '127.0.0.1:0']);
  const server = new Process('--store', `embedded:${join(folder, 'data')}`, ...frontend, ...api, ...gateway);
  const ready = await server.line(({ message }) => String(message).startsWith('ready'));
  const url = /http:\/\/\S+:\d+/u.exec(String(ready.message))?.[0];
  assert.ok(url, String(ready.message));

  assert.equal((await fetch(`${url}/api/canvas?a=b`)).status, 200);
  assert.equal((await fetch(`${url}/nothing/here`)).status, 404);
  const token = readFileSync(join(folder, 'data/admin-token'), 'utf8').trim();
  const canvas = { id: 'logs', width: 8, height: 8 };
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
  const made = await fetch(`${url}/api/canvases`, { method: 'POST', headers, body: JSON.stringify(canvas) });
  assert.equal(made.status, 201);
  const { hostname, port } = new URL(url);
  connect(Number(port), hostname, function rubbish() { this.end('no request\r\n\r\n'); });

  await server.line((line) => line['url.path'] === '/api/canvas' && line['http.response.status_code'] === 200);
  await server.line((line) => line['http.response.status_code'] === 404);
  await server.line((line) => line['pixel.canvas.id'] === 'logs' && line['log.level'] === 'info');
  await server.line((line) => 'client.address' in line && 'error.message' in line);
  await server.stop();
  server.lines.forEach(hold);
  assert.ok(server.lines.every((line) => line['ecs.version'] === ecs.EcsVersion), 'it names the release that it is held against');
});

test('so is every line of one whose store is away', async () => {
  const server = new Process('--target', 'gateway', '--gateway-listen', '127.0.0.1:0', '--store', 'redis://127.0.0.1:1/0',
    '--api-url', 'http://127.0.0.1:1');
  await server.line((line) => line['log.level'] === 'warn');
  await server.stop();
  server.lines.forEach(hold);
  assert.deepEqual(server.lines[0]['service.node.roles'], ['gateway']);
});

test('so is every name that our log calls use', () => {
  const source = readFileSync(new URL('../../../crates/server/src/telemetry/ecs.rs', import.meta.url), 'utf8');
  const list = /const FIELDS: &\[&str\] = &\[([^\]]+)\]/u.exec(source)?.[1] ?? '';
  const names = [...list.matchAll(/"([^"]+)"/gu)].map(([, name]) => name);
  assert.ok(names.length > 3, source);
  for (const name of names) assert.ok(ecs.EcsFlat[name], `${name} is no field of the schema`);
});
