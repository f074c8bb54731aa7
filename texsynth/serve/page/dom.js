// Small helpers that make elements.

/**
 * Make an element. `class`, `text` and `on` (listeners by event) are special; true and false set or leave out an
 * attribute; everything else is an attribute as it is.
 * @param {string} tag
 * @param {Record<string, any>} [attributes]
 * @param {...(Node | string | null)} children
 * @returns {any}
 */
export function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (key === "class") node.className = value;
    else if (key === "text") node.textContent = value;
    else if (key === "on") for (const [event, listener] of Object.entries(value)) node.addEventListener(event, listener);
    else node.setAttribute(key, value === true ? "" : String(value));
  }
  node.append(...children.filter(child => child !== null));
  return node;
}

/** @param {string} text @param {() => void} click @param {Record<string, any>} [attributes] @returns {HTMLButtonElement} */
export function button(text, click, attributes = {}) {
  return element("button", { type: "button", text, on: { click }, ...attributes });
}

/**
 * A button that opens the system's window for files.
 * @param {string} text
 * @param {(files: File[]) => void} choose
 * @param {{label?: string, class?: string, multiple?: boolean, id?: string}} [options]
 */
export function fileButton(text, choose, { label, class: extra = "button", multiple = false, id } = {}) {
  const input = element("input", {
    type: "file", id, multiple, accept: "image/*,.exr,.tif,.tiff,.tga,.jxl,.heic,.avif,.card", "aria-label": label ?? text,
  });
  input.addEventListener("change", () => {
    const files = [...input.files];
    input.value = "";
    if (files.length) choose(files);
  });
  return element("span", { class: `file ${extra}` }, text, input);
}

/**
 * One of a few choices, as radio buttons that look like one switch.
 * @param {string} name unique among the page's groups
 * @param {string} legend for screen readers
 * @param {([string, string] | [string, string, string])[]} choices value, text, and what it means
 * @param {string} value
 * @param {(value: string) => void} change
 * @param {string} [extra] class
 */
export function segments(name, legend, choices, value, change, extra = "") {
  const group = element("fieldset", { class: `segments ${extra}` }, element("legend", { class: "unseen", text: legend }));
  for (const [choice, text, help] of choices) {
    const input = element("input", { type: "radio", name, value: choice, id: `${name}-${choice}`, on: { change: () => change(choice) } });
    input.checked = choice === value;
    group.append(element("label", { "data-help": help }, text, input));
  }
  return group;
}

/** Check the radio button of a value in a group that `segments` made. @param {ParentNode} group @param {string} value */
export function choose(group, value) {
  for (const input of group.querySelectorAll("input")) input.checked = input.value === value;
}

/** A box that files can be dropped on. @param {HTMLElement} box @param {(files: File[]) => void} drop */
export function droppable(box, drop) {
  const files = event => [...(event.dataTransfer?.items ?? [])]
    .filter(item => item.kind === "file" && !item.webkitGetAsEntry?.()?.isDirectory).map(item => item.getAsFile()).filter(file => file);
  const has = event => event.dataTransfer?.types.includes("Files");
  box.addEventListener("dragover", event => {
    if (!has(event)) return;
    event.preventDefault();
    event.stopPropagation();
    box.classList.add("dropping");
  });
  box.addEventListener("dragleave", event => {
    if (!box.contains(/** @type {Node | null} */ (event.relatedTarget))) box.classList.remove("dropping");
  });
  box.addEventListener("drop", event => {
    box.classList.remove("dropping");
    const dropped = files(event);
    if (!dropped.length) return;
    event.preventDefault();
    event.stopPropagation();
    drop(dropped);
  });
}

/** Keep the focus where it was while `change` builds elements anew: on what has the same id or name. @param {() => void} change */
export function keepingFocus(change) {
  const before = document.activeElement, id = before?.id;
  change();
  if (id && document.activeElement !== before) document.getElementById(id)?.focus({ preventScroll: true });
}
