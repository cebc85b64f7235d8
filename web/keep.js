/** What the browser keeps between visits; where it may keep nothing, this page remembers for its own lifetime. */

/** What the browser did not take. @type {Map<string, string>} */
const lifetime = new Map();

/** @param {string} key */
export function kept(key) {
  try {
    return lifetime.get(key) ?? localStorage.getItem(key) ?? '';
  } catch {
    return '';
  }
}

/** @param {string} key @param {string} value */
export function keep(key, value) {
  try {
    localStorage.setItem(key, value);
    lifetime.delete(key);
  } catch {
    lifetime.set(key, value); // Full or forbidden.
  }
}
