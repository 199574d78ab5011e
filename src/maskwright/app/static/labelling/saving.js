/** A drawing saved: when it rests, again where that failed, and after a question where somebody else was first. */
import * as api from "../api.js";
import { encodeGrey } from "../canvas/png.js";
import { ask, h, messageOf, notify } from "../dom.js";

const REST = 1200; // milliseconds without a change before it is saved

/** A header holds bytes: a name in UTF-8, one character a byte. @param {string} text @returns {string} */
const bytesOf = (text) => String.fromCharCode(...new TextEncoder().encode(text));

export class Saving {
  ready = false; // the mask is there; until then there is nothing to save
  dirty = false; // something is drawn that is not saved
  /** @type {string} of the mask as it was last read or saved */
  #version;
  #timer = 0;
  #trials = 0;
  /** @type {Promise<void>|null} */
  #saving = null;
  #labeller;
  #base;
  #image;
  #page;

  /**
   * @param {import("../labeller.js").Labeller} labeller @param {string} base the image's address @param {api.LabelImage} image
   * @param {{state: HTMLElement, who: () => string, showRecord: (by: api.LabelImage["by"]) => void}} page
   */
  constructor(labeller, base, image, page) {
    this.#labeller = labeller;
    this.#base = base;
    this.#image = image;
    this.#page = page;
    this.#version = image.version;
  }

  /** @param {string} text @param {"saved"|"waiting"|"failed"} kind */
  say(text, kind) {
    this.#page.state.textContent = text;
    this.#page.state.dataset.state = kind;
  }

  /** Whether what is drawn could not be saved. */
  get failed() { return this.dirty && this.#page.state.dataset.state === "failed"; }

  /** Whether something would be lost if the window were closed. */
  get pending() { return this.dirty || this.#saving !== null; }

  /** Something has been drawn. */
  changed() {
    if (!this.ready) return;
    this.dirty = true;
    this.say("Not saved yet", "waiting");
    clearTimeout(this.#timer);
    this.#timer = window.setTimeout(() => void this.save(), REST);
  }

  /** Saves what is there, changed or not. */
  now() {
    if (!this.ready) return;
    this.dirty = true;
    void this.save();
  }

  /** The page is left. */
  leave() {
    clearTimeout(this.#timer);
    if (this.dirty) void this.save();
  }

  /** Saves what is drawn; what is drawn meanwhile is saved after it. @returns {Promise<void>} */
  async save() {
    clearTimeout(this.#timer);
    if (this.#saving) await this.#saving;
    if (!this.dirty) return;
    this.#saving = this.#put().finally(() => { this.#saving = null; });
    await this.#saving;
    if (this.dirty && !this.failed) await this.save();
  }

  async #put() {
    this.dirty = false;
    this.say("Saving …", "waiting");
    try {
      const body = await encodeGrey(this.#labeller.mask, this.#image.width, this.#image.height);
      const answer = await api.request(`${this.#base}/mask`, { method: "PUT", body: /** @type {BodyInit} */ (body), headers: {
        "Content-Type": "image/png", "If-Match": this.#version, "X-Who": bytesOf(this.#page.who()) } });
      this.#version = (await answer.json()).version;
      this.#trials = 0;
      if (!this.dirty) this.say("Saved", "saved");
      api.get(this.#base).then((now) => this.#page.showRecord(/** @type {api.LabelImage} */ (now).by), () => undefined);
    } catch (error) {
      this.dirty = true;
      if (error instanceof api.ApiError && error.status === 409) await this.#conflict(error).catch((again) => this.#fail(again));
      else this.#fail(error);
    }
  }

  /** @param {unknown} error */
  #fail(error) {
    const answered = error instanceof api.ApiError && error.status > 0;
    this.say(answered ? "Not saved" : "Not saved: the app does not answer", "failed");
    if (!this.#trials) notify(`${messageOf(error)} What you drew is still here.`, { kind: "error", action: ["Save again", () => void this.save()] });
    if (!answered || error.status >= 500) this.#timer = window.setTimeout(() => void this.save(), Math.min(30000, 2000 * 2 ** this.#trials++));
  }

  /** @param {api.ApiError} error */
  async #conflict(error) {
    this.say("Somebody else saved this image first", "failed");
    const draft = error.body?.draft;
    const answer = await ask("Somebody else saved this image first", h("div", null, h("p", null, error.message), draft && h("p", null, "What you drew is kept as ", h("code", null, draft), ".")),
      [["theirs", "Go on from theirs"], ["mine", "Save mine over it"]]);
    const now = /** @type {api.LabelImage} */ (await api.get(this.#base));
    const theirs = await this.read(now.version);
    this.#version = now.version; // only now: what fails before is asked about again
    if (answer === "mine") {
      const mine = this.#labeller.mask.slice();
      this.#labeller.replace(theirs);
      this.#labeller.replace(mine); // undo twice: theirs, then mine again
      this.dirty = true;
      await this.#put();
    } else {
      this.#labeller.replace(theirs);
      this.dirty = false;
      this.say("Theirs is shown; undo brings yours back", "saved");
    }
    this.#page.showRecord(now.by);
  }

  /** The mask as it is saved, asked for by its version, so that no cache answers with an older one. @param {string} [version] @returns {Promise<Uint8Array>} */
  async read(version = this.#version) {
    try {
      const answer = await api.grey(`${this.#base}/mask${api.query({ v: version })}`);
      return answer.pixels.slice();
    } catch (error) {
      if (!(error instanceof api.ApiError) || error.status !== 422) throw error;
      notify(`${error.message} Here it can be drawn anew; the file as it is now is kept.`, { kind: "error" });
      return new Uint8Array(this.#image.width * this.#image.height);
    }
  }
}
