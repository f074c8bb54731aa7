// The tray of results: shown, downloaded one by one or together, taken as input, and put away.

import { button, element, keepingFocus } from "./dom.js";
import { bytesText } from "./texts.js";

/**
 * @typedef {import("./job.js").Job} Job
 * @typedef {object} TrayActs
 * @property {(job: Job, n: number) => void} show
 * @property {(job: Job, n: number) => void} use
 * @property {(jobs: Job[]) => void} download
 * @property {(jobs: Job[]) => void} remove
 * @property {() => void} clear ask, and put all away
 */

/**
 * @param {HTMLElement} root
 * @param {TrayActs} acts
 * @returns {(jobs: Job[]) => void} what shows the results of jobs, oldest first
 */
export function tray(root, acts) {
  /** @type {Job[]} */
  let jobs = [];
  let listed = "";
  const count = element("h2", { id: "results-count" });
  const every = element("div", { class: "head" }, count,
    button("Download all", () => acts.download(jobs), { id: "download-all" }),
    button("Remove all", () => acts.clear(), { class: "plain", id: "remove-all" }));
  const list = element("ul");
  root.replaceChildren(every, list);

  /** @param {Job} job @param {number} n of the result @param {number} place in the whole list */
  function item(job, n, place) {
    const result = job.results[n], { name } = result, several = job.results.length, path = `/v1/jobs/${job.id}/results/${n}`;
    const act = (text, id, says, click) => button(text, click, { class: "plain", id: `${id}-${place}`, "aria-label": says });
    const row = element("li", { class: n ? "along" : "" },
      element("img", { src: `${path}/view?side=96`, alt: "" }),
      element("div", { class: "words" },
        element("div", { class: "name", text: name, title: name }),
        element("div", { class: "facts", text: `${result.width} × ${result.height}, ${bytesText(result.bytes)}` })),
      element("a", { class: "button", href: path, download: name, id: `download-${place}`, "aria-label": `Download ${name}`, text: "Download" }),
      element("div", { class: "tools" },
        act("Show", "show", `Show ${name}`, () => acts.show(job, n)),
        act("Use as input", "use", `Use as input: ${name}`, () => acts.use(job, n)),
        n ? null : act(several > 1 ? `Remove these ${several}` : "Remove", "remove", several > 1 ? `Remove these ${several}: ${name} and its maps` : `Remove ${name}`, () => acts.remove([job]))));
    row.addEventListener("keydown", event => {
      if (event.key !== "Delete") return;
      event.preventDefault();
      acts.remove([job]);
    });
    return row;
  }

  return next => {
    const key = next.map(({ id }) => id).join();
    if (key === listed) return;
    const grown = next.length > jobs.length, inside = root.contains(document.activeElement);
    listed = key;
    jobs = next;
    let place = 0;
    keepingFocus(() => list.replaceChildren(...[...jobs].reverse().flatMap(job => job.results.map((_, n) => item(job, n, place++)))));
    root.hidden = !jobs.length;
    every.hidden = place < 2;
    count.textContent = `${place} results`;
    if (inside && !root.contains(document.activeElement))
      /** @type {HTMLElement | null} */ (list.querySelector("[id^=remove-]") ?? document.getElementById("make"))?.focus();
    if (grown) list.firstElementChild?.scrollIntoView({ block: "nearest" });
  };
}

/** Save all results of some jobs as one file. @param {Job[]} jobs */
export function downloadTogether(jobs) {
  const query = jobs.map(({ id }) => `job=${encodeURIComponent(id)}`).join("&");
  element("a", { href: `/v1/results.zip?${query}`, download: "" }).click();
}
