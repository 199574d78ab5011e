/** Labelling: which image, what is saved when, what happens when two people draw on one image, and training on what was drawn. */
import * as api from "../api.js";
import { decodeGrey, encodeGrey } from "../canvas/png.js";
import { announce, ask, auditProgress, command, emptyState, field, fillWith, h, left, messageOf, notify, select } from "../dom.js";
import { Labeller } from "../labeller.js";
import { when } from "./runs.js";

const REST = 1200; // milliseconds without a change before it is saved
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

/** A header holds bytes: a name in UTF-8, one character a byte. @param {string} text @returns {string} */
const bytesOf = (text) => String.fromCharCode(...new TextEncoder().encode(text));

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

/** @param {HTMLElement} main @param {string} id @param {api.Model[]} models @param {api.DataInfo} info @param {AbortSignal} signal */
async function showOne(main, id, models, info, signal) {
  const base = api.path`/api/label/images/${id}`;
  const image = /** @type {api.LabelImage} */ (await api.get(base, signal));
  const { classes } = info;
  let version = image.version;
  let timer = 0;
  let trials = 0;
  /** @type {Promise<void>|null} */
  let saving = null;
  let dirty = false;
  document.title = `${image.name} · Label · Maskwright`;

  const state = h("p", { class: "save-state", role: "status" });
  const why = h("p", { class: "muted" });
  const reason = wishes.why;
  wishes.why = "";
  const who = h("input", { type: "text", value: wishes.who, "aria-label": "Your name, written beside each change", placeholder: "your name", maxlength: 60, onchange: () => {
    wishes.who = who.value.trim();
    try { localStorage.setItem("maskwright-who", wishes.who); } catch { /* it holds until the page is closed */ }
  } });
  const record = h("ul", { class: "record" });
  /** @param {{who: string, when: string, what: string}[]} by */
  const showRecord = (by) => fillWith(record, by.length ? by.slice(-5).reverse().map((each) => h("li", null, `${when(each.when)} ${each.who}: ${each.what}`)) : h("li", { class: "muted" }, "Nobody has changed this mask here."));
  showRecord(image.by);
  const saveButton = h("button", { class: "quiet", onclick: () => { dirty = true; void save(); } }, "Save");
  const host = h("div", { class: "viewer-host" });
  fillWith(main, h("div", { class: "viewer-head" }, h("a", { href: "#/data" }, "Data"), h("span", { "aria-hidden": "true" }, "/"), h("h1", null, image.name), state,
    h("span", { class: "actions" }, saveButton, h("button", { class: "primary", onclick: () => next(), "aria-keyshortcuts": "n" }, "Next image"))), host);

  /** @param {string} text @param {"saved"|"waiting"|"failed"} kind */
  const say = (text, kind) => { state.textContent = text; state.dataset.state = kind; };
  const labeller = new Labeller(host, classes, {
    changed: () => {
      dirty = true;
      say("Not saved yet", "waiting");
      clearTimeout(timer);
      timer = window.setTimeout(save, REST);
    },
    save: () => { dirty = true; void save(); },
    next: () => void next(),
    signal, ignorable: image.ignorable,
    predict: async (x, y, stop) => {
      const answer = await about(x, y, stop);
      const [left, top] = (answer.headers.get("X-Place") ?? "0,0").split(",").map(Number);
      return { ...await decodeGrey(new Uint8Array(await answer.arrayBuffer())), x: left, y: top };
    },
    predictAll: () => suggest(true),
    extra: [
      h("section", null, h("h2", null, "Model"), select("Model whose prediction helps", [["", models.length ? "none" : "none trained yet"], ...models.map((each) => /** @type {[string, string]} */ ([each.id, each.name]))], wishes.model, (value) => { wishes.model = value; void suggest(); }), why),
      h("section", null, h("h2", null, "Record"), who, record),
      h("section", null, h("h2", null, "Train"), trainOn()),
    ],
  });

  /** Saves what is drawn; what is drawn meanwhile is saved after it. @returns {Promise<void>} */
  async function save() {
    clearTimeout(timer);
    if (saving) await saving;
    if (!dirty) return;
    saving = put().finally(() => { saving = null; });
    await saving;
    if (dirty && state.dataset.state !== "failed") await save();
  }
  async function put() {
    dirty = false;
    say("Saving …", "waiting");
    try {
      const body = await encodeGrey(labeller.mask, image.width, image.height);
      const answer = await api.request(`${base}/mask`, { method: "PUT", body: /** @type {BodyInit} */ (body), headers: {
        "Content-Type": "image/png", "If-Match": version, "X-Who": bytesOf(wishes.who) } });
      version = (await answer.json()).version;
      trials = 0;
      if (!dirty) say("Saved", "saved");
      api.get(base).then((now) => showRecord(/** @type {api.LabelImage} */ (now).by), () => undefined);
    } catch (error) {
      dirty = true;
      if (error instanceof api.ApiError && error.status === 409) await conflict(error);
      else {
        say(error instanceof api.ApiError && error.status ? "Not saved" : "Not saved: the app does not answer", "failed");
        if (!trials) notify(`${messageOf(error)} What you drew is still here.`, { kind: "error", action: ["Save again", () => void save()] });
        if (!(error instanceof api.ApiError) || !error.status || error.status >= 500) timer = window.setTimeout(save, Math.min(30000, 2000 * 2 ** trials++));
      }
    }
  }
  /** @param {api.ApiError} error */
  async function conflict(error) {
    say("Somebody else saved this image first", "failed");
    const draft = error.body?.draft;
    const answer = await ask("Somebody else saved this image first", h("div", null, h("p", null, error.message), draft && h("p", null, "What you drew is kept as ", h("code", null, draft), ".")),
      [["theirs", "Go on from theirs"], ["mine", "Save mine over it"]]);
    const now = /** @type {api.LabelImage} */ (await api.get(base));
    version = now.version;
    const theirs = await maskOf(now.version);
    if (answer === "mine") {
      const mine = labeller.mask.slice();
      labeller.replace(theirs);
      labeller.replace(mine); // undo twice: theirs, then mine again
      dirty = true;
      await put();
    } else {
      labeller.replace(theirs);
      dirty = false;
      say("Theirs is shown; undo brings yours back", "saved");
    }
    showRecord(now.by);
  }

  /** @param {string} at a version, so that no cache answers with an older one @returns {Promise<Uint8Array>} */
  async function maskOf(at) {
    try {
      const answer = await api.grey(`${base}/mask${api.query({ v: at })}`);
      return answer.pixels.slice();
    } catch (error) {
      if (!(error instanceof api.ApiError) || error.status !== 422) throw error;
      notify(`${error.message} Here it can be drawn anew; the file as it is now is kept.`, { kind: "error" });
      return new Uint8Array(image.width * image.height);
    }
  }

  /** What the model predicts about a place. @param {number} x @param {number} y @param {AbortSignal} stop */
  const about = (x, y, stop) => api.request(`${base}/suggestion${api.query({ model: wishes.model, x, y })}`, { signal: stop });

  let asked = 0;
  /** @param {boolean} [all] of a large image, too */
  async function suggest(all = image.width * image.height <= AT_ONCE) {
    const mine = ++asked;
    labeller.setSuggestion(null, Boolean(wishes.model));
    why.textContent = reason;
    if (!wishes.model) return;
    if (!all) {
      why.textContent = `${reason} The image is large: with the region tool it is predicted where the cursor rests.`;
      about(image.width >> 1, image.height >> 1, signal).catch(() => undefined); // opens the model, and decodes the image, meanwhile
      return;
    }
    why.textContent = "Predicting …";
    try {
      const answer = await api.grey(`${base}/suggestion${api.query({ model: wishes.model })}`);
      if (mine !== asked || signal.aborted) return;
      labeller.setSuggestion(answer.pixels, true);
      why.textContent = reason;
      if (!image.masked && labeller.empty && !dirty) {
        labeller.startFromSuggestion(false);
        say("The prediction, not saved: correct it, or save it as it is", "waiting");
      }
    } catch (error) {
      if (mine === asked && !left(error)) why.textContent = messageOf(error);
    }
  }

  let leaving = false;
  async function next() {
    if (leaving) return;
    leaving = true;
    try {
      await save();
      if (state.dataset.state === "failed" && dirty) return;
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

  window.addEventListener("beforeunload", (event) => { if (dirty || saving) event.preventDefault(); }, { signal });
  signal.addEventListener("abort", () => { clearTimeout(timer); if (dirty) void save(); });
  const pixels = `${api.path`/api/data/images/${id}`}/pixels`;
  const [picture, mask] = await Promise.all([api.picture(pixels), maskOf(version)]);
  if (signal.aborted) return;
  labeller.open(picture, api.partsOf(pixels), mask, image.width, image.height);
  say(image.masked ? "Saved" : "No mask yet", "saved");
  host.dataset.image = id;
  void suggest();
}
