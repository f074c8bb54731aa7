// What the page knows: one object, kept in sessionStorage, so that each tab has its own and a reload loses nothing.

/**
 * @typedef {{id: string, name: string, width: number, height: number, bytes: number, kind: string, lenient: boolean, warnings: string[]}} Picture
 * @typedef {{preset: string | null, changes: Record<string, any>}} Look
 * @typedef {{picture: Picture, mask: Picture | null, weight: number}} Style weight: beside those of the other styles
 * @typedef {"texture" | "style"} Workspace
 * @typedef {"expand" | "tile" | "hole" | "maps"} Task
 * @typedef {object} State
 * @property {string} tab random text that names this tab
 * @property {string | null} former what the tab was called before another address was opened in it, or the one that it is a copy of
 * @property {Workspace} workspace
 * @property {{task: Task, picture: Picture | null, hole: Picture | null, siblings: Picture[], map: string}} texture
 * @property {{picture: Picture | null, styles: Style[]}} style
 * @property {Record<string, Look>} looks by task, and `style`
 * @property {{seed: number, max_side: number | null, format: string | null}} run
 * @property {Record<Workspace, string[]>} jobs whose results wait, oldest first; the last may be at work
 */

const KEY = "texsynth";

/** @returns {State} */
function initial() {
  const look = () => ({ preset: null, changes: {} });
  return {
    tab: crypto.getRandomValues(new Uint32Array(3)).join("-"),
    former: null,
    workspace: "texture",
    texture: { task: "expand", picture: null, hole: null, siblings: [], map: "normal" },
    style: { picture: null, styles: [] },
    looks: { expand: look(), tile: look(), hole: look(), maps: look(), style: look() },
    run: { seed: 0, max_side: null, format: null },
    jobs: { texture: [], style: [] },
  };
}

/** @returns {State} */
function restored() {
  const fresh = initial();
  try {
    const kept = JSON.parse(sessionStorage.getItem(KEY) ?? "null");
    if (!kept) return fresh;
    const state = { ...fresh, ...kept };
    for (const workspace of /** @type {const} */ (["texture", "style"]))
      if (!Array.isArray(state.jobs[workspace])) state.jobs = fresh.jobs;
    // A duplicated tab starts with a copy of the storage, but is a tab of its own.
    const [entry] = performance.getEntriesByType("navigation");
    if (/** @type {PerformanceNavigationTiming} */ (entry)?.type === "navigate") Object.assign(state, { tab: fresh.tab, former: state.tab });
    return state;
  } catch {
    return fresh;
  }
}

/** State that tells its listeners about changes. */
export class Store {
  /** @type {Set<(state: State, before: State) => void>} */
  #listeners = new Set();

  constructor() {
    /** @type {State} */
    this.state = restored();
  }

  /** @param {(state: State, before: State) => void} listener */
  subscribe(listener) {
    this.#listeners.add(listener);
  }

  /** Change a copy of the state, keep it, and tell everyone. @param {(draft: State) => void} change */
  update(change) {
    const before = this.state, draft = structuredClone(before);
    change(draft);
    this.state = draft;
    sessionStorage.setItem(KEY, JSON.stringify(draft));
    this.#listeners.forEach(listener => listener(draft, before));
  }
}

/** Name of the look in force. @param {State} state */
export function lookName(state) {
  return state.workspace === "style" ? "style" : state.texture.task;
}

/** The picture that the workspace in front starts from. @param {State} state */
export function mainPicture(state) {
  return state[state.workspace].picture;
}
