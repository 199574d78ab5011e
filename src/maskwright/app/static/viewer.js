/** One image of a run: layers with opacity, classes on and off, the threshold, another run beside it. */
import * as api from "./api.js";
import { announce, fillWith, h, left, loaded, messageOf, metricName, notify, number, select, swatch, typing } from "./dom.js";
import { STEPS, atThreshold, paintErrors, paintHeat, paintLabels, palette, scoresAt } from "./canvas/layers.js";
import { Stage } from "./stage.js";
import { Painted, Photo } from "./tiles.js";

/** @typedef {import("./stage.js").Layer} Layer */
/** @typedef {"image"|"prediction"|"truth"|"error"|"uncertainty"} Kind */
/** @typedef {{kind: Kind, title: string, visible: boolean, opacity: number, layer: Layer}} Row */
/** @typedef {{run: string, image: string, prediction: api.Grey, truth: api.Grey|null, probability: api.Grey|null, curve: import("./canvas/layers.js").Curve|null}} Loaded */

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

/** Everything an image needs; asked for ahead of time for its neighbours. @param {string} run @param {string} image @param {boolean} two */
function pixels(run, image, two) {
  const base = api.path`/api/runs/${run}/images/${image}`;
  /** @template T @param {Promise<T>} promise @returns {Promise<T|null>} */
  const maybe = (promise) => promise.catch((error) => {
    if (error instanceof api.ApiError && (error.status === 404 || error.status === 422)) return null;
    throw error;
  });
  return {
    picture: () => api.picture(`${base}/pixels`), part: api.partsOf(`${base}/pixels`), prediction: () => api.grey(`${base}/prediction`), truth: () => maybe(api.grey(`${base}/truth`)),
    uncertainty: () => maybe(api.grey(`${base}/uncertainty`)),
    probability: () => (two ? maybe(api.grey(`${base}/probability`)) : Promise.resolve(null)),
    curve: () => (two ? maybe(api.once(`${base}/curve`)) : Promise.resolve(null)),
  };
}

/** The id another run has for an image: the one of the same name and split. @param {string} run @param {api.RunImage} item @returns {Promise<string|null>} */
async function sameImage(run, item) {
  for (let offset = 0, total = 1; offset < total; offset += 500) {
    const page = /** @type {{total: number, items: api.RunImage[]}} */ (await api.once(`${api.path`/api/runs/${run}/images`}${api.query({ split: item.split, sort: "name", offset, limit: 500 })}`));
    const found = page.items.find((each) => each.name === item.name);
    if (found) return found.id;
    total = page.total;
  }
  return null;
}

/** @param {string} run @param {string} image @param {boolean} two */
export function prefetch(run, image, two) {
  const want = pixels(run, image, two);
  Promise.all([want.picture(), want.prediction(), want.truth()]).then(() => Promise.all([want.probability(), want.curve()])).catch(() => undefined);
}

/**
 * @param {HTMLElement} host @param {api.Run} run
 * @param {{go: (step: number) => void, others: api.RunRow[], signal: AbortSignal}} options
 * @returns {{show: (item: api.RunImage) => Promise<void>}}
 */
