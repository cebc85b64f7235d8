/** Wires the page: the socket feeds the replica, the replica the board, hands feed the socket. */

import { Blank } from './blank.js';
import { Connection } from './connection.js';
import { Cooldown } from './cooldown.js';
import { Drying } from './drying.js';
import { description, fetchAhead } from './early.js';
import { Follower } from './follower.js';
import { EXPORTED_PIXELS_MAX, cellKey, chunkKey, chunkKeyAt, holds } from './geometry.js';
import { FIRST_INK, firstColor, hex } from './inks.js';
import { Grid } from './grid.js';
import { Hint } from './hint.js';
import { Input } from './input.js';
import { keep, kept } from './keep.js';
import { Layout } from './layout.js';
import { Lookout } from './lookout.js';
import { MiniMap } from './minimap.js';
import { More } from './more.js';
import { NameField } from './naming.js';
import { lookForOthers } from './others.js';
import { closeOutside } from './outside.js';
import { Overlay } from './overlay.js';
import { PaletteBar } from './palette.js';
import { People } from './people.js';
import { Place } from './place.js';
import { NEVER_MS, Reason, name as nameMessage } from './protocol.js';
import { Retracing, whyRefused } from './retracing.js';
import { Sound } from './sound.js';
import { stateOf } from './state.js';
import { Status } from './status.js';
import { Strokes } from './strokes.js';
import { Submissions } from './submissions.js';
import { colorName, texts } from './texts.js';
import { Tinting } from './tinting.js';
import { View } from './view.js';
import { onWaking } from './waking.js';
import { Viewport } from './viewport.js';
import { CHUNKS_MAX, Wanting } from './wanting.js';
import { wish } from './wishes.js';
import { write } from './words.js';

/** How often the wordmark looks at the canvas' colours. */
const TINT_INTERVAL_MS = 4_000;
/** How often a wait is shown anew. */
const COOLDOWN_INTERVAL_MS = 100;
/** How often the page looks for what has waited too long. */
const EXPIRE_INTERVAL_MS = 5_000;
/** Own placements are remembered this long, so that they do not ring as somebody else's. */
const OWN_PLACEMENT_MS = 10_000;
/** The card of a pixel is loaded when the page stands. */
const CARD_AFTER_MS = 1_000;

/** @template {Element} T @param {string} id @param {new () => T} type @returns {T} */
function part(id, type) {
  const element = document.getElementById(id);
  if (!(element instanceof type)) throw new Error(`the page has no ${id}`);
  return element;
}

const board = part('board', HTMLCanvasElement);
const sheet = part('sheet', HTMLDialogElement);
const canvasId = decodeURIComponent(/^\/c\/(?<id>[^/]+)/u.exec(location.pathname)?.groups?.id ?? 'main');
const api = `/api/canvases/${encodeURIComponent(canvasId)}`;
/** Where it is kept when all charges are there again, in the server's Unix ms. */
const FULL_KEY = `pixel-playground.full.${canvasId}`;
/** Where it is kept that there is something to undo, for all that is known. */
const PAINTED_KEY = `pixel-playground.painted.${canvasId}`;
/** For a wall or a stream: nothing but the canvas, and nobody paints. */
const bare = new URLSearchParams(location.search).has('bare');
const stillWanted = matchMedia('(prefers-reduced-motion: reduce)');
const darkWanted = matchMedia('(prefers-color-scheme: dark)');

/** The rules of the canvas; `null` until they are known. @type {import('./early.js').Rules | null} */
let rules = null;
/** How far the server's clock is ahead of this page's, which nobody sets. */
let serverAheadMs = 0;
/** The browser's guess; a server on this very device is there all the same. */
let offline = !navigator.onLine;
let frameAsked = false;
/** A server has said hello. */
let greeted = false;
/** Something was heard that has not been shown: many messages make one showing. */
let heard = false;
/** Whether a pixel could be painted when that was last looked at. */
let wasReady = true;
let lastFrame = 0;
/** The cell that the keyboard is on. @type {{ x: number, y: number } | null} */
let cursor = null;
/** Where the pointer is over the board, in CSS pixels. @type {{ x: number, y: number } | null} */
let pointer = null;
/** On a canvas with a cooldown, whether one took the brush up: a drag paints. */
let brushUp = false;
/** The card of a pixel is there, on its way, or not wanted. */
let cardAsked = bare;
/** Own placements and when they were painted. @type {Map<number, number>} */
const own = new Map();

