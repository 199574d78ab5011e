/** Labels, errors and uncertainty as RGBA pixels. Colours are numbers 0xAABBGGRR, as a Uint32Array over RGBA bytes reads them. */

/** @typedef {import("./view.js").Rect} Rect */

export const IGNORED = 255;
export const STEPS = 254; // a probability travels as a byte: value / 254

/** "#rrggbb" → a colour of full strength. @param {string} hex @returns {number} */
export function colour(hex) {
  const value = Number.parseInt(hex.slice(1), 16);
  return (0xff000000 | ((value & 0xff) << 16) | (value & 0xff00) | (value >> 16)) >>> 0;
}

const MISSED = colour("#0072b2");
const ADDED = colour("#d55e00");
const GREY = colour("#7f7f7f");
const [BLACK, WHITE] = [colour("#1b1f24"), colour("#ffffff")];

/** One colour a label; classes that are switched off and labels beyond the classes are transparent. @param {string[]} colours @param {boolean[]} shown @returns {Uint32Array} */
export function palette(colours, shown) {
  const table = new Uint32Array(256);
  colours.forEach((hex, index) => { if (shown[index]) table[index] = colour(hex); });
  table[IGNORED] = GREY;
  return table;
}

/** @typedef {Rect & {step?: number}} Area a rectangle of the image, of which every step-th pixel is looked at */

/** Runs `pixel(index)` over an area (the whole image without one). @param {Uint32Array} out as large as what is looked at @param {number} width of the image @param {Area|null} area @param {(index: number) => number} pixel */
function paint(out, width, area, pixel) {
  const { x, y, width: wide, height: high, step = 1 } = area ?? { x: 0, y: 0, width, height: out.length / width };
  let place = 0;
  for (let row = y; row < y + high; row += step) {
    const end = row * width + x + wide;
    for (let index = row * width + x; index < end; index += step) out[place++] = pixel(index);
  }
}

/** @param {Uint32Array} out @param {Uint8Array} labels @param {Uint32Array} table @param {number} width @param {Area|null} [area] */
export function paintLabels(out, labels, table, width, area = null) {
  paint(out, width, area, (index) => table[labels[index]]);
}

/** What is drawn: ignored pixels are striped, so that they stand out from any image. @param {Uint32Array} out @param {Uint8Array} labels @param {Uint32Array} table @param {number} width @param {Area} area */
export function paintDrawn(out, labels, table, width, area) {
  const wide = 4 * (area.step ?? 1);
  paint(out, width, area, (index) => (labels[index] !== IGNORED ? table[labels[index]] : stripe(index, width, wide) ? WHITE : BLACK));
}

/** What is predicted, hatched: it is not the mask. @param {Uint32Array} out @param {Uint8Array} labels @param {Uint32Array} table @param {number} width @param {Area} area */
export function paintHatched(out, labels, table, width, area) {
  const wide = 4 * (area.step ?? 1);
  paint(out, width, area, (index) => (stripe(index, width, wide) ? 0 : table[labels[index]]));
}

/** @param {number} index @param {number} width @param {number} wide @returns {number} 0 or 1, in diagonal stripes */
const stripe = (index, width, wide) => Math.floor(((index % width) + Math.floor(index / width)) / wide) & 1;

/**
 * What is wrong: of two classes missed pixels blue and added ones orange; of more, the colour of the class predicted there, with
 * class 0 in grey. Where truth is ignored nothing is wrong; pixels whose two classes are both switched off are left out.
 * @param {Uint32Array} out @param {Uint8Array} truth @param {Uint8Array} labels @param {string[]} colours @param {boolean[]} shown @param {number} width @param {Area|null} [area]
 */
export function paintErrors(out, truth, labels, colours, shown, width, area = null) {
  const table = palette(colours, colours.map(() => true));
  const two = colours.length === 2;
  paint(out, width, area, (index) => {
    const real = truth[index];
    const found = labels[index];
    if (real === found || real === IGNORED || (!shown[real] && !shown[found])) return 0;
    if (two) return found ? ADDED : MISSED;
    return found ? table[found] : GREY;
  });
}

/** The surer the clearer: 0 is transparent, 254 full. @param {Uint32Array} out @param {Uint8Array} values @param {number} width @param {Area|null} [area] */
export function paintHeat(out, values, width, area = null) {
  const table = new Uint32Array(256);
  for (let value = 0; value < IGNORED; value++) {
    const share = value / STEPS; // violet through red to yellow
    const red = Math.round(255 * Math.min(1, 0.45 + share));
    const green = Math.round(255 * Math.max(0, share * 1.6 - 0.7));
    const blue = Math.round(255 * Math.max(0, 0.75 - 1.3 * share));
    table[value] = ((Math.round(255 * Math.min(1, share * 1.6)) << 24) | (blue << 16) | (green << 8) | red) >>> 0;
  }
  paint(out, width, area, (index) => table[values[index]]);
}

/** Probabilities → labels: foreground from `step` / 254 on. @param {Uint8Array} probability @param {number} step @param {Uint8Array} [into] @returns {Uint8Array} */
export function atThreshold(probability, step, into = new Uint8Array(probability.length)) {
  for (let index = 0; index < probability.length; index++) {
    const value = probability[index];
    into[index] = value === IGNORED ? IGNORED : value >= step ? 1 : 0;
  }
  return into;
}

/** @typedef {{tp: number[], fp: number[], fn: number[]}} Curve */
/** @typedef {{iou: number|null, dice: number|null, precision: number|null, recall: number|null}} Scores */

/** The scores of the foreground at a threshold; null where there is nothing to divide by. @param {Curve} curve @param {number} step @returns {Scores} */
export function scoresAt(curve, step) {
  const [tp, fp, fn] = [curve.tp[step], curve.fp[step], curve.fn[step]];
  /** @param {number} part @param {number} whole */
  const share = (part, whole) => (whole > 0 ? part / whole : null);
  return {
    iou: share(tp, tp + fp + fn),
    dice: share(2 * tp, 2 * tp + fp + fn),
    precision: share(tp, tp + fp),
    recall: share(tp, tp + fn),
  };
}
