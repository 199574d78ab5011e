/** Drawing a mask: tools over a stage, undo, and what is drawn handed on to be saved. The rules of saving live in pages/label.js. */
import { announce, fillWith, h, left, messageOf, swatch, typing } from "./dom.js";
import { stroke } from "./canvas/brush.js";
import { luminance, trace, wireFrom } from "./canvas/edge.js";
import { fill, outline, regionAt, toggleRegion } from "./canvas/flood.js";
import { IGNORED, paintDrawn, paintHatched, palette } from "./canvas/layers.js";
import { fillPolygon } from "./canvas/polygon.js";
import { createHistory, record, redo, undo } from "./canvas/undo.js";
import { clipped, toScreen, union } from "./canvas/view.js";
import { Stage } from "./stage.js";
import { Painted, Photo } from "./tiles.js";

/** @typedef {import("./canvas/view.js").Point} Point */
/** @typedef {import("./canvas/view.js").Rect} Rect */
/** @typedef {import("./stage.js").Layer} Layer */
/** @typedef {import("./canvas/flood.js").Piece} Piece */
/** @typedef {{piece: Piece, region: import("./canvas/flood.js").Region, at: Point, label: number, path: Path2D}} Preview */
/** @typedef {"brush"|"eraser"|"polygon"|"magnetic"|"fill"|"region"|"pan"} ToolName */

/** @type {[ToolName, string, string, string][]} name, key, title, what it does */
const TOOLS = [
  ["brush", "b", "Brush", "Draw with the chosen class."], ["eraser", "e", "Eraser", "Draw with the first class, which is what nothing else is."],
  ["polygon", "p", "Polygon", "Click corner by corner; click the first one, or press Enter twice, to close."],
  ["magnetic", "m", "Magnetic edge", "Click along an edge: the line keeps to it. Close as a polygon."],
  ["fill", "f", "Fill", "Fill the connected area under the pointer."],
  ["region", "r", "Region", "Rest on the image: the region a model predicts there is outlined. Click or Enter adds it; again, or with Shift, removes it."],
  ["pan", "h", "Move", "Drag the picture. With any tool: the middle button, two fingers, or space held."],
];

const REST = 150; // milliseconds the cursor stays where it is until something is predicted there
const WIRE = 256; // pixels, as fine as they are seen, that a magnetic line reaches
const STILL = 3; // screen pixels: a hand is never quite still

/** @type {{tool: ToolName, size: number, label: number, mask: number, suggestion: number}} what stays from image to image */
const wishes = { tool: "brush", size: 24, label: 1, mask: 0.55, suggestion: 0 };

/**
 * @param {HTMLElement} host @param {{name: string, colour: string}[]} classes
 * @param {{ignorable: boolean, changed: () => void, save: () => void, next: () => void, extra: HTMLElement[], signal: AbortSignal,
 *   predict: (x: number, y: number, signal: AbortSignal) => Promise<Piece>, predictAll: () => Promise<void>}} options
 */
