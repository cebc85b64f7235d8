/** Motion: what is drawn of a press, a ring, a name and a flight, and that each ends; the page's time moves by hand. */

import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';

import { moveClock, stopClock } from '../stage.mjs';
import { DESK, VERMILION, check, is, open, server, spot, stored, until } from './harness.mjs';

/** So often at most the server tells who paints in a chunk; whoever paints between is not told of. */
const PAINTERS_INTERVAL_MS = 250;
const AT = '#x=25&y=25&zoom=12';

/** @typedef {import('playwright-core').Page} Page */

/** What the glass over the board has on it, once it is drawn. @param {Page} page */
function glass(page) {
  return page.evaluate(() => new Promise((resolve) => {
    requestAnimationFrame(() => requestAnimationFrame(() => {
      const panes = /** @type {HTMLCanvasElement[]} */ ([...document.querySelectorAll('#overlay canvas')]).filter((pane) => getComputedStyle(pane).visibility === 'visible');
      resolve(panes.map((pane) => `${pane.style.cssText} ${pane.toDataURL()}`).sort().join('\n'));
    }));
  }));
}

/** @param {Page} page @param {number} ms */
async function later(page, ms) {
  await moveClock(page, ms);
  return glass(page);
}

/** @param {import('playwright-core').Browser} browser */
export async function motion(browser) {
  const context = await browser.newContext(DESK);
  const calm = await browser.newContext({ ...DESK, reducedMotion: 'reduce' });
  for (const id of ['moving', 'stiff']) await server.host('POST', '/api/canvases', { id, name: id, width: 50, height: 50 });

  await check('one’s own pixel presses in within 120 ms, and not for who wants no motion', async () => {
    for (const [where, x] of /** @type {const} */ ([[context, 20], [calm, 30]])) {
      const page = await open(where, 'press', `/c/moving${AT}`);
      const at = spot(page, x, 20);
      await page.mouse.click(at.x, at.y);
      await until('stored', async () => is(VERMILION)(await stored(x, 20, 'moving')));
      await page.mouse.move(at.x, at.y + 24);
      await page.keyboard.press('Digit7');
      await stopClock(page);
      await later(page, 4_000);
      const rest = await glass(page);
      await page.mouse.down();
      await page.mouse.up();
      const looks = [await glass(page), await later(page, 60), await later(page, 70)];
      assert.deepEqual(looks.map((look) => look === rest), where === calm ? [true, true, true] : [false, false, true]);
      assert.equal(looks[0] === looks[1], where === calm);
      await page.close();
    }
  });

  await check('what others paint rings once for 400 ms; a name fades and is gone', async () => {
    const [page, other] = [await open(context, 'rings', `/c/moving${AT}`), await open(calm, 'painter', `/c/moving${AT}`)]; // In a window of its own: a page that is behind another draws once a second.
    await page.mouse.move(5, 895);
    await stopClock(page);
    assert.ok(await glass(page) === '', 'nothing moves');
    const ring = spot(other, 26, 26);
    await other.mouse.click(ring.x, ring.y);
    await until('a ring is drawn', async () => await glass(page) !== '');
    const first = await glass(page);
    assert.ok(await later(page, 200) !== first, 'it goes outwards');
    assert.ok(await later(page, 210) === '', 'and is gone');
    await other.locator('#name').fill('Hokusai');
    await other.keyboard.press('Enter');
    await until('the name is known', async () => await page.locator('#people').textContent() === 'Hokusai');
    await other.keyboard.press('Digit8');
    await pause(PAINTERS_INTERVAL_MS);
    await other.mouse.click(ring.x, ring.y);
    await until('ring and name are drawn', async () => await glass(page) !== '');
    const name = await later(page, 420);
    assert.ok(name !== '', 'the name stays longer than the ring');
    const fading = await later(page, 1_080);
    assert.ok(fading !== '' && fading !== name, 'and fades');
    assert.ok(await later(page, 320) === '', 'and is gone too');
    await Promise.all([page.close(), other.close()]);
  });

  await check('a refused pixel flies back within 200 ms; who wants no motion sees a ring that stands still', async () => {
    const painted = await open(context, 'before', `/c/stiff${AT}`);
    const first = spot(painted, 20, 30);
    await painted.mouse.click(first.x, first.y); // On an empty canvas a pixel breathes.
    await until('stored', async () => is(VERMILION)(await stored(20, 30, 'stiff')));
    await painted.close();
    await server.host('PATCH', '/api/canvases/stiff', { frozen: true });
    for (const where of [context, calm]) {
      const page = await open(where, 'flight', `/c/stiff${AT}`);
      const at = spot(page, 30, 20);
      await page.mouse.move(at.x, at.y);
      await stopClock(page);
      const rest = await glass(page);
      await page.mouse.down();
      await page.mouse.up();
      const looks = [await glass(page), await later(page, 100)];
      assert.ok(looks.every((look) => look !== rest), 'something is drawn');
      assert.equal(looks[0] === looks[1], where === calm, 'it flies');
      assert.ok(await later(page, where === calm ? 310 : 110) === rest, 'and is gone');
      await page.close();
    }
  });

  await Promise.all([context.close(), calm.close()]);
}
