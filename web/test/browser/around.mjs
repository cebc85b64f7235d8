/** What lies around the board: tick boxes, the card, the host's sheet, the canvas alone, the list of canvases, the sheet of keys. */

import assert from 'node:assert/strict';

import {
  DESK, PHONE, VERMILION, check, inState, is, longPress, open, server, setOutage, shown, spot, stored, touch, unhindered, until, watch,
} from './harness.mjs';
import { Wire } from './wire.mjs';

const AT = '#x=25&y=25&zoom=12';
const WHITE = [255, 255, 255];

/** @typedef {import('playwright-core').BrowserContext} Context */

/** @param {import('playwright-core').Browser} browser */
export async function around(browser) {
  const desk = await browser.newContext(DESK);
  const hand = await browser.newContext(PHONE);
  await access(desk, hand);
  await card(desk, hand);
  await host(desk, hand);
  await alone(desk);
  await start(desk, hand);
  await Promise.all([desk.close(), hand.close()]);
}

/** @param {Context} desk @param {Context} hand */
async function access(desk, hand) {
  await check('the board is a grid whose cell says where one is, and only one’s own doing is live', async () => {
    const page = await open(desk, 'grid', `/${AT}`);
    const board = page.locator('canvas').first();
    await board.focus();
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('Shift+ArrowDown');
    const grid = await board.evaluate((element) => ({
      role: element.getAttribute('role'), columns: element.getAttribute('aria-colcount'),
      active: document.getElementById(element.getAttribute('aria-activedescendant') ?? '')?.textContent,
      row: element.querySelector('[role=row]')?.getAttribute('aria-rowindex'), column: element.querySelector('[role=gridcell]')?.getAttribute('aria-colindex'),
      live: [...document.querySelectorAll('[aria-live], [role=status], [role=alert]')].map(({ id }) => id),
    }));
    const { active, ...fixed } = grid;
    assert.match(active ?? '', /^25, 33: /u);
    assert.deepEqual(fixed, { role: 'grid', columns: '50', row: '34', column: '26', live: ['announcer'] });
    await page.close();
  });

  await check('colours have letters when they are wanted, on the next visit too', async () => {
    const page = await open(desk, 'letters', `/${AT}`);
    const letters = () => page.locator('#inks .ink').nth(2).evaluate((ink) => getComputedStyle(ink, '::before').content);
    assert.equal(await letters(), 'none');
    await page.locator('#count').click();
    await page.locator('#letters').check();
    assert.match(await letters(), /upper-alpha/u);
    await unhindered(page);
    await page.reload();
    assert.match(await letters(), /upper-alpha/u);
    await page.locator('#count').click();
    await page.locator('#letters').uncheck();
    await page.close();
  });

  await check('offline, and where nothing is, nobody is hindered either', async () => {
    const wire = new Wire(server.url);
    await wire.start();
    const page = await open(desk, 'offline', `/${AT}`, wire.url);
    setOutage(true);
    wire.cut();
    await desk.setOffline(true);
    await inState(page, 'offline');
    await unhindered(page);
    await desk.setOffline(false);
    for (const context of [desk, hand]) {
      const nothing = await context.newPage();
      watch(nothing, 'nothing');
      await nothing.goto(`${server.url}/nothing/here`);
      await unhindered(nothing);
      await nothing.close();
    }
    await page.close();
    wire.stop();
    setOutage(false);
  });

  await check('in the hand nothing that is touched is under 44 px, and no text is under 14 px', async () => {
    const page = await open(hand, 'sizes', '/');
    for (const sheet of [false, true]) {
      if (sheet) await page.locator('#count').click();
      const small = await page.evaluate(() => {
        const seen = (/** @type {Element} */ element) => element.checkVisibility({ visibilityProperty: true }) && !element.closest('.heard');
        const touched = [...document.querySelectorAll('button, a, input, [role=radio]')].filter((element) => seen(element) && !element.closest('label')?.matches('.check, .ink'));
        const labels = [...document.querySelectorAll('label.check, label.ink')].filter(seen);
        const targets = [...touched, ...labels].map((element) => ({ what: element.id || element.textContent, ...element.getBoundingClientRect().toJSON() }));
        const words = [...document.querySelectorAll('body *')].filter((element) => seen(element) && [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent?.trim() !== ''));
        return [
          ...targets.filter(({ width, height }) => width < 44 || height < 44).map(({ what, width, height }) => `${what} ${width} × ${height}`),
          ...words.filter((element) => Number.parseFloat(getComputedStyle(element).fontSize) < 14).map((element) => `small: ${element.textContent}`),
        ];
      });
      assert.deepEqual(small, []);
    }
    await page.close();
  });
}

