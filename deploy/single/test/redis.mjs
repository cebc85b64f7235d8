/** The image of Redis that a registry would have, put together from this host's own packages. */

import { execFileSync } from 'node:child_process';
import { mkdirSync, realpathSync } from 'node:fs';
import { join } from 'node:path';

import { environment, folder } from '../../image/podman.mjs';

/** The server, its client, and what compose's command and health check run. */
const PROGRAMS = ['redis-server', 'redis-cli', 'sh', 'cat', 'sed', 'grep'];
/** Who runs it, and owns `/data`. */
const USER = '999';

/** @param {string} name what the compose file calls it */
export function redis(name) {
  const ask = (/** @type {string} */ program, /** @type {string[]} */ ...words) => execFileSync(program, words, { encoding: 'utf8' });
  const tree = join(folder, 'redis');
  for (const place of ['bin', 'tmp', 'data']) mkdirSync(join(tree, place), { recursive: true });
  for (const program of PROGRAMS) {
    const path = realpathSync(ask('which', program).trim());
    ask('cp', path, join(tree, 'bin', program));
    for (const [library] of ask('ldd', path).matchAll(/\/\S+/gu)) {
      mkdirSync(join(tree, library, '..'), { recursive: true });
      ask('cp', '--dereference', library, join(tree, library));
    }
  }
  const archive = join(folder, 'redis.tar');
  ask('tar', '--create', '--file', archive, '--directory', tree, '--owner=0', '--group=0', '--exclude=./data', '.');
  ask('tar', '--append', '--file', archive, '--directory', tree, `--owner=${USER}`, `--group=${USER}`, './data');
  execFileSync('podman', ['import', '--quiet', '--change', 'ENV PATH=/bin', '--change', 'VOLUME /data', archive, name], { env: environment });
}
