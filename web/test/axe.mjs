/** What stands in anybody's way: as far as axe knows, text under 14 px, and in the hand what a thumb misses. */

import { readFileSync } from 'node:fs';

const axe = readFileSync(new URL('../node_modules/axe-core/axe.min.js', import.meta.url), 'utf8');

/** @param {import('playwright-core').Page} page @returns {Promise<string[]>} */
export async function obstacles(page) {
  await page.evaluate(axe);
  const found = await page.evaluate(() => Reflect.get(window, 'axe').run());
  const known = found.violations.map((/** @type {{ help: string, nodes: { target: string[] }[] }} */ { help, nodes }) => (
    `${help}: ${nodes.map(({ target }) => target.join(' ')).join(', ')}`));
  return [...known, ...await page.evaluate(tooSmall)];
}

/** What is too small to be read or to be touched; runs in the page. @returns {string[]} */
function tooSmall() {
  const [TEXT_PIXELS_MIN, TOUCH_PIXELS_MIN] = [14, 44];
  const found = [];
  // What lies under an open sheet cannot be touched.
  const place = [...document.querySelectorAll('dialog[open]')].at(-1) ?? document;
  const shown = [...place.querySelectorAll('*')].filter((element) => element.checkVisibility({ visibilityProperty: true }));
  for (const element of shown) {
    const written = [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.textContent?.trim());
    const size = Number.parseFloat(getComputedStyle(element).fontSize);
    if (written && size < TEXT_PIXELS_MIN) found.push(`text of ${size} px: ${element.outerHTML.slice(0, 80)}`);
  }
  if (navigator.maxTouchPoints === 0) return found;
  for (const element of shown) {
    if (!element.matches('a[href], button, input, select, textarea, label, summary') || element.matches(':disabled')) continue;
    // A label and the box in it are pressed as one.
    if (element.localName !== 'label' && element.closest('label') !== null) continue;
    if (element.localName === 'label' && element.querySelector('input') === null) continue;
    const { width, height } = element.getBoundingClientRect();
    if (Math.round(width) < TOUCH_PIXELS_MIN || Math.round(height) < TOUCH_PIXELS_MIN) {
      found.push(`${Math.round(width)}×${Math.round(height)} px for a thumb: ${element.outerHTML.slice(0, 120)}`);
    }
  }
  return found;
}