/** @param {Context} desk @param {Context} hand */
async function card(desk, hand) {
  await server.host('POST', '/api/canvases', { id: 'signed', width: 50, height: 50 });
  const [one, two] = [await open(desk, 'card', `/c/signed${AT}`), await open(hand, 'card in the hand', `/c/signed${AT}`)];
  await Promise.all([one, two].map((page) => page.locator('#card').waitFor({ state: 'attached' })));
  await one.locator('#name').fill('Hiroshige <i>');
  await one.keyboard.press('Enter');
  await until('the name is known', async () => (await two.locator('#people').textContent())?.includes('Hiroshige <i>'));
  await one.keyboard.press('Digit8');
  const ochre = spot(one, 22, 22);
  await one.mouse.click(ochre.x, ochre.y);
  await until('painted', async () => is([0xf5, 0xc3, 0x2c])(await stored(22, 22, 'signed')));
  const chosen = (/** @type {import('playwright-core').Page} */ page) => page.locator('#inks [aria-checked=true]').getAttribute('data-color');

  await check('a rest of the pointer opens the card of a pixel, on blank paper it opens nothing', async () => {
    await one.keyboard.press('Digit1');
    const blank = spot(one, 30, 30);
    await one.mouse.move(blank.x, blank.y);
    await one.mouse.move(ochre.x, ochre.y);
    await one.locator('#card').waitFor();
    assert.match(await one.locator('#card').textContent() ?? '', /^Hiroshige <i>just now22, 22/u);
    await unhindered(one);
    await one.getByText('Use this colour').click();
    assert.equal(await chosen(one), '#F5C32C');
    assert.equal(await one.locator('#card').isVisible(), false);
  });

  await check('a long press opens the card and paints nothing, a tap still paints', async () => {
    const [painted, blank] = [spot(two, 22, 22), spot(two, 30, 22)];
    await touch(two, longPress(painted));
    await two.locator('#card').waitFor();
    await unhindered(two);
    await two.getByText('Use this colour').click();
    assert.equal(await chosen(two), '#F5C32C');
    await touch(two, longPress(blank));
    await two.locator('#card').getByText('Nobody yet').waitFor();
    assert.ok(is(WHITE)((await shown(two, [[30, 22]]))[0]), 'a long press painted');
    const tapped = spot(two, 20, 26);
    await two.touchscreen.tap(tapped.x, tapped.y);
    await until('stored', async () => is([0xf5, 0xc3, 0x2c])(await stored(20, 26, 'signed')));
    assert.ok(is(WHITE)(await stored(30, 22, 'signed')), 'a long press was sent');
  });

  await check('who walks the board with the keyboard hears colour and painter', async () => {
    await one.mouse.move(5, 895);
    await one.locator('canvas').first().focus();
    // The cursor is where was painted last.
    for (const key of ['ArrowLeft', 'ArrowRight']) await one.keyboard.press(key);
    await until('it is announced', async () => (await one.locator('#announcer').textContent()) === '22, 22: yellow, painted by Hiroshige <i>, just now.');
    await Promise.all([one.close(), two.close()]);
  });
}

