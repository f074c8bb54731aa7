// What lies on the desk: for each workspace its picture, the newest preview, the full results, and what is shown of them.

import { Refusal, ServerGone, bitmap, call, get } from "./api.js";
import { Follower, isOver } from "./job.js";
import { Previewer } from "./preview.js";
import { buildRequest, fullSize, missing } from "./request.js";
import { mainPicture } from "./store.js";
import { checkPictures } from "./uploads.js";

const BEFORE_SIDE = 2048;
const FULL_SIDE = 4096;

/**
 * @typedef {{before: {id: string, image: ImageBitmap} | null, preview: import("./preview.js").Preview | null,
 *   full: {image: ImageBitmap, name: string, size: [number, number], job: import("./job.js").Job} | null,
 *   shown: "preview" | "full", asked: string,
 *   begun: string, kind: string, mode: "result" | "compare" | "tiled", follower: Follower,
 *   done: import("./job.js").Job[], problem: string | null}} Place done: jobs whose results wait, oldest first; begun: what was asked for when a full size was begun
 */

/** Pictures and work of both workspaces; tells when something is new. */
export class Desk {
  /** @type {string | null} */
  error = null;
  /** What helps against the error. @type {{text: string, act: () => void} | null} */
  cure = null;
  /** @type {string | null} */
  reading = null;
  previewing = false;

  /**
   * @param {import("./store.js").Store} store
   * @param {import("./looks.js").Looks} looks
   * @param {() => void} changed
   */
  constructor(store, looks, changed) {
    this.store = store;
    this.looks = looks;
    this.changed = changed;
    this.previewer = new Previewer(preview => this.#previewed(preview), error => this.report(error), busy => {
      this.previewing = busy;
      changed();
    });
    this.places = { texture: this.#place("texture"), style: this.#place("style") };
    store.subscribe(() => this.follow());
  }

  /** @returns {Place} */
  #place(workspace) {
    return {
      before: null, preview: null, full: null, shown: "preview", asked: "", begun: "",
      kind: "", mode: "result", problem: null, done: [],
      follower: new Follower((id, job, live) => this.#news(workspace, id, job, live)),
    };
  }

  /** @returns {Place} of the workspace in front */
  get place() {
    return this.places[this.store.state.workspace];
  }

  /** What is missing, or null. */
  get missing() {
    return missing(this.store.state);
  }

  get request() {
    return buildRequest(this.store.state);
  }

  /** @returns {[number, number]} that the full size will have */
  get fullSize() {
    return mainPicture(this.store.state) ? fullSize(this.store.state, path => this.looks.value(path), this.looks.longest) : [1, 1];
  }

  /** @returns {[number, number]} of what is shown, in full */
  get size() {
    const { shown, full, preview } = this.place;
    return shown === "full" && full ? full.size : preview?.size ?? this.fullSize;
  }

  /** Bring pictures and preview up to the state. */
  follow() {
    const { place, store: { state } } = this, picture = mainPicture(state);
    const kind = `${picture?.id} ${state.workspace === "texture" ? state.texture.task + state.texture.map : ""}`;
    if (kind !== place.kind) {
      if (place.kind) place.problem = null;
      Object.assign(place, { kind, preview: null, full: null, shown: "preview", asked: "" });
      if (state.workspace === "texture" && state.texture.task === "hole" && place.mode === "tiled") place.mode = "result";
    }
    if (!picture) place.before = null;
    else if (place.before?.id !== picture.id) this.#loadBefore(place, picture.id);
    if (this.missing) {
      if (place.asked) this.previewer.stop();
      Object.assign(place, { asked: "", preview: null });
    } else this.#ask(place);
    this.changed();
  }

