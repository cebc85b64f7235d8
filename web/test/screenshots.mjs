/** Pictures of the page in its main states, in the hand and at a desk, light and dark: `node test/screenshots.mjs FOLDER`. */

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

import { launch } from './chromium.mjs';
import { png } from './png.mjs';
import { Server } from './server.mjs';

const SIZES = {
  'phone-390x844': { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, hasTouch: true, isMobile: true },
  'desk-1440x900': { viewport: { width: 1440, height: 900 } },
};
const SCHEMES = /** @type {const} */ (['light', 'dark']);
/** Placements in one request. */
const BATCH = 1_000;

const folder = process.argv[2];
if (folder === undefined) {
  console.error('say where: node test/screenshots.mjs FOLDER');
  process.exit(64);
}
mkdirSync(folder, { recursive: true });

const server = new Server(['--rate-limit', 'off']);
await server.start();

/** A landscape in six inks: hills, water, a tree and a sun. @param {number} width @param {number} height */
function landscape(width, height) {
  const pixels = [];
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      const [across, along] = [x / width - 0.5, y / height - 0.5];
      const hill = along + 0.12 * Math.sin(across * 7);
      let color = '';
      if (Math.hypot(across - 0.2, along + 0.2) < 0.12) color = '#F5C32C';
      else if (hill > 0.3) color = '#2C8C4B';
      else if (hill > 0.18) color = '#2A4CC4';
      else if (hill > 0.12 && (x * 7 + y * 13) % 5 < 3) color = '#58B7DD';
      else if (Math.abs(across + 0.2) < 0.02 && along > -0.2) color = '#1C1917';
      else if (Math.hypot(across + 0.2, along + 0.2) < 0.13 && (x + y) % 3 > 0) color = '#D9392B';
      if (color !== '') pixels.push({ x, y, color });
    }
  }
  return pixels;
}

/** Paints as one program after another would. @param {string} id @param {{ x: number, y: number, color: string }[]} pixels */
async function paint(id, pixels) {
  for (let start = 0; start < pixels.length; start += BATCH) {
    const { token } = await (await fetch(`${server.url}/api/guests`, { method: 'POST' })).json();
    const response = await fetch(`${server.url}/api/canvases/${id}/pixels`, {
      method: 'PUT',
      headers: { 'Content-Type': 'application/json', 'Idempotency-Key': String(start), Authorization: `Bearer ${token}` },
      body: JSON.stringify({ pixels: pixels.slice(start, start + BATCH) }),
    });
    if (!response.ok) throw new Error(`painting ${id}: ${response.status} ${await response.text()}`);
  }
}

await server.host('POST', '/api/canvases', { id: 'picture', name: 'Picture', width: 50, height: 50 });
await server.host('POST', '/api/canvases', { id: 'wide', name: 'Wide', width: 160, height: 60 });
await server.host('POST', '/api/canvases', { id: 'slow', name: 'Slow', width: 50, height: 50, cooldown_ms: 30_000 });
await server.host('POST', '/api/canvases', {
  id: 'many', name: 'Many colours', width: 64, height: 64,
  palette: Array.from({ length: 64 }, (_, index) => `#${[index >> 4, (index >> 2) & 3, index & 3].map((part) => (part * 85).toString(16).padStart(2, '0')).join('')}`),
});
await server.host('POST', '/api/canvases', { id: 'charged', name: 'Charged', width: 50, height: 50, cooldown_ms: 5_000, charges_max: 10 });
await server.host('POST', '/api/canvases', { id: 'large', name: 'Large', width: 600, height: 400 });
await server.host('POST', '/api/canvases', { id: 'line', name: 'Line', width: 1_000, height: 1 });
await paint('large', landscape(600, 400));
await paint('picture', landscape(50, 50));
await paint('wide', landscape(160, 60));

const browser = await launch();

/** @typedef {import('playwright-core').Page} Page */
/** @param {Page} page */
async function openTemplate(page) {
  await page.click('#count');
  await page.click('#open-template');
  await page.locator('#template-sheet').waitFor();
}

/** A heart in three inks. @param {Page} page */
async function layTemplate(page) {
  await openTemplate(page);
  const buffer = png(24, 24, (x, y) => {
    const [across, along] = [(x - 11.5) / 10, (11 - y) / 10];
    if ((across ** 2 + along ** 2 - 0.6) ** 3 >= across ** 2 * along ** 3) return null;
    return (x + y) % 7 < 2 ? 0xf289a8 : x < 10 ? 0x8c2318 : 0xd9392b;
  });
  await page.setInputFiles('#template-sheet input[type=file]', { name: 'heart.png', mimeType: 'image/png', buffer });
  await page.locator('#template-sheet .bar').waitFor();
}

/** @param {Page} page */
async function openHost(page) {
  await page.click('#count');
  await page.click('#open-host');
  await page.locator('#host-sheet').waitFor();
}

