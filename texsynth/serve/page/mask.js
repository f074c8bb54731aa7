// A painted mask: a list of operations on a canvas, so that each can be undone.

/**
 * @typedef {{kind: "stroke", erase: boolean, size: number, points: [number, number][]} | {kind: "clear"} | {kind: "invert"}
 *   | {kind: "image", image: CanvasImageSource}} Operation points and size are in pixels of the mask
 */

/** What is painted is opaque white, the rest is transparent. */
export class Mask {
  /** @type {Operation[]} */
  operations = [];
  /** @type {HTMLCanvasElement | null} what is painted with soft edges, until it changes */
  #soft = null;
  #fade = 0;

  /** @param {number} width @param {number} height */
  constructor(width, height) {
    this.canvas = document.createElement("canvas");
    this.canvas.width = width;
    this.canvas.height = height;
    this.context = /** @type {CanvasRenderingContext2D} */ (this.canvas.getContext("2d", { willReadFrequently: true }));
  }

  /** Width in pixels over which edges fade. */
  get fade() {
    return this.#fade;
  }

  set fade(pixels) {
    this.#fade = pixels;
    this.#soft = null;
  }

  /** What counts: what is painted, with soft edges where asked. */
  get soft() {
    this.#soft ??= this.#fade ? blurred(this.canvas, this.#fade) : this.canvas;
    return this.#soft;
  }

  /** Begin a stroke at a point. @param {[number, number]} point @param {number} size @param {boolean} erase */
  begin(point, size, erase) {
    this.apply({ kind: "stroke", erase, size, points: [point] });
  }

  /** Go on with the last stroke. @param {[number, number]} point */
  extend(point) {
    const last = this.operations.at(-1);
    if (last?.kind !== "stroke") return;
    const from = last.points.at(-1) ?? point;
    last.points.push(point);
    this.#soft = null;
    this.#stroke({ ...last, points: [from, point] });
  }

  /** @param {Operation} operation */
  apply(operation) {
    this.operations.push(operation);
    this.#carryOut(operation);
  }

  undo() {
    this.operations.pop();
    this.#soft = null;
    this.context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    this.operations.forEach(operation => this.#carryOut(operation));
  }

  /** Whether nothing is painted. */
  get empty() {
    const { data } = this.context.getImageData(0, 0, this.canvas.width, this.canvas.height);
    for (let n = 3; n < data.length; n += 4) if (data[n]) return false;
    return true;
  }

  /** White on black, as the command reads it. @returns {Promise<Blob>} */
  blob() {
    const flat = document.createElement("canvas");
    flat.width = this.canvas.width;
    flat.height = this.canvas.height;
    const context = /** @type {CanvasRenderingContext2D} */ (flat.getContext("2d"));
    context.fillStyle = "#000";
    context.fillRect(0, 0, flat.width, flat.height);
    context.drawImage(this.soft, 0, 0);
    return new Promise((resolve, reject) =>
      flat.toBlob(blob => (blob ? resolve(blob) : reject(new Error("the mask is too large for this browser"))), "image/png"));
  }

  /** @param {Operation} operation */
  #carryOut(operation) {
    const { context, canvas: { width, height } } = this;
    this.#soft = null;
    if (operation.kind === "stroke") this.#stroke(operation);
    else if (operation.kind === "clear") context.clearRect(0, 0, width, height);
    else if (operation.kind === "image") this.#image(operation.image);
    else {
      context.globalCompositeOperation = "xor";
      context.fillStyle = "#fff";
      context.fillRect(0, 0, width, height);
      context.globalCompositeOperation = "source-over";
    }
  }

