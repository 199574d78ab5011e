/** Labelling: which image, what a model says of it, and training on what was drawn. */
import * as api from "../api.js";
import { decodeGrey } from "../canvas/png.js";
import { announce, auditProgress, command, emptyState, field, fillWith, h, left, messageOf, notify, select } from "../dom.js";
import { Labeller } from "../labeller.js";
import { Saving } from "../labelling/saving.js";
import { when } from "./runs.js";

const AT_ONCE = 2 ** 22; // pixels: of larger images what a model says is asked for where it is needed

/** @type {{model: string, who: string, why: string}} why: the reason for the image that comes next */
const wishes = { model: "", who: "", why: "" };
try { wishes.who = localStorage.getItem("maskwright-who") ?? ""; } catch { /* it is asked again */ }

/** @type {import("../main.js").Page} */
export async function showLabel(main, route, signal) {
  const meta = /** @type {api.Meta} */ (await api.get("/api/meta", signal));
  if (!meta.data) {
    fillWith(main, h("h1", null, "Label"), emptyState("No data set is open", "Start the app with the folder whose images are to be labelled; a folder of images without a mask is enough:", command(`maskwright app ${meta.runs_dir} --data my_data`)));
    return;
  }
  const waiting = h("div", null);
  fillWith(main, h("h1", null, "Label"), waiting);
  const [info, models] = await Promise.all([api.dataInfo(signal, auditProgress(waiting)), /** @type {Promise<api.Model[]>} */ (api.get("/api/models", signal))]);
  if (info.classes.length < 2) return nameClasses(main, info);
  if (wishes.model && !models.some((each) => each.id === wishes.model)) wishes.model = "";
  const id = route.parts[1];
  if (!id) {
    const next = /** @type {{id: string|null, why: string}} */ (await api.get(`/api/label/next${api.query({ model: wishes.model })}`, signal));
    if (next.id !== null) location.replace(`#/label/${encodeURIComponent(next.id)}`);
    else fillWith(main, h("h1", null, "Label"), emptyState("Every image has its mask", next.why, h("p", null, h("a", { href: "#/data" }, "Choose one to correct")), trainOn()));
    return;
  }
  await showOne(main, id, models, info, signal);
}

/** @param {HTMLElement} main @param {api.DataInfo} info */
function nameClasses(main, info) {
  const names = h("textarea", { rows: 5, required: true, spellcheck: "false", "aria-label": "Class names, one a line" });
  names.value = info.classes.length ? info.classes.map((each) => each.name).join("\n") : "background\nobject";
  /** @param {SubmitEvent} event */
  async function submit(event) {
    event.preventDefault();
    try {
      await api.post("/api/label/classes", { names: names.value.split("\n").map((line) => line.trim()).filter(Boolean) });
      window.dispatchEvent(new HashChangeEvent("hashchange"));
    } catch (error) {
      notify(messageOf(error), { kind: "error" });
    }
  }
  fillWith(main, h("h1", null, "Label"), h("form", { class: "card narrow", onsubmit: submit }, h("h2", null, "What is to be told apart?"),
    h("p", { class: "muted" }, `${info.images} images in ${info.path} have no mask yet. Name the classes, one a line; the first is what nothing else is.`),
    field("Classes", names), h("div", { class: "actions" }, h("button", { class: "primary", type: "submit" }, "Begin to label"))));
}

/** @returns {HTMLElement} */
function trainOn() {
  const budget = h("input", { type: "text", value: "5m", "aria-label": "Time for training", size: 5 });
  /** @param {SubmitEvent} event */
  async function submit(event) {
    event.preventDefault();
    try {
      const made = /** @type {{id: string}} */ (await api.post("/api/label/train", { budget: budget.value.trim() }));
      notify("Training has begun on what is labelled.", { action: ["Watch it", () => { location.hash = `#/runs/${encodeURIComponent(made.id)}`; }] });
    } catch (error) {
      notify(messageOf(error), { kind: "error" });
    }
  }
  return h("form", { class: "inline", "aria-label": "Train on these labels", onsubmit: submit }, h("button", { type: "submit" }, "Train on these labels"), budget);
}

/** Who draws here, and what was changed by whom. @param {api.LabelImage} image */
function recordOf(image) {
  const who = h("input", { type: "text", value: wishes.who, "aria-label": "Your name, written beside each change", placeholder: "your name", maxlength: 60, onchange: () => {
    wishes.who = who.value.trim();
    try { localStorage.setItem("maskwright-who", wishes.who); } catch { /* it holds until the page is closed */ }
  } });
  const list = h("ul", { class: "record" });
  /** @param {api.LabelImage["by"]} by */
  const show = (by) => fillWith(list, by.length ? by.slice(-5).reverse().map((each) => h("li", null, `${when(each.when)} ${each.who}: ${each.what}`)) : h("li", { class: "muted" }, "Nobody has changed this mask here."));
  show(image.by);
  return { section: h("section", null, h("h2", null, "Record"), who, list), show };
}

/** What the chosen model is asked about an image. */
class Asking {
  /** What is known of the prediction, and why it is this image. */
  why = h("p", { class: "muted" });
  #round = 0;
  #base;
  #image;
  #reason;
  #signal;

  /** @param {string} base the image's address @param {api.LabelImage} image @param {string} reason why it is this one @param {AbortSignal} signal */
  constructor(base, image, reason, signal) {
    this.#base = base;
    this.#image = image;
    this.#reason = reason;
    this.#signal = signal;
  }

