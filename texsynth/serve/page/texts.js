// Names that people read: of settings, choices and groups. What a setting does is told by the server.

/** @type {Record<string, string>} */
const LABELS = {
  mode: "Mode", strength: "Strength", style_scale: "Style scale", grain: "Grain", preserve_detail: "Preserve detail",
  preserve_light: "Preserve light", preserve_color: "Preserve colour", edge_aware: "Keep to contours", regions: "Match regions",
  "finish.steps": "Finish, steps", scale: "Scale", size: "Size", tileable: "Tileable", upright: "Upright", variety: "Variety",
  orientations: "Orientations", even_light: "Even light", method: "Method", candidates: "Candidates", depth: "Depth",
  invert: "Invert height", green: "Green of normals", reach: "Reach of occlusion",
  "level_strength.1": "Level 1, finest", "level_strength.2": "Level 2", "level_strength.3": "Level 3", "level_strength.4": "Level 4",
  "level_strength.5": "Level 5, coarsest",
};

/** @type {Record<string, Record<string, string>>} */
const CHOICES = {
  mode: { artistic: "Artistic", photo: "Photo" },
  orientations: { auto: "Automatic", none: "As they are", mirror: "Mirrored", all: "All eight" },
  even_light: { auto: "Automatic", off: "Off", number: "A share" },
  regions: { auto: "Automatic", off: "Off" },
  green: { up: "Up (OpenGL)", down: "Down (DirectX)" },
  tileable: { null: "As it looks", true: "Yes", false: "No" },
};

/** Groups that are folded away, and what is in them. @type {[string, RegExp][]} */
const GROUPS = [
  ["Strength by level", /^level_strength\./],
  ["Fine points", /^(finish\.steps|edge_aware|method|candidates|upright|orientations|even_light|reach)$/],
];

/** In artistic mode only. */
const ARTISTIC = /^(grain|preserve_detail|preserve_light|style_scale)$/;

/** @param {string} path */
export function label(path) {
  return LABELS[path] ?? path.replaceAll(/[._]/g, " ");
}

/** @param {string} path @param {any} choice */
export function choiceText(path, choice) {
  const text = CHOICES[path]?.[String(choice)] ?? String(choice).replaceAll("+", " + ");
  return text[0].toUpperCase() + text.slice(1);
}

/** The folded group of a setting, or null. @param {string} path */
export function groupOf(path) {
  return GROUPS.find(([, pattern]) => pattern.test(path))?.[0] ?? null;
}

/**
 * Whether a setting has an effect on what is shown.
 * @param {string} path @param {string} task @param {(path: string) => any} value
 */
export function applies(path, task, value) {
  if (task === "hole" && /^(scale|size|tileable|upright)$/.test(path)) return false;
  if (ARTISTIC.test(path)) return value("mode") !== "photo";
  if (path === "finish.steps") return value("mode") !== "photo" || value(path) > 0;
  return path !== "edge_aware" || value("mode") === "photo";
}

/** @param {number} bytes */
export function bytesText(bytes) {
  return bytes < 1e6 ? `${Math.max(1, Math.round(bytes / 1e3))} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

/** @param {number} seconds */
export function durationText(seconds) {
  return seconds < 10 ? `${seconds.toFixed(seconds < 1 ? 2 : 1)} s` : seconds < 90 ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} min`;
}
