/** All runs, newest first, and the form that starts another. */
import * as api from "../api.js";
import { announce, command, duration, emptyState, field, fillWith, h, left, loaded, messageOf, metricName, notify, number, percent, select } from "../dom.js";
import { sparkline } from "../charts.js";

/** @param {api.RunRow} run @returns {string} */
export function statusText(run) {
  if (run.status !== "training") return { finished: "finished", stopped: "stopped", failed: "failed" }[run.status];
  const share = run.progress !== null ? ` · ${percent(run.progress)}` : "";
  return `training${share}`;
}

/** @param {api.RunRow} run @returns {HTMLElement} */
export function statusBadge(run) {
  return h("span", { class: `status is-${run.status}` }, statusText(run));
}

/** @type {import("../main.js").Page} */
export async function showRuns(main, route, signal) {
  const chosen = new Set();
  const meta = await api.get(`/api/meta`, signal);
  const list = h("div", null);
  const compare = h("button", { disabled: true, onclick: () => { location.hash = `#/compare${api.query({ runs: [...chosen].join(",") })}`; } }, "Compare");
  const begin = h("button", { class: "primary", "aria-expanded": "false", onclick: () => {
    formHost.hidden = !formHost.hidden;
    begin.setAttribute("aria-expanded", String(!formHost.hidden));
    if (!formHost.hidden) /** @type {HTMLElement|null} */ (formHost.querySelector("input"))?.focus();
  } }, "Train a new run");
  const formHost = trainForm(/** @type {api.Meta} */ (meta));
  formHost.hidden = route.query.get("new") === null;
  fillWith(main, h("div", { class: "title" }, h("div", null, h("h1", null, "Runs"), h("p", { class: "muted" }, "in ", h("code", null, meta.runs_dir))), h("div", { class: "actions" }, compare, begin)), formHost, list);

  /** @param {api.RunRow[]} runs */
  function rows(runs) {
    if (!runs.length) return emptyState("There is no run yet", "Train one with the button above, or in a terminal:", command(`maskwright train --data ${meta.data ?? "my_data"} --out ${meta.runs_dir}/first`),
      meta.data ? h("p", null, "Before that, ", h("a", { href: "#/data" }, "look through the data"), ".") : null);
    const metric = new Set(runs.map((run) => run.metric)).size === 1 ? metricName(runs[0].metric) : "Score";
    return h("div", { class: "scroll", role: "group", "aria-label": "Runs", tabindex: 0 }, h("table", { class: "runs" },
      h("thead", null, h("tr", null, h("th", { scope: "col", class: "pick" }, h("span", { class: "unseen" }, "Choose")), ["Run", metric, "Curve", "Status", "Model", "Data", "Time", "Started"].map((text, index) => h("th", { scope: "col", class: `c${index} ${index === 1 || index === 6 ? "num" : ""}` }, text)))),
      h("tbody", null, runs.map((run) => h("tr", null,
        h("td", { class: "pick" }, h("input", { type: "checkbox", checked: chosen.has(run.id), "aria-label": `Choose ${run.name}`, onchange: (/** @type {Event} */ event) => {
          if (/** @type {HTMLInputElement} */ (event.target).checked) chosen.add(run.id); else chosen.delete(run.id);
          compare.disabled = chosen.size < 2;
          compare.textContent = chosen.size > 1 ? `Compare ${chosen.size}` : "Compare";
        } })),
        h("th", { scope: "row", class: "c0" }, h("a", { href: `#/runs/${encodeURIComponent(run.id)}` }, run.name)),
        h("td", { class: "num value c1" }, number(run.score)),
        h("td", { class: "c2" }, sparkline(run.sparkline, `What training watched, over ${run.epoch} epochs`)),
        h("td", { class: "c3" }, statusBadge(run)),
        h("td", { class: "c4" }, run.model), h("td", { class: "c5" }, shortPath(run.data)), h("td", { class: "num c6" }, duration(run.seconds)), h("td", { class: "c7" }, when(run.started)))))));
  }

  let last = "";
  async function refresh() {
    const runs = /** @type {api.RunRow[]} */ (await api.get("/api/runs", signal));
    const text = JSON.stringify(runs);
    if (text !== last && !list.contains(document.activeElement) || !last) fillWith(list, rows(runs));
    if (text !== last && last) announce("The list of runs has changed");
    last = text;
    return runs.some((run) => run.status === "training");
  }
  await loaded(list, async () => {
    await refresh();
    return [...list.childNodes];
  });
  const timer = setInterval(() => { if (!document.hidden) refresh().catch((error) => { if (!left(error)) clearInterval(timer); }); }, 3000);
  signal.addEventListener("abort", () => clearInterval(timer));
}

