// How much of each style goes in: every style has a weight, and the square pad shows and moves all of them at once.

/**
 * Shares of up to four styles that add up to 1, for a place on the pad. Corners are the styles in reading order; three
 * share the bottom edge with the third one, two lie left and right.
 * @param {[number, number]} at the knob, from 0 to 1, from the left and from the top
 * @param {number} count
 * @returns {number[]}
 */
export function padWeights([x, y], count) {
  if (count < 2) return Array(count).fill(1);
  const top = count === 2 ? 1 : 1 - y;
  return [(1 - x) * top, x * top, ...(count === 3 ? [y] : count === 4 ? [(1 - x) * y, x * y] : [])];
}

/**
 * Where the knob lies for some shares. Of four, which the pad cannot always hit, it is the mean of the corners, each as
 * heavy as its style.
 * @param {number[]} shares that add up to 1
 * @returns {[number, number]}
 */
export function padPlace(shares) {
  const [a = 0, b = 0, c = 0, d = 0] = shares, top = a + b;
  const across = shares.length === 4 ? b + d : top ? b / top : 0.5;
  return [across, shares.length === 2 ? 0.5 : c + d].map(value => Number(value.toFixed(3)));
}

/** Whether the knob mixes as the shares say, to the percent: of four styles there are mixes that no place of the pad has. @param {number[]} shares */
export function isOnPad(shares) {
  const reached = padWeights(padPlace(shares), shares.length);
  return shares.every((share, n) => Math.abs(share - reached[n]) < 0.01);
}

/** The styles that the pad weighs: a mask says where the others go. @param {import("./store.js").Style[]} styles */
export function freeStyles(styles) {
  return styles.filter(({ mask }) => !mask);
}

/** Shares of the styles without a mask, in proportion to their weights. @param {import("./store.js").Style[]} styles */
export function freeShares(styles) {
  const weights = freeStyles(styles).map(({ weight }) => weight ?? 1), sum = weights.reduce((a, b) => a + b, 0);
  return weights.map(weight => (sum ? weight / sum : 1 / weights.length));
}

/** Weight of a style that comes to others, whose proportions stay: as much as they have on average. @param {import("./store.js").Style[]} styles */
export function newWeight(styles) {
  const weights = freeStyles(styles).map(({ weight }) => weight ?? 1), sum = weights.reduce((a, b) => a + b, 0);
  return sum ? sum / weights.length : 1;
}

/**
 * Weights of the styles of a blend: those without a mask share what no mask takes, one with a mask counts whole in it.
 * @param {import("./store.js").Style[]} styles
 */
export function styleWeights(styles) {
  const free = rounded(freeShares(styles));
  return styles.map(({ mask }) => (mask ? 1 : /** @type {number} */ (free.shift())));
}

/** Where the first of some corners of the pad are, from 0 to 1. @param {number} count @returns {[number, number][]} */
export function padCorners(count) {
  /** @type {[number, number][]} */
  const all = [[0, 0], [1, 0], ...(count === 3 ? [/** @type {[number, number]} */ ([0.5, 1])] : []), [0, 1], [1, 1]];
  return all.slice(0, count);
}

/** Round to hundredths so that the sum stays 1. @param {number[]} weights */
export function rounded(weights) {
  const parts = weights.map(weight => Math.floor(weight * 100 + 1e-9));
  const byRest = weights.map((weight, n) => [Number((weight * 100 - parts[n]).toFixed(6)), n]).sort((a, b) => b[0] - a[0]);
  for (let left = 100 - parts.reduce((a, b) => a + b, 0), n = 0; left > 0 && n < byRest.length; left--, n++) parts[byRest[n][1]]++;
  return parts.map(part => part / 100);
}
