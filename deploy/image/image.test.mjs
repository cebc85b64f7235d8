/** The image, run by podman as an operator would: read-only, without rights, without a network. */

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';

import { WAIT_MS_MAX, ask, folder, load, must, podman, run } from './podman.mjs';

const NAME = 'playground';

const image = load();

/** As strict as Kubernetes' restricted Pod Security. */
const STRICT = ['--read-only', '--read-only-tmpfs=false', '--cap-drop', 'all', '--security-opt', 'no-new-privileges', '--network', 'none'];

async function healthy() {
  const end = Date.now() + WAIT_MS_MAX;
  while (podman('exec', NAME, '/pixel-playground', 'healthcheck').status !== 0) {
    assert.ok(Date.now() < end, `not healthy: ${podman('logs', NAME).said}`);
    await pause(100);
  }
}

test('without arguments it runs everything, and keeps what is painted', async () => {
  must('run', '--detach', '--name', NAME, ...STRICT, image);
  await healthy();
  assert.equal(ask(NAME, 'PUT', '/api/pixel', { x: 3, y: 4, color: '#102030' }).success, true);
  must('stop', '--time', '20', NAME);
  assert.equal(must('inspect', '--format', '{{.State.ExitCode}}', NAME), '0', 'it drains and ends well');
  must('start', NAME);
  await healthy();
  assert.equal(ask(NAME, 'GET', '/api/pixel/3/4').color, '#102030', 'the volume kept it');
});

test('its load generator paints in it', () => {
  const raced = podman('exec', NAME, '/loadgen', 'race', '--clients', '5', '--pixels', '3', '--writes', '100');
  assert.equal(raced.status, 0, raced.said);
});

test('nobody is root in it, and there is nothing to run but the two programs', () => {
  assert.equal(must('inspect', '--format', '{{.Config.User}}', NAME), '65532:65532');
  assert.notEqual(podman('exec', NAME, 'sh').status, 0, 'there is no shell');
  const root = join(folder, 'root.tar');
  // One that never ran: podman puts files of its own into those that do.
  must('create', '--name', 'still', image);
  must('export', '--output', root, 'still');
  const files = run('tar', '--list', '--verbose', '--file', root).stdout.split('\n').filter((line) => line.startsWith('-'));
  const runnable = files.filter((line) => line.slice(0, 10).includes('x')).map((line) => line.split(' ').at(-1));
  assert.deepEqual(runnable.sort(), ['loadgen', 'pixel-playground']);
});

test('all that it says is JSON', () => {
  const lines = podman('logs', NAME).said.trim().split('\n');
  assert.ok(lines.length > 1);
  for (const line of lines) assert.equal(JSON.parse(line)['service.name'], 'pixel-playground', line);
});

test('an argument chooses the service, and a wrong one is refused in words', () => {
  const wrong = podman('run', '--rm', ...STRICT, image, '--target', 'api');
  assert.equal(wrong.status, 64, wrong.said);
  assert.match(wrong.said, /the embedded store needs api and gateway in one process/u);
});
