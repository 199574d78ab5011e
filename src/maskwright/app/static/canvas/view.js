/**
 * Where the picture lies on the screen: scale (screen pixels an image pixel) and the place of the image's upper left corner.
 * Every function returns a new view; nothing here touches the page.
 */

/** @typedef {{scale: number, x: number, y: number}} View */
/** @typedef {{x: number, y: number}} Point */
/** @typedef {{x: number, y: number, width: number, height: number}} Rect */

export const MAX_SCALE = 64;
export const NOWHERE = { x: -1e6, y: 0 }; // where a pointer is that is not over the image

/** The whole image, centred, never larger than 8 screen pixels a pixel. @param {number} width @param {number} height @param {number} screenWidth @param {number} screenHeight @returns {View} */
export function fit(width, height, screenWidth, screenHeight) {
  const scale = Math.min(8, screenWidth / width, screenHeight / height);
  return { scale, x: (screenWidth - width * scale) / 2, y: (screenHeight - height * scale) / 2 };
}

/** Screen → image (fractions of a pixel are kept). @param {View} view @param {number} x @param {number} y @returns {Point} */
export function toImage(view, x, y) {
  return { x: (x - view.x) / view.scale, y: (y - view.y) / view.scale };
}

/** Image → screen. @param {View} view @param {number} x @param {number} y @returns {Point} */
export function toScreen(view, x, y) {
  return { x: x * view.scale + view.x, y: y * view.scale + view.y };
}

/** Larger or smaller about a point of the screen, which stays where it is. @param {View} view @param {number} factor @param {number} x @param {number} y @param {number} [minScale] @returns {View} */
export function zoom(view, factor, x, y, minScale = 0.01) {
  const scale = Math.min(MAX_SCALE, Math.max(minScale, view.scale * factor));
  const at = toImage(view, x, y);
  return { scale, x: x - at.x * scale, y: y - at.y * scale };
}

/** Moved, but so that a part of the image stays on the screen. @param {View} view @param {number} dx @param {number} dy @param {number} width @param {number} height @param {number} screenWidth @param {number} screenHeight @returns {View} */
export function pan(view, dx, dy, width, height, screenWidth, screenHeight) {
  const keep = 40;
  return {
    scale: view.scale,
    x: Math.min(screenWidth - keep, Math.max(keep - width * view.scale, view.x + dx)),
    y: Math.min(screenHeight - keep, Math.max(keep - height * view.scale, view.y + dy)),
  };
}

/** The smallest rectangle that holds both; an empty one (width 0) adds nothing. @param {Rect|null} a @param {Rect|null} b @returns {Rect|null} */
export function union(a, b) {
  if (!a || !a.width || !a.height) return b;
  if (!b || !b.width || !b.height) return a;
  const x = Math.min(a.x, b.x);
  const y = Math.min(a.y, b.y);
  return { x, y, width: Math.max(a.x + a.width, b.x + b.width) - x, height: Math.max(a.y + a.height, b.y + b.height) - y };
}

/** The part of a rectangle (of any numbers) that lies in the image, in whole pixels; null if none does. @param {number} x0 @param {number} y0 @param {number} x1 @param {number} y1 @param {number} width @param {number} height @returns {Rect|null} */
export function clipped(x0, y0, x1, y1, width, height) {
  const left = Math.max(0, Math.floor(x0));
  const top = Math.max(0, Math.floor(y0));
  const right = Math.min(width, Math.ceil(x1));
  const bottom = Math.min(height, Math.ceil(y1));
  return right > left && bottom > top ? { x: left, y: top, width: right - left, height: bottom - top } : null;
}

/** What two rectangles share. @param {Rect} a @param {Rect} b @returns {Rect|null} */
export function overlap(a, b) {
  const [x, y] = [Math.max(a.x, b.x), Math.max(a.y, b.y)];
  const [right, bottom] = [Math.min(a.x + a.width, b.x + b.width), Math.min(a.y + a.height, b.y + b.height)];
  return right > x && bottom > y ? { x, y, width: right - x, height: bottom - y } : null;
}
