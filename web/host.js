/** The host's sheet: freeze, cooldown, a new canvas, the picture, a blank sheet. */

import { EXPORTED_PIXELS_MAX } from './geometry.js';
import { field, form, make, outcome, say, sheet, stamp, style, word } from './make.js';
import { texts } from './texts.js';

/** A server that has not answered by then is said to be silent. */
const ANSWER_MS_MAX = 10_000;
/** The token's place for this tab's session. */
const KEY = 'pixel-playground.host';
/** What can be a token at all: the rest cannot even be sent. */
const TOKEN = /^[\x20-\x7e]{1,1000}$/u;
/** The palette that a new canvas is offered. */
const PALETTE = '#FFFFFF #1C1917 #6B625A #D9392B #F07F1F #F5C32C #2C8C4B #58B7DD #2A4CC4 #7D4AB5';

const said = texts.host;

/**
 * @typedef {import('./more.js').Table} Table
 * @typedef {{ id: string, name: string, width: number, height: number, palette?: string[], cooldown_ms: number, charges_max: number, frozen: boolean }} Canvas
 * @typedef {{ canvas: Canvas | null, sentence: string, refused: boolean }} Answer
 */

/** @type {HostSheet | null} */
let open_ = null;
/** What the host's sheet wants to hear of: nothing. */
const PART = {};

/** @param {Table} table */
export async function open(table) {
  await style('more.css');
  open_ ??= new HostSheet(table);
  await open_.show();
  return PART;
}

class HostSheet {
  #table;
  #dialog;
  #body = make('div');
  /** Remembered here as well, for browsers that keep nothing. */
  #token = '';
  #busy = false;

  /** @param {Table} table */
  constructor(table) {
    this.#table = table;
    this.#dialog = sheet('host-sheet', said.title, texts.page.close, this.#body);
    this.#dialog.addEventListener('close', () => table.board.focus({ preventScroll: true }));
  }

