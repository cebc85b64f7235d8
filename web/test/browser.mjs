/** The page in a real Chromium against a real server: two hands, two sizes, a killed server between them. */

import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';

import { around } from './browser/around.mjs';
import {
  DESK, PHONE, VERMILION, ZOOM, agrees, check, inState, is, obstacles, open, server, setOutage, shown, spot, stored, tally, touch,
  troubles, until,
} from './browser/harness.mjs';
import { hands } from './browser/hands.mjs';
import { house } from './browser/house.mjs';
import { keyboard } from './browser/keyboard.mjs';
import { looks } from './browser/looks.mjs';
import { motion } from './browser/motion.mjs';
import { painting } from './browser/painting.mjs';
import { seeing } from './browser/seeing.mjs';
import { split } from './browser/split.mjs';
import { steady } from './browser/steady.mjs';
import { template } from './browser/template.mjs';
import { trouble } from './browser/trouble.mjs';
import { weight } from './browser/weight.mjs';
import { launch } from './chromium.mjs';

await server.start();
const browser = await launch();
const desk = await browser.newContext(DESK);
const hand = await browser.newContext(PHONE);
/** The server stays away this long. */
const OUTAGE_MS = 3_000;
/** A page is live so soon after the server answers again. */
const LIVE_AGAIN_MS_MAX = 3_000;
const AT = `#x=25&y=25&zoom=${ZOOM}`;