export function createViewer(host, run, { go, others, signal }) {
  const two = run.classes.length === 2;
  const shown = (wishes.classes[run.id] ??= run.classes.map((_, index) => index > 0));
  const colours = run.classes.map((each) => each.colour);
  const own = Math.round((run.threshold?.own ?? 0.5) * STEPS);
  let step = wishes.steps[run.id] ?? own;
  /** @type {api.RunImage|null} */
  let item = null;
  /** @type {Loaded|null} */
  let first = null;
  /** @type {Loaded|null} */
  let second = null;
  /** @type {api.Grey|null} */
  let heat = null;
  /** @type {Uint8Array|null} */
  let labels = null;
  let table = palette(colours, shown);
  let round = 0;

  const stage = new Stage("Image viewer. Arrow keys go to the next image, plus and minus zoom, 0 fits, 1 to 9 switch classes, space shows the image alone, shift with arrows moves the view.", signal);
  /** @type {[Kind, string][]} */
  const kinds = [["image", "Image"], ["truth", "Truth"], ["prediction", "Prediction"], ["error", "Error"], ["uncertainty", "Uncertainty"]];
  /** @type {Row[]} */
  const rows = kinds.map(([kind, title]) => ({ kind, title, ...wishes.layers[kind], layer: { source: null, ...wishes.layers[kind], pane: kind === "prediction" || kind === "error" || kind === "uncertainty" ? "first" : "both" } }));
  /** @type {Layer} */
  const otherLayer = { source: null, visible: true, opacity: 1, pane: "second" };
  stage.layers = [...rows.map((row) => row.layer), otherLayer];
  const row = Object.fromEntries(rows.map((each) => [each.kind, each]));

  const scores = h("dl", { class: "scores", "aria-live": "polite", id: "scores" });
  const status = h("p", { class: "muted", role: "status" });
  const thresholdValue = h("output", { id: "threshold-value" });
  const slider = h("input", { type: "range", min: 0, max: STEPS, step: 1, value: step, id: "threshold", oninput: () => setStep(Number(slider.value)) });
  const readout = h("p", { class: "readout", "aria-hidden": "true" });
  const compareName = h("p", { class: "muted" });
  const divider = h("input", { type: "range", class: "divider", min: 0, max: 1000, value: 500, "aria-label": "Where the two runs meet", oninput: () => { stage.divider = Number(divider.value) / 1000; stage.redraw(); } });

  const classBoxes = run.classes.map((each, index) => h("input", { type: "checkbox", checked: shown[index], onchange: () => toggleClass(index) }));
  const panel = h("div", { class: "panel" },
    h("section", { "aria-label": "Scores of this image" }, scores, status),
    two && run.threshold ? h("section", null, h("label", { for: "threshold" }, h("h2", null, "Foreground above ", thresholdValue)), slider,
      h("p", { class: "buttons" }, h("button", { class: "quiet", onclick: () => setStep(own) }, `Own ${number(run.threshold.own, 2)}`),
        run.threshold.tuned !== null && h("button", { class: "quiet", onclick: () => setStep(Math.round((run.threshold?.tuned ?? 0.5) * STEPS)) }, `Tuned on val ${number(run.threshold.tuned, 2)}`))) : null,
    h("section", null, h("h2", null, "Layers"), rows.map((each) => layerRow(each))),
    h("section", null, h("h2", null, "Classes"), h("ul", { class: "classes" }, run.classes.map((each, index) =>
      h("li", null, h("label", null, classBoxes[index], swatch(each.colour), each.name, index < 9 ? h("kbd", null, index + 1) : null)))),
      two && h("p", { class: "legend" }, swatch("#0072b2"), "missed ", swatch("#d55e00"), "added")),
    others.length ? h("section", null, h("h2", null, "Another run"), h("div", { class: "pair" },
      select("Compare with", [["", "none"], ...others.map((each) => /** @type {[string, string]} */ ([each.id, each.name]))], wishes.other, (value) => { wishes.other = value; void loadOther(); }),
      select("How to compare", [["swipe", "swipe"], ["beside", "side by side"]], wishes.mode, (value) => { wishes.mode = value === "beside" ? "beside" : "swipe"; applyMode(); })), compareName) : null,
    h("details", null, h("summary", null, "Keys"), h("dl", { class: "keys" }, [
      ["← →", "image before, next"], ["space", "image alone, while held"], ["1 – 9", "class on, off"], ["p t e u", "layer on, off"], ["[ ]", "threshold"], ["+ − 0", "zoom, fit"], ["shift + arrows", "move the view"],
    ].map(([key, text]) => h("div", null, h("dt", null, h("kbd", null, key)), h("dd", null, text))))));
  fillWith(host, h("div", { class: "viewer" }, h("div", { class: "stage-box" }, stage.element, divider, readout), panel));

  /** @param {Row} each */
  function layerRow(each) {
    const box = h("input", { type: "checkbox", checked: each.visible, id: `layer-${each.kind}`, onchange: () => setVisible(each, box.checked) });
    const range = h("input", { type: "range", min: 0, max: 100, value: each.opacity * 100, "aria-label": `Opacity of ${each.title.toLowerCase()}`, oninput: () => {
      each.opacity = each.layer.opacity = wishes.layers[each.kind].opacity = Number(range.value) / 100;
      stage.redraw();
    } });
    return h("div", { class: "layer" }, h("label", null, box, each.title), range);
  }

  /** @param {Row} each @param {boolean} visible */
  function setVisible(each, visible) {
    each.visible = each.layer.visible = wishes.layers[each.kind].visible = visible;
    const box = /** @type {HTMLInputElement|null} */ (host.querySelector(`#layer-${each.kind}`));
    if (box) box.checked = visible;
    paint([each.kind]);
    if (each.kind === "uncertainty" && visible) void loadHeat();
  }

  /** @param {number} index */
  function toggleClass(index) {
    shown[index] = !shown[index];
    classBoxes[index].checked = shown[index];
    announce(`${run.classes[index].name} ${shown[index] ? "shown" : "hidden"}`);
    paint(["prediction", "truth", "error"]);
    paintOther();
  }

  /** @param {number} value */
  function setStep(value) {
    step = wishes.steps[run.id] = Math.min(STEPS, Math.max(0, value));
    slider.value = String(step);
    applyStep();
    paint(["prediction", "error"]);
  }

  function applyStep() {
    thresholdValue.textContent = number(step / STEPS, 3);
    slider.setAttribute("aria-valuetext", number(step / STEPS, 3));
    if (first?.probability) labels = step === own ? first.prediction.pixels : atThreshold(first.probability.pixels, step, labels && labels !== first.prediction.pixels ? labels : undefined);
    writeScores();
  }

  function writeScores() {
    if (!item) return;
    /** @type {[string, number|null][]} */
    let values;
    if (first?.curve) {
      const found = scoresAt(first.curve, step);
      values = [["IoU", found.iou], ["Dice", found.dice], ["Precision", found.precision], ["Recall", found.recall]];
    } else values = [[metricName(run.metric), item.score], ...Object.entries(item.per_class ?? {})];
    fillWith(scores, values.map(([name, value]) => h("div", null, h("dt", null, name), h("dd", { "data-score": name }, number(value)))));
  }

  /** What each layer's pixels are, where there are any. @type {{[kind: string]: (out: Uint32Array, area: import("./canvas/layers.js").Area) => void}} */
  const painters = {
    prediction: (out, area) => { if (labels) paintLabels(out, labels, table, stage.width, area); },
    truth: (out, area) => { if (first?.truth) paintLabels(out, first.truth.pixels, table, stage.width, area); },
    error: (out, area) => { if (first?.truth && labels) paintErrors(out, first.truth.pixels, labels, colours, shown, stage.width, area); },
    uncertainty: (out, area) => { if (heat) paintHeat(out, heat.pixels, stage.width, area); },
  };
  /** @param {Kind[]} which */
  function paint(which) {
    table = palette(colours, shown);
    for (const kind of which) if (row[kind]?.layer.source instanceof Painted) row[kind].layer.source.change();
    stage.redraw();
  }

  function paintOther() {
    otherLayer.source = second && new Painted(stage.width, stage.height, (out, area) => { if (second) paintLabels(out, second.prediction.pixels, table, stage.width, area); });
    otherLayer.opacity = wishes.layers.prediction.opacity;
    stage.redraw();
  }

  function applyMode() {
    stage.mode = second ? wishes.mode : "one";
    divider.hidden = stage.mode !== "swipe";
    stage.fit();
  }

  async function loadHeat() {
    if (!item) return;
    const mine = round;
    const found = await pixels(run.id, item.id, two).uncertainty().catch((error) => { notify(messageOf(error), { kind: "error" }); return null; });
    if (mine !== round) return;
    heat = found;
    if (!found) notify("There is no uncertainty for this image.");
    row.uncertainty.layer.source = found && new Painted(stage.width, stage.height, painters.uncertainty);
    stage.redraw();
  }

  async function loadOther() {
    const mine = round;
    second = null;
    const other = others.find((each) => each.id === wishes.other);
    compareName.textContent = "";
    if (other && item && first) {
      try {
        const image = await sameImage(other.id, item);
        if (mine !== round) return;
        if (image === null) compareName.textContent = `${other.name} does not know this image.`;
        else {
          const prediction = await api.grey(`${api.path`/api/runs/${other.id}/images/${image}`}/prediction`);
          if (mine !== round) return;
          if (prediction.width !== first.prediction.width || prediction.height !== first.prediction.height) compareName.textContent = `${other.name} saw this image at another size.`;
          else {
            second = { run: other.id, image, prediction, truth: null, probability: null, curve: null };
            compareName.textContent = `Left ${run.name}, right ${other.name}.`;
          }
        }
      } catch (error) {
        if (!left(error)) compareName.textContent = messageOf(error);
      }
    }
    if (mine !== round) return;
    paintOther();
    applyMode();
  }

  document.addEventListener("keydown", (event) => {
    if (typing(event) || event.altKey || event.metaKey) return;
    const letters = /** @type {{[key: string]: Kind}} */ ({ p: "prediction", t: "truth", e: "error", u: "uncertainty" });
    if (event.shiftKey && event.key.startsWith("Arrow")) stage.panBy({ ArrowLeft: 60, ArrowRight: -60 }[event.key] ?? 0, { ArrowUp: 60, ArrowDown: -60 }[event.key] ?? 0);
    else if (event.key === "ArrowRight" || event.key === "ArrowDown") go(1);
    else if (event.key === "ArrowLeft" || event.key === "ArrowUp") go(-1);
    else if (event.key === " " && !(event.target instanceof HTMLButtonElement || event.target instanceof HTMLInputElement || (event.target instanceof Element && event.target.closest("summary")))) {
      if (!event.repeat) { stage.blinking = true; stage.redraw(); }
    } else if (/^[1-9]$/.test(event.key) && Number(event.key) <= run.classes.length) toggleClass(Number(event.key) - 1);
    else if (letters[event.key]) setVisible(row[letters[event.key]], !row[letters[event.key]].visible);
    else if (two && (event.key === "[" || event.key === "]")) setStep(step + (event.key === "]" ? 1 : -1));
    else if (!stage.key(event)) return;
    event.preventDefault();
  }, { signal });
  document.addEventListener("keyup", (event) => {
    if (event.key === " " && stage.blinking) { stage.blinking = false; stage.redraw(); }
  }, { signal });

  stage.hover = (at) => {
    if (!at || !first) { readout.textContent = ""; return; }
    const [x, y] = [Math.floor(at.x), Math.floor(at.y)];
    if (x < 0 || y < 0 || x >= stage.width || y >= stage.height) { readout.textContent = ""; return; }
    const index = y * stage.width + x;
    /** @param {number} label */
    const name = (label) => run.classes[label]?.name ?? "ignored";
    const sure = first.probability && first.probability.pixels[index] !== 255 ? ` · ${number(first.probability.pixels[index] / STEPS, 2)}` : "";
    readout.textContent = `${x}, ${y} · ${labels ? name(labels[index]) : ""}${sure}${first.truth ? ` · truth ${name(first.truth.pixels[index])}` : ""}`;
  };

  /** @param {ImageBitmap} picture @param {number} width @param {number} height @param {(x: number, y: number) => Promise<ImageBitmap>} part */
  function showPicture(picture, width, height, part) {
    row.image.layer.source = new Photo(picture, width, height, part, (rect) => stage.redraw(rect));
    stage.setSize(width, height);
  }

  /** @param {api.RunImage} wanted */
  async function show(wanted) {
    const mine = ++round;
    const started = performance.now();
    item = wanted;
    const slow = setTimeout(() => { status.textContent = "Loading …"; }, 120);
    try {
      const want = pixels(run.id, wanted.id, two);
      want.picture().then((picture) => setTimeout(() => { // a slow prediction does not keep the image back
        if (mine !== round || first?.image === wanted.id) return;
        for (const each of rows) each.layer.source = null;
        showPicture(picture, wanted.width, wanted.height, want.part);
        stage.redraw();
      }, 60), () => undefined);
      const [picture, prediction, truth] = await Promise.all([want.picture(), want.prediction(), want.truth()]);
      if (mine !== round) return;
      first = { run: run.id, image: wanted.id, prediction, truth, probability: null, curve: null };
      second = null;
      heat = null;
      labels = prediction.pixels;
      showPicture(picture, prediction.width, prediction.height, want.part);
      for (const kind of /** @type {Kind[]} */ (["prediction", "truth", "error"])) row[kind].layer.source = kind === "prediction" || truth ? new Painted(stage.width, stage.height, painters[kind]) : null;
      row.uncertainty.layer.source = otherLayer.source = null;
      applyStep();
      paint(["prediction", "truth", "error"]);
      status.textContent = truth ? "" : "No truth for this image: nothing to score it against.";
      host.dataset.switched = String(Math.round(performance.now() - started)); // milliseconds, read by the tests
      host.dataset.image = wanted.id;
      announce(`${wanted.name}, ${metricName(run.metric)} ${number(wanted.score)}`);
      if (row.uncertainty.visible) void loadHeat();
      if (wishes.other) void loadOther();
      else applyModeQuietly();
      if (two) void loadThreshold(want, mine);
    } catch (error) {
      if (mine === round && !left(error)) {
        await loaded(status, async () => { throw error; });
      }
    } finally {
      clearTimeout(slow);
      if (status.textContent === "Loading …") status.textContent = "";
    }
  }

  /** What the slider needs comes after the picture: the network has to be asked. @param {ReturnType<typeof pixels>} want @param {number} mine */
  async function loadThreshold(want, mine) {
    slider.disabled = true;
    try {
      const [probability, curve] = await Promise.all([want.probability(), want.curve()]);
      if (mine !== round || !first) return;
      first = { ...first, probability, curve };
      slider.disabled = !probability;
      host.dataset.threshold = item?.id ?? "";
      applyStep();
      if (step !== own) paint(["prediction", "error"]);
    } catch (error) {
      if (mine === round && !left(error)) status.textContent = messageOf(error);
    }
  }

  function applyModeQuietly() {
    if (stage.mode !== "one") applyMode();
    divider.hidden = true;
  }

  divider.hidden = true;
  return { show };
}
