/** Elements, messages and states. Text goes in as text: nothing here reads markup. */

/** @typedef {Node|string|number|null|undefined|false|(Node|string|null|undefined|false)[]} Child */

/**
 * An element: `on…` are listeners, true/false attributes are set or left out, everything else is an attribute.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag @param {{[name: string]: any}|null} [props] @param {...Child} children @returns {HTMLElementTagNameMap[K]}
 */
export function h(tag, props, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2).toLowerCase(), value);
    else if (name === "style") for (const [key, each] of Object.entries(value)) element.style.setProperty(key, String(each));
    else if (name === "value" && "value" in element) /** @type {any} */ (element).value = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  add(element, children);
  return element;
}

/** @param {Element} element @param {Child[]} children */
function add(element, children) {
  for (const child of children.flat()) if (child !== null && child !== undefined && child !== false) element.append(child instanceof Node ? child : String(child));
}

/** @template {Element} E @param {E} element @param {...Child} children @returns {E} */
export function fillWith(element, ...children) {
  element.replaceChildren();
  add(element, children);
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

/** @param {string} tag @param {{[name: string]: string|number}} props @param {...Element} children @returns {SVGElement} */
export function svg(tag, props, ...children) {
  const element = /** @type {SVGElement} */ (document.createElementNS(SVG, tag));
  for (const [name, value] of Object.entries(props)) element.setAttribute(name, String(value));
  element.append(...children);
  return element;
}

/** Says something to a screen reader without moving the focus. @param {string} text */
export function announce(text) {
  const region = document.getElementById("announcer");
  if (region) region.textContent = text;
}

/** A message at the foot of the page; errors stay until they are closed. @param {string} text @param {{kind?: "note"|"error", action?: [string, () => void]}} [options] */
export function notify(text, { kind = "note", action } = {}) {
  const host = document.getElementById("notices");
  if (!host) return;
  for (const old of [...host.children]) if (old.getAttribute("data-text") === text) old.remove();
  const close = () => notice.remove();
  const notice = h("div", { class: `notice is-${kind}`, role: kind === "error" ? "alert" : "status", "data-text": text },
    h("p", null, text),
    action && h("button", { class: "quiet", onclick: () => { close(); action[1](); } }, action[0]),
    h("button", { class: "quiet", "aria-label": "Close this message", onclick: close }, "✕"));
  host.append(notice);
  if (kind === "note") setTimeout(close, 6000);
}

/** @param {unknown} error @returns {string} */
export function messageOf(error) {
  return error instanceof Error ? error.message : String(error);
}

/** Whether an error only says that the page was left. @param {unknown} error @returns {boolean} */
export function left(error) {
  return error instanceof DOMException && error.name === "AbortError";
}

/** What stands where something could not be shown. @param {unknown} error @param {() => void} [retry] @returns {HTMLElement} */
export function errorState(error, retry) {
  return h("div", { class: "state is-error", role: "alert" }, h("h2", null, "This could not be shown"), h("p", null, messageOf(error)),
    retry && h("button", { onclick: retry }, "Try again"));
}

/** What stands where there is nothing yet, and what to do about it. @param {string} title @param {...Child} rest @returns {HTMLElement} */
export function emptyState(title, ...rest) {
  return h("div", { class: "state" }, h("h2", null, title), ...rest.map((child) => (typeof child === "string" ? h("p", null, child) : child)));
}

/** How far the audit of a data set is. @param {HTMLElement} host @returns {(done: number, total: number) => void} */
export function auditProgress(host) {
  const bar = h("progress", { max: 1, value: 0, "aria-label": "Progress of the audit" });
  fillWith(host, h("p", { class: "waiting", role: "status" }, "Looking through the images. The first time, a large set takes a while."), bar);
  return (done, total) => { bar.value = done / (total || 1); };
}

/** A command to be typed, with a button that copies it. @param {string} text @returns {HTMLElement} */
export function command(text) {
  return h("p", { class: "command" }, h("code", null, text), h("button", {
    class: "quiet",
    onclick: () => navigator.clipboard?.writeText(text).then(() => announce("Copied"), () => undefined),
  }, "Copy"));
}

/** Waits for `load`, showing that it does; an error becomes a state with a button to try again. @param {HTMLElement} host @param {() => Promise<Child>} load */
export async function loaded(host, load) {
  const waiting = setTimeout(() => fillWith(host, h("p", { class: "waiting", role: "status" }, "Loading …")), 150);
  try {
    const made = await load();
    clearTimeout(waiting);
    fillWith(host, made);
  } catch (error) {
    clearTimeout(waiting);
    if (!left(error)) fillWith(host, errorState(error, () => loaded(host, load)));
  }
}

/**
 * A question in a window of its own; answers with the chosen button's value, null when it was closed.
 * @param {string} title @param {Child} body @param {[string, string][]} buttons value and text; the first is the usual one @returns {Promise<string|null>}
 */
export function ask(title, body, buttons) {
  return new Promise((resolve) => {
    const dialog = h("dialog", { "aria-labelledby": "question" }, h("form", { method: "dialog" },
      h("h2", { id: "question" }, title), typeof body === "string" ? h("p", null, body) : body,
      h("div", { class: "actions" }, buttons.map(([value, text], index) => h("button", { value, class: index ? "" : "primary" }, text)))));
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue || null);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** A label over its input. @param {string} text @param {HTMLElement} input @param {string} [hint] @returns {HTMLElement} */
export function field(text, input, hint) {
  return h("label", { class: "field" }, h("span", null, text), input, hint && h("small", null, hint));
}

/** @param {string} label @param {[string, string][]} options @param {string} value @param {(value: string) => void} [change] @returns {HTMLSelectElement} */
export function select(label, options, value, change) {
  const element = h("select", { "aria-label": label, onchange: () => change?.(element.value) },
    options.map(([key, text]) => h("option", { value: key, selected: key === value }, text)));
  return element;
}

/** @param {string} colour @returns {HTMLElement} */
export function swatch(colour) {
  return h("span", { class: "swatch", "aria-hidden": "true", style: { background: colour } });
}

/** A table with a head; numbers are set right. @param {string} caption @param {Child[]} head @param {Child[][]} rows @param {number} [numbersFrom] @returns {HTMLElement} */
export function table(caption, head, rows, numbersFrom = 1) {
  return h("div", { class: "scroll scores-table", tabindex: 0, role: "group", "aria-label": caption }, h("table", null,
    h("thead", null, h("tr", null, head.map((cell, index) => h("th", { scope: "col", class: index >= numbersFrom ? "num" : null }, cell)))),
    h("tbody", null, rows.map((row) => h("tr", null, row.map((cell, index) =>
      h(index ? "td" : "th", { scope: index ? null : "row", class: index >= numbersFrom ? "num" : null }, cell)))))));
}

/** 0.8731 → "0.873"; nothing → "–". @param {number|null|undefined} value @param {number} [digits] @returns {string} */
export function number(value, digits = 3) {
  return value === null || value === undefined || Number.isNaN(value) ? "–" : value.toFixed(digits);
}

/** "val_iou" → "val IoU". @param {string} key @returns {string} */
export function metricName(key) {
  return key.replace(/_/g, " ").replace(/\biou\b/g, "IoU").replace(/^dice$/, "Dice").replace(/\bf1\b/g, "F1").replace(/\bf$/, "F").replace("hd95", "HD95");
}

/** @param {number} value @returns {string} */
export function percent(value) {
  return `${(100 * value).toFixed(value && value < 0.0995 ? 1 : 0)} %`;
}

/** @param {number} seconds @returns {string} */
export function duration(seconds) {
  const whole = Math.round(seconds);
  if (whole < 90) return `${whole} s`;
  if (whole < 5400) return `${Math.round(whole / 60)} min`;
  return `${Math.floor(whole / 3600)} h ${String(Math.round((whole % 3600) / 60)).padStart(2, "0")} min`;
}

/** Whether keys belong to a field that is being typed into. @param {KeyboardEvent} event @returns {boolean} */
export function typing(event) {
  const target = event.target;
  if (event.ctrlKey && !/^[zy]$/i.test(event.key)) return true;
  if (target instanceof HTMLInputElement) return !["checkbox", "radio", "range"].includes(target.type) || (target.type === "range" && event.key.startsWith("Arrow"));
  return target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement || (target instanceof Element && target.closest("dialog") !== null);
}
