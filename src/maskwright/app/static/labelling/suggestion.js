/**
 * What the chosen model predicts: of the whole image, or, as long as that is not there, about the place where the cursor rests. The
 * region it predicts under the cursor is outlined, and taken over into the drawing where that is asked for.
 */
import { outline, regionAt, toggleRegion } from "../canvas/flood.js";
import { paintHatched } from "../canvas/layers.js";
import { NOWHERE, toScreen } from "../canvas/view.js";
import { announce, left, messageOf } from "../dom.js";
import { Painted } from "../tiles.js";
import { classOf, wishes } from "./tools.js";

/** @typedef {import("../canvas/view.js").Point} Point */
/** @typedef {import("../canvas/flood.js").Piece} Piece */
/** @typedef {import("../canvas/flood.js").Region} Region */
/** @typedef {{piece: Piece, region: Region, at: Point, label: number, path: Path2D}} Preview */
/** @typedef {(x: number, y: number, signal: AbortSignal) => Promise<Piece>} Predict about a place of the image */

const REST = 150; // milliseconds the cursor stays where it is until something is predicted there
const STILL = 3; // screen pixels: a hand is never quite still
const KEPT = 8; // pieces

/** The border of a region of a piece, in the image. @param {Piece} piece @param {Region} found @returns {Path2D} */
function borderOf(piece, found) {
  const path = new Path2D();
  const lines = outline(found, piece.pixels, piece.width);
  for (let index = 0; index < lines.length; index += 4) {
    path.moveTo(lines[index] + piece.x, lines[index + 1] + piece.y);
    path.lineTo(lines[index + 2] + piece.x, lines[index + 3] + piece.y);
  }
  return path;
}

/** A class's name and colour beside a place of the screen. @param {CanvasRenderingContext2D} context @param {Point} place @param {number} paneWidth @param {import("./tools.js").Class} shown */
function drawTag(context, place, paneWidth, { name, colour }) {
  context.font = "600 13px system-ui, sans-serif";
  const wide = context.measureText(name).width;
  const x = Math.max(4, Math.min(place.x + 14, paneWidth - wide - 38));
  const y = Math.max(4, place.y - 34);
  context.fillStyle = "#1b1f24";
  context.beginPath();
  context.roundRect(x, y, wide + 34, 24, 5);
  context.fill();
  context.fillStyle = colour;
  context.fillRect(x + 9, y + 7, 10, 10);
  context.strokeStyle = "#ffffff";
  context.lineWidth = 1;
  context.strokeRect(x + 8.5, y + 6.5, 11, 11);
  context.fillStyle = "#ffffff";
  context.textBaseline = "middle";
  context.fillText(name, x + 26, y + 12.5);
}

export class Suggestion {
  predicts = false; // a model is chosen
  /** @type {Uint8Array|null} of the whole image, once they are there */
  labels = null;
  /** @type {import("../stage.js").Layer} */
  layer = { source: null, opacity: wishes.suggestion, visible: true, pane: "both" };
  /** @type {Piece[]} what was predicted last; the whole image, once that is there */
  #pieces = [];
  /** @type {Preview|null} what is outlined */
  #preview = null;
  /** @type {{abort: AbortController, clicked: boolean}|null} what is being predicted */
  #asking = null;
  #timer = 0;
  #rest = NOWHERE;
  #stage;
  #drawing;
  #hint;
  #classes;
  #table;
  #predict;

  /**
   * @param {import("../stage.js").Stage} stage @param {import("./drawing.js").Drawing} drawing @param {HTMLElement} hint what is told about the cursor's place
   * @param {{classes: import("./tools.js").Class[], table: Uint32Array, predict: Predict}} options table: the labels' colours
   */
  constructor(stage, drawing, hint, { classes, table, predict }) {
    this.#stage = stage;
    this.#drawing = drawing;
    this.#hint = hint;
    this.#classes = classes;
    this.#table = table;
    this.#predict = predict;
  }