  async show() {
    this.#token = keptToken() || this.#token;
    if (this.#token === '') this.#ask('');
    if (!this.#dialog.open) this.#dialog.showModal();
    if (this.#token !== '') await this.#enter();
  }

  /** Asks for the token. @param {string} why it is asked for again */
  #ask(why) {
    const input = make('input', { type: 'password', autocomplete: 'off', spellcheck: 'false', required: true });
    const answer = outcome();
    this.#body.replaceChildren(form(() => {
      if (!TOKEN.test(input.value.trim())) {
        answer.textContent = said.notTheHost;
        return;
      }
      this.#token = input.value.trim();
      void this.#enter();
    }, make('p', {}, said.askToken), field(said.token, input), stamp(said.enter), answer));
    input.focus();
    say(answer, why);
  }

  /** Shows the tools to whom the server takes for the host: an amendment of nothing says who one is. */
  async #enter() {
    const { canvas, sentence, refused } = await this.#amend({});
    if (canvas !== null) {
      keepToken(this.#token);
      this.#tools(canvas);
      return;
    }
    if (refused) {
      this.#token = '';
      keepToken('');
    }
    this.#ask(sentence);
  }

  /** @param {Canvas} canvas */
  #tools(canvas) {
    const { id, name, width, height, palette } = canvas;
    const size = `${width.toLocaleString('en')} × ${height.toLocaleString('en')}`;
    const path = id === 'main' ? '/' : `/c/${id}`;
    this.#body.replaceChildren(
      make('p', { class: 'soft' }, make('bdi', {}, name), ` · ${size} · ${said.colours(palette?.length ?? 0)}`),
      this.#freezing(canvas),
      this.#cooldown(canvas),
      section(said.picture,
        width * height > EXPORTED_PIXELS_MAX ? make('p', {}, said.pictureTooLarge)
          : make('p', {}, make('a', { class: 'word', href: `${this.#table.api}.png`, download: `${id}.png` }, said.download)),
        make('p', {}, make('a', { class: 'word', href: `${path}?bare` }, said.bare))),
      this.#making(),
      this.#blank(canvas),
      word(said.forget, () => {
        this.#token = '';
        keepToken('');
        this.#ask(said.forgotten);
      }),
    );
    this.#body.querySelector('button')?.focus();
  }

  /** @param {Canvas} canvas @returns {HTMLElement} */
  #freezing({ frozen }) {
    const answer = outcome();
    say(answer, frozen ? said.isFrozen : '');
    const part = section(said.freezing, form(async () => {
      const { canvas, sentence } = await this.#amend({ frozen: !frozen });
      if (canvas === null) {
        answer.textContent = sentence;
        return;
      }
      const after = this.#freezing(canvas); // The rest of the sheet keeps what was typed.
      part.replaceWith(after);
      after.querySelector('button')?.focus();
    }, make('p', {}, said.freezingMeans), stamp(frozen ? said.thaw : said.freeze), answer));
    return part;
  }

  /** @param {Canvas} canvas */
  #cooldown({ cooldown_ms: ms, charges_max: most }) {
    const seconds = make('input', { type: 'number', min: 0, max: 86_400, step: 'any', required: true, value: ms / 1_000 });
    const charges = make('input', { type: 'number', min: 1, max: 10_000, required: true, value: most });
    const answer = outcome();
    return section(said.cooldown, form(async () => {
      const { canvas, sentence } = await this.#amend({
        cooldown_ms: Math.round(Number(seconds.value) * 1_000), charges_max: Number(charges.value),
      });
      answer.textContent = canvas === null ? sentence : said.cooldownSet(canvas.cooldown_ms);
    }, make('div', { class: 'pair' }, field(said.seconds, seconds), field(said.charges, charges)), stamp(said.setCooldown), answer));
  }

  #making() {
    const id = make('input', { pattern: '[a-z0-9][a-z0-9_\\-]{0,63}', maxlength: 64, required: true, autocapitalize: 'none', spellcheck: 'false', autocomplete: 'off' });
    const name = make('input', { maxlength: 80, autocomplete: 'off' });
    const [width, height] = [256, 256].map((value) => make('input', { type: 'number', min: 1, max: 65_536, required: true, value }));
    const palette = make('textarea', { rows: 2, spellcheck: 'false', placeholder: PALETTE });
    const seconds = make('input', { type: 'number', min: 0, max: 86_400, step: 'any', value: 0, required: true });
    const answer = outcome();
    return section(said.making, form(async () => {
      const colors = palette.value.split(/[\s,;]+/u).filter((text) => text !== '');
      const { canvas, sentence } = await this.#call('POST', '/api/canvases', {
        id: id.value, width: Number(width.value), height: Number(height.value), cooldown_ms: Math.round(Number(seconds.value) * 1_000),
        ...name.value.trim() === '' ? {} : { name: name.value }, ...colors.length === 0 ? {} : { palette: colors },
      });
      if (canvas === null) answer.textContent = sentence;
      else answer.replaceChildren(said.made, ' ', make('a', { class: 'word', href: `/c/${canvas.id}` }, `/c/${canvas.id}`));
    },
    field(said.id, id), field(said.name, name),
    make('div', { class: 'pair' }, field(said.width, width), field(said.height, height)),
    field(said.palette, palette), field(said.seconds, seconds), stamp(said.make), answer));
  }

  /** @param {Canvas} canvas */
  #blank({ name }) {
    const typed = make('input', { autocomplete: 'off', spellcheck: 'false', autocapitalize: 'none' });
    const button = stamp(said.blank);
    button.disabled = true;
    typed.addEventListener('input', () => { button.disabled = typed.value !== name; });
    const answer = outcome();
    return section(said.blanking, form(async () => {
      if (typed.value !== name) return;
      const { refused, sentence } = await this.#call('POST', `${this.#table.api}/reset`);
      answer.textContent = sentence === '' && !refused ? said.isBlank : sentence;
      typed.value = '';
      button.disabled = true;
    }, field(make('span', {}, said.typeName[0], make('bdi', {}, name), said.typeName[1]), typed), button, answer));
  }

  /** @param {Record<string, unknown>} changes */
  #amend(changes) {
    return this.#call('PATCH', this.#table.api, changes);
  }

  /** Asks the API as the host, one thing at a time. @param {string} method @param {string} path @param {unknown} [body] @returns {Promise<Answer>} */
  async #call(method, path, body) {
    if (this.#busy) return { canvas: null, sentence: said.busy, refused: false };
    this.#busy = true;
    try {
      const response = await fetch(path, {
        method,
        headers: { Authorization: `Bearer ${this.#token}`, ...body === undefined ? {} : { 'Content-Type': 'application/json' } },
        body: body === undefined ? undefined : JSON.stringify(body),
        signal: AbortSignal.timeout(ANSWER_MS_MAX),
      });
      const answer = await response.json();
      if (response.ok) return { canvas: 'id' in answer ? answer : null, sentence: '', refused: false };
      const refused = response.status === 401 || response.status === 403;
      return { canvas: null, sentence: refused ? said.notTheHost : said.refused(String(answer.error ?? response.status)), refused };
    } catch {
      return { canvas: null, sentence: said.noAnswer, refused: false };
    } finally {
      this.#busy = false;
    }
  }
}

/** @param {string} title @param {(Node | string)[]} children */
function section(title, ...children) {
  return make('section', {}, make('h3', {}, title), ...children);
}

function keptToken() {
  try {
    return sessionStorage.getItem(KEY) ?? '';
  } catch {
    return ''; // Forbidden: the sheet remembers it while the page is open.
  }
}

/** @param {string} token empty: none */
function keepToken(token) {
  try {
    if (token === '') sessionStorage.removeItem(KEY);
    else sessionStorage.setItem(KEY, token);
  } catch {
    // Forbidden: the sheet remembers it while the page is open.
  }
}