  /** @param {{erase: boolean, size: number, points: [number, number][]}} stroke */
  #stroke({ erase, size, points }) {
    const { context } = this, [first, ...rest] = points;
    context.globalCompositeOperation = erase ? "destination-out" : "source-over";
    context.strokeStyle = context.fillStyle = "#fff";
    context.lineCap = context.lineJoin = "round";
    context.lineWidth = size;
    context.beginPath();
    // Not every browser draws a line without length, of a single dab.
    context.arc(...first, size / 2, 0, 2 * Math.PI);
    context.fill();
    context.beginPath();
    context.moveTo(...first);
    for (const point of rest) context.lineTo(...point);
    context.stroke();
    context.globalCompositeOperation = "source-over";
  }

  /** Take the lightness of a picture for what is painted. */
  #image(image) {
    const { context, canvas: { width, height } } = this;
    context.clearRect(0, 0, width, height);
    context.drawImage(image, 0, 0, width, height);
    const pixels = context.getImageData(0, 0, width, height), { data } = pixels;
    for (let n = 0; n < data.length; n += 4) {
      data[n + 3] = Math.round((0.299 * data[n] + 0.587 * data[n + 1] + 0.114 * data[n + 2]) * data[n + 3] / 255);
      data[n] = data[n + 1] = data[n + 2] = 255;
    }
    context.putImageData(pixels, 0, 0);
  }
}

/**
 * A canvas with its edges blurred; borders of the picture count as if what is there went on. The blur is a mean over a
 * line, taken three times each way, which is close to a Gaussian: not every browser has a filter for it. Wide ones are
 * made on a smaller canvas.
 * @param {HTMLCanvasElement} canvas @param {number} width of the fade in pixels
 */
function blurred(canvas, width) {
  const reduce = Math.max(1, Math.floor(width / 8)), sigma = width / reduce / 3;
  const small = scaled(canvas, Math.ceil(canvas.width / reduce), Math.ceil(canvas.height / reduce));
  const { width: w, height: h } = small, context = /** @type {CanvasRenderingContext2D} */ (small.getContext("2d"));
  const pixels = context.getImageData(0, 0, w, h), { data } = pixels;
  // A mean over 2 r + 1 pixels has the variance r (r + 1) / 3.
  const radius = Math.max(1, Math.round((Math.sqrt(1 + 4 * sigma ** 2) - 1) / 2));
  const opaque = new Float32Array(w * h), turned = new Float32Array(w * h);
  for (let n = 0; n < opaque.length; n++) opaque[n] = data[4 * n + 3];
  for (let times = 0; times < 3; times++) {
    meanOfRows(opaque, turned, w, h, radius);
    meanOfRows(turned, opaque, h, w, radius);
  }
  for (let n = 0; n < opaque.length; n++) {
    data[4 * n] = data[4 * n + 1] = data[4 * n + 2] = 255;
    data[4 * n + 3] = opaque[n];
  }
  context.putImageData(pixels, 0, 0);
  return scaled(small, canvas.width, canvas.height);
}

/** A copy in another size. @param {HTMLCanvasElement} canvas @param {number} width @param {number} height */
function scaled(canvas, width, height) {
  const copy = document.createElement("canvas");
  copy.width = width;
  copy.height = height;
  const context = /** @type {CanvasRenderingContext2D} */ (copy.getContext("2d"));
  context.imageSmoothingQuality = "high";
  context.drawImage(canvas, 0, 0, width, height);
  return copy;
}

/**
 * The mean of each pixel and its neighbours in the row; rows of `from` become columns of `to`.
 * @param {Float32Array} from @param {Float32Array} to @param {number} width @param {number} height both of `from`
 * @param {number} radius of neighbours each way
 */
function meanOfRows(from, to, width, height, radius) {
  const last = width - 1, share = 1 / (2 * radius + 1);
  for (let y = 0; y < height; y++) {
    const row = y * width;
    let sum = from[row] * (radius + 1);
    for (let x = 1; x <= radius; x++) sum += from[row + Math.min(x, last)];
    for (let x = 0; x < width; x++) {
      to[x * height + y] = sum * share;
      sum += from[row + Math.min(x + radius + 1, last)] - from[row + Math.max(x - radius, 0)];
    }
  }
}
