/** Every state that the page can be in, as it is set up to be looked at. */

import { setTimeout as pause } from 'node:timers/promises';

import { name as nameMessage } from '../protocol.js';
import { png } from './png.mjs';
import { inState, landscape, moveClock, stopClock } from './stage.mjs';

/** Names on a sheet that has more than it shows at once. */
const NAMES = ['Hokusai', 'Hiroshige', 'Utamaro', 'Yoshitoshi', 'Kuniyoshi', 'Munakata', 'Eishi', 'Kiyonaga', 'Sharaku', 'Harunobu', 'Toyokuni', 'Koson', 'Hasui'];
/** @type {import('./stage.mjs').Device[]} */
const MAIN = ['phone-390x844', 'desk-1440x900'];
/** @type {import('./stage.mjs').Device[]} */
const ALL = [...MAIN, 'side-667x375', 'narrow-900x700'];

/** @typedef {import('./stage.mjs').Page} Page */
/** @typedef {import('./stage.mjs').State} State */
/** @typedef {import('./stage.mjs').Stage} Stage */

/** Canvases that no state changes. @param {Stage} stage */
export async function furnish(stage) {
  await stage.canvas('picture', { name: 'Picture' });
  await stage.canvas('wide', { name: 'Wide', width: 160, height: 60 });
  await stage.canvas('slow', { name: 'Slow', cooldown_ms: 30_000 });
  const part = (/** @type {number} */ of4) => (of4 * 85).toString(16).padStart(2, '0');
  await stage.canvas('many', {
    name: 'Many colours', width: 64, height: 64, palette: Array.from({ length: 64 }, (_, index) => `#${part(index >> 4)}${part((index >> 2) & 3)}${part(index & 3)}`),
  });
  await stage.canvas('charged', { name: 'Charged', cooldown_ms: 5_000, charges_max: 10 });
  await stage.canvas('large', { name: 'Large', width: 600, height: 400 });
  await stage.canvas('line', { name: 'Line', width: 1_000, height: 1 });
  await stage.canvas('strip', { name: 'Strip', width: 4_000, height: 100 });
  await stage.canvas('endless', { name: 'Endless', width: 65_536, height: 65_536 });
  await stage.canvas('frozen', { name: 'Frozen' });
  await stage.canvas('long', { name: 'The_longest_name_that_a_canvas_may_have_if_its_host_leaves_out_all  the_blanks' });
  await stage.paint('large', landscape(600, 400));
  for (const id of ['picture', 'frozen', 'long']) await stage.paint(id, landscape(50, 50));
  await stage.paint('wide', landscape(160, 60));
  await stage.server.host('PATCH', '/api/canvases/frozen', { frozen: true });
}

/** From the window's middle. @param {Page} page @param {number} dx @param {number} dy */
function middle(page, dx, dy) {
  const { width, height } = page.viewportSize() ?? { width: 0, height: 0 };
  return /** @type {const} */ ([width / 2 + dx, height / 2 + dy]);
}

/** @param {Page} page */
async function openTemplate(page) {
  await page.click('#count');
  await page.click('#open-template');
  await page.locator('#template-sheet').waitFor();
}

/** A heart in three inks. @param {Page} page */
async function layTemplate(page) {
  await openTemplate(page);
  const buffer = png(24, 24, (x, y) => {
    const [across, along] = [(x - 11.5) / 10, (11 - y) / 10];
    if ((across ** 2 + along ** 2 - 0.6) ** 3 >= across ** 2 * along ** 3) return null;
    return (x + y) % 7 < 2 ? 0xf289a8 : x < 10 ? 0x8c2318 : 0xd9392b;
  });
  await page.setInputFiles('#template-sheet input[type=file]', { name: 'heart.png', mimeType: 'image/png', buffer });
  await page.locator('#template-sheet .bar').waitFor();
}

/** @param {Page} page @param {string} style */
async function layTemplateAs(page, style) {
  await layTemplate(page);
  await page.locator('#template-sheet').getByText(style, { exact: true }).click();
  await page.keyboard.press('Escape');
}

