/** Picture files: the size that each kind gives itself, and what is no picture. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { fileHash, pictureSize } from '../picture.js';

/** @param {string} hex */
function bytes(hex) {
  return Uint8Array.from(hex.match(/../gu) ?? [], (pair) => Number.parseInt(pair, 16));
}

/** The beginning of a file of each kind, and its size. @type {[string, string, number, number][]} */
const HEADS = [
  ['PNG', '89504e470d0a1a0a0000000d49484452000000180000000c0806000000', 24, 12],
  ['PNG of 50,000 by 50,000', '89504e470d0a1a0a0000000d494844520000c3500000c3500806000000', 50_000, 50_000],
  ['GIF', '47494638396105000300800000', 5, 3],
  ['BMP', '424d46000000000000003600000028000000020000000300000001001800', 2, 3],
  ['BMP from the top', '424d4600000000000000360000002800000002000000fdffffff01001800', 2, 3],
  ['WebP, lossy', `52494646240000005745425056503820180000003001009d012a${'1000'}${'2000'}0000`, 16, 32],
  ['WebP, lossless', '5249464624000000574542505650384c180000002f0f400700000000000000000000', 16, 30],
  ['WebP, extended', '524946462400000057454250565038580a00000000000000f301002b01000000', 500, 300],
  ['JPEG', 'ffd8ffe000104a46494600010100000100010000ffc0001108000a001403012200', 20, 10],
];

test('every kind of picture tells its size in its first bytes', () => {
  for (const [kind, hex, width, height] of HEADS) assert.deepEqual(pictureSize(bytes(hex)), { width, height }, kind);
});

test('a file that is cut anywhere, or none of these, is no picture, and nothing is thrown', () => {
  for (const [kind, hex] of HEADS) {
    const whole = bytes(hex);
    for (let length = 0; length < whole.length; length += 1) {
      const size = pictureSize(whole.slice(0, length));
      assert.ok(size === null || size.width > 0, `${kind} cut at ${length}`);
    }
  }
  for (const hex of ['', '00', '3c737667', '25504446', '504b0304', `ffd8${'ff00ff00'.repeat(9)}`]) assert.equal(pictureSize(bytes(hex)), null, hex);
  assert.equal(pictureSize(bytes('89504e470d0a1a0a0000000d49484452000000000000000c0806000000')), null, 'no width');
});

test('the hash of a file changes with every byte of it', () => {
  const file = bytes('89504e470d0a1a0a0000000d49484452');
  const hashes = new Set([fileHash(file), fileHash(file.slice(1)), fileHash(new Uint8Array())]);
  file.forEach((_, index) => { const other = file.slice(); other[index] ^= 1; hashes.add(fileHash(other)); });
  assert.equal(hashes.size, 3 + file.length);
  assert.match(fileHash(file), /^[\da-f]{16}$/u);
  assert.equal(fileHash(bytes('00')), fileHash(bytes('00')));
});
