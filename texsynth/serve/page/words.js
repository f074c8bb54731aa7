// Sentences of the server, which are those of the command line, in the words of the page. Everything passes through here.

import { choiceText, label } from "./texts.js";

const LENIENT = /; --lenient reads what is left of it/;

/** What the page calls the options that it has a control for. @type {Record<string, string>} */
const CONTROLS = {
  "--size": label("size"), "--scale": label("scale"), "--tileable": label("tileable"), "--upright": label("upright"),
  "--orientations": label("orientations"), "--variety": label("variety"), "--even-light": label("even_light"), "--method": label("method"),
  "--strength": label("strength"), "--level-strength": "Strength by detail", "--style-scale": label("style_scale"), "--grain": label("grain"),
  "--preserve-detail": label("preserve_detail"), "--preserve-light": label("preserve_light"), "--preserve-color": label("preserve_color"),
  "--regions": label("regions"), "--photo": "Photo", "--artistic": "Artistic", "--depth": label("depth"), "--green": label("green"),
  "--invert": label("invert"), "--max-side": "Longest side", "--format": "Format", "--seed": "Variation", "--hole": "Fill a hole",
  "--preset": "Preset",
};

/** Options with which the server is started. */
const OF_SERVER = /--(memory-limit|threads|device|dtype|model|max-upload|queue)\b/g;

/** @type {[RegExp, string | ((...parts: string[]) => string)][]} */
const RULES = [
  [LENIENT, ""],
  [/more than --max-pixels (\d+)/g, "more than the $1 that are allowed"],
  [/; name one with --frame \S+ to --frame \d+/g, "; save the one that you want as a picture of its own"],
  [/the hole \S+ covers all of (.+?); make it black where pixels are to stay/g, "what is painted covers all of $1; leave some of it"],
  [/reduce it with --max-side/g, "choose a smaller Longest side"],
  [/raise --memory-limit\b/g, "start the server with a larger --memory-limit"],
  [/(?:, )?or --set patch\.lattice=off/g, ""],
  [/`texsynth tile`/g, "Seamless"],
  [/`texsynth expand --hole`/g, "Fill a hole"],
  [/`texsynth expand ((?:--[a-z]+ ?)+)`/g, (_, flags) => `Expand with ${flags.trim().split(" ").join(" and ")}`],
  [/(?:--|\b)method ((?:auto|noise|transposer|patch|optimize|\+)+)\b/g, (_, method) => `the method “${choiceText("method", method)}”`],
  [/--(no-)?([a-z-]+)(?:[ =](\d[\w.]*))?/g, (whole, no, name, value) => {
    const control = CONTROLS[`--${name}`];
    return control ? `“${control}”${no ? " switched off" : value ? ` ${value.replace("x", " × ")}` : ""}` : whole;
  }],
  [/--(?:set )?([a-z_]+(?:\.[a-z_0-9]+)+)(?:=(\S+))?/g, (_, path, value) => `“${label(path)}”${value ? ` ${value}` : ""}`],
  [/\b([a-z]+_[a-z_]+|finish\.steps|level_strength\.\d)\b/g, path => (label(path) === path.replaceAll(/[._]/g, " ") ? path : `“${label(path)}”`)],
];

/** Whether a refused picture can be read all the same. @param {string} sentence of the server */
export function isDamaged(sentence) {
  return LENIENT.test(sentence);
}

/** @param {string} sentence of the server @returns {string} */
export function inPageWords(sentence) {
  const text = RULES.reduce((each, [pattern, words]) => each.replaceAll(new RegExp(pattern, "g"), /** @type {any} */ (words)), sentence);
  // Names of files have a dot, and stay as they are.
  const whole = text.replace(/^[a-z]+(?=[ ,:])/, word => word[0].toUpperCase() + word.slice(1));
  const left = text.replaceAll(OF_SERVER, "").match(/--[a-z][a-z-]*/);
  return left ? `${whole} (${left[0]} is an option of the command line)` : whole;
}

/** What is done at the moment, by the names that the server gives it. @type {Record<string, string>} */
const STAGES = {
  preparing: "Getting ready", analysis: "Looking at the texture", transposer: "Laying copies", noise: "Making grain", layout: "Laying pieces",
  steps: "Laying pieces", seams: "Mending seams", patches: "Smoothing seams", statistics: "Refining", descent: "Painting", level: "Painting", tile: "Painting",
  finish: "Refining strokes", light: "Evening the light", height: "Finding heights", occlusion: "Finding shadows",
  roughness: "Finding roughness",
};

/** @param {string} stage */
export function stageText(stage) {
  return STAGES[stage] ?? (stage ? stage[0].toUpperCase() + stage.slice(1) : "Working");
}