  /** @param {Uint8Array|null} labels of the whole image, where they are known @param {boolean} predicts whether a model is chosen */
  set(labels, predicts) {
    if (!labels) this.forget();
    const { width, height } = this.#drawing;
    this.predicts = predicts;
    this.labels = labels;
    this.#pieces = labels ? [{ x: 0, y: 0, width, height, pixels: labels }] : [];
    this.layer.source = labels && new Painted(width, height, (out, area) => paintHatched(out, labels, this.#table, width, area));
    this.#stage.redraw();
  }

  /** Nothing is predicted for the cursor any more, nor shown. */
  forget() {
    clearTimeout(this.#timer);
    this.#asking?.abort.abort();
    this.#preview = this.#asking = null;
    this.#rest = NOWHERE;
  }

  /** What was outlined is found anew. @param {Point} cursor */
  renew(cursor) {
    this.#preview = null;
    this.#rest = NOWHERE;
    this.follow(cursor);
  }

  /** The cursor has moved: what is predicted elsewhere is wanted no more, and here only if it stays. @param {Point} cursor */
  follow(cursor) {
    if (wishes.tool !== "region" || !this.predicts) return;
    const at = this.#drawing.pixel(cursor);
    if (this.#preview && (!at || !this.#holds(this.#preview, at))) {
      this.#preview = null;
      this.#stage.redrawOver();
    }
    const moved = Math.hypot(cursor.x - this.#rest.x, cursor.y - this.#rest.y) * this.#stage.view.scale;
    if (this.#asking?.clicked || moved <= STILL) return;
    this.#rest = cursor;
    clearTimeout(this.#timer);
    this.#asking?.abort.abort();
    this.#asking = null;
    if (at && !this.#preview) this.#timer = window.setTimeout(() => void this.#look(at), REST);
  }

  /** Adds the region under a place to the drawing, or removes it; what is not predicted yet is waited for. @param {Point} at @param {boolean} removes */
  async take(at, removes) {
    if (!this.predicts) return announce(this.#hint.textContent ?? "");
    clearTimeout(this.#timer);
    const shown = this.#preview && this.#holds(this.#preview, at) ? this.#preview : await this.#look(at, true);
    if (!shown) return;
    const { mask, width } = this.#drawing;
    this.#drawing.begin();
    const { rect, grown } = toggleRegion(mask, width, shown.piece, shown.region, removes);
    announce(grown ? "Region added" : "Region removed");
    this.#drawing.finish(rect, grown ? "add a region" : "remove a region");
  }

  /** Outlines what is predicted at a place. @param {Point} at @param {boolean} [clicked] @returns {Promise<Preview|null>} */
  async #look(at, clicked = false) {
    const piece = this.#pieces.find((each) => this.#tells(each, at)) ?? await this.#ask(at, clicked);
    const region = piece && regionAt(piece, at.x, at.y);
    if (!region) return null;
    const label = piece.pixels[region.spans[0]];
    this.#preview = { piece, region, at, label, path: borderOf(piece, region) };
    this.#hint.textContent = `${classOf(this.#classes, label).name}, ${region.count.toLocaleString()} pixels. Click or Enter adds them; again, or with Shift, removes them.`;
    this.#stage.redrawOver();
    return this.#preview;
  }

  /** @param {Point} at @param {boolean} clicked @returns {Promise<Piece|null>} null: wanted no more, or refused */
  async #ask(at, clicked) {
    this.#asking?.abort.abort();
    const mine = this.#asking = { abort: new AbortController(), clicked };
    this.#hint.textContent = "Predicting …";
    try {
      const piece = await this.#predict(at.x, at.y, mine.abort.signal);
      if (this.#asking !== mine) return null;
      if (this.labels) return this.#pieces[0]; // which has come meanwhile
      this.#pieces = [piece, ...this.#pieces.slice(0, KEPT - 1)];
      return piece;
    } catch (error) {
      if (this.#asking === mine && !left(error)) this.#hint.textContent = messageOf(error);
      return null;
    } finally {
      if (this.#asking === mine) this.#asking = null;
    }
  }

  /** Whether a piece tells of a place: near its border, where that is not the image's, it has seen too little. @param {Piece} piece @param {Point} at */
  #tells(piece, at) {
    const { width, height } = this.#drawing;
    return [[at.x, piece.x, piece.width, width], [at.y, piece.y, piece.height, height]].every(([place, start, length, whole]) =>
      place >= (start > 0 ? start + length / 4 : 0) && place < (start + length < whole ? start + (3 * length) / 4 : whole));
  }

  /** Whether an outlined region is what is predicted at a place. @param {Preview} shown @param {Point} at */
  #holds({ piece, region: { rect }, label }, at) {
    const [x, y] = [at.x - piece.x, at.y - piece.y];
    return this.#tells(piece, at) && piece.pixels[y * piece.width + x] === label
      && x >= rect.x && y >= rect.y && x < rect.x + rect.width && y < rect.y + rect.height;
  }

  /** @param {CanvasRenderingContext2D} context */
  draw(context) {
    if (!this.#preview) return;
    const { path, at, label } = this.#preview;
    const { view, paneWidth } = this.#stage;
    context.save();
    context.translate(view.x, view.y);
    context.scale(view.scale, view.scale);
    context.lineCap = "square";
    for (const [style, thick] of /** @type {[string, number][]} */ ([["#000000", 4], ["#ffffff", 2]])) {
      context.strokeStyle = style;
      context.lineWidth = thick / view.scale;
      context.stroke(path);
    }
    context.restore();
    drawTag(context, toScreen(view, at.x + 0.5, at.y + 0.5), paneWidth, classOf(this.#classes, label));
  }
}
