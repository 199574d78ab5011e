/** Predict: drop images, see the masks, take them away. */
import * as api from "../api.js";
import { announce, command, emptyState, fillWith, h, left, messageOf, notify, number, percent, select, swatch } from "../dom.js";
import { paintHeat, paintLabels, palette } from "../canvas/layers.js";
import { Stage } from "../stage.js";
import { Painted, Photo } from "../tiles.js";

const AT_ONCE = 4; // files on their way at one time
const LARGEST = 64 * 2 ** 20;

/** @typedef {{job: string, name: string, state: api.Job|null, element: HTMLElement}} Entry */
/** @type {{entries: Entry[], model: string}} what was predicted stays while other pages are looked at */
const kept = { entries: [], model: "" };

/** @type {import("../main.js").Page} */
export async function showPredict(main, route, signal) {
  const models = /** @type {api.Model[]} */ (await api.get("/api/models", signal));
  if (!models.length) {
    fillWith(main, h("h1", null, "Predict"), emptyState("There is no model yet", "Predicting needs a finished run or an exported bundle. Train one:", h("p", null, h("a", { class: "button", href: "#/runs?new=1" }, "Train a new run")), command("maskwright demo --out runs/demo")));
    return;
  }
  const wanted = route.query.get("model") ?? kept.model;
  kept.model = models.some((each) => each.id === wanted) ? wanted : models[0].id;
  const threshold = h("input", { type: "number", min: 0, max: 1, step: 0.01, placeholder: "its own", "aria-label": "Foreground above" });
  const thresholdField = h("label", null, "Foreground above", threshold);
  const nameModel = () => { thresholdField.hidden = models.find((each) => each.id === kept.model)?.classes.length !== 2; };
  const picker = h("input", { type: "file", multiple: true, accept: "image/*,.tif,.tiff", class: "unseen", id: "files", onchange: () => { void send([...(picker.files ?? [])]); picker.value = ""; } });
  const drop = h("label", { class: "drop", for: "files" }, h("strong", null, "Drop images here"), h("span", null, "or choose files"), h("small", null, "one or many; large ones are predicted by tiles"));
  const list = h("ul", { class: "jobs", "aria-label": "Predicted images" });
  const view = h("div", { class: "job-view" });
  fillWith(main, h("div", { class: "title" }, h("h1", null, "Predict"), h("form", { class: "filters", "aria-label": "With what", onsubmit: (/** @type {Event} */ event) => event.preventDefault() },
    h("label", null, "Model", select("Model", models.map((each) => [each.id, each.kind === "bundle" ? `${each.name} (bundle)` : each.name]), kept.model, (value) => { kept.model = value; nameModel(); })), thresholdField)),
  h("div", { class: "predict" }, h("div", { class: "side" }, picker, drop, list), view));
  nameModel();
  fillWith(list, kept.entries.map((each) => each.element));
  /** @type {AbortController|null} */
  let showing = null;

  for (const name of ["dragover", "dragleave", "drop"]) {
    main.addEventListener(name, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", name === "dragover");
      const files = /** @type {DragEvent} */ (event).dataTransfer?.files;
      if (name === "drop" && files) void send([...files]);
    }, { signal });
  }

  /** @param {File[]} files */
  async function send(files) {
    const large = files.filter((file) => file.size > LARGEST);
    if (large.length) notify(`${large.map((file) => file.name).join(", ")}: at most 64 MiB each can be dropped here. Use: maskwright predict ${kept.model} FILE --out predictions`, { kind: "error" });
    const fit = files.filter((file) => file.size <= LARGEST);
    /** @param {File} file */
    const sendOne = async (file) => {
      /** @type {Entry} */
      const entry = { job: "", name: file.name, state: null, element: h("li", null) };
      kept.entries.push(entry);
      drawEntry(entry);
      list.append(entry.element);
      try {
        const answer = await api.request(`/api/predict${api.query({ model: kept.model, threshold: threshold.value, name: file.name })}`, { method: "POST", body: file });
        entry.job = (await answer.json()).job;
        void poll();
      } catch (error) {
        fail(entry, error);
      }
    };
    const waiting = [...fit];
    await Promise.all(Array.from({ length: AT_ONCE }, async () => {
      for (let file = waiting.shift(); file; file = waiting.shift()) await sendOne(file);
    }));
  }

  /** @param {Entry} entry @param {unknown} error */
  function fail(entry, error) {
    entry.state = { name: entry.name, state: "failed", progress: 0, error: messageOf(error), classes: [], width: 0, height: 0, shares: {} };
    drawEntry(entry);
  }

  let polling = false;
  async function poll() {
    if (polling) return;
    polling = true;
    try {
      for (let wait = 150; !signal.aborted; wait = Math.min(1000, wait * 1.3)) {
        const open = kept.entries.filter((each) => each.job && (!each.state || each.state.state === "waiting" || each.state.state === "running"));
        if (!open.length) break;
        for (const entry of open.slice(0, 8)) {
          try {
            entry.state = await api.get(api.path`/api/predict/${entry.job}`, signal);
          } catch (error) {
            if (left(error)) return;
            fail(entry, error);
          }
          drawEntry(entry);
          if (entry.state?.state === "done") {
            announce(`${entry.name} is predicted`);
            if (!showing) void open_(entry);
          }
        }
        await new Promise((resolve) => setTimeout(resolve, wait));
      }
    } finally {
      polling = false;
    }
  }

  /** @param {Entry} entry */
  function drawEntry(entry) {
    const { state } = entry;
    const base = api.path`/api/predict/${entry.job}`;
    const done = state?.state === "done";
    fillWith(entry.element, h("button", { class: "job", disabled: !done, onclick: () => open_(entry) },
      done ? h("img", { src: `${base}/overlay.jpg`, alt: "", loading: "lazy" }) : h("span", { class: "nothing" }),
      h("span", { class: "name" }, entry.name),
      state?.state === "failed" ? h("span", { class: "severity is-error" }, state.error ?? "failed")
        : done ? h("span", { class: "muted" }, Object.entries(state.shares).slice(1, 3).map(([name, share]) => `${name} ${percent(share)}`).join(", "))
          : h("span", { class: "muted" }, state?.state === "running" ? "predicting" : "waiting", h("progress", { max: 1, value: state?.progress ?? 0, "aria-label": `Progress of ${entry.name}` }))));
  }

  /** @param {Entry} entry */
  async function open_(entry) {
    const state = entry.state;
    if (!state) return;
    showing?.abort();
    showing = new AbortController();
    const mine = showing;
    signal.addEventListener("abort", () => mine.abort(), { signal: mine.signal });
    for (const each of kept.entries) each.element.firstElementChild?.setAttribute("aria-current", String(each === entry));
    const base = api.path`/api/predict/${entry.job}`;
    try {
      const [picture, labels] = await Promise.all([api.picture(`${base}/pixels`), api.grey(`${base}/prediction`)]);
      if (mine.signal.aborted) return;
      const stage = new Stage(`${entry.name}: image and predicted mask. Plus and minus zoom, 0 fits.`, mine.signal);
      const { width, height } = labels;
      const table = palette(state.classes.map((each) => each.colour), state.classes.map((_, index) => index > 0));
      /** @type {import("../stage.js").Layer[]} */
      const layers = [
        { source: new Photo(picture, width, height, api.partsOf(`${base}/pixels`), (rect) => stage.redraw(rect)), opacity: 1, visible: true, pane: "both" },
        { source: new Painted(width, height, (out, area) => paintLabels(out, labels.pixels, table, width, area)), opacity: 0.55, visible: true, pane: "both" },
        { source: null, opacity: 0.8, visible: false, pane: "both" },
      ];
      stage.layers = layers;
      stage.element.addEventListener("keydown", (event) => {
        if (event.key.startsWith("Arrow")) stage.panBy({ ArrowLeft: 60, ArrowRight: -60 }[event.key] ?? 0, { ArrowUp: 60, ArrowDown: -60 }[event.key] ?? 0);
        else if (!stage.key(event)) return;
        event.preventDefault();
      });
      const opacity = h("input", { type: "range", min: 0, max: 100, value: 55, "aria-label": "Opacity of the mask", oninput: () => { layers[1].opacity = Number(opacity.value) / 100; stage.redraw(); } });
      const heat = h("input", { type: "checkbox", onchange: async () => {
        try {
          if (!layers[2].source) {
            const found = await api.grey(`${base}/uncertainty`);
            layers[2].source = new Painted(width, height, (out, area) => paintHeat(out, found.pixels, width, area));
          }
        } catch (error) {
          notify(messageOf(error), { kind: "error" });
        }
        layers[2].visible = heat.checked;
        stage.redraw();
      } });
      fillWith(view, h("div", { class: "job-head" }, h("h2", null, entry.name), h("span", { class: "actions" }, [["label.png", "Label"], ["overlay.jpg", "Overlay"], ["contours.geojson", "GeoJSON"]].map(([file, text]) =>
        h("a", { class: "button", href: `${base}/${file}`, download: true }, `${text} ↓`)))),
      h("div", { class: "stage-box" }, stage.element),
      h("div", { class: "job-foot" }, h("label", { class: "layer" }, "Mask ", opacity), h("label", null, heat, "Uncertainty"),
        h("ul", { class: "shares" }, state.classes.map((each) => h("li", null, swatch(each.colour), `${each.name} `, h("span", { class: "value" }, percent(state.shares[each.name] ?? 0))))),
        h("span", { class: "muted" }, `${number(state.width, 0)} × ${number(state.height, 0)}`)));
      stage.setSize(labels.width, labels.height);
    } catch (error) {
      if (!mine.signal.aborted) notify(messageOf(error), { kind: "error" });
    }
  }

  if (!kept.entries.length) fillWith(view, emptyState("Nothing predicted yet", "Masks appear here as soon as they are there, ready to be saved as label picture, overlay or GeoJSON."));
  else {
    const done = kept.entries.find((each) => each.state?.state === "done");
    if (done) void open_(done);
    void poll();
  }
}
