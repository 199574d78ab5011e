/** Connected regions: what the bucket fills, and what a click takes over from the prediction or removes. */

/** @typedef {import("./view.js").Rect} Rect */
/** @typedef {{rect: Rect, indexes: Uint32Array}} Region */

/**
 * The pixels of one label that hang together (4 neighbours) with a pixel, found span by span.
 * @param {Uint8Array} labels @param {number} width @param {number} height @param {number} x @param {number} y @returns {Region|null}
 */
export function region(labels, width, height, x, y) {
  if (x < 0 || y < 0 || x >= width || y >= height) return null;
  const label = labels[y * width + x];
  const seen = new Uint8Array(labels.length);
  /** @type {number[]} */
  const found = []; // pairs: first and last index of a span
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
    found.push(first, last);
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
  const indexes = new Uint32Array(count);
  let place = 0;
  for (let span = 0; span < found.length; span += 2) for (let index = found[span]; index <= found[span + 1]; index++) indexes[place++] = index;
  return { rect: { x: left, y: top, width: right - left + 1, height: bottom - top + 1 }, indexes };
}

/** The bucket: the region of one label under a point gets another. @param {Uint8Array} mask @param {number} width @param {number} height @param {number} x @param {number} y @param {number} value @returns {Rect|null} */
export function fill(mask, width, height, x, y, value) {
  const found = mask[y * width + x] === value ? null : region(mask, width, height, x, y);
  if (!found) return null;
  for (const index of found.indexes) mask[index] = value;
  return found.rect;
}

/**
 * A click on the prediction: the region predicted there is taken over into the mask, or, where the mask shows it already, taken out
 * of it again (class 0). Returns what was touched and which of the two it was.
 * @param {Uint8Array} mask @param {Uint8Array} prediction @param {number} width @param {number} height @param {number} x @param {number} y
 * @returns {{rect: Rect, grown: boolean}|null}
 */
export function toggleRegion(mask, prediction, width, height, x, y) {
  const found = region(prediction, width, height, x, y);
  if (!found) return null;
  const label = prediction[y * width + x];
  const grown = found.indexes.some((index) => mask[index] !== label);
  for (const index of found.indexes) mask[index] = grown ? label : 0;
  return { rect: found.rect, grown };
}
