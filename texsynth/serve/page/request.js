// From what the page knows to what the server is asked for.

import { styleWeights } from "./weights.js";

/**
 * @typedef {import("./store.js").State} State
 * @typedef {{command: string, picture: string, styles: {picture: string, weight: number, mask: string | null}[],
 *   hole: string | null, mask: string | null, siblings: string[], preset: string | null, changes: Record<string, any>,
 *   run: {seed: number, max_side: number | null, format: string | null}}} Request
 */

/** The command of the workspace in front. @param {State} state */
export function commandOf(state) {
  if (state.workspace === "texture") return state.texture.task === "hole" ? "expand" : state.texture.task;
  const { styles } = state.style;
  return styles.length > 1 || styles.some(style => style.mask) ? "blend" : "stylize";
}

/** What is missing before anything can be made, or null. @param {State} state @returns {"picture" | "style" | "hole" | null} */
export function missing(state) {
  const { texture, style, workspace } = state;
  if (!state[workspace].picture) return "picture";
  if (workspace === "style" && !style.styles.length) return "style";
  return workspace === "texture" && texture.task === "hole" && !texture.hole ? "hole" : null;
}

/** @param {State} state with nothing missing @returns {Request} */
export function buildRequest(state) {
  const command = commandOf(state), texture = state.workspace === "texture";
  const look = state.looks[texture ? state.texture.task : "style"];
  const weights = styleWeights(state.style.styles);
  return {
    command,
    picture: /** @type {any} */ (state[state.workspace].picture).id,
    styles: texture ? [] : state.style.styles.map(({ picture, mask }, n) => ({
      picture: picture.id, weight: weights[n], mask: mask?.id ?? null,
    })),
    hole: texture && state.texture.task === "hole" ? state.texture.hole?.id ?? null : null,
    mask: null,
    siblings: texture && command !== "maps" ? state.texture.siblings.map(picture => picture.id) : [],
    preset: look.preset,
    changes: look.changes,
    run: { ...state.run, max_side: texture ? null : state.run.max_side },
  };
}

/**
 * Width and height that the full result will have.
 * @param {State} state with a picture
 * @param {(path: string) => any} value of a setting
 * @param {number | null} longest side
 * @returns {[number, number]}
 */
export function fullSize(state, value, longest) {
  const picture = /** @type {any} */ (state[state.workspace].picture);
  let { width, height } = picture;
  if (state.workspace === "style") {
    const factor = Math.min(1, (longest ?? Infinity) / Math.max(width, height));
    return [Math.max(1, Math.round(width * factor)), Math.max(1, Math.round(height * factor))];
  }
  const { task } = state.texture;
  if (task === "expand" || task === "tile") {
    const size = value("size"), scale = task === "expand" ? value("scale") ?? 1 : 1;
    if (size) return size;
    width = Math.round(width * scale);
    height = Math.round(height * scale);
  }
  return [width, height];
}
