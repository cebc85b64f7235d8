/** Weight: what a browser loads before the first pixel, and how soon that is. */

import assert from 'node:assert/strict';
import { get } from 'node:http';

import { DESK, check, inState, server, until, watch } from './harness.mjs';

/** Page, scripts, styles and font as they travel, whether a browser takes brotli, or gzip as from a host without TLS. */
const BYTES_MAX = 60_000;
/** The font for numbers alone. */
const FONT_BYTES_MAX = 12_000;
/** A far server: so much later comes each answer, and what is done meanwhile takes less. */
const ROUND_TRIP_MS = 600;

/** @param {import('playwright-core').Browser} browser */
export async function weight(browser) {
  await check('page, scripts, styles and font are under 60 kB as they travel, without a word of comment', async () => {
    const context = await browser.newContext(DESK);
    const page = await context.newPage();
    watch(page, 'weight');
    const session = await context.newCDPSession(page);
    await session.send('Network.enable');
    /** @type {Map<string, string>} */
    const urls = new Map();
    let bytes = 0;
    session.on('Network.responseReceived', ({ requestId, response }) => {
      urls.set(requestId, response.url);
      if (!response.url.includes('/api/')) bytes -= response.encodedDataLength; // What came by then is the head.
    });
    session.on('Network.loadingFinished', ({ requestId, encodedDataLength }) => {
      if (!(urls.get(requestId) ?? '').includes('/api/')) bytes += encodedDataLength;
    });
    await page.goto(server.url, { waitUntil: 'networkidle' });
    await inState(page);
    // Numbers are drawn where the pointer is; the card comes a second later, with its styles.
    await page.mouse.move(720, 450);
    await page.locator('#card').waitFor({ state: 'attached' });
    await page.evaluate(() => document.fonts.ready.then(() => undefined));
    await until('all of a first visit has come', async () => ['.woff2', '/card.js', '/more.css'].every((end) => [...urls.values()].some((url) => url.endsWith(end))));
    await page.waitForLoadState('networkidle');
    const files = [...urls.values()].filter((url) => !url.includes('/api/'));
    const gzipped = await Promise.all(files.map(lengthInGzip));
    const inGzip = gzipped.reduce((sum, length) => sum + length, 0);
    console.log(`        ${bytes} bytes in ${files.length} answers, ${inGzip} in gzip`);
    assert.ok(bytes > 10_000 && bytes < inGzip && inGzip < BYTES_MAX, `${bytes} bytes, ${inGzip} in gzip`);
    const font = files.findIndex((url) => url.endsWith('.woff2'));
    assert.ok(gzipped[font] < FONT_BYTES_MAX, `${gzipped[font]} bytes of font`);
    const script = [...urls.values()].find((url) => url.endsWith('/main.js')) ?? '';
    assert.doesNotMatch(await (await fetch(script)).text(), /^\s*(?:\/\/|\/\*[^\n]*\*\/$)/mu);
    await context.close();
  });

  await check('a canvas is seen before the socket has said hello, and nothing else is asked for', async () => {
    const context = await browser.newContext(DESK);
    const page = await context.newPage();
    watch(page, 'first');
    /** @type {string[]} */
    const asked = [];
    page.on('request', (request) => asked.push(new URL(request.url()).pathname));
    page.on('console', (message) => { if (/preload/u.test(message.text())) asked.push(`console: ${message.text()}`); });
    await page.routeWebSocket(/\/ws/u, () => undefined); // It opens, and nothing is ever said.
    await page.goto(server.url);
    await until('it is seen', () => page.evaluate(isSeen));
    const things = asked.filter((path) => path.startsWith('/api') || path.startsWith('console'));
    assert.deepEqual(things.sort(), ['/api/canvases/main', '/api/canvases/main/chunks/0/0']);
    await context.close();
  });

  await check('from a far server a canvas is seen one round trip after its page', async () => {
    const context = await browser.newContext(DESK);
    const page = await context.newPage();
    watch(page, 'far');
    const session = await context.newCDPSession(page);
    await session.send('Network.enable');
    await session.send('Network.emulateNetworkConditions', { offline: false, latency: ROUND_TRIP_MS, downloadThroughput: -1, uploadThroughput: -1 });
    await page.addInitScript(`{
      const look = () => (${isSeen})() ? Object.assign(window, { seenAt: performance.now() }) : requestAnimationFrame(look);
      requestAnimationFrame(look);
    }`);
    await page.goto(server.url);
    await until('it is seen', () => page.evaluate(() => 'seenAt' in window));
    const later = await page.evaluate(() => {
      const [navigation] = /** @type {PerformanceNavigationTiming[]} */ (performance.getEntriesByType('navigation'));
      return Number(Reflect.get(window, 'seenAt')) - navigation.responseEnd;
    });
    console.log(`        ${(later / ROUND_TRIP_MS).toFixed(2)} round trips of ${ROUND_TRIP_MS} ms`);
    assert.ok(later >= ROUND_TRIP_MS && later < 2 * ROUND_TRIP_MS, `${later} ms`);
    await context.close();
  });
}

/** How long an answer is for who takes nothing but gzip. @param {string} url @returns {Promise<number>} */
function lengthInGzip(url) {
  return new Promise((resolve, reject) => {
    get(url, { headers: { 'Accept-Encoding': 'gzip' } }, (answer) => {
      let length = 0;
      answer.on('data', (part) => { length += part.length; }).on('end', () => resolve(length));
    }).on('error', reject);
  });
}

/** Whether the white sheet is on the board; runs in the page. */
function isSeen() {
  const board = document.querySelector('canvas');
  if (board === null) return false;
  const parts = board.getContext('2d')?.getImageData(board.width / 2 + 100, board.height / 2 - 100, 1, 1).data;
  return parts !== undefined && parts.slice(0, 3).every((part) => part === 255);
}