/** @param {Context} desk @param {Context} hand */
async function host(desk, hand) {
  await server.host('POST', '/api/canvases', { id: 'hosted', name: 'Hosted & <b>kept</b>', width: 50, height: 50 });
  const page = await open(desk, 'host', `/c/hosted${AT}`);
  const sheet = page.locator('#host-sheet');
  const canvas = async () => (await fetch(`${server.url}/api/canvases/hosted`)).json();

  await check('the host’s sheet refuses a wrong token in words, takes the right one and keeps it for the session', async () => {
    await page.locator('#count').click();
    await page.locator('#open-host').click();
    await sheet.waitFor();
    await unhindered(page);
    setOutage(true);
    await sheet.locator('input').fill('not the token');
    await page.keyboard.press('Enter');
    await until('it says so', async () => /not this server’s token/u.test(await sheet.textContent() ?? ''));
    setOutage(false);
    await sheet.locator('input').fill(` ${server.adminToken}\n`);
    await page.keyboard.press('Enter');
    await sheet.getByText('Freeze the canvas').waitFor();
    await unhindered(page);
    await page.reload();
    await page.locator('#count').click();
    await page.locator('#open-host').click();
    await sheet.getByText('Freeze the canvas').waitFor();
    assert.equal(await page.evaluate((token) => JSON.stringify(localStorage).includes(token), server.adminToken), false);
  });

  await check('the host freezes, thaws and slows the canvas down', async () => {
    await sheet.getByText('Freeze the canvas').click();
    await until('frozen', async () => (await canvas()).frozen === true);
    await sheet.getByText('Let them paint again').click();
    await until('thawed', async () => (await canvas()).frozen === false);
    await sheet.getByText('Freeze the canvas').waitFor();
    await sheet.getByLabel('Seconds a pixel').first().fill('1.5');
    await sheet.getByLabel('Saved up at most').fill('7');
    await sheet.getByText('Set the cooldown').click();
    await until('slow', async () => { const { cooldown_ms: ms, charges_max: most } = await canvas(); return ms === 1_500 && most === 7; });
    await until('the page follows', async () => await page.locator('#cooldown').isVisible());
    await sheet.getByLabel('Seconds a pixel').first().fill('0');
    await sheet.getByText('Set the cooldown').click();
    await until('quick again', async () => (await canvas()).cooldown_ms === 0);
  });

  await check('the host makes a canvas, and what the server refuses is said', async () => {
    setOutage(true);
    await sheet.getByLabel('Address, after /c/').fill('hosted');
    await sheet.getByText('Make it', { exact: true }).click();
    await until('it is taken', async () => /there is a canvas hosted already/u.test(await sheet.textContent() ?? ''));
    setOutage(false);
    await sheet.getByLabel('Address, after /c/').fill('fresh');
    await sheet.getByLabel('Colours').fill('#FFFFFF, #1C1917\n#D9392B');
    await sheet.getByText('Make it', { exact: true }).click();
    await sheet.getByRole('link', { name: '/c/fresh' }).waitFor();
    assert.deepEqual((await (await fetch(`${server.url}/api/canvases/fresh`)).json()).palette, ['#FFFFFF', '#1C1917', '#D9392B']);
    const picture = await fetch(server.url + await sheet.getByRole('link', { name: 'Take the picture home' }).getAttribute('href'));
    assert.equal(picture.headers.get('content-type'), 'image/png');
  });

  await check('the host starts the canvas over, after typing its name and not before', async () => {
    await page.keyboard.press('Escape');
    const { x, y } = spot(page, 20, 20);
    await page.mouse.click(x, y);
    await until('painted', async () => is(VERMILION)(await stored(20, 20, 'hosted')));
    await page.locator('#count').click();
    await page.locator('#open-host').click();
    const button = sheet.getByText('Make it blank');
    await sheet.getByLabel('everything painted here is gone').fill('Hosted');
    assert.equal(await button.isDisabled(), true);
    await sheet.getByLabel('everything painted here is gone').fill('Hosted & <b>kept</b>');
    await button.click();
    await until('blank', async () => is(WHITE)(await stored(20, 20, 'hosted')));
    await sheet.getByText('Forget the token').click();
    await sheet.getByLabel('Admin token').waitFor();
    await page.close();
  });

  await check('in the hand the host’s sheet is one sheet, and nothing in it is small', async () => {
    const phone = await hand.newPage();
    watch(phone, 'host in the hand');
    await phone.addInitScript((token) => sessionStorage.setItem('pixel-playground.host', token), server.adminToken);
    await phone.goto(`${server.url}/c/hosted`);
    await phone.locator('#count').click();
    await phone.locator('#open-host').click();
    await phone.getByText('Freeze the canvas').waitFor();
    await unhindered(phone);
    await phone.close();
  });
}

