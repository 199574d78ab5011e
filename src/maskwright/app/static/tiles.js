/**
 * What a layer shows, however large the image is: only what is seen is painted or fetched, as fine as it is seen, and little more is kept.
 * Coordinates are those of the image; a `Place` says where it lies on a canvas, in the canvas's own pixels.
 */
import { clipped, overlap, union } from "./canvas/view.js";

/** @typedef {import("./canvas/view.js").Rect} Rect */
/** @typedef {import("./canvas/view.js").View} Place */
/** @typedef {{draw: (context: Context, place: Place, seen: Rect) => void}} Drawable */
/** @typedef {CanvasRenderingContext2D|OffscreenCanvasRenderingContext2D} Context */

const SIDE = 512; // of a tile that is painted
const PART = 1024; // of a part of a large image, as the server cuts it
const KEPT = 64; // tiles a layer keeps beyond those that are seen
const REST = 60; // milliseconds without another drawing before parts are fetched

/** Calls for each tile that a rectangle touches. @param {Rect} seen @param {number} side @param {(x: number, y: number) => void} each */
function overTiles(seen, side, each) {
  for (let y = Math.floor(seen.y / side); y * side < seen.y + seen.height; y++) {
    for (let x = Math.floor(seen.x / side); x * side < seen.x + seen.width; x++) each(x, y);
  }
}

/** Draws a picture over a rectangle of the image, its sides on whole pixels of the canvas, so that neighbours meet. @param {Context} context @param {CanvasImageSource} picture @param {Place} place @param {Rect} rect */
function drawOver(context, picture, { scale, x, y }, rect) {
  const [left, top] = [Math.round(x + rect.x * scale), Math.round(y + rect.y * scale)];
  const [right, bottom] = [Math.round(x + (rect.x + rect.width) * scale), Math.round(y + (rect.y + rect.height) * scale)];
  context.drawImage(picture, left, top, right - left, bottom - top);
}

/** The newest so many of a map's entries stay. @param {Map<string, any>} map @param {number} most */
function forgetOldest(map, most) {
  for (const key of map.keys()) {
    if (map.size <= most) break;
    map.delete(key);
  }
}

/** A layer whose pixels are computed. @implements {Drawable} */
export class Painted {
  /** @type {Map<string, {canvas: HTMLCanvasElement, rect: Rect, step: number, stale: Rect|null}>} by step and place */
  #tiles = new Map();

  /** @param {number} width @param {number} height @param {(out: Uint32Array, area: import("./canvas/layers.js").Area) => void} paint */
  constructor(width, height, paint) {
    this.width = width;
    this.height = height;
    this.paint = paint;
  }

  /** What is shown in a rectangle (everywhere without one) is no more what is to be shown. @param {Rect} [rect] */
  change(rect) {
    for (const tile of this.#tiles.values()) {
      if (!rect || overlap(rect, tile.rect)) tile.stale = union(tile.stale, rect ?? tile.rect); // painted when it is next seen
    }
  }

  /** @param {Context} context @param {Place} place @param {Rect} seen */
  draw(context, place, seen) {
    const step = 2 ** Math.max(0, Math.floor(Math.log2(1 / place.scale)));
    let drawn = 0;
    overTiles(seen, SIDE * step, (x, y) => {
      const tile = this.#tile(step, x, y);
      drawOver(context, tile.canvas, place, { ...tile.rect, width: tile.canvas.width * step, height: tile.canvas.height * step });
      drawn++;
    });
    forgetOldest(this.#tiles, drawn + KEPT);
  }

  /** @param {number} step @param {number} x @param {number} y */
  #tile(step, x, y) {
    const key = `${step} ${x} ${y}`;
    const side = SIDE * step;
    let tile = this.#tiles.get(key);
    if (!tile) {
      const rect = /** @type {Rect} */ (clipped(x * side, y * side, (x + 1) * side, (y + 1) * side, this.width, this.height));
      const canvas = Object.assign(document.createElement("canvas"), { width: Math.ceil(rect.width / step), height: Math.ceil(rect.height / step) });
      tile = { canvas, rect, step, stale: rect };
    }
    this.#tiles.delete(key);
    this.#tiles.set(key, tile); // the newest stand last
    const { rect, stale } = tile;
    const part = stale && overlap(rect, stale);
    if (part) {
      const [x0, y0] = [part.x - ((part.x - rect.x) % step), part.y - ((part.y - rect.y) % step)]; // on the tile's own pixels
      const area = { x: x0, y: y0, width: part.x + part.width - x0, height: part.y + part.height - y0 };
      const image = new ImageData(Math.ceil(area.width / step), Math.ceil(area.height / step));
      this.paint(new Uint32Array(image.data.buffer), { ...area, step });
      tile.canvas.getContext("2d")?.putImageData(image, (x0 - rect.x) / step, (y0 - rect.y) / step);
    }
    tile.stale = null;
    return tile;
  }
}

/** An image: whole where it is small; of a large one a smaller picture, and its parts where it is seen larger than that. @implements {Drawable} */
export class Photo {
  /** @type {Map<string, ImageBitmap|null>} null: on its way */
  #parts = new Map();
  #timer = 0;

  /** @param {ImageBitmap} whole @param {number} width @param {number} height @param {(x: number, y: number) => Promise<ImageBitmap>} fetchPart @param {(rect: Rect) => void} arrived */
  constructor(whole, width, height, fetchPart, arrived) {
    this.whole = whole;
    this.width = width;
    this.height = height;
    this.fetchPart = fetchPart;
    this.arrived = arrived;
  }

  /** @param {Context} context @param {Place} place @param {Rect} seen */
  draw(context, place, seen) {
    const all = { x: 0, y: 0, width: this.width, height: this.height };
    drawOver(context, this.whole, place, all);
    if (this.whole.width >= this.width || place.scale * this.width <= this.whole.width) return;
    /** @type {[number, number][]} */
    const missing = [];
    let drawn = 0;
    overTiles(seen, PART, (x, y) => {
      const key = `${x} ${y}`;
      const part = this.#parts.get(key);
      drawn++;
      if (part) {
        this.#parts.delete(key);
        this.#parts.set(key, part);
        drawOver(context, part, place, { x: x * PART, y: y * PART, width: part.width, height: part.height });
      } else if (part === undefined) missing.push([x, y]);
    });
    forgetOldest(this.#parts, drawn + KEPT / 4);
    clearTimeout(this.#timer);
    if (missing.length) this.#timer = window.setTimeout(() => missing.forEach(([x, y]) => void this.#fetch(x, y)), REST);
  }

  /** @param {number} x @param {number} y */
  async #fetch(x, y) {
    const key = `${x} ${y}`;
    this.#parts.set(key, null);
    try {
      const part = await this.fetchPart(x, y);
      if (!this.#parts.has(key)) return; // forgotten meanwhile
      this.#parts.set(key, part);
      this.arrived({ x: x * PART, y: y * PART, width: part.width, height: part.height });
    } catch {
      this.#parts.delete(key); // the smaller picture stands there; asked for again when it is next drawn
    }
  }
}
