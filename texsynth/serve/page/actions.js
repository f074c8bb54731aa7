// The foot of the panel: make the full size, its progress, and what leads back to the command line.

import { button, element } from "./dom.js";
import { isOver } from "./job.js";
import { durationText } from "./texts.js";
import { inPageWords, stageText } from "./words.js";

/**
 * @typedef {import("./job.js").Job} Job
 * @typedef {object} Acts
 * @property {() => void} make
 * @property {() => void} cancel
 * @property {() => void} command
 * @property {() => void} preset
 */

/**
 * @param {{root: HTMLElement, tools: HTMLElement}} places
 * @param {Acts} acts
 */
export function actionsPanel({ root, tools }, acts) {
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
  const command = button("Copy as command", acts.command, { id: "command", title: "What makes the same in a terminal" });
  const preset = button("Save as preset", acts.preset, { id: "save-preset", title: "Keep these settings under a name" });
  root.replaceChildren(progress, problem, caution, element("div", { class: "row fill" }, make));
  tools.replaceChildren(command, preset);
  return {
    /**
     * @param {Job | null} job @param {string | null} error of starting it
     * @param {boolean} ready whether a request can be made @param {string} size
     * @param {string[]} warnings of the result that is shown
     */
    show(job, error, ready, size, warnings) {
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
      problem.textContent = error ?? inPageWords((job?.state === "failed" ? job.error : null) ?? "");
      problem.hidden = !problem.textContent;
      caution.textContent = warnings.map(inPageWords).join(" · ");
      caution.hidden = !caution.textContent;
      make.disabled = running || !ready;
      make.textContent = size ? `Make full size, ${size}` : "Make full size";
      command.disabled = preset.disabled = !ready;
    },
  };
}

/** @param {Job} job */
export function progressText({ state, place, stage, share, left }) {
  if (state === "waiting") return place > 0 ? `Waiting, ${place} before it` : "Waiting for its turn";
  const percent = Math.round(share * 100);
  return [stageText(stage), percent ? `${percent} %` : "", left === null ? "" : `about ${durationText(Math.max(1, left))} left`].filter(Boolean).join(", ");
}
