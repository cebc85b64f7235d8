/** What the page says: one calm sentence, where the pointer is, and what is announced to those who listen. */

/** How long a passing remark stands before the lasting sentence returns. */
const REMARK_MS = 4_500;

export class Status {
  #sentence;
  #place;
  #announcer;
  #lasting = '';
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #remark;

  /** @param {{ sentence: HTMLElement, place: HTMLElement, announcer: HTMLElement }} parts */
  constructor({ sentence, place, announcer }) {
    this.#sentence = sentence;
    this.#place = place;
    this.#announcer = announcer;
  }

  /** The sentence that stands until another does. @param {string} sentence */
  say(sentence) {
    if (sentence === this.#lasting) return;
    this.#lasting = sentence;
    clearTimeout(this.#remark);
    this.#remark = undefined;
    this.#show(sentence);
  }

  /** A sentence in passing. @param {string} sentence */
  remark(sentence) {
    clearTimeout(this.#remark);
    this.#show(sentence);
    this.#remark = setTimeout(() => this.#show(this.#lasting), REMARK_MS);
  }

  /** One's own doing, for people who listen. @param {string} sentence */
  announce(sentence) {
    this.#announcer.textContent = sentence;
  }

  /** @param {string} place */
  at(place) {
    if (this.#place.textContent !== place) this.#place.textContent = place;
  }

  /** @param {string} sentence */
  #show(sentence) {
    if (this.#sentence.textContent !== sentence) this.#sentence.textContent = sentence;
  }
}
