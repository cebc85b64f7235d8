/** Notices that the page may have missed something: a sleep, a hidden tab, a network that is back. */

/** How often the clock is looked at, and the gap between two looks that is a sleep. */
const LOOK_INTERVAL_MS = 1_000;
const SLEEP_MS_MIN = 5_000;

/** @param {() => void} woken */
export function onWaking(woken) {
  addEventListener('pageshow', ({ persisted }) => { if (persisted) woken(); });
  document.addEventListener('resume', woken);
  document.addEventListener('visibilitychange', () => { if (!document.hidden) woken(); });
  // Where a lid was closed no event tells: the wall clock does.
  let last = Date.now();
  setInterval(() => {
    const now = Date.now();
    if (now - last > SLEEP_MS_MIN && !document.hidden) woken();
    last = now;
  }, LOOK_INTERVAL_MS);
}
