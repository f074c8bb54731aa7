// The preview follows the controls: the newest request wins. Of textures a rough one comes first.

import { call, isSuperseded } from "./api.js";

const WAIT_MS = 120;
/** A preview that has run for longer than this is broken off for a newer one; a shorter one is let end. */
const PATIENCE_MS = 500;
/** Commands whose previews take seconds. */
const SLOW = ["expand", "tile"];

/**
 * @typedef {{image: ImageBitmap, seconds: number, warnings: string[], request: import("./request.js").Request,
 *   size: [number, number], rough: boolean}} Preview size: that of the full result; rough: a true one follows
 */

/** Asks for previews, one at a time. */
export class Previewer {
  /** @type {{request: any, size: [number, number], body: object, rough: boolean} | null} */
  #next = null;
  /** @type {AbortController | null} */
  #running = null;
  #started = 0;
  #timer = 0;

  /**
   * @param {(preview: Preview) => void} show
   * @param {(error: Error) => void} fail
   * @param {(busy: boolean) => void} busy
   */
  constructor(show, fail, busy) {
    this.show = show;
    this.fail = fail;
    this.busy = busy;
  }

  /** Ask for a preview, in place of all before. @param {import("./request.js").Request} request @param {[number, number]} size @param {object} more */
  ask(request, size, more) {
    this.#next = { request, size, body: { ...request, ...more }, rough: SLOW.includes(request.command) };
    this.busy(true);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#begin(), WAIT_MS);
  }

  /** Want none any more. */
  stop() {
    this.#next = null;
    clearTimeout(this.#timer);
    this.#running?.abort();
    this.busy(false);
  }

  async #begin() {
    if (!this.#next) return;
    if (this.#running) {
      const age = performance.now() - this.#started;
      if (age < PATIENCE_MS) this.#timer = setTimeout(() => this.#begin(), PATIENCE_MS - age);
      else this.#running.abort();
      return;
    }
    const asked = this.#next, { request, size, body } = asked;
    this.#next = null;
    const controller = new AbortController();
    this.#running = controller;
    // What follows a rough preview gives way at once.
    this.#started = SLOW.includes(request.command) && !asked.rough ? -Infinity : performance.now();
    const start = performance.now();
    try {
      const response = await call("POST", "/v1/preview", { json: { ...body, rough: asked.rough }, signal: controller.signal });
      const image = await createImageBitmap(await response.blob());
      const seconds = Number(response.headers.get("X-Seconds")) || (performance.now() - start) / 1000;
      const rough = response.headers.get("X-Rough") === "true";
      if (rough && !controller.signal.aborted) this.#next ??= { ...asked, rough: false };
      if (!controller.signal.aborted) this.show({ image, seconds, request, size, rough, warnings: JSON.parse(response.headers.get("X-Warnings") ?? "[]") });
    } catch (error) {
      if (!isSuperseded(error) && !this.#next) this.fail(error);
    } finally {
      this.#running = null;
    }
    clearTimeout(this.#timer);
    if (this.#next) this.#begin();
    else this.busy(false);
  }
}
