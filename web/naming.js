/** The field in which one says who one is. */

import { keep, kept } from './keep.js';

/** A name is sent when its writer has rested this long. */
const REST_MS = 600;
const KEY = 'pixel-playground.name';

export class NameField {
  #input;
  #send;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #rest;

  /** @param {HTMLInputElement} input @param {(name: string) => void} send @param {() => void} done */
  constructor(input, send, done) {
    this.#input = input;
    this.#send = send;
    input.value = kept(KEY);
    input.addEventListener('input', () => {
      clearTimeout(this.#rest);
      this.#rest = setTimeout(() => this.#tell(), REST_MS);
    });
    input.addEventListener('change', () => this.#tell());
    input.addEventListener('keydown', (event) => {
      if (event.key !== 'Enter' || event.isComposing) return;
      this.#tell();
      done();
    });
  }

  /** A connection opened, which knows nobody yet. @param {number} charactersMax */
  connected(charactersMax) {
    this.#input.maxLength = charactersMax;
    this.#input.value = this.#input.value.slice(0, charactersMax); // What was kept may be anything.
    if (this.#input.value !== '') this.#send(this.#input.value);
  }

  #tell() {
    clearTimeout(this.#rest);
    const name = this.#input.value;
    if (name === kept(KEY)) return;
    keep(KEY, name);
    this.#send(name);
  }
}
