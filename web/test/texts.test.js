/** Words: what the HTML asks for is there, and nothing is there that nobody asks for. */

import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { test } from 'node:test';

import { texts } from '../texts.js';

const page = readFileSync(new URL('../index.html', import.meta.url), 'utf8');

test('every word that the page names is written, and only those', () => {
  const named = new Set([...page.matchAll(/data-(?:text|label|title)="(?<key>\w+)"/gu)].map(({ groups }) => groups?.key));
  assert.deepEqual([...named].sort(), Object.keys(texts.page).sort());
});

/** What people read of a file: its words, in order; a single letter on a key is its place on the keyboard. @param {string} name */
function read(name) {
  const file = readFileSync(new URL(`../${name}`, import.meta.url), 'utf8');
  if (!name.endsWith('.html')) {
    const { name: title, short_name: short, description } = JSON.parse(file);
    return [title, short, description];
  }
  const plain = file.replace(/<(?<tag>svg|script)\b.*?<\/\k<tag>>/gsu, '');
  const said = /<meta name="description" content="(?<about>[^"]*)"|\s(?:aria-label|placeholder|alt|title)="(?<label>[^"]*)"|>(?<words>[^<]*\p{L}[^<]*)</gu;
  return [...plain.matchAll(said)]
    .map(({ groups }) => (groups?.about ?? groups?.label ?? groups?.words ?? '').trim())
    .filter((words) => words.length > 1);
}

for (const name of readdirSync(new URL('..', import.meta.url)).filter((file) => /\.(?:html|webmanifest)$/u.test(file))) {
  test(`${name} holds the words that are written for it, and no others`, () => assert.deepEqual(read(name), texts.files[name]));
}

test('no other script has a sentence of its own', () => {
  const folder = new URL('..', import.meta.url);
  for (const name of readdirSync(folder).filter((file) => file.endsWith('.js') && file !== 'texts.js')) {
    const code = readFileSync(new URL(name, folder), 'utf8').replace(/\/\*.*?\*\/|\/\/ [^\n]*/gsu, '');
    // Two words of prose in quotes; what is thrown is for who mends the page.
    const spoken = [...code.matchAll(/(?<before>.{0,24})(?<quote>['"`])(?<words>\p{Lu}\p{Ll}+,? \p{L}+[^'"`]*)\k<quote>/gu)]
      .filter(({ groups }) => !/Error\($/u.test(groups?.before ?? ''))
      .map(({ groups }) => groups?.words);
    assert.deepEqual(spoken, [], name);
  }
});
