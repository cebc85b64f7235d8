/** What belongs to the house: head count, wordmark, knock, start page, a frame of somebody else's, a browser that is full. */

import assert from 'node:assert/strict';
import { createServer } from 'node:http';

import { texts } from '../../texts.js';
import { png } from '../png.mjs';
import { Server } from '../server.mjs';
import { DESK, check, inState, is, open, server, spot, stored, until } from './harness.mjs';

const AT = '#x=25&y=25&zoom=12';
const OCHRE = '#F5C32C';

/** @param {import('playwright-core').Browser} browser */
export async function house(browser) {
  const context = await browser.newContext(DESK);

  await check('the head count follows who comes and goes, and the wordmark has the commonest colour', async () => {
    await server.host('POST', '/api/canvases', { id: 'house', name: 'House', width: 50, height: 50 });
    const page = await open(context, 'first', `/c/house${AT}`);
    const counts = (/** @type {number} */ count) => until(`${count} here`, async () => (await page.locator('#count').textContent())?.includes(texts.here(count)));
    await counts(1);
    const second = await open(context, 'second', `/c/house${AT}`);
    await counts(2);
    await second.close();
    await counts(1);
    const tinted = async () => (await page.locator('#wordmark').innerHTML()).includes(OCHRE);
    assert.equal(await tinted(), false);
    await page.keyboard.press('Digit8');
    const { x, y } = spot(page, 20, 20);
    await page.mouse.click(x, y);
    await until('the wordmark is tinted', tinted);
    await page.close();
  });

  await check('who asked for it hears a knock when the ink is dry, and nobody else', async () => {
    await server.host('POST', '/api/canvases', { id: 'knocking', name: 'Knocking', width: 50, height: 50, cooldown_ms: 1_000 });
    const own = await browser.newContext(DESK);
    await own.addInitScript(() => {
      Object.assign(window, { tones: 0 });
      // A machine without loudspeakers never gets its sound running.
      Object.defineProperty(AudioContext.prototype, 'state', { get: () => 'running' });
      const { start } = AudioScheduledSourceNode.prototype;
      AudioScheduledSourceNode.prototype.start = function counted(...when) {
        Object.assign(window, { tones: Number(Reflect.get(window, 'tones')) + 1 });
        start.apply(this, when);
      };
    });
    const page = await open(own, 'knocking', `/c/knocking${AT}`);
    const tones = () => page.evaluate(() => Number(Reflect.get(window, 'tones')));
    const dry = () => page.evaluate(() => document.querySelector('#cooldown')?.classList.contains('dry') === true);
    const paint = async (/** @type {number} */ x) => {
      await until('the ink is dry', dry);
      const at = spot(page, x, 20);
      await page.mouse.click(at.x, at.y);
      await until('it dries', async () => !await dry());
      await until('the ink is dry again', dry);
    };
    await paint(20);
    assert.equal(await tones(), 0, 'nobody asked for it');
    await page.locator('#count').click();
    await page.locator('#sound').check();
    await page.keyboard.press('Escape');
    const before = await tones();
    assert.ok(before > 0, 'one hears at once what was asked for');
    await paint(22);
    await until('it knocks', async () => await tones() > before);
    await own.close();
  });

  await check('the host’s sheet keeps what was typed, and a name from right to left stays by itself', async () => {
    const name = 'שלום (2)';
    await server.host('POST', '/api/canvases', { id: 'hebrew', name, width: 50, height: 50 });
    const own = await browser.newContext(DESK);
    await own.addInitScript((token) => sessionStorage.setItem('pixel-playground.host', token), server.adminToken);
    const page = await open(own, 'host', `/c/hebrew${AT}`);
    await page.locator('#count').click();
    await page.locator('#open-host').click();
    const [sheet, address] = [page.locator('#host-sheet'), page.getByLabel('Address, after /c/')];
    await address.fill('draft');
    await sheet.getByLabel('Seconds a pixel').first().fill('3');
    for (const [word, after] of [['Freeze the canvas', 'Let them paint again'], ['Let them paint again', 'Freeze the canvas']]) {
      await sheet.getByText(word).click();
      await until(after, () => page.evaluate((words) => document.activeElement?.textContent === words, after));
      assert.deepEqual([await address.inputValue(), await sheet.getByLabel('Seconds a pixel').first().inputValue()], ['draft', '3']);
    }
    const isolated = () => page.locator('p bdi, label bdi, #canvases strong').evaluateAll((all, called) => all.filter((element) => (
      element.textContent === called && getComputedStyle(element).unicodeBidi === 'isolate')).length, name);
    assert.equal(await isolated(), 2);
    await page.goto(`${server.url}/canvases`);
    await page.locator('#canvases a').first().waitFor();
    assert.equal(await isolated(), 1);
    await own.close();
  });

  let framed = '';
  const other = createServer((_, answer) => { answer.setHeader('content-type', 'text/html').end(`<!doctype html><title>Stream</title><iframe src="${framed}/?bare" width="800" height="600"></iframe>`); });
  await new Promise((resolve) => { other.listen(0, '127.0.0.1', () => resolve(undefined)); });
  const address = other.address();
  const stream = `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`;
  const [closed, permitting] = [new Server(), new Server(['--frame-ancestors', stream])];
  await Promise.all([closed.start(), permitting.start()]);

  await check('where there is one canvas, the start page leads to it and the sheet to no other', async () => {
    const page = await open(context, 'lonely', '/', closed.url);
    await page.locator('#count').click();
    await page.locator('#picture').waitFor();
    assert.equal(await page.locator('#all-canvases').isVisible(), false);
    await page.goto(`${closed.url}/canvases`);
    await until('it is left at once', async () => page.url() === `${closed.url}/`);
    await inState(page);
    await page.close();
  });

  await check('a page of somebody else has the canvas in a frame where that is permitted, and nowhere else', async () => {
    const page = await context.newPage();
    const look = async (/** @type {Server} */ of) => {
      framed = of.url;
      await page.goto(`${stream}/`);
      return () => page.frames().at(-1);
    };
    const permitted = await look(permitting);
    await until('the canvas is live there', async () => await permitted()?.evaluate(() => document.documentElement.dataset.state === 'live').catch(() => false));
    const refused = await look(closed);
    await until('the frame was refused', async () => refused()?.url().startsWith('chrome-error:'));
    await page.close();
  });
  other.close();
  await Promise.all([closed.remove(), permitting.remove()]);

  await check('a browser that is full is no hindrance: one paints, picks, has a name and lays a template', async () => {
    const full = await browser.newContext(DESK);
    await full.addInitScript(() => {
      const refuse = () => { throw new DOMException('full', 'QuotaExceededError'); };
      Storage.prototype.setItem = refuse;
      IDBObjectStore.prototype.put = refuse;
    });
    const page = await open(full, 'full', `/c/house${AT}`);
    await page.locator('#picker').fill('#123456');
    const { x, y } = spot(page, 30, 30);
    await page.mouse.click(x, y);
    await until('painted', async () => is([0x12, 0x34, 0x56])(await stored(30, 30, 'house')));
    await page.locator('#name').fill('Full');
    await page.keyboard.press('Enter');
    await until('named', async () => (await page.locator('#people').textContent())?.includes('Full'));
    await page.locator('#count').click();
    await page.locator('#open-template').click();
    await page.locator('#template-sheet input[type=file]').setInputFiles({ name: 'dot.png', mimeType: 'image/png', buffer: png(2, 2, () => 0x1c1917) });
    const says = (/** @type {RegExp} */ words) => until(String(words), async () => words.test(await page.locator('#template-sheet').textContent() ?? ''));
    await says(/keeps no files right now/u);
    await says(/0 of 4 right/u);
    await full.close();
  });

  await context.close();
}