/** What is done before the picture is taken. @type {[string, string, (page: Page) => Promise<void>][]} */
const STATES = [
  ['empty', '/', async () => undefined],
  ['picture', '/c/picture', async () => undefined],
  ['hover', '/c/picture', async (page) => {
    const { width, height } = page.viewportSize() ?? { width: 0, height: 0 };
    await page.mouse.move(width / 2 + 40, height / 2 - 40);
  }],
  ['close', '/c/picture#x=24&y=27&zoom=40', async () => undefined],
  ['keyboard', '/c/picture', async (page) => {
    for (const key of ['ArrowRight', 'ArrowRight', 'ArrowDown']) await page.keyboard.press(key);
  }],
  ['wide', '/c/wide', async () => undefined],
  ['palette-of-64', '/c/many', async () => undefined],
  ['cooling', '/c/slow', async (page) => {
    const { width, height } = page.viewportSize() ?? { width: 0, height: 0 };
    await page.mouse.click(width / 2, height / 2 - 20);
    await pause(150);
  }],
  ['brush', '/c/charged', async (page) => { await page.keyboard.press('KeyB'); }],
  ['map', '/c/large#x=400&y=300&zoom=5', async () => undefined],
  ['one-line', '/c/line', async () => undefined],
  ['close-in-the-corner', '/c/picture#x=12&y=12&zoom=40', async () => undefined],
  ['sheet', '/c/picture', async (page) => { await page.click('#count'); }],
  ['card', '/c/picture#x=25&y=25&zoom=12', async (page) => {
    const { width, height } = page.viewportSize() ?? { width: 0, height: 0 };
    await page.locator('#card').waitFor({ state: 'attached' });
    await page.mouse.move(width / 2 + 96, height / 2 - 96);
    await page.locator('#card').waitFor();
  }],
  ['letters', '/c/picture', async (page) => { await page.evaluate(() => { document.body.classList.add('letters'); }); }],
  ['template-none', '/c/picture', openTemplate],
  ['template', '/c/picture', layTemplate],
  ['template-dots', '/c/picture', async (page) => { await layTemplate(page); await page.getByText('Dots').click(); await page.keyboard.press('Escape'); }],
  ['template-letters', '/c/picture#x=25&y=25&zoom=32', async (page) => {
    await layTemplate(page);
    await page.locator('#template-sheet').getByText('Letters').click();
    await page.keyboard.press('Escape');
  }],
  ['template-moved', '/c/picture', async (page) => { await layTemplate(page); await page.getByText('Move it by hand').click(); }],
  ['template-missing', '/c/many#template=0123456789abcdef&tx=8&ty=8&tw=24&th=24', async (page) => { await page.locator('#strip').waitFor(); }],
  ['host-token', '/c/picture', openHost],
  ['host', '/c/picture', async (page) => {
    await openHost(page);
    await page.locator('#host-sheet input').fill(server.adminToken);
    await page.keyboard.press('Enter');
    await page.getByText('Freeze the canvas').waitFor();
  }],
  ['bare', '/c/picture?bare', async () => undefined],
  ['canvases', '/canvases', async (page) => { await page.waitForLoadState('networkidle'); }],
  ['nothing-here', '/nothing/here', async () => undefined],
];

for (const [size, device] of Object.entries(SIZES)) {
  for (const scheme of SCHEMES) {
    const context = await browser.newContext({ ...device, colorScheme: scheme });
    for (const [state, path, prepare] of STATES) {
      const page = await context.newPage();
      await page.goto(server.url + path);
      await pause(700);
      await prepare(page);
      await pause(350);
      await page.screenshot({ path: join(folder, `${state}-${size}-${scheme}.png`) });
      await page.evaluate(() => localStorage.clear());
      await page.close();
    }
    await context.close();
  }
}

// Somebody else paints, with a name and another ink each time; then the server goes away.
let ink = 4;
for (const [size, device] of Object.entries(SIZES)) {
  for (const scheme of SCHEMES) {
    const context = await browser.newContext({ ...device, colorScheme: scheme });
    const page = await context.newPage();
    await page.goto(`${server.url}/c/picture`);
    const other = await browser.newPage(SIZES['desk-1440x900']);
    await other.goto(`${server.url}/c/picture`);
    await pause(500);
    await other.fill('#name', 'Hokusai');
    await other.keyboard.press('Enter');
    await pause(1_200);
    ink += 1;
    await other.keyboard.press(`Digit${ink}`);
    for (const [x, y] of /** @type {const} */ ([[600, 300], [760, 500]])) {
      await other.mouse.click(x, y);
    }
    await pause(450);
    await page.screenshot({ path: join(folder, `others-${size}-${scheme}.png`) });
    await server.kill();
    await pause(700);
    await page.screenshot({ path: join(folder, `reconnecting-${size}-${scheme}.png`) });
    await server.start();
    await other.close();
    await context.close();
  }
}

await browser.close();
await server.remove();
