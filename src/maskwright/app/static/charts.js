/** Charts: a small line of our own for lists, plotly (as it comes with the Python package) for curves and points. */
import { request } from "./api.js";
import { h, messageOf, svg } from "./dom.js";

/** @typedef {{name: string, x: (number|string)[], y: (number|null)[], colour?: string, dash?: string, mode?: string, text?: string[], error?: {plus: (number|null)[], minus: (number|null)[]}}} Series */

/** @param {(number|null)[]} values @param {string} label @returns {Element} */
export function sparkline(values, label) {
  const known = values.filter((value) => value !== null && value !== undefined);
  if (known.length < 2) return h("span", { class: "muted", "aria-label": label }, "–");
  const low = Math.min(...known);
  const span = Math.max(...known) - low || 1;
  const points = values.flatMap((value, index) =>
    value === null ? [] : [`${((index / (values.length - 1)) * 98 + 1).toFixed(1)},${(23 - ((value - low) / span) * 22).toFixed(1)}`]);
  return svg("svg", { viewBox: "0 0 100 24", class: "spark", role: "img", "aria-label": label, preserveAspectRatio: "none" },
    svg("polyline", { points: points.join(" "), fill: "none", "vector-effect": "non-scaling-stroke" }));
}

/** @type {Promise<void>|null} */
let plotly = null;

/** @returns {Promise<void>} */
function ensurePlotly() {
  plotly ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = "/vendor/plotly.min.js";
    script.onload = () => resolve();
    script.onerror = () => {
      plotly = null;
      request("/vendor/plotly.min.js").then(() => reject(new Error("The chart could not be drawn. Reload the page.")), reject); // the app says what to install
    };
    document.head.append(script);
  });
  return plotly;
}

/** @param {string} name @returns {string} */
const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/**
 * A chart that follows light and dark. The words in `label` stand for it where it cannot be seen.
 * @param {string} label @param {{x: string, y: string, xLog?: boolean, height?: number, marks?: {x: number, text: string}[]}} axes @returns {{element: HTMLElement, draw: (series: Series[]) => Promise<void>}}
 */
export function chart(label, { x, y, xLog = false, height = 280, marks = [] }) {
  const plot = h("div", { class: "plot", role: "img", "aria-label": label, style: { height: `${height}px` } });
  const element = h("figure", null, h("h3", null, label), plot);
  /** @type {Series[]} */
  let last = [];
  /** @param {Series[]} series */
  async function draw(series) {
    last = series;
    try {
      await ensurePlotly();
    } catch (error) {
      plot.replaceChildren(h("p", { class: "muted" }, messageOf(error)));
      return;
    }
    if (!window.Plotly || !element.isConnected) return;
    const [ink, line, muted, accent] = [token("--ink"), token("--line"), token("--muted"), token("--accent")];
    const axis = { gridcolor: line, zerolinecolor: line, linecolor: line, tickcolor: line, automargin: true };
    await window.Plotly.react(plot, series.map((each) => ({
      type: "scatter", mode: each.mode ?? "lines", name: each.name, x: each.x, y: each.y, text: each.text, textposition: each.text?.map((_, index) => ["middle right", "top left", "bottom right", "middle left", "top right", "bottom left"][index % 6]),
      line: { color: token(each.colour ?? "--accent") || accent, width: 2, dash: each.dash }, marker: { size: 9, color: token(each.colour ?? "--accent") || accent },
      error_y: each.error && { type: "data", symmetric: false, array: each.error.plus, arrayminus: each.error.minus, color: muted, thickness: 1.5 },
      hovertemplate: each.text ? "%{text}<br>%{y:.3f}<extra></extra>" : "%{y:.4f}", cliponaxis: false,
    })), {
      margin: { l: 48, r: 12, t: 8, b: 40 }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", hovermode: series.some((each) => each.text) ? "closest" : "x unified",
      font: { family: getComputedStyle(document.body).fontFamily, color: ink, size: 12 }, showlegend: series.length > 1, legend: { orientation: "h", y: 1.12, x: 0 },
      xaxis: { ...axis, title: { text: x }, type: xLog ? "log" : "linear" }, yaxis: { ...axis, title: { text: y } }, hoverlabel: { bgcolor: token("--paper"), font: { color: ink } },
      shapes: marks.map((mark) => ({ type: "line", x0: mark.x, x1: mark.x, yref: "paper", y0: 0, y1: 1, line: { color: muted, width: 1, dash: "dot" } })),
      annotations: marks.map((mark) => ({ x: mark.x, yref: "paper", y: 1, yanchor: "bottom", text: mark.text, showarrow: false, font: { color: muted, size: 11 } })),
    }, { displayModeBar: false, responsive: true });
  }
  window.addEventListener("maskwright-theme", () => { if (element.isConnected) void draw(last); });
  return { element, draw };
}
