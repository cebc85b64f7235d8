/** Who is here: how many, and the names of those who gave one. */

import { texts } from './texts.js';

export class People {
  #count;
  #list;
  #rest;
  /** @type {Map<number, string>} */
  #names = new Map();
  /** Whoever sees this is here. */
  #sockets = 1;
  #self = 0;

  /** @param {{ count: HTMLElement, list: HTMLElement, rest: HTMLElement }} parts */
  constructor({ count, list, rest }) {
    this.#count = count;
    this.#list = list;
    this.#rest = rest;
  }

  /** A connection opened: which of them one is oneself. The list comes anew. @param {number} person */
  connected(person) {
    this.#self = person;
    this.#names.clear();
    this.#show();
  }

  /** @param {import('./protocol.js').Presence} presence */
  hear({ whole, sockets, gone, come }) {
    if (whole) this.#names.clear();
    for (const person of gone) this.#names.delete(person);
    for (const { person, name } of come) this.#names.set(person, name);
    this.#sockets = Math.max(1, sockets);
    this.#show();
  }

  #show() {
    this.#count.textContent = texts.here(this.#sockets);
    this.#list.replaceChildren(...[...this.#names].map(([person, name]) => {
      const entry = document.createElement('li');
      // A name may be written from right to left; what stands beside it is not.
      const called = document.createElement('bdi');
      called.textContent = name;
      entry.append(called, person === this.#self ? ` (${texts.you})` : '');
      return entry;
    }));
    // Without a name, or beyond the names that the server lists.
    const others = Math.max(0, this.#sockets - this.#names.size);
    if (this.#names.size === 0) this.#rest.textContent = texts.nobodyNamed;
    else this.#rest.textContent = others > 0 ? texts.andOthers(others) : '';
  }
}
