// What the page says of itself: the line below the picture, and the invitation on an empty one.

import { button, element, fileButton } from "./dom.js";
import { durationText } from "./texts.js";
import { inPageWords } from "./words.js";

/**
 * @typedef {{busy: string | null, error: string | null, cure: {text: string, act: () => void} | null, kind: "none" | "input" | "preview" | "full", name: string,
 *   size: [number, number], preview: number, seconds: number, warnings: string[]}} Status
 */

/** @param {HTMLElement} line @param {Status} status */
export function statusLine(line, { busy, error, cure, kind, name, size, preview, seconds, warnings }) {
  line.classList.toggle("error", !!error);
  const large = `${size[0]} × ${size[1]}`;
  const text = error ?? busy ?? {
    none: "", input: `${name}, ${large}`,
    preview: `Preview, ${Math.max(...size) > preview ? `at ${preview} of ${Math.max(...size)} pixels` : large}, in ${durationText(seconds)}`,
    full: `Full size: ${name}, ${large}`,
  }[kind];
  const help = cure ? [" ", button(cure.text, cure.act, { class: "plain", id: "cure" })] : [];
  const more = error || busy || kind !== "preview" ? [] : warnings.map(warning => element("span", { class: "warning", text: ` · ${inPageWords(warning)}` }));
  if (line.textContent !== text + [...help, ...more].map(each => each.textContent ?? each).join("")) line.replaceChildren(text, ...help, ...more);
}

/** @type {Record<string, [string, string, string]>} */
const INVITATIONS = {
  add: ["Now add a style", "Drop a painting, a drawing or another photograph.", "Choose a style"],
  texture: ["Drop a picture of a texture here", "A photograph of bricks, grass, cloth or stone, straight on and evenly lit. 256 to 512 pixels are a good size.", "Choose a texture"],
  style: ["Drop the picture to be changed here", "A photograph of yours. The next thing will be one to four pictures that give it their style.", "Choose a picture"],
};

/**
 * @param {HTMLElement} root
 * @param {string} workspace
 * @param {"picture" | "style" | "hole" | null} lacking
 * @param {import("./intake.js").Intake} intake
 */
export function invitation(root, workspace, lacking, intake) {
  root.hidden = lacking !== "picture" && lacking !== "style";
  const key = lacking === "style" ? "add" : workspace;
  if (root.hidden || root.dataset.key === key) return;
  root.dataset.key = key;
  root.classList.toggle("card", key === "add");
  const [title, text, choose] = INVITATIONS[key];
  root.replaceChildren(element("h2", { text: title }), element("p", { text }), key === "add"
    ? fileButton(choose, files => intake.styles(files), { class: "button primary", id: "choose-style", multiple: true })
    : fileButton(choose, files => intake.main(files), { class: "button primary", id: "choose-first" }));
}

/** What to do next, or null. @param {string | null} lacking @param {"hole" | "style" | null} painting @param {string} style whose mask is painted */
export function nextStep(lacking, painting, style) {
  if (painting === "hole" || lacking === "hole") return "Paint over what shall go: drag, or use arrow keys and space. Done shows what fills it.";
  if (painting) return `Paint where ${style} goes: drag, or use arrow keys and space. Done shows the result.`;
  return lacking === "style" ? "Now add a style: drop a painting, a drawing or another photograph." : null;
}
