/**
 * The canvas both the viewer and the labelling page look through: layers under one view, drawn once a frame and only where something
 * changed; wheel, drag, pinch and keys move the view; a tool, if there is one, gets the pointer in image coordinates.
 */
import { h } from "./dom.js";
import { clipped, fit, overlap, pan, toImage, toScreen, union, zoom } from "./canvas/view.js";

/** @typedef {import("./canvas/view.js").Rect} Rect */
/** @typedef {import("./canvas/view.js").Point} Point */
/** @typedef {import("./canvas/view.js").View} View */
/** @typedef {{source: import("./tiles.js").Drawable|null, opacity: number, visible: boolean, pane: "both"|"first"|"second"}} Layer */
/** @typedef {{down: (at: Point, event: PointerEvent) => void, move: (at: Point) => void, up: () => void, cancel: () => void}} Tool */

export class Stage {
  /** @type {Layer[]} */
  layers = [];
  /** @type {View} */
  view = { scale: 1, x: 0, y: 0 };
  width = 1;
  height = 1;
  /** @type {"one"|"swipe"|"beside"} */
  mode = "one";
  divider = 0.5;
  /** @type {Tool|null} */
  tool = null;
  /** Draws above everything: cursors, lines that are being drawn. @type {((context: CanvasRenderingContext2D) => void)|null} */
  over = null;
  /** @type {((at: Point|null) => void)|null} */
  hover = null;
  panning = false;
  blinking = false;
  #frame = 0;
  /** @type {Rect|null|"all"} */
  #dirty = null;
  #fitted = true;
  /** @type {Map<number, {x: number, y: number}>} */
  #pointers = new Map();
  /** @type {"tool"|"pan"|null} */
  #doing = null;
  #pinch = 0;
  #clientWidth = 1;
  #clientHeight = 1;