  #ask(place) {
    const { request, store: { state } } = this;
    const asked = JSON.stringify([{ ...request, preset: null, changes: null, run: null }, this.looks.effect]);
    if (asked === place.asked && (place.preview || this.previewing)) return;
    if (place.asked) place.problem = null;
    place.asked = asked;
    this.error = null;
    const show = request.command === "maps" ? { show: state.texture.map } : {};
    this.previewer.ask(request, this.fullSize, { tab: state.tab, side: this.looks.options.preview, ...show });
  }

  async #loadBefore(place, id) {
    place.before = null;
    try {
      const image = await bitmap(`/v1/pictures/${id}/view?side=${BEFORE_SIDE}`);
      if (mainPicture(this.store.state)?.id === id) place.before = { id, image };
      this.changed();
    } catch (error) {
      this.report(error);
    }
  }

  #previewed(preview) {
    const { place } = this;
    if (this.missing || preview.request.command !== this.request.command) return;
    const old = place.preview?.image;
    // A preview that comes late does not take the place of the full result of the same settings.
    Object.assign(place, { preview, shown: place.shown === "full" && place.begun === place.asked ? "full" : "preview" });
    this.changed();
    old?.close();
  }

  /** Look at a full result. @param {import("./job.js").Job} job @param {number} n */
  async showResult(job, n) {
    const { place } = this, result = job.results[n];
    const side = Math.max(result.width, result.height) > FULL_SIDE ? `?side=${FULL_SIDE}` : "";
    try {
      const image = await bitmap(`/v1/jobs/${job.id}/results/${n}/view${side}`);
      Object.assign(place, { full: { image, name: result.name, size: [result.width, result.height], job }, shown: "full" });
    } catch (error) {
      this.report(error);
      await this.pickUp().catch(() => {});
    }
    this.changed();
  }

  /** Make the full size. */
  async make() {
    const { place } = this;
    place.problem = null;
    place.begun = place.asked;
    try {
      await place.follower.start(this.request);
    } catch (error) {
      if (!(error instanceof Refusal)) return;
      place.problem = error.message;
      if (error.status === 404) this.report(error);
    }
    this.changed();
  }

  /** @param {"texture" | "style"} workspace @param {string} id @param {import("./job.js").Job | null} job @param {boolean} live */
  #news(workspace, id, job, live) {
    const place = this.places[workspace];
    if (!job || (isOver(job) && job.state !== "done")) this.#forget(workspace, [id]);
    else if (!this.store.state.jobs[workspace].includes(id)) this.store.update(({ jobs }) => jobs[workspace].push(id));
    if (job?.state === "done" && !place.done.some(each => each.id === id)) place.done.push(job);
    if (live && (!job || (job.state === "cancelled" && !place.follower.gaveUp))) place.problem = "The server has ended, and the work is lost. Make it again.";
    if (live && job?.state === "done" && workspace === this.store.state.workspace)
      this.showResult(job, Math.max(0, job.results.findIndex(({ name }) => job.command === "maps" && name.includes(`_${this.store.state.texture.map}.`))));
    this.changed();
  }

  /** Take jobs out of what waits. @param {"texture" | "style"} workspace @param {string[]} ids */
  #forget(workspace, ids) {
    const place = this.places[workspace];
    place.done = place.done.filter(({ id }) => !ids.includes(id));
    if (place.full && ids.includes(place.full.job.id)) Object.assign(place, { full: null, shown: "preview" });
    if (this.store.state.jobs[workspace].some(id => ids.includes(id)))
      this.store.update(({ jobs }) => { jobs[workspace] = jobs[workspace].filter(id => !ids.includes(id)); });
  }

  /** Put results away, here and on the server. @param {import("./job.js").Job[]} jobs */
  async remove(jobs) {
    const { workspace } = this.store.state;
    try {
      for (const { id } of jobs) {
        await call("DELETE", `/v1/jobs/${id}/results`).catch(error => {
          if (!(error instanceof Refusal) || error.status !== 404) throw error;
        });
        this.#forget(workspace, [id]);
      }
    } catch (error) {
      this.report(error);
    }
    this.changed();
  }

  /** Pick up the jobs that were known when the page was loaded anew, or the server went away. */
  async pickUp() {
    for (const workspace of /** @type {const} */ (["texture", "style"])) {
      const place = this.places[workspace], { follower } = place;
      for (const id of this.store.state.jobs[workspace]) {
        const followed = follower.job?.id === id && !isOver(follower.job);
        try {
          const job = followed ? null : await get(`/v1/jobs/${id}`);
          if (job && isOver(job)) this.#news(workspace, id, job, false);
          else await follower.pickUp(id);
        } catch (error) {
          if (!(error instanceof Refusal)) throw error;
          this.#forget(workspace, [id]);
          place.problem ??= "Results that waited here are no longer on the server. Make them again.";
        }
      }
    }
  }

  /** Send pictures again that the server has dropped, and drop what cannot be sent. */
  async checkPictures() {
    const lost = await checkPictures(this.store);
    if (!lost.length) return;
    this.cure = null;
    this.error = `${lost.join(", ")}: no longer on the server; choose ${lost.length > 1 ? "them" : "it"} again.`;
    this.changed();
  }

  /** The server is back: everything is asked for again. */
  async recover() {
    try {
      await this.checkPictures();
      await this.pickUp();
      for (const place of Object.values(this.places)) place.asked = "";
      this.follow();
      // Work that was under way is taken to be that of the settings as they are.
      this.place.begun = this.place.asked;
    } catch (error) {
      this.report(error);
    }
  }

  /** Say what went wrong. @param {Error} error @param {{text: string, act: () => void}} [cure] */
  async report(error, cure) {
    if (error instanceof ServerGone || (error instanceof Refusal && error.status === 503)) return;
    this.error = error.message;
    this.cure = cure ?? null;
    this.changed();
    if (!(error instanceof Refusal) || error.status !== 404) return;
    const before = this.store.state;
    await this.checkPictures().catch(() => {});
    if (this.store.state === before && this.place.asked) {
      // The pictures are there (again), so the same may be asked once more.
      this.place.asked = "";
      this.follow();
    }
  }
}
