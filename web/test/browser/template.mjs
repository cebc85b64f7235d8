/** Templates: laid, moved, painted after, shared; and every file that cannot be laid. */

import assert from 'node:assert/strict';

import { png } from '../png.mjs';
import { DESK, PHONE, check, is, open, server, spot, stored, touch, unhindered, until } from './harness.mjs';

const AT = '#x=25&y=25&zoom=12';
const INK = 0x1c1917;
const OCHRE = 0xf5c32c;
const GOOD = png(6, 4, (x, y) => (x === 5 && y === 3 ? null : x < 3 ? INK : OCHRE));

/** @typedef {import('playwright-core').Page} Page */

/** @param {Page} page */
async function openSheet(page) {
  await page.locator('#count').click();
  await page.locator('#open-template').click();
  await page.locator('#template-sheet').waitFor();
}

/** @param {Page} page @param {Buffer} buffer @param {string} [name] */
async function choose(page, buffer, name = 'flag.png') {
  await page.locator('#template-sheet input[type=file]').setInputFiles({ name, mimeType: 'image/png', buffer });
}

/** @param {Page} page @param {RegExp} words */
async function says(page, words) {
  await until(`the sheet says ${words}`, async () => words.test(await page.locator('#template-sheet').textContent() ?? ''));
}

/** Where the template lies, by the page's own address. @param {Page} page */
async function lies(page) {
  const fields = new URLSearchParams((await page.evaluate(() => location.hash)).slice(1));
  return ['tx', 'ty', 'tw', 'th'].map((name) => Number(fields.get(name)));
}

/** The address may follow a little later. @param {Page} page @param {number[]} place */
function comesToLie(page, place) {
  return until(`it lies at ${place}`, async () => (await lies(page)).join() === place.join());
}

/** Wrong and right pixels on the sheet's map. @param {Page} page */
function mapped(page) {
  return page.evaluate(() => {
    const map = /** @type {HTMLCanvasElement} */ (document.querySelector('#template-sheet .wrong'));
    const { data } = /** @type {CanvasRenderingContext2D} */ (map.getContext('2d')).getImageData(0, 0, map.width, map.height);
    let [wrong, right] = [0, 0];
    for (let at = 0; at < data.length; at += 4) {
      wrong += Number(data[at + 3] > 0 && data[at] < 128);
      right += Number(data[at + 3] > 0 && data[at] >= 128);
    }
    return [wrong, right];
  });
}

/** How much of the layer is painted. @param {Page} page */
function covered(page) {
  return page.evaluate(() => {
    const layer = /** @type {HTMLCanvasElement} */ (document.querySelector('#template'));
    const { data } = /** @type {CanvasRenderingContext2D} */ (layer.getContext('2d')).getImageData(0, 0, layer.width, layer.height);
    let count = 0;
    for (let at = 3; at < data.length; at += 4) count += Number(data[at] > 0);
    return count;
  });
}