/** @param {Context} desk */
async function alone(desk) {
  await check('?bare shows the live canvas alone, and nobody paints there', async () => {
    await server.host('POST', '/api/canvases', { id: 'wall', width: 50, height: 50 });
    const wall = await open(desk, 'wall', `/c/wall?bare${AT}`);
    for (const part of ['#header', '#tools', '#status', '#hint']) assert.equal(await wall.locator(part).isVisible(), false, part);
    await unhindered(wall);
    const before = await server.pixels('wall');
    const here = spot(wall, 22, 22);
    await wall.mouse.click(here.x, here.y);
    for (const key of ['ArrowRight', 'Enter', 'Space', 'Control+z', '?']) await wall.keyboard.press(key);
    const painter = await open(desk, 'painter', `/c/wall${AT}`);
    const there = spot(painter, 28, 28);
    await painter.mouse.click(there.x, there.y);
    await until('the wall shows it', async () => is(VERMILION)((await shown(wall, [[28, 28]]))[0]));
    const after = await server.pixels('wall');
    const changed = before.reduce((count, part, index) => count + Number(part !== after[index]), 0);
    assert.equal(changed, 3, 'one pixel, and not the wall’s');
    await Promise.all([wall.close(), painter.close()]);
  });
}

/** @param {Context} desk @param {Context} hand */
async function start(desk, hand) {
  await check('the start page lists the canvases, and the sheet leads there', async () => {
    const page = await desk.newPage();
    watch(page, 'start');
    await page.goto(server.url);
    await page.locator('#count').click();
    await page.locator('#all-canvases').click();
    await page.waitForURL(`${server.url}/canvases`);
    const names = page.locator('#canvases strong');
    await until('all are there', async () => (await names.allTextContents()).includes('Hosted & <b>kept</b>'));
    assert.equal((await names.allTextContents())[0], 'main');
    await until('a print is drawn', () => page.locator('#canvases img').first().evaluate((image) => /** @type {HTMLImageElement} */ (image).naturalWidth > 0));
    await unhindered(page);
    await page.getByText('wall').click();
    await page.waitForURL(`${server.url}/c/wall`);
    await page.close();
    const phone = await hand.newPage();
    watch(phone, 'start in the hand');
    await phone.goto(`${server.url}/canvases`);
    await phone.locator('#canvases a').first().waitFor();
    assert.equal(await phone.evaluate(() => document.documentElement.scrollWidth), 390);
    await unhindered(phone);
    await phone.close();
  });
  await check('? shows all keys, Escape leads back to the board, and the phone on its side has the name in the sheet', async () => {
    const page = await open(desk, 'keys', `/${AT}`);
    await page.keyboard.press('?');
    await page.locator('#sheet').waitFor();
    assert.ok(await page.locator('#sheet kbd').count() > 20);
    assert.deepEqual(await page.locator('#sheet dd').evaluateAll((words) => words.filter((word) => word.textContent === '').length), 0);
    await page.keyboard.press('Escape');
    assert.equal(await page.evaluate(() => document.activeElement?.id), 'board');
    await page.setViewportSize({ width: 667, height: 375 });
    await until('the name is in the sheet', () => page.evaluate(() => document.querySelector('#sheet-name input') !== null));
    await page.locator('#count').click();
    assert.equal(await page.locator('#name').isVisible(), true);
    await unhindered(page);
    await page.close();
  });

  await check('the page can be installed: manifest and icons are there, and the page of nothing leads to the canvas', async () => {
    const page = await desk.newPage();
    const answer = await page.goto(`${server.url}/nothing/here`);
    assert.equal(answer?.status(), 404);
    assert.equal(answer?.headers()['content-security-policy']?.includes("default-src 'none'"), true);
    await unhindered(page);
    await page.locator('a').click();
    await page.locator('#board').waitFor();
    const links = await page.locator('link[rel~=icon], link[rel=apple-touch-icon], link[rel=manifest]').evaluateAll((all) => all.map((link) => /** @type {HTMLLinkElement} */ (link).href));
    assert.equal(links.length, 3);
    const manifest = links.find((link) => link.endsWith('.webmanifest')) ?? '';
    const { icons, start_url: begins, display } = await (await fetch(manifest)).json();
    assert.deepEqual([begins, display], ['/', 'standalone']);
    for (const link of [...links, ...icons.map((/** @type {{ src: string }} */ { src }) => new URL(src, manifest).href)]) {
      assert.equal((await fetch(link)).status, 200, link);
    }
    await page.close();
  });
}
