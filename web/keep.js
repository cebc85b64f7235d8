/** What the browser keeps between visits; where it may keep nothing, this page remembers for its own lifetime. */

/** @type {Map<string, string>} */
const lifetime = new Map();

/** @param {string} key */
export function kept(key) {
  try {
    return localStorage.getItem(key) ?? lifetime.get(key) ?? '';
  } catch {
    return lifetime.get(key) ?? '';
  }
}

/** @param {string} key @param {string} value */
export function keep(key, value) {
  lifetime.set(key, value);
  try {
    localStorage.setItem(key, value);
  } catch {
    // Full or forbidden: the page goes on with what it remembers itself.
  }
}
