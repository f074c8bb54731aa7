// Whether the server is there: a slow heartbeat, a banner when it is gone, and what to do when it is back.

import { Refusal, get, onServerGone } from "./api.js";
import { element } from "./dom.js";

const HEARTBEAT_MS = 5000;
const RETRY_MS = 1500;
const USUAL_PORT = "8765";

/**
 * Watch the server.
 * @param {HTMLElement} banner
 * @param {() => void} back called when the server answers again, with this page's token
 */
export function watchServer(banner, back) {
  let lost = false;

  /** @param {string} text @param {string | null} code */
  function say(text, code) {
    banner.replaceChildren(element("span", {}, text, ...(code ? [" ", element("code", { text: code })] : [])));
    banner.hidden = false;
  }

  function lose() {
    if (lost) return;
    lost = true;
    // At another port the browser would keep nothing for it.
    const port = location.port === USUAL_PORT ? "" : ` --port ${location.port || 80}`;
    say("texsynth does not answer. Your pictures and settings are kept. Start it again in a terminal, then open the address that it prints:", `texsynth serve${port}`);
    setTimeout(retry, RETRY_MS);
  }

  async function retry() {
    try {
      if (!(await fetch("/health")).ok) throw new Error();
      await get("/v1/options");
    } catch (error) {
      if (error instanceof Refusal && [401, 403].includes(error.status))
        say("texsynth was started again. Open the new address that it has printed.", null);
      setTimeout(retry, RETRY_MS);
      return;
    }
    lost = false;
    banner.hidden = true;
    back();
  }

  async function beat() {
    if (!lost && document.visibilityState === "visible") await fetch("/health").catch(lose);
    setTimeout(beat, HEARTBEAT_MS);
  }

  onServerGone(lose);
  setTimeout(beat, HEARTBEAT_MS);
}
