/** Pictures of the page in every state, in the hand and at a desk, light and dark, axe looking at each: `node test/screenshots.mjs FOLDER [STATE…]`. */

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';

import { obstacles } from './axe.mjs';
import { launch } from './chromium.mjs';
import { Stage } from './stage.mjs';
import { STATES, furnish } from './states.mjs';

const SCHEMES = /** @type {const} */ (['light', 'dark']);

const [folder, ...names] = process.argv.slice(2);
if (folder === undefined) {
  console.error('say where: node test/screenshots.mjs FOLDER [STATE…]');
  process.exit(64);
}
mkdirSync(folder, { recursive: true });

const browser = await launch();
const stage = new Stage(browser);
await stage.server.start();
let [passed, failed] = [0, 0];
try {
  await furnish(stage);
  for (const state of STATES) {
    if (names.length > 0 && !names.includes(state.name)) continue;
    for (const device of state.devices) {
      for (const scheme of SCHEMES) {
        const picture = `${state.name}-${device}-${scheme}`;
        try {
          await stage.show(state, device, scheme, async (page) => {
            await page.screenshot({ path: join(folder, `${picture}.png`) });
            const found = await obstacles(page);
            if (found.length > 0) throw new Error(found.join('\n        '));
          });
          passed += 1;
        } catch (error) {
          failed += 1;
          console.log(`FAILED  ${picture}\n        ${error instanceof Error ? error.message : error}`);
        }
      }
    }
  }
} finally {
  await browser.close();
  await stage.server.remove();
}

console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
