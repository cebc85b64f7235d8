/** Keeps picture files in the browser, by the hash of their bytes; where it may keep nothing, it says so. */

const DATABASE = 'pixel-playground';
const STORE = 'pictures';
/** Files kept; beyond, the one that was used longest ago leaves. */
const FILES_MAX = 8;

/** @typedef {{ hash: string, name: string, bytes: ArrayBuffer, usedMs: number }} Kept */

/** @template T @param {IDBRequest<T>} request @returns {Promise<T>} */
function answered(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

/** @param {IDBTransactionMode} mode */
async function files(mode) {
  const opening = indexedDB.open(DATABASE, 1);
  opening.onupgradeneeded = () => { opening.result.createObjectStore(STORE, { keyPath: 'hash' }); };
  const database = await answered(opening);
  const transaction = database.transaction(STORE, mode);
  const done = new Promise((resolve, reject) => {
    transaction.oncomplete = resolve;
    transaction.onabort = () => reject(transaction.error);
  });
  done.catch(() => undefined).finally(() => database.close());
  return { store: transaction.objectStore(STORE), done };
}

/** Keeps a file; false where that is forbidden, or there is no room. @param {Kept} file */
export async function put(file) {
  try {
    const { store, done } = await files('readwrite');
    await answered(store.put(file));
    if (await answered(store.count()) > FILES_MAX) {
      const kept = await answered(/** @type {IDBRequest<Kept[]>} */ (store.getAll()));
      for (const { hash } of kept.sort((a, b) => b.usedMs - a.usedMs).slice(FILES_MAX)) store.delete(hash);
    }
    await done;
    return true;
  } catch {
    return false;
  }
}

/** A kept file, or `null`. @param {string} hash @returns {Promise<Kept | null>} */
export async function get(hash) {
  try {
    const { store } = await files('readonly');
    return await answered(/** @type {IDBRequest<Kept | undefined>} */ (store.get(hash))) ?? null;
  } catch {
    return null;
  }
}
