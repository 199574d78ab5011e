/** Routes: what follows the # in the address is the page. A page is shown until the next; its signal ends with it. */
import { errorState, fillWith, h, left } from "./dom.js";
import { showCompare } from "./pages/compare.js";
import { showData } from "./pages/data.js";
import { showLabel } from "./pages/label.js";
import { showPredict } from "./pages/predict.js";
import { showImage, showRun } from "./pages/run.js";
import { showRuns } from "./pages/runs.js";

/** @typedef {{parts: string[], query: URLSearchParams}} Route */
/** @typedef {(main: HTMLElement, route: Route, signal: AbortSignal) => Promise<void>|void} Page */

const main = /** @type {HTMLElement} */ (document.getElementById("main"));
let current = new AbortController();

/** @returns {Route} */
function route() {
  const [steps, query] = location.hash.replace(/^#\/?/, "").split("?");
  return { parts: steps.split("/").filter(Boolean).map(decodeURIComponent), query: new URLSearchParams(query ?? "") };
}

/** @type {{[name: string]: {title: string, page: Page}}} */
const pages = {
  runs: { title: "Runs", page: (host, at, signal) => (at.parts.length > 2 ? showImage : at.parts.length > 1 ? showRun : showRuns)(host, at, signal) },
  compare: { title: "Compare", page: showCompare },
  predict: { title: "Predict", page: showPredict },
  data: { title: "Data", page: showData },
  label: { title: "Label", page: showLabel },
};

async function navigate() {
  if (location.hash === "#main") return; // the link that skips to the page
  current.abort();
  current = new AbortController();
  const at = route();
  const name = at.parts[0] ?? "runs";
  const wanted = pages[name];
  for (const link of document.querySelectorAll("header nav a")) {
    if (link.getAttribute("href") === `#/${name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${wanted?.title ?? "Not found"} · Maskwright`;
  main.className = `page-${wanted ? name : "none"}`;
  fillWith(main);
  if (!wanted) {
    fillWith(main, h("h1", null, "There is no such page"), h("p", null, h("a", { href: "#/runs" }, "Go to the runs")));
    return;
  }
  try {
    await wanted.page(main, at, current.signal);
  } catch (error) {
    if (!left(error)) fillWith(main, errorState(error, navigate));
  }
}

const theme = /** @type {HTMLButtonElement} */ (document.getElementById("theme"));
const dark = matchMedia("(prefers-color-scheme: dark)");

function isDark() {
  return document.documentElement.dataset.theme ? document.documentElement.dataset.theme === "dark" : dark.matches;
}

function nameTheme() {
  theme.textContent = isDark() ? "Light" : "Dark";
  theme.setAttribute("aria-label", isDark() ? "Change to light colours" : "Change to dark colours");
  window.dispatchEvent(new CustomEvent("maskwright-theme"));
}

theme.addEventListener("click", () => {
  const wanted = isDark() ? "light" : "dark";
  document.documentElement.dataset.theme = wanted;
  try { localStorage.setItem("maskwright-theme", wanted); } catch { /* it holds until the page is closed */ }
  nameTheme();
});
dark.addEventListener("change", nameTheme);
nameTheme();
/** @type {HTMLElement} */ (document.querySelector(".skip")).addEventListener("click", (event) => { event.preventDefault(); main.focus(); });

let before = location.hash;
window.addEventListener("hashchange", async () => {
  const moved = before.split("?")[0] !== location.hash.split("?")[0];
  before = location.hash;
  await navigate();
  if (moved && (document.activeElement === document.body || document.activeElement === null)) main.focus({ preventScroll: true });
});
void navigate();
