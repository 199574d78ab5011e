/** Runs beside each other: the table, accuracy against cost, and the same image across models. */
import * as api from "../api.js";
import { chart } from "../charts.js";
import { command, emptyState, errorState, fillWith, h, left, metricName, number } from "../dom.js";
import { windowedGrid } from "../grid.js";

/** @type {import("../main.js").Page} */
export async function showCompare(main, route, signal) {
  const runs = (/** @type {api.RunRow[]} */ (await api.get("/api/runs", signal))).filter((run) => run.score !== null);
  const chosen = new Set((route.query.get("runs") ?? "").split(",").filter((id) => runs.some((run) => run.id === id)));
  const title = h("h1", null, "Compare");
  if (runs.length < 2) {
    fillWith(main, title, emptyState("There is nothing to compare yet", "A comparison needs two finished runs. Train another:", h("p", null, h("a", { class: "button", href: "#/runs?new=1" }, "Train a new run")), command("maskwright train --data my_data --model unet")));
    return;
  }
  const go = h("button", { class: "primary", disabled: chosen.size < 2, onclick: () => { location.hash = `#/compare${api.query({ runs: [...chosen].join(",") })}`; } }, "Compare");
  const picker = h("details", { class: "picker", open: chosen.size < 2 }, h("summary", null, chosen.size < 2 ? "Choose two or more runs" : `${chosen.size} of ${runs.length} runs`),
    h("ul", null, runs.map((run) => h("li", null, h("label", null, h("input", { type: "checkbox", checked: chosen.has(run.id), onchange: (/** @type {Event} */ event) => {
      if (/** @type {HTMLInputElement} */ (event.target).checked) chosen.add(run.id); else chosen.delete(run.id);
      go.disabled = chosen.size < 2;
    } }), h("span", { class: "name" }, run.name), h("span", { class: "muted" }, `${number(run.score)} ${metricName(run.metric)}`))))), h("div", { class: "actions" }, go));
  const body = h("div", null);
  fillWith(main, h("div", { class: "title" }, title), picker, body);
  if (chosen.size < 2) return;
  /** @type {api.Comparison} */
  let answer;
  try {
    answer = await api.get(`/api/compare${api.query({ runs: [...chosen].join(",") })}`, signal);
  } catch (error) {
    picker.open = true; // others can be chosen
    if (!left(error)) fillWith(body, errorState(error));
    return;
  }

  const plot = chart("Accuracy against cost", { x: metricName(answer.cost ?? "cost"), y: metricName(answer.metric ?? "score"), xLog: true, height: 340 });
  const gallery = h("div", { class: "across" });
  const list = h("div", { class: "gallery short", tabindex: 0, role: "group", "aria-label": "Images all of them were scored on" });
  fillWith(body, answer.sentences.length ? h("section", null, h("ul", { class: "remarks verdicts" }, answer.sentences.map((line, index) => h("li", { class: index > 1 ? "muted" : null }, line)))) : null,
    h("section", null, h("h2", null, "Table"), sortable(answer)),
    answer.points.length ? h("section", null, h("h2", null, "Cost"), plot.element) : null,
    h("section", null, h("h2", null, "The same image"), answer.images.length ? [h("p", { class: "lead" }, "Choose an image to see what each run makes of it."), gallery, list] : h("p", { class: "muted" }, "These runs were not scored on the same images.")));
  if (answer.points.length) {
    void plot.draw([{ name: "runs", x: answer.points.map((each) => each.cost), y: answer.points.map((each) => each.score), mode: "markers+text", text: answer.points.map((each) => each.name),
      error: { plus: answer.points.map((each) => (each.hi === null ? null : each.hi - each.score)), minus: answer.points.map((each) => (each.lo === null ? null : each.score - each.lo)) } }]);
  }
  if (!answer.images.length) return;
  /** @param {{name: string, ids: {[run: string]: string}}} image */
  const choose = (image) => fillWith(gallery, h("h3", null, image.name), h("div", { class: "panels", style: { "--columns": Math.min(4, chosen.size) } }, answer.rows.filter((row) => image.ids[row.id] !== undefined).map((row) => h("figure", null,
    h("a", { href: `#/runs/${encodeURIComponent(row.id)}/${encodeURIComponent(image.ids[row.id])}` }, h("img", { src: `${api.path`/api/runs/${row.id}/images/${image.ids[row.id]}`}/thumb?large=1`, alt: `${image.name} as ${row.name} sees it` })),
    h("figcaption", null, row.name)))));
  choose(answer.images[0]);
  const grid = windowedGrid(list, {
    label: "Images", cellWidth: 150, cellHeight: (width) => width * 0.75 + 34, load: async (offset, limit) => ({ total: answer.images.length, items: answer.images.slice(offset, offset + limit) }),
    empty: () => emptyState("No image"),
    cell: (/** @type {{name: string, ids: {[run: string]: string}}} */ image) => {
      const [run, id] = Object.entries(image.ids)[0];
      return h("button", { class: "cell", onclick: () => { choose(image); gallery.scrollIntoView({ block: "nearest" }); } }, h("img", { src: `${api.path`/api/runs/${run}/images/${id}`}/thumb`, alt: "", loading: "lazy" }), h("span", { class: "cell-text" }, h("span", { class: "name" }, image.name)));
    },
  });
  signal.addEventListener("abort", () => grid.destroy());
}

/** @param {api.Comparison} answer @returns {HTMLElement} */
function sortable(answer) {
  const columns = answer.columns.filter((column) => column.key !== "name" && answer.rows.some((row) => row.cells[column.key]));
  let key = answer.metric ?? columns.find((column) => column.better)?.key ?? "";
  let up = columns.find((column) => column.key === key)?.better === "low";
  const host = h("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": "Comparison" });
  function draw() {
    /** @param {api.Comparison["rows"][0]} row */
    const valueOf = (row) => (key ? row.cells[key]?.value ?? null : row.name);
    const rows = [...answer.rows].sort((a, b) => {
      const [x, y] = [valueOf(a), valueOf(b)];
      if (x === null || y === null) return x === y ? 0 : x === null ? 1 : -1; // what has no value stands last
      return (typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y))) * (up ? 1 : -1);
    });
    /** @param {string} name @param {string} title @param {"high"|"low"|null} better */
    const heading = (name, title, better) => h("th", { scope: "col", class: name ? "num" : null, "aria-sort": name === key ? (up ? "ascending" : "descending") : null },
      h("button", { class: "sort", onclick: () => {
        up = name === key ? !up : better !== "high" || !name;
        key = name;
        draw();
        /** @type {HTMLElement|null} */ (host.querySelector("[aria-sort] button"))?.focus();
      } }, title, h("span", { "aria-hidden": "true" }, name === key ? (up ? " ↑" : " ↓") : "")));
    fillWith(host, h("table", null, h("thead", null, h("tr", null, heading("", "Run", null), columns.map((column) => heading(column.key, column.title, column.better)))),
      h("tbody", null, rows.map((row) => h("tr", null, h("th", { scope: "row" }, h("a", { href: `#/runs/${encodeURIComponent(row.id)}` }, row.name)), columns.map((column) => {
        const cell = row.cells[column.key];
        const [value, rest] = (cell?.text ?? "–").split(" (");
        return h("td", { class: "num" }, h("span", { class: "value" }, value), rest ? h("small", null, rest.replace(/\)$/, "").replace("–", " to ")) : null);
      }))))));
  }
  draw();
  return host;
}
