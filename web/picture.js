/** What a picture file says of itself before anybody decodes it: its size, and a name for its bytes. */

/** A file that is larger is not read. */
export const FILE_BYTES_MAX = 32 * 1_024 * 1_024;
/** A picture with more pixels is not decoded. */
export const PICTURE_PIXELS_MAX = 16_777_216;
/** Bytes of a WebP file until its size is told. */
const WEBP_HEAD_BYTES = 30;

/** @typedef {import('./geometry.js').Size} Size */

/**
 * The size that a PNG, GIF, BMP, WebP or JPEG file gives itself; `null` for any other file.
 * @param {Uint8Array} bytes @returns {Size | null}
 */
export function pictureSize(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  try {
    const size = readSize(view);
    return size !== null && size.width > 0 && size.height > 0 ? size : null;
  } catch (error) {
    if (error instanceof RangeError) return null; // It ends too early.
    throw error;
  }
}

/** @param {DataView} view @returns {Size | null} */
function readSize(view) {
  switch (view.getUint16(0)) {
    case 0x8950: // PNG
      return view.getUint32(4) === 0x0d0a_1a0a ? { width: view.getUint32(16), height: view.getUint32(20) } : null;
    case 0x4749: // GIF
      return { width: view.getUint16(6, true), height: view.getUint16(8, true) };
    case 0x424d: // BMP; a negative height means that it begins at the top.
      return { width: Math.abs(view.getInt32(18, true)), height: Math.abs(view.getInt32(22, true)) };
    case 0x5249: // RIFF
      return view.getUint32(8) === 0x5745_4250 && view.byteLength >= WEBP_HEAD_BYTES ? webpSize(view) : null;
    case 0xffd8:
      return jpegSize(view);
    default:
      return null;
  }
}

/** @param {DataView} view @returns {Size | null} */
function webpSize(view) {
  const three = (/** @type {number} */ at) => 1 + view.getUint8(at) + (view.getUint16(at + 1, true) << 8);
  switch (view.getUint32(12)) {
    case 0x5650_3858: // VP8X
      return { width: three(24), height: three(27) };
    case 0x5650_384c: { // VP8L
      const bits = view.getUint32(21, true);
      return { width: 1 + (bits & 0x3fff), height: 1 + ((bits >> 14) & 0x3fff) };
    }
    case 0x5650_3820: // VP8
      return { width: view.getUint16(26, true) & 0x3fff, height: view.getUint16(28, true) & 0x3fff };
    default:
      return null;
  }
}

/** Walks the segments to the one that begins a frame. @param {DataView} view @returns {Size | null} */
function jpegSize(view) {
  for (let at = 2; view.getUint8(at) === 0xff; at += 2 + view.getUint16(at + 2)) {
    const marker = view.getUint8(at + 1);
    const begins = marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc;
    if (begins) return { width: view.getUint16(at + 7), height: view.getUint16(at + 5) };
  }
  return null;
}

/**
 * A name for the bytes of a file: 16 hex digits (FNV-1a in two lanes). It tells files apart and keeps no secret; the
 * browser's own hashes are not there on pages without TLS.
 * @param {Uint8Array} bytes
 */
export function fileHash(bytes) {
  let [one, two] = [0x811c_9dc5, 0x9747_b28c];
  for (const byte of bytes) {
    one = Math.imul(one ^ byte, 0x0100_0193);
    two = Math.imul(two ^ byte ^ (one >>> 24), 0x0100_0193);
  }
  return [one, two].map((lane) => (lane >>> 0).toString(16).padStart(8, '0')).join('');
}
