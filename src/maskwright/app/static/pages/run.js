/** One run: how it went, what it scores, where it is wrong; and its images one by one. */
import * as api from "../api.js";
import { chart } from "../charts.js";
import { ask, duration, emptyState, errorState, fillWith, h, left, messageOf, metricName, notify, number, percent, select, swatch, table } from "../dom.js";
import { windowedGrid } from "../grid.js";
import { prefetch } from "../pixels.js";
import { Viewer } from "../viewer.js";
import { statusBadge, when } from "./runs.js";

/** @typedef {{split: string, sort: string, class: string, min_score: string, max_score: string, min_area: string, max_area: string}} Filter */

/** @param {URLSearchParams} query @param {api.Run} run @returns {Filter} */
function filterOf(query, run) {
  const value = (/** @type {string} */ name) => query.get(name) ?? "";
  const splits = Object.keys(run.splits);
  return { split: value("split") || (splits.includes("test") ? "test" : splits[0] ?? ""), sort: value("sort") || "worst", class: value("class"),
    min_score: value("min_score"), max_score: value("max_score"), min_area: value("min_area"), max_area: value("max_area") };
}

/** @type {import("../main.js").Page} */
export async function showRun(main, route, signal) {
  const id = route.parts[1];
  const tab = route.query.get("tab") ?? "overview";
  let run = /** @type {api.Run} */ (await api.get(api.path`/api/runs/${id}`, signal));
  document.title = `${run.name} · Maskwright`;
  const head = h("div", null);
  const body = h("div", { class: `tab-${tab}` });
  const here = `#/runs/${encodeURIComponent(id)}`;
  const tabs = h("nav", { class: "tabs", "aria-label": "Parts of this run" }, [["overview", "Overview"], ["images", "Images"], ["setup", "Setup"]].map(([key, text]) =>
    h("a", { href: key === "overview" ? here : `${here}?tab=${key}`, "aria-current": key === tab ? "page" : null }, text)));
  fillWith(main, head, tabs, body);

  function drawHead() {
    fillWith(head, h("p", { class: "kicker" }, h("a", { href: "#/runs" }, "Runs"), ` / ${run.model}`), h("div", { class: "title" }, h("h1", null, run.name), h("div", { class: "actions" },
      run.status === "training" && h("button", { onclick: stop }, "Stop after this step"),
      run.status !== "training" && h("a", { class: "button", href: `#/predict${api.query({ model: id })}` }, "Predict with it"))),
    h("p", { class: "facts" }, statusBadge(run), h("span", null, h("strong", null, number(run.score)), ` ${metricName(run.metric)}`),
      h("span", null, `epoch ${run.epoch}${run.epochs ? ` of ${run.epochs}` : ""}`), h("span", null, duration(run.seconds)), h("span", null, `started ${when(run.started)}`)),
    run.error && h("p", { class: "problem" }, run.error),
    run.status === "training" && run.progress !== null && h("progress", { max: 1, value: run.progress, "aria-label": "Progress of training" }));
  }
  async function stop() {
    const answer = await ask("Stop this training?", "It ends after the current step, keeps its best weights and is evaluated. It can be resumed later.", [["stop", "Stop it"], ["", "Let it go on"]]);
    if (answer !== "stop") return;
    try {
      await api.post(api.path`/api/runs/${id}/stop`, {});
      notify("The run is told to stop; it ends after its current step.");
    } catch (error) {
      notify(messageOf(error), { kind: "error" });
    }
  }

  drawHead();
  if (tab === "images") return showGallery(body, route, run, signal);
  if (tab === "setup") {
    fillWith(body, h("section", null, h("h2", null, "What was chosen, and why"), run.lines.length ? h("ul", { class: "remarks" }, run.lines.map((line) => h("li", null, line))) : h("p", { class: "muted" }, "Everything was set by hand.")),
      h("section", null, h("h2", null, "Configuration"), h("pre", { tabindex: 0, "aria-label": "config.yaml" }, run.config)));
    return;
  }
  const panels = h("section", { hidden: true }, h("h2", null, "Newest predictions"), h("p", { class: "muted" }, "Images of the validation split, as the network sees them now."));
  const panelImage = h("img", { class: "panel-picture", alt: "Validation images with truth and prediction" });
  panels.append(panelImage);
  /** @param {string} url */
  const showPanel = (url) => { panels.hidden = false; panelImage.src = url; };
  const overview = createOverview(run);
  fillWith(body, panels, overview.element);
  overview.update(run);

  if (run.status === "training") {
    const events = new EventSource(api.path`/api/runs/${id}/events`);
    let waiting = 0;
    const refresh = () => {
      waiting ||= window.setTimeout(async () => {
        waiting = 0;
        try {
          run = /** @type {api.Run} */ (await api.get(api.path`/api/runs/${id}`, signal));
          drawHead();
          overview.update(run);
          if (run.status !== "training") {
            events.close();
            notify(run.status === "finished" ? "Training has finished." : `Training has ${run.status === "failed" ? "failed" : "stopped"}.`);
          }
        } catch (error) {
          if (!left(error)) notify(messageOf(error), { kind: "error" });
        }
      }, 300);
    };
    events.addEventListener("history", refresh);
    events.addEventListener("status", refresh);
    events.addEventListener("panel", (event) => {
      try { showPanel(JSON.parse(event.data).url); } catch { /* the next one comes */ }
    });
    signal.addEventListener("abort", () => { events.close(); clearTimeout(waiting); });
  }
}