/** @param {import('playwright-core').Browser} browser */
export async function template(browser) {
  const [desk, hand] = [await browser.newContext(DESK), await browser.newContext(PHONE)];
  await server.host('POST', '/api/canvases', { id: 'stencil', width: 50, height: 50 });
  const page = await open(desk, 'template', `/c/stencil${AT}`);

  await check('what cannot be laid is said calmly, and the page goes on', async () => {
    await openSheet(page);
    await unhindered(page);
    for (const [buffer, words] of /** @type {[Buffer, RegExp][]} */ ([
      [png(50_000, 50_000, null), /50,000 × 50,000 pixels/u],
      [png(20, 20, null), /damaged/u],
      [Buffer.concat([GOOD.subarray(0, 50), Buffer.alloc(60, 7)]), /damaged/u],
      [Buffer.from('<svg xmlns="http://www.w3.org/2000/svg"/>'), /no picture that this page reads/u],
      [Buffer.alloc(0), /no picture that this page reads/u],
      [png(3, 3, () => null), /all of it is transparent/u],
      [Buffer.alloc(33 * 1_024 * 1_024), /more than 32 MiB/u],
    ])) {
      await choose(page, buffer, '<img src=x onerror=alert(1)>.png');
      await says(page, words);
    }
  });

  await check('a picture is laid in the middle of the view, and moved by mouse, fingers, keys and numbers', async () => {
    await choose(page, GOOD);
    await says(page, /0 of 23 right/u);
    await unhindered(page);
    assert.deepEqual(await lies(page), [23, 24, 6, 4]);
    await until('it is drawn', async () => await covered(page) > 23 * 144 * 0.9);
    await page.getByText('Move it by hand').click();
    const [from, to] = [spot(page, 24, 24), spot(page, 14, 19)];
    const before = await server.pixels('stencil');
    await page.mouse.move(from.x, from.y);
    await page.mouse.down();
    await page.mouse.move(to.x, to.y, { steps: 4 });
    await page.mouse.up();
    await comesToLie(page, [13, 19, 6, 4]);
    await unhindered(page);
    for (const key of ['ArrowLeft', 'Shift+ArrowDown']) await page.keyboard.press(key);
    await comesToLie(page, [12, 27, 6, 4]);
    assert.equal(await page.locator('#announcer').textContent(), 'The template lies at 12, 27.');
    await page.keyboard.press('Enter');
    await page.getByLabel('From the left').fill('30');
    await page.keyboard.press('Tab');
    await page.getByLabel('Width').fill('12');
    await page.keyboard.press('Tab');
    await comesToLie(page, [30, 27, 12, 8]);
    await page.getByLabel('Width').fill('6');
    await page.keyboard.press('Tab');
    assert.deepEqual(await server.pixels('stencil'), before, 'nothing was painted meanwhile');
    for (const [style, most] of /** @type {const} */ ([['Dots', 0.4], ['Letters', 1], ['1:1', 1.2]])) {
      await page.locator('#template-sheet').getByText(style, { exact: true }).click();
      await until(`${style} is drawn`, async () => { const part = await covered(page) / (23 * 144); return part > 0.05 && part < most; });
      await unhindered(page);
    }
    const alpha = () => page.evaluate(() => Number(getComputedStyle(/** @type {Element} */ (document.querySelector('#template'))).opacity));
    await page.getByLabel('Opacity').fill('20');
    await until('it is fainter', async () => await alpha() === 0.2);
    await page.getByLabel('Opacity').fill('60');
    await page.getByText('Move it by hand').click();
    await openSheet(page);
    await page.keyboard.press('Escape');
    const { x, y } = spot(page, 14, 14);
    await page.mouse.click(x, y);
    await until('whoever opened its sheet moves it no longer, and paints', async () => is([0xd9, 0x39, 0x2b])(await stored(14, 14, 'stencil')));
    await openSheet(page);
  });

  await check('the next wrong pixel comes with its colour, and progress and map follow the paint', async () => {
    await until('all of the map is wrong', async () => (await mapped(page)).join() === '23,0');
    await page.getByRole('button', { name: 'Next wrong pixel' }).click();
    const wrong = async () => /^(?<x>\d+), (?<y>\d+): /u.exec(await page.locator('#announcer').textContent() ?? '')?.groups ?? {};
    const { x, y } = await wrong();
    assert.ok(Number(x) >= 30 && Number(x) < 36 && Number(y) >= 27 && Number(y) < 31, `${x}, ${y}`);
    await page.keyboard.press('Enter');
    for (let left = 22; left > 0; left -= 1) {
      await page.keyboard.press('n');
      await page.keyboard.press('Enter');
    }
    await until('all of it is painted', async () => is([0x1c, 0x19, 0x17])(await stored(30, 27, 'stencil')) && is([0xf5, 0xc3, 0x2c])(await stored(35, 29, 'stencil')));
    assert.ok(is([255, 255, 255])(await stored(35, 30, 'stencil')), 'what is transparent wants nothing');
    await page.keyboard.press('n');
    await until('there is none', async () => /Nothing is wrong/u.test(await page.locator('#sentence').textContent() ?? ''));
    await openSheet(page);
    await says(page, /23 of 23 right, 100 %/u);
    await until('all of the map is right', async () => (await mapped(page)).join() === '0,23');
  });

  await check('it is still there after a reload, and a friend with the same file sees the same', async () => {
    const link = await page.getByLabel('Link').inputValue();
    const lift = async (/** @type {string} */ top) => {
      await page.getByLabel('From the top').fill(top);
      await page.keyboard.press('Tab');
    };
    await lift('26');
    await page.reload(); // At once.
    await comesToLie(page, [30, 26, 6, 4]);
    await openSheet(page);
    await lift('27');
    await comesToLie(page, [30, 27, 6, 4]);
    await page.keyboard.press('Escape');
    await until('it is drawn again', async () => await page.locator('#template').count() > 0 && await covered(page) > 0);
    const friend = await open(hand, 'friend', new URL(link).pathname + new URL(link).hash);
    await until('the friend is asked for the file', async () => /A template of 6 × 4 lies at 30, 27/u.test(await friend.locator('#strip').textContent() ?? ''));
    await unhindered(friend);
    await friend.getByRole('button', { name: 'Choose it' }).click();
    await friend.locator('#template-sheet').waitFor();
    await unhindered(friend);
    await choose(friend, png(2, 2, () => OCHRE), 'other.png');
    await says(friend, /another file than the link names/u);
    await friend.goto('about:blank');
    await friend.goto(link.replace(/^https?:\/\/[^/]+/u, server.url));
    await friend.getByRole('button', { name: 'Choose it' }).click();
    await choose(friend, GOOD);
    await says(friend, /23 of 23 right/u);
    assert.deepEqual(await lies(friend), [30, 27, 6, 4]);
    await unhindered(friend);
    await friend.getByText('Move it by hand').click();
    const { x, y } = await friend.evaluate(() => ({ x: innerWidth / 2, y: innerHeight / 2 }));
    await touch(friend, [[{ x, y }], [{ x: x + 15, y }], [{ x: x + 30, y: y + 20 }], []]);
    await friend.getByRole('button', { name: 'Done' }).click();
    const [tx, ty] = await lies(friend);
    assert.ok(tx > 30 && ty > 27, `${tx}, ${ty}`);
    await friend.getByText('Take it away').click();
    await says(friend, /Choose a file/u);
    assert.equal(await friend.evaluate(() => location.hash.includes('template')), false);
    await friend.close();
  });

  await server.host('POST', '/api/canvases', { id: 'followed', width: 50, height: 50 });
  await check('however long it is dragged, the browser takes few new addresses, and the link is right at the end', async () => {
    const dragged = await open(desk, 'dragged', `/c/followed${AT}`);
    await openSheet(dragged);
    await choose(dragged, GOOD);
    await says(dragged, /0 of 23 right/u);
    await dragged.getByText('Move it by hand').click();
    await dragged.evaluate(() => {
      const { replaceState } = history;
      Object.assign(window, { addresses: 0 });
      history.replaceState = (...state) => {
        Object.assign(window, { addresses: Number(Reflect.get(window, 'addresses')) + 1 });
        replaceState.apply(history, state);
      };
    });
    const [left, right] = [spot(dragged, 24, 25), spot(dragged, 44, 25)];
    await dragged.mouse.move(left.x, left.y);
    await dragged.mouse.down();
    for (let times = 0; times < 5; times += 1) {
      const { x, y } = times % 2 === 0 ? right : left;
      await dragged.mouse.move(x, y, { steps: 20 });
    }
    await dragged.mouse.up();
    await dragged.getByRole('button', { name: 'Done' }).click();
    const link = new URL(await dragged.getByLabel('Link').inputValue());
    assert.equal(new URLSearchParams(link.hash.slice(1)).get('tx'), '43');
    assert.deepEqual(await lies(dragged), [43, 24, 6, 4]);
    const addresses = await dragged.evaluate(() => Number(Reflect.get(window, 'addresses')));
    assert.ok(addresses < 20, `${addresses} addresses`);
    await dragged.close();
  });

  await check('in the hand the sheet says itself what comes of it, and follows the numbers', async () => {
    const held = await open(hand, 'held', `/c/followed${AT}`);
    await held.setViewportSize({ width: 390, height: 700 });
    await openSheet(held);
    await choose(held, png(3, 3, () => 0xffffff), 'ליל (2).png');
    await says(held, /9 of 9 right, 100 %/u);
    const sheet = held.locator('#template-sheet');
    const next = sheet.getByRole('button', { name: 'Next wrong pixel' });
    /** @param {import('playwright-core').Locator} button @param {RegExp} words */
    const besides = async (button, words) => {
      await button.click();
      const answer = sheet.locator('.outcome').filter({ hasText: words });
      await answer.waitFor();
      const [above, below] = await Promise.all([button, answer].map((element) => element.boundingBox()));
      assert.ok(above !== null && below !== null && below.y >= above.y && below.y - above.y < 100, `${words} is said elsewhere`);
    };
    await besides(next, /Nothing is wrong/u);
    const change = async (/** @type {string} */ name, /** @type {string} */ value) => {
      await held.getByLabel(name).fill(value);
      await held.keyboard.press('Tab');
    };
    const shared = async () => new URLSearchParams(new URL(await held.getByLabel('Link').inputValue()).hash.slice(1));
    await change('From the left', '-500');
    await says(held, /0 of 0 right/u);
    assert.doesNotMatch(await sheet.textContent() ?? '', /Nothing is wrong/u);
    assert.equal((await shared()).get('tx'), '-500');
    await besides(next, /lies outside of the canvas/u);
    await change('From the left', '');
    assert.equal(await held.getByLabel('From the left').inputValue(), '-500');
    await change('From the left', '10');
    await change('Width', '');
    assert.equal(await held.getByLabel('Width').inputValue(), '3');
    await change('Width', '6');
    await says(held, /ליל \(2\)\.png · 6 × 6.*36 of 36 right, 100 %/u);
    assert.deepEqual([(await shared()).get('tx'), (await shared()).get('tw')], ['10', '6']);
    await besides(sheet.getByRole('button', { name: 'Copy the link' }), /The link is (?:copied|marked)/u);
    await unhindered(held);
    await held.close();
  });

  await check('another place in the address leaves the template in it, and a hidden one is not painted after', async () => {
    await server.host('POST', '/api/canvases', { id: 'edited', width: 50, height: 50 });
    const edited = await open(desk, 'edited', `/c/edited${AT}`);
    await openSheet(edited);
    await choose(edited, GOOD);
    await says(edited, /0 of 23 right/u);
    const place = await lies(edited);
    await edited.evaluate(() => { location.hash = '#x=10&y=10&zoom=20'; });
    await comesToLie(edited, place);
    assert.match(await edited.evaluate(() => location.hash), /x=10&y=10/u);
    const chosen = () => edited.locator('#inks [aria-checked=true]').getAttribute('data-color');
    const before = await chosen();
    await edited.getByText('Hide it').click();
    assert.equal((await edited.getByLabel('Link').inputValue()).includes('template'), false);
    await edited.keyboard.press('Escape');
    await edited.locator('#board').focus();
    await edited.keyboard.press('n');
    assert.equal(await chosen(), before);
    assert.doesNotMatch(await edited.locator('#announcer').textContent() ?? '', /^\d+, \d+: /u);
    await openSheet(edited);
    await edited.getByText('Show it').click();
    await edited.keyboard.press('Escape');
    await edited.locator('#board').focus();
    await edited.keyboard.press('n');
    await until('its colour is in hand', async () => await chosen() !== before);
    await edited.close();
  });

  await check('a picture that is let go over the page is laid; what another link asks for is no longer asked', async () => {
    const other = await open(desk, 'dropped', `/c/stencil${AT}&template=fedcba9876543210&tx=1&ty=1&tw=2&th=2`);
    await other.getByRole('button', { name: 'Choose it' }).waitFor();
    await other.evaluate((bytes) => {
      const data = new DataTransfer();
      data.items.add(new File([Uint8Array.from(bytes)], 'flag.png', { type: 'image/png' }));
      for (const type of ['dragover', 'drop']) document.body.dispatchEvent(new DragEvent(type, { dataTransfer: data, bubbles: true, cancelable: true }));
    }, [...GOOD]);
    await says(other, /flag\.png · 6 × 4/u);
    await other.keyboard.press('Escape');
    assert.equal(await other.locator('#strip').isVisible(), false);
    await other.close();
  });

  await check('nonsense in the link, and a browser that keeps nothing, are survived', async () => {
    const strange = await open(hand, 'strange', '/c/stencil#template=%3Cb%3E&tx=1e9&ty=&tw=-1&th=NaN');
    await strange.evaluate(() => { location.hash = 'template=0123456789abcdef&tx=0&ty=0&tw=65536&th=65536'; });
    await strange.evaluate(() => { location.hash = 'template=0123456789abcdef&tx=0&ty=0&tw=2&th=2'; });
    await strange.getByRole('button', { name: 'Choose it' }).waitFor();
    await strange.close();
    const context = await browser.newContext(DESK);
    await context.addInitScript(() => {
      const refuse = () => { throw new DOMException('no', 'SecurityError'); };
      Object.defineProperty(window, 'indexedDB', { get: refuse });
      Object.defineProperty(window, 'localStorage', { get: refuse });
      Object.defineProperty(window, 'sessionStorage', { get: refuse });
    });
    const forbidden = await open(context, 'forbidden', `/c/stencil${AT}`);
    await openSheet(forbidden);
    await choose(forbidden, GOOD);
    await says(forbidden, /keeps no files right now/u);
    await says(forbidden, /0 of 23 right/u);
    await context.close();
  });
  await Promise.all([desk.close(), hand.close()]);
}
