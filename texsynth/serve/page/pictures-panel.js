// The panel of pictures: exemplar, siblings and hole, or content and styles with their masks.

import { button, droppable, element, fileButton, keepingFocus } from "./dom.js";
import { styleExtras } from "./pad.js";
import { TINTS } from "./painter.js";
import { bytesText } from "./texts.js";
import { inPageWords } from "./words.js";

/**
 * @typedef {import("./store.js").Picture} Picture
 * @typedef {import("./intake.js").Intake} Intake
 */

/**
 * @param {HTMLElement} root
 * @param {import("./store.js").Store} store
 * @param {Intake} intake
 * @param {import("./painter.js").Painter} painter
 * @param {{styles: number, siblings: number}} limits
 */
export function picturesPanel(root, store, intake, painter, limits) {
  const pad = styleExtras(store);

  function slot(picture, id, tools, drop, tint) {
    const box = element("div", { class: `slot${tint ? " tinted" : ""}` },
      element("img", { src: `/v1/pictures/${picture.id}/view?side=128`, alt: "" }),
      element("div", { class: "words" },
        element("div", { class: "name", text: picture.name, title: picture.name, id }),
        element("div", { class: "facts", text: facts(picture) }),
        ...picture.warnings.map(warning => element("div", { class: "facts warning", text: inPageWords(warning) })),
        element("div", { class: "tools" }, ...tools)));
    if (tint) box.style.setProperty("--tint", tint);
    droppable(box, drop);
    return box;
  }

  function adder(text, id, choose, multiple = false) {
    const box = fileButton(text, choose, { class: "button add", id, multiple });
    droppable(box, choose);
    return box;
  }

  const change = (choose, id, what) => fileButton("Change", choose, { class: "", id, label: `Change ${what}` });
  const remove = (picture, act, id) => button("Remove", act, { id, "aria-label": `Remove ${picture.name}` });

  function texture() {
    const { picture, siblings, task, hole } = store.state.texture;
    const parts = [element("p", { class: "role", text: "The texture to start from" })];
    if (!picture) return [...parts, adder("Choose a texture", "choose-picture", files => intake.main(files))];
    const painting = painter.target?.kind === "hole";
    const tools = [change(files => intake.main(files), "change-picture", "the texture"), remove(picture, () => intake.remove("picture"), "remove-picture")];
    if (task === "hole")
      tools.push(button(painting ? "Stop painting" : hole ? "Repaint hole" : "Paint the hole", () => painter.paint(painting ? null : { kind: "hole" }), { id: "paint-hole" }));
    parts.push(slot(picture, "picture-name", tools, files => intake.main(files)));
    if (task === "maps") return parts;
    parts.push(element("p", { class: "role", text: "Other maps of this texture, changed in the same way" }));
    siblings.forEach((sibling, n) => parts.push(
      slot(sibling, `sibling-${n}`, [remove(sibling, () => intake.removeSibling(n), `remove-sibling-${n}`)], files => intake.siblings(files))));
    if (siblings.length < limits.siblings)
      parts.push(adder(siblings.length ? "Add a map" : "Add normals, roughness, height …", "add-sibling", files => intake.siblings(files), true));
    return parts;
  }

  function style() {
    const { picture, styles } = store.state.style;
    const parts = [element("p", { class: "role", text: "The picture that is changed" })];
    parts.push(picture
      ? slot(picture, "picture-name", [change(files => intake.main(files), "change-picture", "the picture"), remove(picture, () => intake.remove("picture"), "remove-picture")], files => intake.main(files))
      : adder("Choose a picture", "choose-picture", files => intake.main(files)));
    parts.push(element("p", { class: "role", text: styles.length > 1 ? "Styles" : "Style" }));
    styles.forEach((each, n) => parts.push(slot(each.picture, `style-${n}`, styleTools(each, n), files => intake.styles(files, n), styles.length > 1 || each.mask ? TINTS[n] : undefined)));
    if (styles.length < limits.styles)
      parts.push(adder(styles.length ? "Add a style to blend" : "Choose a style", "add-style", files => intake.styles(files), true));
    if (styles.some(({ mask }) => mask))
      parts.push(element("p", { class: "note", text: styles.every(({ mask }) => mask)
        ? "Each style goes where its mask is; what no mask covers stays as it is."
        : "Styles with a mask go where it is; those without take the rest." }));
    return [...parts, pad];
  }

  function styleTools({ picture, mask }, n) {
    const painting = painter.target?.kind === "style" && painter.target.index === n;
    const tools = [change(files => intake.styles(files, n), `change-style-${n}`, picture.name)];
    if (store.state.style.picture)
      tools.push(button(painting ? "Stop painting" : mask ? "Repaint" : "Paint a mask",
        () => painter.paint(painting ? null : { kind: "style", index: n }), { id: `paint-${n}`, title: "Paint where in the picture this style goes" }));
    if (mask && !painting) tools.push(button("No mask", () => intake.removeMask(n), { id: `unmask-${n}` }));
    return [...tools, remove(picture, () => intake.removeStyle(n), `remove-style-${n}`)];
  }

  let built = "";
  function show() {
    const { state } = store;
    const key = JSON.stringify([state.workspace, state.texture.task, state.texture, state.style.picture, state.style.styles, painter.target]);
    if (key === built) return;
    built = key;
    keepingFocus(() => root.replaceChildren(element("section", { class: "group" }, element("h2", { text: "Pictures" }),
      ...(state.workspace === "texture" ? texture() : style()))));
  }

  store.subscribe(show);
  show();
  return show;
}

/** @param {Picture} picture */
function facts({ width, height, bytes, kind }) {
  return kind === "card" ? `style card, ${bytesText(bytes)}` : `${width} × ${height}, ${bytesText(bytes)}`;
}
