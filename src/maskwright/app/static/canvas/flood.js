/** Connected regions: what the bucket fills, and what a click takes over from the prediction or removes. */

/** @typedef {import("./view.js").Rect} Rect */
/** @typedef {{rect: Rect, spans: number[], count: number}} Region spans: first and last index of each run of pixels */
/** @typedef {{x: number, y: number, width: number, height: number, pixels: Uint8Array}} Piece a part of an image's prediction, and where it lies */

/**
 * The pixels of one label that hang together (4 neighbours) with a pixel, found span by span.
 * @param {Uint8Array} labels @param {number} width @param {number} height @param {number} x @param {number} y @returns {Region|null}
 */
export function region(labels, width, height, x, y) {
  if (x < 0 || y < 0 || x >= width || y >= height) return null;
  const label = labels[y * width + x];
  const seen = new Uint8Array(labels.length);
  /** @type {number[]} */
  const spans = [];
  const queue = [y * width + x];
  let count = 0;
  let [left, right, top, bottom] = [x, x, y, y];
  while (queue.length) {
    const seed = /** @type {number} */ (queue.pop());
    if (seen[seed]) continue;
    const row = Math.floor(seed / width);
    const start = row * width;
    let first = seed;
    let last = seed;
    while (first > start && labels[first - 1] === label && !seen[first - 1]) first--;
    while (last < start + width - 1 && labels[last + 1] === label && !seen[last + 1]) last++;
    seen.fill(1, first, last + 1);
    spans.push(first, last);
    count += last - first + 1;
    left = Math.min(left, first - start);
    right = Math.max(right, last - start);
    top = Math.min(top, row);
    bottom = Math.max(bottom, row);
    for (const next of [row - 1, row + 1]) {
      if (next < 0 || next >= height) continue;
      const shift = (next - row) * width;
      let open = false;
      for (let index = first + shift; index <= last + shift; index++) {
        const inside = labels[index] === label && !seen[index];
        if (inside && !open) queue.push(index);
        open = inside;
      }
    }
  }
  return { rect: { x: left, y: top, width: right - left + 1, height: bottom - top + 1 }, spans, count };
}

/**
 * The border of a region as lines along the sides of its pixels: x, y, x, y of each.
 * @param {Region} found @param {Uint8Array} labels @param {number} width @returns {number[]}
 */
export function outline({ spans }, labels, width) {
  /** @type {number[]} */
  const lines = [];
  for (let span = 0; span < spans.length; span += 2) {
    const [first, last] = [spans[span], spans[span + 1]];
    const y = Math.floor(first / width);
    const start = y * width;
    const [left, right] = [first - start, last - start + 1];
    lines.push(left, y, left, y + 1, right, y, right, y + 1);
    for (const [shift, edge] of [[-width, y], [width, y + 1]]) {
      let from = -1;
      for (let index = first; index <= last + 1; index++) {
        const open = index <= last && labels[index + shift] !== labels[first]; // beyond the picture there is no label
        if (open && from < 0) from = index - start;
        if (!open && from >= 0) {
          lines.push(from, edge, index - start, edge);
          from = -1;
        }
      }
    }
  }
  return lines;
}

/** The region of a prediction under a point of the image. @param {Piece} piece @param {number} x @param {number} y @returns {Region|null} */
export const regionAt = (piece, x, y) => region(piece.pixels, piece.width, piece.height, x - piece.x, y - piece.y);

/** The bucket: the region of one label under a point gets another. @param {Uint8Array} mask @param {number} width @param {number} height @param {number} x @param {number} y @param {number} value @returns {Rect|null} */
export function fill(mask, width, height, x, y, value) {
  const found = mask[y * width + x] === value ? null : region(mask, width, height, x, y);
  if (!found) return null;
  for (let span = 0; span < found.spans.length; span += 2) mask.fill(value, found.spans[span], found.spans[span + 1] + 1);
  return found.rect;
}

/**
 * A click on the prediction: its region is taken over into the mask, or, where that is asked for or the mask shows all of it already,
 * taken out of it again (class 0). Returns what was touched and which of the two it was.
 * @param {Uint8Array} mask @param {number} width @param {Piece} piece @param {Region} found @param {boolean} [removes]
 * @returns {{rect: Rect, grown: boolean}}
 */
export function toggleRegion(mask, width, piece, { rect, spans }, removes = false) {
  const label = piece.pixels[spans[0]];
  /** @param {(index: number) => void} each called with places in the mask */
  const walk = (each) => {
    for (let span = 0; span < spans.length; span += 2) {
      const row = Math.floor(spans[span] / piece.width);
      const shift = (row + piece.y) * width + piece.x - row * piece.width;
      for (let index = spans[span] + shift; index <= spans[span + 1] + shift; index++) each(index);
    }
  };
  let grown = false;
  if (!removes) walk((index) => { grown ||= mask[index] !== label; });
  walk((index) => { if (grown) mask[index] = label; else if (mask[index] === label) mask[index] = 0; });
  return { rect: { ...rect, x: rect.x + piece.x, y: rect.y + piece.y }, grown };
}
