/** Writes the words that the HTML names, from where all words are. */

import { texts } from './texts.js';

export function write() {
  for (const element of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll('[data-text], [data-label], [data-title]'))) {
    const { text, label, title } = element.dataset;
    if (text !== undefined) element.textContent = texts.page[text];
    if (label !== undefined) element.setAttribute('aria-label', texts.page[label]);
    if (title !== undefined) element.title = texts.page[title];
  }
}
