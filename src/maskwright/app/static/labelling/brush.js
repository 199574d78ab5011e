/** The brush and the eraser: a stroke, from where it is set down to where it is lifted. */
import { stroke } from "../canvas/brush.js";
import { union } from "../canvas/view.js";
import { announce } from "../dom.js";
import { wishes } from "./tools.js";

/** @typedef {import("../canvas/view.js").Point} Point */
/** @typedef {import("../canvas/view.js").Rect} Rect */

export class Brush {
  held = false; // down by a key
  /** @type {Point|null} where it is while it is down */
  #last = null;
  /** @type {Rect|null} */
  #touched = null;
  #drawing;

  /** @param {import("./drawing.js").Drawing} drawing */
  constructor(drawing) {
    this.#drawing = drawing;
  }

  /** @param {Point} at */
  begin(at) {
    this.end();
    this.#drawing.begin();
    this.#touched = null;
    this.#last = at;
    this.extend(at);
  }

  /** @param {Point} at */
  extend(at) {
    if (!this.#last) return;
    const { mask, width, height } = this.#drawing;
    const rect = stroke(mask, width, height, this.#last.x, this.#last.y, at.x, at.y, wishes.size / 2, wishes.value);
    this.#last = at;
    if (!rect) return;
    this.#touched = union(this.#touched, rect);
    this.#drawing.repaint(rect);
  }

  end() {
    this.held = false;
    if (!this.#last) return;
    this.#last = null;
    this.#drawing.finish(this.#touched, wishes.tool);
  }

  /** The stroke is taken back. @returns {boolean} whether there was one */
  cancel() {
    this.held = false;
    if (!this.#last) return false;
    this.#last = null;
    this.#drawing.cancel(this.#touched);
    return true;
  }

  /** A key sets it down, and lifts it. @param {Point} at */
  toggle(at) {
    const lifts = this.held;
    if (lifts) this.end();
    else this.begin(at);
    this.held = !lifts;
    announce(this.held ? "Pen down" : "Pen up");
  }
}
