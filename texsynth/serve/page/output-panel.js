// What belongs to the file and not to the look: seed, longest side and format.

import { button, element } from "./dom.js";

const LARGEST_SEED = 9999;

/** @param {HTMLElement} root @param {import("./store.js").Store} store @param {string[]} formats */
export function outputPanel(root, store, formats) {
  const change = part => store.update(({ run }) => Object.assign(run, part));
  const whole = (input, low) => (input.value === "" ? null : Math.max(low, Math.round(Number(input.value))));
  const seed = element("input", { type: "number", id: "seed", min: 0, step: 1, on: { change: () => change({ seed: whole(seed, 0) ?? 0 }) } });
  const side = element("input", { type: "number", id: "max-side", min: 16, step: 1, placeholder: "as it is", on: { change: () => change({ max_side: whole(side, 1) }) } });
  const format = element("select", { id: "format", on: { change: () => change({ format: format.value || null }) } },
    element("option", { value: "", text: "Automatic" }), ...formats.map(name => element("option", { value: name, text: name.toUpperCase() })));
  const another = button("Another", () => change({ seed: Math.floor(Math.random() * LARGEST_SEED) + 1 }), { id: "another", title: "Another number, another result" });
  const sideRow = row("max-side", "Longest side, pixels", "Larger pictures are reduced to this many pixels on the longer side.", side);
  root.replaceChildren(element("section", { class: "group" }, element("h2", { text: "Result" }),
    row("seed", "Variation", "Chance plays its part: another number gives another result, the same number the same one again. Commands call it the seed.", element("span", { class: "pair" }, seed, another)),
    sideRow, row("format", "Format", "Of the file that you download. Automatic is that of the picture where it can hold the result.", format)));

  function show() {
    const { run, workspace } = store.state;
    if (document.activeElement !== seed || whole(seed, 0) !== run.seed) seed.value = run.seed;
    side.value = run.max_side ?? "";
    format.value = run.format ?? "";
    sideRow.hidden = workspace !== "style";
  }
  store.subscribe(show);
  show();
}

function row(id, text, help, input) {
  return element("div", { class: "setting", "data-help": help },
    element("div", { class: "line" }, element("label", { for: id, text }), input), element("p", { class: "about", text: help }));
}
