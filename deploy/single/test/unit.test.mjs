/** The systemd unit as it stands, under a systemd of its own: locked in, killed, stopped, misconfigured. */

import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { WAIT_MS_MAX, ask, base, folder, load, must, podman } from '../../image/podman.mjs';

const HOST = 'host';
const UNIT = 'pixel-playground';

/** The executable, from the image: it is static. */
const programs = join(folder, 'programs');
mkdirSync(programs);
must('create', '--name', 'still', load());
must('cp', `still:/${UNIT}`, programs);
const unit = fileURLToPath(new URL(`../${UNIT}.service`, import.meta.url));
base('localhost/host', ['systemd', 'systemd-sysv'], [
  `install -t "$1/usr/local/bin" ${join(programs, UNIT)}`,
  `install -m 0644 -t "$1/etc/systemd/system" ${unit}`,
  `chroot "$1" systemctl enable ${UNIT}`,
], ['CMD ["/lib/systemd/systemd"]', 'STOPSIGNAL SIGRTMIN+3']);
// What systemd locks services in with; a container of a container has not all of it.
must('run', '--detach', '--name', HOST, '--systemd=always', '--cap-add=all', '--cap-drop=sys_resource',
  '--security-opt', 'seccomp=unconfined', '--security-opt', 'apparmor=unconfined', 'localhost/host');

/** @param {string} property */
const shows = (property) => must('exec', HOST, 'systemctl', 'show', '--value', '--property', property, UNIT);

async function healthy() {
  await eventually(() => podman('exec', HOST, `/usr/local/bin/${UNIT}`, 'healthcheck').status === 0);
}

/** @param {() => boolean} done */
async function eventually(done) {
  for (const end = Date.now() + WAIT_MS_MAX; !done();) {
    assert.ok(Date.now() < end, podman('exec', HOST, 'journalctl', '--no-pager', '--lines', '40').said);
    await pause(200);
  }
}

test('it paints as a user of its own, and is there again after kill -9 and after a stop', async () => {
  await healthy();
  assert.equal(ask(HOST, 'PUT', '/api/pixel', { x: 3, y: 4, color: '#102030' }).success, true);
  const killed = shows('MainPID');
  assert.notEqual(must('exec', HOST, 'stat', '--format', '%U', `/proc/${killed}`), 'root');
  must('exec', HOST, 'systemctl', 'kill', '--signal=KILL', '--kill-who=main', UNIT);
  await eventually(() => !['0', killed].includes(shows('MainPID')));
  await healthy();
  assert.equal(ask(HOST, 'GET', '/api/pixel/3/4').color, '#102030');
  must('exec', HOST, 'systemctl', 'restart', UNIT);
  await healthy();
  assert.equal(ask(HOST, 'GET', '/api/pixel/3/4').color, '#102030');
  must('exec', HOST, 'systemctl', 'stop', UNIT);
  assert.deepEqual([shows('ActiveState'), shows('Result'), shows('ExecMainStatus')], ['inactive', 'success', '0'], 'it drains and ends well');
});

test('a wrong configuration is said once, and not tried again', async () => {
  must('exec', HOST, 'sh', '-c', `echo PIXEL_PLAYGROUND_RATE_LIMIT=fast >/etc/default/${UNIT}`);
  podman('exec', HOST, 'systemctl', 'start', UNIT);
  await eventually(() => shows('ActiveState') === 'failed');
  // Longer than the unit waits before it starts again what crashed.
  await pause(3_000);
  assert.deepEqual([shows('ActiveState'), shows('NRestarts')], ['failed', '0']);
  const said = must('exec', HOST, 'journalctl', '--no-pager', '--unit', UNIT);
  assert.match(said, /PIXEL_PLAYGROUND_RATE_LIMIT: /u);
});
