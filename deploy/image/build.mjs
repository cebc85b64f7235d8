/**
 * Builds the Dockerfile as it stands, by podman and without a registry of images: what its FROM lines name is put together
 * from Debian's packages and this host's Rust. `node deploy/image/build.mjs ARCHIVE` writes the image there.
 */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

import { base, environment, must } from './podman.mjs';

/** The most that a registry may have to keep and a node to fetch. */
const COMPRESSED_BYTES_MAX = 15_000_000;
const root = fileURLToPath(new URL('../..', import.meta.url));
const archive = process.argv[2];
assert.ok(archive, 'which archive is to be written?');

/** Shows what it says, which takes minutes. @param {string} program @param {string[]} words */
function watch(program, ...words) {
  execFileSync(program, words, { cwd: root, env: environment, stdio: ['ignore', 'inherit', 'inherit'] });
}

const dockerfile = readFileSync(join(root, 'Dockerfile'), 'utf8');
const pinned = [...dockerfile.matchAll(/^FROM (\S+\/\S+?)@sha256:[0-9a-f]{64} /gmu)].map(([, name]) => name);
const named = [...dockerfile.matchAll(/^FROM \S+\/\S+/gmu)];
assert.deepEqual([pinned.length, named.length], [1, 1], `one base, of Rust, pinned to its bytes: ${named}`);
const rust = execFileSync('rustc', ['--print', 'sysroot'], { cwd: root, encoding: 'utf8' }).trim();
// What builds a static executable, and this host's own authorities: crates may come through a proxy.
base(pinned[0], ['gcc', 'libc6-dev', 'musl-tools', 'ca-certificates'], [
  `mkdir -p "$1/usr/local/rust" && cp -a ${rust}/bin ${rust}/lib "$1/usr/local/rust/"`,
  'cp /etc/ssl/certs/ca-certificates.crt "$1/etc/ssl/certs/"',
], ['ENV PATH=/usr/local/cargo/bin:/usr/local/rust/bin:/usr/bin:/bin', 'ENV CARGO_HOME=/usr/local/cargo']);

const config = join(process.env.CARGO_HOME ?? join(homedir(), '.cargo'), 'config.toml');
const secret = existsSync(config) ? ['--secret', `id=cargo-config,src=${config}`] : [];
const version = /^version = "(.*)"$/mu.exec(readFileSync(join(root, 'Cargo.toml'), 'utf8'))?.[1];
const name = `localhost/pixel-playground:${version}`;
// Its digest is the registry's: what is put together here has another one.
watch('podman', 'build', `--from=${pinned[0]}`, '--pull=never', '--network=host', '--layers=false', '--format=docker', ...secret,
  '--build-arg', `VERSION=${version}`, '--tag', name, '.');
must('save', '--output', archive, name);
const { length } = gzipSync(readFileSync(archive));
console.log(`${archive}: ${length} bytes compressed`);
assert.ok(length <= COMPRESSED_BYTES_MAX, `${length} bytes compressed, and may have ${COMPRESSED_BYTES_MAX}`);
