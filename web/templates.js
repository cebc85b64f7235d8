/** The template's sheet: choosing a file, laying it, moving it, and painting after it. */

import { keep, kept } from './keep.js';
import { Layer } from './layer.js';
import { field, make, outcome, say, sheet, style, word } from './make.js';
import { Moving } from './moving.js';
import { FILE_BYTES_MAX, PICTURE_PIXELS_MAX, fileHash, pictureSize } from './picture.js';
import * as shelf from './shelf.js';
import { RIGHT, Template, WRONG, checkPlace, parseTemplate, wanted, withTemplate } from './template.js';
import { texts } from './texts.js';
import { context2d } from './tile.js';

/** Counting is done again so long after the canvas changed. */
const COUNT_INTERVAL_MS = 500;
/** So many chunks are counted at a time, with a pause between, so that hands are never waited for. */
const COUNTED_CHUNKS_MAX = 2;
const COUNT_PAUSE_MS = 30;
/** Address and browser learn of it at once, but not more often: a browser takes few new addresses in a row. */
const REMEMBER_INTERVAL_MS = 500;
/** The map of wrong pixels, in CSS pixels. */
const MAP_PIXELS_MAX = 320;
/** A cell is looked at from at least so close, in CSS pixels. */
const LOOK_SCALE_MIN = 12;

const said = texts.template;
const STYLES = /** @type {const} */ (['picture', 'dots', 'symbols']);

/**
 * @typedef {import('./template.js').Place} Place
 * @typedef {import('./layer.js').Style} Style
 * @typedef {{ name: string, rgba: Uint8ClampedArray, width: number, height: number }} Picture
 * @typedef {{ place: Place, opacity: number, style: Style, hidden: boolean }} Laid
 */

/** @type {Templates | null} */
let templates = null;

/** Shows the sheet. @param {import('./more.js').Table} table */
export async function open(table) {
  await style('more.css');
  templates ??= new Templates(table);
  await templates.restored;
  templates.show();
  return templates;
}

/** What opens the sheet and takes a file. @param {File} file */
export function laying(file) {
  return async (/** @type {import('./more.js').Table} */ table) => {
    const opened = await open(table);
    await opened.choose(file);
    return opened;
  };
}

/** Lays what the fragment names, or what lay here before. @param {import('./more.js').Table} table */
export async function restore(table) {
  await style('more.css');
  templates ??= new Templates(table);
  templates.lookAtFragment();
  return templates;
}

class Templates {
  #table;
  #layer;
  #dialog;
  #body = make('div');
  #bar;
  #barPlace = make('span', { class: 'mono' });
  #key;
  /** @type {Picture | null} */
  #picture = null;
  /** What is laid, or would be if its file were here. @type {Laid | null} */
  #laid = null;
  /** @type {Template | null} */
  #template = null;
  #values = new Int32Array();
  /** The rules that the values were made for. */
  #madeFor = '';
  /** Chunks to count again. @type {Set<number>} */
  #changed = new Set();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #counting;
  /** Runs until it may be remembered again. @type {ReturnType<typeof setTimeout> | undefined} */
  #remembered;
  /** Something of it is to be remembered. */
  #stale = false;
  #moving;
  #why = '';
  /** What the sheet tells of it, and goes on telling while it is open. */
  #heading = make('p', { class: 'soft' });
  #progress = make('p');
  #none = outcome();
  #link = make('input', { readonly: true, 'aria-label': said.link });
  #bars = make('div', { class: 'bar', 'aria-hidden': 'true' }, make('span'));
  #map = make('canvas', { class: 'wrong', 'aria-label': said.map, role: 'img' });

  /** @param {import('./more.js').Table} table */
  constructor(table) {
    this.#table = table;
    this.#key = `pixel-playground.template.${table.canvasId}`;
    this.#layer = new Layer(table);
    this.#dialog = sheet('template-sheet', said.title, texts.page.close, this.#body);
    this.#dialog.addEventListener('close', () => table.board.focus({ preventScroll: true }));
    this.#bar = make('section', { id: 'strip', 'aria-label': said.title, hidden: true });
    document.getElementById('beside')?.prepend(this.#bar);
    this.#map.addEventListener('click', (event) => this.#goOnMap(event));
    this.#moving = new Moving(table, {
      place: () => this.#laid?.place ?? { x: 0, y: 0 },
      put: (place) => this.#put(place),
      done: () => this.show(),
    });
    document.addEventListener('keydown', (event) => this.#keyDown(event), { capture: true });
    this.restored = this.#restore();
  }

