/** Trouble: each kind has one calm sentence, none keeps anybody from reading, and what is over leaves no trace. */

import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';

import { texts } from '../../texts.js';
import { png } from '../png.mjs';
import { Redis, Server } from '../server.mjs';
import { DESK, VERMILION, agrees, check, inState, is, obstacles, open, server, setOutage, shown, spot, stored, until, watch } from './harness.mjs';
import { Wire } from './wire.mjs';

const AT = '#x=25&y=25&zoom=12';

/** @typedef {import('playwright-core').Page} Page */

/** Paints a row as a program does. @param {number} y @param {string} color @param {string} [id] */
async function paintRow(y, color, id = 'main') {
  const pixels = Array.from({ length: 20 }, (_, index) => ({ x: 14 + index, y, color }));
  const response = await fetch(`${server.url}/api/canvases/${id}/pixels`, {
    method: 'PUT', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ pixels }),
  });
  assert.equal(response.status, 200);
}

/** @param {Page} page @param {RegExp} sentence */
async function says(page, sentence) {
  await until(`it says ${sentence}`, async () => sentence.test(await page.locator('#sentence').textContent() ?? ''));
}

/** @param {import('playwright-core').Browser} browser */
export async function trouble(browser) {
  const context = await browser.newContext(DESK);
  const wire = new Wire(server.url);
  await wire.start();

  await check('a deleted canvas is said to be gone within two seconds, and stays to be looked at', async () => {
    await server.host('POST', '/api/canvases', { id: 'brief', name: 'Brief', width: 50, height: 50 });
    const page = await open(context, 'brief', `/c/brief${AT}`);
    const { x, y } = spot(page, 20, 20);
    await page.mouse.click(x, y);
    await until('stored', async () => is(VERMILION)(await stored(20, 20, 'brief')));
    await server.host('DELETE', '/api/canvases/brief');
    const deleted = Date.now();
    await inState(page, 'gone');
    assert.ok(Date.now() - deleted < 2_000, `only after ${Date.now() - deleted} ms`);
    await says(page, /gone/u);
    assert.ok(is(VERMILION)((await shown(page, [[20, 20]]))[0]));
    const other = spot(page, 24, 20);
    await page.mouse.click(other.x, other.y);
    await says(page, new RegExp(texts.refused.gone, 'u'));
    assert.ok(!is(VERMILION)((await shown(page, [[24, 20]]))[0]), 'nothing is painted on it');
    assert.deepEqual(await obstacles(page), []);
    await page.close();
  });

  await check('the network is cut and comes back: it is said, paint of both sides arrives, nothing was reloaded', async () => {
    const page = await open(context, 'cut', `/${AT}`, wire.url);
    await page.evaluate(() => { Object.assign(window, { neverReloaded: true }); });
    setOutage(true);
    wire.cut();
    await says(page, /Reconnecting/u);
    await context.setOffline(true);
    await says(page, /offline/u);
    await pause(1_200);
    assert.match(await page.locator('#sentence').textContent() ?? '', /offline/u, 'that the card did not come is not said: nobody asked for it');
    await paintRow(8, '#7D4AB5');
    const { x, y } = spot(page, 25, 10);
    await page.mouse.click(x, y);
    assert.ok(is(VERMILION)((await shown(page, [[25, 10]]))[0]), 'one paints on');
    wire.mend();
    await context.setOffline(false);
    const back = Date.now();
    await inState(page);
    await until('what one painted offline is stored', async () => is(VERMILION)(await stored(25, 10)));
    await agrees(page);
    console.log(`        right again ${Date.now() - back} ms after the network`);
    setOutage(false);
    assert.equal(await page.evaluate(() => 'neverReloaded' in window), true);
    await page.locator('#card').waitFor({ state: 'attached' });
    await page.close();
  });

  await check('what waits for a canvas that was made anew with other colours is taken back, not painted in them', async () => {
    const rules = { id: 'anew', name: 'Anew', width: 50, height: 50 };
    await server.host('POST', '/api/canvases', { ...rules, palette: ['#FFFFFF', '#FF0000', '#0000FF'] });
    const page = await open(context, 'anew', `/c/anew${AT}`, wire.url);
    setOutage(true);
    wire.cut();
    await says(page, /Reconnecting/u);
    const { x, y } = spot(page, 20, 20);
    await page.mouse.click(x, y);
    await server.host('DELETE', '/api/canvases/anew');
    await server.host('POST', '/api/canvases', { ...rules, palette: ['#FFFFFF', '#000000', '#00FF00'] });
    wire.mend();
    await says(page, /other colours/u);
    await inState(page);
    setOutage(false);
    const after = spot(page, 30, 30);
    await page.mouse.click(after.x, after.y);
    const painted = async () => [...(await server.pixels('anew')).entries()].filter(([, value]) => value !== 0).map(([at]) => at);
    await until('what is painted now is stored', async () => (await painted()).length > 0);
    assert.deepEqual(await painted(), [30 * 50 + 30], 'and nothing of before');
    await page.close();
  });

  await check('a phone wakes up on a connection that is dead without knowing it: right within a second', async () => {
    const page = await open(context, 'asleep', `/${AT}`, wire.url);
    await agrees(page);
    const took = [];
    // A machine with other things to do gets more than one try.
    for (const [color, parts] of /** @type {const} */ ([['#2C8C4B', [0x2c, 0x8c, 0x4b]], ['#7D4AB5', [0x7d, 0x4a, 0xb5]], ['#F07F1F', [0xf0, 0x7f, 0x1f]]])) {
      wire.hang();
      await paintRow(9, color);
      const right = async () => is([...parts])((await shown(page, [[20, 9]]))[0]);
      assert.ok(!await right(), 'nothing passes');
      const woken = Date.now();
      await page.evaluate(() => document.dispatchEvent(new Event('visibilitychange')));
      await until('right', right);
      took.push(Date.now() - woken);
      if (Math.min(...took) < 1_000) break;
    }
    console.log(`        right ${took.join(', ')} ms after waking up`);
    assert.ok(Math.min(...took) < 1_000, `only after ${took.join(', ')} ms`);
    await page.close();
  });

  await check('where no connection is free the page says so, and takes the next one that is', async () => {
    const narrow = new Server(['--address-connections', '1']);
    await narrow.start();
    await narrow.host('POST', '/api/canvases', { id: 'wide', name: 'Wide', width: 30_000, height: 50 });
    const response = await fetch(`${narrow.url}/api/canvases/wide/pixels`, {
      method: 'PUT', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ pixels: [{ x: 25, y: 25, color: '#D9392B' }, { x: 29_000, y: 25, color: '#D9392B' }] }),
    });
    assert.equal(response.status, 200);
    const first = await open(context, 'the one', '/', narrow.url);
    const second = await context.newPage();
    watch(second, 'turned away', narrow.url);
    setOutage(true);
    await second.goto(`${narrow.url}/c/wide${AT}`);
    await inState(second, 'turned away');
    await says(second, /No connection is free/u);
    const middle = async () => is(VERMILION)((await shown(second, [[25, 25]]))[0]);
    await until('one can look all the same', middle);
    await second.evaluate(() => { location.hash = '#x=20000&y=25&zoom=12'; });
    await until('there is nothing there', async () => !await middle());
    await second.evaluate(() => { location.hash = '#x=29000&y=25&zoom=12'; });
    await until('and look around', middle);
    await first.close();
    await inState(second);
    setOutage(false);
    await second.close();
    await narrow.remove();
  });

  await check('who paints faster than the rule is told so calmly, and the rest of it follows', async () => {
    const slow = new Server(['--rate-limit', '10/s burst 10']);
    await slow.start();
    const page = await open(context, 'fast', `/${AT}`, slow.url);
    const [from, to] = [spot(page, 5, 20), spot(page, 44, 20)];
    await page.mouse.move(from.x, from.y);
    await page.mouse.down();
    await page.mouse.move(to.x, to.y, { steps: 40 });
    await page.mouse.up();
    await says(page, new RegExp(texts.painting, 'u'));
    const row = async () => (await slow.pixels('main')).slice(20 * 150 + 15, 20 * 150 + 135);
    await until('all of it is stored', async () => (await row()).every((part, at) => part === VERMILION[at % 3]));
    await says(page, new RegExp(texts.live, 'u'));
    await page.close();
    await slow.remove();
  });

  await check('a store that is away is said to be, and what was seen stays', async () => {
    const redis = new Redis();
    await redis.start();
    const apart = new Server(['--target', 'all', '--store', redis.url]);
    await apart.start();
    const page = await open(context, 'stale', `/${AT}`, apart.url);
    const { x, y } = spot(page, 20, 20);
    await page.mouse.click(x, y);
    await until('painted', async () => is(VERMILION)([...(await apart.pixels('main')).slice((20 * 50 + 20) * 3, (20 * 50 + 20) * 3 + 3)]));
    setOutage(true);
    redis.kill();
    await inState(page, 'stale');
    await says(page, new RegExp(texts.stale, 'u'));
    assert.ok(is(VERMILION)((await shown(page, [[20, 20]]))[0]), 'what was seen is still seen');
    assert.deepEqual(await obstacles(page), []);
    setOutage(false);
    await page.close();
    await apart.remove();
  });

  await check('pictures that are lost with the graphics process are drawn anew: board, map, template and what lies above', async () => {
    await server.host('POST', '/api/canvases', { id: 'lost', name: 'Lost', width: 1_000, height: 1_000 });
    await paintRow(290, '#7D4AB5', 'lost');
    const page = await open(context, 'lost', '/c/lost#x=20&y=292&zoom=20');
    await page.locator('#count').click();
    await page.locator('#open-template').click();
    await page.locator('#template-sheet input[type=file]').setInputFiles({ name: 'flag.png', mimeType: 'image/png', buffer: png(6, 4, () => 0xf5c32c) });
    await until('it is laid', () => page.evaluate(() => location.hash.includes('&tx=')));
    await page.keyboard.press('Escape');
    await page.mouse.move(900, 450);
    await page.evaluate(() => document.addEventListener('contextlost', () => { document.documentElement.dataset.lost = ''; }, true));
    const canvases = () => page.evaluate(() => /** @type {HTMLCanvasElement[]} */ ([...document.querySelectorAll('#board, #map canvas, #template, #overlay canvas')])
      .filter((canvas) => getComputedStyle(canvas).visibility === 'visible')
      .map((canvas) => `${canvas.style.cssText} ${canvas.toDataURL()}`).sort().join('\n'));
    let before = await canvases();
    await until('all is drawn', async () => {
      const earlier = before;
      await pause(300);
      before = await canvases();
      return before === earlier;
    });
    const session = await browser.newBrowserCDPSession();
    await session.send('Browser.crashGpuProcess');
    await until('they are lost', () => page.evaluate(() => 'lost' in document.documentElement.dataset));
    await until('they are as before', async () => await canvases() === before);
    await page.close();
  });

  await check('from a slow server the page says that it is loading, and is there in the end', async () => {
    const page = await context.newPage();
    watch(page, 'slow server');
    /** @type {() => void} */
    let answer = () => undefined;
    const asked = new Promise((resolve) => { answer = () => resolve(undefined); });
    await page.route(/\/chunks\//u, async (route) => { await asked; await route.continue(); });
    await page.goto(`${server.url}/${AT}`);
    await inState(page, 'loading');
    await says(page, new RegExp(texts.loading, 'u'));
    answer();
    await inState(page);
    await agrees(page);
    await page.close();
  });

  await check('who wants no motion sees nothing fly, and the sheet stops where it is let go', async () => {
    const still = await browser.newContext({ ...DESK, reducedMotion: 'reduce' });
    const page = await open(still, 'still', `/${AT}`);
    await page.mouse.move(700, 450);
    await page.mouse.down({ button: 'right' });
    for (let step = 1; step <= 6; step += 1) await page.mouse.move(700 + step * 30, 450);
    await page.mouse.up({ button: 'right' });
    const corner = () => page.evaluate(() => /** @type {HTMLCanvasElement} */ (document.querySelector('canvas')).toDataURL());
    const before = await corner();
    await page.evaluate(() => new Promise((resolve) => { setTimeout(resolve, 300); }));
    assert.equal(await corner(), before, 'it does not glide on');
    await still.close();
  });

  wire.stop();
  await context.close();
}
