/** Painting: brush and cooldown, own paint at once, undo, any colour. */

import assert from 'node:assert/strict';

import {
  DESK, PHONE, VERMILION, check, goTo, inked, is, obstacles, open, server, setOutage, shown, spot, stored, touch, until,
} from './harness.mjs';
import { Wire } from './wire.mjs';

const AT = '#x=25&y=25&zoom=12';
const WHITE = [255, 255, 255];

/** @param {import('playwright-core').Page} page @param {{ x: number, y: number }} from @param {{ x: number, y: number }} to */
async function drag(page, from, to) {
  await page.mouse.move(from.x, from.y);
  await page.mouse.down();
  await page.mouse.move(to.x, to.y, { steps: 4 });
  await page.mouse.up();
}

/** @param {import('playwright-core').Browser} browser */
export async function painting(browser) {
  const context = await browser.newContext(DESK);

  await check('an undo shows at once, before the server has heard of it, and stands when it has', async () => {
    const wire = new Wire(server.url);
    await wire.start();
    await server.host('POST', '/api/canvases', { id: 'undone', name: 'Undone', width: 50, height: 50 });
    const page = await open(context, 'undone', `/c/undone${AT}`, wire.url);
    const [from, to] = [spot(page, 20, 20), spot(page, 24, 20)];
    assert.equal(await page.locator('#undo').isVisible(), false);
    await drag(page, from, to);
    await until('stored', async () => await inked('undone') === 5);
    setOutage(true);
    wire.cut();
    await page.locator('#undo').click();
    await until('white at once', async () => (await shown(page, [[20, 20], [22, 20], [24, 20]])).every(is(WHITE)));
    assert.equal(await inked('undone'), 5);
    wire.mend();
    await until('white over there', async () => await inked('undone') === 0);
    setOutage(false);
    await page.keyboard.press('Control+Shift+Z');
    await until('red at once', async () => is(VERMILION)((await shown(page, [[24, 20]]))[0]));
    await until('red over there', async () => await inked('undone') === 5);
    await page.close();
    wire.stop();
  });

  await check('with a cooldown a drag moves the sheet; Shift or the brush makes it paint; the ring and the title count', async () => {
    await server.host('POST', '/api/canvases', { id: 'charged', name: 'Charged', width: 50, height: 50, cooldown_ms: 1_000, charges_max: 12 });
    const page = await open(context, 'charged', `/c/charged${AT}`);
    await until('twelve pixels are ready', async () => await page.locator('#cooldown-time').textContent() === '12');
    const free = await page.evaluate(() => [60, innerWidth - 60].map((x) => document.elementFromPoint(x, innerHeight - 48) === document.querySelector('canvas')));
    assert.deepEqual(free, [true, true], 'beside the palette lies the board');
    await drag(page, spot(page, 20, 30), spot(page, 22, 30));
    await goTo(page, `${AT}&again`);
    await page.keyboard.down('Shift');
    await drag(page, spot(page, 20, 20), spot(page, 22, 20));
    await page.keyboard.up('Shift');
    await until('the stroke is stored', async () => is(VERMILION)(await stored(22, 20, 'charged')));
    assert.equal(await inked('charged'), 3, 'and what moved the sheet, before it, is not');
    await page.keyboard.press('KeyB');
    assert.equal(await page.locator('#brush').getAttribute('aria-pressed'), 'true');
    assert.deepEqual(await obstacles(page), []);
    let row = 24;
    await until('all charges are spent: the title and the ring count', async () => {
      await drag(page, spot(page, 20, row), spot(page, 32, row));
      row += 1;
      return page.evaluate(() => /^\d+ · /u.test(document.title) && /ready in 1 second/u.test(document.querySelector('#cooldown')?.getAttribute('aria-label') ?? ''));
    });
    assert.ok(await inked('charged') >= 12);
    await until('and stops', async () => await page.title() === 'Pixel Playground');
    await page.close();
  });

  await check('a finger with the brush paints strokes on a canvas with a cooldown, without it it moves the sheet', async () => {
    const hand = await browser.newContext(PHONE);
    await server.host('POST', '/api/canvases', { id: 'fingered', name: 'Fingered', width: 50, height: 50, cooldown_ms: 500, charges_max: 12 });
    const page = await open(hand, 'finger', `/c/fingered${AT}`);
    await until('twelve pixels are ready', async () => await page.locator('#cooldown-time').textContent() === '12');
    const path = (/** @type {number} */ y) => [...[20, 21, 22, 23, 24].map((x) => [spot(page, x, y)]), []];
    await touch(page, path(30));
    await goTo(page, `${AT}&again`);
    await page.locator('#brush').tap();
    await touch(page, path(20));
    await until('the stroke is stored', async () => is(VERMILION)(await stored(24, 20, 'fingered')));
    assert.equal(await inked('fingered'), 5, 'and what moved the sheet, before it, is not');
    await hand.close();
  });

  await check('an undo that has to wait keeps its stroke, and the next one takes back the same', async () => {
    await server.host('POST', '/api/canvases', { id: 'waited', name: 'Waited', width: 50, height: 50, cooldown_ms: 4_000, charges_max: 2 });
    const page = await open(context, 'waited', `/c/waited${AT}`);
    await until('two pixels are ready', async () => await page.locator('#cooldown-time').textContent() === '2');
    const at = (/** @type {number} */ x) => stored(x, 20, 'waited');
    for (const x of [20, 24]) {
      const place = spot(page, x, 20);
      await page.mouse.click(place.x, place.y);
    }
    await until('both are stored', async () => is(VERMILION)(await at(20)) && is(VERMILION)(await at(24)));
    await page.keyboard.press('Control+z');
    await until('it is asked to wait', async () => /^Not yet/u.test(await page.locator('#sentence').textContent() ?? ''));
    assert.equal(await page.locator('#undo').isVisible(), true);
    assert.equal(await page.locator('#redo').isVisible(), false);
    await until('one is ready', async () => /1 pixel is/u.test(await page.locator('#cooldown').getAttribute('aria-label') ?? ''));
    await page.keyboard.press('Control+z');
    await until('the later one is shown to go', async () => is(WHITE)((await shown(page, [[24, 20]]))[0]));
    await until('it is gone', async () => is(WHITE)(await at(24)));
    assert.deepEqual(await at(20), VERMILION);
    assert.deepEqual((await shown(page, [[20, 20]]))[0], VERMILION);
    assert.equal(await page.locator('#redo').isVisible(), true);
    await page.close();
  });

  await check('after a reload the charges are those that one had', async () => {
    await server.host('POST', '/api/canvases', { id: 'reloaded', name: 'Reloaded', width: 50, height: 50, cooldown_ms: 2_000, charges_max: 3 });
    const page = await open(context, 'reloaded', `/c/reloaded${AT}`);
    await until('three pixels are ready', async () => await page.locator('#cooldown-time').textContent() === '3');
    const { x, y } = spot(page, 20, 20);
    await page.mouse.click(x, y);
    await until('one is spent', async () => await page.locator('#cooldown-time').textContent() === '2');
    await page.reload();
    await until('shown', () => page.locator('#cooldown').isVisible());
    assert.match(await page.locator('#cooldown').getAttribute('aria-label') ?? '', /^[23] pixels are/u);
    await until('what was painted before the reload is taken back', async () => {
      if (!await page.locator('#undo').isVisible()) return false;
      await page.locator('#undo').click();
      return is(WHITE)(await stored(20, 20, 'reloaded'));
    });
    await page.close();
  });

  await check('a blank canvas says what to do, small or large, until the first placement, and again after it was made blank', async () => {
    await server.host('POST', '/api/canvases', { id: 'blank', name: 'Blank', width: 50, height: 50 });
    await server.host('POST', '/api/canvases', { id: 'blank-large', name: 'Large', width: 2_000, height: 2_000 });
    for (const id of ['blank', 'blank-large']) {
      const page = await open(context, id, `/c/${id}`);
      const hint = () => page.locator('#hint').isVisible();
      await until(`${id}: it says so`, hint);
      await page.mouse.click(720, 420);
      await until(`${id}: gone`, async () => !await hint());
      await until(`${id}: answered`, async () => Number(await page.evaluate(() => document.documentElement.dataset.sequence)) > 0);
      assert.equal(await hint(), false);
      const sequence = async () => Number(await page.evaluate(() => document.documentElement.dataset.sequence));
      const before = await sequence();
      await server.host('POST', `/api/canvases/${id}/reset`);
      await until(`${id}: again`, hint);
      await until(`${id}: the server has told of the reset`, async () => await sequence() > before);
      assert.equal(await hint(), true);
      await page.close();
    }
  });

  await check('any colour can be picked, is remembered, and is there again after a reload', async () => {
    await server.host('POST', '/api/canvases', { id: 'free', name: 'Free', width: 50, height: 50 });
    const page = await open(context, 'free', `/c/free${AT}`);
    await page.locator('#picker').fill('#123456');
    const { x, y } = spot(page, 25, 25);
    await page.mouse.click(x, y);
    await until('stored', async () => is([0x12, 0x34, 0x56])(await stored(25, 25, 'free')));
    await page.reload();
    const recent = page.locator('#recent .ink').first();
    await until('remembered', () => recent.isVisible());
    assert.equal(await recent.getAttribute('data-color'), '#123456');
    await recent.click();
    const next = spot(page, 26, 25);
    await page.mouse.click(next.x, next.y);
    await until('stored', async () => is([0x12, 0x34, 0x56])(await stored(26, 25, 'free')));
    await page.close();
  });

  await check('with a palette of 64 colours the chosen ink is raised and to be seen, first to last', async () => {
    const palette = Array.from({ length: 64 }, (_, index) => `#${[index >> 4, (index >> 2) & 3, index & 3].map((part) => (part * 85).toString(16).padStart(2, '0')).join('')}`);
    await server.host('POST', '/api/canvases', { id: 'sixty-four', name: 'Many', width: 50, height: 50, palette });
    for (const device of [DESK, PHONE]) {
      const narrow = await browser.newContext(device);
      const page = await open(narrow, 'many', '/c/sixty-four');
      for (const [key, times] of /** @type {const} */ ([['KeyK', 1], ['Digit1', 1], ['KeyJ', 1], ['KeyJ', 30]])) {
        for (let time = 0; time < times; time += 1) await page.keyboard.press(key);
        const { raised, seen } = await page.evaluate(() => {
          const chosen = /** @type {HTMLElement} */ (document.querySelector('#inks [aria-checked=true]'));
          const { left, top, width, height } = chosen.getBoundingClientRect();
          const others = [...document.querySelectorAll('#inks .ink:not([aria-checked=true])')].map((ink) => ink.getBoundingClientRect().top);
          return {
            raised: others.some((other) => other === top + 8),
            seen: document.elementFromPoint(left + width / 2, top + 2) === chosen && document.elementFromPoint(left + width / 2, top + height - 2) === chosen,
          };
        });
        assert.deepEqual({ raised, seen }, { raised: true, seen: true }, key);
      }
      await narrow.close();
    }
  });

  await context.close();
}
