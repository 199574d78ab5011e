/** The mask that is drawn: where it changes it is painted anew, and each change can be taken back. */
import { paintDrawn } from "../canvas/layers.js";
import { createHistory, record, redo, undo } from "../canvas/undo.js";
import { Painted } from "../tiles.js";
import { wishes } from "./tools.js";

/** @typedef {import("../canvas/undo.js").Change} Change */
/** @typedef {import("../canvas/view.js").Point} Point */
/** @typedef {import("../canvas/view.js").Rect} Rect */

export class Drawing {
  /** @type {Uint8Array} */
  mask = new Uint8Array(1);
  width = 1;
  height = 1;
  /** @type {import("../stage.js").Layer} */
  layer = { source: null, opacity: wishes.mask, visible: true, pane: "both" };
  #before = new Uint8Array(1); // the mask before the change that is being made
  #underway = false;
  #history = createHistory();
  /** @type {Painted|null} */
  #painted = null;
  #stage;
  #table;
  #done;

  /**
   * @param {import("../stage.js").Stage} stage @param {Uint32Array} table the labels' colours
   * @param {(own: boolean) => void} done called after each change, and where there was none; own: it is the person's doing, to be saved
   */
  constructor(stage, table, done) {
    this.#stage = stage;
    this.#table = table;
    this.#done = done;
  }

  /** @param {Uint8Array} labels a copy that belongs to the drawing @param {number} width @param {number} height */
  open(labels, width, height) {
    [this.mask, this.width, this.height] = [labels, width, height];
    this.#before = new Uint8Array(labels.length);
    this.#underway = false;
    this.#history = createHistory();
    this.layer.source = this.#painted = new Painted(width, height, (out, area) => paintDrawn(out, labels, this.#table, width, area));
  }

  /** The mask without a change that is being made, which may be taken back. */
  get settled() { return this.#underway ? this.#before : this.mask; }
  get undoable() { return this.#history.done.length > 0; }
  get redoable() { return this.#history.undone.length > 0; }

  /** The pixel a point lies in. @param {Point} at @returns {Point|null} */
  pixel(at) {
    const [x, y] = [Math.floor(at.x), Math.floor(at.y)];
    return x < 0 || y < 0 || x >= this.width || y >= this.height ? null : { x, y };
  }

  /** @param {Rect} [rect] */
  repaint(rect) {
    this.#painted?.change(rect);
    this.#stage.redraw(rect);
  }

  /** A change begins: what is there now is what undo brings back. */
  begin() {
    this.#before.set(this.mask);
    this.#underway = true;
  }

  /** A change has been made. @param {Rect|null} rect what it touched @param {string} name */
  finish(rect, name) {
    this.#underway = false;
    const changed = record(this.#history, this.#before, this.mask, this.width, rect, name);
    if (rect && changed) this.repaint(rect);
    this.#done(changed);
  }

  /** A change that was begun is none. @param {Rect|null} rect what it touched */
  cancel(rect) {
    this.#underway = false;
    this.mask.set(this.#before);
    if (rect) this.repaint(rect);
  }

  /** Another mask takes this one's place; undo brings this one back. @param {Uint8Array} labels @param {string} name @param {boolean} own */
  replace(labels, name, own) {
    this.begin();
    this.mask.set(labels);
    this.#underway = false;
    const changed = record(this.#history, this.#before, this.mask, this.width, { x: 0, y: 0, width: this.width, height: this.height }, name);
    this.repaint();
    this.#done(changed && own);
  }

  /** @returns {Change|null} what was taken back */
  undo() {
    return this.#step(undo(this.#history, this.mask, this.width));
  }

  /** @returns {Change|null} what was done again */
  redo() {
    return this.#step(redo(this.#history, this.mask, this.width));
  }

  /** @param {Change|null} change */
  #step(change) {
    if (change) this.repaint(change.rect);
    this.#done(change !== null);
    return change;
  }
}
