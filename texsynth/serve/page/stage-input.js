// Pointer, wheel and keys on the picture: zoom, move, the line between before and after, and the brush.

const MOVE_PX = 40;
const GRAB_PX = 16;
/** How far a wheel turns for one step of zoom, in pixels; two fingers that pinch a pad come as a wheel with Ctrl. */
const WHEEL_PX = 80;
const PINCH_PX = 20;
const LINE_PX = 40;
const MOST_STEPS = 2;

/** Steps of zoom. @param {WheelEvent} event */
function wheelSteps({ deltaMode, deltaY, ctrlKey }) {
  const pixels = deltaMode === WheelEvent.DOM_DELTA_PIXEL ? deltaY : deltaY * LINE_PX;
  return Math.min(MOST_STEPS, Math.max(-MOST_STEPS, -pixels / (ctrlKey ? PINCH_PX : WHEEL_PX)));
}

/**
 * @typedef {object} Hooks
 * @property {() => boolean} painting
 * @property {(point: [number, number], phase: "begin" | "move" | "end" | "hover" | "leave") => void} brush
 * @property {(key: string, event: KeyboardEvent) => boolean} brushKey whether the key was the brush's
 * @property {(split: number) => void} split
 */

/**
 * @param {import("./stage.js").Stage} stage
 * @param {Hooks} hooks
 */
export function stageInput(stage, hooks) {
  const { canvas } = stage;
  /** @type {Map<number, [number, number]>} */
  const pointers = new Map();
  /** @type {"move" | "split" | "paint" | "pinch" | null} */
  let action = null;

  /** @param {MouseEvent} event @returns {[number, number]} */
  const place = event => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  /** @param {[number, number]} at */
  const onSplit = ([x]) => stage.scene.mode === "compare"
    && Math.abs(x - (stage.view.x + stage.scene.size[0] * stage.scene.split * stage.view.zoom)) < GRAB_PX;
  const splitTo = at => hooks.split(Math.min(1, Math.max(0, stage.toPicture(at)[0] / stage.scene.size[0])));
  const spread = () => {
    const [[ax, ay], [bx, by]] = [...pointers.values()];
    return { distance: Math.hypot(ax - bx, ay - by), middle: /** @type {[number, number]} */ ([(ax + bx) / 2, (ay + by) / 2]) };
  };

  canvas.addEventListener("wheel", event => {
    event.preventDefault();
    const steps = wheelSteps(event);
    if (steps) stage.zoomBy(steps, place(event));
  }, { passive: false });

  // Safari tells of a pinch on a pad by events of its own, on a screen beside those of the fingers.
  let zoomBefore = 1;
  canvas.addEventListener("gesturestart", event => {
    event.preventDefault();
    zoomBefore = stage.view.zoom;
  });
  canvas.addEventListener("gesturechange", event => {
    event.preventDefault();
    const { scale } = /** @type {any} */ (event);
    if (!pointers.size) stage.zoomTo(zoomBefore * scale, place(/** @type {any} */ (event)));
  });

  canvas.addEventListener("pointerdown", event => {
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, place(event));
    if (pointers.size === 2) {
      if (action === "paint") hooks.brush(stage.toPicture(place(event)), "end");
      action = "pinch";
    } else if (hooks.painting() && event.button === 0) {
      action = "paint";
      hooks.brush(stage.toPicture(place(event)), "begin");
    } else action = onSplit(place(event)) ? "split" : "move";
  });

  canvas.addEventListener("pointermove", event => {
    const at = place(event), last = pointers.get(event.pointerId);
    if (!last) {
      if (hooks.painting()) hooks.brush(stage.toPicture(at), "hover");
      else canvas.style.cursor = onSplit(at) ? "ew-resize" : "";
      return;
    }
    const before = pointers.size === 2 ? spread() : null;
    pointers.set(event.pointerId, at);
    if (action === "pinch" && before) {
      const { distance, middle } = spread();
      stage.zoomTo(stage.view.zoom * distance / Math.max(1, before.distance), middle);
      stage.move(middle[0] - before.middle[0], middle[1] - before.middle[1]);
    } else if (action === "paint")
      for (const each of event.getCoalescedEvents?.() ?? [event]) hooks.brush(stage.toPicture(place(each)), "move");
    else if (action === "split") splitTo(at);
    else if (action === "move") stage.move(at[0] - last[0], at[1] - last[1]);
  });

  for (const end of ["pointerup", "pointercancel"])
    canvas.addEventListener(end, event => {
      if (!pointers.delete(/** @type {PointerEvent} */ (event).pointerId)) return;
      if (action === "paint") hooks.brush(stage.toPicture(place(/** @type {PointerEvent} */ (event))), "end");
      if (!pointers.size) action = null;
    });

  canvas.addEventListener("pointerleave", () => {
    canvas.style.cursor = "";
    if (!pointers.size && hooks.painting()) hooks.brush([0, 0], "leave");
  });
  canvas.addEventListener("dblclick", () => !hooks.painting() && stage.fit());

  canvas.addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey) {
      if (!(event.key === "z" && hooks.painting())) return;
    }
    if (hooks.painting() && hooks.brushKey(event.key, event)) return event.preventDefault();
    const far = MOVE_PX * (event.shiftKey ? 4 : 1);
    const keys = {
      "+": () => stage.zoomBy(1), "=": () => stage.zoomBy(1), "-": () => stage.zoomBy(-1), 0: () => stage.fit(), 1: () => stage.zoomTo(1),
      ArrowLeft: () => stage.move(far, 0), ArrowRight: () => stage.move(-far, 0),
      ArrowUp: () => stage.move(0, far), ArrowDown: () => stage.move(0, -far),
    };
    if (!(event.key in keys)) return;
    event.preventDefault();
    keys[event.key]();
  });
  canvas.addEventListener("keyup", event => {
    if (hooks.painting() && hooks.brushKey(`up ${event.key}`, event)) event.preventDefault();
  });
}