const viewport = new Viewport();
const place = new Place(viewport);
const strokes = new Strokes();
const grid = new Grid(board);
const blank = new Blank();
const wanting = new Wanting();
const tinting = new Tinting(part('wordmark', SVGSVGElement));
const cooldown = new Cooldown({
  load: () => (kept(FULL_KEY) === '' ? NaN : Number(kept(FULL_KEY)) - serverNow()),
  save: (ms) => keep(FULL_KEY, String(Math.round(serverNow() + ms))),
});
const status = new Status({
  sentence: part('sentence', HTMLElement), place: part('place', HTMLElement), announcer: part('announcer', HTMLElement),
});
const people = new People({
  count: part('count', HTMLElement), list: part('people', HTMLElement), rest: part('people-rest', HTMLElement),
});
const overlay = new Overlay(part('overlay', HTMLElement), viewport);
const hint = new Hint(part('hint', HTMLElement), part('hint-words', SVGSVGElement));

// What is looked at elsewhere begins with other chunks.
const fetchChunk = /[#&?]x=/u.test(location.hash + location.search) ? fetch.bind(window) : fetchAhead(`${api}/chunks/0/0`);
const lookout = new Lookout(canvasId, (finding, before) => {
  if (connection.live) return;
  if (finding === 'gone') connection.rest();
  else if (before === 'gone') connection.wake();
  showState();
});

const connection = new Connection(
  `${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/ws?canvas=${encodeURIComponent(canvasId)}`,
  {
    open: (url, subprotocol) => new WebSocket(url, subprotocol),
    now: () => performance.now(),
    random: () => Math.random(),
    tokens: { load: () => kept('pixel-playground.token'), save: (token) => keep('pixel-playground.token', token) },
  },
  { message: hear, state: connectionChanged, failed: (attempts) => void lookout.look(attempts, performance.now()) },
);

const follower = new Follower(
  { send: (bytes) => connection.send(bytes), ping: () => connection.ping() },
  `${api}/chunks`,
  fetchChunk,
  { loaded: chunkLoaded, painted: framePainted, reached: chunkReached, dropped: chunkDropped, restarted },
);

const submissions = new Submissions(
  (bytes) => connection.send(bytes),
  crypto.getRandomValues(new BigUint64Array(1))[0],
  { changed: cellChanged, takenBack, notRetraced, accepted, slowed: () => tell(texts.painting) },
);

const retracing = new Retracing(strokes, {
  valueOf, tell,
  announce: (sentence) => status.announce(sentence),
  retrace: (turn, count, foreseen, stroke) => {
    const now = performance.now();
    for (const { x, y } of stroke.touches) own.set(cellKey(x, y), now);
    return submissions.retrace(turn, count, foreseen, stroke, now);
  },
});

const view = new View(board, viewport, {
  chunk: (key) => follower.replica?.chunk(key),
  value: valueOf,
  waitingCells: () => submissions.cells,
});

const map = new MiniMap(part('map', HTMLElement), viewport, (key, scale) => view.picture(key, scale), (x, y) => {
  input.rest();
  viewport.moveTo(x, y);
  viewMoved();
});

const palette = new PaletteBar(
  {
    blocks: part('inks', HTMLElement), picker: part('picker', HTMLInputElement),
    pickerBlock: part('picker-block', HTMLElement), recentRow: part('recent', HTMLElement),
  },
  {
    load: () => kept('pixel-playground.recent').split(' ').filter((text) => /^#[\dA-F]{6}$/u.test(text)).map((text) => Number.parseInt(text.slice(1), 16)),
    save: (colors) => keep('pixel-playground.recent', colors.map(hex).join(' ')),
  },
  chosenColor,
  () => board.focus({ preventScroll: true }),
);

const input = new Input(board, {
  paint,
  strokeEnd: () => strokes.end(),
  cellAt: ({ x, y }) => viewport.cellAt(x, y),
  pan: (dx, dy) => { viewport.pan(dx, dy); viewMoved(); },
  zoom: ({ x, y }, factor) => { viewport.zoomAt(x, y, factor); viewMoved(); },
  hover,
  step,
  paintAtCursor: () => { paint([cursor ?? stepTo(centreCell())], false); strokes.end(); },
  take: ({ x, y }) => { const color = colorAt(x, y); if (color !== undefined) palette.take(color); },
  cycle: (by) => palette.step(by),
  choose: (index) => palette.chooseAt(index),
  fit: () => { input.rest(); viewport.fit(); viewMoved(); },
  undo: () => retrace('undo'),
  redo: () => retrace('redo'),
  keys: openSheet,
  pointer: () => (pointer === null || walking() ? cellPoint(cursor ?? centreCell()) : pointer),
  turnBrush: () => turnBrush(!brushUp),
  brush: () => rules !== null && !bare && (rules.cooldownMs === 0 || brushUp),
  still: () => stillWanted.matches,
  moved: wake,
});

const drying = new Drying(cooldown, {
  place: part('cooldown', HTMLElement), ring: part('cooldown-ring', SVGRectElement), time: part('cooldown-time', HTMLElement),
});

const sound = new Sound();
const soundWanted = part('sound', HTMLInputElement);
const lettersWanted = part('letters', HTMLInputElement);

const nameField = new NameField(part('name', HTMLInputElement), (name) => connection.send(nameMessage(name)), () => {
  if (sheet.open) sheet.close();
  board.focus();
});

const layout = new Layout({
  board,
  header: part('header', HTMLElement),
  status: part('status', HTMLElement),
  tools: part('tools', HTMLElement),
  inks: part('inks', HTMLElement),
  side: part('side', HTMLElement),
  nameField: part('name-field', HTMLElement),
  namePlace: part('name-place', HTMLElement),
  sheetName: part('sheet-name', HTMLElement),
  here: part('here', HTMLElement),
  map: part('map', HTMLElement),
  recent: part('recent', HTMLElement),
  sheetRecent: part('sheet-recent', HTMLElement),
}, viewport, (room, inHand) => palette.arrange(room, inHand), viewMoved);

const more = new More({
  canvasId, api, board, viewport, palette, colorAt,
  rules: () => rules,
  now: serverNow,
  remark: tell,
  announce: (sentence) => status.announce(sentence),
  describe: (cell, sentence) => { grid.at(cell, sentence); status.announce(sentence); },
  send: (bytes) => connection.send(bytes),
  valueAt: valueOf,
  color: (value) => view.color(value),
  indexOf: (color) => palette.indexOf(color),
  cursor: () => cursor ?? centreCell(),
  go: (cell, scale) => {
    input.rest();
    viewport.look(cell.x + 0.5, cell.y + 0.5, Math.max(scale, viewport.scale));
    stepTo(cell);
  },
  pinch: (by, at, factor) => { viewport.pan(by.x, by.y); viewport.zoomAt(at.x, at.y, factor); viewMoved(); },
  want: viewMoved,
}, () => tell(texts.partNotLoaded));

// What the server says.

/** @param {import('./protocol.js').FromServer} message @param {boolean} first */
function hear(message, first) {
  switch (message.kind) {
    case 'hello':
      serverAheadMs = message.serverMs - performance.now();
      if (first) {
        greeted = true;
        follower.connected(message);
        people.connected(message.person);
        nameField.connected(message.nameCharactersMax);
      }
      ruled(message);
      break;
    case 'frame': follower.frame(message); break;
    case 'progress':
      follower.progress(message);
      if (blank.open) showEmpty();
      break;
    case 'resync': follower.resync(message); break;
    case 'pong': follower.pong(message.nonce); break;
    case 'accepted':
      cooldown.accepted(message.charges, message.nextMs, performance.now());
      submissions.accepted(message);
      break;
    case 'refused':
      submissions.refused(message, performance.now());
      break;
    case 'token':
      if (message.token === '') cooldown.renewed(performance.now());
      break;
    case 'presence': people.hear(message); break;
    case 'painters': ring(message); break;
    default:
  }
  more.heard(message);
  heard = true;
  wake();
}

/** @param {import('./early.js').Rules} hello */
function ruled(hello) {
  const before = rules;
  const held = document.activeElement;
  rules = hello;
  const colorsChanged = before === null || before.palette.join() !== hello.palette.join() || before.background !== hello.background;
  const sizeChanged = before === null || before.width !== hello.width || before.height !== hello.height;
  if (before !== null && before.palette.join() !== hello.palette.join()) {
    submissions.giveUp({ reason: Reason.NOT_IN_PALETTE, retryMs: NEVER_MS, sentence: texts.otherColours });
  }
  submissions.rules({
    valueBytes: hello.palette.length === 0 ? 3 : 1,
    // Under a cooldown every pixel stands for itself: one refusal takes back one pixel.
    batchMax: hello.cooldownMs > 0 ? 1 : hello.submissionPlacementsMax,
    inFlightMax: hello.inFlightPlacementsMax,
  });
  if (greeted) cooldown.rule(hello.cooldownMs, hello.chargesMax, hello.guestsStartCooling, performance.now());
  document.body.classList.toggle('timed', hello.cooldownMs > 0);
  part('how-brush', HTMLElement).hidden = hello.cooldownMs > 0;
  for (const id of ['how-cooldown', 'how-sound', 'brush']) part(id, HTMLElement).hidden = hello.cooldownMs === 0;
  part('picture', HTMLAnchorElement).href = `${api}.png`;
  part('picture', HTMLAnchorElement).hidden = hello.width * hello.height > EXPORTED_PIXELS_MAX;
  if (colorsChanged) {
    view.rules(hello.palette, hello.background);
    overlay.setBackground(hello.background);
    palette.offer(hello.palette);
    if (before === null || hello.palette.length > 0) palette.choose(firstColor(palette.colors, hello.background));
  }
  if (sizeChanged) {
    cursor = null;
    grid.measures(hello, texts.canvasLabel(hello.width, hello.height));
    viewport.setCanvas({ width: hello.width, height: hello.height });
    map.setCanvas({ width: hello.width, height: hello.height });
    lookAtPlace();
  }
  if (colorsChanged || sizeChanged) layout.measure();
  if (held?.getClientRects().length === 0) board.focus({ preventScroll: true }); // What had the keyboard is no longer there.
  viewMoved();
}

/** Until the socket says more, what the API says is enough to show the canvas. */
async function foresee() {
  const described = await description(api);
  if (described === null || greeted) return;
  const { rules: { width, height, palette: colors }, epoch } = described;
  follower.foresee({ width, height }, colors.length, epoch);
  ruled(described.rules);
}

/** @param {import('./connection.js').ConnectionState} state */
function connectionChanged(state) {
  if (state === 'live') {
    lookout.connected();
    setTimeout(() => void loadCard(), CARD_AFTER_MS);
  } else {
    follower.disconnected();
    submissions.disconnected();
  }
  if (state === 'turned away') void lookout.look(0, performance.now());
  showState();
  wake();
}

/** @param {number} key */
function chunkLoaded(key) {
  view.chunkLoaded(key);
  map.changed(key);
  more.changed(key);
  lookForPaint(key);
  if (tinting.plain && follower.missing === 0) showTints();
  wake();
}

/** @param {import('./protocol.js').Frame} frame */
function framePainted(frame) {
  view.painted(frame);
  map.changed(chunkKey(frame.cx, frame.cy));
  more.changed(chunkKey(frame.cx, frame.cy));
  lookForPaint(chunkKey(frame.cx, frame.cy));
}

/** @param {number} x @param {number} y */
function cellChanged(x, y) {
  view.cellChanged(x, y);
  map.changed(chunkKeyAt(x, y));
  more.changed(chunkKeyAt(x, y));
  wake();
}

/** @param {number} key @param {number} sequence */
function chunkReached(key, sequence) {
  submissions.reached(key, sequence);
}

/** History was replaced. */
function restarted() {
  submissions.restarted();
  strokes.restarted();
  map.renew();
  blank.restarted();
  keep(PAINTED_KEY, '');
  showEmpty();
  showUndo();
}

/** Pictures went with the process that kept them, as happens where a device sleeps: all are drawn anew. */
function renew() {
  view.renew();
  overlay.renew();
  map.renew();
  more.renewed();
  for (const key of follower.replica?.keys() ?? []) chunkLoaded(key);
  wake();
}

/** @param {number} key */
function chunkDropped(key) {
  view.chunkDropped(key);
  submissions.left(key);
}

/** @param {import('./protocol.js').Painters} message */
function ring({ cx, cy, painters }) {
  const now = performance.now();
  const inView = viewport.cells;
  for (const { offset, name } of painters) {
    const [x, y] = [cx * 256 + (offset & 0xff), cy * 256 + (offset >> 8)];
    if (x < inView.x || y < inView.y || x >= inView.toX || y >= inView.toY) continue;
    if (now - (own.get(cellKey(x, y)) ?? -Infinity) < OWN_PLACEMENT_MS) continue;
    overlay.ring(x, y, colorAt(x, y) ?? 0, name === texts.anonymous ? '' : name, now);
  }
}

// What one does.

/** @param {{ x: number, y: number }[]} cells @param {boolean} stroke */
function paint(cells, stroke) {
  if (rules === null || bare) return;
  const value = valueFor(palette.color);
  const now = performance.now();
  for (const { x, y } of cells) {
    if (!holds(rules, x, y)) continue;
    if (!stroke || cells.length === 1) cursor = { x, y };
    const before = valueOf(x, y);
    if (before === value) continue;
    const why = closed();
    if (why !== null) {
      flyBack(x, y, value);
      tell(texts.refused[why]);
      return;
    }
    if (!submissions.paint(x, y, value, now)) {
      tell(texts.tooMuchWaiting);
      return;
    }
    strokes.add({ x, y, before, after: value });
    own.set(cellKey(x, y), now);
    overlay.press(x, y, palette.color, now);
    blank.painted();
    status.announce(texts.painted(x, y, colorName(hex(palette.color))));
  }
  showEmpty();
  showState();
  showUndo();
  wake();
}

/** @param {boolean} up */
function turnBrush(up) {
  if (rules === null || rules.cooldownMs === 0) return;
  brushUp = up;
  part('brush', HTMLElement).setAttribute('aria-pressed', String(up));
  status.announce(up ? texts.brush.on : texts.brush.off);
}

/** Why nobody paints here now; `null`: one may. */
function closed() {
  return rules?.frozen ? 'frozen' : lookout.finding === 'gone' ? 'gone' : null;
}

/** Takes back or repeats a stroke. @param {import('./protocol.js').Turn} turn */
function retrace(turn) {
  if (bare) return;
  const why = closed();
  if (why === null) retracing.turn(turn);
  else tell(texts.notRetraced[why]);
  showUndo();
  wake();
}

/** @param {import('./submissions.js').Submission} submission @param {number} count */
function accepted({ placements, steps }, count) {
  if (steps !== null) retracing.accepted(steps, count);
  if (placements.length > 0 && kept(PAINTED_KEY) === '') {
    keep(PAINTED_KEY, 'yes');
    showUndo();
  }
  for (const { x, y } of [...placements, ...steps?.foreseen ?? []]) {
    // Nothing follows this chunk, so nothing will say that the replica has it.
    if (follower.replica?.chunk(chunkKeyAt(x, y)) === undefined) submissions.left(chunkKeyAt(x, y));
    else chunkReached(chunkKeyAt(x, y), follower.replica.chunk(chunkKeyAt(x, y))?.sequence ?? 0);
  }
}

/** @param {import('./submissions.js').Placement[]} placements @param {import('./submissions.js').Refusal} refusal */
function takenBack(placements, refusal) {
  cooled(refusal, placements.length);
  for (const { x, y, value } of placements) {
    flyBack(x, y, value);
    own.delete(cellKey(x, y));
    strokes.drop(x, y, value);
  }
  showUndo();
  tell(whyRefused(refusal, texts.refused));
  wake();
}

/** @param {number} x @param {number} y @param {number} value */
function flyBack(x, y, value) {
  overlay.flyBack(x, y, view.color(value), palette.home, performance.now());
  wake();
}

/** @param {import('./submissions.js').Steps} steps @param {import('./submissions.js').Refusal} refusal */
function notRetraced(steps, refusal) {
  cooled(refusal, Math.max(1, steps.foreseen.length)); // What really paints is what counts.
  if (refusal.reason === Reason.NOTHING_TO_UNDO) keep(PAINTED_KEY, '');
  retracing.refused(steps, refusal);
  showUndo();
  wake();
}

/** What a refusal for the cooldown tells of the charges. @param {import('./submissions.js').Refusal} refusal @param {number} count */
function cooled({ reason, retryMs }, count) {
  if (reason === Reason.COOLDOWN && retryMs !== NEVER_MS) cooldown.refused(retryMs, count, performance.now());
}

/** Says and announces a sentence in passing. @param {string} sentence */
function tell(sentence) {
  status.remark(sentence);
  status.announce(sentence);
}

/** @param {{ x: number, y: number } | null} point */
function hover(point) {
  if (bare) return;
  pointer = point;
  document.body.classList.remove('keyboard');
  showHover();
  wake();
}

/** @param {number} dx @param {number} dy */
function step(dx, dy) {
  const from = cursor ?? centreCell();
  stepTo(cursor === null ? from : { x: from.x + dx, y: from.y + dy });
}

/** @param {{ x: number, y: number }} cell */
function stepTo({ x, y }) {
  const [width, height] = [rules?.width ?? 1, rules?.height ?? 1];
  cursor = { x: Math.max(0, Math.min(width - 1, x)), y: Math.max(0, Math.min(height - 1, y)) };
  document.body.classList.add('keyboard');
  viewport.follow(cursor.x, cursor.y);
  status.announce(sayCell(cursor));
  viewMoved();
  more.stepped(cursor);
  return cursor;
}

/** What a cell is, in words, for the grid and whoever announces it. @param {{ x: number, y: number }} cell */
function sayCell(cell) {
  const color = colorAt(cell.x, cell.y);
  const sentence = texts.cellAt(cell.x, cell.y, color === undefined ? texts.notLoaded : colorName(hex(color)));
  grid.at(cell, sentence);
  return sentence;
}

/** @param {number} color */
function chosenColor(color) {
  overlay.setChosen(color);
  document.documentElement.style.setProperty('--chosen', hex(color));
  if (document.hasFocus() && rules !== null) status.announce(texts.chosen(colorName(hex(color))));
  wake();
}

function openSheet() {
  if (bare) return;
  if (sheet.open) sheet.close();
  else sheet.showModal();
  if (sheet.open) void lookForOthers(part('all-canvases', HTMLAnchorElement));
}

/** Nobody asked for it yet: what fails is not said, and tried again with the next connection. */
async function loadCard() {
  if (cardAsked) return;
  cardAsked = true;
  cardAsked = await more.open(() => import('./card.js'), false);
}

/** A template that the fragment names, or that lay here before, is laid again. */
function lookForTemplate() {
  if (bare || (kept(`pixel-playground.template.${canvasId}`) === '' && !/[#&]template=/u.test(location.hash))) return;
  void more.open(async () => ({ open: (await import('./templates.js')).restore }));
}

// What is where, and when.

/** The keyboard is at work, not the pointer. */
function walking() {
  return document.body.classList.contains('keyboard');
}

/** The server's Unix milliseconds. */
function serverNow() {
  return serverAheadMs + performance.now();
}

/** @param {number} x @param {number} y */
function colorAt(x, y) {
  if (rules === null || !holds(rules, x, y)) return undefined;
  const value = valueOf(x, y);
  return value === undefined ? undefined : view.color(value);
}

/** A cell's value, one's own waiting paint included. @param {number} x @param {number} y inside the canvas */
function valueOf(x, y) {
  return submissions.value(x, y) ?? follower.replica?.value(x, y);
}

/** @param {number} color */
function valueFor(color) {
  if (rules === null || rules.palette.length === 0) return color;
  return Math.max(0, rules.palette.indexOf(color));
}

function centreCell() {
  const { x, y } = viewport.centre;
  const [width, height] = [rules?.width ?? 1, rules?.height ?? 1];
  return { x: Math.max(0, Math.min(width - 1, Math.floor(x))), y: Math.max(0, Math.min(height - 1, Math.floor(y))) };
}

/** The middle of a cell, in CSS pixels. @param {{ x: number, y: number }} cell */
function cellPoint({ x, y }) {
  const { left, top, right, bottom } = viewport.cell(x, y);
  return { x: (left + right) / 2 / viewport.ratio, y: (top + bottom) / 2 / viewport.ratio };
}

// What is shown.

function viewMoved() {
  view.invalidate();
  overlay.invalidate();
  map.viewMoved();
  more.moved();
  if (rules !== null) {
    follower.want(wanting.chunks(rules, viewport.chunks(CHUNKS_MAX), more.chunks));
    place.remember(); // Where one is asked to look is looked at first.
  }
  showHover();
  showEmpty();
  showState();
  wake();
}

function lookAtPlace() {
  if (rules === null || !place.look(rules)) return;
  input.rest();
  viewMoved();
}

function showHover() {
  const cell = pointer === null ? null : viewport.cellAt(pointer.x, pointer.y);
  const inside = cell !== null && rules !== null && holds(rules, cell.x, cell.y) ? cell : null;
  overlay.setHover(inside);
  overlay.setCursor(walking() && !bare && document.activeElement === board ? cursor : null);
  const shown = walking() ? cursor : inside;
  status.at(shown === null ? '' : `${shown.x}, ${shown.y}`);
}

/** @param {number} key of a chunk that may have the first pixel */
function lookForPaint(key) {
  const held = follower.replica?.chunk(key);
  const background = rules?.background;
  if (held === undefined || rules === null || !blank.open) return;
  blank.look(held, rules.palette.length === 0 ? 3 : 1, (value) => view.color(value) === background);
  showEmpty();
}

function showEmpty() {
  // Of the largest canvases only the middle is shown: there is no sheet to write on.
  if (rules === null || bare || viewport.chunksInView > CHUNKS_MAX || !blank.is(rules, follower, greeted)) {
    hint.hide();
    overlay.setEmpty(null);
    return;
  }
  const ghost = { x: Math.floor(rules.width / 2), y: Math.floor(rules.height / 2) };
  overlay.setEmpty(ghost);
  const { left, top, right, bottom } = viewport.board;
  const css = (/** @type {number} */ device) => device / viewport.ratio;
  const sheetBox = { left: css(left), top: css(top), right: css(right), bottom: css(bottom) };
  const free = { width: board.clientWidth, height: part('tools', HTMLElement).getBoundingClientRect().top - 48 };
  hint.show(sheetBox, cellPoint(ghost), free, rules.background);
}

function showHeard() {
  heard = false;
  showState();
  showDrying();
}

function showState() {
  const { state, sentence } = stateOf({
    rules, offline, greeted, live: connection.live, finding: lookout.finding, missing: follower.missing, waiting: submissions.waiting,
    middleOnly: viewport.chunksInView > CHUNKS_MAX,
  });
  status.say(sentence);
  const { dataset } = document.documentElement;
  const sequence = String(follower.sequence);
  if (dataset.state !== state) dataset.state = state;
  if (dataset.sequence !== sequence) dataset.sequence = sequence;
}

function showDrying() {
  const now = performance.now();
  drying.show(now);
  const ready = !cooldown.applies || cooldown.standing(now).charges > 0;
  if (ready !== wasReady) wake();
  if (ready && !wasReady && soundWanted.checked) sound.knock();
  wasReady = ready;
  overlay.setReady(ready);
}

function showUndo() {
  part('undo', HTMLElement).hidden = !strokes.any && kept(PAINTED_KEY) === '';
  part('redo', HTMLElement).hidden = !strokes.anyUndone;
}

function showTints() {
  if (follower.replica !== null && rules !== null && !document.hidden) tinting.look(follower.replica, (value) => view.color(value), rules.background);
}

function theme() {
  const style = getComputedStyle(document.documentElement);
  const read = (/** @type {string} */ token) => style.getPropertyValue(token).trim();
  const [paper, ink, blank] = [read('--paper'), read('--ink'), read('--blank')];
  view.theme({ paper, ink, blank });
  map.theme({ paper, ink, blank });
  overlay.theme({ paper, ink, family: read('--sans') });
  overlay.setStill(stillWanted.matches);
  wake();
}

/** @type {ReturnType<typeof setTimeout> | undefined} */
let mapTimer;

/** Asks for one frame. */
function wake() {
  if (frameAsked) return;
  frameAsked = true;
  requestAnimationFrame(frame);
}

/** @param {number} time */
function frame(time) {
  frameAsked = false;
  const ms = Math.min(50, time - lastFrame);
  lastFrame = time;
  const moving = input.frame(ms);
  submissions.flush(performance.now());
  if (heard) showHeard();
  if (view.pending) view.draw();
  const animated = overlay.draw(performance.now());
  const later = map.draw(performance.now());
  if (moving || animated) wake();
  else if (later > 0) mapTimer ??= setTimeout(() => { mapTimer = undefined; wake(); }, later);
}

// From the start.

write();
document.documentElement.toggleAttribute('data-bare', bare);
theme();
palette.offer([]);
palette.choose(FIRST_INK);
part('count', HTMLButtonElement).addEventListener('click', openSheet);
for (const turn of /** @type {const} */ (['undo', 'redo'])) {
  part(turn, HTMLButtonElement).addEventListener('click', () => { retrace(turn); board.focus({ preventScroll: true }); });
}
part('brush', HTMLButtonElement).addEventListener('click', () => turnBrush(!brushUp));
wish(lettersWanted, 'pixel-playground.letters', (on) => document.body.classList.toggle('letters', on));
wish(soundWanted, 'pixel-playground.sound', (on, changed) => { if (on && changed) void sound.touched().then(() => sound.knock()); });
addEventListener('pointerdown', () => { if (soundWanted.checked) void sound.touched(); });
part('sheet-close', HTMLButtonElement).addEventListener('click', () => sheet.close());
part('open-template', HTMLButtonElement).addEventListener('click', () => { sheet.close(); void more.open(() => import('./templates.js')); });
part('open-host', HTMLButtonElement).addEventListener('click', () => { sheet.close(); void more.open(() => import('./host.js')); });
closeOutside(sheet);
sheet.addEventListener('close', () => board.focus({ preventScroll: true }));
document.addEventListener('keydown', (event) => {
  if (event.key === 'Tab') document.body.classList.add('keyboard');
  if (soundWanted.checked) void sound.touched();
  const { target } = event;
  if (event.key !== '?' || !(target instanceof Element) || target === board || target.closest('input, textarea') !== null) return;
  if ((target.closest('dialog') ?? sheet) === sheet) openSheet();
});
board.addEventListener('focus', () => { sayCell(cursor ?? centreCell()); showHover(); wake(); });
board.addEventListener('blur', () => { showHover(); wake(); });

document.addEventListener('contextrestored', renew, { capture: true });
darkWanted.addEventListener('change', theme);
stillWanted.addEventListener('change', theme);
// A picture that is let go over the page is laid; else the browser would leave for it.
addEventListener('dragover', (event) => { if (event.dataTransfer?.types.includes('Files')) event.preventDefault(); });
addEventListener('drop', (event) => {
  const file = event.dataTransfer?.files[0];
  if (file === undefined) return;
  event.preventDefault();
  if (!bare) void more.open(async () => ({ open: (await import('./templates.js')).laying(file) }));
});
addEventListener('hashchange', () => { lookAtPlace(); lookForTemplate(); });
addEventListener('online', () => { offline = false; connection.wake(); showState(); });
addEventListener('offline', () => { offline = true; showState(); });
onWaking(() => connection.wake());
// A page that the browser keeps for the way back has to let go of its socket.
addEventListener('pagehide', ({ persisted }) => { if (persisted) connection.rest(); });

setInterval(showTints, TINT_INTERVAL_MS);
setInterval(() => {
  showHeard();
  submissions.flush(performance.now()); // What was asked to wait goes when its time has come, on a quiet canvas too.
}, COOLDOWN_INTERVAL_MS);
setInterval(() => {
  const now = performance.now();
  submissions.expire(now);
  if (lookout.finding === 'gone') void lookout.look(0, now);
  for (const [key, at] of own) if (now - at > OWN_PLACEMENT_MS) own.delete(key);
}, EXPIRE_INTERVAL_MS);

setTimeout(() => void loadCard(), CARD_AFTER_MS);
lookForTemplate();
layout.start();
showUndo();
board.focus({ preventScroll: true });
connection.start();
void foresee();
