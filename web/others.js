/** Shows the way to the other canvases, where there are any. */

import { texts } from './texts.js';

/** @param {HTMLAnchorElement} link */
export async function lookForOthers(link) {
  const answer = await fetch('/api/canvases').then((response) => response.json(), () => null);
  const count = answer?.canvases?.length ?? 0;
  link.hidden = count < 2;
  link.textContent = texts.allCanvases(count);
}