/** @param {Page} page */
async function openHost(page) {
  await page.click('#count');
  await page.click('#open-host');
  await page.locator('#host-sheet').waitFor();
}

/** @param {Page} page @param {Stage} stage */
async function beHost(page, { server }) {
  await openHost(page);
  await page.locator('#host-sheet input').fill(server.adminToken);
  await page.keyboard.press('Enter');
  await page.getByText('Freeze the canvas').waitFor();
}

/** @param {Page} page @param {number} dx @param {number} dy */
async function openCard(page, dx, dy) {
  await page.locator('#card').waitFor({ state: 'attached' });
  await page.mouse.move(...middle(page, dx, dy));
  await page.locator('#card').waitFor();
}

/** @param {string} name @param {string} path @param {(page: Page, stage: Stage) => Promise<unknown>} [prepare] once the page is live @param {Partial<State>} [more] @returns {State} */
function state(name, path, prepare = async () => undefined, more = {}) {
  const live = async (/** @type {Page} */ page, /** @type {Stage} */ stage) => {
    await inState(page, 'live');
    await prepare(page, stage);
  };
  return { name, path, devices: MAIN, before: async () => undefined, prepare: live, ...more };
}

/** Of a canvas of its own. @param {string} name @param {(page: Page, stage: Stage) => Promise<unknown>} prepare @param {Partial<State>} [more] */
function fresh(name, prepare, more = {}) {
  const before = async (/** @type {Stage} */ stage) => {
    const id = stage.fresh;
    await stage.canvas(id);
    await stage.paint(id, landscape(50, 50));
    return `${stage.server.url}/c/${id}`;
  };
  return state(name, '', prepare, { before, ...more });
}

/** Behind a wire that is cut once the page is live. @param {string} name @param {string} path @param {(page: Page) => Promise<unknown>} prepare @param {Partial<State>} [more] */
function cut(name, path, prepare, more = {}) {
  /** @type {import('./browser/wire.mjs').Wire} */
  let wire;
  const before = async (/** @type {Stage} */ stage) => {
    wire = await stage.wire();
    return wire.url + path;
  };
  return state(name, path, async (page) => {
    wire.cut();
    await prepare(page);
  }, { before, ...more });
}

/** It never comes so far as to be live. @param {string} name @param {string} path @param {State['before']} before @param {State['prepare']} prepare @param {Partial<State>} [more] @returns {State} */
function early(name, path, before, prepare, more = {}) {
  return { name, path, devices: MAIN, before, prepare, ...more };
}

/** Somebody with a name paints here, and the page's time stands still meanwhile. @param {Page} page @param {Stage} stage */
async function somebodyPaints(page, stage) {
  const other = await stage.somebody(page.url());
  await other.fill('#name', 'Hokusai');
  await other.keyboard.press('Enter');
  await page.waitForFunction(() => document.querySelector('#people')?.textContent === 'Hokusai');
  await stopClock(page);
  for (const [key, dx, dy] of /** @type {const} */ ([['Digit6', -120, -150], ['Digit3', 40, 50]])) {
    await other.keyboard.press(key);
    await other.mouse.click(...middle(other, dx, dy));
  }
  await page.waitForFunction(() => [...document.querySelectorAll('#overlay canvas')].some((pane) => getComputedStyle(pane).visibility === 'visible'));
  await pause(400);
  await moveClock(page, 200);
}

/** People with names come, and the sheet is opened. @param {Page} page @param {Stage} stage */
async function manyCome(page, stage) {
  const other = await stage.somebody(page.url());
  await other.evaluate(({ canvas, messages }) => {
    for (const message of messages) {
      const socket = new WebSocket(`ws://${location.host}/ws?canvas=${canvas}`, 'pixels.v1.bin');
      socket.onmessage = () => { socket.onmessage = null; socket.send(new Uint8Array(message)); };
    }
  }, { canvas: page.url().split('/').at(-1), messages: NAMES.map((name) => [...new Uint8Array(nameMessage(name))]) });
  await page.waitForFunction((count) => document.querySelectorAll('#people li').length === count, NAMES.length);
  await page.click('#count');
}

