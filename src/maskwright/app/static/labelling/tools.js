/** The tools there are, and what is chosen: it stays from image to image. */

/** @typedef {import("../api.js").ClassInfo} Class */
/** @typedef {"brush"|"eraser"|"polygon"|"magnetic"|"fill"|"region"|"pan"} ToolName */

/** @type {[ToolName, string, string, string][]} name, key, title, what it does */
export const TOOLS = [
  ["brush", "b", "Brush", "Draw with the chosen class."], ["eraser", "e", "Eraser", "Draw with the first class, which is what nothing else is."],
  ["polygon", "p", "Polygon", "Click corner by corner; click the first one, or press Enter twice, to close."],
  ["magnetic", "m", "Magnetic edge", "Click along an edge: the line keeps to it. Close as a polygon."],
  ["fill", "f", "Fill", "Fill the connected area under the pointer."],
  ["region", "r", "Region", "Rest on the image: the region a model predicts there is outlined. Click or Enter adds it; again, or with Shift, removes it."],
  ["pan", "h", "Move", "Drag the picture. With any tool: the middle button, two fingers, or space held."],
];

export const wishes = {
  /** @type {ToolName} */
  tool: "brush",
  size: 24, // of the brush, in pixels
  label: 1,
  mask: 0.55, // opacity
  suggestion: 0, // opacity
  /** The label that is drawn. @returns {number} */
  get value() { return this.tool === "eraser" ? 0 : this.label; },
  /** Whether it is drawn in strokes. @returns {boolean} */
  get strokes() { return this.tool === "brush" || this.tool === "eraser"; },
};

/** What a label is called and shown as. @param {Class[]} classes @param {number} label @returns {Class} */
export const classOf = (classes, label) => classes[label] ?? { name: "ignored", colour: "#7f7f7f" };
