/** Drawing a mask: pointer and keys over a stage, handed to the chosen tool. What is drawn is saved by labelling/saving.js. */
import { fill } from "./canvas/flood.js";
import { IGNORED, palette } from "./canvas/layers.js";
import { NOWHERE, toScreen } from "./canvas/view.js";
import { announce, fillWith, typing } from "./dom.js";
import { Brush } from "./labelling/brush.js";
import { Controls } from "./labelling/controls.js";
import { Drawing } from "./labelling/drawing.js";
import { Lasso } from "./labelling/lasso.js";
import { Suggestion } from "./labelling/suggestion.js";
import { TOOLS, classOf, wishes } from "./labelling/tools.js";
import { Stage } from "./stage.js";
import { Photo } from "./tiles.js";

/** @typedef {import("./canvas/view.js").Point} Point */
/** @typedef {import("./labelling/tools.js").Class} Class */
/** @typedef {import("./labelling/tools.js").ToolName} ToolName */
/**
 * @typedef {{ignorable: boolean, changed: () => void, save: () => void, next: () => void, extra: HTMLElement[], signal: AbortSignal,
 *   predict: import("./labelling/suggestion.js").Predict, predictAll: () => Promise<void>}} Options
 */

const LABEL = "Drawing area. Arrow keys move the cursor, Enter draws or sets a point, control Z takes back. Tools have letter keys, classes have number keys.";

export class Labeller {
  #cursor = NOWHERE;
  #byKeys = false; // the cursor is moved by keys
  /** @type {import("./stage.js").Layer} */
  #image = { source: null, opacity: 1, visible: true, pane: "both" };
  /** @type {Stage} */
  #stage;
  /** @type {Drawing} */
  #drawing;
  /** @type {Brush} */
  #brush;
  /** @type {Lasso} */
  #lasso;
  /** @type {Suggestion} */
  #suggestion;
  /** @type {Controls} */
  #controls;
  #classes;
  #options;

