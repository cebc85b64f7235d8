/** The services apart: pages on two gateways over one Redis, and one of the gateways is killed. */

import { Redis, Server } from '../server.mjs';
import { DESK, check, inState, open, setOutage, spot, until } from './harness.mjs';
import { differences } from './seeing.mjs';

const AT = '#x=25&y=25&zoom=12';
const STROKES = 6;

/** Draws lines of its own over the middle of the board. @param {import('playwright-core').Page} page @param {number} number */
async function draw(page, number) {
  for (let stroke = 0; stroke < STROKES; stroke += 1) {
    await page.keyboard.press(`Digit${1 + (number * STROKES + stroke) % 9}`);
    const [from, to] = [spot(page, 14 + stroke, 14 + number * 4), spot(page, 36 - stroke * 2, 36 - number * 5)];
    await page.mouse.move(from.x, from.y);
    await page.mouse.down();
    await page.mouse.move(to.x, to.y, { steps: 6 });
    await page.mouse.up();
  }
  await page.mouse.move(5, 5);
}

/** @param {import('playwright-core').Browser} browser */
export async function split(browser) {
  const redis = new Redis();
  await redis.start();
  const api = new Server(['--target', 'api', '--store', redis.url, '--rate-limit', 'off']);
  await api.start();
  const gateways = [0, 1].map(() => new Server(['--target', 'gateway', '--store', redis.url, '--api-url', api.api]));
  await Promise.all(gateways.map((gateway) => gateway.start()));
  const frontends = gateways.map(({ gateway }) => new Server(['--target', 'frontend', '--api-url', api.api, '--gateway-url', gateway]));
  await Promise.all(frontends.map((frontend) => frontend.start()));

  await check('three browsers on two gateways paint at once, one gateway is killed meanwhile, and all end with the same picture', async () => {
    const contexts = await Promise.all(frontends.concat(frontends[0]).map(() => browser.newContext(DESK)));
    const pages = await Promise.all(contexts.map((context, index) => open(context, `page ${index}`, `/${AT}`, frontends[index % 2].url)));
    const drawing = Promise.all(pages.map(draw));
    setOutage(true);
    await gateways[0].kill();
    await drawing;
    await gateways[0].start();
    for (const page of pages) {
      await inState(page);
      await until('as the API has it', async () => await differences(page, 'main') === 0);
    }
    setOutage(false);
    const painted = (await frontends[0].pixels('main')).some((byte) => byte !== 0xff);
    if (!painted) throw new Error('nobody painted');
    await Promise.all(contexts.map((context) => context.close()));
  });

  for (const server of [...frontends, ...gateways, api]) await server.remove();
  redis.kill();
}