try {
  await check('on arrival the board is fitted, focusable and free, and one click paints one pixel', async () => {
    const page = await open(desk, 'arrival', '/');
    const board = page.locator('canvas').first();
    assert.equal(await board.getAttribute('tabindex'), '0');
    assert.equal(await page.locator('#hint').isVisible(), true, 'an empty canvas says what to do');
    const free = await page.evaluate(() => {
      const first = document.querySelector('canvas');
      const middle = { x: innerWidth / 2, y: innerHeight / 2 };
      return [[0, 0], [-200, -200], [200, 200], [-250, 100]].every(([x, y]) => document.elementFromPoint(middle.x + x, middle.y + y) === first);
    });
    assert.ok(free, 'something covers the board');
    const before = await server.pixels('main');
    await page.mouse.click(720, 420);
    await until('one pixel is painted', async () => {
      const after = await server.pixels('main');
      let changed = 0;
      for (let at = 0; at < after.length; at += 3) if (after[at] !== before[at] || after[at + 1] !== before[at + 1]) changed += 1;
      return changed === 1;
    });
    await until('the hint is gone', async () => !await page.locator('#hint').isVisible());
    await page.close();
  });

  const one = await open(desk, 'desk', `/${AT}`);
  const two = await open(hand, 'phone', `/${AT}`);
  await Promise.all([one, two].map((page) => page.evaluate(() => { Object.assign(window, { neverReloaded: true }); })));

  await check('a click is seen on the other page', async () => {
    const { x, y } = spot(one, 20, 20);
    await one.mouse.click(x, y);
    await until('stored', async () => is(VERMILION)(await stored(20, 20)));
    await until('seen', async () => is(VERMILION)((await shown(two, [[20, 20]]))[0]));
  });

  await check('a drag paints a line without gaps', async () => {
    const [from, to] = [spot(one, 15, 30), spot(one, 35, 37)];
    await one.keyboard.press('Digit1');
    await one.mouse.move(from.x, from.y);
    await one.mouse.down();
    await one.mouse.move(to.x, to.y, { steps: 3 });
    await one.mouse.up();
    await until('the line is stored', async () => {
      const pixels = await server.pixels('main');
      for (let x = 15; x <= 35; x += 1) {
        let inked = 0;
        for (let y = 30; y <= 37; y += 1) if (pixels[(y * 50 + x) * 3] === 0x1c) inked += 1;
        if (inked === 0) return false;
      }
      return true;
    });
    await agrees(two);
  });

  await check('a tap paints', async () => {
    const { x, y } = spot(two, 30, 18);
    await two.touchscreen.tap(x, y);
    await until('stored', async () => is(VERMILION)(await stored(30, 18)));
    await until('seen', async () => is(VERMILION)((await shown(one, [[30, 18]]))[0]));
  });

  await check('on the narrowest phone nothing lies on the wordmark', async () => {
    const narrow = await open(await browser.newContext({ ...PHONE, viewport: { width: 320, height: 568 } }), 'narrow', '/');
    const [mark, count] = await narrow.evaluate(() => ['#wordmark', '#count'].map((part) => document.querySelector(part)?.getBoundingClientRect().toJSON()));
    assert.ok(mark.right + 6 <= count.left, `${mark.right} is under the strip of paper at ${count.left}`);
    assert.ok(count.height < 48, 'the count is one line');
    await narrow.context().close();
  });

  await check('a finger paints a line, two fingers move the sheet and paint nothing', async () => {
    await touch(two, [...[15, 17, 19, 21, 23, 25].map((x) => [spot(two, x, 12)]), []]);
    await until('the line is stored', async () => {
      for (let x = 15; x <= 25; x += 1) if (!is(VERMILION)(await stored(x, 12))) return false;
      return true;
    });
    const before = await server.pixels('main');
    const [a, b] = [spot(two, 20, 24), spot(two, 30, 24)];
    const moved = [0, 10, 20, 30].map((by) => [{ x: a.x - by, y: a.y + by }, { x: b.x + by, y: b.y + by }]);
    await touch(two, [[a], ...moved, []]);
    await pause(400);
    assert.deepEqual(await server.pixels('main'), before);
    await two.evaluate((hash) => { location.hash = hash; }, `${AT}&again`);
    await agrees(two);
  });

  await check('the keyboard alone paints, and is told where it is', async () => {
    await one.locator('canvas').first().focus();
    await one.mouse.move(5, 895);
    const { x, y } = spot(one, 22, 22);
    await one.mouse.click(x, y);
    await one.mouse.move(5, 895);
    for (const key of ['ArrowRight', 'ArrowRight', 'ArrowDown']) await one.keyboard.press(key);
    await one.keyboard.press('Digit8');
    await one.keyboard.press('Enter');
    await until('Enter painted', async () => is([0xf5, 0xc3, 0x2c])(await stored(24, 23)));
    await one.keyboard.press('ArrowDown');
    const said = await one.locator('#announcer').textContent();
    assert.match(said ?? '', /^24, 24: /u);
    await one.keyboard.press('Space');
    await until('Space painted', async () => is([0xf5, 0xc3, 0x2c])(await stored(24, 24)));
    await one.keyboard.press('Control+z');
    await until('undone', async () => is([255, 255, 255])(await stored(24, 24)));
    await one.keyboard.press('Control+Shift+Z');
    await until('done again', async () => is([0xf5, 0xc3, 0x2c])(await stored(24, 24)));
  });

  await check('letters act only while the board has the focus', async () => {
    const chosen = () => one.locator('#inks [aria-checked=true]').getAttribute('data-color');
    const before = await chosen();
    await one.locator('#name').fill('');
    await one.locator('#name').pressSequentially('Jack 2 <b>wsd</b>');
    assert.equal(await chosen(), before);
    await one.keyboard.press('Enter');
    await until('the name is known over there', async () => (await two.locator('#people').textContent())?.includes('Jack 2 <b>wsd</b>'));
    await one.keyboard.press('KeyK');
    assert.notEqual(await chosen(), before);
  });

  await check('Space held or the right button move the sheet and paint nothing', async () => {
    const before = await server.pixels('main');
    await one.mouse.move(700, 400);
    await one.keyboard.down('Space');
    await one.mouse.down();
    await one.mouse.move(760, 430, { steps: 4 });
    await one.mouse.up();
    await one.keyboard.up('Space');
    await one.mouse.down({ button: 'right' });
    await one.mouse.move(700, 400, { steps: 4 });
    await one.mouse.up({ button: 'right' });
    await pause(400);
    assert.deepEqual(await server.pixels('main'), before);
    await one.evaluate((hash) => { location.hash = hash; }, `${AT}&again`);
    await agrees(one);
  });

  await check('killed and started again: both pages carry on without a reload, paint of the outage included', async () => {
    await pause(3_200); // A connection that lived for a while starts with short waits.
    setOutage(true);
    await server.kill();
    await Promise.all([inState(one, 'reconnecting'), inState(two, 'reconnecting')]);
    const { x, y } = spot(one, 27, 27);
    await one.keyboard.press('Digit9');
    await one.mouse.click(x, y);
    await until('it shows at once', async () => is([0xa3, 0xc6, 0x44])((await shown(one, [[27, 27]]))[0]));
    assert.match(await one.locator('#sentence').textContent() ?? '', /1 pixel waits/u);
    await pause(OUTAGE_MS); // Long enough that a page which only waits longer each time comes too late.
    await server.start();
    const back = Date.now();
    await Promise.all([inState(one), inState(two)]);
    const liveAgain = Date.now() - back;
    console.log(`        live again ${liveAgain} ms after the server`);
    assert.ok(liveAgain < LIVE_AGAIN_MS_MAX, `live again only after ${liveAgain} ms`);
    await until('stored', async () => is([0xa3, 0xc6, 0x44])(await stored(27, 27)));
    await until('seen', async () => is([0xa3, 0xc6, 0x44])((await shown(two, [[27, 27]]))[0]));
    setOutage(false);
    await Promise.all([agrees(one), agrees(two)]);
    for (const page of [one, two]) assert.equal(await page.evaluate(() => 'neverReloaded' in window), true);
    const other = spot(two, 33, 25);
    await two.touchscreen.tap(other.x, other.y);
    await until('painted after the outage', async () => is(VERMILION)((await shown(one, [[33, 25]]))[0]));
  });

  await check('programs and pages see the same canvas', async () => {
    const pixels = Array.from({ length: 40 }, (_, index) => ({ x: 14 + (index % 20), y: 40 + Math.floor(index / 20), color: '#2A4CC4' }));
    const response = await fetch(`${server.url}/api/pixels`, {
      method: 'PUT', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ pixels }),
    });
    assert.equal(response.status, 200);
    await Promise.all([agrees(one), agrees(two)]);
  });

  await check('a refused pixel is taken back visibly, with the reason', async () => {
    await server.host('POST', '/api/canvases', { id: 'slow', name: 'Slow', width: 50, height: 50, cooldown_ms: 4_000 });
    const page = await open(desk, 'slow', `/c/slow${AT}`);
    const white = [255, 255, 255];
    const first = spot(page, 22, 22);
    assert.equal(await page.locator('#cooldown').isVisible(), true);
    // A new guest starts cooling.
    await until('the first is stored', async () => {
      await page.mouse.click(first.x, first.y);
      await pause(250);
      return is(VERMILION)(await stored(22, 22, 'slow'));
    });
    const second = spot(page, 28, 22);
    await page.mouse.click(second.x, second.y);
    await until('the reason is told', async () => /^Taken back: your next pixel/u.test(await page.locator('#sentence').textContent() ?? ''));
    await until('it is gone', async () => is(white)((await shown(page, [[28, 22]]))[0]));
    assert.deepEqual(await stored(28, 22, 'slow'), white);
    // With a cooldown a drag moves the sheet.
    await page.mouse.move(600, 400);
    await page.mouse.down();
    await page.mouse.move(660, 430, { steps: 4 });
    await page.mouse.up();
    await until('the sheet moved', async () => is(white)((await shown(page, [[22, 22]]))[0]));
    await page.close();
  });

  await check('a canvas with a palette offers its colours and no others', async () => {
    const colors = ['#FFFFFF', '#1C1917', '#E4572E', '#2E86AB'];
    await server.host('POST', '/api/canvases', { id: 'four', name: 'Four', width: 50, height: 50, palette: colors });
    const page = await open(desk, 'four', `/c/four${AT}`);
    const offered = await page.locator('#inks [role=radio]').evaluateAll((blocks) => blocks.map((block) => /** @type {HTMLElement} */ (block).dataset.color));
    assert.deepEqual(offered, colors);
    assert.equal(await page.locator('#picker').isVisible(), false);
    await page.keyboard.press('Digit4');
    const { x, y } = spot(page, 25, 25);
    await page.mouse.click(x, y);
    await until('stored', async () => (await server.pixels('four'))[25 * 50 + 25] === 3);
    await until('shown', async () => is([0x2e, 0x86, 0xab])((await shown(page, [[25, 25]]))[0]));
    await page.close();
  });

  await check('a canvas of many chunks is loaded, painted and followed across its seams', async () => {
    await server.host('POST', '/api/canvases', { id: 'large', name: 'Large', width: 700, height: 520 });
    const page = await open(desk, 'large', '/c/large#x=256&y=256&zoom=12');
    const middle = { x: 720, y: 450 };
    await page.mouse.move(middle.x - 3 * ZOOM, middle.y - 3 * ZOOM);
    await page.mouse.down();
    await page.mouse.move(middle.x + 3 * ZOOM, middle.y + 3 * ZOOM, { steps: 2 });
    await page.mouse.up();
    await until('both corners are stored', async () => {
      const [upper, lower] = [await server.pixels('large', 0, 0), await server.pixels('large', 1, 1)];
      const corner = (255 * 256 + 255) * 3;
      return is(VERMILION)([...upper.slice(corner, corner + 3)]) && is(VERMILION)([...lower.slice(0, 3)]);
    });
    await page.close();
  });

  await check('the host freezes the canvas and opens it again: the page says so, and takes paint back meanwhile', async () => {
    await server.host('PATCH', '/api/canvases/main', { frozen: true });
    await until('the page says so', async () => /frozen/u.test(await one.locator('#sentence').textContent() ?? ''));
    const before = await server.pixels('main');
    const { x, y } = spot(one, 36, 20);
    await one.mouse.click(x, y);
    await until('the reason is told', async () => /^Taken back/u.test(await one.locator('#sentence').textContent() ?? ''));
    assert.deepEqual(await server.pixels('main'), before);
    await server.host('PATCH', '/api/canvases/main', { frozen: false });
    await until('stored', async () => {
      await one.mouse.click(x, y);
      await pause(100);
      return !is([255, 255, 255])(await stored(36, 20));
    });
    await agrees(two);
  });

  await check('the host resets the canvas: open pages follow', async () => {
    await server.host('POST', '/api/canvas/reset');
    await Promise.all([agrees(one), agrees(two)]);
    await until('blank', async () => (await shown(one, [[20, 20], [30, 18], [24, 23]])).every(is([255, 255, 255])));
    const { x, y } = spot(two, 26, 26);
    await two.touchscreen.tap(x, y);
    await until('painted after the reset', async () => is(VERMILION)((await shown(one, [[26, 26]]))[0]));
  });

  await check('no obstacle to anybody that axe knows of', async () => {
    for (const page of [one, two]) {
      for (const sheet of [false, true]) {
        if (sheet) await page.locator('#count').click();
        assert.deepEqual(await obstacles(page), []);
      }
      await page.keyboard.press('Escape');
    }
  });

  await seeing(browser);
  await motion(browser);
  // These wait most of the time, on canvases and in windows of their own; one of each pair alone knows of outages.
  await Promise.all([painting(browser), steady(browser), keyboard(browser).then(() => hands(browser)).then(() => house(browser))]);
  await Promise.all([around(browser), template(browser)]);
  await trouble(browser);
  await split(browser);
  await looks(browser);
  await weight(browser);

  await check('nothing happened that no test expected', async () => {
    assert.deepEqual(troubles, []);
  });
} finally {
  await browser.close();
  await server.remove();
}

console.log(`${tally.passed} passed, ${tally.failed} failed`);
process.exitCode = tally.failed === 0 ? 0 : 1;
