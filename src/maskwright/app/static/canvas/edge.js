/** The magnetic edge (live wire): the path between two points that keeps to the strongest edges of the image. */

/** @typedef {import("./view.js").Rect} Rect */
/** @typedef {import("./view.js").Point} Point */
/** @typedef {{rect: Rect, parents: Int32Array, anchor: Point}} Wire */

/** RGBA → grey. @param {Uint8ClampedArray} rgba @returns {Uint8Array} */
export function luminance(rgba) {
  const grey = new Uint8Array(rgba.length / 4);
  for (let index = 0; index < grey.length; index++) grey[index] = (rgba[4 * index] * 77 + rgba[4 * index + 1] * 150 + rgba[4 * index + 2] * 29) >> 8;
  return grey;
}

/** What a step onto each pixel of a window costs: 1 on its strongest edge, 64 where nothing changes (Sobel). @param {Uint8Array} grey @param {number} width @param {number} height @param {Rect} rect @returns {Uint8Array} */
export function costs(grey, width, height, rect) {
  const strength = new Float32Array(rect.width * rect.height);
  let most = 1;
  /** @param {number} x @param {number} y */
  const at = (x, y) => grey[Math.min(height - 1, Math.max(0, y)) * width + Math.min(width - 1, Math.max(0, x))];
  for (let row = 0; row < rect.height; row++) {
    for (let column = 0; column < rect.width; column++) {
      const [x, y] = [rect.x + column, rect.y + row];
      const [a, b, c, d] = [at(x - 1, y - 1), at(x + 1, y - 1), at(x - 1, y + 1), at(x + 1, y + 1)];
      const across = b + 2 * at(x + 1, y) + d - a - 2 * at(x - 1, y) - c;
      const down = c + 2 * at(x, y + 1) + d - a - 2 * at(x, y - 1) - b;
      const value = Math.hypot(across, down);
      strength[row * rect.width + column] = value;
      if (value > most) most = value;
    }
  }
  return Uint8Array.from(strength, (value) => 1 + Math.round(63 * (1 - Math.sqrt(value / most))));
}

/**
 * The cheapest ways from an anchor to every pixel at most `radius` from it: made once an anchor, read for every place of the pointer.
 * Dijkstra with buckets, since costs are small whole numbers; a diagonal step counts 7/5 of a straight one.
 * @param {Uint8Array} grey @param {number} width @param {number} height @param {Point} anchor @param {number} [radius] @returns {Wire}
 */
export function wireFrom(grey, width, height, anchor, radius = 192) {
  const x = Math.min(width - 1, Math.max(0, Math.floor(anchor.x)));
  const y = Math.min(height - 1, Math.max(0, Math.floor(anchor.y)));
  const left = Math.max(0, x - radius);
  const top = Math.max(0, y - radius);
  const rect = { x: left, y: top, width: Math.min(width, x + radius + 1) - left, height: Math.min(height, y + radius + 1) - top };
  const cost = costs(grey, width, height, rect);
  const distance = new Int32Array(cost.length).fill(0x7fffffff);
  const parents = new Int32Array(cost.length).fill(-1);
  const rim = 7 * 64 + 1; // no step is longer, so that many buckets in a ring are enough
  /** @type {number[][]} */
  const buckets = Array.from({ length: rim }, () => []);
  const start = (y - top) * rect.width + (x - left);
  distance[start] = 0;
  buckets[0].push(start);
  for (let now = 0, waiting = 1; waiting > 0; now++) {
    const bucket = buckets[now % rim];
    while (bucket.length) {
      const index = /** @type {number} */ (bucket.pop());
      waiting--;
      if (distance[index] !== now) continue;
      const row = Math.floor(index / rect.width);
      const column = index - row * rect.width;
      for (let dy = -1; dy <= 1; dy++) {
        for (let dx = -1; dx <= 1; dx++) {
          if ((!dx && !dy) || column + dx < 0 || row + dy < 0 || column + dx >= rect.width || row + dy >= rect.height) continue;
          const next = index + dy * rect.width + dx;
          const far = now + cost[next] * (dx && dy ? 7 : 5);
          if (far >= distance[next]) continue;
          distance[next] = far;
          parents[next] = index;
          buckets[far % rim].push(next);
          waiting++;
        }
      }
    }
  }
  return { rect, parents, anchor: { x: x + 0.5, y: y + 0.5 } };
}

/** The way from the wire's anchor to a point, as pixel centres; a straight line to what lies outside its window. @param {Wire} wire @param {Point} to @returns {Point[]} */
export function trace(wire, to) {
  const { rect, parents } = wire;
  const column = Math.floor(to.x) - rect.x;
  const row = Math.floor(to.y) - rect.y;
  if (column < 0 || row < 0 || column >= rect.width || row >= rect.height) return [wire.anchor, to];
  /** @type {Point[]} */
  const path = [];
  for (let index = row * rect.width + column; index >= 0; index = parents[index]) {
    path.push({ x: rect.x + (index % rect.width) + 0.5, y: rect.y + Math.floor(index / rect.width) + 0.5 });
  }
  return path.reverse();
}
