/** Steady: what lies under one's hand stays there, the board, the focus, the chosen ink, whatever comes and goes beside it. */

import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';

import { DESK, PHONE, VERMILION, check, is, longPress, open, server, spot, stored, touch, until } from './harness.mjs';

const AT = '#x=25&y=25&zoom=12';
const WHITE = [255, 255, 255];

/** @typedef {import('playwright-core').Page} Page */

/** Where the sheet lies when it has come to rest, in device pixels: it is the only thing so white. @param {Page} page */
async function sheet(page) {
  const look = () => page.evaluate(() => {
    const board = /** @type {HTMLCanvasElement} */ (document.querySelector('#board'));
    const { data } = /** @type {CanvasRenderingContext2D} */ (board.getContext('2d')).getImageData(0, 0, board.width, board.height);
    const pixels = new Uint32Array(data.buffer);
    const [first, last] = [pixels.indexOf(0xffff_ffff), pixels.lastIndexOf(0xffff_ffff)];
    return first < 0 ? '' : [first, last].map((at) => `${at % board.width}, ${Math.floor(at / board.width)}`).join(' to ');
  });
  let seen = '';
  await until('the sheet rests', async () => {
    const before = seen;
    await pause(150);
    seen = await look();
    return seen !== '' && seen === before;
  });
  return seen;
}

/** Whether the board has the keyboard. @param {Page} page */
function typing(page) {
  return page.evaluate(() => document.activeElement?.id === 'board');
}