  /** @param {string} label @param {AbortSignal} signal */
  constructor(label, signal) {
    this.canvas = h("canvas", { "aria-hidden": "true" });
    this.overCanvas = h("canvas", { "aria-hidden": "true" });
    this.element = h("div", { class: "stage", tabindex: 0, role: "application", "aria-label": label }, this.canvas, this.overCanvas);
    const context = this.canvas.getContext("2d", { alpha: false });
    const above = this.overCanvas.getContext("2d");
    if (!context || !above) throw new Error("This browser cannot draw on a canvas.");
    this.context = context;
    this.above = above;
    const observer = new ResizeObserver(() => this.#resize());
    observer.observe(this.element);
    signal.addEventListener("abort", () => { observer.disconnect(); cancelAnimationFrame(this.#frame); });
    const on = this.element.addEventListener.bind(this.element);
    on("pointerdown", (event) => this.#down(event));
    on("pointermove", (event) => this.#move(event));
    on("pointerup", (event) => this.#up(event));
    on("pointercancel", (event) => this.#up(event));
    on("pointerleave", () => { this.hover?.(null); });
    on("contextmenu", (event) => event.preventDefault());
    on("wheel", (event) => {
      event.preventDefault();
      const at = this.#place(event);
      this.zoomBy(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0016)), at.x, at.y);
    }, { passive: false });
    window.addEventListener("maskwright-theme", () => this.redraw(), { signal });
  }

  /** The size of the image all layers are drawn at; the view is kept if it stays the same. @param {number} width @param {number} height */
  setSize(width, height) {
    if (width === this.width && height === this.height) return;
    [this.width, this.height] = [width, height];
    this.fit();
  }

  #resize() {
    const ratio = window.devicePixelRatio || 1;
    [this.#clientWidth, this.#clientHeight] = [this.element.clientWidth, this.element.clientHeight];
    for (const canvas of [this.canvas, this.overCanvas]) {
      canvas.width = Math.max(1, Math.round(this.#clientWidth * ratio));
      canvas.height = Math.max(1, Math.round(this.#clientHeight * ratio));
    }
    if (this.#fitted) this.fit();
    else this.redraw();
  }

  /** How wide one pane is. */
  get paneWidth() {
    return this.mode === "beside" ? this.#clientWidth / 2 : this.#clientWidth;
  }

  fit() {
    this.view = fit(this.width, this.height, this.paneWidth, this.#clientHeight);
    this.#fitted = true;
    this.redraw();
  }

  /** @param {number} factor @param {number} [x] @param {number} [y] */
  zoomBy(factor, x = this.paneWidth / 2, y = this.#clientHeight / 2) {
    const least = Math.min(1, fit(this.width, this.height, this.paneWidth, this.#clientHeight).scale / 2);
    this.view = zoom(this.view, factor, x, y, least);
    this.panBy(0, 0);
  }

  /** @param {number} dx @param {number} dy */
  panBy(dx, dy) {
    this.view = pan(this.view, dx, dy, this.width, this.height, this.paneWidth, this.#clientHeight);
    this.#fitted = false;
    this.redraw();
  }

  /** Moves the view so that a point of the image can be seen. @param {Point} at */
  reveal(at) {
    const place = toScreen(this.view, at.x, at.y);
    const dx = place.x < 20 ? 20 - place.x : place.x > this.paneWidth - 20 ? this.paneWidth - 20 - place.x : 0;
    const dy = place.y < 20 ? 20 - place.y : place.y > this.#clientHeight - 20 ? this.#clientHeight - 20 - place.y : 0;
    if (dx || dy) this.panBy(dx, dy);
  }

  /** Asks for a drawing in the next frame: of a rectangle of the image, or of everything. @param {Rect|null} [rect] */
  redraw(rect) {
    this.#dirty = rect && this.#dirty !== "all" ? union(/** @type {Rect|null} */ (this.#dirty), rect) : "all";
    this.#frame ||= requestAnimationFrame(() => this.#draw());
  }

  redrawOver() {
    const ratio = window.devicePixelRatio || 1;
    this.above.setTransform(1, 0, 0, 1, 0, 0);
    this.above.clearRect(0, 0, this.overCanvas.width, this.overCanvas.height);
    this.above.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.over?.(this.above);
  }

  #draw() {
    const dirty = this.#dirty;
    this.#frame = 0;
    this.#dirty = null;
    const { context, view } = this;
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [this.#clientWidth, this.#clientHeight];
    const edge = this.mode === "beside" ? width / 2 : this.mode === "swipe" ? Math.round(width * this.divider) : width;
    /** @type {{from: number, to: number, shift: number, pane: "first"|"second"}[]} */
    const panes = [{ from: 0, to: edge, shift: 0, pane: "first" }];
    if (this.mode !== "one") panes.push({ from: edge, to: width, shift: this.mode === "beside" ? edge : 0, pane: "second" });
    for (const { from, to, shift, pane } of panes) {
      context.setTransform(ratio, 0, 0, ratio, 0, 0);
      context.save();
      context.beginPath();
      context.rect(from, 0, to - from, height);
      context.clip();
      if (dirty && dirty !== "all") {
        const corner = toScreen(view, dirty.x, dirty.y);
        context.beginPath();
        context.rect(Math.floor(corner.x + shift) - 2, Math.floor(corner.y) - 2, Math.ceil(dirty.width * view.scale) + 4, Math.ceil(dirty.height * view.scale) + 4);
        context.clip();
      }
      context.fillStyle = getComputedStyle(this.element).getPropertyValue("--stage").trim() || "#888";
      context.fillRect(0, 0, width, height);
      context.setTransform(1, 0, 0, 1, 0, 0);
      context.imageSmoothingEnabled = view.scale < 2;
      const corner = toImage(view, from - shift, 0);
      const shown = clipped(corner.x, corner.y, corner.x + (to - from) / view.scale, corner.y + height / view.scale, this.width, this.height);
      const seen = shown && dirty && dirty !== "all" ? overlap(shown, { x: dirty.x - 2, y: dirty.y - 2, width: dirty.width + 4, height: dirty.height + 4 }) : shown;
      this.layers.forEach((layer, index) => {
        if (!seen || !layer.source || !layer.visible || !layer.opacity || (layer.pane !== "both" && layer.pane !== pane) || (this.blinking && index)) return;
        context.globalAlpha = layer.opacity;
        layer.source.draw(context, { scale: view.scale * ratio, x: (view.x + shift) * ratio, y: view.y * ratio }, seen);
      });
      context.restore();
    }
    if (this.mode !== "one") {
      context.setTransform(ratio, 0, 0, ratio, 0, 0);
      context.globalAlpha = 1;
      context.fillStyle = "#ffffff";
      context.fillRect(edge - 1.5, 0, 3, height);
      context.fillStyle = "#1b1f24";
      context.fillRect(edge - 0.5, 0, 1, height);
    }
    this.redrawOver();
    this.element.dispatchEvent(new CustomEvent("drawn"));
  }

  /** A pointer's place on the screen, within its pane. @param {MouseEvent} event @returns {Point} */
  #place(event) {
    const box = this.element.getBoundingClientRect();
    const x = event.clientX - box.left;
    return { x: this.mode === "beside" && x > this.#clientWidth / 2 ? x - this.#clientWidth / 2 : x, y: event.clientY - box.top };
  }

  /** @param {MouseEvent} event @returns {Point} */
  at(event) {
    const place = this.#place(event);
    return toImage(this.view, place.x, place.y);
  }

  /** @param {PointerEvent} event */
  #down(event) {
    this.element.focus({ preventScroll: true });
    this.element.setPointerCapture(event.pointerId);
    this.#pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    if (this.#pointers.size === 2) {
      if (this.#doing === "tool") this.tool?.cancel();
      this.#doing = "pan";
      this.#pinch = this.#spread();
      return;
    }
    const draws = this.tool && !this.panning && event.button === 0 && this.#pointers.size === 1;
    this.#doing = draws ? "tool" : "pan";
    if (draws) this.tool?.down(this.at(event), event);
  }

  #spread() {
    const [a, b] = [...this.#pointers.values()];
    return Math.hypot(a.x - b.x, a.y - b.y) || 1;
  }

  /** @param {PointerEvent} event */
  #move(event) {
    this.hover?.(this.at(event));
    const before = this.#pointers.get(event.pointerId);
    if (!before) return;
    const share = 1 / this.#pointers.size; // each of two fingers moves the middle by half
    this.#pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    if (this.#doing === "tool") {
      const all = event.getCoalescedEvents?.() ?? [];
      for (const each of all.length ? all : [event]) this.tool?.move(this.at(each));
    } else if (this.#doing === "pan") {
      this.panBy((event.clientX - before.x) * share, (event.clientY - before.y) * share);
      if (this.#pointers.size === 2) {
        const [a, b] = [...this.#pointers.values()];
        const box = this.element.getBoundingClientRect();
        const spread = this.#spread();
        this.zoomBy(spread / this.#pinch, (a.x + b.x) / 2 - box.left, (a.y + b.y) / 2 - box.top);
        this.#pinch = spread;
      }
    }
  }

  /** @param {PointerEvent} event */
  #up(event) {
    if (!this.#pointers.delete(event.pointerId)) return;
    if (this.#doing === "tool") {
      if (event.type === "pointercancel") this.tool?.cancel();
      else this.tool?.up();
    }
    if (!this.#pointers.size) this.#doing = null;
  }

  /** Keys that any page with a stage has. @param {KeyboardEvent} event @returns {boolean} whether it was one */
  key(event) {
    if (event.key === "+" || event.key === "=") this.zoomBy(1.4);
    else if (event.key === "-") this.zoomBy(1 / 1.4);
    else if (event.key === "0") this.fit();
    else return false;
    return true;
  }
}
