/** Filled polygons, by the even-odd rule at pixel centres. */
import { clipped } from "./view.js";

/** @typedef {import("./view.js").Rect} Rect */
/** @typedef {import("./view.js").Point} Point */

/** @param {Uint8Array} mask @param {number} width @param {number} height @param {Point[]} points @param {number} value @returns {Rect|null} */
export function fillPolygon(mask, width, height, points, value) {
  if (points.length < 3) return null;
  const xs = points.map((point) => point.x);
  const ys = points.map((point) => point.y);
  const rect = clipped(Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys), width, height);
  if (!rect) return null;
  for (let row = rect.y; row < rect.y + rect.height; row++) {
    const y = row + 0.5;
    /** @type {number[]} */
    const crossings = [];
    points.forEach((a, index) => {
      const b = points[(index + 1) % points.length];
      if (a.y <= y !== b.y <= y) crossings.push(a.x + ((y - a.y) / (b.y - a.y)) * (b.x - a.x));
    });
    crossings.sort((a, b) => a - b);
    for (let pair = 0; pair + 1 < crossings.length; pair += 2) {
      const first = Math.max(0, Math.ceil(crossings[pair] - 0.5));
      const last = Math.min(width, Math.ceil(crossings[pair + 1] - 0.5));
      if (last > first) mask.fill(value, row * width + first, row * width + last);
    }
  }
  return rect;
}
