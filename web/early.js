/** What the API says of a canvas before its socket is open: it is seen some round trips earlier. */

/**
 * The rules of a canvas, as far as showing it and painting on it need them.
 * @typedef {Pick<import('./protocol.js').Hello, 'width' | 'height' | 'background' | 'palette' | 'cooldownMs' | 'chargesMax' | 'frozen'
 *   | 'stale' | 'guestsStartCooling' | 'submissionPlacementsMax' | 'inFlightPlacementsMax'>} Rules
 */

/** The description of a canvas; `null` where there is none to be had. @param {string} path @returns {Promise<{ rules: Rules, epoch: string } | null>} */
export async function description(path) {
  const answer = await fetch(path).catch(() => null);
  const canvas = answer?.ok === true ? await answer.json().catch(() => null) : null;
  if (canvas === null) return null;
  const color = (/** @type {string} */ text) => Number.parseInt(text.slice(1), 16);
  return {
    epoch: canvas.epoch,
    rules: {
      width: canvas.width, height: canvas.height, background: color(canvas.background), palette: (canvas.palette ?? []).map(color),
      cooldownMs: canvas.cooldown_ms, chargesMax: canvas.charges_max, frozen: canvas.frozen, stale: false, guestsStartCooling: false,
      // Until the socket says more, paint waits.
      submissionPlacementsMax: 1, inFlightPlacementsMax: 0,
    },
  };
}

/** Fetches, the first time this path is asked for, what is on its way already. @param {string} path @returns {import('./chunks.js').Fetch} */
export function fetchAhead(path) {
  /** @type {Promise<Response> | null} */
  let ahead = fetch(path);
  ahead.catch(() => { ahead = null; });
  return (url, init) => {
    const ready = url === path ? ahead : null;
    if (ready !== null) ahead = null;
    return ready ?? fetch(url, init);
  };
}
