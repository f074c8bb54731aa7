// Painting: which mask is under the brush, what the brush does to it, and sending it to the server.

import { bitmap } from "./api.js";
import { Mask } from "./mask.js";
import { upload } from "./uploads.js";

/**
 * @typedef {{kind: "hole"} | {kind: "style", index: number}} Target
 * @typedef {import("./store.js").Picture} Picture
 */

const LONGEST_MASK = 2048;
const SEND_AFTER_MS = 250;

/** Colours of styles, as on the pad, and of holes. */
export const TINTS = ["#2f8fe0", "#e0662f", "#3aa655", "#b04fc4"];
const HOLE_TINT = "#ff3d8b";

/** Scroll to what a low window does not show. @param {HTMLElement} element */
function bringIntoSight(element) {
  const { top, bottom } = element.getBoundingClientRect();
  if (top < 0 || bottom > innerHeight) element.scrollIntoView({ block: "nearest" });
}

/** Owns the masks of this tab and the brush. */
export class Painter {
  /** @type {Target | null} */
  target = null;
  erase = false;
  /** Diameter as a share of the picture's longer side. */
  share = 0.08;
  /** Called when target, mask or brush have changed. */
  onShow = () => {};
  #down = false;
  /** @type {[number, number] | null} in pixels of the full picture */
  #at = null;
  /** @type {Map<string, Mask>} */
  #masks = new Map();
  #timer = 0;
  /** Whether the last stroke has not reached the server. */
  #unsent = false;
  #sending = Promise.resolve();

  /**
   * @param {import("./store.js").Store} store
   * @param {import("./stage.js").Stage} stage
   * @param {(error: Error) => void} report
   * @param {() => void} changed called when the brush is taken up or laid down
   */
  constructor(store, stage, report, changed) {
    this.store = store;
    this.stage = stage;
    this.report = report;
    this.changed = changed;
  }

