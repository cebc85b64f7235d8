/** Words: what the HTML asks for is there, and nothing is there that nobody asks for. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { texts } from '../texts.js';

const page = readFileSync(new URL('../index.html', import.meta.url), 'utf8');

test('every word that the page names is written, and only those', () => {
  const named = new Set([...page.matchAll(/data-(?:text|label|title)="(?<key>\w+)"/gu)].map(({ groups }) => groups?.key));
  assert.deepEqual([...named].sort(), Object.keys(texts.page).sort());
});

test('the page itself holds only what is read before a script runs', () => {
  const body = page.slice(page.indexOf('<body>')).replace(/<(?<tag>kbd|noscript|svg)\b.*?<\/\k<tag>>/gsu, '');
  const words = [...body.matchAll(/>(?<words>[^<]*\p{L}[^<]*)</gu)].map(({ groups }) => groups?.words.trim());
  assert.deepEqual(words, ['Pixel Playground', 'Opening the canvas…']);
});
