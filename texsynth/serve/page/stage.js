// The picture on its canvas: alone, before and after, tiled, with a painted mask on top.

import { fitted, moved, toPicture, zoomedTo } from "./viewport.js";

/**
 * @typedef {object} Scene
 * @property {CanvasImageSource | null} after
 * @property {CanvasImageSource | null} before
 * @property {[number, number] | null} beforeSize null stretches `before` over the picture; else it is repeated at this size
 * @property {[number, number]} size of the full picture; all that is drawn is stretched to it
 * @property {"result" | "compare" | "tiled"} mode
 * @property {number} split 0 to 1, left of it is `before`
 * @property {boolean} exact whether pixels are to be seen as squares when enlarged
 * @property {{canvas: HTMLCanvasElement, tint: string} | null} mask
 * @property {{x: number, y: number, size: number, erase: boolean} | null} brush in pixels of the full picture
 */

const TILES = 3;
const STEP = 1.25;
/** Colours and widths of lines that show on any picture. @type {[string, number][]} */
const OUTLINE = [["#000a", 4], ["#fff", 2]];

/** Draws a scene, and knows zoom and place. */
export class Stage {
  /** @type {Scene} */
  scene = { after: null, before: null, beforeSize: null, size: [1, 1], mode: "result", split: 0.5, exact: false, mask: null, brush: null };
  /** @type {import("./viewport.js").Viewport} */
  view = { zoom: 1, x: 0, y: 0, fit: true };
  /** Called when zoom changes. */
  onZoom = () => {};
  #waiting = false;
  #tint = document.createElement("canvas");

  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.canvas = canvas;
    new ResizeObserver(() => this.redraw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.redraw());
  }

  /** @returns {[number, number]} of the window, in CSS pixels */
  get area() {
    return [Math.max(1, this.canvas.clientWidth), Math.max(1, this.canvas.clientHeight)];
  }

  /** @returns {[number, number]} of everything drawn, at zoom 1 */
  get content() {
    const times = this.scene.mode === "tiled" ? TILES : 1;
    return [this.scene.size[0] * times, this.scene.size[1] * times];
  }

  /** @param {Partial<Scene>} part */
  set(part) {
    const before = this.scene;
    this.scene = { ...before, ...part };
    const { size, mode } = this.scene;
    if (mode !== before.mode && (mode === "tiled" || before.mode === "tiled")) this.view.fit = true;
    if (size[0] !== before.size[0] || size[1] !== before.size[1]) this.view.fit = true;
    this.redraw();
  }

  /** Draw soon, once for however many changes. */
  redraw() {
    if (this.#waiting) return;
    this.#waiting = true;
    requestAnimationFrame(() => {
      this.#waiting = false;
      this.#draw();
    });
  }

  fit() {
    this.view.fit = true;
    this.redraw();
  }

  /** @param {number} zoom @param {[number, number]} [at] */
  zoomTo(zoom, at = [this.area[0] / 2, this.area[1] / 2]) {
    this.view = zoomedTo(this.view, zoom, at, this.area, this.content);
    this.redraw();
  }

  /** @param {number} steps @param {[number, number]} [at] */
  zoomBy(steps, at) {
    this.zoomTo(this.view.zoom * STEP ** steps, at);
  }

  /** @param {number} dx @param {number} dy in CSS pixels */
  move(dx, dy) {
    this.view = moved(this.view, dx, dy, this.area, this.content);
    this.redraw();
  }

  /** @param {[number, number]} at in the window @returns {[number, number]} */
  toPicture(at) {
    return toPicture(this.view, at);
  }

  #draw() {
    const { canvas, scene } = this, [width, height] = this.area, dense = window.devicePixelRatio || 1;
    canvas.width = Math.round(width * dense);
    canvas.height = Math.round(height * dense);
    if (this.view.fit) this.view = fitted([width, height], this.content);
    this.onZoom();
    const shown = scene.after ?? scene.before;
    if (!shown) return;
    const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    const { zoom, x, y } = this.view;
    context.setTransform(dense * zoom, 0, 0, dense * zoom, dense * x, dense * y);
    context.imageSmoothingQuality = "high";
    context.imageSmoothingEnabled = !(scene.exact && dense * zoom >= 3);
    if (scene.mode === "tiled") this.#tiled(context, shown);
    else {
      context.drawImage(shown, 0, 0, ...scene.size);
      if (scene.mode === "compare" && scene.before && scene.after) this.#before(context);
      if (scene.mask) this.#mask(context, scene.mask);
      if (scene.brush) this.#brush(context, scene.brush);
    }
  }

  #tiled(context, shown) {
    const [w, h] = this.scene.size;
    // Whole device pixels, so that no hairline shows between copies of a seamless picture.
    const { a, e, f } = context.getTransform();
    context.setTransform(1, 0, 0, 1, 0, 0);
    const edge = (offset, side, n) => Math.round(offset + a * side * n);
    for (let row = 0; row < TILES; row++)
      for (let column = 0; column < TILES; column++) {
        const left = edge(e, w, column), top = edge(f, h, row);
        context.drawImage(shown, left, top, edge(e, w, column + 1) - left, edge(f, h, row + 1) - top);
      }
  }

  #before(context) {
    const { before, beforeSize, size: [w, h], split } = this.scene, at = w * split;
    context.save();
    context.beginPath();
    context.rect(0, 0, at, h);
    context.clip();
    const [stepX, stepY] = beforeSize ?? [w, h];
    for (let top = 0; top < h; top += stepY)
      for (let left = 0; left < at; left += stepX) context.drawImage(before, left, top, stepX, stepY);
    context.restore();
    const unit = 1 / this.view.zoom;
    for (const [colour, width] of OUTLINE) {
      context.fillStyle = colour;
      context.fillRect(at - width * unit / 2, 0, width * unit, h);
    }
    context.beginPath();
    context.arc(at, h / 2, 10 * unit, 0, 2 * Math.PI);
    context.fillStyle = "#fff";
    context.fill();
    context.lineWidth = 1.5 * unit;
    context.strokeStyle = "#000b";
    context.stroke();
  }

  #mask(context, { canvas, tint }) {
    const layer = this.#tint, paint = /** @type {CanvasRenderingContext2D} */ (layer.getContext("2d"));
    layer.width = canvas.width;
    layer.height = canvas.height;
    paint.drawImage(canvas, 0, 0);
    paint.globalCompositeOperation = "source-in";
    paint.fillStyle = tint;
    paint.fillRect(0, 0, layer.width, layer.height);
    context.globalAlpha = 0.6;
    context.drawImage(layer, 0, 0, ...this.scene.size);
    context.globalAlpha = 1;
  }

  #brush(context, { x, y, size, erase }) {
    const unit = 1 / this.view.zoom;
    context.setLineDash(erase ? [4 * unit, 3 * unit] : []);
    for (const [colour, width] of OUTLINE) {
      context.beginPath();
      context.arc(x, y, size / 2, 0, 2 * Math.PI);
      context.lineWidth = width * unit;
      context.strokeStyle = colour;
      context.stroke();
    }
    context.setLineDash([]);
  }
}
