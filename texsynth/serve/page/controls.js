// One control for one setting: a slider with its number, a switch, a choice or a size.

import { element, segments, choose } from "./dom.js";
import { choiceText, helpText, label } from "./texts.js";

/**
 * @typedef {import("./looks.js").Setting} Setting
 * @typedef {{root: HTMLElement, show: (value: any, base: any) => void}} Control
 */

const POSITIONS = 100;
const LARGEST_SIDE = 16384;

/**
 * @param {Setting} setting
 * @param {(value: any) => void} change
 * @param {() => void} reset
 * @param {string} task
 * @returns {Control}
 */
export function settingControl(setting, change, reset, task) {
  const id = `set-${setting.path}`;
  const again = element("button", {
    type: "button", class: "reset", text: "↺", title: "Back to the preset's value",
    "aria-label": `Reset ${label(setting.path)}`, on: { click: reset },
  });
  const name = element("label", { for: id, text: label(setting.path) });
  const line = element("div", { class: "line" }, name, again);
  const help = helpText(setting.path, task, setting.help);
  const about = element("p", { class: "about", id: `${id}-about`, text: help });
  const root = element("div", { class: "setting", "data-path": setting.path, "data-help": help }, line);
  const kind = { number: slider, integer: slider, boolean: toggle, choice: options, size: sides }[setting.type];
  const show = kind(setting, id, { root, line, name }, change);
  for (const input of root.querySelectorAll("input, select")) input.setAttribute("aria-describedby", about.id);
  root.append(about);
  return {
    root,
    show(value, base) {
      const changed = JSON.stringify(value) !== JSON.stringify(base);
      root.classList.toggle("changed", changed);
      again.hidden = !changed;
      show(value);
    },
  };
}

/**
 * The map between the positions of a slider, whole numbers from 0 to `steps`, and values. Wide ranges go by ratio, and
 * ranges with a small default have finer steps near their minimum.
 * @param {Setting} setting
 */
export function scaleOf({ type, minimum, maximum, default: usual, step }) {
  const low = minimum ?? 0, high = maximum ?? 1, range = high - low;
  if (type === "integer") return { steps: range, value: p => low + p, position: v => v - low };
  const ratio = low > 0 && high / low >= 16 ? high / low : 0;
  const power = !ratio && (usual - low) / range < 0.1 ? 3 : 1;
  const unit = step ?? (power > 1 || range < 0.2 ? range / 1000 : range > 1.5 ? 0.05 : 0.01);
  const steps = ratio || power > 1 ? POSITIONS : Math.round(range / unit);
  const rounded = v => Number((Math.round(v / unit) * unit).toFixed(unit < 0.01 ? 4 : 2));
  const share = ratio ? p => low * ratio ** p : p => low + range * p ** power;
  const inverse = ratio ? v => Math.log(v / low) / Math.log(ratio) : v => ((v - low) / range) ** (1 / power);
  return {
    steps,
    value: p => (p <= 0 ? low : p >= steps ? high : Math.min(high, Math.max(low, rounded(share(p / steps))))),
    position: v => Math.round(steps * inverse(v)),
  };
}

function slider(setting, id, { root, line, name }, change) {
  const scale = scaleOf(setting);
  const number = element("input", {
    type: "number", id, min: setting.minimum, max: setting.maximum, step: "any", "aria-label": `${label(setting.path)}, number`,
  });
  const range = element("input", { type: "range", id: `${id}-slider`, min: 0, max: scale.steps, step: 1 });
  name.htmlFor = range.id;
  range.addEventListener("input", () => change(scale.value(Number(range.value))));
  number.addEventListener("change", () => {
    const value = Number(number.value);
    if (number.value === "" || Number.isNaN(value)) return change(setting.default);
    const within = Math.min(setting.maximum ?? value, Math.max(setting.minimum ?? value, value));
    change(setting.type === "integer" ? Math.round(within) : within);
  });
  line.append(number);
  root.append(range);
  return value => {
    if (document.activeElement !== number || Number(number.value) !== value) number.value = value;
    if (scale.value(Number(range.value)) !== value) range.value = scale.position(value);
    range.setAttribute("aria-valuetext", String(value));
  };
}

function toggle(setting, id, { line }, change) {
  const box = element("input", { type: "checkbox", id, on: { change: () => change(box.checked) } });
  line.append(box);
  return value => { box.checked = value; };
}

function options(setting, id, { root, line, name }, change) {
  if (setting.path === "mode") {
    const group = segments(id, label(setting.path), (setting.choices ?? []).map(c => [c, choiceText(setting.path, c)]), "", change);
    name.removeAttribute("for");
    line.append(group);
    return value => choose(group, value);
  }
  const numeric = setting.maximum !== null && setting.maximum !== undefined;
  const values = [...(setting.choices ?? []), ...(numeric ? ["number"] : [])];
  const select = element("select", { id }, ...values.map((value, n) => element("option", { value: n, text: choiceText(setting.path, value) })));
  const range = element("input", { type: "range", min: 0, max: 100, "aria-label": `${label(setting.path)}, share` });
  const share = () => Number(((setting.minimum ?? 0) + ((setting.maximum ?? 1) - (setting.minimum ?? 0)) * range.value / 100).toFixed(2));
  select.addEventListener("change", () => {
    const value = values[Number(select.value)];
    change(value === "number" ? share() : value);
  });
  range.addEventListener("input", () => change(share()));
  line.append(select);
  if (numeric) root.append(range);
  return value => {
    const isNumber = typeof value === "number";
    select.value = values.indexOf(isNumber ? "number" : value);
    range.hidden = !isNumber;
    if (isNumber) range.value = Math.round(100 * (value - (setting.minimum ?? 0)) / ((setting.maximum ?? 1) - (setting.minimum ?? 0)));
  };
}

function sides(setting, id, { root, name }, change) {
  const side = what => element("input", { type: "number", min: 1, max: LARGEST_SIDE, step: 1, id: what ? `${id}-${what}` : id });
  const width = side(""), height = side("height");
  width.setAttribute("aria-label", "Width in pixels");
  height.setAttribute("aria-label", "Height in pixels");
  const send = () => {
    const [w, h] = [width, height].map(input => Math.min(LARGEST_SIDE, Math.max(0, Math.round(Number(input.value)))));
    if (!w && !h) change(null);
    else change([w || h, h || w]);
  };
  width.addEventListener("change", send);
  height.addEventListener("change", send);
  name.textContent = `${label(setting.path)}, pixels`;
  root.querySelector(".line").append(element("span", { class: "pair" }, width, "×", height));
  return value => {
    width.value = value ? value[0] : "";
    height.value = value ? value[1] : "";
    width.placeholder = height.placeholder = "auto";
  };
}