  /** @param {HTMLElement} host @param {Class[]} classes @param {Options} options */
  constructor(host, classes, options) {
    const { ignorable, changed, extra, signal, predict, predictAll } = options;
    this.#classes = classes;
    this.#options = options;
    if (!ignorable || wishes.label !== IGNORED) wishes.label = Math.min(wishes.label, classes.length - 1);
    const stage = this.#stage = new Stage(LABEL, signal);
    this.#controls = new Controls(classes, ignorable, {
      choose: (tool) => this.#choose(tool), chooseClass: (label) => this.#chooseClass(label), resize: (pixels) => this.#resize(pixels),
      undo: () => this.#undo(), redo: () => this.#redo(),
      showMask: (opacity) => { this.#drawing.layer.opacity = wishes.mask = opacity; stage.redraw(); },
      showSuggestion: (opacity) => this.#showSuggestion(opacity),
      useSuggestion: async () => {
        if (!this.#suggestion.labels) await predictAll();
        this.startFromSuggestion(true);
      },
    });
    const table = palette(classes.map((each) => each.colour), classes.map((_, index) => index > 0));
    this.#drawing = new Drawing(stage, table, (own) => {
      if (own) changed();
      this.#enable();
    });
    this.#brush = new Brush(this.#drawing);
    this.#lasso = new Lasso(stage, this.#drawing);
    this.#suggestion = new Suggestion(stage, this.#drawing, this.#controls.hint, { classes, table, predict });
    stage.layers = [this.#image, this.#suggestion.layer, this.#drawing.layer];
    fillWith(host, this.#controls.around(stage.element, extra));
    this.#listen(signal);
    this.#choose(wishes.tool);
    this.#chooseClass(wishes.label);
  }

  /** @param {AbortSignal} signal */
  #listen(signal) {
    const stage = this.#stage;
    stage.tool = {
      down: (at, event) => { this.#byKeys = false; this.#begin(at, event.shiftKey || event.altKey); },
      move: (at) => this.#brush.extend(at),
      up: () => this.#brush.end(),
      cancel: () => { this.#brush.cancel(); },
    };
    stage.hover = (at) => this.#hover(at);
    stage.over = (context) => {
      this.#lasso.draw(context, classOf(this.#classes, wishes.value).colour);
      this.#suggestion.draw(context);
      this.#drawCursor(context);
    };
    document.addEventListener("keydown", (event) => { if (this.#key(event)) event.preventDefault(); }, { signal });
    document.addEventListener("keyup", (event) => { if (event.key === " ") stage.panning = wishes.tool === "pan"; }, { signal });
    signal.addEventListener("abort", () => {
      this.#brush.end();
      this.#suggestion.forget();
    });
  }

  /** @param {ToolName} name */
  #choose(name) {
    this.#brush.end(); // with the tool it was begun with
    this.#abandon();
    wishes.tool = name;
    this.#controls.show();
    this.#stage.panning = name === "pan";
    this.#stage.element.dataset.tool = name;
    const text = TOOLS.find(([each]) => each === name)?.[3] ?? "";
    const lacks = name === "region" && !this.#suggestion.predicts;
    this.#controls.hint.textContent = lacks ? "Choose a model on the right first: this tool takes over what it predicts." : text;
    if (name === "region") this.#uncover();
    this.#stage.redrawOver();
  }

  /** @param {number} label */
  #chooseClass(label) {
    wishes.label = label;
    this.#controls.show();
    if (wishes.tool === "eraser" && label) this.#choose("brush");
  }

  /** @param {number} pixels */
  #resize(pixels) {
    wishes.size = Math.max(1, Math.min(200, Math.round(pixels)));
    this.#controls.show();
    this.#stage.redrawOver();
  }

  /** @param {number} opacity */
  #showSuggestion(opacity) {
    this.#suggestion.layer.opacity = wishes.suggestion = opacity;
    this.#controls.show();
    this.#stage.redraw();
  }

  /** What regions are taken from is seen. */
  #uncover() {
    if (this.#suggestion.labels && !wishes.suggestion) this.#showSuggestion(0.35);
  }

  #enable() {
    this.#controls.enable(this.#drawing, this.#suggestion);
  }

  #undo() {
    if (this.#brush.cancel() || this.#lasso.takeBack()) return; // what is being drawn goes first
    const change = this.#drawing.undo();
    if (change) announce(`Took back: ${change.name}`);
  }

  #redo() {
    this.#brush.end();
    const change = this.#drawing.redo();
    if (change) announce(`Did again: ${change.name}`);
  }

  #abandon() {
    this.#lasso.drop();
    this.#brush.cancel();
    this.#suggestion.forget();
    this.#stage.redrawOver();
  }

  /** The chosen tool is used at a point. @param {Point} at @param {boolean} [removes] */
  #begin(at, removes = false) {
    const place = this.#drawing.pixel(at);
    if (wishes.strokes) this.#brush.begin(at);
    else if (wishes.tool === "polygon" || wishes.tool === "magnetic") this.#lasso.click(at);
    else if (place && wishes.tool === "region") void this.#suggestion.take(place, removes);
    else if (place && wishes.tool === "fill") {
      const { mask, width, height } = this.#drawing;
      this.#drawing.begin();
      this.#drawing.finish(fill(mask, width, height, place.x, place.y, wishes.value), "fill");
    }
  }

  /** @param {Point|null} at */
  #hover(at) {
    if (!at) {
      if (this.#byKeys) return;
      this.#cursor = NOWHERE;
      this.#suggestion.follow(NOWHERE);
      return this.#stage.redrawOver();
    }
    const byKeys = this.#byKeys;
    this.#byKeys = false;
    this.#cursor = at;
    this.#lasso.aim(at);
    if (wishes.tool === "region" && !byKeys) this.#suggestion.follow(at); // an outline is not drawn anew at each move
    else this.#stage.redrawOver();
  }

  /** @param {CanvasRenderingContext2D} context */
  #drawCursor(context) {
    const { view } = this.#stage;
    const { x, y } = toScreen(view, this.#cursor.x, this.#cursor.y);
    const ring = wishes.strokes ? (wishes.size / 2) * view.scale : 0;
    if (!ring && !this.#byKeys) return;
    for (const [style, thick] of /** @type {[string, number][]} */ ([["#000000", 3], ["#ffffff", 1.25]])) {
      context.strokeStyle = style;
      context.lineWidth = thick;
      context.beginPath();
      if (ring) context.arc(x, y, Math.max(2, ring), 0, 7);
      if (this.#byKeys) for (const [dx, dy] of [[8, 0], [0, 8]]) { context.moveTo(x - dx, y - dy); context.lineTo(x + dx, y + dy); }
      context.stroke();
    }
  }

  /** @param {KeyboardEvent} event @returns {boolean} whether the key does something */
  #key(event) {
    if (typing(event) || (event.metaKey && !/^[zy]$/i.test(event.key)) || event.altKey) return false;
    const key = event.key.toLowerCase();
    const tool = TOOLS.find(([, each]) => each === key);
    const label = this.#labelOf(event.key);
    if (event.ctrlKey || event.metaKey) { // with Z or Y
      if (key === "z" && !event.shiftKey) this.#undo();
      else this.#redo();
    } else if (tool) this.#choose(tool[0]);
    else if (label !== null) {
      this.#chooseClass(label);
      announce(classOf(this.#classes, label).name);
    } else if (key === "[") this.#resize(wishes.size / 1.2 - 0.5);
    else if (key === "]") this.#resize(wishes.size * 1.2 + 0.5);
    else if (event.key === "Escape") this.#abandon();
    else if (event.key === "n") this.#options.next();
    else if (event.key === "s") this.#options.save();
    else return (event.target === this.#stage.element && this.#keyOnStage(event)) || this.#stage.key(event);
    return true;
  }

  /** The label of the class a key chooses. @param {string} key @returns {number|null} */
  #labelOf(key) {
    if (key === "i" && this.#options.ignorable) return IGNORED;
    return /^[1-9]$/.test(key) && Number(key) <= this.#classes.length ? Number(key) - 1 : null;
  }

  /** @param {KeyboardEvent} event @returns {boolean} */
  #keyOnStage(event) {
    if (event.key.startsWith("Arrow")) this.#moveCursor(event);
    else if (event.key === "Enter") {
      this.#byKeys = true;
      if (wishes.strokes) this.#brush.toggle(this.#cursor);
      else this.#begin(this.#cursor, event.shiftKey);
    } else if (event.key === " ") this.#stage.panning = true;
    else return false;
    return true;
  }

  /** @param {KeyboardEvent} event */
  #moveCursor(event) {
    const { width, height } = this.#drawing;
    const far = event.shiftKey ? 10 : 1;
    const { x, y } = this.#cursor;
    const from = !this.#byKeys && (x < 0 || y < 0 || x > width || y > height) ? { x: width / 2, y: height / 2 } : this.#cursor;
    this.#byKeys = true;
    this.#cursor = {
      x: Math.min(width - 0.5, Math.max(0.5, Math.floor(from.x) + 0.5 + ({ ArrowLeft: -far, ArrowRight: far }[event.key] ?? 0))),
      y: Math.min(height - 0.5, Math.max(0.5, Math.floor(from.y) + 0.5 + ({ ArrowUp: -far, ArrowDown: far }[event.key] ?? 0))),
    };
    if (this.#brush.held) this.#brush.extend(this.#cursor);
    this.#lasso.aim(this.#cursor);
    this.#stage.reveal(this.#cursor);
    this.#suggestion.follow(this.#cursor);
    this.#stage.redrawOver();
  }

  /** @param {ImageBitmap} image @param {(x: number, y: number) => Promise<ImageBitmap>} part @param {Uint8Array} labels a copy that belongs to the labeller @param {number} width @param {number} height */
  open(image, part, labels, width, height) {
    this.#abandon();
    this.#drawing.open(labels, width, height);
    this.#suggestion.set(null, this.#suggestion.predicts);
    this.#image.source = this.#lasso.picture = new Photo(image, width, height, part, (rect) => this.#stage.redraw(rect));
    this.#stage.setSize(width, height);
    this.#stage.redraw();
    this.#enable();
  }

  /** What the chosen model predicts of the whole image, as far as that is known; `asked`: whether one is chosen. @param {Uint8Array|null} labels @param {boolean} asked */
  setSuggestion(labels, asked) {
    this.#suggestion.set(labels, asked);
    if (wishes.tool === "region") {
      if (labels) {
        this.#uncover();
        this.#suggestion.renew(this.#cursor);
      } else this.#choose("region");
    }
    this.#enable();
  }

  /** @param {boolean} counts whether it is the person's own doing, to be saved */
  startFromSuggestion(counts) {
    const { labels } = this.#suggestion;
    this.#brush.end();
    if (labels) this.#drawing.replace(labels, "start from the prediction", counts);
  }

  /** Another's mask takes this one's place; undo brings this one back. @param {Uint8Array} labels */
  replace(labels) {
    this.#brush.end();
    this.#drawing.replace(labels, "take over what was saved elsewhere", false);
  }

  /** What is drawn, but for a stroke in the making. */
  get mask() { return this.#drawing.settled; }
  get empty() { return this.mask.every((each) => each === 0 || each === IGNORED); }
}
