// Where a picture lies in the window, as plain numbers: zoom and offset, nothing of the page.

/**
 * @typedef {{zoom: number, x: number, y: number, fit: boolean}} Viewport zoom in window pixels per picture pixel; x and y
 *   are where the picture's corner lies in the window; fit follows the window
 * @typedef {[number, number]} Size width and height
 */

export const MAX_ZOOM = 32;
const MARGIN = 18;

/** The picture whole and in the middle. @param {Size} area @param {Size} content @returns {Viewport} */
export function fitted(area, content) {
  const margin = Math.min(MARGIN, area[0] / 12, area[1] / 12);
  const zoom = Math.min((area[0] - 2 * margin) / content[0], (area[1] - 2 * margin) / content[1], MAX_ZOOM);
  return { ...centred(area, content, Math.max(zoom, 1e-4)), fit: true };
}

/** @param {Size} area @param {Size} content @param {number} zoom @returns {Viewport} */
function centred(area, content, zoom) {
  return { zoom, x: (area[0] - content[0] * zoom) / 2, y: (area[1] - content[1] * zoom) / 2, fit: false };
}

/**
 * Zoom so that the point of the picture under `at` stays there.
 * @param {Viewport} view @param {number} zoom @param {[number, number]} at @param {Size} area @param {Size} content
 * @returns {Viewport}
 */
export function zoomedTo(view, zoom, at, area, content) {
  const smallest = Math.min(fitted(area, content).zoom, 1) / 4;
  const next = Math.min(MAX_ZOOM, Math.max(smallest, zoom)), ratio = next / view.zoom;
  return within({ zoom: next, x: at[0] - (at[0] - view.x) * ratio, y: at[1] - (at[1] - view.y) * ratio, fit: false }, area, content);
}

/** @param {Viewport} view @param {number} dx @param {number} dy @param {Size} area @param {Size} content @returns {Viewport} */
export function moved(view, dx, dy, area, content) {
  return within({ ...view, x: view.x + dx, y: view.y + dy, fit: false }, area, content);
}

/** Keep a part of the picture in the window; what is smaller than the window stays whole. */
function within(view, area, content) {
  const limit = (offset, room, side) => {
    const slack = Math.min(room, side) / 2;
    return Math.min(room - slack, Math.max(slack - side, offset));
  };
  return { ...view, x: limit(view.x, area[0], content[0] * view.zoom), y: limit(view.y, area[1], content[1] * view.zoom) };
}

/** The point of the picture at a point of the window. @param {Viewport} view @param {[number, number]} at @returns {[number, number]} */
export function toPicture(view, [x, y]) {
  return [(x - view.x) / view.zoom, (y - view.y) / view.zoom];
}
