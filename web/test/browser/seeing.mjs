/** Seeing: zoom, pan, glide, map, place in the URL; many chunks, many placements, many pages, one picture. */

import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';

import { texts } from '../../texts.js';
import { frames, summary } from '../frames.mjs';
import { Server } from '../server.mjs';
import { DESK, PHONE, agrees, check, inState, obstacles, open, server, spot, touch, until, watch } from './harness.mjs';

const AT = '#x=25&y=25&zoom=12';
/** How long frames are recorded. */
const RECORD_MS = 2_500;
/** Placements in one request, and how often one is made: 1,000 a second. */
const BATCH = 50;
const BATCH_INTERVAL_MS = 50;

/** @typedef {import('playwright-core').Page} Page */

/** Where the page says it looks, when it has rested. @param {Page} page */
function place(page) {
  return page.evaluate(() => Object.fromEntries([...new URLSearchParams(location.hash.slice(1))].map(([name, value]) => [name, Number(value)])));
}

/** @param {Page} page @param {string} what @param {(place: Record<string, number>) => boolean} holds */
async function looks(page, what, holds) {
  await until(what, async () => holds(await place(page)));
}

/** @param {string} what @param {Parameters<typeof summary>[0]} recorded */
function report(what, recorded) {
  const { count, p50, p95, longest, late } = summary(recorded);
  console.log(`        ${what}: ${count} frames, median ${p50.toFixed(1)} ms, 95% ${p95.toFixed(1)} ms, longest ${longest.toFixed(1)} ms, ${late.toFixed(0)}% over 16.7 ms`);
}

/** Every pixel that a page shows of a 50×50 canvas, beside the API's picture. @param {Page} page @param {string} id */
export function differences(page, id) {
  const cells = Array.from({ length: 40 * 50 }, (_, index) => [index % 50, 5 + Math.floor(index / 50)]);
  const points = cells.map(([x, y]) => ({ x, y, ...Object.fromEntries(Object.entries(spot(page, x, y)).map(([axis, value]) => [`at${axis}`, value])) }));
  return page.evaluate(async ({ picture, places }) => {
    const bitmap = await createImageBitmap(await (await fetch(picture, { cache: 'no-store' })).blob());
    const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
    const there = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext('2d'));
    there.drawImage(bitmap, 0, 0);
    const board = /** @type {HTMLCanvasElement} */ (document.querySelector('canvas'));
    const here = /** @type {CanvasRenderingContext2D} */ (board.getContext('2d'));
    const ratio = board.width / board.clientWidth;
    const all = there.getImageData(0, 0, bitmap.width, bitmap.height).data;
    const whole = here.getImageData(0, 0, board.width, board.height).data;
    return places.filter((place) => {
      const at = (Math.floor(Reflect.get(place, 'aty') * ratio) * board.width + Math.floor(Reflect.get(place, 'atx') * ratio)) * 4;
      const from = (place.y * bitmap.width + place.x) * 4;
      return [0, 1, 2].some((part) => whole[at + part] !== all[from + part]);
    }).length;
  }, { picture: `/api/canvases/${id}.png`, places: points });
}