  /** The picture that is painted on. @param {Target} target @returns {Picture | null} */
  #picture(target) {
    const { texture, style } = this.store.state;
    return target.kind === "hole" ? texture.picture : style.picture;
  }

  /** @param {Target} target */
  #key(target) {
    return `${this.#picture(target)?.id} ${target.kind === "style" ? target.index : "hole"}`;
  }

  /** @returns {Mask | undefined} under the brush */
  get mask() {
    return this.target ? this.#masks.get(this.#key(this.target)) : undefined;
  }

  /** Name of the style whose mask is under the brush. */
  get styleName() {
    const { styles } = this.store.state.style;
    return this.target?.kind === "style" ? styles[this.target.index]?.picture.name ?? "" : "";
  }

  /** Take up the brush, or lay it down with null. @param {Target | null} target */
  async paint(target) {
    if (this.#timer) this.#send();
    if (this.#unsent) await this.#sending;
    this.target = target;
    this.erase = false;
    this.#at = null;
    this.stage.canvas.parentElement?.classList.toggle("painting", !!target);
    if (target) bringIntoSight(this.stage.canvas);
    if (target && !this.mask) await this.#open(target);
    this.show();
    this.changed();
  }

  /** Forget masks, of a style that was removed or a picture that was changed. */
  forget() {
    this.#masks.clear();
    this.target = null;
    this.stage.canvas.parentElement?.classList.remove("painting");
    this.show();
  }

  async #open(target) {
    const picture = this.#picture(target);
    if (!picture) return;
    const reduce = target.kind === "hole" ? 1 : Math.min(1, LONGEST_MASK / Math.max(picture.width, picture.height));
    const mask = new Mask(Math.max(1, Math.round(picture.width * reduce)), Math.max(1, Math.round(picture.height * reduce)));
    this.#masks.set(this.#key(target), mask);
    const kept = this.#kept(target);
    try {
      if (kept) mask.apply({ kind: "image", image: await bitmap(`/v1/pictures/${kept.id}/view`) });
    } catch (error) {
      this.report(error);
    }
  }

  #kept(target) {
    const { texture, style } = this.store.state;
    return target.kind === "hole" ? texture.hole : style.styles[target.index]?.mask ?? null;
  }

  /** Draw mask and brush. */
  show() {
    const { target, mask, stage } = this, size = Math.max(...stage.scene.size) * this.share;
    const tint = target?.kind === "style" ? TINTS[target.index] : HOLE_TINT;
    stage.set({
      mask: target && mask ? { canvas: this.#down ? mask.canvas : mask.soft, tint } : null,
      brush: target && this.#at ? { x: this.#at[0], y: this.#at[1], size, erase: this.erase } : null,
    });
    this.onShow();
  }

  /** @param {[number, number]} at in pixels of the full picture @param {string} phase */
  move(at, phase) {
    const { mask, stage } = this;
    if (!mask) return;
    if (phase === "leave") this.#at = null;
    else this.#at = at;
    if (phase === "begin") {
      this.#down = true;
      mask.begin(this.#scaled(mask, at), Math.max(1, this.share * Math.max(mask.canvas.width, mask.canvas.height)), this.erase);
    } else if (phase === "move" && this.#down) mask.extend(this.#scaled(mask, at));
    else if (phase === "end") {
      this.#down = false;
      this.#later();
    }
    if (phase !== "hover") stage.redraw();
    this.show();
  }

  /** Keys of the brush: arrows, space, brackets, E and Z. @param {string} key @param {KeyboardEvent} event */
  key(key, event) {
    const [width, height] = this.stage.scene.size;
    const step = Math.max(width, height) * (event.shiftKey ? 0.1 : 0.02);
    const arrows = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
    const at = this.#at ?? /** @type {[number, number]} */ ([width / 2, height / 2]);
    if (key in arrows) {
      const [dx, dy] = arrows[key];
      const next = /** @type {[number, number]} */ ([Math.min(width, Math.max(0, at[0] + dx)), Math.min(height, Math.max(0, at[1] + dy))]);
      this.move(next, this.#down ? "move" : "hover");
    } else if (key === " ") {
      if (!event.repeat) this.move(at, "begin");
    } else if (key === "up  ") this.move(at, "end");
    else if (key === "[" || key === "]") this.resize(this.share * (key === "]" ? 1.25 : 0.8));
    else if (key === "e") this.toggleErase();
    else if (key === "z") this.edit("undo");
    else if (key === "Escape") this.paint(null);
    else return false;
    return true;
  }

  /** @param {number} share */
  resize(share) {
    this.share = Math.min(1, Math.max(0.004, share));
    this.show();
  }

  /** From pixels of the full picture to those of a mask. @param {Mask} mask @param {[number, number]} at @returns {[number, number]} */
  #scaled({ canvas }, [x, y]) {
    const [width, height] = this.stage.scene.size;
    return [x * canvas.width / width, y * canvas.height / height];
  }

  /** Let the edges of the mask fade over a share of the picture's longer side. @param {number} share */
  fade(share) {
    const { mask } = this;
    if (!mask) return;
    mask.fade = share * Math.max(mask.canvas.width, mask.canvas.height);
    this.#later();
    this.show();
  }

  toggleErase() {
    this.erase = !this.erase;
    this.show();
  }

  /** @param {"undo" | "clear" | "invert"} what */
  edit(what) {
    if (!this.mask) return;
    if (what === "undo") this.mask.undo();
    else this.mask.apply({ kind: what });
    this.#later();
    this.show();
  }

  #later() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#send(), SEND_AFTER_MS);
  }

  /** Send the mask to the server, where requests name it; the last one comes last. */
  #send() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    const { mask, target } = this;
    if (!mask || !target) return;
    const key = this.#key(target);
    this.#unsent = true;
    this.#sending = this.#sending.then(() => this.#deliver(mask, target, key));
  }

  /** @param {Mask} mask @param {Target} target @param {string} key of the target when it was painted */
  async #deliver(mask, target, key) {
    this.#unsent = true;
    try {
      const name = target.kind === "hole" ? "hole.png" : `mask-${target.index + 1}.png`;
      const sent = mask.empty ? null : await upload(new File([await mask.blob()], name, { type: "image/png" }));
      this.#unsent = false;
      if (key !== this.#key(target)) return;
      this.store.update(({ texture, style }) => {
        if (target.kind === "hole") texture.hole = sent;
        else if (style.styles[target.index]) style.styles[target.index].mask = sent;
      });
    } catch (error) {
      this.report(error);
    }
  }

  /** Send what was painted while the server was away. */
  sendAgain() {
    if (this.#unsent) this.#send();
  }

  /** Take a picture of the user's for the mask. @param {File} file */
  async load(file) {
    try {
      const picture = await upload(file);
      this.mask?.apply({ kind: "image", image: await bitmap(`/v1/pictures/${picture.id}/view`) });
      this.#later();
      this.show();
    } catch (error) {
      this.report(error);
    }
  }
}
