// The square pad of style weights, by pointer and by arrow keys.

import { element } from "./dom.js";
import { TINTS } from "./painter.js";
import { freeShares, freeStyles, isOnPad, padCorners, padPlace, padWeights, rounded } from "./weights.js";

const STEP = 0.05;

const OFF_PAD = "No place on the pad mixes just like this; the hollow knob is where it comes near. Moving it makes a mix of the pad.";

/** The pad of the styles without a mask, and the list of their weights; shows itself from two of them on. @param {import("./store.js").Store} store */
export function styleExtras(store) {
  const knob = element("span", { class: "knob" });
  const pictures = element("div");
  const pad = element("div", { class: "pad", id: "pad", tabindex: 0, role: "slider", "aria-label": "Weights of the styles",
    "aria-roledescription": "pad", "aria-valuemin": 0, "aria-valuemax": 100, "data-help": "Where the knob is says how much of each style goes in: its corners are the styles. Arrow keys move it, Home puts it in the middle." }, pictures, knob);
  const list = element("ul", { class: "weights" });
  const aside = element("p", { class: "note", id: "off-pad", text: OFF_PAD });
  const root = element("div", {}, element("div", { class: "padrow" }, pad, list), aside);
  let built = "";

  const put = (x, y) => store.update(({ style }) => {
    const exact = value => Number(Math.min(1, Math.max(0, value)).toFixed(3));
    const styles = freeStyles(style.styles), weights = padWeights([exact(x), exact(y)], styles.length);
    styles.forEach((each, n) => { each.weight = weights[n]; });
  });
  const point = event => {
    const box = pad.getBoundingClientRect();
    put((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
  };
  pad.addEventListener("pointerdown", event => {
    pad.setPointerCapture(event.pointerId);
    point(event);
  });
  pad.addEventListener("pointermove", event => pad.hasPointerCapture(event.pointerId) && point(event));
  pad.addEventListener("keydown", event => {
    const [x, y] = padPlace(freeShares(store.state.style.styles)), step = event.shiftKey ? STEP * 4 : STEP;
    const to = { ArrowLeft: [x - step, y], ArrowRight: [x + step, y], ArrowUp: [x, y - step], ArrowDown: [x, y + step], Home: [0.5, 0.5] }[event.key];
    if (!to) return;
    event.preventDefault();
    put(to[0], to[1]);
  });

  function show() {
    const all = store.state.style.styles, styles = freeStyles(all), tints = all.map((_, n) => TINTS[n]).filter((_, n) => !all[n].mask);
    const count = styles.length, shares = freeShares(all), weights = rounded(shares), at = padPlace(shares);
    root.hidden = count < 2;
    if (root.hidden) return;
    const key = styles.map(({ picture }, n) => picture.id + tints[n]).join();
    if (key !== built) {
      built = key;
      const tiles = styles.map(({ picture }, n) => {
        const image = element("img", { src: `/v1/pictures/${picture.id}/view?side=128`, alt: "", draggable: "false" });
        const [left, top] = padCorners(count)[n], whole = count === 3 && n === 2;
        image.style.left = whole ? "0" : `${left * 50}%`;
        image.style.top = `${top * 50}%`;
        if (whole) image.style.width = "100%";
        if (count === 2) image.style.height = "100%";
        return image;
      });
      pictures.replaceChildren(...tiles);
      list.replaceChildren(...styles.map(({ picture }, n) => {
        const item = element("li", {}, element("span", { class: "chip" }), element("span", { class: "who", text: picture.name }), element("span", { class: "share" }));
        item.style.setProperty("--tint", tints[n]);
        return item;
      }));
    }
    pad.classList.toggle("flat", count === 2);
    const off = !isOnPad(shares);
    knob.classList.toggle("hollow", off);
    aside.hidden = !off;
    knob.style.left = `${at[0] * 100}%`;
    knob.style.top = count === 2 ? "50%" : `${at[1] * 100}%`;
    [...list.querySelectorAll(".share")].forEach((share, n) => { share.textContent = `${Math.round(weights[n] * 100)} %`; });
    pad.setAttribute("aria-valuenow", Math.round(at[0] * 100));
    pad.setAttribute("aria-valuetext", styles.map(({ picture }, n) => `${picture.name} ${Math.round(weights[n] * 100)} percent`).join(", ") + (off ? ", near this place" : ""));
  }

  store.subscribe(show);
  show();
  return root;
}