  // What the page tells.

  /** @param {import('./protocol.js').FromServer} message */
  heard(message) {
    if (message.kind === 'hello') this.#make();
  }

  moved() {
    this.#layer.wake();
  }

  renewed() {
    this.#madeFor = '';
    this.#make();
  }

  /** @param {number} key of a chunk that changed */
  changed(key) {
    if (this.#template === null || !this.#template.liesOn(key)) return;
    this.#changed.add(key);
    this.#counting ??= setTimeout(() => this.#count(), COUNT_INTERVAL_MS);
  }

  /** The chunks that have to be held to count. @returns {Iterable<number>} */
  get chunks() {
    return this.#template === null || this.#laid?.hidden ? [] : this.#template.chunks;
  }

  // Where it comes from.

  /** A fragment that names a template is followed, one that names none gets the name of what lies here. */
  lookAtFragment() {
    const place = parseTemplate(location.hash);
    if (place === null && this.#template !== null) this.#remember();
    if (place === null || JSON.stringify(place) === JSON.stringify(this.#laid?.place)) return;
    const sameFile = place.hash === this.#laid?.place.hash && this.#picture !== null;
    this.#laid = { opacity: 0.6, style: 'picture', ...this.#laid, hidden: false, place };
    if (sameFile) this.#take(this.#picture);
    else void this.#fetch();
  }

  async #restore() {
    const place = parseTemplate(location.hash);
    const before = readLaid(kept(this.#key));
    this.#laid = place === null ? before : { opacity: 0.6, style: 'picture', ...before, hidden: false, place };
    if (this.#laid !== null) await this.#fetch();
  }

  /** Takes the file from the browser, or asks for it. */
  async #fetch() {
    const laid = /** @type {Laid} */ (this.#laid);
    this.#take(null);
    const file = await shelf.get(laid.place.hash);
    if (this.#laid !== laid) return;
    if (file !== null) {
      const picture = await decode(file.name, new Uint8Array(file.bytes));
      if (this.#laid === laid && typeof picture !== 'string') return this.#take(picture);
    }
    if (this.#dialog.open) this.show();
    else this.#strip(make('p', {}, this.#missing(laid)), word(said.chooseIt, () => this.show()));
  }

  /** A template whose file is not here. @param {Laid} laid */
  #missing({ place: { x, y, width, height } }) {
    return said.chooseSame(width, height, x, y);
  }

  /** A few words beside the board, until they are answered. @param {Node[]} words */
  #strip(...words) {
    this.#bar.replaceChildren(...words);
    this.#table.announce(words[0].textContent ?? '');
    this.#bar.hidden = false;
  }

  /** A file that somebody chose. @param {File} file */
  async choose(file) {
    const answer = /** @type {HTMLElement} */ (this.#body.querySelector('.outcome'));
    answer.textContent = said.reading;
    if (file.size > FILE_BYTES_MAX) {
      answer.textContent = said.fileTooLarge;
      return;
    }
    const bytes = await file.arrayBuffer().catch(() => null);
    const picture = bytes === null ? said.unreadable : await decode(file.name, new Uint8Array(bytes));
    if (typeof picture === 'string' || bytes === null) {
      answer.textContent = String(picture);
      return;
    }
    const hash = fileHash(new Uint8Array(bytes));
    const isKept = await shelf.put({ hash, name: file.name, bytes, usedMs: Date.now() });
    const asked = this.#picture === null ? this.#laid : null;
    this.#why = isKept ? '' : said.notKept;
    if (asked !== null && asked.place.hash !== hash) this.#why = said.anotherFile;
    if (asked === null || asked.place.hash !== hash) {
      const rules = this.#table.rules();
      const at = { x: Math.round(this.#table.viewport.centre.x - picture.width / 2), y: Math.round(this.#table.viewport.centre.y - picture.height / 2) };
      const within = (/** @type {number} */ value, /** @type {number} */ most) => Math.max(0, Math.min(value, most));
      const place = {
        hash, width: picture.width, height: picture.height,
        x: within(at.x, Math.max(0, (rules?.width ?? 1) - picture.width)), y: within(at.y, Math.max(0, (rules?.height ?? 1) - picture.height)),
      };
      this.#laid = { opacity: 0.6, style: 'picture', ...this.#laid, hidden: false, place };
    }
    this.#take(picture);
    this.show();
  }

  /** @param {Picture | null} picture */
  #take(picture) {
    this.#moving.end();
    this.#bar.hidden = true;
    this.#picture = picture;
    this.#madeFor = '';
    this.#make();
    if (picture !== null && this.#dialog.open) this.show();
  }

  // What lies there.

  /** Makes the template for the canvas as it is; where nothing but the place is new, the values stay. */
  #make() {
    const rules = this.#table.rules();
    const [picture, laid] = [this.#picture, this.#laid];
    if (rules === null || picture === null || laid === null) {
      this.#template = null;
      this.#layer.lay(null, this.#values, this.#table.color);
      return;
    }
    const { width, height } = laid.place;
    const madeFor = `${rules.palette.join()} ${width} ${height}`;
    const fresh = madeFor !== this.#madeFor;
    if (fresh) this.#values = wanted(picture.rgba, picture, { width, height }, rules.palette);
    this.#madeFor = madeFor;
    this.#template = new Template(laid.place, this.#values, rules);
    if (fresh) this.#layer.lay(this.#template, this.#values, this.#table.color);
    else this.#layer.move(this.#template);
    this.#look();
    this.#changed = new Set(this.#template.chunks);
    this.#table.want();
    this.#remember();
    this.#none.textContent = '';
    this.#count();
  }

  #look() {
    if (this.#laid === null) return;
    const { style: chosen, opacity, hidden } = this.#laid;
    this.#layer.look(chosen, opacity, hidden);
    document.body.classList.toggle('template-letters', chosen === 'symbols' && !hidden && this.#template !== null);
  }

  /** The page's address with what lies here in it. */
  get #address() {
    const place = this.#laid === null || this.#laid.hidden ? null : this.#laid.place;
    return new URL(withTemplate(location.hash, place), location.href).href;
  }

  #remember() {
    this.#stale = true;
    if (this.#remembered === undefined) this.#settle();
  }

  /** What was to be remembered is, now. */
  #settle() {
    if (!this.#stale) return;
    this.#stale = false;
    clearTimeout(this.#remembered);
    this.#remembered = setTimeout(() => {
      this.#remembered = undefined;
      this.#settle();
    }, REMEMBER_INTERVAL_MS);
    keep(this.#key, this.#laid === null ? '' : JSON.stringify(this.#laid));
    if (this.#address !== location.href) history.replaceState(history.state, '', this.#address);
  }

  #count() {
    clearTimeout(this.#counting);
    this.#counting = undefined;
    if (this.#laid?.style === 'symbols') this.#layer.wake();
    if (!this.#dialog.open) return; // Only its sheet shows what was counted.
    for (const key of [...this.#changed].slice(0, COUNTED_CHUNKS_MAX)) {
      this.#changed.delete(key);
      this.#template?.count(key, this.#table.valueAt);
    }
    if (this.#changed.size > 0) this.#counting = setTimeout(() => this.#count(), COUNT_PAUSE_MS);
    this.#showFacts();
  }

  /** @param {Partial<Place>} change */
  #put(change) {
    const laid = this.#laid;
    if (laid === null) return;
    const next = { ...laid.place, ...change };
    const place = checkPlace(next.hash, [next.x, next.y, next.width, next.height]);
    if (place === null) return;
    laid.place = place;
    this.#make();
    this.#barPlace.textContent = `${place.x}, ${place.y}`;
  }

  // The sheet.

  show() {
    this.#moving.end();
    this.#settle();
    const laid = this.#laid;
    this.#bar.hidden = true;
    this.#none.textContent = '';
    this.#body.replaceChildren(...this.#template !== null && laid !== null ? this.#tools(laid) : this.#asking());
    if (!this.#dialog.open) this.#dialog.showModal();
    if (this.#template !== null) this.#count();
  }

  /** @param {string} label */
  #file(label) {
    const input = make('input', { type: 'file', accept: 'image/png,image/gif,image/webp,image/jpeg,image/bmp', class: 'heard' });
    input.addEventListener('change', () => { if (input.files?.[0] !== undefined) void this.choose(input.files[0]); });
    return make('label', { class: 'stamp file' }, input, label);
  }

  #asking() {
    const laid = this.#laid;
    const answer = outcome();
    const asks = laid === null ? said.what : this.#missing(laid);
    return [
      make('p', {}, asks), this.#file(said.choose), answer,
      ...laid === null ? [] : [word(said.leave, () => this.#leave())],
    ];
  }

  /** @param {Laid} laid */
  #tools(laid) {
    const picture = /** @type {Picture} */ (this.#picture);
    const [answer, copied] = [outcome(), outcome()];
    if (this.#why !== '') say(answer, this.#why);
    const opacity = make('input', { type: 'range', min: 10, max: 100, step: 5, disabled: laid.style !== 'picture', value: Math.round(laid.opacity * 100) });
    opacity.addEventListener('input', () => { laid.opacity = Number(opacity.value) / 100; this.#look(); this.#remember(); });
    const styles = make('div', { class: 'choices', role: 'radiogroup', 'aria-label': said.style }, ...STYLES.map((name) => {
      const radio = make('input', { type: 'radio', name: 'template-style', class: 'heard', checked: laid.style === name });
      radio.addEventListener('change', () => {
        laid.style = name;
        opacity.disabled = name !== 'picture';
        this.#look();
        this.#remember();
      });
      return make('label', {}, radio, make('span', {}, said.styles[name]));
    }));
    const number = (/** @type {'x' | 'y' | 'width'} */ name, /** @type {number} */ least) => {
      const input = make('input', { type: 'number', min: least, max: 65_536, value: laid.place[name] });
      input.addEventListener('change', () => {
        const value = Math.round(input.valueAsNumber); // Of an empty field none, which is no place.
        const height = Math.max(1, Math.round(value * picture.height / picture.width));
        this.#put(name === 'width' ? { width: value, height } : { [name]: value });
        input.value = String(laid.place[name]);
      });
      return field(said[name], input);
    };
    const hide = word(laid.hidden ? said.show : said.hide, () => {
      laid.hidden = !laid.hidden;
      hide.textContent = laid.hidden ? said.show : said.hide;
      this.#look();
      this.#remember();
      this.#showFacts();
      this.#table.want();
    });
    return [
      this.#heading, answer, this.#progress, this.#bars, this.#map,
      make('div', {}, make('button', { type: 'button', class: 'stamp', click: () => this.#next() }, said.next)), this.#none,
      make('h3', {}, said.look), styles, field(said.opacity, opacity),
      make('h3', {}, said.where), make('div', { class: 'pair three' }, number('x', -65_536), number('y', -65_536), number('width', 1)),
      word(said.move, () => this.#startMoving()),
      make('h3', {}, said.share), make('p', {}, said.shareHow), make('div', { class: 'field' }, this.#link),
      word(said.copy, () => void this.#copy(copied)), copied,
      make('h3', {}, said.file), this.#file(said.another), hide, word(said.leave, () => this.#leave()),
    ];
  }

  #leave() {
    this.#laid = null;
    this.#why = '';
    this.#take(null);
    this.#remember();
    document.body.classList.remove('template-letters');
    this.show();
  }

  /** @param {HTMLElement} answer */
  async #copy(answer) {
    this.#link.value = this.#address;
    this.#link.select();
    const copied = await (navigator.clipboard?.writeText(this.#link.value).then(() => true, () => false) ?? document.execCommand('copy'));
    answer.textContent = copied ? said.copied : said.copyYourself;
  }

  #showFacts() {
    if (!this.#dialog.open || this.#template === null) return;
    const { progress, place } = this.#template;
    this.#heading.replaceChildren(make('bdi', {}, this.#picture?.name ?? ''), ` · ${place.width} × ${place.height}`);
    this.#link.value = this.#address;
    const { right, total } = progress;
    this.#progress.textContent = said.progress(progress);
    /** @type {HTMLElement} */ (this.#bars.firstElementChild).style.width = `${total === 0 ? 0 : 100 * right / total}%`;
    this.#drawMap(this.#template);
  }

  /** Wrong pixels are ink, right ones are faint. @param {Template} template */
  #drawMap(template) {
    const { width, height, cells } = template.map;
    [this.#map.width, this.#map.height] = [width, height];
    this.#map.style.width = `${width * Math.max(1, Math.floor(MAP_PIXELS_MAX / Math.max(width, height)))}px`;
    const style = getComputedStyle(document.documentElement);
    const context = context2d(this.#map, { willReadFrequently: true });
    const image = new ImageData(width, height);
    const to = new Uint32Array(image.data.buffer);
    for (const [state, token] of /** @type {const} */ ([[RIGHT, '--blank'], [WRONG, '--ink']])) {
      // The browser knows every way in which a colour may be written.
      context.fillStyle = style.getPropertyValue(token);
      context.fillRect(0, 0, 1, 1);
      const [color] = new Uint32Array(context.getImageData(0, 0, 1, 1).data.buffer);
      for (let at = 0; at < cells.length; at += 1) if (cells[at] === state) to[at] = color;
    }
    context.putImageData(image, 0, 0);
  }

  /** @param {MouseEvent} event */
  #goOnMap(event) {
    if (this.#template === null) return;
    const { left, top, width, height } = this.#map.getBoundingClientRect();
    const { x, y, width: columns, height: rows } = this.#template.place;
    this.#next({ x: x + Math.floor((event.clientX - left) / width * columns), y: y + Math.floor((event.clientY - top) / height * rows) });
  }

  // Painting after it.

  /** Goes to the nearest wrong pixel, its colour in hand, or says why there is none. @param {{ x: number, y: number }} [from] */
  #next(from = this.#table.cursor()) {
    if (this.#template === null) return;
    const { cell, known } = this.#template.nextWrong(from, this.#table.valueAt);
    if (cell === null) {
      const why = this.#template.progress.total === 0 ? said.beyond : known ? said.nothingWrong : said.notKnown;
      // Behind the sheet nobody reads the status line.
      if (this.#dialog.open) this.#none.textContent = why;
      else this.#table.remark(why);
      return;
    }
    this.#dialog.close();
    this.#table.palette.take(this.#table.color(this.#template.at(cell.x, cell.y)));
    this.#table.go(cell, LOOK_SCALE_MIN);
  }

  // Moving it by hand.

  #startMoving() {
    this.#dialog.close();
    if (this.#laid !== null) this.#laid.hidden = false;
    this.#strip(make('p', {}, said.dragIt, ' ', this.#barPlace), word(said.done, () => this.show()));
    this.#put({});
    this.#moving.begin();
  }

  /** @param {KeyboardEvent} event */
  #keyDown(event) {
    if (event.target !== this.#table.board || event.altKey || event.ctrlKey || event.metaKey) return;
    if (this.#moving.on) {
      if (!this.#moving.key(event)) return;
    } else {
      if (event.code !== 'KeyN' || this.#template === null || this.#laid?.hidden) return;
      this.#next();
    }
    event.preventDefault();
    event.stopPropagation();
  }
}

/** A picture, or the sentence that says why there is none. @param {string} name @param {Uint8Array<ArrayBuffer>} bytes @returns {Promise<Picture | string>} */
async function decode(name, bytes) {
  const size = pictureSize(bytes);
  if (size === null) return said.noPicture;
  if (size.width * size.height > PICTURE_PIXELS_MAX) return said.tooManyPixels(size.width, size.height);
  const image = await createImageBitmap(new Blob([bytes]), { premultiplyAlpha: 'none', colorSpaceConversion: 'none' }).catch(() => null);
  if (image === null) return said.damaged;
  const { width, height } = image;
  try {
    const context = context2d(make('canvas', { width, height }), { willReadFrequently: true });
    context.drawImage(image, 0, 0);
    const rgba = context.getImageData(0, 0, width, height).data;
    if (rgba.every((part, index) => index % 4 !== 3 || part < 128)) return said.nothingInIt;
    return { name, rgba, width, height };
  } catch {
    return said.damaged; // The browser has no room for it.
  } finally {
    image.close();
  }
}

/** What was kept about a template, checked: it may be of another version, or nonsense. @param {string} text @returns {Laid | null} */
function readLaid(text) {
  try {
    const { place, opacity, style: chosen, hidden } = JSON.parse(text);
    const checked = checkPlace(place?.hash, [place?.x, place?.y, place?.width, place?.height]);
    if (checked === null) return null;
    return {
      place: checked, opacity: typeof opacity === 'number' ? Math.max(0.1, Math.min(1, opacity)) : 0.6,
      style: STYLES.find((name) => name === chosen) ?? 'picture', hidden: hidden === true,
    };
  } catch {
    return null;
  }
}