/** Scores a split; the page is shown anew when that is done. @param {api.Run} run @param {string} split @returns {HTMLButtonElement} */
function evaluateButton(run, split) {
  const button = h("button", { onclick: async () => {
    button.disabled = true;
    button.textContent = `Scoring ${split} …`;
    try {
      if (!run.evaluating?.includes(split)) await api.post(api.path`/api/runs/${run.id}/evaluate`, { split });
      for (let now = run; button.isConnected; ) {
        await new Promise((resolve) => setTimeout(resolve, 1000));
        now = await api.get(api.path`/api/runs/${run.id}`);
        if (!now.evaluating?.includes(split)) break;
      }
      if (button.isConnected) window.dispatchEvent(new HashChangeEvent("hashchange"));
    } catch (error) {
      notify(messageOf(error), { kind: "error" });
      button.disabled = false;
      button.textContent = `Score ${split}`;
    }
  } }, `Score ${split}`);
  if (run.evaluating?.includes(split)) setTimeout(() => button.click());
  return button;
}

/** @param {api.Run} run */
function createOverview(run) {
  const loss = chart("Loss", { x: "epoch", y: "loss" });
  const metric = metricName(run.metric.replace(/^(train|val|test)_/, ""));
  const score = chart(metric, { x: "epoch", y: metric });
  const rest = h("div", null);
  const empty = h("p", { class: "muted" }, "The first epoch is still running: curves appear with its end.");
  const curves = h("div", { class: "plots" }, loss.element, score.element);
  const element = h("div", null, h("section", null, h("h2", null, "Curves"), empty, curves), rest);

  /** @param {api.Run} now */
  function update(now) {
    const epochs = (now.history.epoch ?? []).map((epoch) => Number(epoch) + 1);
    empty.hidden = epochs.length > 0;
    curves.hidden = !epochs.length;
    /** @param {string[]} names */
    const series = (names) => names.filter((name) => now.history[name]?.some((value) => value !== null)).map((name) => ({
      name: metricName(name), x: epochs, y: now.history[name], colour: name.startsWith("train") ? "--train" : "--accent", mode: epochs.length < 3 ? "lines+markers" : "lines" }));
    if (epochs.length) {
      void loss.draw(series(["train_loss", "val_loss"]));
      const names = Object.keys(now.history).filter((name) => /^(train|val)_/.test(name) && !name.endsWith("_loss"));
      const wanted = names.filter((name) => /_iou$/.test(name));
      void score.draw(series((wanted.length ? wanted : names).slice(0, 2)));
    }
    fillWith(rest, diagnosis(now), scoreTables(now), Object.entries(now.confusion ?? {}).map(([split, each]) => confusion(split, each)));
  }
  return { element, update };
}

/** @param {api.Run} run @returns {HTMLElement|null} */
function diagnosis(run) {
  if (!run.diagnosis?.length) return null;
  return h("section", null, h("h2", null, "Diagnosis"), h("ul", { class: "findings" }, run.diagnosis.map((each) => h("li", null,
    h("span", { class: `severity is-${each.severity}` }, each.severity),
    h("div", null, h("h3", null, each.title), each.text && h("p", null, each.text), each.advice && h("p", { class: "do" }, each.advice))))));
}