/** The last two steps of a path say enough. @param {string} path @returns {HTMLElement} */
function shortPath(path) {
  const steps = (path ?? "").split("/").filter(Boolean);
  return h("span", { title: path }, steps.length > 2 ? `…/${steps.slice(-2).join("/")}` : path);
}

/** @param {string} time @returns {string} */
export function when(time) {
  const date = new Date(time);
  return Number.isNaN(date.getTime()) ? (time ?? "") : date.toLocaleString(undefined, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
}

/** @param {api.Meta} meta @returns {HTMLElement} */
function trainForm(meta) {
  const data = select("Data", meta.datasets.map((each) => [each, each]), meta.data ?? meta.datasets[0] ?? "");
  const budget = h("input", { type: "text", required: true, value: "10m", list: "budgets", autocomplete: "off" });
  const model = h("input", { type: "text", placeholder: "chosen for these images", autocomplete: "off", spellcheck: "false" });
  const weights = h("input", { type: "text", placeholder: "none, imagenet or a run", autocomplete: "off", spellcheck: "false" });
  const name = h("input", { type: "text", placeholder: "chosen by date", autocomplete: "off", spellcheck: "false" });
  const plan = h("div", { class: "plan", role: "status" });
  const start = h("button", { class: "primary", type: "submit" }, "Start training");
  const ask = h("button", { type: "button", onclick: () => showPlan() }, "Show the plan");
  if (!meta.datasets.length) return h("div", { class: "card" }, h("p", null, "There is no data set to train on. Start the app with one:"), command(`maskwright app ${meta.runs_dir} --data my_data`));
  let round = 0;
  async function showPlan() {
    const mine = ++round;
    if (!data.value || !budget.value.trim()) return;
    fillWith(plan, h("p", { class: "waiting" }, "Measuring what this budget buys …"));
    try {
      const answer = /** @type {{lines: string[], ok: boolean}} */ (await api.post("/api/plan", { data: data.value, budget: budget.value.trim(), model: model.value.trim() || null }));
      if (mine === round) fillWith(plan, h("h2", null, "The plan"), h("ul", { class: "remarks" }, answer.lines.map((line) => h("li", null, line))));
    } catch (error) {
      if (mine === round) fillWith(plan, h("p", { class: "problem", role: "alert" }, messageOf(error)));
    }
  }
  /** @param {SubmitEvent} event */
  async function submit(event) {
    event.preventDefault();
    start.disabled = true;
    try {
      const made = /** @type {{id: string}} */ (await api.post("/api/train", { data: data.value, budget: budget.value.trim(), model: model.value.trim() || null, name: name.value.trim() || null, weights: weights.value.trim() || null }));
      location.hash = `#/runs/${encodeURIComponent(made.id)}`;
    } catch (error) {
      notify(messageOf(error), { kind: "error" });
    } finally {
      start.disabled = false;
    }
  }
  return h("form", { class: "train card", "aria-label": "Train a new run", onsubmit: submit },
    h("datalist", { id: "budgets" }, ["30s", "5m", "10m", "30m", "2h"].map((value) => h("option", { value }))),
    h("div", { class: "fields" }, field("Data", data), field("Time", budget, "30s, 5m, 2h, 1d: it ends on time"), field("Model", model), field("Weights", weights), field("Name", name)),
    plan, h("div", { class: "actions" }, start, ask));
}