const nothing = async () => undefined;
/** @type {Pick<State, 'devices'>} */
const EVERYWHERE = { devices: ALL };
const CLOSER = '#x=420&y=160&zoom=8';

/** @type {State[]} */
export const STATES = [
  // The board.
  state('empty', '/', undefined, EVERYWHERE),
  state('picture', '/c/picture', undefined, EVERYWHERE),
  state('hover', '/c/picture', (page) => page.mouse.move(...middle(page, 40, -40))),
  state('close', '/c/picture#x=24&y=27&zoom=40'),
  state('close-in-the-corner', '/c/picture#x=12&y=12&zoom=40'),
  state('keyboard', '/c/picture', async (page) => {
    for (const key of ['ArrowRight', 'ArrowRight', 'ArrowDown']) await page.keyboard.press(key);
  }),
  state('wide', '/c/wide'),
  state('one-line', '/c/line'),
  state('map', '/c/large#x=400&y=300&zoom=5', undefined, EVERYWHERE),
  state('map-of-a-strip', '/c/strip#x=1000&y=50&zoom=5'),
  state('middle-only', '/c/endless'),
  state('bare', '/c/picture?bare'),
  early('connecting', '/c/picture', async (_, page) => {
    await page.routeWebSocket(/\/ws/u, () => undefined);
    await page.route(/\/api\//u, () => undefined);
  }, (page) => inState(page, 'connecting')),
  early('loading', '/c/large', async (_, page) => {
    await page.route(/\/chunks\/[01]\/1/u, () => undefined);
  }, (page) => inState(page, 'loading')),

  // The hand.
  state('palette-of-64', '/c/many', undefined, EVERYWHERE),
  state('letters', '/c/picture', (page) => page.evaluate(() => { document.body.classList.add('letters'); })),
  state('cooling', '/c/slow', async (page) => {
    await page.mouse.click(...middle(page, 0, -20));
    await page.waitForFunction(() => /ready in/u.test(document.querySelector('#cooldown')?.getAttribute('aria-label') ?? ''));
  }, EVERYWHERE),
  state('brush', '/c/charged', (page) => page.keyboard.press('KeyB')),
  fresh('undo-and-recent-colours', async (page) => {
    for (const [index, color] of ['#123456', '#7a5c3e', '#e4a6b7'].entries()) {
      await page.locator('#picker').fill(color);
      await page.mouse.click(...middle(page, index * 40 - 40, -60));
    }
    await page.locator('#undo').waitFor();
  }, EVERYWHERE),
  fresh('recent-colours-in-the-sheet', async (page) => {
    await page.locator('#picker').fill('#123456');
    await page.mouse.click(...middle(page, 0, -60));
    await page.click('#count');
  }, { devices: ['phone-390x844', 'narrow-900x700'] }),
  fresh('press', async (page) => {
    await stopClock(page);
    await page.mouse.click(...middle(page, -60, -60));
    await moveClock(page, 60);
  }),
  state('taken-back', '/c/frozen', async (page) => {
    await stopClock(page);
    await page.mouse.click(...middle(page, -60, -60));
    await moveClock(page, 100);
  }),

  // The others.
  fresh('others', somebodyPaints),
  fresh('sheet-with-many-names', manyCome, EVERYWHERE),
  state('sheet', '/c/picture', (page) => page.click('#count'), EVERYWHERE),
  state('card', '/c/picture#x=25&y=25&zoom=12', (page) => openCard(page, 96, -96), EVERYWHERE),
  state('card-beside-map', `/c/large${CLOSER}`, (page) => openCard(page, 0, -40), EVERYWHERE),

  // Templates.
  state('template-none', '/c/picture', openTemplate),
  state('template', '/c/picture', layTemplate, EVERYWHERE),
  state('template-dots', '/c/picture', (page) => layTemplateAs(page, 'Dots')),
  state('template-letters', '/c/picture#x=25&y=25&zoom=32', (page) => layTemplateAs(page, 'Letters')),
  state('template-moved', '/c/picture', async (page) => {
    await layTemplate(page);
    await page.getByText('Move it by hand').click();
  }, EVERYWHERE),
  state('strip-and-card-beside-map', `/c/large${CLOSER}`, async (page) => {
    await layTemplate(page);
    await page.getByText('Move it by hand').click();
    await openCard(page, 0, -40);
  }, EVERYWHERE),
  state('template-missing', '/c/many#template=0123456789abcdef&tx=8&ty=8&tw=24&th=24', (page) => page.locator('#strip').waitFor(), EVERYWHERE),

  // The host.
  state('host-token', '/c/picture', openHost),
  state('host-not', '/c/picture', async (page) => {
    await openHost(page);
    await page.locator('#host-sheet input').fill('not the token');
    await page.keyboard.press('Enter');
    await page.getByText('not this server’s token').waitFor();
  }),
  state('host', '/c/picture', beHost, EVERYWHERE),
  state('host-of-a-long-name', '/c/long', async (page, stage) => {
    await beHost(page, stage);
    await page.getByText('Make it blank').scrollIntoViewIfNeeded();
  }),
  fresh('host-froze', async (page, stage) => {
    await beHost(page, stage);
    await page.getByText('Freeze the canvas').click();
    await page.getByText('Let them paint again').waitFor();
  }),
  state('host-made', '/c/picture', async (page, stage) => {
    await beHost(page, stage);
    await page.getByLabel('Address, after /c/').fill(stage.fresh);
    await page.getByText('Make it', { exact: true }).click();
    await page.getByText('It is there:').waitFor();
    await page.getByText('It is there:').scrollIntoViewIfNeeded();
  }),

  // Trouble.
  cut('reconnecting', '/c/picture', async (page) => {
    await inState(page, 'reconnecting');
    await page.mouse.click(...middle(page, -60, -60));
    await page.waitForFunction(() => /1 pixel waits/u.test(document.querySelector('#sentence')?.textContent ?? ''));
  }, EVERYWHERE),
  cut('bare-reconnecting', '/c/picture?bare', (page) => inState(page, 'reconnecting')),
  cut('offline', '/c/picture', async (page) => {
    await page.context().setOffline(true);
    await inState(page, 'offline');
  }),
  state('frozen', '/c/frozen'),
  early('turned-away', '', async (stage) => {
    const narrow = await stage.another(['--address-connections', '1']);
    await stage.somebody(narrow.url);
    return narrow.url;
  }, (page) => inState(page, 'turned away')),
  early('stale', '', async (stage) => {
    const redis = await stage.redis();
    return (await stage.another(['--target', 'all', '--store', redis.url])).url;
  }, async (page, stage) => {
    await inState(page, 'live');
    stage.store?.kill();
    await inState(page, 'stale');
  }),
  fresh('gone', async (page, { server }) => {
    await server.host('DELETE', `/api/canvases/${page.url().split('/').at(-1)}`);
    await inState(page, 'gone');
  }),
  early('too-fast', '', async (stage) => `${(await stage.another(['--rate-limit', '10/s burst 10'])).url}/#x=25&y=25&zoom=12`, async (page) => {
    await inState(page, 'live');
    await page.mouse.move(...middle(page, -140, -60));
    await page.mouse.down();
    await page.mouse.move(...middle(page, 140, 60), { steps: 40 });
    await page.mouse.up();
    await page.waitForFunction(() => /A little fast/u.test(document.querySelector('#sentence')?.textContent ?? ''));
  }),

  // Other pages.
  early('canvases', '/canvases', nothing, (page) => page.waitForLoadState('networkidle'), EVERYWHERE),
  early('nothing-here', '/nothing/here', nothing, nothing, EVERYWHERE),
];
