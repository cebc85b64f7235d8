/** Weight: what a browser loads before the first pixel, and how soon that is. */

import assert from 'node:assert/strict';

import { DESK, check, inState, server, until, watch } from './harness.mjs';

/** Page, scripts, styles and font as they travel; without TLS a browser takes gzip, with it brotli is less. */
const BYTES_MAX = 60_000;

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
    console.log(`        ${bytes} bytes in ${urls.size} answers`);
    assert.ok(bytes > 10_000 && bytes < BYTES_MAX, `${bytes} bytes`);
    const script = [...urls.values()].find((url) => url.endsWith('/main.js')) ?? '';
    const text = await (await fetch(script)).text();
    assert.doesNotMatch(text, /^\s*\/[/*]/mu);
    assert.equal(text.split('\n').findIndex((line) => line.startsWith('const board')) > 50, true, 'lines keep their numbers');
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
    await until('it is seen', () => page.evaluate(() => {
      const first = /** @type {HTMLCanvasElement} */ (document.querySelector('canvas'));
      const context2d = /** @type {CanvasRenderingContext2D} */ (first.getContext('2d'));
      return context2d.getImageData(first.width / 2 + 100, first.height / 2 - 100, 1, 1).data.slice(0, 3).every((part) => part === 255);
    }));
    const things = asked.filter((path) => path.startsWith('/api') || path.startsWith('console'));
    assert.deepEqual(things.sort(), ['/api/canvases/main', '/api/canvases/main/chunks/0/0']);
    await context.close();
  });
}
