// Presets and settings: what the server offers, and the values in force.

import { commandOf } from "./request.js";
import { lookName } from "./store.js";

/**
 * @typedef {{path: string, type: "number" | "integer" | "boolean" | "choice" | "size", default: any, minimum: number | null,
 *   maximum: number | null, step: number | null, choices: any[] | null, help: string}} Setting
 * @typedef {{name: string, description: string, own: boolean, settings: Record<string, any>, max_side: number | null,
 *   rest: string}} Preset rest: the same for presets that differ in `settings` and `max_side` alone
 * @typedef {{default: string | null, presets: Preset[], settings: Setting[]}} Command
 * @typedef {{version: string, model: string, device: string, preview: number, formats: string[],
 *   limits: {upload: number, styles: number, siblings: number}, commands: Record<string, Command>}} Options
 */

/** Reads and changes the look of the workspace in front. */
export class Looks {
  /** @param {import("./store.js").Store} store @param {Options} options */
  constructor(store, options) {
    this.store = store;
    this.options = options;
  }

  /** What the server offers for the command in front. @returns {Command} */
  get command() {
    return this.options.commands[commandOf(this.store.state)];
  }

  get look() {
    return this.store.state.looks[lookName(this.store.state)];
  }

  /** @returns {Preset | undefined} the one in force */
  get preset() {
    const name = this.look.preset ?? this.command.default;
    return this.command.presets.find(preset => preset.name === name);
  }

  /** The value of a setting without changes. @param {string} path */
  base(path) {
    const own = this.preset?.settings[path];
    return own === undefined ? this.command.settings.find(setting => setting.path === path)?.default : own;
  }

  /** The value of a setting in force. @param {string} path */
  value(path) {
    const { changes } = this.look;
    return path in changes ? changes[path] : this.base(path);
  }

  /** Longest side of results, from the page or the preset. @returns {number | null} */
  get longest() {
    return this.store.state.run.max_side ?? this.preset?.max_side ?? null;
  }

  /** All that decides how a result looks, by whatever preset and changes it comes about. */
  get effect() {
    const { command: { settings }, look, preset, store: { state: { run } } } = this;
    const values = settings.map(({ path }) => this.value(path));
    // A method that was chosen is taken; that of a preset may be changed where it cannot work.
    return [preset?.rest ?? look.preset, values, "method" in look.changes, run.seed, this.longest];
  }

  /** @param {string} path @param {any} value */
  set(path, value) {
    // As with the command's flags, a mode by itself is the preset of its name.
    const modes = this.command.settings.find(setting => setting.path === "mode")?.choices ?? [];
    if (path === "mode" && !this.changed && modes.includes(this.preset?.name)) return this.choose(value);
    this.store.update(state => {
      const { changes } = state.looks[lookName(state)];
      if (JSON.stringify(value) === JSON.stringify(this.base(path))) delete changes[path];
      else changes[path] = value;
    });
  }

  /** Choose a preset, whose values take the place of all changes. @param {string | null} name */
  choose(name) {
    this.store.update(state => {
      state.looks[lookName(state)] = { preset: name, changes: {} };
    });
  }

  /** Whether anything differs from the preset. */
  get changed() {
    return Object.keys(this.look.changes).length > 0;
  }
}
