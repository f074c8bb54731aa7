// Pictures that come in: chosen, dropped or pasted, and what they replace.

import { Refusal } from "./api.js";
import { droppable } from "./dom.js";
import { upload } from "./uploads.js";
import { newWeight } from "./weights.js";

/** Takes files and puts them where they belong. */
export class Intake {
  /**
   * @param {import("./store.js").Store} store
   * @param {import("./painter.js").Painter} painter
   * @param {{styles: number, siblings: number}} limits
   * @param {(error: Error, cure?: {text: string, act: () => void}) => void} report
   * @param {(text: string | null) => void} busy
   */
  constructor(store, painter, limits, report, busy) {
    this.store = store;
    this.painter = painter;
    this.limits = limits;
    this.report = report;
    this.busy = busy;
  }

  /** Upload files one after the other and hand each on. @param {File[]} files @param {(picture: any) => void} take @param {boolean} [lenient] for the first */
  async #each(files, take, lenient = false) {
    let n = 0;
    try {
      for (; n < files.length; n++) {
        this.busy(`Reading ${files[n].name} …`);
        take(await upload(files[n], lenient && !n));
      }
    } catch (error) {
      const damaged = error instanceof Refusal && error.isDamaged;
      this.report(error, damaged ? { text: "Read it all the same", act: () => this.#each(files.slice(n), take, true) } : undefined);
    } finally {
      this.busy(null);
    }
  }

  /** The exemplar or the content; further files become siblings or styles. @param {File[]} files */
  async main([first, ...rest]) {
    await this.#each([first], picture => {
      if (picture.kind === "card") throw new Error(`${picture.name} is a style card, and no picture that can be changed; give a picture here, and the card as a style.`);
      this.painter.forget();
      this.store.update(state => {
        if (state.workspace === "texture") {
          // Maps of another size belong to another surface.
          const siblings = state.texture.siblings.filter(({ width, height }) => width === picture.width && height === picture.height);
          Object.assign(state.texture, { picture, siblings, hole: null });
        }
        else {
          state.style.picture = picture;
          state.style.styles.forEach(style => { style.mask = null; });
        }
      });
    });
    if (rest.length) await (this.store.state.workspace === "texture" ? this.siblings(rest) : this.styles(rest));
  }

  /** @param {File[]} files */
  siblings(files) {
    const { siblings } = this.store.state.texture;
    return this.#most(files, this.limits.siblings - siblings.length, `${this.limits.siblings} other maps`,
      picture => this.store.update(({ texture }) => { texture.siblings.push(picture); }));
  }

  /** Add styles, or put the first in the place of another. @param {File[]} files @param {number} [at] */
  styles(files, at) {
    const { styles } = this.store.state.style, free = this.limits.styles - styles.length;
    return this.#most(files, at === undefined ? free : 1, at === undefined ? `${this.limits.styles} styles` : "1 style", picture => this.store.update(({ style }) => {
      if (at !== undefined && style.styles[at]) style.styles[at].picture = picture;
      else style.styles.push({ picture, mask: null, weight: newWeight(style.styles) });
    }));
  }

  /** Take as many files as there is room for, and say which are left out. @param {File[]} files @param {number} room @param {string} most @param {(picture: any) => void} take */
  async #most(files, room, most, take) {
    await this.#each(files.slice(0, room), take);
    const names = files.slice(room).map(({ name }) => name);
    if (names.length) this.report(new Error(`${names.join(", ")} left out: there can be ${most} at most.`));
  }

  /** What is dropped or pasted anywhere: it goes where something is missing first. @param {File[]} files */
  anywhere(files) {
    const { workspace, style } = this.store.state;
    const toStyles = workspace === "style" && style.picture && style.styles.length < this.limits.styles;
    return toStyles ? this.styles(files) : this.main(files);
  }

  /** @param {"picture"} _ */
  remove(_) {
    this.painter.forget();
    this.store.update(state => {
      state[state.workspace].picture = null;
      state.texture.hole = state.texture.picture && state.texture.hole;
      if (!state.style.picture) state.style.styles.forEach(style => { style.mask = null; });
    });
  }

  /** @param {number} n */
  removeSibling(n) {
    this.store.update(({ texture }) => texture.siblings.splice(n, 1));
  }

  /** @param {number} n */
  removeStyle(n) {
    this.painter.forget();
    this.store.update(({ style }) => { style.styles.splice(n, 1); });
  }

  /** @param {number} n */
  removeMask(n) {
    this.painter.forget();
    this.store.update(({ style }) => { style.styles[n].mask = null; });
  }
}

/** Take what is dropped on the page or pasted into it. @param {Intake} intake @param {HTMLElement} stage */
export function takeEverywhere(intake, stage) {
  droppable(stage, files => intake.anywhere(files));
  droppable(document.documentElement, files => intake.anywhere(files));
  // What has no file, like a link or a picture of another page, would be opened in place of this page.
  for (const kind of ["dragover", "drop"])
    document.addEventListener(kind, event => {
      const target = /** @type {Element} */ (event.target);
      if (event.defaultPrevented || target.closest?.("input:not([type=file]), textarea")) return;
      event.preventDefault();
      if (kind === "drop") intake.report(new Error("There was no file in it. Drop files of pictures: those that are in a folder, or one that you have saved from another page."));
    });
  // The small pictures of the page are no input: they would come in as small as they are.
  document.addEventListener("dragstart", event => {
    if (event.target instanceof HTMLImageElement) event.preventDefault();
  });
  document.addEventListener("paste", event => {
    const files = [...(event.clipboardData?.files ?? [])].filter(file => file.type.startsWith("image/"));
    if (!files.length) return;
    event.preventDefault();
    intake.anywhere(files.map(file => (file.name === "image.png" ? new File([file], "pasted.png", { type: file.type }) : file)));
  });
}
