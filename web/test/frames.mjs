/** How long a browser's frames take. */

/** What a frame may take at 60 a second; half a ms more is the clock's. */
const FRAME_MS = 16.7 + 0.5;
/** One refresh of a screen with 60 a second. */
const REFRESH_MS = 1_000 / 60;

/**
 * Those of a while: the times between them in ms, shortest first, and how many refreshes of the screen there were.
 * @param {import('playwright-core').Page} page @param {number} ms @returns {Promise<{ times: number[], refreshes: number }>}
 */
export async function frames(page, ms) {
  const { times, shownMs } = await page.evaluate((length) => new Promise((resolve) => {
    /** @type {number[]} */
    const times = [];
    let first = 0;
    let last = performance.now();
    const end = last + length;
    const frame = (/** @type {number} */ shown) => {
      const now = performance.now();
      first ||= shown;
      times.push(now - last);
      last = now;
      if (now < end) requestAnimationFrame(frame);
      else resolve({ times, shownMs: shown - first });
    };
    requestAnimationFrame(frame);
  }), ms);
  return { times: times.sort((/** @type {number} */ a, /** @type {number} */ b) => a - b), refreshes: Math.round(shownMs / REFRESH_MS) + 1 };
}

/**
 * What is to be said of them. `late` is the share in percent that ran too long after the one before for 60 a second;
 * `missed` that of the refreshes that had no new frame: what an eye sees of it.
 * @param {{ times: number[], refreshes: number }} frames
 */
export function summary({ times, refreshes }) {
  const at = (/** @type {number} */ part) => times[Math.min(times.length - 1, Math.floor(times.length * part))];
  return {
    count: times.length, p50: at(0.5), p95: at(0.95), longest: at(1),
    late: times.filter((time) => time > FRAME_MS).length / times.length * 100,
    missed: Math.max(0, refreshes - times.length) / refreshes * 100,
  };
}