export function createLabeller(host, classes, { ignorable, changed, save, next, extra, signal, predict, predictAll }) {
  const colours = classes.map((each) => each.colour);
  /** @type {Uint8Array} */
  let mask = new Uint8Array(1);
  let before = new Uint8Array(1);
  let width = 1;
  let height = 1;
  /** @type {Uint8Array|null} */
  let suggestion = null;
  let predicts = false; // a model is chosen
  /** @type {Piece[]} what it was asked for last; the whole image, once that is there */
  let pieces = [];
  /** @type {Preview|null} */
  let preview = null;
  /** @type {{at: Point, abort: AbortController, clicked: boolean}|null} */
  let asking = null;
  let resting = 0;
  /** @type {Point} */
  let rest = { x: -1e6, y: 0 };
  /** @type {Photo|null} */
  let picture = null;
  let history = createHistory();
  /** @type {Point} */
  let cursor = { x: -1e6, y: 0 };
  let byKeys = false;
  let penDown = false;
  /** @type {Point|null} */
  let last = null;
  /** @type {Rect|null} */
  let touched = null;
  /** @type {Point[]} */
  let corners = [];
  /** @type {Point[]} the way that is being drawn, corners and what lies between them */
  let line = [];
  /** @type {Point[]} */
  let ahead = [];
  /** @type {{wire: import("./canvas/edge.js").Wire, factor: number, x: number, y: number}|null} the ways from the last corner, and where their window lies */
  let ways = null;
  if (!ignorable || wishes.label !== IGNORED) wishes.label = Math.min(wishes.label, classes.length - 1);
  /** @param {number} label */
  const nameOf = (label) => classes[label]?.name ?? "ignored";
  /** @param {number} label */
  const colourOf = (label) => colours[label] ?? "#7f7f7f";

  const stage = new Stage("Drawing area. Arrow keys move the cursor, Enter draws or sets a point, control Z takes back. Tools have letter keys, classes have number keys.", signal);
  const table = palette(colours, colours.map((_, index) => index > 0));
  /** @type {Layer} */
  const imageLayer = { source: null, opacity: 1, visible: true, pane: "both" };
  /** @type {Layer} */
  const maskLayer = { source: null, opacity: wishes.mask, visible: true, pane: "both" };
  /** @type {Layer} */
  const suggestionLayer = { source: null, opacity: wishes.suggestion, visible: true, pane: "both" };
  stage.layers = [imageLayer, suggestionLayer, maskLayer];

  const toolButtons = new Map(TOOLS.map(([name, key, title, text]) => [name, h("button", { class: "tool", "aria-pressed": "false", "aria-keyshortcuts": key, title: `${title} (${key.toUpperCase()}). ${text}`, onclick: () => choose(name) }, h("span", null, title), h("kbd", null, key.toUpperCase()))]));
  const undoButton = h("button", { class: "tool", onclick: () => step(undo), title: "Undo (Ctrl+Z)", "aria-keyshortcuts": "Control+Z" }, "Undo");
  const redoButton = h("button", { class: "tool", onclick: () => step(redo), title: "Redo (Ctrl+Y)", "aria-keyshortcuts": "Control+Y" }, "Redo");
  const hint = h("p", { class: "readout", role: "status" });
  const size = h("input", { type: "range", min: 1, max: 200, value: wishes.size, "aria-label": "Brush size in pixels", oninput: () => resize(Number(size.value)) });
  const sizeText = h("output", null);
  /** @type {[number, string, string|number|null][]} label, what it is for a person who has not read about it, its key */
  const labels = classes.map((_, index) => [index, "", index < 9 ? index + 1 : null]);
  if (ignorable) labels.push([IGNORED, "Neither learned nor scored", "I"]);
  const radios = new Map(labels.map(([label]) => [label, h("input", { type: "radio", name: "class", value: label, onchange: () => chooseClass(label) })]));
  const maskOpacity = h("input", { type: "range", min: 0, max: 100, value: wishes.mask * 100, "aria-label": "Opacity of the mask", oninput: () => { maskLayer.opacity = wishes.mask = Number(maskOpacity.value) / 100; stage.redraw(); } });
  const suggestionOpacity = h("input", { type: "range", min: 0, max: 100, value: wishes.suggestion * 100, "aria-label": "Opacity of the prediction", oninput: () => setSuggestionOpacity(Number(suggestionOpacity.value) / 100) });
  const useSuggestion = h("button", { onclick: async () => {
    if (!suggestion) await predictAll();
    startFromSuggestion(true);
  } }, "Start from the prediction");
  const panel = h("div", { class: "panel" },
    h("section", null, h("h2", null, "Class"), h("div", { role: "radiogroup", "aria-label": "Class to draw with" }, h("ul", { class: "classes" }, labels.map(([label, title, key]) => h("li", null, h("label", { title: title || null }, radios.get(label), swatch(colours[label] ?? "repeating-linear-gradient(135deg, #fff 0 2px, #1b1f24 2px 4px)"), nameOf(label), key !== null && h("kbd", null, key))))))),
    h("section", null, h("h2", null, "Brush ", sizeText), size),
    extra[0],
    h("section", null, h("h2", null, "Layers"), h("div", { class: "layer" }, h("span", null, "Mask"), maskOpacity), h("div", { class: "layer" }, h("span", null, "Prediction"), suggestionOpacity), h("p", { class: "buttons" }, useSuggestion)),
    ...extra.slice(1));
  fillWith(host, h("div", { class: "labeller" }, h("div", { class: "tools", role: "toolbar", "aria-label": "Tools" }, [...toolButtons.values()], undoButton, redoButton), h("div", { class: "stage-box" }, stage.element, hint), panel));

  /** @param {ToolName} name */
  function choose(name) {
    abandon();
    wishes.tool = name;
    for (const [each, button] of toolButtons) button.setAttribute("aria-pressed", String(each === name));
    stage.panning = name === "pan";
    stage.element.dataset.tool = name;
    const chosen = TOOLS.find(([each]) => each === name);
    hint.textContent = chosen ? chosen[3] : "";
    if (name === "region" && !predicts) hint.textContent = "Choose a model on the right first: this tool takes over what it predicts.";
    if (name === "region" && suggestion && !wishes.suggestion) setSuggestionOpacity(0.35);
    stage.redrawOver();
  }
  /** @param {number} label */
  function chooseClass(label) {
    wishes.label = label;
    for (const [each, radio] of radios) radio.checked = each === label;
    if (wishes.tool === "eraser" && label) choose("brush");
  }
  /** @param {number} value */
  function resize(value) {
    wishes.size = Math.max(1, Math.min(200, Math.round(value)));
    size.value = String(wishes.size);
    sizeText.textContent = `${wishes.size} px`;
    stage.redrawOver();
  }
  /** @param {number} value */
  function setSuggestionOpacity(value) {
    suggestionLayer.opacity = wishes.suggestion = value;
    suggestionOpacity.value = String(value * 100);
    stage.redraw();
  }
  function drawButtons() {
    undoButton.disabled = !history.done.length;
    redoButton.disabled = !history.undone.length;
    useSuggestion.disabled = !predicts;
    suggestionOpacity.disabled = !suggestion;
  }

  const value = () => (wishes.tool === "eraser" ? 0 : wishes.label);

  /** @param {Rect} [rect] */
  function repaint(rect) {
    if (maskLayer.source instanceof Painted) maskLayer.source.change(rect);
    stage.redraw(rect);
  }
  /** @param {Rect|null} rect @param {string} name */
  function finish(rect, name) {
    if (rect && record(history, before, mask, width, rect, name)) {
      repaint(rect);
      changed();
    }
    drawButtons();
  }
  /** @param {(history: import("./canvas/undo.js").History, mask: Uint8Array, width: number) => import("./canvas/undo.js").Change|null} way */
  function step(way) {
    if (corners.length && way === undo) { // the last corner of what is being drawn goes first
      corners.pop();
      line = corners.length ? line.slice(0, line.lastIndexOf(corners[corners.length - 1]) + 1) : [];
      ways = null;
      stage.redrawOver();
      return;
    }
    const change = way(history, mask, width);
    if (change) {
      repaint(change.rect);
      changed();
      announce(`${way === undo ? "Took back" : "Did again"}: ${change.name}`);
    }
    drawButtons();
  }
  /** @param {boolean} counts whether it is the person's own doing, to be saved */
  function startFromSuggestion(counts) {
    if (!suggestion) return;
    before.set(mask);
    mask.set(suggestion);
    const rect = { x: 0, y: 0, width, height };
    if (record(history, before, mask, width, rect, "start from the prediction") && counts) changed();
    repaint();
    drawButtons();
  }

  function abandon() {
    corners = [];
    line = [];
    ahead = [];
    ways = null;
    penDown = false;
    last = null;
    forget();
    stage.redrawOver();
  }
  function close() {
    const points = line;
    abandon();
    before.set(mask);
    finish(fillPolygon(mask, width, height, points, value()), wishes.tool === "magnetic" ? "magnetic outline" : "polygon");
  }
  /** @param {Point} at */
  function corner(at) {
    const first = corners[0];
    const near = 10 / stage.view.scale;
    if (first && corners.length > 1 && Math.hypot(at.x - first.x, at.y - first.y) < Math.max(near, 1)) {
      if (wishes.tool === "magnetic") line.push(...wayTo(first));
      return close();
    }
    const previous = corners[corners.length - 1];
    if (previous && previous.x === at.x && previous.y === at.y) {
      if (corners.length > 2) { if (wishes.tool === "magnetic") line.push(...wayTo(first)); close(); }
      return;
    }
    if (wishes.tool === "magnetic" && previous) line.push(...wayTo(at));
    line.push(at);
    corners.push(at);
    ways = null;
    stage.redrawOver();
  }
  /** @param {Point} at @returns {Point[]} */
  function wayTo(at) {
    if (!corners.length) return [];
    const factor = Math.max(1, Math.floor(1 / stage.view.scale)); // as fine as it is seen: a path over a large image stays quick
    if (ways?.factor !== factor) {
      const from = corners[corners.length - 1];
      const area = clipped(from.x - WIRE * factor, from.y - WIRE * factor, from.x + WIRE * factor, from.y + WIRE * factor, width, height);
      const [wide, high] = area ? [Math.ceil(area.width / factor), Math.ceil(area.height / factor)] : [1, 1];
      const context = new OffscreenCanvas(wide, high).getContext("2d", { willReadFrequently: true });
      if (!context || !picture || !area) return [];
      picture.draw(context, { scale: 1 / factor, x: -area.x / factor, y: -area.y / factor }, area);
      const start = { x: (from.x - area.x) / factor, y: (from.y - area.y) / factor };
      ways = { wire: wireFrom(luminance(context.getImageData(0, 0, wide, high).data), wide, high, start, WIRE), factor, x: area.x, y: area.y };
    }
    const { wire, x, y } = ways;
    return trace(wire, { x: (at.x - x) / factor, y: (at.y - y) / factor }).map((point) => ({ x: point.x * factor + x, y: point.y * factor + y }));
  }

  /** @param {Point} at @returns {{x: number, y: number}|null} */
  function pixel(at) {
    const [x, y] = [Math.floor(at.x), Math.floor(at.y)];
    return x < 0 || y < 0 || x >= width || y >= height ? null : { x, y };
  }
  /** Nothing is predicted for the cursor any more, nor shown. */
  function forget() {
    clearTimeout(resting);
    asking?.abort.abort();
    preview = asking = null;
    rest = { x: -1e6, y: 0 };
  }
  /** Whether a piece tells of a place: near its border, where that is not the image's, it has seen too little. @param {Piece} piece @param {Point} at */
  const tells = (piece, at) => [[at.x, piece.x, piece.width, width], [at.y, piece.y, piece.height, height]].every(([place, start, length, whole]) =>
    place >= (start > 0 ? start + length / 4 : 0) && place < (start + length < whole ? start + (3 * length) / 4 : whole));
  /** @param {Preview} shown @param {Point} at */
  const holds = ({ piece, region: found, label }, at) => tells(piece, at) && piece.pixels[(at.y - piece.y) * piece.width + at.x - piece.x] === label
    && at.x >= found.rect.x + piece.x && at.y >= found.rect.y + piece.y && at.x < found.rect.x + piece.x + found.rect.width && at.y < found.rect.y + piece.y + found.rect.height;

  /** The cursor has moved: what is predicted elsewhere is wanted no more, and here only if it stays. */
  function follow() {
    if (wishes.tool !== "region" || !predicts) return;
    const at = pixel(cursor);
    if (preview && (!at || !holds(preview, at))) {
      preview = null;
      stage.redrawOver();
    }
    if (asking?.clicked || Math.hypot(cursor.x - rest.x, cursor.y - rest.y) * stage.view.scale <= STILL) return;
    rest = cursor;
    clearTimeout(resting);
    asking?.abort.abort();
    asking = null;
    if (at && !preview) resting = window.setTimeout(() => void look(at), REST);
  }
  /** Outlines what is predicted at a place. @param {Point} at @param {boolean} [clicked] @returns {Promise<Preview|null>} */
  async function look(at, clicked = false) {
    let piece = pieces.find((each) => tells(each, at));
    if (!piece) {
      asking?.abort.abort();
      const mine = asking = { at, abort: new AbortController(), clicked };
      hint.textContent = "Predicting …";
      try {
        piece = await predict(at.x, at.y, mine.abort.signal);
      } catch (error) {
        if (asking === mine && !left(error)) hint.textContent = messageOf(error);
        if (asking === mine) asking = null;
        return null;
      }
      if (asking !== mine) return null;
      asking = null;
      if (suggestion) piece = pieces[0]; // which has come meanwhile
      else pieces = [piece, ...pieces.slice(0, 7)];
    }
    const found = regionAt(piece, at.x, at.y);
    if (!found) return null;
    const label = piece.pixels[found.spans[0]];
    const path = new Path2D();
    const lines = outline(found, piece.pixels, piece.width);
    for (let index = 0; index < lines.length; index += 4) {
      path.moveTo(lines[index] + piece.x, lines[index + 1] + piece.y);
      path.lineTo(lines[index + 2] + piece.x, lines[index + 3] + piece.y);
    }
    preview = { piece, region: found, at, label, path };
    hint.textContent = `${nameOf(label)}, ${found.count.toLocaleString()} pixels. Click or Enter adds them; again, or with Shift, removes them.`;
    stage.redrawOver();
    return preview;
  }
  /** Adds the region under a place to the mask, or removes it; what is not predicted yet is waited for. @param {Point} at @param {boolean} removes */
  async function takeRegion(at, removes) {
    if (!predicts) return announce(hint.textContent ?? "");
    clearTimeout(resting);
    const shown = preview && holds(preview, at) ? preview : await look(at, true);
    if (!shown) return;
    before.set(mask);
    const { rect, grown } = toggleRegion(mask, width, shown.piece, shown.region, removes);
    announce(grown ? "Region added" : "Region removed");
    finish(rect, grown ? "add a region" : "remove a region");
  }
  /** @param {Point} at @param {boolean} [removes] */
  function begin(at, removes = false) {
    if (wishes.tool === "brush" || wishes.tool === "eraser") {
      before.set(mask);
      touched = null;
      last = at;
      extend(at);
    } else if (wishes.tool === "polygon" || wishes.tool === "magnetic") corner(at);
    else {
      const place = pixel(at);
      if (!place) return;
      if (wishes.tool === "region") return void takeRegion(place, removes);
      before.set(mask);
      finish(fill(mask, width, height, place.x, place.y, value()), "fill");
    }
  }
  /** @param {Point} at */
  function extend(at) {
    if (!last) return;
    const rect = stroke(mask, width, height, last.x, last.y, at.x, at.y, wishes.size / 2, value());
    last = at;
    if (!rect) return;
    touched = union(touched, rect);
    repaint(rect);
  }
  function end() {
    if (!last) return;
    last = null;
    finish(touched, wishes.tool);
  }
  stage.tool = {
    down: (at, event) => { byKeys = false; begin(at, event.shiftKey || event.altKey); },
    move: (at) => extend(at),
    up: () => end(),
    cancel: () => {
      if (!last) return;
      last = null;
      mask.set(before);
      if (touched) repaint(touched);
    },
  };
  stage.hover = (at) => {
    if (!at) {
      if (byKeys) return;
      cursor = { x: -1e6, y: 0 };
      follow();
      return stage.redrawOver();
    }
    const keys = byKeys;
    byKeys = false;
    cursor = at;
    if (wishes.tool === "magnetic" && corners.length) ahead = wayTo(at);
    else if (wishes.tool === "polygon") ahead = [at];
    else if (wishes.tool === "region") return keys ? stage.redrawOver() : follow(); // an outline is not drawn anew at each move
    stage.redrawOver();
  };
  stage.over = (context) => {
    const { view } = stage;
    /** @param {Point[]} points @param {string} style @param {number} thick */
    const path = (points, style, thick) => {
      context.beginPath();
      points.forEach((point, index) => {
        const place = toScreen(view, point.x, point.y);
        if (index) context.lineTo(place.x, place.y);
        else context.moveTo(place.x, place.y);
      });
      context.strokeStyle = style;
      context.lineWidth = thick;
      context.stroke();
    };
    if (corners.length) {
      const whole = [...line, ...(ahead.length ? ahead : [])];
      path(whole, "#000000", 4);
      path(whole, "#ffffff", 2);
      corners.forEach((point, index) => {
        const place = toScreen(view, point.x, point.y);
        context.beginPath();
        context.arc(place.x, place.y, index ? 4 : 6, 0, 7);
        context.fillStyle = index ? "#ffffff" : colourOf(value());
        context.fill();
        context.strokeStyle = "#000000";
        context.lineWidth = 1.5;
        context.stroke();
      });
    }
    if (preview) drawPreview(context, preview);
    const place = toScreen(view, cursor.x, cursor.y);
    const ring = wishes.tool === "brush" || wishes.tool === "eraser" ? (wishes.size / 2) * view.scale : 0;
    if (ring || byKeys) {
      for (const [style, thick] of /** @type {[string, number][]} */ ([["#000000", 3], ["#ffffff", 1.25]])) {
        context.strokeStyle = style;
        context.lineWidth = thick;
        context.beginPath();
        if (ring) context.arc(place.x, place.y, Math.max(2, ring), 0, 7);
        if (byKeys) for (const [dx, dy] of [[8, 0], [0, 8]]) { context.moveTo(place.x - dx, place.y - dy); context.lineTo(place.x + dx, place.y + dy); }
        context.stroke();
      }
    }
  };

  /** @param {CanvasRenderingContext2D} context @param {Preview} shown */
  function drawPreview(context, { path, at, label }) {
    const { view } = stage;
    context.save();
    context.translate(view.x, view.y);
    context.scale(view.scale, view.scale);
    context.lineCap = "square";
    for (const [style, thick] of /** @type {[string, number][]} */ ([["#000000", 4], ["#ffffff", 2]])) {
      context.strokeStyle = style;
      context.lineWidth = thick / view.scale;
      context.stroke(path);
    }
    context.restore();
    const place = toScreen(view, at.x + 0.5, at.y + 0.5);
    const text = nameOf(label);
    context.font = "600 13px system-ui, sans-serif";
    const wide = context.measureText(text).width;
    const x = Math.max(4, Math.min(place.x + 14, stage.paneWidth - wide - 38));
    const y = Math.max(4, place.y - 34);
    context.fillStyle = "#1b1f24";
    context.beginPath();
    context.roundRect(x, y, wide + 34, 24, 5);
    context.fill();
    context.fillStyle = colourOf(label);
    context.fillRect(x + 9, y + 7, 10, 10);
    context.strokeStyle = "#ffffff";
    context.lineWidth = 1;
    context.strokeRect(x + 8.5, y + 6.5, 11, 11);
    context.fillStyle = "#ffffff";
    context.textBaseline = "middle";
    context.fillText(text, x + 26, y + 12.5);
  }

  /** @param {KeyboardEvent} event */
  function moveCursor(event) {
    const far = event.shiftKey ? 10 : 1;
    if (!byKeys && (cursor.x < 0 || cursor.y < 0 || cursor.x > width || cursor.y > height)) cursor = { x: width / 2, y: height / 2 };
    byKeys = true;
    cursor = {
      x: Math.min(width - 0.5, Math.max(0.5, Math.floor(cursor.x) + 0.5 + ({ ArrowLeft: -far, ArrowRight: far }[event.key] ?? 0))),
      y: Math.min(height - 0.5, Math.max(0.5, Math.floor(cursor.y) + 0.5 + ({ ArrowUp: -far, ArrowDown: far }[event.key] ?? 0))),
    };
    if (penDown) extend(cursor);
    if (wishes.tool === "magnetic" && corners.length) ahead = wayTo(cursor);
    else if (wishes.tool === "polygon") ahead = [cursor];
    stage.reveal(cursor);
    follow();
    stage.redrawOver();
  }
  document.addEventListener("keydown", (event) => {
    if (typing(event) || event.metaKey && !/^[zy]$/i.test(event.key) || event.altKey) return;
    const onStage = event.target === stage.element;
    const tool = TOOLS.find(([, key]) => key === event.key.toLowerCase());
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z") step(event.shiftKey ? redo : undo);
    else if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "y") step(redo);
    else if (event.ctrlKey) return;
    else if (tool) choose(tool[0]);
    else if ((/^[1-9]$/.test(event.key) && Number(event.key) <= classes.length) || (event.key === "i" && ignorable)) {
      chooseClass(event.key === "i" ? IGNORED : Number(event.key) - 1);
      announce(nameOf(wishes.label));
    }
    else if (event.key === "[" || event.key === "]") resize(wishes.size * (event.key === "]" ? 1.2 : 1 / 1.2) + (event.key === "]" ? 0.5 : -0.5));
    else if (event.key === "Escape") abandon();
    else if (event.key === "n") next();
    else if (event.key === "s") save();
    else if (onStage && event.key.startsWith("Arrow")) moveCursor(event);
    else if (onStage && event.key === "Enter") {
      byKeys = true;
      if (wishes.tool === "brush" || wishes.tool === "eraser") {
        if (penDown) { penDown = false; end(); } else { begin(cursor); penDown = true; }
        announce(penDown ? "Pen down" : "Pen up");
      } else begin(cursor, event.shiftKey);
    } else if (onStage && event.key === " ") stage.panning = true;
    else if (!stage.key(event)) return;
    event.preventDefault();
  }, { signal });
  document.addEventListener("keyup", (event) => { if (event.key === " ") stage.panning = wishes.tool === "pan"; }, { signal });

  choose(wishes.tool);
  resize(wishes.size);
  chooseClass(wishes.label);

  return {
    /** @param {ImageBitmap} image @param {(x: number, y: number) => Promise<ImageBitmap>} part @param {Uint8Array} labels a copy that belongs to the labeller @param {number} w @param {number} h */
    open(image, part, labels, w, h) {
      abandon();
      [width, height, mask, before, suggestion] = [w, h, labels, new Uint8Array(labels.length), null];
      picture = new Photo(image, width, height, part, (rect) => stage.redraw(rect));
      history = createHistory();
      [imageLayer.source, maskLayer.source, suggestionLayer.source] = [picture, new Painted(width, height, (out, area) => paintDrawn(out, mask, table, width, area)), null];
      stage.setSize(width, height);
      repaint();
      drawButtons();
    },
    /** What the chosen model predicts of the whole image, as far as that is known; `asked`: whether one is chosen. @param {Uint8Array|null} labels @param {boolean} asked */
    setSuggestion(labels, asked) {
      if (!labels) forget();
      predicts = asked;
      suggestion = labels;
      pieces = labels ? [{ x: 0, y: 0, width, height, pixels: labels }] : [];
      suggestionLayer.source = labels && new Painted(width, height, (out, area) => paintHatched(out, labels, table, width, area));
      stage.redraw();
      if (!labels && wishes.tool === "region") choose("region");
      if (labels && wishes.tool === "region") {
        if (!wishes.suggestion) setSuggestionOpacity(0.35);
        [preview, rest] = [null, { x: -1e6, y: 0 }];
        follow();
      }
      drawButtons();
    },
    startFromSuggestion,
    /** Another's mask takes this one's place; undo brings this one back. @param {Uint8Array} labels */
    replace(labels) {
      before.set(mask);
      mask.set(labels);
      record(history, before, mask, width, { x: 0, y: 0, width, height }, "take over what was saved elsewhere");
      repaint();
      drawButtons();
    },
    get mask() { return mask; },
    get empty() { return mask.every((each) => each === 0 || each === IGNORED); },
  };
}