/** @param {import('playwright-core').Browser} browser */
export async function steady(browser) {
  const context = await browser.newContext(DESK);

  await check('the first pixel, its undo and its redo move no board, in the hand and at a desk', async () => {
    for (const [width, height, inHand] of /** @type {const} */ ([[390, 844, true], [360, 640, true], [900, 600, false], [1024, 768, false], [844, 390, true]])) {
      for (const cooldown of [0, 100]) {
        const id = `steady-${width}-${cooldown}`;
        await server.host('POST', '/api/canvases', { id, width: 50, height: 50, cooldown_ms: cooldown, charges_max: cooldown > 0 ? 5 : undefined });
        const fresh = await browser.newContext(inHand ? { ...PHONE, viewport: { width, height } } : { viewport: { width, height } });
        const page = await open(fresh, id, `/c/${id}`);
        const before = await sheet(page);
        const what = `${width}×${height}, ${cooldown} ms`;
        await (inHand ? page.touchscreen.tap(width / 2, height / 2 - 20) : page.mouse.click(width / 2, height / 2 - 20));
        await page.locator('#undo').waitFor();
        assert.equal(await sheet(page), before, `painted, ${what}`);
        await page.locator('#undo').click();
        await page.locator('#redo').waitFor();
        assert.equal(await sheet(page), before, `undone, ${what}`);
        await fresh.close();
      }
    }
  });

  await check('of many inks the chosen one is in sight, on arrival and after a turn of the phone', async () => {
    const palette = Array.from({ length: 64 }, (_, index) => `#${(index * 0x030201 + 0x100000).toString(16).padStart(6, '0')}`);
    await server.host('POST', '/api/canvases', { id: 'many', width: 50, height: 50, palette, background: palette[0] });
    const hand = await browser.newContext(PHONE);
    const page = await open(hand, 'many', '/c/many');
    const seen = async () => {
      const box = await page.locator('#inks [aria-checked=true]').boundingBox();
      return box !== null && box.x >= -1 && box.x + box.width <= (page.viewportSize()?.width ?? 0) + 1;
    };
    for (let step = 0; step < 40; step += 1) await page.keyboard.press('KeyK');
    for (const viewport of [{ width: 390, height: 844 }, { width: 844, height: 390 }, { width: 390, height: 844 }]) {
      await page.setViewportSize(viewport);
      await until(`seen at ${viewport.width}`, seen);
    }
    await page.reload();
    await until('seen on arrival', seen);
    await hand.close();
  });

  await check('while the keyboard walks, zoom and colours are taken where its cursor is, not where a mouse lies', async () => {
    await server.host('POST', '/api/canvases', { id: 'walked', width: 50, height: 50 });
    const page = await open(context, 'walked', `/c/walked${AT}`);
    const mouse = spot(page, 10, 10);
    await page.keyboard.press('Digit7');
    await page.mouse.click(mouse.x, mouse.y);
    await until('stored', async () => !is(WHITE)(await stored(10, 10, 'walked')));
    await page.keyboard.press('Digit1');
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('KeyI');
    const chosen = () => page.evaluate(() => document.documentElement.style.getPropertyValue('--chosen'));
    assert.equal(await chosen(), '#FFFFFF', 'beside what one painted');
    for (let step = 0; step < 12; step += 1) await page.keyboard.press('ArrowRight');
    for (let step = 0; step < 6; step += 1) await page.keyboard.press('KeyE');
    await page.keyboard.press('Digit5');
    await page.keyboard.press('Enter');
    await until('painted where the cursor is', async () => is(VERMILION)(await stored(23, 10, 'walked')));
    const [left, top] = (await page.evaluate(() => location.hash)).match(/\d+/gu)?.map(Number) ?? [];
    assert.ok(Math.abs(left - 23) < 20 && Math.abs(top - 10) < 20, 'and it is in sight');
    await page.close();
  });

  await check('the keyboard has a place to be: after an ink is clicked, when a tool goes away, when the canvas is smaller', async () => {
    await server.host('POST', '/api/canvases', { id: 'shrunk', width: 50, height: 50, cooldown_ms: 10 });
    const page = await open(context, 'shrunk', `/c/shrunk${AT}`);
    const at = spot(page, 20, 20);
    await page.mouse.click(at.x, at.y);
    await until('stored', async () => is(VERMILION)(await stored(20, 20, 'shrunk')));
    await page.locator('#inks .ink').nth(6).click();
    assert.ok(await typing(page), 'a click on an ink');
    await page.keyboard.press('Control+KeyZ');
    await until('undone', async () => is(WHITE)(await stored(20, 20, 'shrunk')));
    await page.locator('#brush').click();
    await page.locator('#brush').focus();
    await server.host('PATCH', '/api/canvases/shrunk', { cooldown_ms: 0 });
    await until('the brush went away', async () => !await page.locator('#brush').isVisible());
    await until('the board has the keyboard', () => typing(page));
    for (let step = 0; step < 10; step += 1) await page.keyboard.press('Shift+ArrowRight');
    await server.host('DELETE', '/api/canvases/shrunk');
    await server.host('POST', '/api/canvases', { id: 'shrunk', width: 8, height: 8 });
    await until('it is there again', async () => await page.locator('#board').getAttribute('aria-colcount') === '8');
    await page.keyboard.press('Digit5');
    await page.keyboard.press('Enter');
    await until('something is painted', async () => (await server.pixels('shrunk')).some((part) => part !== 255));
    await page.close();
  });

  await check('under a cooldown a hand has words, blocks and card above one another', async () => {
    await server.host('POST', '/api/canvases', { id: 'stacked', width: 50, height: 50, cooldown_ms: 100, charges_max: 5 });
    const hand = await browser.newContext(PHONE);
    const page = await open(hand, 'stacked', `/c/stacked${AT}`);
    await page.locator('#card').waitFor({ state: 'attached' });
    const at = spot(page, 25, 22);
    await page.touchscreen.tap(at.x, at.y);
    await until('stored', async () => is(VERMILION)(await stored(25, 22, 'stacked')));
    await touch(page, longPress(at));
    await page.locator('#card').waitFor();
    const boxes = await page.evaluate(() => ['#card', '#sentence', '#undo', '#inks'].map((part) => {
      const { top, bottom } = /** @type {Element} */ (document.querySelector(part)).getBoundingClientRect();
      return { part, top, bottom };
    }));
    boxes.slice(1).forEach(({ part, top }, index) => assert.ok(boxes[index].bottom <= top, `${boxes[index].part} is above ${part}`));
    await hand.close();
  });

  await check('a card goes when its pixel is somebody else’s', async () => {
    await server.host('POST', '/api/canvases', { id: 'stale', width: 50, height: 50 });
    const put = (/** @type {string} */ color) => fetch(`${server.url}/api/canvases/stale/pixels`, {
      method: 'PUT', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ pixels: [{ x: 20, y: 20, color }] }),
    });
    await put('#D9392B');
    const page = await open(context, 'stale', `/c/stale${AT}`);
    await page.locator('#card').waitFor({ state: 'attached' });
    const at = spot(page, 20, 20);
    await page.mouse.move(at.x, at.y);
    await page.locator('#card').waitFor();
    await put('#2A4BC7');
    await page.locator('#card').waitFor({ state: 'hidden' });
    await page.close();
  });

  await context.close();
}
