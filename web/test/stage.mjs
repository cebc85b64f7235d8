/** Where states of the page are set up to be looked at: servers, canvases with something on them, and what has to be put right afterwards. */

import { setTimeout as pause } from 'node:timers/promises';

import { Wire } from './browser/wire.mjs';
import { Redis, Server } from './server.mjs';

/** Placements in one request. */
const BATCH = 1_000;
/** What is not there by then will not come. */
const WAIT_MS_MAX = 20_000;

/** By name: in the hand, at a desk, and what lies between. */
export const DEVICES = {
  'phone-390x844': { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, hasTouch: true, isMobile: true },
  'desk-1440x900': { viewport: { width: 1440, height: 900 } },
  'side-667x375': { viewport: { width: 667, height: 375 }, deviceScaleFactor: 2, hasTouch: true, isMobile: true },
  'narrow-900x700': { viewport: { width: 900, height: 700 } },
};

/** @typedef {import('playwright-core').Page} Page */
/** @typedef {keyof typeof DEVICES} Device */
/** @typedef {'light' | 'dark'} Scheme */

/**
 * A state that the page can be in.
 * @typedef {object} State
 * @property {string} name
 * @property {string} path
 * @property {Device[]} devices
 * @property {(stage: Stage, page: Page) => Promise<string | void>} before what is done before the page is opened; where that is, unless at the path of the stage's server
 * @property {(page: Page, stage: Stage) => Promise<unknown>} prepare what is done on the page
 */

export class Stage {
  server = new Server(['--rate-limit', 'off']);
  /** The latest that can be taken away. @type {Redis | undefined} */
  store;
  #browser;
  /** @type {(() => unknown)[]} */
  #after = [];
  #made = 0;

  /** @param {import('playwright-core').Browser} browser */
  constructor(browser) {
    this.#browser = browser;
  }

  /** A name that no canvas of this stage has. */
  get fresh() {
    this.#made += 1;
    return `made-${this.#made}`;
  }

  /** Is done when the state has been looked at, the latest first. @param {() => unknown} done */
  after(done) {
    this.#after.unshift(done);
  }

  /** Makes a canvas, 50×50 unless it says otherwise. @param {string} id @param {Record<string, unknown>} [rules] */
  async canvas(id, rules = {}) {
    await this.server.host('POST', '/api/canvases', { id, name: id, width: 50, height: 50, ...rules });
  }

  /** Paints as one program after another would. @param {string} id @param {{ x: number, y: number, color: string }[]} pixels */
  async paint(id, pixels) {
    const { url } = this.server;
    for (let start = 0; start < pixels.length; start += BATCH) {
      const { token } = await (await fetch(`${url}/api/guests`, { method: 'POST' })).json();
      const response = await fetch(`${url}/api/canvases/${id}/pixels`, {
        method: 'PUT',
        headers: { 'Content-Type': 'application/json', 'Idempotency-Key': String(start), Authorization: `Bearer ${token}` },
        body: JSON.stringify({ pixels: pixels.slice(start, start + BATCH) }),
      });
      if (!response.ok) throw new Error(`painting ${id}: ${response.status} ${await response.text()}`);
    }
  }

  /** A wire to the stage's server that can be cut. */
  async wire() {
    const wire = new Wire(this.server.url);
    await wire.start();
    this.after(() => wire.stop());
    return wire;
  }

  /** Another server. @param {string[]} settings */
  async another(settings) {
    const server = new Server(settings);
    this.after(() => server.remove());
    await server.start();
    return server;
  }

  /** A store that can be taken away. */
  async redis() {
    const redis = new Redis();
    this.after(() => redis.kill());
    await redis.start();
    this.store = redis;
    return redis;
  }

  /** Somebody else's page. @param {string} url */
  async somebody(url) {
    const page = await this.#browser.newPage(DEVICES['desk-1440x900']);
    this.after(() => page.context().close());
    await page.goto(url);
    await inState(page, 'live');
    return page;
  }

  /** Sets a state up, has it looked at, and puts everything right again. @param {State} state @param {Device} device @param {Scheme} scheme @param {(page: Page) => Promise<void>} look */
  async show(state, device, scheme, look) {
    const context = await this.#browser.newContext({ ...DEVICES[device], colorScheme: scheme });
    try {
      const page = await context.newPage();
      await page.goto(await state.before(this, page) ?? this.server.url + state.path);
      await state.prepare(page, this);
      await pause(350);
      await look(page);
    } finally {
      await context.close();
      for (const done of this.#after.splice(0)) await done();
    }
  }
}

/** @param {Page} page @param {string} state */
export async function inState(page, state) {
  await page.waitForFunction((wanted) => document.documentElement.dataset.state === wanted, state, { timeout: WAIT_MS_MAX });
}

/** A landscape in six inks: hills, water, a tree and a sun. @param {number} width @param {number} height */
export function landscape(width, height) {
  const pixels = [];
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      const [across, along] = [x / width - 0.5, y / height - 0.5];
      const hill = along + 0.12 * Math.sin(across * 7);
      let color = '';
      if (Math.hypot(across - 0.2, along + 0.2) < 0.12) color = '#F5C32C';
      else if (hill > 0.3) color = '#2C8C4B';
      else if (hill > 0.18) color = '#2A4CC4';
      else if (hill > 0.12 && (x * 7 + y * 13) % 5 < 3) color = '#58B7DD';
      else if (Math.abs(across + 0.2) < 0.02 && along > -0.2) color = '#1C1917';
      else if (Math.hypot(across + 0.2, along + 0.2) < 0.13 && (x + y) % 3 > 0) color = '#D9392B';
      if (color !== '') pixels.push({ x, y, color });
    }
  }
  return pixels;
}

/** Its time stands still from now on. @param {Page} page */
export async function stopClock(page) {
  await page.evaluate(() => {
    Object.assign(window, { stoppedAt: performance.now() });
    performance.now = () => Reflect.get(window, 'stoppedAt');
  });
}

/** @param {Page} page @param {number} ms */
export async function moveClock(page, ms) {
  await page.evaluate((by) => { Object.assign(window, { stoppedAt: performance.now() + by }); }, ms);
}
