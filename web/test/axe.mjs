/** What stands in anybody's way, as far as axe knows. */

import { readFileSync } from 'node:fs';

const axe = readFileSync(new URL('../node_modules/axe-core/axe.min.js', import.meta.url), 'utf8');

/** @param {import('playwright-core').Page} page @returns {Promise<string[]>} */
export async function obstacles(page) {
  await page.evaluate(axe);
  const found = await page.evaluate(() => Reflect.get(window, 'axe').run());
  return found.violations.map((/** @type {{ help: string, nodes: { target: string[] }[] }} */ { help, nodes }) => (
    `${help}: ${nodes.map(({ target }) => target.join(' ')).join(', ')}`));
}
