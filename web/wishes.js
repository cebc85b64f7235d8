/** What one wishes of the page with a tick, kept between visits. */

import { keep, kept } from './keep.js';

/** @param {HTMLInputElement} box @param {string} key @param {(on: boolean, changed: boolean) => void} apply `changed`: by hand, just now */
export function wish(box, key, apply) {
  box.checked = kept(key) === 'on';
  apply(box.checked, false);
  box.addEventListener('change', () => {
    keep(key, box.checked ? 'on' : 'off');
    apply(box.checked, true);
  });
}
