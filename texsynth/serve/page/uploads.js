// Pictures on their way to the server, and again when it has dropped them.

import { Refusal, call, get } from "./api.js";
import { copyOf, picturesOf } from "./keeper.js";

/** @typedef {import("./store.js").Picture} Picture */

/** Files of this page, by the id that the server gave them. @type {Map<string, File>} */
export const files = new Map();

/** @param {File} file @param {boolean} [lenient] whether a damaged one is taken, too @returns {Promise<Picture>} */
export async function upload(file, lenient = false) {
  // Of a folder, and of a file that is gone, it would seem that the server does not answer.
  await file.slice(0, 1).arrayBuffer().catch(() => {
    throw new Error(`${file.name} cannot be read by the browser: it is a folder, or has been moved or changed. Give its pictures again.`);
  });
  const response = await call("POST", `/v1/pictures?name=${encodeURIComponent(file.name || "picture.png")}${lenient ? "&lenient=1" : ""}`, { body: file });
  const picture = await response.json();
  files.set(picture.id, file);
  return picture;
}

/** Whether the server has a picture, after sending it once more if it has not. @param {Picture} picture */
async function isThere(picture) {
  try {
    await get(`/v1/pictures/${picture.id}`);
    return true;
  } catch (error) {
    if (!(error instanceof Refusal) || error.status !== 404) throw error;
  }
  const file = files.get(picture.id) ?? await copyOf(picture.id);
  return file ? (await upload(file, picture.lenient)).id === picture.id : false;
}

/**
 * Take pictures that the server no longer has out of the state.
 * @param {import("./store.js").Store} store
 * @returns {Promise<string[]>} their names
 */
export async function checkPictures(store) {
  const lost = new Map();
  for (const picture of picturesOf(store.state)) if (!(await isThere(picture))) lost.set(picture.id, picture.name);
  if (!lost.size) return [];
  const kept = picture => (picture && lost.has(picture.id) ? null : picture);
  store.update(state => {
    state.texture.picture = kept(state.texture.picture);
    state.texture.hole = state.texture.picture && kept(state.texture.hole);
    state.texture.siblings = state.texture.siblings.filter(kept);
    state.style.picture = kept(state.style.picture);
    state.style.styles = state.style.styles.filter(({ picture }) => kept(picture)).map(each => ({ ...each, mask: kept(each.mask) }));
  });
  return [...lost.values()];
}
