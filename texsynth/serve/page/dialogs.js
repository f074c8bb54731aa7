// Two windows: the command that makes what the page shows, and a preset of it.

import { Refusal, post } from "./api.js";
import { button, element } from "./dom.js";

const dialog = () => /** @type {HTMLDialogElement} */ (document.getElementById("dialog"));

function open(title, ...children) {
  dialog().replaceChildren(element("h2", { id: "dialog-title", text: title }), ...children.filter(child => child !== null));
  dialog().showModal();
}

/** Save a text under a name. @param {string} name @param {Blob} blob */
function save(name, blob) {
  const link = element("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

async function copy(text, area) {
  try {
    await navigator.clipboard.writeText(text);
    return "Copied.";
  } catch {
    area.select();
    // The older way works at the address of another machine, too, which browsers do not trust with the clipboard.
    return document.execCommand("copy") ? "Copied." : "Press Copy, or Ctrl-C (⌘-C on a Mac): it is selected.";
  }
}

/**
 * @param {import("./request.js").Request} request
 */
export async function commandDialog(request) {
  const { command, files } = await post("/v1/command", request);
  const area = element("textarea", { readonly: true, id: "command-text", "aria-label": "Command" });
  area.value = command;
  const state = element("p", { class: "note", role: "status", id: "command-state" });
  const again = button("Copy", async () => { state.textContent = await copy(command, area); }, { id: "command-copy" });
  // The server names them in this order, each once; two of one name have got a number.
  const ids = [...new Set([...request.styles.map(({ mask }) => mask), request.hole, request.mask].filter(id => id))];
  const painted = files.map((name, n) => ({ name, id: ids[n] }));
  const links = painted.map(({ name, id }, n) => element("a", { id: `painted-${n}`, href: `/v1/pictures/${id}/file`, download: name, text: name }));
  open("The same as a command", area,
    element("p", { class: "note", text: "For the terminal, scripts and many pictures. In the folder of your pictures it makes the same result, pixel for pixel." }),
    links.length ? element("p", {}, "Save what you painted beside them: ", ...links.flatMap((link, n) => (n ? [", ", link] : [link])), ".") : null,
    state, element("div", { class: "row" }, again, button("Close", () => dialog().close(), { class: "primary", id: "dialog-close" })));
  state.textContent = await copy(command, area);
}

/** Ask before something is done that cannot be undone. @param {string} title @param {string} text @param {string} yes @param {() => void} act */
export function confirmDialog(title, text, yes, act) {
  const close = () => dialog().close();
  open(title, element("p", { text }), element("div", { class: "row" }, button("Keep them", close, { id: "dialog-close" }),
    button(yes, () => {
      close();
      act();
    }, { class: "primary", id: "dialog-yes" })));
}

/** @param {import("./request.js").Request} request @param {(name: string) => Promise<void>} saved */
export function presetDialog(request, saved) {
  const name = element("input", { type: "text", id: "preset-name", value: "", maxlength: 60, autocomplete: "off", spellcheck: "false", placeholder: "like old-wall" });
  const error = element("p", { class: "error", role: "alert", id: "preset-error" });
  const state = element("p", { role: "status", id: "preset-state" });
  const ask = async keep => {
    error.textContent = state.textContent = "";
    const called = name.value = name.value.trim().replaceAll(/\s+/g, "-");
    if (!called) {
      error.textContent = "Give the preset a name first.";
      name.focus();
      return;
    }
    try {
      const { yaml, path } = await post("/v1/preset", { name: called, request, save: keep });
      if (keep) {
        state.textContent = `Saved as ${path}. It is in the list of presets now; commands take it as -p ${called}.`;
        await saved(called);
      } else {
        save(`${called}.yaml`, new Blob([yaml], { type: "application/yaml" }));
        state.textContent = "Downloaded.";
      }
    } catch (problem) {
      error.textContent = problem instanceof Refusal && problem.status === 409 ? "There is a preset of this name already; choose another name." : problem.message;
    }
  };
  name.addEventListener("keydown", event => {
    if (event.key === "Enter") ask(true);
  });
  open("Save as preset", element("p", { class: "note", text: "All settings that the page shows, under a name of yours, for other pictures. Pictures are not part of it." }),
    element("label", { class: "field", for: name.id }, "Name", name), error, state,
    element("div", { class: "row" }, button("Close", () => dialog().close(), { id: "dialog-close" }),
      button("Download the file", () => ask(false), { id: "preset-download" }),
      button("Save to my presets", () => ask(true), { class: "primary", id: "preset-keep" })));
}
