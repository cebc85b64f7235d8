/** The start page: every canvas as a small print, when there is more than one. */

import { letter } from './lettering.js';
import { make } from './make.js';
import { texts } from './texts.js';

/** A print takes at most so much, in CSS pixels. */
const PRINT = { width: 256, height: 192 };
/** Of a larger canvas the middle is shown, with sides of this many of its pixels. */
const PART_PIXELS_MAX = 768;
/** A server that does not answer is asked again after this. */
const RETRY_MS = 3_000;
/** A picture that could not be drawn is tried so often. */
const TRIES_MAX = 4;

/** @typedef {{ id: string, name: string, width: number, height: number, cooldown_ms: number, frozen: boolean }} Canvas */

const said = /** @type {HTMLElement} */ (document.getElementById('said'));
const list = /** @type {HTMLElement} */ (document.getElementById('canvases'));

/** Prints in view whose picture is to be fetched, one at a time: the server draws few at once. @type {(() => Promise<void>)[]} */
const waiting = [];
let drawing = false;

async function drawNext() {
  if (drawing) return;
  drawing = true;
  for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) await next();
  drawing = false;
}

/** @param {Canvas} canvas */
function address({ id }) {
  return id === 'main' ? '/' : `/c/${encodeURIComponent(id)}`;
}

/** The part of a canvas that its print shows. @param {Canvas} canvas */
function part({ width, height }) {
  const [w, h] = [Math.min(width, PART_PIXELS_MAX), Math.min(height, PART_PIXELS_MAX)];
  return { x: Math.floor((width - w) / 2), y: Math.floor((height - h) / 2), w, h };
}

/** @param {Canvas} canvas */
function print(canvas) {
  const { x, y, w, h } = part(canvas);
  const scale = Math.min(PRINT.width / w, PRINT.height / h);
  const image = make('img', { alt: '', width: Math.max(8, Math.round(w * scale)), height: Math.max(8, Math.round(h * scale)), class: 'print' });
  const draw = async (tried = 0) => {
    image.src = `/api/canvases/${encodeURIComponent(canvas.id)}.png?x=${x}&y=${y}&w=${w}&h=${h}`;
    const drawn = await image.decode().then(() => true, () => false);
    if (!drawn) {
      image.removeAttribute('src');
      if (tried + 1 < TRIES_MAX) setTimeout(() => { waiting.push(() => draw(tried + 1)); void drawNext(); }, RETRY_MS);
    }
  };
  new IntersectionObserver((entries, observer) => {
    if (!entries.some(({ isIntersecting }) => isIntersecting)) return;
    observer.disconnect();
    waiting.push(draw);
    void drawNext();
  }).observe(image);
  return image;
}

/** @param {Canvas} canvas */
function entry(canvas) {
  const { name, width, height, cooldown_ms: ms, frozen } = canvas;
  const rules = [texts.start.size(width, height), texts.start.cooldown(ms), ...frozen ? [texts.start.frozen] : []].join(' · ');
  return make('li', {}, make('a', { href: address(canvas) },
    make('span', { class: 'frame' }, print(canvas)), make('strong', { dir: 'auto' }, name), make('span', { class: 'rules' }, rules)));
}

async function show() {
  const answer = await fetch('/api/canvases').then((response) => (response.ok ? response.json() : null), () => null);
  if (answer === null) {
    said.textContent = texts.start.noAnswer;
    setTimeout(show, RETRY_MS);
    return;
  }
  /** @type {Canvas[]} */
  const canvases = answer.canvases;
  canvases.sort((a, b) => Number(b.id === 'main') - Number(a.id === 'main'));
  // With one canvas there is nothing to choose.
  if (canvases.length === 1) location.replace(address(canvases[0]));
  said.textContent = canvases.length === 0 ? texts.start.none : '';
  list.replaceChildren(...canvases.map(entry));
}

letter(/** @type {SVGSVGElement} */ (/** @type {unknown} */ (document.getElementById('wordmark'))), texts.wordmark, ['#D9392B', '#F5C32C', '#2A4CC4', '#2C8C4B']);
void show();
