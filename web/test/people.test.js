/** Who is here, as the list says it. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { People } from '../people.js';

test('who sees the page is never told that nobody is here', () => {
  const element = () => ({ textContent: '', replaceChildren() {}, append() {} });
  const [count, list, rest] = [element(), element(), element()];
  const people = new People(/** @type {any} */ ({ count, list, rest }));
  people.connected(7);
  assert.equal(count.textContent, '1 person here');
  people.hear({ kind: 'presence', whole: true, sockets: 0, gone: [], come: [] });
  assert.equal(count.textContent, '1 person here');
});

test('who has a name is not said to have none because the list is full', () => {
  const element = () => ({ textContent: '', replaceChildren() {}, append() {} });
  Object.assign(globalThis, { document: { createElement: element } });
  const [count, list, rest] = [element(), element(), element()];
  const people = new People(/** @type {any} */ ({ count, list, rest }));
  // The server lists the newest 100 names, whatever the number of people.
  const come = Array.from({ length: 100 }, (_, person) => ({ person, name: `Somebody ${person}` }));
  people.hear({ kind: 'presence', whole: true, sockets: 134, gone: [], come });
  assert.equal(count.textContent, '134 people here');
  assert.equal(rest.textContent, 'and 34 others');
});
