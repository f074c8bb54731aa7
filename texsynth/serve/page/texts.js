// What people read of settings, choices, groups and presets: the server's words are for those who write commands.

/** @type {Record<string, string>} */
const LABELS = {
  mode: "Mode", strength: "Strength", style_scale: "Size of strokes", grain: "Strokes in flat areas", preserve_detail: "Keep detail",
  preserve_light: "Keep light and dark", preserve_color: "Keep colours", edge_aware: "Keep to contours", regions: "Match regions",
  "finish.steps": "Refine strokes, rounds", scale: "Scale", size: "Size", tileable: "Tileable", upright: "Upright", variety: "Variety",
  orientations: "Turns and mirrors", even_light: "Even light", method: "Method", candidates: "Attempts", depth: "Depth",
  invert: "Dark is high", green: "Green of normals", reach: "Reach of shadows",
  "level_strength.1": "Finest: grain, edges", "level_strength.2": "Fine", "level_strength.3": "Middle", "level_strength.4": "Large",
  "level_strength.5": "Largest: shapes",
};

const BY_DETAIL = "How much of the style goes into detail of this size, as a share of Strength.";

/** What settings do, where the task makes a difference by `task path`. @type {Record<string, string>} */
const HELPS = {
  mode: "Artistic paints the picture in the strokes of the style. Photo keeps it a photograph and takes over colours and light.",
  strength: "How much of the style is applied: 0 leaves the picture as it is, 1 applies all of it.",
  "level_strength.1": BY_DETAIL, "level_strength.2": BY_DETAIL, "level_strength.3": BY_DETAIL, "level_strength.4": BY_DETAIL, "level_strength.5": BY_DETAIL,
  style_scale: "How large strokes are beside those of the style picture: 2 is twice as large, 0.5 half as large.",
  grain: "How readily flat areas, like a clear sky, are filled with strokes.",
  preserve_detail: "How much fine detail of the picture stays, like small faces and lettering. At 0 the style has its way everywhere.",
  preserve_light: "How far dark places stay dark and light ones light. At 0 the style puts its lights and darks where it likes.",
  preserve_color: "Keep the colours of the picture, and take only light and dark from the style.",
  edge_aware: "Keep to the contours of the picture: no haloes, no blotches, and no grain from the style.",
  regions: "Automatic looks for regions that picture and style share, like sky and ground, and gives each the look of its counterpart.",
  "finish.steps": "Refines what is painted, round after round, until strokes are as crisp as those of the style. 0 is off, beyond 40 little changes.",
  scale: "How large the result is beside the texture: 2 is twice as wide and twice as high. A Size below comes before it.",
  size: "Width and height of the result in pixels; one alone makes it square. Empty fields leave it to the scale, or to the picture.",
  tileable: "The right border goes on at the left and the bottom at the top, so that copies can be laid side by side.",
  upright: "Turn the texture by up to 45 degrees first, so that its strongest lines are level or upright.",
  variety: "How hard copies of one place are kept apart, above all of what stands out, like a knot or a dark brick. 0 lets them be neighbours; 1 keeps them apart, and seams may show.",
  orientations: "Turns and mirror images in which pieces are laid. Automatic takes those in which the texture looks the same.",
  even_light: "How much of a slow change of light and colour is taken out of the texture first.",
  method: "How the texture is made. Automatic chooses by what it sees.",
  candidates: "How many results are made, of which the one with the fewest cut objects is kept. The time grows with it.",
  depth: "How far the highest place lies above the lowest, as a share of the shorter side.",
  invert: "What is dark in the picture lies high.",
  green: "Which way green means in the normals: up as in OpenGL and Blender, down as in DirectX and Unreal.",
  "maps tileable": "Whether the borders of the picture meet, so that those of the maps shall, too. “As it looks” finds out.",
  "maps even_light": "How much of a slow change of light is taken out first, so that it does not count as height.",
  reach: "How far a height darkens what lies around it, as a share of the shorter side.",
};

/** Presets that come with texsynth, in one sentence each. @type {Record<string, string>} */
const PRESETS = {
  artistic: "Painted, and what the picture shows stays easy to see.", best: "The most careful, and the slowest.",
  bold: "The style rules: large strokes, shapes dissolve.", "classic-wct": "Wild strokes, by an older method.",
  "colour-only": "A photograph in the colours and contrasts of the style.", gentle: "A hint of the style over a faithful picture.",
  "ift-paper": "The colours of the style and faint strokes; for comparison with a published method.",
  pattern: "Fine, repeated strokes in the picture’s own colours.", photo: "A photograph in the light and colours of the style; contours stay.",
  "photo-soft": "As photo, with the least change that matches the style.", balanced: "Good and quick enough for most textures.",
  fast: "In about a second, less careful.",
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

/** What methods of making textures lay, one after the other. @type {Record<string, string>} */
const METHODS = { auto: "automatic", noise: "grain alone", transposer: "copies", patch: "pieces", optimize: "refining" };

/** Groups that are folded away, and what is in them. @type {[string, RegExp][]} */
const GROUPS = [
  ["Strength by size of detail", /^level_strength\./],
  ["Fine points", /^(finish\.steps|edge_aware|method|candidates|upright|orientations|even_light|reach)$/],
];

/** In artistic mode only. */
const ARTISTIC = /^(grain|preserve_detail|preserve_light|style_scale)$/;

/** @param {string} path */
export function label(path) {
  return LABELS[path] ?? path.replaceAll(/[._]/g, " ");
}

/** What a setting does. @param {string} path @param {string} task @param {string} usual the server's words */
export function helpText(path, task, usual) {
  return HELPS[`${task} ${path}`] ?? HELPS[path] ?? usual.replace(/\s*Flag --\S+\.$/, "");
}

/** What a preset is for, in one sentence, and what more there is to say. @param {import("./looks.js").Preset} preset @returns {[string, string]} */
export function presetTexts({ name, own, description }) {
  const [, first, rest] = /^(.*?[.;])\s+(.*)$/s.exec(description) ?? [null, description, ""];
  return !own && PRESETS[name] ? [PRESETS[name], description] : [first.replace(/;$/, "."), rest];
}

/** @param {string} path @param {any} choice */
export function choiceText(path, choice) {
  const text = path === "method" ? String(choice).split("+").map(each => METHODS[each] ?? each).join(" + ")
    : CHOICES[path]?.[String(choice)] ?? String(choice);
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
