/** The data set: what was recognised, what is wrong with it, which repairs are wanted, and all its images. */
import * as api from "../api.js";
import { auditProgress, command, emptyState, field, fillWith, h, messageOf, notify, percent, select, swatch } from "../dom.js";
import { windowedGrid } from "../grid.js";

/** @type {import("../main.js").Page} */
export async function showData(main, route, signal) {
  const meta = /** @type {api.Meta} */ (await api.get("/api/meta", signal));
  if (!meta.data) {
    fillWith(main, h("h1", null, "Data"), emptyState("No data set is open", "Start the app with the folder of your images, with masks or without:", command(`maskwright app ${meta.runs_dir} --data my_data`)));
    return;
  }
  const info = await api.dataInfo(signal, auditProgress(main, "Data"));
  const accepted = new Set(info.findings.flatMap((each) => (each.repair ? [each.repair.id] : [])));
  const names = new Map();
  const bar = h("form", { class: "card repair", "aria-label": "Write a repaired copy", onsubmit: write });
  const out = h("input", { type: "text", value: `${(meta.data.replace(/\/+$/, "").split("/").pop() ?? "data")}-repaired`, required: true, "aria-label": "Name of the copy", spellcheck: "false" });
  const submit = h("button", { class: "primary", type: "submit" });
  function drawBar() {
    submit.textContent = accepted.size ? `Write the copy with ${accepted.size} ${accepted.size === 1 ? "repair" : "repairs"}` : "Write the copy";
    submit.disabled = !accepted.size;
  }
  /** @param {SubmitEvent} event */
  async function write(event) {
    event.preventDefault();
    submit.disabled = true;
    try {
      const made = /** @type {{path: string, changed: number}} */ (await api.post("/api/data/repair", { accept: [...accepted], out: out.value.trim() }));
      notify(`Written to ${made.path}, ${made.changed} ${made.changed === 1 ? "file" : "files"} changed. The originals are as they were.`);
    } catch (error) {
      notify(messageOf(error), { kind: "error" });
    } finally {
      drawBar();
    }
  }
  drawBar();
  fillWith(bar, field("Repaired copy", out, "written beside the original, which stays as it is"), submit);

  /** @param {api.Finding} finding */
  function findingRow(finding) {
    const pictures = finding.images.slice(0, 6);
    const repair = finding.repair;
    return h("li", null, h("span", { class: `severity is-${finding.severity}` }, finding.severity), h("div", null, h("h3", null, finding.title), h("p", null, finding.text),
      pictures.length ? h("div", { class: "strip-of-images" }, pictures.map((id) => h("a", { href: `#/label/${encodeURIComponent(id)}`, "aria-label": `Open ${names.get(id) ?? `image ${id}`} to correct its mask` }, h("img", { src: `${api.path`/api/data/images/${id}`}/thumb`, alt: "", loading: "lazy" }))),
        finding.images.length > pictures.length ? h("button", { class: "quiet", onclick: () => set("finding", finding.id) }, `all ${finding.images.length}`) : null) : null,
      repair ? h("label", { class: "do" }, h("input", { type: "checkbox", checked: true, onchange: (/** @type {Event} */ event) => {
        if (/** @type {HTMLInputElement} */ (event.target).checked) accepted.add(repair.id); else accepted.delete(repair.id);
        drawBar();
      } }), repair.text) : null));
  }

  const filter = { finding: route.query.get("finding") ?? "", masked: route.query.get("masked") ?? "" };
  const count = h("span", { class: "muted", role: "status" });
  const scroller = h("div", { class: "gallery", tabindex: 0, role: "group", "aria-label": "Images" });
  /** @param {"finding"|"masked"} name @param {string} value */
  function set(name, value) {
    filter[name] = value;
    findingSelect.value = filter.finding;
    history.replaceState(null, "", `#/data${api.query(filter)}`);
    void grid.reload();
    if (name === "finding" && value) scroller.scrollIntoView({ block: "nearest" });
  }
  const findingSelect = select("Finding", [["", "any"], ...info.findings.filter((each) => each.images.length).map((each) => /** @type {[string, string]} */ ([each.id, each.title]))], filter.finding, (value) => set("finding", value));
  const summary = info.summary.filter((line) => !/^(note|warning|error) /.test(line) && !info.findings.some((each) => each.text === line)); // findings have a list of their own
  const problems = info.findings.some((each) => each.repair);
  fillWith(main, h("div", { class: "title" }, h("div", null, h("h1", null, "Data"), h("p", { class: "muted" }, h("code", null, info.path))), h("div", { class: "actions" }, h("a", { class: "button primary", href: "#/label" }, info.masked < info.images ? "Label the next image" : "Label"))),
    h("p", { class: "facts" }, h("span", null, h("strong", null, info.images), " images"), h("span", null, h("strong", null, info.masked), " with a mask"), info.encoding && h("span", null, info.encoding)),
    info.classes.length ? h("ul", { class: "shares" }, info.classes.map((each) => h("li", null, swatch(each.colour), `${each.name} `, each.share !== undefined && each.share !== null ? h("span", { class: "value" }, percent(each.share)) : null))) : null,
    summary.length ? h("ul", { class: "remarks" }, summary.map((line) => h("li", null, line))) : null,
    h("section", null, h("h2", null, "Findings"), info.findings.length ? h("ul", { class: "findings wide" }, info.findings.map(findingRow)) : h("p", { class: "muted" }, info.masked ? "Nothing is wrong with what was looked at." : "There is nothing to check before the first mask."), problems && bar),
    h("section", null, h("h2", null, "Images"), h("form", { class: "filters", "aria-label": "Which images", onsubmit: (/** @type {Event} */ event) => event.preventDefault() }, h("label", null, "Finding", findingSelect),
      h("label", null, "Masks", select("Masks", [["", "any"], ["1", "with a mask"], ["0", "without a mask"]], filter.masked, (value) => set("masked", value))), count), scroller));
  const grid = windowedGrid(scroller, {
    label: "Images of the data set", cellWidth: 170, cellHeight: (width) => width * 0.75 + 48, load: (offset, limit) => api.get(`/api/data/images${api.query({ ...filter, offset, limit })}`, signal),
    found: (total) => { count.textContent = `${total.toLocaleString()} ${total === 1 ? "image" : "images"}`; },
    empty: () => emptyState("No image fits", "Choose another finding, or any masks."),
    cell: (/** @type {api.DataImage} */ item) => h("a", { class: "cell", href: `#/label/${encodeURIComponent(item.id)}` }, h("img", { src: `${api.path`/api/data/images/${item.id}`}/thumb`, alt: "", loading: "lazy", decoding: "async" }),
      h("span", { class: "cell-text" }, h("span", { class: "name" }, item.name), h("span", { class: "muted" }, item.masked ? item.split ?? "mask" : "no mask"))),
  });
  signal.addEventListener("abort", () => grid.destroy());
}
