/** What stands around the drawing area: tools, classes, the brush's size, layers. It shows what is chosen, and tells what a person chooses. */
import { IGNORED } from "../canvas/layers.js";
import { h, swatch } from "../dom.js";
import { TOOLS, classOf, wishes } from "./tools.js";

/** @typedef {import("./tools.js").ToolName} ToolName */
/** @typedef {import("./tools.js").Class} Class */
/**
 * @typedef {{choose: (tool: ToolName) => void, chooseClass: (label: number) => void, resize: (pixels: number) => void, undo: () => void, redo: () => void,
 *   showMask: (opacity: number) => void, showSuggestion: (opacity: number) => void, useSuggestion: () => void}} Does
 */

const STRIPES = "repeating-linear-gradient(135deg, #fff 0 2px, #1b1f24 2px 4px)"; // as ignored pixels are drawn

/** @param {string} label @param {number} value @param {(value: number) => void} change @returns {HTMLInputElement} */
function opacity(label, value, change) {
  const input = h("input", { type: "range", min: 0, max: 100, value: value * 100, "aria-label": label, oninput: () => change(Number(input.value) / 100) });
  return input;
}

export class Controls {
  /** What is told about the tool, or about the cursor's place. */
  hint = h("p", { class: "readout", role: "status" });
  /** @type {Map<ToolName, HTMLButtonElement>} */
  #tools;
  /** @type {Map<number, HTMLInputElement>} */
  #radios;
  /** @type {HTMLInputElement} */
  #size;
  #sizeText = h("output", null);
  #classes;
  #undo;
  #redo;
  #maskOpacity;
  #suggestionOpacity;
  #useSuggestion;

  /** @param {Class[]} classes @param {boolean} ignorable @param {Does} does */
  constructor(classes, ignorable, does) {
    this.#classes = classes;
    this.#tools = new Map(TOOLS.map(([name, key, title, text]) => [name, h("button", {
      class: "tool", "aria-pressed": "false", "aria-keyshortcuts": key, title: `${title} (${key.toUpperCase()}). ${text}`, onclick: () => does.choose(name),
    }, h("span", null, title), h("kbd", null, key.toUpperCase()))]));
    this.#undo = h("button", { class: "tool", onclick: does.undo, title: "Undo (Ctrl+Z)", "aria-keyshortcuts": "Control+Z" }, "Undo");
    this.#redo = h("button", { class: "tool", onclick: does.redo, title: "Redo (Ctrl+Y)", "aria-keyshortcuts": "Control+Y" }, "Redo");
    const labels = [...classes.keys(), ...(ignorable ? [IGNORED] : [])];
    this.#radios = new Map(labels.map((label) => [label, h("input", { type: "radio", name: "class", value: label, onchange: () => does.chooseClass(label) })]));
    this.#size = h("input", { type: "range", min: 1, max: 200, value: wishes.size, "aria-label": "Brush size in pixels", oninput: () => does.resize(Number(this.#size.value)) });
    this.#maskOpacity = opacity("Opacity of the mask", wishes.mask, does.showMask);
    this.#suggestionOpacity = opacity("Opacity of the prediction", wishes.suggestion, does.showSuggestion);
    this.#useSuggestion = h("button", { onclick: does.useSuggestion }, "Start from the prediction");
  }

  /** All of it, about the drawing area. @param {HTMLElement} area @param {HTMLElement[]} extra sections of the page's own: one that comes before the layers, others that come after */
  around(area, [first, ...rest]) {
    const panel = h("div", { class: "panel" },
      h("section", null, h("h2", null, "Class"), h("div", { role: "radiogroup", "aria-label": "Class to draw with" },
        h("ul", { class: "classes" }, [...this.#radios].map(([label, radio]) => this.#class(label, radio))))),
      h("section", null, h("h2", null, "Brush ", this.#sizeText), this.#size),
      first,
      h("section", null, h("h2", null, "Layers"), h("div", { class: "layer" }, h("span", null, "Mask"), this.#maskOpacity),
        h("div", { class: "layer" }, h("span", null, "Prediction"), this.#suggestionOpacity), h("p", { class: "buttons" }, this.#useSuggestion)),
      ...rest);
    const tools = h("div", { class: "tools", role: "toolbar", "aria-label": "Tools" }, [...this.#tools.values()], this.#undo, this.#redo);
    return h("div", { class: "labeller" }, tools, h("div", { class: "stage-box" }, area, this.hint), panel);
  }

  /** @param {number} label @param {HTMLInputElement} radio */
  #class(label, radio) {
    const ignored = label === IGNORED;
    const key = ignored ? "I" : label < 9 ? label + 1 : null;
    const { name, colour } = classOf(this.#classes, label);
    return h("li", null, h("label", { title: ignored && "Neither learned nor scored" }, radio, swatch(ignored ? STRIPES : colour), name, key !== null && h("kbd", null, key)));
  }

  /** What can be done now. @param {import("./drawing.js").Drawing} drawing @param {import("./suggestion.js").Suggestion} suggestion */
  enable(drawing, suggestion) {
    this.#undo.disabled = !drawing.undoable;
    this.#redo.disabled = !drawing.redoable;
    this.#useSuggestion.disabled = !suggestion.predicts;
    this.#suggestionOpacity.disabled = !suggestion.labels;
  }

  /** Which tool, class, size and opacity are chosen. */
  show() {
    for (const [name, button] of this.#tools) button.setAttribute("aria-pressed", String(name === wishes.tool));
    for (const [label, radio] of this.#radios) radio.checked = label === wishes.label;
    this.#size.value = String(wishes.size);
    this.#sizeText.textContent = `${wishes.size} px`;
    this.#suggestionOpacity.value = String(wishes.suggestion * 100);
  }
}
