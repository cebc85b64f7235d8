/** Looks: what lies beside the board keeps apart, inks stay inks, and axe finds nothing in the states that are hardest to read. */

import assert from 'node:assert/strict';

import { Stage } from '../stage.mjs';
import { STATES, furnish } from '../states.mjs';
import { DESK, check, open, unhindered } from './harness.mjs';

/** Those that axe looks at in every run, in the dark; `screenshots.mjs` shows it all of them. @type {[string, import('../stage.mjs').Device][]} */
const DARK = [
  ['sheet-with-many-names', 'desk-1440x900'], ['undo-and-recent-colours', 'phone-390x844'],
  ['loading', 'desk-1440x900'], ['reconnecting', 'phone-390x844'],
];

/** @param {string} name */
function named(name) {
  const state = STATES.find((one) => one.name === name);
  assert.ok(state, name);
  return state;
}

/** @param {import('playwright-core').Browser} browser */
export async function looks(browser) {
  const stage = new Stage(browser);
  await stage.server.start();
  await furnish(stage);

  await check('card, strip, map and words lie apart, wherever there is room for them', async () => {
    for (const device of /** @type {const} */ (['narrow-900x700', 'phone-390x844', 'side-667x375'])) {
      await stage.show(named('strip-and-card-beside-map'), device, 'light', async (page) => {
        const boxes = await page.evaluate(() => ['#header', '#sentence', '#map canvas', '#strip', '#card', '#inks'].map((part) => {
          const { left, top, right, bottom } = /** @type {Element} */ (document.querySelector(part)).getBoundingClientRect();
          return { part, left, top, right, bottom };
        }));
        const meet = boxes.flatMap((a, index) => boxes.slice(index + 1)
          .filter((b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom)
          // In the hand the map lies in the head of the page.
          .filter((b) => `${a.part} ${b.part}` !== '#header #map canvas')
          .map((b) => `${a.part} and ${b.part}`));
        assert.deepEqual(meet, [], device);
        const { width, height } = page.viewportSize() ?? { width: 0, height: 0 };
        for (const { part, left, top, right, bottom } of boxes) if (part !== '#inks') assert.ok(left >= 0 && top >= 0 && right <= width && bottom <= height, `${part} at ${device}`);
      });
    }
  });

  await check('the map of a low canvas is as high as a finger, and a press beside it goes there', async () => {
    await stage.show(named('map-of-a-strip'), 'phone-390x844', 'light', async (page) => {
      const box = await page.locator('#map').boundingBox();
      assert.ok(box !== null && box.height >= 44 && box.width >= 44, JSON.stringify(box));
      await page.mouse.click(box.x + box.width * 0.75, box.y + 3);
      await page.waitForFunction(() => Math.abs(Number(/x=(?<x>\d+)/u.exec(location.hash)?.groups?.x) - 3_000) < 80);
    });
  });

  await check('a name without a blank makes no sheet wider, and one with two blanks can be read', async () => {
    await stage.show(named('host-of-a-long-name'), 'phone-390x844', 'light', async (page) => {
      assert.deepEqual(await page.locator('#host-sheet').evaluate(({ scrollWidth, clientWidth }) => scrollWidth - clientWidth), 0);
      assert.match(await page.locator('#host-sheet label').last().innerText(), /all {2}the/u);
    });
  });

  await check('in a window as narrow as 400 % make it a sheet can be read and closed', async () => {
    const context = await browser.newContext({ viewport: { width: 320, height: 256 } });
    const page = await open(context, 'narrow', '/c/picture', stage.server.url);
    await page.locator('#count').click();
    const { right } = await page.locator('#sheet').evaluate((sheet) => sheet.getBoundingClientRect());
    assert.ok(right <= 320, `${right} px`);
    await page.locator('#sheet-close').click({ timeout: 2_000 });
    await context.close();
  });

  await check('where the system chooses the colours, inks stay what they are', async () => {
    const context = await browser.newContext({ ...DESK, forcedColors: 'active' });
    const page = await open(context, 'forced colours', '/c/picture', stage.server.url);
    const colors = await page.locator('#inks [data-color]').evaluateAll((inks) => inks.map((ink) => [ink.dataset.color, getComputedStyle(ink).backgroundColor]));
    for (const [wanted, color] of colors) {
      const parts = /** @type {string} */ (wanted).slice(1).match(/../gu)?.map((part) => Number.parseInt(part, 16)).join(', ');
      assert.equal(color, `rgb(${parts})`);
    }
    await context.close();
  });

  await check('axe finds nothing in the dark either', async () => {
    for (const [name, device] of DARK) {
      await stage.show(named(name), device, 'dark', async (page) => {
        assert.equal(await page.evaluate(() => matchMedia('(prefers-color-scheme: dark)').matches), true);
        await unhindered(page);
      }).catch((error) => { throw new Error(`${name}: ${error.message}`); });
    }
  });

  await stage.server.remove();
}