/** @param {import('playwright-core').Browser} browser */
export async function seeing(browser) {
  const context = await browser.newContext(DESK);
  await server.host('POST', '/api/canvases', { id: 'wide', name: 'Wide', width: 1_200, height: 900 });

  await check('wheel, E, Q, + and - zoom where the pointer is, from the whole canvas to 50 pixels a cell', async () => {
    const page = await open(context, 'zoom', '/c/wide');
    const cellUnder = async () => (await page.locator('#place').textContent() ?? '').split(', ').map(Number);
    await page.mouse.move(500, 300);
    const before = await cellUnder();
    // From afar a screen's pixel is more than a cell.
    const stays = async () => (await cellUnder()).forEach((at, axis) => assert.ok(Math.abs(at - before[axis]) <= 2, `${before} became ${at}`));
    for (let turn = 0; turn < 4; turn += 1) await page.mouse.wheel(0, -120);
    await stays();
    await page.keyboard.press('KeyE');
    await page.keyboard.press('NumpadAdd');
    await page.keyboard.press('Minus');
    await stays();
    for (let turn = 0; turn < 40; turn += 1) await page.mouse.wheel(0, -240);
    await looks(page, 'the closest look', ({ zoom }) => zoom === 50);
    await stays();
    for (let turn = 0; turn < 40; turn += 1) await page.keyboard.press('KeyQ');
    await looks(page, 'the farthest look', ({ zoom }) => zoom < 1);
    await page.keyboard.press('KeyF');
    await until('a fitted view has no place', () => page.evaluate(() => location.hash === ''));
    await page.close();
  });

  await check('W, A, S and D move the sheet while they are held; a thrown sheet glides on and comes to rest', async () => {
    const page = await open(context, 'pan', '/c/wide#x=600&y=450&zoom=10');
    for (const [key, along, by] of /** @type {const} */ ([['KeyD', 'x', 1], ['KeyA', 'x', -1], ['KeyS', 'y', 1], ['KeyW', 'y', -1]])) {
      const before = await place(page);
      await page.keyboard.down(key);
      await pause(200);
      await page.keyboard.up(key);
      const across = along === 'x' ? 'y' : 'x';
      await looks(page, `${key} moved it`, (now) => (now[along] - before[along]) * by > 2 && now[across] === before[across]);
    }
    const from = await place(page);
    await page.mouse.move(900, 400);
    await page.mouse.down({ button: 'right' });
    for (let step = 1; step <= 8; step += 1) {
      await page.mouse.move(900 - step * 25, 400);
      await pause(8);
    }
    await page.mouse.up({ button: 'right' });
    await pause(1_500);
    await looks(page, 'it glided', ({ x }) => x - from.x > 22);
    const rest = await place(page);
    await pause(700);
    assert.deepEqual(await place(page), rest);
    await page.close();
  });

  await check('two fingers pinch, and the sheet stays between them', async () => {
    const hand = await browser.newContext(PHONE);
    const page = await open(hand, 'pinch', '/c/wide#x=600&y=450&zoom=4');
    const apart = (/** @type {number} */ by) => [{ x: 195 - by, y: 422 }, { x: 195 + by, y: 422 }];
    await touch(page, [[apart(40)[0]], apart(40), apart(60), apart(80), apart(120), []]);
    await looks(page, 'three times as close', ({ x, y, zoom }) => zoom > 10 && zoom < 14 && Math.abs(x - 600) < 4 && Math.abs(y - 450) < 4);
    await hand.close();
  });

  await check('the URL says where: its own names and those of others are read, nonsense is nothing', async () => {
    const page = await open(context, 'place', '/c/wide#x=100&y=200&scale=8&template=kept');
    await page.keyboard.press('KeyE');
    const middle = async () => (await page.locator('#place').textContent() ?? '').split(', ').map(Number);
    await looks(page, 'read', ({ x, y, zoom }) => Math.abs(x - 100) < 2 && Math.abs(y - 200) < 2 && zoom === 10);
    assert.match(await page.evaluate(() => location.hash), /template=kept/u);
    const at = (/** @type {number} */ x, /** @type {string} */ cell) => until(`${cell} at ${x}`, async () => {
      await page.mouse.move(x, 450);
      return (await middle()).join() === cell;
    });
    await page.mouse.move(720, 450);
    await until('a place', async () => (await middle()).length === 2);
    const [beforeX, beforeY] = await middle();
    for (const hash of ['#x=NaN&y=;drop', '#%%%', '#x=1e400&y=-1', `#${'9'.repeat(4_000)}`, '#x=<b>&y=1&zoom=-3']) {
      await page.evaluate((text) => { location.hash = text; }, hash);
      await at(730, `${beforeX + 1},${beforeY}`);
      await at(720, `${beforeX},${beforeY}`);
    }
    await page.evaluate(() => { location.hash = '#x=300&y=300&zoom=99999'; });
    await at(720, '300,300');
    await at(820, '302,300'); // At the closest a cell has 50 pixels.
    await page.goto(`${server.url}/c/wide?x=40&y=60&scale=20`);
    await inState(page);
    await at(720, '40,60');
    await at(740, '41,60');
    await page.close();
  });

  await check('a map is drawn to its end by itself', async () => {
    await server.host('POST', '/api/canvases', { id: 'mapped', name: 'Mapped', width: 1_000, height: 1_000 });
    const page = await open(context, 'mapped', '/c/mapped#x=500&y=500&zoom=20');
    const white = () => page.evaluate(() => {
      const map = /** @type {HTMLCanvasElement} */ (document.querySelector('#map canvas'));
      const { data } = /** @type {CanvasRenderingContext2D} */ (map.getContext('2d')).getImageData(0, 0, map.width, map.height);
      let count = 0;
      for (let at = 0; at < data.length; at += 4) if (data[at] === 255 && data[at + 1] === 255 && data[at + 2] === 255) count += 1;
      return count / (map.width * map.height);
    });
    // The mark hides the rest.
    await until('all of its sixteen chunks are there', async () => await white() > 0.97);
    await page.close();
  });

  await check('a large canvas has a map when it is not seen whole, and a press on it goes there', async () => {
    const page = await open(context, 'map', '/c/wide');
    assert.equal(await page.locator('#map').isVisible(), false);
    await page.mouse.move(720, 300);
    for (let turn = 0; turn < 12; turn += 1) await page.mouse.wheel(0, -240);
    await until('the map shows', () => page.locator('#map').isVisible());
    assert.deepEqual(await obstacles(page), []);
    const box = await page.locator('#map').boundingBox();
    assert.ok(box);
    await page.mouse.click(box.x + box.width * 0.75, box.y + box.height * 0.5);
    await looks(page, 'there', ({ x, y }) => Math.abs(x - 900) < 12 && Math.abs(y - 450) < 12);
    await page.close();
  });

  const roomy = new Server(['--rate-limit', 'off']);
  await roomy.start();
  await roomy.host('POST', '/api/canvases', { id: 'huge', name: 'Huge', width: 4_000, height: 4_000 });

  await check('of a huge canvas the chunks in view are loaded, the nearest first, and those far away are let go', async () => {
    const page = await context.newPage();
    watch(page, 'huge', roomy.url);
    /** @type {string[]} */
    const loaded = [];
    page.on('request', (request) => {
      const chunk = /\/chunks\/(?<chunk>\d+\/\d+)/u.exec(request.url())?.groups?.chunk;
      if (chunk !== undefined) loaded.push(chunk);
    });
    let followed = 0;
    page.on('websocket', (socket) => socket.on('framesent', ({ payload }) => {
      const kind = typeof payload === 'string' ? 0 : payload[0];
      if (kind === 0x81) followed += (payload.length - 9) / 10;
      if (kind === 0x82) followed -= (payload.length - 1) / 2;
    }));
    await page.goto(`${roomy.url}/c/huge#x=2000&y=2000&zoom=1`);
    await inState(page);
    assert.equal(loaded[0], '7/7');
    assert.ok(loaded.length >= 20 && loaded.length <= 36, `${loaded.length} chunks for a view of 1440×900`);
    const far = (/** @type {string} */ chunk) => Math.hypot(...chunk.split('/').map((at) => Number(at) * 256 + 128 - 2_000));
    assert.ok(Math.max(...loaded.slice(0, 4).map(far)) <= Math.min(...loaded.slice(-4).map(far)));
    for (const [x, y] of [[700, 500], [3_300, 500], [3_300, 3_500], [700, 3_500], [700, 2_000], [3_300, 2_000]]) {
      const before = loaded.length;
      await page.evaluate((hash) => { location.hash = hash; }, `#x=${x}&y=${y}&zoom=1`);
      await until('what is new in view is asked for', async () => loaded.length >= before + 12);
      await inState(page);
    }
    assert.ok(loaded.length > 130, `${loaded.length} loaded`);
    await until('no more than those in view and some spare', async () => followed <= 36 + 32);
    assert.ok(followed >= 20 + 32, `${followed} followed`);
    await page.close();
  });

  await roomy.host('POST', '/api/canvases', { id: 'endless', name: 'Endless', width: 65_536, height: 65_536 });

  await check('the glass over the board has only the panes that something lies on', async () => {
    const page = await open(context, 'glass', '/c/endless#x=2000&y=2000&zoom=3', roomy.url);
    const panes = () => page.evaluate(() => [...document.querySelectorAll('#overlay canvas')].filter((pane) => getComputedStyle(pane).visibility === 'visible').length);
    await page.mouse.move(400, 400);
    await until('one pane has the ghost', async () => await panes() === 1);
    await page.mouse.move(512, 400);
    await until('a ghost on the seam is on both sides of it', async () => await panes() === 2);
    await page.hover('#inks [data-color]');
    await until('none is left behind', async () => await panes() === 0);
    await page.evaluate(() => { location.hash = '#x=2000&y=2000&zoom=32'; });
    await until('the grid is on all', async () => await panes() >= 24);
    await page.close();
  });

  await check('of the largest canvas the middle is shown, the page says so, and closer everything is there', async () => {
    const page = await open(context, 'endless', '/c/endless', roomy.url);
    const says = () => page.textContent('#sentence');
    await until('it says that only the middle is shown', async () => await says() === texts.middleOnly);
    await page.evaluate(() => { location.hash = '#x=65000&y=100&zoom=2'; });
    await until('all of it is there', async () => await says() === texts.live);
    await page.close();
  });

  await check('1,000 placements a second arrive while one pans: every frame is recorded, every pixel is right', async () => {
    const empty = await context.newPage();
    report('an empty page', await frames(empty, RECORD_MS));
    await empty.close();
    const page = await open(context, 'busy', '/c/huge#x=2000&y=2000&zoom=4', roomy.url);
    let painting = true;
    let painted = 0;
    const began = Date.now();
    const painter = (async () => {
      while (painting) {
        const next = pause(began + painted / BATCH * BATCH_INTERVAL_MS - Date.now());
        const pixels = Array.from({ length: BATCH }, () => {
          painted += 1;
          return { x: 1_850 + painted * 7 % 301, y: 1_900 + painted * 13 % 199, color: `#${(painted * 4_099 % 0xffffff).toString(16).padStart(6, '0')}` };
        });
        const answer = await fetch(`${roomy.url}/api/canvases/huge/pixels`, {
          method: 'PUT', headers: { 'Content-Type': 'application/json', 'Idempotency-Key': String(painted) }, body: JSON.stringify({ pixels }),
        });
        assert.equal(answer.status, 200);
        await next;
      }
    })();
    const recorded = frames(page, RECORD_MS);
    await page.mouse.move(720, 450);
    await page.mouse.down({ button: 'right' });
    for (let step = 0; step < RECORD_MS / 20; step += 1) await page.mouse.move(720 + Math.sin(step / 8) * 300, 450 + Math.cos(step / 5) * 150);
    await page.mouse.up({ button: 'right' });
    const all = await recorded;
    painting = false;
    await painter;
    const paintedMs = Date.now() - began;
    report(`panning while ${painted} pixels came`, all);
    assert.ok(painted / paintedMs > 0.8, `${painted} pixels in ${paintedMs} ms are not 1,000 a second`);
    assert.ok(all.times.length > 20, 'the page goes on drawing');
    const right = () => page.evaluate(async () => {
      const board = /** @type {HTMLCanvasElement} */ (document.querySelector('canvas'));
      const { width, height } = board;
      const bitmap = await createImageBitmap(await (await fetch('/api/canvases/huge.png?x=1900&y=1950&w=200&h=100', { cache: 'no-store' })).blob());
      const canvas = new OffscreenCanvas(width, height);
      const there = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext('2d'));
      there.imageSmoothingEnabled = false;
      // From 4 pixels a cell, 2000.5, 2000.5 is the middle of the window.
      there.drawImage(bitmap, width / 2 - 100.5 * 4, height / 2 - 50.5 * 4, 800, 400);
      const box = /** @type {const} */ ([width / 2 - 380, height / 2 - 180, 760, 360]);
      const [a, b] = [there, /** @type {CanvasRenderingContext2D} */ (board.getContext('2d'))].map((context) => context.getImageData(...box).data);
      return a.every((part, index) => part === b[index]);
    });
    await page.mouse.move(5, 895);
    await page.evaluate(() => { location.hash = '#x=2000&y=2000&zoom=4&again'; });
    await until('right', right);
    await page.close();
  });
  await roomy.remove();

  await check('three pages paint at once and all show the picture that the API has', async () => {
    await server.host('POST', '/api/canvases', { id: 'shared', name: 'Shared', width: 50, height: 50 });
    const pages = await Promise.all(['one', 'two', 'three'].map((name) => open(context, name, `/c/shared${AT}`)));
    await Promise.all(pages.map(async (page, index) => {
      for (let stroke = 0; stroke < 4; stroke += 1) {
        await page.keyboard.press(`Digit${1 + (index * 4 + stroke) % 9}`);
        const [from, to] = [spot(page, 12 + stroke * 2, 12 + index * 3), spot(page, 38 - stroke * 3, 38 - index * 5)];
        await page.mouse.move(from.x, from.y);
        await page.mouse.down();
        await page.mouse.move(to.x, to.y, { steps: 6 });
        await page.mouse.up();
      }
      await page.mouse.move(5, 895);
    }));
    for (const page of pages) {
      await until('as the API has it', async () => await differences(page, 'shared') === 0);
      await agrees(page, 'shared');
    }
    for (const page of pages) await page.close();
  });

  await context.close();
}
