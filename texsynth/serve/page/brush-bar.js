// The tools of the brush, below the picture while it is painted on.

import { button, element, fileButton } from "./dom.js";

/** Shares of the picture lie so far apart that the slider goes by their square root, in hundredths. */
const toSlider = share => Math.round(100 * Math.sqrt(share));
const toShare = value => (value / 100) ** 2;

/**
 * @param {HTMLElement} root
 * @param {import("./painter.js").Painter} painter
 */
export function brushBar(root, painter) {
  const what = element("strong", { id: "brush-what" });
  const size = element("input", { type: "range", id: "brush-size", min: 6, max: 70, on: { input: () => painter.resize(toShare(Number(size.value))) } });
  const fade = element("input", { type: "range", id: "brush-fade", min: 0, max: 20, on: { input: () => painter.fade(Number(fade.value) / 100) } });
  const soft = element("label", { class: "inline", title: "How far the edge of the mask fades" }, "Soft edge", fade);
  const erase = button("Erase", () => painter.toggleErase(), { id: "brush-erase", title: "E" });
  const undo = button("Undo", () => painter.edit("undo"), { id: "brush-undo", title: "Z" });
  // Two rows where the window is narrow.
  root.replaceChildren(what,
    element("div", { class: "strokes" }, element("label", { class: "inline" }, "Brush", size), soft),
    element("div", { class: "edits" }, erase, undo,
      button("Invert", () => painter.edit("invert"), { id: "brush-invert" }),
      button("Clear", () => painter.edit("clear"), { id: "brush-clear" }),
      fileButton("File…", ([file]) => painter.load(file), { label: "File… with a mask", id: "brush-file" }),
      button("Done", () => painter.paint(null), { id: "brush-done", class: "primary push", title: "Escape" })));

  painter.onShow = () => {
    const { target, mask } = painter;
    root.hidden = !target;
    undo.disabled = !mask?.operations.length;
    erase.setAttribute("aria-pressed", String(painter.erase));
    size.value = toSlider(painter.share);
    soft.hidden = target?.kind !== "style";
    fade.value = mask ? Math.round(100 * mask.fade / Math.max(mask.canvas.width, mask.canvas.height)) : 0;
    what.textContent = target?.kind === "style" ? `Mask of ${painter.styleName}` : "The hole to fill";
    what.title = what.textContent;
  };
}
