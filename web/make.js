/** Builds elements for what is loaded on demand: text becomes text nodes, never markup. */

import { closeOutside } from './outside.js';

/** A live region is listened to when it has been there so long. */
const SAY_AFTER_MS = 100;

/** Style sheets that apply, or are on their way. @type {Map<string, Promise<unknown>>} */
const styles = new Map();

/** @typedef {Record<string, string | number | boolean | ((event: any) => void)>} Attributes functions listen */

/**
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag @param {Attributes} [attributes] @param {(Node | string)[]} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === 'function') element.addEventListener(name, value);
    else if (typeof value === 'boolean') element.toggleAttribute(name, value);
    else element.setAttribute(name, String(value));
  }
  element.append(...children);
  return element;
}

/** A word that can be pressed. @param {string} text @param {() => void} pressed */
export function word(text, pressed) {
  return make('button', { type: 'button', class: 'word', click: pressed }, text);
}

/** A solid block that can be pressed: what a form is for. @param {string} text */
export function stamp(text) {
  return make('button', { type: 'submit', class: 'stamp' }, text);
}

/** A labelled field. @param {Node | string} label @param {HTMLElement} input */
export function field(label, input) {
  return make('label', { class: 'field' }, label, input);
}

/** Where a section says what came of it. */
export function outcome() {
  return make('p', { class: 'outcome', 'aria-live': 'polite' });
}

/** Says what came of it once the outcome is in the page: what a live region holds from the start is not announced. @param {HTMLElement} answer @param {string} sentence */
export function say(answer, sentence) {
  setTimeout(() => { answer.textContent = sentence; }, SAY_AFTER_MS);
}

/** A form that never leaves the page. @param {() => void} submitted @param {(Node | string)[]} children */
export function form(submitted, ...children) {
  return make('form', { submit: (/** @type {Event} */ event) => { event.preventDefault(); submitted(); } }, ...children);
}

/** A sheet over the board. @param {string} id @param {string} title @param {string} close @param {(Node | string)[]} children */
export function sheet(id, title, close, ...children) {
  const dialog = make('dialog', { id, class: 'sheet', 'aria-labelledby': `${id}-title` });
  const head = make('div', { class: 'sheet-head' }, make('h2', { id: `${id}-title` }, title), word(close, () => dialog.close()));
  dialog.append(head, ...children);
  closeOutside(dialog);
  document.body.append(dialog);
  return dialog;
}

/** Loads a style sheet once; resolves when it applies, or could not be had: the next that needs it tries again. @param {string} name */
export function style(name) {
  const before = styles.get(name);
  if (before !== undefined) return before;
  const applied = new Promise((resolve) => {
    const failed = () => { link.remove(); styles.delete(name); resolve(undefined); };
    const link = make('link', { rel: 'stylesheet', href: new URL(`./${name}`, import.meta.url).href, load: resolve, error: failed });
    document.head.append(link);
  });
  styles.set(name, applied);
  return applied;
}
