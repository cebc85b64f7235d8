/** How long a browser's frames take. */

/** What a frame may take at 60 a second; half a ms more is the clock's. */
const FRAME_MS = 16.7 + 0.5;

/** Those of a while, in ms, shortest first. @param {import('playwright-core').Page} page @param {number} ms @returns {Promise<number[]>} */
export async function frames(page, ms) {
  const times = await page.evaluate((length) => new Promise((resolve) => {
    /** @type {number[]} */
    const times = [];
    let last = performance.now();
    const end = last + length;
    const frame = () => {
      const now = performance.now();
      times.push(now - last);
      last = now;
      if (now < end) requestAnimationFrame(frame);
      else resolve(times);
    };
    requestAnimationFrame(frame);
  }), ms);
  return /** @type {number[]} */ (times).sort((a, b) => a - b);
}

/** What is to be said of them; `late` is the share in percent that took too long for 60 a second. @param {number[]} times shortest first */
export function summary(times) {
  const at = (/** @type {number} */ part) => times[Math.min(times.length - 1, Math.floor(times.length * part))];
  return { count: times.length, p50: at(0.5), p95: at(0.95), longest: at(1), late: times.filter((time) => time > FRAME_MS).length / times.length * 100 };
}
