/** Podman with a store of images of its own, and settings that work inside of containers too. */

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** What has not come by then will not. */
export const WAIT_MS_MAX = 60_000;

/** The image's archive: that of `cargo xtask image`, or another one. */
const ARCHIVE = process.env.PIXEL_PLAYGROUND_IMAGE
  ?? fileURLToPath(new URL('../../target/image/pixel-playground.tar', import.meta.url));

/** Everything of this run, the store of images included. */
export const folder = mkdtempSync(join(tmpdir(), 'pixel-playground-image-'));

writeFileSync(join(folder, 'containers.conf'), `
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[network]
network_backend = "netavark"
network_config_dir = "${join(folder, 'networks')}"
[containers]
default_ulimits = ["nofile=16384:16384", "nproc=4096:4096"]
`);
writeFileSync(join(folder, 'storage.conf'), `
[storage]
driver = "vfs"
graphroot = "${join(folder, 'storage')}"
runroot = "${join(folder, 'run')}"
`);
export const environment = {
  ...process.env,
  // What a build caches goes with it.
  TMPDIR: folder,
  CONTAINERS_CONF: join(folder, 'containers.conf'),
  CONTAINERS_STORAGE_CONF: join(folder, 'storage.conf'),
};

/** @param {string} program @param {string[]} words */
export function run(program, ...words) {
  const { status, stdout, stderr, error } = spawnSync(program, words, {
    encoding: 'utf8', env: environment, timeout: WAIT_MS_MAX,
  });
  return { status, stdout, said: `${error ?? ''}${stdout}${stderr}` };
}

/** @param {string[]} words */
export function podman(...words) {
  return run('podman', ...words);
}

/** The same, which has to work. @param {string[]} words */
export function must(...words) {
  const { status, stdout, said } = podman(...words);
  assert.equal(status, 0, `podman ${words.join(' ')}: ${said}`);
  return stdout.trim();
}

/** Loads the image, and says what it is called. */
export function load() {
  return /Loaded image: (\S+\/pixel-playground:\S+)/u.exec(must('load', '--input', ARCHIVE))?.[1] ?? '';
}

/** A request to the api from inside a container's network. @param {string} name @param {string} method @param {string} path @param {unknown} [body] */
export function ask(name, method, path, body) {
  const pid = must('inspect', '--format', '{{.State.Pid}}', name);
  const settings = { method, headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
  const script = `fetch('http://127.0.0.1:3001${path}', ${JSON.stringify(settings)}).then((a) => a.json()).then((a) => console.log(JSON.stringify(a)))`;
  const { status, stdout, said } = run('nsenter', `--net=/proc/${pid}/ns/net`, '--', process.execPath, '--eval', script);
  assert.equal(status, 0, said);
  return JSON.parse(stdout);
}

/** Puts an image together from Debian's packages and what else is to be in it. @param {string} name @param {string[]} packages @param {string[]} hooks shell commands on the tree, which is `$1` @param {string[]} changes as a Dockerfile writes them */
export function base(name, packages, hooks, changes) {
  const release = /^VERSION_CODENAME=(.*)$/mu.exec(readFileSync('/etc/os-release', 'utf8'))?.[1] ?? '';
  const tree = join(folder, 'base.tar');
  execFileSync('mmdebstrap', ['--quiet', '--variant=minbase', `--include=${packages.join(',')}`,
    ...hooks.map((hook) => `--customize-hook=${hook}`), release, tree], { stdio: ['ignore', 'inherit', 'inherit'] });
  must('import', ...changes.flatMap((change) => ['--change', change]), tree, name);
  rmSync(tree);
}

/** Whatever happened: every container is ended, and nothing is left behind. */
process.once('exit', () => {
  podman('rm', '--force', '--all', '--volumes', '--time', '0');
  podman('network', 'prune', '--force');
  podman('rmi', '--force', '--all');
  rmSync(folder, { recursive: true, force: true });
});
