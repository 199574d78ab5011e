/** The polygon that is being drawn, corner by corner: straight from one to the next, or along the edges of the image. */
import { luminance, trace, wireFrom } from "../canvas/edge.js";
import { fillPolygon } from "../canvas/polygon.js";
import { clipped, toScreen } from "../canvas/view.js";
import { wishes } from "./tools.js";

/** @typedef {import("../canvas/view.js").Point} Point */
/** @typedef {{wire: import("../canvas/edge.js").Wire, factor: number, x: number, y: number}} Ways from a corner; where their window lies, and how coarse it is */

const WIRE = 256; // pixels, as fine as they are seen, that a magnetic line reaches

/** @param {import("../tiles.js").Photo} picture @param {Point} from @param {number} factor @returns {Ways|null} */
function waysFrom(picture, from, factor) {
  const reach = WIRE * factor;
  const area = clipped(from.x - reach, from.y - reach, from.x + reach, from.y + reach, picture.width, picture.height);
  if (!area) return null;
  const [wide, high] = [Math.ceil(area.width / factor), Math.ceil(area.height / factor)];
  const context = new OffscreenCanvas(wide, high).getContext("2d", { willReadFrequently: true });
  if (!context) return null;
  picture.draw(context, { scale: 1 / factor, x: -area.x / factor, y: -area.y / factor }, area);
  const start = { x: (from.x - area.x) / factor, y: (from.y - area.y) / factor };
  const wire = wireFrom(luminance(context.getImageData(0, 0, wide, high).data), wide, high, start, WIRE);
  return { wire, factor, x: area.x, y: area.y };
}

export class Lasso {
  /** @type {import("../tiles.js").Photo|null} whose edges a line keeps to */
  picture = null;
  /** @type {Point[]} */
  #corners = [];
  /** @type {Point[]} corners and what lies between them */
  #line = [];
  /** @type {Point[]} from the last corner to the cursor */
  #ahead = [];
  /** @type {Ways|null} */
  #ways = null;
  #stage;
  #drawing;

  /** @param {import("../stage.js").Stage} stage @param {import("./drawing.js").Drawing} drawing */
  constructor(stage, drawing) {
    this.#stage = stage;
    this.#drawing = drawing;
  }

  /** Sets a corner; on the first, or on the last once more, it closes. @param {Point} at */
  click(at) {
    const first = this.#corners[0];
    const near = Math.max(10 / this.#stage.view.scale, 1);
    if (this.#corners.length > 1 && Math.hypot(at.x - first.x, at.y - first.y) < near) return this.#close();
    const last = this.#corners.at(-1);
    if (last && last.x === at.x && last.y === at.y) {
      if (this.#corners.length > 2) this.#close();
      return;
    }
    if (wishes.tool === "magnetic" && last) this.#line.push(...this.#wayTo(at));
    this.#line.push(at);
    this.#corners.push(at);
    this.#ways = null;
    this.#stage.redrawOver();
  }

  /** The cursor has moved. @param {Point} at */
  aim(at) {
    if (wishes.tool === "magnetic" && this.#corners.length) this.#ahead = this.#wayTo(at);
    else if (wishes.tool === "polygon") this.#ahead = [at];
  }

  /** Takes the last corner back. @returns {boolean} whether there was one */
  takeBack() {
    if (!this.#corners.pop()) return false;
    const last = this.#corners.at(-1);
    this.#line = last ? this.#line.slice(0, this.#line.lastIndexOf(last) + 1) : [];
    this.#ways = null;
    this.#stage.redrawOver();
    return true;
  }

  drop() {
    this.#corners = [];
    this.#line = [];
    this.#ahead = [];
    this.#ways = null;
  }

  #close() {
    const magnetic = wishes.tool === "magnetic";
    const points = magnetic ? [...this.#line, ...this.#wayTo(this.#corners[0])] : this.#line;
    this.drop();
    this.#stage.redrawOver();
    const { mask, width, height } = this.#drawing;
    this.#drawing.begin();
    this.#drawing.finish(fillPolygon(mask, width, height, points, wishes.value), magnetic ? "magnetic outline" : "polygon");
  }

  /** From the last corner along the edges of the image. @param {Point} at @returns {Point[]} */
  #wayTo(at) {
    const from = this.#corners.at(-1);
    if (!from || !this.picture) return [];
    const factor = Math.max(1, Math.floor(1 / this.#stage.view.scale)); // as fine as it is seen: a path over a large image stays quick
    if (this.#ways?.factor !== factor) this.#ways = waysFrom(this.picture, from, factor);
    if (!this.#ways) return [];
    const { wire, x, y } = this.#ways;
    return trace(wire, { x: (at.x - x) / factor, y: (at.y - y) / factor }).map((point) => ({ x: point.x * factor + x, y: point.y * factor + y }));
  }

  /** @param {CanvasRenderingContext2D} context @param {string} colour of what is drawn */
  draw(context, colour) {
    if (!this.#corners.length) return;
    /** @param {Point} point */
    const place = (point) => toScreen(this.#stage.view, point.x, point.y);
    const line = new Path2D();
    for (const { x, y } of [...this.#line, ...this.#ahead].map(place)) line.lineTo(x, y); // the first one begins it
    for (const [style, thick] of /** @type {[string, number][]} */ ([["#000000", 4], ["#ffffff", 2]])) {
      context.strokeStyle = style;
      context.lineWidth = thick;
      context.stroke(line);
    }
    this.#corners.map(place).forEach(({ x, y }, index) => {
      context.beginPath();
      context.arc(x, y, index ? 4 : 6, 0, 7);
      context.fillStyle = index ? "#ffffff" : colour;
      context.fill();
      context.strokeStyle = "#000000";
      context.lineWidth = 1.5;
      context.stroke();
    });
  }
}