/** @param {api.Run} run @returns {HTMLElement} */
function scoreTables(run) {
  const splits = Object.entries(run.scores ?? {});
  if (!splits.length) return h("section", null, h("h2", null, "Scores"), run.status === "training" ? h("p", { class: "muted" }, "They come when training has ended.")
    : h("p", null, "This run has not been scored. ", evaluateButton(run, "test")));
  const scalar = (/** @type {any} */ value) => typeof value === "number" || value === null;
  const metrics = [...new Set(splits.flatMap(([, set]) => Object.keys(set).filter((key) => key !== "images" && scalar(set[key]))))];
  const overall = table("Scores by split", ["split", ...metrics.map(metricName)], splits.map(([split, set]) => [split, ...metrics.map((metric) => {
    const interval = set.intervals?.[metric];
    return [h("span", { class: "value" }, number(set[metric])), interval ? h("small", null, `${number(interval[0])} to ${number(interval[1])}`) : null];
  })]));
  const perClass = splits.filter(([, set]) => set.per_class && Object.keys(set.per_class).length).map(([split, set]) => {
    /** @type {[string, {[metric: string]: number|null}][]} */
    const rows = Object.entries(set.per_class);
    const columns = [...new Set(rows.flatMap(([, values]) => Object.keys(values ?? {})))].filter((key) => rows.some(([, values]) => scalar(values?.[key])));
    return [h("h3", null, `By class, ${split}`), table(`Scores by class on ${split}`, ["class", ...columns.map(metricName)], rows.map(([name, values]) => {
      const found = run.classes.find((each) => each.name === name);
      return [h("span", null, found && swatch(found.colour), name), ...columns.map((key) => number(values?.[key]))];
    }))];
  });
  return h("section", null, h("h2", null, "Scores"), overall, perClass.flat());
}

/** @param {string} split @param {{names: string[], counts: number[][]}} matrix @returns {HTMLElement} */
function confusion(split, { names, counts }) {
  return h("section", null, h("h2", null, `Confusion, ${split}`), h("p", { class: "lead" }, "Of each class's true pixels (rows), the share predicted as each class (columns)."),
    h("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": `Confusion on ${split}` }, h("table", { class: "matrix" },
      h("thead", null, h("tr", null, h("th", { scope: "col" }, "truth"), names.map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", null, counts.map((row, index) => {
        const sum = row.reduce((total, value) => total + value, 0);
        return h("tr", null, h("th", { scope: "row" }, names[index]), row.map((value, column) => h("td", {
          class: column === index ? "right" : null, style: { "--share": sum ? value / sum : 0 }, title: `${value.toLocaleString()} pixels` }, sum ? percent(value / sum) : "–")));
      })))));
}

/** @param {HTMLElement} host @param {import("../main.js").Route} route @param {api.Run} run @param {AbortSignal} signal */
function showGallery(host, route, run, signal) {
  const filter = filterOf(route.query, run);
  const metric = metricName(run.metric.replace(/^(train|val|test)_/, ""));
  const splits = Object.entries(run.splits);
  if (!splits.length) {
    fillWith(host, emptyState("No image has been scored yet", run.status === "training" ? "The gallery fills when training has ended." : "Score the run first:", run.status === "training" ? null : evaluateButton(run, "test")));
    return;
  }
  const base = `#/runs/${encodeURIComponent(run.id)}`;
  const count = h("p", { class: "muted", role: "status" });
  /** @param {keyof Filter} name @param {string} value */
  const set = (name, value) => {
    filter[name] = value;
    history.replaceState(null, "", `${base}${api.query({ tab: "images", ...filter })}`);
    void grid.reload();
  };
  /** @param {keyof Filter} name @param {string} label @param {string} step @param {string} hint */
  const bound = (name, label, step, hint) => {
    const input = h("input", { type: "number", min: 0, step, value: filter[name], "aria-label": label, placeholder: hint, onchange: () => set(name, input.value) });
    return input;
  };
  const scroller = h("div", { class: "gallery", tabindex: 0, role: "group", "aria-label": "Images" });
  fillWith(host, h("form", { class: "filters", "aria-label": "Which images", onsubmit: (/** @type {Event} */ event) => event.preventDefault() },
    h("label", null, "Split", select("Split", splits.map(([name, total]) => [name, `${name} (${total})`]), filter.split, (value) => set("split", value))),
    h("label", null, "Order", select("Order", [["worst", "worst first"], ["best", "best first"], ["name", "by name"]], filter.sort, (value) => set("sort", value))),
    h("label", null, "Class", select("Class", [["", "any"], ...run.classes.map((each) => /** @type {[string, string]} */ ([each.name, each.name]))], filter.class, (value) => set("class", value))),
    h("fieldset", null, h("legend", null, metric), bound("min_score", `${metric} from`, "0.01", "from"), bound("max_score", `${metric} to`, "0.01", "to")),
    h("fieldset", null, h("legend", null, "Object pixels"), bound("min_area", "Object pixels from", "1", "from"), bound("max_area", "Object pixels to", "1", "to")), count), scroller);
  const grid = windowedGrid(scroller, {
    label: "Images of this split", cellWidth: 190, cellHeight: (width) => width * 0.75 + 48,
    load: (offset, limit) => api.get(`${api.path`/api/runs/${run.id}/images`}${api.query({ ...filter, offset, limit })}`, signal),
    found: (total) => { count.textContent = `${total} ${total === 1 ? "image" : "images"}`; },
    empty: () => emptyState("No image fits", "Widen the score or object size above, or choose another class."),
    cell: (/** @type {api.RunImage} */ item, index) => h("a", { class: "cell", href: `${base}/${encodeURIComponent(item.id)}${api.query({ ...filter, at: index })}` },
      h("img", { src: `${api.path`/api/runs/${run.id}/images/${item.id}`}/thumb`, alt: "", loading: "lazy", decoding: "async" }),
      h("span", { class: "cell-text" }, h("span", { class: "name" }, item.name), h("span", { class: "value" }, number(item.score)))),
  });
  signal.addEventListener("abort", () => grid.destroy());
}

