// Copies of the pictures and masks of open tabs, in the browser's own store: a server that was started anew gets them again.

/**
 * @typedef {{id: string, name: string, blob: Blob, used: number, tabs: string[]}} Copy
 */

const NAME = "texsynth", STORE = "pictures";
/** Bytes that are kept of a picture and of all. */
export const LIMITS = { file: 64 << 20, all: 256 << 20 };

const AFTER_MS = 300, MINUTE_MS = 60e3, DAY_MS = 24 * 60 * MINUTE_MS;

/** @template T @param {IDBRequest<T>} request @returns {Promise<T>} */
function done(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

/** @param {IDBTransactionMode} mode @returns {Promise<IDBObjectStore>} */
async function objects(mode) {
  const request = indexedDB.open(NAME, 1);
  request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: "id" });
  const database = await done(request), transaction = database.transaction(STORE, mode);
  transaction.oncomplete = transaction.onabort = () => database.close();
  return transaction.objectStore(STORE);
}

/** The copy of a picture, or null. @param {string} id @returns {Promise<File | null>} */
export async function copyOf(id) {
  try {
    const copy = await done((await objects("readonly")).get(id));
    return copy ? new File([copy.blob], copy.name, { type: copy.blob.type }) : null;
  } catch {
    // Without a store, as in some private windows, the page asks for the file.
    return null;
  }
}

/**
 * Keep copies of what the tab works with, and let go of everything else.
 * @param {import("./store.js").Store} store
 * @param {Map<string, File>} files of this page, by id
 * @param {typeof LIMITS} limits
 */
export function keepCopies(store, files, limits = LIMITS) {
  const { tab, former } = store.state;
  let wanted = "", timer = 0, last = Promise.resolve();
  // Held for as long as the tab is open; machines with a name of their own, without encryption, have no locks.
  navigator.locks?.request(`${NAME} ${tab}`, () => new Promise(() => {}));

  function follow() {
    const ids = picturesOf(store.state).map(({ id }) => id), key = ids.join();
    if (key === wanted) return;
    wanted = key;
    clearTimeout(timer);
    timer = setTimeout(() => { last = last.then(() => settle(tab, former, ids, files, limits)).catch(() => {}); }, AFTER_MS);
  }

  store.subscribe(follow);
  follow();
  if (!wanted) settle(tab, former, [], files, limits).catch(() => {});
}

/** All pictures and masks of a state, masks first. @param {import("./store.js").State} state @returns {import("./store.js").Picture[]} */
export function picturesOf({ texture, style }) {
  const masks = [texture.hole, ...style.styles.map(({ mask }) => mask)];
  const all = [...masks, texture.picture, style.picture, ...texture.siblings, ...style.styles.map(({ picture }) => picture)];
  return /** @type {any} */ (all.filter(picture => picture));
}

/** @param {string} tab @param {string | null} former @param {string[]} ids @param {Map<string, File>} files @param {typeof LIMITS} limits */
async function settle(tab, former, ids, files, limits) {
  const open = await openTabs(), now = Date.now(), store = await objects("readwrite");
  /** @type {Copy[]} */
  const copies = await done(store.getAll());
  let left = limits.all;
  for (const { id, blob, name, used, tabs } of copies) {
    // Of one that is being loaded anew it cannot be told for a moment that it is open.
    const lives = each => (open ? open.has(each) || (each !== former && now - used < MINUTE_MS) : each !== former && now - used < DAY_MS);
    const others = tabs.filter(each => each !== tab && lives(each));
    const mine = ids.includes(id), kept = mine ? [...others, tab] : others;
    if (!kept.length) store.delete(id);
    else {
      left -= blob.size;
      if (mine || others.length < tabs.length) store.put({ id, blob, name, used: mine ? now : used, tabs: kept });
    }
  }
  const there = new Set(copies.map(({ id }) => id));
  for (const id of ids) {
    const file = files.get(id);
    if (!file || there.has(id) || file.size > Math.min(left, limits.file)) continue;
    there.add(id);
    left -= file.size;
    store.put({ id, blob: file, name: file.name, used: now, tabs: [tab] });
  }
}

/** Names of the tabs that are open, or null where that cannot be told. @returns {Promise<Set<string> | null>} */
async function openTabs() {
  if (!navigator.locks) return null;
  const { held } = await navigator.locks.query();
  return new Set(held?.map(({ name }) => name?.replace(`${NAME} `, "") ?? ""));
}
