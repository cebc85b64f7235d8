/** The place in the URL: where one looks, to come back to and to show to others. */

import { fragment, parseFragment } from './viewport.js';

/** The URL follows the view after it has rested this long. */
const REST_MS = 500;

export class Place {
  #viewport;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #rest;

  /** @param {import('./viewport.js').Viewport} viewport */
  constructor(viewport) {
    this.#viewport = viewport;
  }

  /** The view moved. */
  remember() {
    clearTimeout(this.#rest);
    this.#rest = setTimeout(() => {
      const place = fragment(this.#viewport, location.hash);
      if (place !== location.hash) history.replaceState(history.state, '', location.pathname + location.search + place);
    }, REST_MS);
  }

  /** Looks where the URL says; false where it says nothing. @param {import('./geometry.js').Size} canvas */
  look(canvas) {
    const place = parseFragment(location.hash, canvas) ?? parseFragment(location.search.replace(/^\?/u, ''), canvas);
    if (place === null) return false;
    this.#viewport.look(place.x + 0.5, place.y + 0.5, place.scale);
    return true;
  }
}