/** @type {import("../main.js").Page} */
export async function showImage(main, route, signal) {
  const [, id, image] = route.parts;
  const [run, runs] = await Promise.all([/** @type {Promise<api.Run>} */ (api.get(api.path`/api/runs/${id}`, signal)), /** @type {Promise<api.RunRow[]>} */ (api.get("/api/runs", signal))]);
  const filter = filterOf(route.query, run);
  const two = run.classes.length === 2;
  const base = `#/runs/${encodeURIComponent(id)}`;
  /** @type {Map<number, api.RunImage>} */
  const items = new Map();
  let total = 0;
  let at = Number(route.query.get("at") ?? -1);

  /** @param {number} offset */
  async function fetchFrom(offset) {
    const answer = /** @type {{total: number, items: api.RunImage[]}} */ (await api.get(`${api.path`/api/runs/${id}/images`}${api.query({ ...filter, offset: Math.max(0, offset), limit: 60 })}`, signal));
    total = answer.total;
    answer.items.forEach((item, index) => items.set(Math.max(0, offset) + index, item));
  }
  /** @param {number} index */
  async function itemAt(index) {
    if (!items.has(index)) await fetchFrom(index - 20);
    return items.get(index);
  }
  if (at >= 0) await itemAt(at);
  if (items.get(at)?.id !== image) { // an address without its place in the list, or with an old one
    at = -1;
    for (const split of new Set([filter.split, ...Object.keys(run.splits)])) {
      filter.split = split;
      items.clear();
      total = 0;
      for (let offset = 0; at < 0 && offset <= total; offset += 60) {
        await fetchFrom(offset);
        for (const [index, item] of items) if (item.id === image) at = index;
      }
      if (at >= 0) break;
    }
  }
  if (at < 0) {
    fillWith(main, errorState(new Error(`${run.name} has no such image. Choose one from its gallery.`)), h("p", null, h("a", { href: `${base}?tab=images` }, "To the gallery")));
    return;
  }

  const name = h("h1", null);
  const place = h("span", { class: "muted" });
  const before = h("button", { class: "quiet", "aria-label": "Image before", onclick: () => go(-1) }, "←");
  const after = h("button", { class: "quiet", "aria-label": "Next image", onclick: () => go(1) }, "→");
  const host = h("div", { class: "viewer-host" });
  fillWith(main, h("div", { class: "viewer-head" }, h("a", { href: `${base}${api.query({ tab: "images", ...filter })}` }, run.name), h("span", { "aria-hidden": "true" }, "/"), name, h("span", { class: "actions" }, place, before, after)), host);
  const viewer = new Viewer(host, run, { go, others: runs.filter((each) => each.id !== id && each.status !== "training" && each.score !== null), signal });

  /** @param {number} step */
  function go(step) {
    const next = at + step;
    if (next < 0 || next >= total) return;
    at = next;
    void showAt();
  }
  async function showAt() {
    const mine = at;
    try {
      const item = await itemAt(at);
      if (!item || mine !== at) return;
      history.replaceState(null, "", `${base}/${encodeURIComponent(item.id)}${api.query({ ...filter, at })}`);
      document.title = `${item.name} · ${run.name} · Maskwright`;
      name.textContent = item.name;
      place.textContent = `${at + 1} of ${total}`;
      before.disabled = at === 0;
      after.disabled = at === total - 1;
      await viewer.show(item);
      if (mine !== at) return;
      for (const near of [at + 1, at - 1, at + 2]) {
        const neighbour = near >= 0 && near < total ? await itemAt(near) : undefined;
        if (neighbour && neighbour.width * neighbour.height <= 2 ** 24) prefetch(id, neighbour.id, two);
      }
    } catch (error) {
      if (!left(error)) notify(messageOf(error), { kind: "error" });
    }
  }
  await showAt();
}
