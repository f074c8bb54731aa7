// Puts the page together: the state in the middle, panels around it.

import { call, get, Refusal } from "./api.js";
import { actionsPanel } from "./actions.js";
import { brushBar } from "./brush-bar.js";
import { watchServer } from "./connection.js";
import { Desk } from "./desk.js";
import { commandDialog, confirmDialog, presetDialog } from "./dialogs.js";
import { choose, segments } from "./dom.js";
import { Intake, takeEverywhere } from "./intake.js";
import { keepCopies } from "./keeper.js";
import { helpLine, lookPanel } from "./look-panel.js";
import { Looks } from "./looks.js";
import { invitation, nextStep, statusLine } from "./messages.js";
import { outputPanel } from "./output-panel.js";
import { Painter } from "./painter.js";
import { picturesPanel } from "./pictures-panel.js";
import { stageInput } from "./stage-input.js";
import { Stage } from "./stage.js";
import { Store, mainPicture } from "./store.js";
import { downloadTogether, tray } from "./tray.js";
import { files } from "./uploads.js";
import { viewBar } from "./viewbar.js";

const by = id => /** @type {any} */ (document.getElementById(id));

/** @type {[string, string][]} */
const WORKSPACES = [["texture", "Texture"], ["style", "Style"]];
/** @type {[string, string, string][]} */
const TASKS = [
  ["expand", "Expand", "Makes more of a texture, in any size: the same stones or bricks, laid anew."],
  ["tile", "Seamless", "Keeps the picture and makes its borders meet, so that copies can be laid side by side."],
  ["hole", "Fill a hole", "Fills what you paint over with more of the texture around it."],
  ["maps", "Maps", "Guesses height, normals, roughness and shadows (occlusion) of the surface in the picture."],
];

