/** What the page says: one calm sentence, where the pointer is, and what is announced to those who listen. */

/** How long a passing remark stands before the lasting sentence returns. */
const REMARK_MS = 4_500;
/** The place is written at most this often: laying a word out anew takes longer than drawing the board. */
const PLACE_INTERVAL_MS = 100;

export class Status {
  #sentence;
  #place;
  #announcer;
  #lasting = '';
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #remark;
  #placed = '';
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #placing;

  /** @param {{ sentence: HTMLElement, place: HTMLElement, announcer: HTMLElement }} parts */
  constructor({ sentence, place, announcer }) {
    this.#sentence = sentence;
    this.#place = place;
    this.#announcer = announcer;
  }

  /** The sentence that stands until another does; what was said in passing is read to its end. @param {string} sentence */
  say(sentence) {
    this.#lasting = sentence;
    if (this.#remark === undefined) this.#show(sentence);
  }

  /** A sentence in passing. @param {string} sentence */
  remark(sentence) {
    clearTimeout(this.#remark);
    this.#show(sentence);
    this.#remark = setTimeout(() => {
      this.#remark = undefined;
      this.#show(this.#lasting);
    }, REMARK_MS);
  }

  /** One's own doing, for people who listen. @param {string} sentence */
  announce(sentence) {
    this.#announcer.textContent = sentence;
  }

  /** @param {string} place */
  at(place) {
    this.#placed = place;
    if (this.#placing !== undefined || this.#place.textContent === place) return;
    this.#place.textContent = place;
    this.#placing = setTimeout(() => {
      this.#placing = undefined;
      this.at(this.#placed);
    }, PLACE_INTERVAL_MS);
  }

  /** @param {string} sentence */
  #show(sentence) {
    if (this.#sentence.textContent !== sentence) this.#sentence.textContent = sentence;
  }
}
