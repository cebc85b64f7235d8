/** Writes PNG files, good ones and others, for tests. */

import { crc32, deflateSync } from 'node:zlib';

/** @param {string} type @param {Buffer} data */
function chunk(type, data) {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const whole = Buffer.alloc(body.length + 8);
  whole.writeUInt32BE(data.length, 0);
  body.copy(whole, 4);
  whole.writeUInt32BE(crc32(body), body.length + 4);
  return whole;
}

/**
 * @param {number} width @param {number} height
 * @param {((x: number, y: number) => number | null) | null} color of each pixel, `null` where it is transparent; none at all: a file that ends after its head
 */
export function png(width, height, color) {
  const head = Buffer.alloc(13);
  head.writeUInt32BE(width, 0);
  head.writeUInt32BE(height, 4);
  [head[8], head[9]] = [8, 6]; // Eight bits; red, green, blue, alpha.
  const start = Buffer.concat([Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]), chunk('IHDR', head)]);
  if (color === null) return start;
  const row = width * 4 + 1;
  const raw = Buffer.alloc(row * height);
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      const value = color(x, y);
      if (value !== null) raw.writeUInt32BE(value * 256 + 255, y * row + 1 + x * 4);
    }
  }
  return Buffer.concat([start, chunk('IDAT', deflateSync(raw)), chunk('IEND', Buffer.alloc(0))]);
}