  /** @param {number} x @param {number} y @param {AbortSignal} stop */
  #about(x, y, stop) {
    return api.request(`${this.#base}/suggestion${api.query({ model: wishes.model, x, y })}`, { signal: stop });
  }

  /** About a place: what is predicted around it. @param {number} x @param {number} y @param {AbortSignal} stop @returns {Promise<import("../canvas/flood.js").Piece>} */
  async place(x, y, stop) {
    const answer = await this.#about(x, y, stop);
    const [left, top] = (answer.headers.get("X-Place") ?? "0,0").split(",").map(Number);
    return { ...await decodeGrey(new Uint8Array(await answer.arrayBuffer())), x: left, y: top };
  }

  /** About all of it. @param {Labeller} labeller @param {Saving} saving @param {boolean} [large] of a large image, too */
  async whole(labeller, saving, large = false) {
    const { width, height, masked } = this.#image;
    const mine = ++this.#round;
    labeller.setSuggestion(null, Boolean(wishes.model));
    this.why.textContent = this.#reason;
    if (!wishes.model) return;
    if (!large && width * height > AT_ONCE) {
      this.why.textContent = `${this.#reason} The image is large: with the region tool it is predicted where the cursor rests.`;
      this.#about(width >> 1, height >> 1, this.#signal).catch(() => undefined); // opens the model, and decodes the image, meanwhile
      return;
    }
    this.why.textContent = "Predicting …";
    try {
      const answer = await api.grey(`${this.#base}/suggestion${api.query({ model: wishes.model })}`);
      if (mine !== this.#round || this.#signal.aborted) return;
      labeller.setSuggestion(answer.pixels, true);
      this.why.textContent = this.#reason;
      if (!masked && labeller.empty && !saving.dirty) {
        labeller.startFromSuggestion(false);
        saving.say("The prediction, not saved: correct it, or save it as it is", "waiting");
      }
    } catch (error) {
      if (mine === this.#round && !left(error)) this.why.textContent = messageOf(error);
    }
  }
}

/** @param {HTMLElement} main @param {string} id @param {api.Model[]} models @param {api.DataInfo} info @param {AbortSignal} signal */
async function showOne(main, id, models, info, signal) {
  const base = api.path`/api/label/images/${id}`;
  const image = /** @type {api.LabelImage} */ (await api.get(base, signal));
  document.title = `${image.name} · Label · Maskwright`;

  const state = h("p", { class: "save-state", role: "status" });
  const host = h("div", { class: "viewer-host" });
  fillWith(main, h("div", { class: "viewer-head" }, h("a", { href: "#/data" }, "Data"), h("span", { "aria-hidden": "true" }, "/"), h("h1", null, image.name), state,
    h("span", { class: "actions" }, h("button", { class: "quiet", onclick: () => saving.now() }, "Save"), h("button", { class: "primary", onclick: () => next(), "aria-keyshortcuts": "n" }, "Next image"))), host);

  const record = recordOf(image);
  const asking = new Asking(base, image, wishes.why, signal);
  wishes.why = "";
  const choice = select("Model whose prediction helps", [["", models.length ? "none" : "none trained yet"], ...models.map((each) => /** @type {[string, string]} */ ([each.id, each.name]))], wishes.model,
    (value) => { wishes.model = value; void asking.whole(labeller, saving); });
  /** @type {Labeller} */
  const labeller = new Labeller(host, info.classes, {
    changed: () => saving.changed(), save: () => saving.now(), next: () => void next(),
    predict: (x, y, stop) => asking.place(x, y, stop), predictAll: () => asking.whole(labeller, saving, true),
    signal, ignorable: image.ignorable,
    extra: [h("section", null, h("h2", null, "Model"), choice, asking.why), record.section, h("section", null, h("h2", null, "Train"), trainOn())],
  });
  const saving = new Saving(labeller, base, image, { state, who: () => wishes.who, showRecord: record.show });

  let leaving = false;
  async function next() {
    if (leaving) return;
    leaving = true;
    try {
      await saving.save();
      if (saving.failed) return;
      const found = /** @type {{id: string|null, why: string}} */ (await api.get(`/api/label/next${api.query({ after: id, model: wishes.model })}`, signal));
      if (found.id === null) notify(found.why || "Every image has its mask.", { action: ["To the data", () => { location.hash = "#/data"; }] });
      else {
        wishes.why = found.why;
        announce(found.why);
        location.hash = `#/label/${encodeURIComponent(found.id)}`;
      }
    } catch (error) {
      if (!left(error)) notify(messageOf(error), { kind: "error" });
    } finally {
      leaving = false;
    }
  }

  window.addEventListener("beforeunload", (event) => { if (saving.pending) event.preventDefault(); }, { signal });
  signal.addEventListener("abort", () => saving.leave());
  const pixels = `${api.path`/api/data/images/${id}`}/pixels`;
  const [picture, mask] = await Promise.all([api.picture(pixels), saving.read()]);
  if (signal.aborted) return;
  labeller.open(picture, api.partsOf(pixels), mask, image.width, image.height);
  saving.ready = true;
  saving.say(image.masked ? "Saved" : "No mask yet", "saved");
  host.dataset.image = id;
  void asking.whole(labeller, saving);
}