/** @param {import("./looks.js").Options} options */
function start(options) {
  const store = new Store(), stage = new Stage(by("canvas")), looks = new Looks(store, options);
  by("about").textContent = `Version ${options.version}, network ${options.model}, on ${options.device === "cpu" ? "the processor" : options.device}`;
  const desk = new Desk(store, looks, () => show());
  const report = (error, cure) => desk.report(error, cure);
  const painter = new Painter(store, stage, report, () => show());
  brushBar(by("brush"), painter);
  const intake = new Intake(store, painter, options.limits, report, text => {
    if (text) desk.error = null;
    desk.reading = text;
    show();
  });

  const workspaces = segments("workspace", "Workspace", WORKSPACES, store.state.workspace, value => {
    painter.paint(null);
    store.update(state => { state.workspace = /** @type {any} */ (value); });
  });
  by("workspaces").append(workspaces);
  const tasks = segments("task", "What to make", TASKS, store.state.texture.task, value => {
    painter.paint(null);
    store.update(({ texture }) => { texture.task = /** @type {any} */ (value); });
  }, "wide");
  by("task").append(tasks);

  /** A hole is painted first of all. */
  function paintHole() {
    const { workspace, texture } = store.state;
    if (workspace === "texture" && texture.task === "hole" && texture.picture && !texture.hole && painter.target?.kind !== "hole")
      painter.paint({ kind: "hole" });
  }

  const bar = viewBar(by("viewbar"), stage, {
    mode: mode => {
      desk.place.mode = mode;
      show();
    },
    map: map => store.update(({ texture }) => { texture.map = map; }),
  });
  stageInput(stage, {
    painting: () => !!painter.target,
    brush: (point, phase) => painter.move(point, phase),
    brushKey: (key, event) => painter.key(key, event),
    split: at => {
      stage.set({ split: at });
      bar.split(at);
    },
  });

  const pictures = picturesPanel(by("pictures"), store, intake, painter, options.limits);
  const look = lookPanel(by("look"), looks);
  outputPanel(by("output"), store, options.formats);
  const forgetHelp = helpLine(by("panel"), by("help"));
  takeEverywhere(intake, by("stage"));

  const actions = actionsPanel({ root: by("actions"), tools: by("tools") }, {
    make: () => desk.make(),
    cancel: () => desk.place.follower.cancel().catch(report),
    command: () => commandDialog(desk.request).catch(report),
    preset: () => presetDialog(desk.request, refresh),
  });

  const showResults = tray(by("results"), {
    show: (job, n) => desk.showResult(job, n),
    use: useResult,
    download: async () => {
      // Those that the server has dropped meanwhile would spoil the others.
      await desk.pickUp().catch(report);
      if (desk.place.done.length) downloadTogether(desk.place.done);
      show();
    },
    remove: jobs => desk.remove(jobs),
    clear: () => confirmDialog("Remove all results?", "They are deleted. What you have downloaded stays.", "Remove all", () => desk.remove(desk.place.done)),
  });

  async function useResult(job, n) {
    try {
      const blob = await (await call("GET", `/v1/jobs/${job.id}/results/${n}`)).blob();
      await intake.main([new File([blob], job.results[n].name, { type: blob.type })]);
    } catch (error) {
      report(error);
    }
  }

  /** Ask for presets again, after one was saved, and take it. @param {string} name */
  async function refresh(name) {
    looks.options = await get("/v1/options");
    looks.choose(name);
    look();
  }

  function show() {
    const { state } = store, { place } = desk, { missing } = desk, painting = !!painter.target;
    const { job } = place.follower, full = place.shown === "full" ? place.full : null;
    // A result of an earlier picture is not laid beside the one of now.
    // A result may be looked at though something is missing for the next one.
    const lacking = full && !painting ? null : missing;
    const foreign = full && !painting && full.job.picture !== mainPicture(state)?.id;
    const before = foreign ? null : place.before?.image ?? null, after = full?.image ?? place.preview?.image ?? null;
    const size = desk.size, picture = mainPicture(state);
    const alike = picture && size[0] * picture.height === size[1] * picture.width;
    const repeated = picture && state.workspace === "texture" && !(alike && size[0] === picture.width);
    stage.set({
      after: painting ? null : after, before, exact: !!full && !painting, size: painting || !after ? inputSize() : size,
      beforeSize: repeated ? [picture.width, picture.height] : null, mode: painting || !after ? "result" : place.mode,
    });
    if (painting) painter.show();
    bar.show({ painting, workspace: state.workspace, task: state.texture.task, map: state.texture.map, mode: place.mode, ready: !!after && !painting, zoomable: !!(after ?? before), preview: !full });
    const kind = painting || !after ? (before ? "input" : "none") : full ? "full" : "preview";
    const waiting = place.preview?.rough ? "A rough preview; the true one follows …" : "Making a preview …";
    const busy = desk.reading ?? nextStep(lacking, painter.target?.kind ?? null, painter.styleName) ?? (desk.previewing && !lacking ? waiting : null);
    const borders = place.mode === "tiled" && state.workspace === "texture" && state.texture.task === "expand" && !looks.value("tileable")
      ? ["its borders do not meet: tick Tileable for that"] : [];
    statusLine(by("state"), {
      busy, error: desk.error, cure: desk.error ? desk.cure : null, kind, name: full?.name ?? picture?.name ?? "", size: kind === "input" ? inputSize() : size,
      preview: options.preview, seconds: place.preview?.seconds ?? 0, warnings: [...borders, ...(place.preview?.warnings ?? [])],
    });
    by("canvas").setAttribute("aria-label", by("state").textContent || "No picture yet");
    by("working").hidden = !desk.previewing && !desk.reading;
    invitation(by("empty"), state.workspace, lacking, intake);
    actions.show(job, place.problem, !missing, missing || state.texture.task === "maps" && state.workspace === "texture" ? "" : sizeText(), full?.job.warnings ?? []);
    showResults(place.done);
    choose(workspaces, state.workspace);
    choose(tasks, state.texture.task);
    by("task").hidden = state.workspace !== "texture";
    pictures();
  }

  /** @returns {[number, number]} */
  function inputSize() {
    const picture = mainPicture(store.state);
    return picture ? [picture.width, picture.height] : [1, 1];
  }

  const sizeText = () => desk.fullSize.join(" × ");

  store.subscribe((state, before) => {
    if (state.workspace !== before.workspace) forgetHelp();
    if (mainPicture(state)?.id !== mainPicture(before)?.id || state.texture.task !== before.texture.task || state.workspace !== before.workspace)
      paintHole();
  });
  watchServer(by("banner"), () => {
    painter.sendAgain();
    desk.recover();
  });
  desk.recover().then(() => keepCopies(store, files));
}

get("/v1/options").then(start, error => {
  const banner = by("banner");
  banner.hidden = false;
  banner.textContent = error instanceof Refusal && [401, 403].includes(error.status)
    ? "This address is not complete. Open the one that `texsynth serve` has printed, with all that follows the question mark."
    : `The page could not start: ${error.message}.`;
});
