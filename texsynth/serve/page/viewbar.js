// The bar below the picture: how it is seen, zoom, and which map.

import { button, choose, element, segments } from "./dom.js";

/** @type {[string, string][]} */
const VIEWS = [["result", "Result"], ["compare", "Before / after"], ["tiled", "Tiled 3 × 3"]];
/** @type {[string, string][]} */
const MAPS = [["normal", "Normals"], ["height", "Height"], ["roughness", "Roughness"], ["ao", "Occlusion"]];

/**
 * @param {HTMLElement} root
 * @param {import("./stage.js").Stage} stage
 * @param {{mode: (mode: "result" | "compare" | "tiled") => void, map: (map: string) => void}} acts
 */
export function viewBar(root, stage, acts) {
  const views = segments("view", "View", VIEWS, "result", mode => acts.mode(/** @type {any} */ (mode)));
  const maps = segments("map", "Map", MAPS, "normal", acts.map);
  const split = element("input", { type: "range", id: "split", min: 0, max: 100, value: 50, on: { input: () => stage.set({ split: split.value / 100 }) } });
  const splitLabel = element("label", { class: "inline" }, element("span", { text: "Before" }), split, element("span", { text: "After" }));
  const percent = element("output", { id: "zoom-value", "aria-live": "off" });
  const zoom = element("div", { class: "zoom push", role: "group", "aria-label": "Zoom" },
    button("−", () => stage.zoomBy(-1), { class: "icon", id: "zoom-out", "aria-label": "Zoom out" }), percent,
    button("+", () => stage.zoomBy(1), { class: "icon", id: "zoom-in", "aria-label": "Zoom in" }),
    button("Fit", () => stage.fit(), { id: "zoom-fit" }), button("100 %", () => stage.zoomTo(1), { id: "zoom-one" }));
  root.replaceChildren(views, splitLabel, maps, zoom);
  stage.onZoom = () => {
    percent.textContent = stage.scene.after || stage.scene.before ? `${Math.round(stage.view.zoom * 100)} %` : "";
  };
  return {
    /** @param {{workspace: string, task: string, map: string, mode: string, ready: boolean, painting: boolean, zoomable: boolean, preview: boolean}} what */
    show({ painting, workspace, task, map, mode, ready, zoomable, preview }) {
      const texture = workspace === "texture";
      views.querySelector("#view-tiled").parentElement.hidden = !texture || task === "hole";
      views.hidden = painting;
      views.disabled = !ready;
      choose(views, mode);
      splitLabel.hidden = mode !== "compare" || !ready;
      split.value = Math.round(stage.scene.split * 100);
      maps.hidden = !(texture && task === "maps" && preview);
      choose(maps, map);
      for (const each of zoom.querySelectorAll("button")) each.disabled = !zoomable;
    },
    /** @param {number} at */
    split(at) {
      split.value = Math.round(at * 100);
    },
  };
}
