/** The server's JSON and pixels. Paths are written with `path`, so that an id never becomes more than one step of an address. */
import { decodeGrey } from "./canvas/png.js";

/** @typedef {import("./canvas/png.js").Grey} Grey */
/** @typedef {{name: string, colour: string, share?: number}} ClassInfo */
/**
 * @typedef {{id: string, name: string, status: "training"|"finished"|"stopped"|"failed", model: string, data: string, metric: string,
 *   score: number|null, epoch: number, epochs: number|null, budget: string|null, progress: number|null, seconds: number, started: string,
 *   sparkline: (number|null)[], error?: string|null}} RunRow
 * @typedef {{[key: string]: (number|null)[]}} History
 * @typedef {{severity: string, title: string, text: string, advice: string}} Diagnosis
 * @typedef {{[metric: string]: any}} ScoreSet
 * @typedef {RunRow & {classes: ClassInfo[], history: History, best_epoch: number|null, scores: {[split: string]: ScoreSet},
 *   confusion: {[split: string]: {names: string[], counts: number[][]}}, diagnosis: Diagnosis[],
 *   threshold: {own: number, tuned: number|null}|null, splits: {[split: string]: number}, config: string, lines: string[], evaluating?: string[]}} Run
 * @typedef {{id: string, name: string, split: string, score: number|null, per_class: {[name: string]: number|null}, width: number, height: number,
 *   area: number|null}} RunImage
 * @typedef {{id: string, name: string, kind: "run"|"bundle", classes: string[]}} Model
 * @typedef {{columns: {key: string, title: string, better: "high"|"low"|null}[],
 *   rows: {id: string, name: string, cells: {[key: string]: {value: number|string|null, text: string, interval: [number, number]|null}}}[],
 *   points: {id: string, name: string, cost: number, score: number, lo: number|null, hi: number|null}[], sentences: string[], metric?: string, cost?: string,
 *   images: {name: string, ids: {[run: string]: string}}[]}} Comparison
 * @typedef {{name: string, state: "waiting"|"running"|"done"|"failed", progress: number, error: string|null, classes: ClassInfo[], width: number,
 *   height: number, shares: {[name: string]: number}}} Job
 * @typedef {{id: string, severity: string, title: string, text: string, images: string[], question: string,
 *   answers: {message: string, command: string}[], repair: {id: string, text: string}|null}} Finding
 * @typedef {{path: string, images: number, masked: number, classes: ClassInfo[], encoding: string, summary: string[], findings: Finding[],
 *   checking?: {done: number, total: number}|null, judges: {id: string, name: string}[]}} DataInfo
 * @typedef {{lines: string[], rows: {image: string|null, name: string, title: string, text: string, pictures: {alt: string, url: string}[]}[]}} Suspects
 * @typedef {{id: string, name: string, width: number, height: number, masked: boolean, split: string|null}} DataImage
 * @typedef {{id: string, name: string, width: number, height: number, version: string, masked: boolean, classes: string[], ignorable: boolean,
 *   by: {who: string, when: string, what: string}[]}} LabelImage
 * @typedef {{version: string, runs_dir: string, data: string|null, datasets: string[]}} Meta
 */

export class ApiError extends Error {
  /** @param {number} status @param {string} message @param {any} body @param {Headers|null} [headers] */
  constructor(status, message, body, headers = null) {
    super(message.replace(/^(a|an|the|this|there|charts) /, (word) => word[0].toUpperCase() + word.slice(1)));
    this.status = status;
    this.body = body;
    this.headers = headers;
  }
}

/** An address of the API: each `${…}` is one step of it. @param {TemplateStringsArray} parts @param {...(string|number)} values @returns {string} */
export function path(parts, ...values) {
  return parts.reduce((whole, part, index) => whole + part + (index < values.length ? encodeURIComponent(values[index]) : ""), "");
}

/** What follows the `?`: empty values are left out. @param {{[key: string]: string|number|null|undefined}} values @returns {string} */
export function query(values) {
  const wanted = Object.entries(values).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return wanted.length ? `?${new URLSearchParams(wanted.map(([key, value]) => [key, String(value)]))}` : "";
}

/** @param {string} url @param {RequestInit} [options] @returns {Promise<Response>} */
export async function request(url, options = {}) {
  let response;
  try {
    response = await fetch(url, options);
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new ApiError(0, "The app does not answer. Is `maskwright app` still running in its terminal? Start it again, then reload this page.", null);
  }
  if (response.ok) return response;
  const text = await response.text();
  let body = null;
  try { body = JSON.parse(text); } catch { /* not every answer is JSON */ }
  const message = body?.error ?? (response.status === 401
    ? "This page may not be opened without its token. Open the whole address that `maskwright app` printed."
    : `The app answered ${response.status} ${response.statusText} to ${url}.`);
  throw new ApiError(response.status, message, body, response.headers);
}

/** @template T @param {string} url @param {AbortSignal} [signal] @returns {Promise<T>} */
export async function get(url, signal) {
  return (await request(url, { signal })).json();
}

/** @template T @param {string} url @param {object} body @returns {Promise<T>} */
export async function post(url, body) {
  return (await request(url, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) })).json();
}

/** What is known of the data set, once its audit is done. @param {AbortSignal} signal @param {(done: number, total: number) => void} waiting @returns {Promise<DataInfo>} */
export async function dataInfo(signal, waiting) {
  for (;;) {
    const info = /** @type {DataInfo} */ (await get("/api/data", signal));
    if (!info.checking) return info;
    waiting(info.checking.done, info.checking.total);
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

/** What was loaded last, by address: switching back and forth costs nothing. Bounded in bytes. */
const LIMIT = 320 * 2 ** 20;
/** @type {Map<string, {value: Promise<any>, bytes: number}>} */
const kept = new Map();

/** @template T @param {string} key @param {() => Promise<T>} make @param {(made: T) => number} size @returns {Promise<T>} */
function remembered(key, make, size) {
  const before = kept.get(key);
  if (before) {
    kept.delete(key);
    kept.set(key, before);
    return before.value;
  }
  const entry = { value: make(), bytes: 0 };
  kept.set(key, entry);
  entry.value.then((made) => {
    entry.bytes = size(made);
    let total = 0;
    for (const each of kept.values()) total += each.bytes;
    for (const [name, each] of kept) {
      if (total <= LIMIT || each === entry) break;
      kept.delete(name);
      total -= each.bytes;
    }
  }, () => kept.delete(key));
  return entry.value;
}

/** An image, ready to be drawn. @param {string} url @returns {Promise<ImageBitmap>} */
export function picture(url) {
  return remembered(url, async () => createImageBitmap(await (await request(url)).blob()), (bitmap) => 4 * bitmap.width * bitmap.height);
}

/** Parts of a large image at its own size, by their column and row. @param {string} url of the whole @returns {(x: number, y: number) => Promise<ImageBitmap>} */
export const partsOf = (url) => async (x, y) => createImageBitmap(await (await request(`${url}${query({ part: `${x},${y}` })}`)).blob());

/** A label map or other grey picture as bytes; do not change them. @param {string} url @returns {Promise<Grey>} */
export function grey(url) {
  return remembered(url, async () => decodeGrey(new Uint8Array(await (await request(url)).arrayBuffer())), (made) => made.pixels.length);
}

/** @template T @param {string} url @returns {Promise<T>} */
export function once(url) {
  return remembered(url, () => get(url), () => 20000);
}
