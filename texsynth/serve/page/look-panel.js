// The panel of presets and settings.

import { button, element, keepingFocus } from "./dom.js";
import { settingControl } from "./controls.js";
import { lookName } from "./store.js";
import { applies, groupOf, presetTexts } from "./texts.js";

/**
 * Show the preset and all settings of the command in front, and follow the state.
 * @param {HTMLElement} root
 * @param {import("./looks.js").Looks} looks
 */
export function lookPanel(root, looks) {
  /** @type {Map<string, import("./controls.js").Control>} */
  let controls = new Map();
  let built = "";
  const note = element("p", { class: "note", id: "preset-about" }), rest = element("p", { class: "note" });
  const more = element("details", { class: "more", id: "preset-more" }, element("summary", { text: "More about it" }), rest);
  const back = button("Reset all", () => looks.choose(looks.look.preset), { class: "plain", title: "All settings back to the preset's values" });
  /** @type {HTMLSelectElement} */
  const select = element("select", { id: "preset", "aria-label": "Preset", "aria-describedby": note.id });
  select.addEventListener("change", () => looks.choose(select.value || null));

  function build() {
    const { command } = looks;
    controls = new Map();
    const task = lookName(looks.store.state);
    const open = new Set([.../** @type {NodeListOf<HTMLElement>} */ (root.querySelectorAll("details[open]"))].map(each => each.dataset.group));
    const plain = element("div"), folded = new Map();
    for (const setting of command.settings) {
      const { path } = setting;
      const control = settingControl(setting, value => looks.set(path, value), () => {
        looks.set(path, looks.base(path));
        document.getElementById(`set-${path}`)?.focus();
      }, task);
      controls.set(path, control);
      const group = groupOf(path);
      if (!group) plain.append(control.root);
      else {
        if (!folded.has(group)) folded.set(group, element("div", { class: "inside" }));
        folded.get(group).append(control.root);
      }
    }
    const groups = [...folded].map(([title, inside]) =>
      element("details", { "data-group": title, open: open.has(title) }, element("summary", { text: title }), inside));
    select.replaceChildren(...command.presets.map(preset =>
      element("option", { value: preset.name, text: preset.own ? `${preset.name} (yours)` : preset.name })));
    const chooser = command.presets.length ? [element("div", { class: "preset" }, select, back), note, more] : [element("div", { class: "row" }, back)];
    root.replaceChildren(element("section", { class: "group" }, element("h2", { text: task === "maps" ? "Settings" : "Look" }),
      ...chooser, plain, ...groups));
  }

  function show() {
    const task = lookName(looks.store.state);
    const key = `${task} ${looks.command.settings.length} ${looks.command.presets.map(preset => preset.name)}`;
    if (key !== built) {
      built = key;
      keepingFocus(build);
    }
    const value = path => looks.value(path);
    select.value = looks.preset?.name ?? "";
    const [about, also] = looks.preset ? presetTexts(looks.preset) : ["", ""];
    note.textContent = about;
    rest.textContent = also;
    more.hidden = !also;
    back.hidden = !looks.changed;
    for (const [path, control] of controls) {
      control.root.hidden = !applies(path, task, value);
      control.show(looks.value(path), looks.base(path));
    }
    for (const details of root.querySelectorAll("details[data-group]"))
      details.hidden = [.../** @type {NodeListOf<HTMLElement>} */ (details.querySelectorAll(".setting"))].every(each => each.hidden);
  }

  looks.store.subscribe(show);
  show();
  return show;
}

/**
 * Show what the setting under the pointer or with the focus does.
 * @param {HTMLElement} panel
 * @param {HTMLElement} line
 * @returns {() => void} what forgets the setting that was shown last
 */
export function helpLine(panel, line) {
  const usual = "Point at a setting, or move to it, to read what it does.";
  line.textContent = usual;
  const say = target => {
    const help = target?.closest?.("[data-help]")?.dataset.help;
    if (!help || help === line.textContent) return;
    line.textContent = help;
    line.scrollTop = 0;
  };
  panel.addEventListener("pointerover", event => say(event.target));
  panel.addEventListener("pointerleave", () => say(document.activeElement));
  panel.addEventListener("focusin", event => say(event.target));
  return () => { line.textContent = usual; };
}
