// The preview follows the controls: the newest request wins.

import { call, isSuperseded } from "./api.js";

const WAIT_MS = 120;
/** A preview that has run for longer than this is broken off for a newer one; a shorter one is let end. */
const PATIENCE_MS = 500;

/**
 * @typedef {{image: ImageBitmap, seconds: number, warnings: string[], request: import("./request.js").Request,
 *   size: [number, number]}} Preview size: that of the full result
 */

/** Asks for previews, one at a time. */
export class Previewer {
  /** @type {{request: any, size: [number, number], body: object} | null} */
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
    this.#next = { request, size, body: { ...request, ...more } };
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
    const { request, size, body } = this.#next;
    this.#next = null;
    const controller = new AbortController();
    this.#running = controller;
    this.#started = performance.now();
    try {
      const response = await call("POST", "/v1/preview", { json: body, signal: controller.signal });
      const image = await createImageBitmap(await response.blob());
      const seconds = Number(response.headers.get("X-Seconds")) || (performance.now() - this.#started) / 1000;
      if (!controller.signal.aborted) this.show({ image, seconds, request, size, warnings: JSON.parse(response.headers.get("X-Warnings") ?? "[]") });
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
