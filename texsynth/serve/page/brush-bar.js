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
  const erase = button("Erase", () => painter.toggleErase(), { id: "brush-erase", title: "E" });
  const undo = button("Undo", () => painter.edit("undo"), { id: "brush-undo", title: "Z" });
  root.replaceChildren(what, element("label", { class: "inline" }, "Brush", size), erase, undo,
    button("Invert", () => painter.edit("invert"), { id: "brush-invert" }),
    button("Clear", () => painter.edit("clear"), { id: "brush-clear" }),
    fileButton("From a file…", ([file]) => painter.load(file), { label: "Mask from a file", id: "brush-file" }),
    button("Done", () => painter.paint(null), { id: "brush-done", class: "primary push", title: "Escape" }));

  painter.onShow = () => {
    const { target, mask } = painter;
    root.hidden = !target;
    undo.disabled = !mask?.operations.length;
    erase.setAttribute("aria-pressed", String(painter.erase));
    size.value = toSlider(painter.share);
    what.textContent = target?.kind === "style" ? `Where ${painter.store.state.style.styles[target.index]?.picture.name} goes` : "The hole to fill";
  };
}
