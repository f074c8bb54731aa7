// The square pad: where its knob is says how much of each style goes in.

/**
 * Weights of up to four styles, to two decimals, that add up to 1. Corners are the styles in reading order; three share
 * the bottom edge with the third one, two lie left and right.
 * @param {[number, number]} at the knob, from 0 to 1, from the left and from the top
 * @param {number} count
 * @returns {number[]}
 */
export function padWeights([x, y], count) {
  if (count < 2) return Array(count).fill(1);
  const top = count === 2 ? 1 : 1 - y;
  const corners = [(1 - x) * top, x * top, ...(count === 3 ? [y] : count === 4 ? [(1 - x) * y, x * y] : [])];
  return rounded(corners);
}

/**
 * Weights of the styles of a blend: the pad shares out what no mask takes, and a style with a mask counts whole in it.
 * @param {import("./store.js").Style[]} styles
 * @param {[number, number]} at
 */
export function styleWeights(styles, at) {
  const free = padWeights(at, styles.filter(({ mask }) => !mask).length);
  return styles.map(({ mask }) => (mask ? 1 : /** @type {number} */ (free.shift())));
}

/** Where the first of some corners of the pad are, from 0 to 1. @param {number} count @returns {[number, number][]} */
export function padCorners(count) {
  /** @type {[number, number][]} */
  const all = [[0, 0], [1, 0], ...(count === 3 ? [/** @type {[number, number]} */ ([0.5, 1])] : []), [0, 1], [1, 1]];
  return all.slice(0, count);
}

/** Round to hundredths so that the sum stays 1. @param {number[]} weights */
function rounded(weights) {
  const parts = weights.map(weight => Math.floor(weight * 100 + 1e-9));
  const byRest = weights.map((weight, n) => [weight * 100 - parts[n], n]).sort((a, b) => b[0] - a[0]);
  for (let left = 100 - parts.reduce((a, b) => a + b, 0), n = 0; left > 0; left--, n++) parts[byRest[n][1]]++;
  return parts.map(part => part / 100);
}
