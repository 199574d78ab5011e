/** Brush and eraser: a stroke is a row of capsules (a disc drawn along a line), filled row by row. */
import { clipped } from "./view.js";

/** @typedef {import("./view.js").Rect} Rect */

/**
 * Sets every pixel whose centre is at most `radius` from the line between two points; returns the rectangle it touched.
 * @param {Uint8Array} mask @param {number} width @param {number} height
 * @param {number} x0 @param {number} y0 @param {number} x1 @param {number} y1 @param {number} radius @param {number} value
 * @returns {Rect|null}
 */
export function stroke(mask, width, height, x0, y0, x1, y1, radius, value) {
  const rect = clipped(Math.min(x0, x1) - radius, Math.min(y0, y1) - radius, Math.max(x0, x1) + radius, Math.max(y0, y1) + radius, width, height);
  if (!rect) return null;
  const length = Math.hypot(x1 - x0, y1 - y0);
  const nx = length ? (-(y1 - y0) / length) * radius : 0; // from the line to the capsule's straight sides
  const ny = length ? ((x1 - x0) / length) * radius : 0;
  const corners = length ? [[x0 + nx, y0 + ny], [x1 + nx, y1 + ny], [x1 - nx, y1 - ny], [x0 - nx, y0 - ny]] : [];
  for (let row = rect.y; row < rect.y + rect.height; row++) {
    const y = row + 0.5;
    let low = Infinity;
    let high = -Infinity;
    for (const [cx, cy] of [[x0, y0], [x1, y1]]) {
      const inside = radius * radius - (y - cy) * (y - cy);
      if (inside < 0) continue;
      const half = Math.sqrt(inside);
      low = Math.min(low, cx - half);
      high = Math.max(high, cx + half);
    }
    for (let side = 0; side < corners.length; side++) {
      const [ax, ay] = corners[side];
      const [bx, by] = corners[(side + 1) % corners.length];
      if (ay === by || y < Math.min(ay, by) || y > Math.max(ay, by)) continue;
      const x = ax + ((y - ay) / (by - ay)) * (bx - ax);
      low = Math.min(low, x);
      high = Math.max(high, x);
    }
    const first = Math.max(rect.x, Math.ceil(low - 0.5));
    const last = Math.min(rect.x + rect.width - 1, Math.floor(high - 0.5));
    if (last >= first) mask.fill(value, row * width + first, row * width + last + 1);
  }
  return rect;
}
