/**
 * What a browser sees of the page, as one line of JSON, for `cargo xtask bench --only page`:
 * `node test/measure.mjs arrival URL`, `node test/measure.mjs frames URL`, with `-` for an empty page;
 * `node test/measure.mjs picture FILE SIDE` draws what the canvas is filled with.
 */

import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';

import { launch } from './chromium.mjs';
import { frames, summary } from './frames.mjs';
import { png } from './png.mjs';

/** How long frames are recorded. */
const RECORD_MS = 6_000;
/** What is not there by then will not come. */
const PATIENCE_MS = 30_000;
const EMPTY = '<!doctype html><html lang="en"><meta charset="utf-8"><title>Empty</title><p>Nothing.</p></html>';

/** @typedef {import('playwright-core').Page} Page */

/** @param {(page: Page, url: string, empty: boolean) => Promise<Record<string, number>>} look @param {string} url */
async function measure(look, url) {
  const empty = url === '-';
  const server = createServer((_, answer) => { answer.setHeader('content-type', 'text/html').end(EMPTY); });
  await new Promise((resolve) => { server.listen(0, '127.0.0.1', () => resolve(undefined)); });
  const address = server.address();
  const nowhere = `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}/`;
  const browser = await launch();
  const page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
  const found = await look(page, empty ? nowhere : url, empty);
  await browser.close();
  server.close();
  return found;
}

/** What travels until the canvas is live, and when something is seen. @param {Page} page @param {string} url @param {boolean} empty */
async function arrival(page, url, empty) {
  // The browser's first page of all takes longer than any after it.
  await page.goto('about:blank');
  const session = await page.context().newCDPSession(page);
  await session.send('Network.enable');
  let [bytes, answers] = [0, 0];
  session.on('Network.responseReceived', () => { answers += 1; });
  session.on('Network.loadingFinished', ({ encodedDataLength }) => { bytes += encodedDataLength; });
  await page.addInitScript(() => {
    const look = () => {
      const board = document.querySelector('canvas');
      const { width = 0, height = 0 } = board ?? {};
      const middle = board?.getContext('2d')?.getImageData(width / 2 + 100, height / 2 - 100, 1, 1).data;
      if (middle?.[3] === 255 && middle[0] === 255) Object.assign(window, { sheetAt: performance.now() });
      else requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
  });
  await page.goto(url, { waitUntil: 'networkidle' });
  const first = () => page.evaluate(() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0);
  const sheet = () => page.evaluate(() => Number(Reflect.get(window, 'sheetAt') ?? 0));
  await seen(async () => await first() > 0 && (empty || await sheet() > 0));
  return { bytes, answers, 'first paint': await first(), ...empty ? {} : { sheet: await sheet() } };
}

/** How long frames take while somebody looks around. @param {Page} page @param {string} url @param {boolean} empty */
async function exploring(page, url, empty) {
  await page.goto(url);
  if (!empty) await seen(() => page.evaluate(() => document.documentElement.dataset.state === 'live'));
  await page.mouse.move(720, 450);
  await pause(1_000);
  const recorded = frames(page, RECORD_MS);
  // Around a square, closer, and back.
  for (const [key, zoom] of [['KeyD', -120], ['KeyS', -120], ['KeyA', 120], ['KeyW', 120]]) {
    await page.keyboard.down(String(key));
    await pause(RECORD_MS / 5);
    await page.keyboard.up(String(key));
    await page.mouse.wheel(0, Number(zoom));
  }
  const { p50, p95, late, missed } = summary(await recorded);
  return { 'frame p50': p50, 'frame p95': p95, late, missed };
}

/** @param {() => Promise<boolean>} holds */
async function seen(holds) {
  for (const end = Date.now() + PATIENCE_MS; !await holds();) {
    if (Date.now() > end) throw new Error('the page did not come');
    await pause(25);
  }
}

/** Hills behind hills under a setting sun, with a grain that no neighbour shares. @param {number} side */
function landscape(side) {
  return png(side, side, (x, y) => {
    const [across, down] = [x / side, y / side];
    const grain = ((x * 73_856_093) ^ (y * 19_349_663)) >>> 0;
    let color = [244 - down * 120, 190 - down * 40, 150 + down * 60];
    if (Math.hypot(across - 0.7, down - 0.3) < 0.09) color = [250, 225, 120];
    for (let hill = 0; hill < 5; hill += 1) {
      const ridge = 0.4 + hill * 0.12 + 0.05 * Math.sin(across * (5 + hill * 3) + hill) + 0.012 * Math.sin(across * 61 + hill * 7);
      if (down > ridge) color = [90 - hill * 14, 120 - hill * 16 + (down - ridge) * 120, 130 - hill * 22];
    }
    const [red, green, blue] = color.map((part, index) => Math.max(0, Math.min(255, Math.floor(part) + (grain >> (index * 4)) % 16 - 8)));
    return red * 65_536 + green * 256 + blue;
  });
}

const [what, where = '-', side = '4000'] = process.argv.slice(2);
if (what === 'picture') writeFileSync(where, landscape(Number(side)));
else if (what === 'arrival' || what === 'frames') console.log(JSON.stringify(await measure(what === 'arrival' ? arrival : exploring, where)));
else throw new Error('say arrival, frames or picture');
