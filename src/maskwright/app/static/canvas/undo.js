/** Undo and redo: each change is a rectangle with its bytes before and after, the oldest forgotten when they grow too many. */

/** @typedef {import("./view.js").Rect} Rect */
/** @typedef {{rect: Rect, before: Uint8Array, after: Uint8Array, name: string}} Change */
/** @typedef {{done: Change[], undone: Change[], bytes: number, limit: number}} History */

/** @param {number} [limit] bytes kept at most @returns {History} */
export function createHistory(limit = 96 * 2 ** 20) {
  return { done: [], undone: [], bytes: 0, limit };
}

/** A rectangle's bytes, row by row. @param {Uint8Array} mask @param {number} width @param {Rect} rect @returns {Uint8Array} */
export function cut(mask, width, rect) {
  const piece = new Uint8Array(rect.width * rect.height);
  for (let row = 0; row < rect.height; row++) {
    const start = (rect.y + row) * width + rect.x;
    piece.set(mask.subarray(start, start + rect.width), row * rect.width);
  }
  return piece;
}

/** @param {Uint8Array} mask @param {number} width @param {Rect} rect @param {Uint8Array} piece */
function paste(mask, width, rect, piece) {
  for (let row = 0; row < rect.height; row++) mask.set(piece.subarray(row * rect.width, (row + 1) * rect.width), (rect.y + row) * width + rect.x);
}

/**
 * Remembers what a tool did inside `rect`: `before` is a copy of the whole mask from before it. Nothing changed, nothing is kept.
 * @param {History} history @param {Uint8Array} before @param {Uint8Array} mask @param {number} width @param {Rect|null} rect @param {string} name @returns {boolean}
 */
export function record(history, before, mask, width, rect, name) {
  if (!rect) return false;
  const change = { rect, before: cut(before, width, rect), after: cut(mask, width, rect), name };
  if (change.before.every((value, index) => value === change.after[index])) return false;
  history.done.push(change);
  history.undone.length = 0;
  history.bytes = history.done.reduce((sum, each) => sum + 2 * each.before.length, 0);
  while (history.bytes > history.limit && history.done.length > 1) {
    history.bytes -= 2 * /** @type {Change} */ (history.done.shift()).before.length;
  }
  return true;
}

/** Takes the last change back; returns it, or null if there is none. @param {History} history @param {Uint8Array} mask @param {number} width @returns {Change|null} */
export function undo(history, mask, width) {
  const change = history.done.pop();
  if (!change) return null;
  paste(mask, width, change.rect, change.before);
  history.undone.push(change);
  return change;
}

/** @param {History} history @param {Uint8Array} mask @param {number} width @returns {Change|null} */
export function redo(history, mask, width) {
  const change = history.undone.pop();
  if (!change) return null;
  paste(mask, width, change.rect, change.after);
  history.done.push(change);
  return change;
}
