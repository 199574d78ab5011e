/** One image of a run: layers with opacity, classes on and off, the threshold, another run beside it. */
import * as api from "./api.js";
import { announce, errorState, fillWith, h, left, messageOf, metricName, notify, number, select, swatch, typing } from "./dom.js";
import { STEPS, atThreshold, paintErrors, paintHeat, paintLabels, palette, scoresAt } from "./canvas/layers.js";
import { pixelsOf, sameImage } from "./pixels.js";
import { Stage } from "./stage.js";
import { Painted, Photo } from "./tiles.js";

/** @typedef {import("./stage.js").Layer} Layer */
/** @typedef {"image"|"prediction"|"truth"|"error"|"uncertainty"} Kind */
/** @typedef {{image: string, prediction: api.Grey, truth: api.Grey|null, probability: api.Grey|null, curve: import("./canvas/layers.js").Curve|null}} Loaded */

/** What stays the same from image to image while somebody looks through them. */
const wishes = {
  /** @type {{[kind in Kind]: {visible: boolean, opacity: number}}} */
  layers: {
    image: { visible: true, opacity: 1 }, prediction: { visible: true, opacity: 0.55 }, truth: { visible: false, opacity: 0.55 },
    error: { visible: false, opacity: 0.85 }, uncertainty: { visible: false, opacity: 0.8 },
  },
  /** @type {"swipe"|"beside"} */
  mode: "swipe",
  other: "",
  /** @type {{[run: string]: boolean[]}} */
  classes: {},
  /** @type {{[run: string]: number}} */
  steps: {},
};

/** @type {[Kind, string][]} the layers, from below, and their titles */
const KINDS = [["image", "Image"], ["truth", "Truth"], ["prediction", "Prediction"], ["error", "Error"], ["uncertainty", "Uncertainty"]];
/** @type {{[key: string]: Kind}} */
const LETTERS = { p: "prediction", t: "truth", e: "error", u: "uncertainty" };
const KEYS = [["← →", "image before, next"], ["space", "image alone, while held"], ["1 – 9", "class on, off"], ["p t e u", "layer on, off"], ["[ ]", "threshold"], ["+ − 0", "zoom, fit"], ["shift + arrows", "move the view"]];
const LABEL = "Image viewer. Arrow keys go to the next image, plus and minus zoom, 0 fits, 1 to 9 switch classes, space shows the image alone, shift with arrows moves the view.";

/** A layer as it is when a viewer opens. @param {Kind} kind @returns {Layer} */
const layerOf = (kind) => ({ source: null, ...wishes.layers[kind], pane: kind === "image" || kind === "truth" ? "both" : "first" });

export class Viewer {
  /** @type {api.RunImage|null} */
  #item = null;
  /** @type {Loaded|null} */
  #first = null;
  /** @type {api.Grey|null} what the other run predicts */
  #second = null;
  /** @type {api.Grey|null} */
  #heat = null;
  /** @type {Uint8Array|null} what is predicted at the chosen threshold */
  #labels = null;
  #round = 0; // which image, so that what comes late for another is left

  /** @type {Stage} */
  #stage;
  #layers = { image: layerOf("image"), truth: layerOf("truth"), prediction: layerOf("prediction"), error: layerOf("error"), uncertainty: layerOf("uncertainty") };
  /** @type {Layer} */
  #otherLayer = { source: null, visible: true, opacity: 1, pane: "second" };
  #scores = h("dl", { class: "scores", "aria-live": "polite", id: "scores" });
  #status = h("p", { class: "muted", role: "status" });
  #thresholdValue = h("output", { id: "threshold-value" });
  #readout = h("p", { class: "readout", "aria-hidden": "true" });
  #compareName = h("p", { class: "muted" });
  /** @type {HTMLInputElement} */
  #slider;
  /** @type {HTMLInputElement} */
  #divider;
  /** @type {Map<Kind, HTMLInputElement>} */
  #layerBoxes = new Map();
  /** @type {HTMLInputElement[]} */
  #classBoxes;

