/** What every browser test needs: a server, a browser, hands, and eyes that compare the page with the API. */

import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';

import { obstacles } from '../axe.mjs';
import { Server } from '../server.mjs';

export { obstacles };

/** What is not true by then will not be. */
const WAIT_MS_MAX = 15_000;
/** Side of a cell in the tests that look at a fixed place, in CSS pixels. */
export const ZOOM = 12;
export const DESK = { viewport: { width: 1440, height: 900 } };
export const PHONE = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, hasTouch: true, isMobile: true };
export const VERMILION = [0xd9, 0x39, 0x2b];

/** @typedef {import('playwright-core').Page} Page */

export const server = new Server();
/** What went wrong in a page without a test having noticed. @type {string[]} */
export const troubles = [];
/** While the server is away, or refuses, a browser writes what no page can help into its console. */
let outage = false;
export const tally = { passed: 0, failed: 0 };

/** @param {boolean} now */
export function setOutage(now) {
  outage = now;
}

/** @param {string} what @param {() => Promise<void>} run */
export async function check(what, run) {
  const before = troubles.length;
  const start = Date.now();
  try {
    await run();
    assert.deepEqual(troubles.slice(before), [], 'the page is calm');
    tally.passed += 1;
    console.log(`ok      ${what} (${((Date.now() - start) / 1_000).toFixed(1)} s)`);
  } catch (error) {
    tally.failed += 1;
    console.log(`FAILED  ${what}\n        ${error instanceof Error ? error.stack : error}`);
  }
}

/** Waits until something holds. @param {string} what @param {() => Promise<unknown>} holds */
export async function until(what, holds) {
  const end = Date.now() + WAIT_MS_MAX;
  while (Date.now() < end) {
    if (await holds()) return;
    await pause(25);
  }
  throw new Error(`never: ${what}`);
}

/** Notices what no page may ever do. @param {Page} page @param {string} name @param {string} [origin] another than the server's own */
export function watch(page, name, origin = server.url) {
  page.on('dialog', (dialog) => {
    troubles.push(`${name}: a dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  page.on('pageerror', (error) => troubles.push(`${name}: ${error.stack ?? error.message}`));
  page.on('console', (message) => {
    const unavoidable = outage && /net::ERR_|WebSocket connection|Failed to load resource/u.test(message.text());
    if (message.type() === 'error' && !unavoidable) troubles.push(`${name}: ${message.text()}`);
  });
  page.on('request', (request) => {
    const { protocol, host } = new URL(request.url());
    const local = host === new URL(origin).host || protocol === 'data:' || protocol === 'blob:';
    if (!local) troubles.push(`${name}: a foreign request: ${request.url()}`);
  });
}

/** @param {Page} page @param {string} [state] */
export async function inState(page, state = 'live') {
  await until(`state ${state}`, () => page.evaluate((wanted) => document.documentElement.dataset.state === wanted, state));
}

/**
 * Opens a page that looks at a fixed place.
 * @param {import('playwright-core').BrowserContext} context @param {string} name @param {string} path @param {string} [origin] another than the server's own
 */
export async function open(context, name, path, origin = server.url) {
  const page = await context.newPage();
  watch(page, name, origin);
  await page.goto(origin + path);
  await inState(page);
  return page;
}

/** Sends a page elsewhere by another fragment, and waits until it has heard. @param {Page} page @param {string} hash */
export function goTo(page, hash) {
  return page.evaluate((to) => new Promise((resolve) => {
    addEventListener('hashchange', () => resolve(undefined), { once: true });
    location.hash = to;
  }), hash);
}

/** Where a cell's middle is, in a page that looks at (25, 25) from `ZOOM`. @param {Page} page @param {number} x @param {number} y */
export function spot(page, x, y) {
  const { width, height } = page.viewportSize() ?? { width: 0, height: 0 };
  return { x: width / 2 + (x - 25) * ZOOM, y: height / 2 + (y - 25) * ZOOM };
}

/** The colours that a page shows in these cells. @param {Page} page @param {[number, number][]} cells @returns {Promise<number[][]>} */
export async function shown(page, cells) {
  const points = cells.map(([x, y]) => spot(page, x, y));
  return page.evaluate((places) => {
    const board = /** @type {HTMLCanvasElement} */ (document.querySelector('canvas'));
    const context = /** @type {CanvasRenderingContext2D} */ (board.getContext('2d'));
    const ratio = board.width / board.clientWidth;
    return places.map(({ x, y }) => [...context.getImageData(Math.floor(x * ratio), Math.floor(y * ratio), 1, 1).data.slice(0, 3)]);
  }, points);
}

/** The colour that the server has there. @param {number} x @param {number} y @param {string} [id] */
export async function stored(x, y, id = 'main') {
  const pixels = await server.pixels(id);
  return [...pixels.slice((y * 50 + x) * 3, (y * 50 + x) * 3 + 3)];
}

/** How many pixels of a canvas are not white. @param {string} id */
export async function inked(id) {
  const pixels = await server.pixels(id);
  let count = 0;
  for (let at = 0; at < pixels.length; at += 3) if (pixels[at] !== 255 || pixels[at + 1] !== 255 || pixels[at + 2] !== 255) count += 1;
  return count;
}

/** @param {number[]} color */
export function is(color) {
  return (/** @type {number[]} */ other) => other.join() === color.join();
}

/** Every cell of the middle of the board is on the page as the server has it. @param {Page} page @param {string} [id] */
export async function agrees(page, id = 'main') {
  /** @type {[number, number][]} */
  const cells = [];
  for (let y = 5; y < 45; y += 1) for (let x = 12; x < 38; x += 1) cells.push([x, y]);
  await until('page and server agree', async () => {
    const pixels = await server.pixels(id);
    const colors = await shown(page, cells);
    return cells.every(([x, y], index) => colors[index].every((part, byte) => part === pixels[(y * 50 + x) * 3 + byte]));
  });
}

/** A finger that stays for some 700 ms. @param {{ x: number, y: number }} point */
export function longPress(point) {
  return [...Array.from({ length: 24 }, () => [point]), []];
}

/** Moves fingers. @param {Page} page @param {{ x: number, y: number }[][]} steps fingers at each step; none lifts them */
export async function touch(page, steps) {
  const session = await page.context().newCDPSession(page);
  let down = 0;
  for (const fingers of steps) {
    const type = fingers.length === 0 ? 'touchEnd' : fingers.length > down ? 'touchStart' : 'touchMove';
    await session.send('Input.dispatchTouchEvent', { type, touchPoints: fingers.map((finger, id) => ({ ...finger, id })) });
    down = fingers.length;
    await pause(30);
  }
  await session.detach();
}

/** Axe finds nothing in anybody's way. @param {Page} page */
export async function unhindered(page) {
  assert.deepEqual(await obstacles(page), []);
}
