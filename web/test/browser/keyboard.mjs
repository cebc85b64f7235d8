/** The keyboard: labels of other layouts, colours by Tab, and sheets that typing and pressing leave alone. */

import assert from 'node:assert/strict';

import { DESK, VERMILION, check, is, open, server, spot, stored, until } from './harness.mjs';

const AT = '#x=25&y=25&zoom=12';
const WHITE = [255, 255, 255];

/** Presses a key whose label is not the one of a keyboard of the United States. @param {import('playwright-core').Page} page @param {Record<string, string | boolean>} key */
async function press(page, key) {
  await page.evaluate((init) => {
    document.querySelector('canvas')?.dispatchEvent(new KeyboardEvent('keydown', { bubbles: true, cancelable: true, ...init }));
  }, key);
}

/** @param {import('playwright-core').Browser} browser */
export async function keyboard(browser) {
  const context = await browser.newContext(DESK);

  await check('shortcuts and signs follow what is printed on the keys, letters their place', async () => {
    await server.host('POST', '/api/canvases', { id: 'layouts', name: 'Layouts', width: 50, height: 50 });
    const page = await open(context, 'layouts', `/c/layouts${AT}`);
    const { x, y } = spot(page, 20, 20);
    await page.mouse.click(x, y);
    await until('stored', async () => is(VERMILION)(await stored(20, 20, 'layouts')));
    await press(page, { key: 'w', code: 'KeyZ', ctrlKey: true }); // French: that closes the window, and undoes nothing.
    assert.equal(await page.locator('#redo').isVisible(), false);
    await press(page, { key: 'z', code: 'KeyY', ctrlKey: true }); // German
    await until('undone', async () => is(WHITE)(await stored(20, 20, 'layouts')));
    await press(page, { key: 'Z', code: 'KeyW', ctrlKey: true, shiftKey: true }); // French
    await until('done again', async () => is(VERMILION)(await stored(20, 20, 'layouts')));
    await press(page, { key: 'я', code: 'KeyZ', ctrlKey: true }); // Russian: no Latin letter is printed there.
    await until('undone', async () => is(WHITE)(await stored(20, 20, 'layouts')));
    const zoom = async () => Number(new URLSearchParams((await page.evaluate(() => location.hash)).slice(1)).get('zoom'));
    await press(page, { key: '+', code: 'BracketRight' });
    await until('closer', async () => await zoom() > 12);
    await press(page, { key: '-', code: 'Slash' });
    await press(page, { key: '-', code: 'Slash' });
    await until('farther', async () => await zoom() < 12);
    await page.close();
  });

  await check('Tab and arrows reach the colours that were picked before', async () => {
    const page = await open(context, 'recent', `/c/layouts${AT}`);
    for (const color of ['#123456', '#654321']) await page.locator('#picker').fill(color);
    await page.keyboard.press('Digit1');
    await page.locator('canvas').first().focus();
    const place = () => page.evaluate(() => /** @type {HTMLElement | null} */ (document.activeElement?.closest('#recent .ink'))?.dataset.color);
    for (let tabs = 0; tabs < 30 && await place() === undefined; tabs += 1) await page.keyboard.press('Tab');
    assert.equal(await place(), '#654321');
    await page.keyboard.press('ArrowRight');
    assert.equal(await place(), '#123456');
    assert.equal(await page.locator('#recent [aria-checked=true]').getAttribute('data-color'), '#123456');
    await page.close();
  });

  await check('a sheet stays while one presses inside of it or types a question mark, and leaves when one presses beside it', async () => {
    const page = await open(context, 'sheets', `/c/layouts${AT}`);
    const isOpen = (/** @type {string} */ id) => page.evaluate((name) => document.querySelector(name)?.hasAttribute('open') === true, id);
    await page.locator('#count').click();
    const box = await page.locator('#sheet').boundingBox();
    assert.ok(box !== null);
    await page.mouse.click(box.x + 6, box.y + 100);
    assert.equal(await isOpen('#sheet'), true, 'its padding');
    await page.mouse.move(box.x + 60, box.y + 100);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width + 90, box.y + 100, { steps: 3 });
    await page.mouse.up();
    assert.equal(await isOpen('#sheet'), true, 'a drag that ends beside it');
    await page.mouse.click(box.x + box.width + 90, box.y + 100);
    await until('closed', async () => !await isOpen('#sheet'));
    await page.locator('#count').click();
    await page.locator('#open-template').click();
    await until('the template has its sheet', () => isOpen('#template-sheet'));
    await page.keyboard.press('Shift+?');
    assert.equal(await isOpen('#sheet'), false, 'over another sheet');
    await page.keyboard.press('Escape');
    await page.locator('#count').focus();
    await page.keyboard.press('Shift+?');
    assert.equal(await isOpen('#sheet'), true);
    await page.close();
  });

  await context.close();
}
