// A full result: started, followed by server-sent events, cancelled, and picked up again after a reload.

import { Refusal, call, get, post } from "./api.js";

/**
 * @typedef {{name: string, width: number, height: number, bytes: number, kind: string}} Result
 * @typedef {{id: string, command: string, picture: string, state: "waiting" | "running" | "done" | "failed" | "cancelled",
 *   place: number, share: number, stage: string, seconds: number, left: number | null, error: string | null, warnings: string[],
 *   results: Result[]}} Job
 */

/** Whether nothing more will come. @param {Job | null} job */
export function isOver(job) {
  return !job || ["done", "failed", "cancelled"].includes(job.state);
}

/** Follows one job at a time. */
export class Follower {
  /** @type {Job | null} */
  job = null;
  /** Whether this page has cancelled the job; a server that ends does so, too. */
  gaveUp = false;
  /** @type {EventSource | null} */
  #events = null;

  /** @param {(id: string, job: Job | null, live: boolean) => void} change live: this page was looking on; no job: the server has forgotten it */
  constructor(change) {
    this.change = change;
  }

  /** @param {import("./request.js").Request} request */
  async start(request) {
    this.#follow(await post("/v1/jobs", request), true);
  }

  /** Pick a job up by its id; the server may not know it any more. @param {string} id */
  async pickUp(id) {
    const running = !isOver(this.job);
    try {
      this.#follow(await get(`/v1/jobs/${id}`), running);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.drop();
      this.change(id, null, running);
    }
  }

  async cancel() {
    if (!this.job || isOver(this.job)) return;
    this.gaveUp = true;
    await call("DELETE", `/v1/jobs/${this.job.id}`);
  }

  /** Look at no job. */
  drop() {
    this.#events?.close();
    this.#events = null;
    this.job = null;
  }

  #follow(job, live) {
    this.drop();
    this.job = job;
    this.gaveUp = false;
    this.change(job.id, job, live);
    if (isOver(job)) return;
    const events = new EventSource(`/v1/jobs/${job.id}/events`);
    this.#events = events;
    events.onmessage = ({ data }) => {
      this.job = JSON.parse(data);
      if (isOver(this.job)) events.close();
      this.change(job.id, this.job, true);
    };
    // The browser tries again by itself, unless the server refuses: then the job is asked for, which says why.
    events.onerror = () => {
      if (this.#events !== events || isOver(this.job)) return;
      events.close();
      setTimeout(() => this.#events === events && this.pickUp(job.id).catch(() => {}), 300);
    };
  }
}
