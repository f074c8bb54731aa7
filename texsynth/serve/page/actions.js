// The foot of the panel: make the full size, its progress, results, and what leads back to the command line.

import { button, element } from "./dom.js";
import { isOver } from "./job.js";
import { bytesText, durationText } from "./texts.js";

/**
 * @typedef {import("./job.js").Job} Job
 * @typedef {import("./job.js").Result} Result
 * @typedef {object} Acts
 * @property {() => void} make
 * @property {() => void} cancel
 * @property {() => void} command
 * @property {() => void} preset
 * @property {(n: number) => void} show
 * @property {(n: number) => void} use
 */

/**
 * @param {{root: HTMLElement, results: HTMLElement, tools: HTMLElement}} places
 * @param {Acts} acts
 */
export function actionsPanel({ root, results, tools }, acts) {
  const bar = element("progress", { max: 1, "aria-label": "Progress of the full size" });
  const words = element("span", { id: "progress-words" });
  const cancel = button("Cancel", () => {
    cancel.disabled = true;
    cancel.textContent = "Cancelling …";
    acts.cancel();
  }, { id: "cancel" });
  const progress = element("div", { class: "progress", hidden: true }, bar, element("div", { class: "line" }, words, cancel));
  const problem = element("p", { class: "problem", id: "job-problem", role: "alert", hidden: true });
  const caution = element("p", { class: "caution", id: "job-warnings", hidden: true });
  const make = button("Make full size", acts.make, { class: "primary", id: "make" });
  const command = button("Copy as command", acts.command, { id: "command" });
  const preset = button("Save as preset", acts.preset, { id: "save-preset" });
  root.replaceChildren(progress, problem, caution, element("div", { class: "row fill" }, make));
  tools.replaceChildren(command, preset);
  let listed = "";

  /** @param {Job} job */
  function list(job) {
    const key = job.state === "done" ? `${job.id} ${job.results.length}` : "";
    if (key === listed) return;
    listed = key;
    results.replaceChildren(...(key ? job.results.map((result, n) => item(job, result, n)) : []));
    results.hidden = !key;
    if (key) results.scrollIntoView({ block: "nearest" });
  }

  function item(job, result, n) {
    const path = `/v1/jobs/${job.id}/results/${n}`, seen = result.kind !== "data";
    return element("li", {},
      seen ? element("img", { src: `${path}/view?side=96`, alt: "" }) : null,
      element("div", { class: "words" },
        element("div", { class: "name", text: result.name, title: result.name }),
        element("div", { class: "facts", text: `${seen ? `${result.width} × ${result.height}, ` : ""}${bytesText(result.bytes)}` }),
        element("div", { class: "tools" },
          seen ? button("Show", () => acts.show(n), { class: "plain", id: `show-${n}`, "aria-label": `Show ${result.name}` }) : null,
          seen ? button("Use as input", () => acts.use(n), { class: "plain", id: `use-${n}`, "aria-label": `Use ${result.name} as input` }) : null)),
      element("a", { class: "button", href: path, download: result.name, id: `download-${n}`, "aria-label": `Download ${result.name}`, text: "Download" }));
  }

  return {
    /**
     * @param {Job | null} job @param {string | null} error of starting it
     * @param {boolean} ready whether a request can be made @param {string} size
     * @param {boolean} warn whether the result is what is shown
     */
    show(job, error, ready, size, warn) {
      const running = !isOver(job);
      progress.hidden = !running;
      if (!running) {
        cancel.disabled = false;
        cancel.textContent = "Cancel";
      }
      if (running && job) {
        if (job.state === "waiting") bar.removeAttribute("value");
        else bar.value = job.share;
        words.textContent = progressText(job);
      }
      problem.textContent = error ?? (job?.state === "failed" ? job.error : null) ?? "";
      problem.hidden = !problem.textContent;
      caution.textContent = warn && job?.state === "done" ? job.warnings.join(" · ") : "";
      caution.hidden = !caution.textContent;
      if (job) list(job);
      results.hidden = job?.state !== "done";
      make.disabled = running || !ready;
      make.textContent = size ? `Make full size, ${size}` : "Make full size";
      command.disabled = preset.disabled = !ready;
    },
  };
}

/** @param {Job} job */
export function progressText({ state, place, stage, share, left }) {
  if (state === "waiting") return place > 0 ? `Waiting, ${place} before it` : "Waiting for its turn";
  return [`${Math.round(share * 100)} %`, stage, left === null ? "" : `about ${durationText(Math.max(1, left))} left`].filter(Boolean).join(" · ");
}