  #host;
  #run;
  #go;
  #others;
  #two;
  #colours;
  #shown;
  #own;
  /** @type {number} of the threshold */
  #step;
  #table;

  /** @param {HTMLElement} host @param {api.Run} run @param {{go: (step: number) => void, others: api.RunRow[], signal: AbortSignal}} options */
  constructor(host, run, { go, others, signal }) {
    this.#host = host;
    this.#run = run;
    this.#go = go;
    this.#others = others;
    this.#two = run.classes.length === 2;
    this.#colours = run.classes.map((each) => each.colour);
    this.#shown = (wishes.classes[run.id] ??= run.classes.map((_, index) => index > 0));
    this.#own = Math.round((run.threshold?.own ?? 0.5) * STEPS);
    this.#step = wishes.steps[run.id] ?? this.#own;
    this.#table = palette(this.#colours, this.#shown);
    const stage = this.#stage = new Stage(LABEL, signal);
    stage.layers = [...KINDS.map(([kind]) => this.#layers[kind]), this.#otherLayer];
    stage.hover = (at) => { this.#readout.textContent = at ? this.#told(Math.floor(at.x), Math.floor(at.y)) : ""; };
    this.#slider = h("input", { type: "range", min: 0, max: STEPS, step: 1, value: this.#step, id: "threshold", oninput: () => this.#setStep(Number(this.#slider.value)) });
    this.#divider = h("input", { type: "range", class: "divider", min: 0, max: 1000, value: 500, "aria-label": "Where the two runs meet", oninput: () => { stage.divider = Number(this.#divider.value) / 1000; stage.redraw(); } });
    this.#divider.hidden = true;
    this.#classBoxes = run.classes.map((_, index) => h("input", { type: "checkbox", checked: this.#shown[index], onchange: () => this.#toggleClass(index) }));
    fillWith(host, h("div", { class: "viewer" }, h("div", { class: "stage-box" }, stage.element, this.#divider, this.#readout), this.#panel()));
    document.addEventListener("keydown", (event) => { if (this.#key(event)) event.preventDefault(); }, { signal });
    document.addEventListener("keyup", (event) => {
      if (event.key === " " && stage.blinking) { stage.blinking = false; stage.redraw(); }
    }, { signal });
  }

  #panel() {
    return h("div", { class: "panel" },
      h("section", { "aria-label": "Scores of this image" }, this.#scores, this.#status),
      this.#thresholdSection(),
      h("section", null, h("h2", null, "Layers"), KINDS.map(([kind, title]) => this.#layerRow(kind, title))),
      h("section", null, h("h2", null, "Classes"), h("ul", { class: "classes" }, this.#run.classes.map((each, index) =>
        h("li", null, h("label", null, this.#classBoxes[index], swatch(each.colour), each.name, index < 9 ? h("kbd", null, index + 1) : null)))),
        this.#two && h("p", { class: "legend" }, swatch("#0072b2"), "missed ", swatch("#d55e00"), "added")),
      this.#otherSection(),
      h("details", null, h("summary", null, "Keys"), h("dl", { class: "keys" }, KEYS.map(([key, text]) => h("div", null, h("dt", null, h("kbd", null, key)), h("dd", null, text))))));
  }

  #thresholdSection() {
    const { threshold } = this.#run;
    if (!this.#two || !threshold) return null;
    const { own, tuned } = threshold;
    return h("section", null, h("label", { for: "threshold" }, h("h2", null, "Foreground above ", this.#thresholdValue)), this.#slider,
      h("p", { class: "buttons" }, h("button", { class: "quiet", onclick: () => this.#setStep(this.#own) }, `Own ${number(own, 2)}`),
        tuned !== null && h("button", { class: "quiet", onclick: () => this.#setStep(Math.round(tuned * STEPS)) }, `Tuned on val ${number(tuned, 2)}`)));
  }

  #otherSection() {
    if (!this.#others.length) return null;
    return h("section", null, h("h2", null, "Another run"), h("div", { class: "pair" },
      select("Compare with", [["", "none"], ...this.#others.map((each) => /** @type {[string, string]} */ ([each.id, each.name]))], wishes.other, (value) => { wishes.other = value; void this.#loadOther(); }),
      select("How to compare", [["swipe", "swipe"], ["beside", "side by side"]], wishes.mode, (value) => { wishes.mode = value === "beside" ? "beside" : "swipe"; this.#applyMode(); })), this.#compareName);
  }

  /** @param {Kind} kind @param {string} title */
  #layerRow(kind, title) {
    const layer = this.#layers[kind];
    const box = h("input", { type: "checkbox", checked: layer.visible, id: `layer-${kind}`, onchange: () => this.#setVisible(kind, box.checked) });
    const range = h("input", { type: "range", min: 0, max: 100, value: layer.opacity * 100, "aria-label": `Opacity of ${title.toLowerCase()}`, oninput: () => {
      layer.opacity = wishes.layers[kind].opacity = Number(range.value) / 100;
      if (kind === "prediction") this.#otherLayer.opacity = layer.opacity;
      this.#stage.redraw();
    } });
    this.#layerBoxes.set(kind, box);
    return h("div", { class: "layer" }, h("label", null, box, title), range);
  }

  /** @param {Kind} kind @param {boolean} visible */
  #setVisible(kind, visible) {
    this.#layers[kind].visible = wishes.layers[kind].visible = visible;
    if (kind === "prediction") this.#otherLayer.visible = visible;
    const box = this.#layerBoxes.get(kind);
    if (box) box.checked = visible;
    this.#paint([kind]);
    if (kind === "uncertainty" && visible) void this.#loadHeat();
  }

  /** @param {number} index */
  #toggleClass(index) {
    this.#shown[index] = !this.#shown[index];
    this.#classBoxes[index].checked = this.#shown[index];
    announce(`${this.#run.classes[index].name} ${this.#shown[index] ? "shown" : "hidden"}`);
    this.#paint(["prediction", "truth", "error"]);
    this.#paintOther();
  }

  /** @param {number} value */
  #setStep(value) {
    this.#step = wishes.steps[this.#run.id] = Math.min(STEPS, Math.max(0, value));
    this.#slider.value = String(this.#step);
    this.#applyStep();
    this.#paint(["prediction", "error"]);
  }

  #applyStep() {
    const text = number(this.#step / STEPS, 3);
    this.#thresholdValue.textContent = text;
    this.#slider.setAttribute("aria-valuetext", text);
    if (this.#first?.probability) {
      const own = this.#first.prediction.pixels;
      this.#labels = this.#step === this.#own ? own : atThreshold(this.#first.probability.pixels, this.#step, this.#labels && this.#labels !== own ? this.#labels : undefined);
    }
    this.#writeScores();
  }

  #writeScores() {
    if (!this.#item) return;
    /** @type {[string, number|null][]} */
    let values;
    if (this.#first?.curve) {
      const found = scoresAt(this.#first.curve, this.#step);
      values = [["IoU", found.iou], ["Dice", found.dice], ["Precision", found.precision], ["Recall", found.recall]];
    } else values = [[metricName(this.#run.metric), this.#item.score], ...Object.entries(this.#item.per_class ?? {})];
    fillWith(this.#scores, values.map(([name, value]) => h("div", null, h("dt", null, name), h("dd", { "data-score": name }, number(value)))));
  }

  /** What each layer's pixels are, where there are any. @type {{[kind: string]: (out: Uint32Array, area: import("./canvas/layers.js").Area) => void}} */
  #painters = {
    prediction: (out, area) => { if (this.#labels) paintLabels(out, this.#labels, this.#table, this.#stage.width, area); },
    truth: (out, area) => { if (this.#first?.truth) paintLabels(out, this.#first.truth.pixels, this.#table, this.#stage.width, area); },
    error: (out, area) => { if (this.#first?.truth && this.#labels) paintErrors(out, this.#first.truth.pixels, this.#labels, this.#colours, this.#shown, this.#stage.width, area); },
    uncertainty: (out, area) => { if (this.#heat) paintHeat(out, this.#heat.pixels, this.#stage.width, area); },
    other: (out, area) => { if (this.#second) paintLabels(out, this.#second.pixels, this.#table, this.#stage.width, area); },
  };

  /** @param {string} kind */
  #painted(kind) {
    return new Painted(this.#stage.width, this.#stage.height, this.#painters[kind]);
  }

  /** @param {Kind[]} which */
  #paint(which) {
    this.#table = palette(this.#colours, this.#shown);
    for (const kind of which) {
      const { source } = this.#layers[kind];
      if (source instanceof Painted) source.change();
    }
    this.#stage.redraw();
  }

  #paintOther() {
    this.#otherLayer.source = this.#second && this.#painted("other");
    Object.assign(this.#otherLayer, wishes.layers.prediction);
    this.#stage.redraw();
  }

  #applyMode() {
    this.#stage.mode = this.#second ? wishes.mode : "one";
    this.#divider.hidden = this.#stage.mode !== "swipe";
    this.#stage.fit();
  }

  async #loadHeat() {
    if (!this.#item) return;
    const mine = this.#round;
    const found = await pixelsOf(this.#run.id, this.#item.id, this.#two).uncertainty().catch((error) => { notify(messageOf(error), { kind: "error" }); return null; });
    if (mine !== this.#round) return;
    this.#heat = found;
    if (!found) notify("There is no uncertainty for this image.");
    this.#layers.uncertainty.source = found && this.#painted("uncertainty");
    this.#stage.redraw();
  }

  async #loadOther() {
    const mine = this.#round;
    const [item, first] = [this.#item, this.#first];
    this.#second = null;
    const other = this.#others.find((each) => each.id === wishes.other);
    this.#compareName.textContent = "";
    if (other && item && first) {
      try {
        const image = await sameImage(other.id, item);
        if (mine !== this.#round) return;
        if (image === null) this.#compareName.textContent = `${other.name} does not know this image.`;
        else {
          const prediction = await api.grey(`${api.path`/api/runs/${other.id}/images/${image}`}/prediction`);
          if (mine !== this.#round) return;
          if (prediction.width !== first.prediction.width || prediction.height !== first.prediction.height) this.#compareName.textContent = `${other.name} saw this image at another size.`;
          else {
            this.#second = prediction;
            this.#compareName.textContent = `Left ${this.#run.name}, right ${other.name}.`;
          }
        }
      } catch (error) {
        if (!left(error)) this.#compareName.textContent = messageOf(error);
      }
    }
    if (mine !== this.#round) return;
    this.#paintOther();
    this.#applyMode();
  }

  /** @param {KeyboardEvent} event @returns {boolean} whether the key does something */
  #key(event) {
    if (typing(event) || event.altKey || event.metaKey) return false;
    const { key, target } = event;
    const kind = LETTERS[key];
    if (event.shiftKey && key.startsWith("Arrow")) this.#stage.panBy({ ArrowLeft: 60, ArrowRight: -60 }[key] ?? 0, { ArrowUp: 60, ArrowDown: -60 }[key] ?? 0);
    else if (key === "ArrowRight" || key === "ArrowDown") this.#go(1);
    else if (key === "ArrowLeft" || key === "ArrowUp") this.#go(-1);
    else if (key === " " && !(target instanceof HTMLButtonElement || target instanceof HTMLInputElement || (target instanceof Element && target.closest("summary")))) {
      if (!event.repeat) { this.#stage.blinking = true; this.#stage.redraw(); }
    } else if (/^[1-9]$/.test(key) && Number(key) <= this.#run.classes.length) this.#toggleClass(Number(key) - 1);
    else if (kind) this.#setVisible(kind, !this.#layers[kind].visible);
    else if (this.#two && (key === "[" || key === "]")) this.#setStep(this.#step + (key === "]" ? 1 : -1));
    else return this.#stage.key(event);
    return true;
  }

  /** What is known of a pixel. @param {number} x @param {number} y @returns {string} */
  #told(x, y) {
    const { width, height } = this.#stage;
    if (!this.#first || x < 0 || y < 0 || x >= width || y >= height) return "";
    const { probability, truth } = this.#first;
    const index = y * width + x;
    /** @param {number} label */
    const name = (label) => this.#run.classes[label]?.name ?? "ignored";
    const sure = probability && probability.pixels[index] !== 255 ? ` · ${number(probability.pixels[index] / STEPS, 2)}` : "";
    return `${x}, ${y} · ${this.#labels ? name(this.#labels[index]) : ""}${sure}${truth ? ` · truth ${name(truth.pixels[index])}` : ""}`;
  }

  /** @param {ImageBitmap} picture @param {number} width @param {number} height @param {(x: number, y: number) => Promise<ImageBitmap>} part */
  #showPicture(picture, width, height, part) {
    this.#layers.image.source = new Photo(picture, width, height, part, (rect) => this.#stage.redraw(rect));
    this.#stage.setSize(width, height);
  }

  /** @param {api.RunImage} wanted */
  async show(wanted) {
    const mine = ++this.#round;
    const started = performance.now();
    this.#item = wanted;
    const slow = setTimeout(() => { this.#status.textContent = "Loading …"; }, 120);
    try {
      const want = pixelsOf(this.#run.id, wanted.id, this.#two);
      want.picture().then((picture) => setTimeout(() => { // a slow prediction does not keep the image back
        if (mine !== this.#round || this.#first?.image === wanted.id) return;
        for (const [kind] of KINDS) this.#layers[kind].source = null;
        this.#showPicture(picture, wanted.width, wanted.height, want.part);
        this.#stage.redraw();
      }, 60), () => undefined);
      const [picture, prediction, truth] = await Promise.all([want.picture(), want.prediction(), want.truth()]);
      if (mine !== this.#round) return;
      this.#first = { image: wanted.id, prediction, truth, probability: null, curve: null };
      this.#second = this.#heat = null;
      this.#labels = prediction.pixels;
      this.#showPicture(picture, prediction.width, prediction.height, want.part);
      this.#layers.prediction.source = this.#painted("prediction");
      this.#layers.truth.source = truth && this.#painted("truth");
      this.#layers.error.source = truth && this.#painted("error");
      this.#layers.uncertainty.source = this.#otherLayer.source = null;
      this.#applyStep();
      this.#paint(["prediction", "truth", "error"]);
      this.#status.textContent = truth ? "" : "No truth for this image: nothing to score it against.";
      this.#host.dataset.switched = String(Math.round(performance.now() - started)); // milliseconds, read by the tests
      this.#host.dataset.image = wanted.id;
      announce(`${wanted.name}, ${metricName(this.#run.metric)} ${number(wanted.score)}`);
      if (this.#layers.uncertainty.visible) void this.#loadHeat();
      if (wishes.other) void this.#loadOther();
      else if (this.#stage.mode !== "one") this.#applyMode();
      if (this.#two) void this.#loadThreshold(want, mine);
    } catch (error) {
      if (mine === this.#round && !left(error)) fillWith(this.#status, errorState(error, () => void this.show(wanted)));
    } finally {
      clearTimeout(slow);
      if (this.#status.textContent === "Loading …") this.#status.textContent = "";
    }
  }

  /** What the slider needs comes after the picture: the network has to be asked. @param {ReturnType<typeof pixelsOf>} want @param {number} mine */
  async #loadThreshold(want, mine) {
    this.#slider.disabled = true;
    try {
      const [probability, curve] = await Promise.all([want.probability(), want.curve()]);
      if (mine !== this.#round || !this.#first) return;
      this.#first = { ...this.#first, probability, curve };
      this.#slider.disabled = !probability;
      this.#host.dataset.threshold = this.#item?.id ?? "";
      this.#applyStep();
      if (this.#step !== this.#own) this.#paint(["prediction", "error"]);
    } catch (error) {
      if (mine === this.#round && !left(error)) this.#status.textContent = messageOf(error);
    }
  }
}
