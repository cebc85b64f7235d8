/** Where a press ends and a drag or a rest begins, and everything without a mouse. */

import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';

import { DESK, PHONE, VERMILION, check, inked, is, open, server, spot, stored, until } from './harness.mjs';

const AT = '#x=25&y=25&zoom=12';
/** A loaded machine may make a short press long: it is tried so often. */
const TRIES_MAX = 5;

/** @param {import('playwright-core').Browser} browser */
export async function hands(browser) {
  const [desk, hand] = [await browser.newContext(DESK), await browser.newContext(PHONE)];

  await check('where a drag moves the sheet, a press of under 5 px and 500 ms paints, a longer or a farther one does not', async () => {
    await server.host('POST', '/api/canvases', { id: 'pressed', name: 'Pressed', width: 50, height: 50, cooldown_ms: 250, charges_max: 12 });
    const page = await open(desk, 'pressed', `/c/pressed${AT}`);
    await until('twelve pixels are ready', async () => await page.locator('#cooldown-time').textContent() === '12');
    /** @param {number} x @param {number} far in CSS pixels @param {number} ms */
    const press = async (x, far, ms) => {
      const at = spot(page, x, 20);
      await page.mouse.move(at.x - far / 2, at.y);
      await page.mouse.down();
      await page.mouse.move(at.x + far / 2, at.y);
      await pause(ms);
      await page.mouse.up();
      await page.evaluate((hash) => { location.hash = hash; }, `${AT}&again=${x}`);
    };
    for (const [far, ms] of [[0, 700], [7, 0]]) await press(20, far, ms);
    const arrives = async (/** @type {number} */ x) => {
      for (let tries = 0; tries < TRIES_MAX && !is(VERMILION)(await stored(x, 20, 'pressed')); tries += 1) {
        await press(x, 3, 0);
        await pause(300);
      }
      await until('it paints', async () => is(VERMILION)(await stored(x, 20, 'pressed')));
    };
    await arrives(22);
    assert.equal(await inked('pressed'), 1, 'what came before painted nothing');
    const thumb = await open(hand, 'tapped', `/c/pressed${AT}`);
    await until('there is ink', async () => Number(await thumb.locator('#cooldown-time').textContent()) > 0);
    const at = spot(thumb, 26, 24);
    await thumb.touchscreen.tap(at.x, at.y);
    await until('a tap paints as well', async () => is(VERMILION)(await stored(26, 24, 'pressed')));
    await page.close();
    await thumb.close();
  });

  await check('a stroke has no gap where the sheet moves under it, and ends when its button does', async () => {
    await server.host('POST', '/api/canvases', { id: 'held', name: 'Held', width: 50, height: 50 });
    const page = await open(desk, 'held', `/c/held${AT}`);
    const [from, to] = [spot(page, 20, 20), spot(page, 22, 20)];
    await page.mouse.move(from.x, from.y);
    await page.mouse.down();
    await page.evaluate(() => { location.hash = '#x=28&y=25&zoom=12'; });
    await until('the sheet moved', async () => await page.locator('#place').textContent() === '23, 20');
    await page.mouse.move(to.x, to.y);
    await page.mouse.down({ button: 'right' });
    await page.mouse.up();
    await page.mouse.move(to.x, to.y + 60);
    await page.mouse.up({ button: 'right' });
    await page.mouse.click(to.x, to.y + 96);
    await until('what came last is stored', async () => is(VERMILION)(await stored(25, 28, 'held')));
    assert.equal(await inked('held'), 7, 'and from 20 to 25 before it');
    await page.close();
  });

  await check('without a mouse: people and keys, the template, a colour, a pixel', async () => {
    await server.host('POST', '/api/canvases', { id: 'typed', name: 'Typed', width: 50, height: 50 });
    const page = await open(desk, 'typed', '/c/typed');
    const focused = (/** @type {string} */ where) => page.evaluate((selector) => document.activeElement?.matches(selector) === true, where);
    const walk = async (/** @type {string} */ where, /** @type {string} */ key) => {
      for (let steps = 0; steps < 40 && !await focused(where); steps += 1) await page.keyboard.press(key);
      assert.ok(await focused(where), `${key} reaches ${where}`);
    };
    assert.ok(await focused('canvas'), 'the board has the keyboard from the start');
    await walk('#count', 'Tab');
    await page.keyboard.press('Enter');
    await walk('#open-template', 'Tab');
    await page.keyboard.press('Enter');
    await page.locator('#template-sheet').waitFor();
    await page.keyboard.press('Escape');
    await until('the sheet is gone', async () => !await page.locator('#template-sheet').isVisible());
    await walk('#inks [aria-checked=true]', 'Tab');
    await page.keyboard.press('ArrowRight');
    const color = await page.locator('#inks [aria-checked=true]').getAttribute('data-color');
    assert.notEqual(color, '#D9392B');
    await walk('canvas', 'Shift+Tab');
    for (const key of ['ArrowRight', 'ArrowUp', 'Enter']) await page.keyboard.press(key);
    await until('one pixel is painted', async () => await inked('typed') === 1);
    await page.close();
  });

  await Promise.all([desk.close(), hand.close()]);
}
