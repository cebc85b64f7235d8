/** Shows how long the ink has to dry: a ring, the time, and the tab's title. */

import { texts } from './texts.js';

export class Drying {
  #cooldown;
  #place;
  #ring;
  #time;

  /** @param {import('./cooldown.js').Cooldown} cooldown @param {{ place: HTMLElement, ring: SVGRectElement, time: HTMLElement }} parts */
  constructor(cooldown, { place, ring, time }) {
    this.#cooldown = cooldown;
    this.#place = place;
    this.#ring = ring;
    this.#time = time;
  }

  /** @param {number} now */
  show(now) {
    const { applies, most } = this.#cooldown;
    if (this.#place.hidden && !applies) return;
    this.#place.hidden = !applies;
    const { charges, waitMs, part } = this.#cooldown.standing(now);
    const drying = applies && waitMs > 0 && charges === 0;
    const shown = drying ? texts.readyShort(waitMs) : most > 1 ? String(charges) : '';
    const told = drying ? texts.readyIn(waitMs) : texts.charges(charges);
    this.#ring.style.strokeDashoffset = String(100 - part * 100);
    this.#place.classList.toggle('dry', !drying);
    if (this.#time.textContent !== shown) this.#time.textContent = shown;
    if (this.#place.title !== told) {
      this.#place.title = told;
      this.#place.setAttribute('aria-label', told);
    }
    const title = drying ? `${shown} · ${texts.title}` : texts.title;
    if (document.title !== title) document.title = title;
  }
}
