/** The data set: its images, and once the audit is done what was recognised, what is wrong with it and which repairs are wanted. */
import * as api from "../api.js";
import { auditProgress, command, emptyState, errorState, field, fillWith, h, left, messageOf, notify, percent, select, swatch } from "../dom.js";
import { windowedGrid } from "../grid.js";

/** @type {import("../main.js").Page} */
export async function showData(main, route, signal) {
  const meta = /** @type {api.Meta} */ (await api.get("/api/meta", signal));
  if (!meta.data) {
    fillWith(main, h("h1", null, "Data"), emptyState("No data set is open", "Start the app with the folder of your images, with masks or without:", command(`maskwright app ${meta.runs_dir} --data my_data`)));
    return;
  }
  const first = /** @type {api.DataInfo} */ (await api.get("/api/data", signal));
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
  const findingSelect = select("Finding", [["", "any"]], "", (value) => set("finding", value));
  const audit = h("div", null);
  let checked = !first.checking; // before that masks are not shown: nobody knows what their values mean
  fillWith(main, h("div", { class: "title" }, h("div", null, h("h1", null, "Data"), h("p", { class: "muted" }, h("code", null, first.path))),
    h("div", { class: "actions" }, h("a", { class: "button primary", href: "#/label" }, first.masked < first.images ? "Label the next image" : "Label"))),
    h("p", { class: "facts" }, h("span", null, h("strong", null, first.images.toLocaleString()), " images"), h("span", null, h("strong", null, first.masked.toLocaleString()), " with a mask")), audit,
    h("section", null, h("h2", null, "Images"), h("form", { class: "filters", "aria-label": "Which images", onsubmit: (/** @type {Event} */ event) => event.preventDefault() }, h("label", null, "Finding", findingSelect),
      h("label", null, "Masks", select("Masks", [["", "any"], ["1", "with a mask"], ["0", "without a mask"]], filter.masked, (value) => set("masked", value))), count), scroller));
  const grid = windowedGrid(scroller, {
    label: "Images of the data set", cellWidth: 170, cellHeight: (width) => width * 0.75 + 48,
    load: async (offset, limit) => api.get(`/api/data/images${api.query({ ...filter, offset, limit })}`, signal),
    found: (total) => { count.textContent = `${total.toLocaleString()} ${total === 1 ? "image" : "images"}`; },
    empty: () => emptyState("No image fits", "Choose another finding, or any masks."),
    cell: (/** @type {api.DataImage} */ item) => h("a", { class: "cell", href: `#/label/${encodeURIComponent(item.id)}` }, h("img", { src: `${api.path`/api/data/images/${item.id}`}/thumb${checked ? "?checked=1" : ""}`, alt: "", loading: "lazy", decoding: "async" }),
      h("span", { class: "cell-text" }, h("span", { class: "name" }, item.name), h("span", { class: "muted" }, item.masked ? item.split ?? "mask" : "no mask"))),
  });
  signal.addEventListener("abort", () => grid.destroy());

  try {
    const info = await api.dataInfo(signal, first.checking ? auditProgress(audit) : () => undefined);
    findingSelect.append(...info.findings.filter((each) => each.images.length).map((each) => h("option", { value: each.id }, each.title)));
    findingSelect.value = filter.finding;
    fillWith(audit, showAudit(info, signal, (id) => set("finding", id)));
    if (!checked) {
      checked = true;
      void grid.reload();
    }
  } catch (error) {
    if (!left(error)) fillWith(audit, errorState(error));
  }
}

/** @param {api.DataInfo} info @param {AbortSignal} signal @param {(finding: string) => void} choose @returns {(HTMLElement|null)[]} */
function showAudit(info, signal, choose) {
  const accepted = new Set(info.findings.flatMap((each) => (each.repair ? [each.repair.id] : [])));
  const bar = h("form", { class: "card repair", "aria-label": "Write a repaired copy", onsubmit: write });
  const out = h("input", { type: "text", value: `${info.path.replace(/\/+$/, "").split("/").pop() ?? "data"}-repaired`, required: true, "aria-label": "Name of the copy", spellcheck: "false" });
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
      pictures.length ? h("div", { class: "strip-of-images" }, pictures.map((id) => h("a", { href: `#/label/${encodeURIComponent(id)}`, "aria-label": `Open image ${Number(id) + 1} to correct its mask` }, h("img", { src: `${api.path`/api/data/images/${id}`}/thumb?checked=1`, alt: "", loading: "lazy" }))),
        finding.images.length > pictures.length ? h("button", { class: "quiet", onclick: () => choose(finding.id) }, `all ${finding.images.length}`) : null) : null,
      finding.question ? h("div", { class: "question" }, h("p", null, finding.question), finding.answers.flatMap((each) => [h("p", null, each.message), command(each.command)])) : null,
      repair ? h("label", { class: "do" }, h("input", { type: "checkbox", checked: true, onchange: (/** @type {Event} */ event) => {
        if (/** @type {HTMLInputElement} */ (event.target).checked) accepted.add(repair.id); else accepted.delete(repair.id);
        drawBar();
      } }), repair.text) : null));
  }
  const summary = info.summary.map((line) => line.replace(/^note +/, "").replace(/^classes .*/, `classes  ${info.encoding}`).replace(/^(\w+) {2,}/, "$1: "));
  return [
    info.classes.length ? h("ul", { class: "shares" }, info.classes.map((each) => h("li", null, swatch(each.colour), `${each.name} `, each.share !== undefined && each.share !== null ? h("span", { class: "value" }, percent(each.share)) : null))) : null,
    summary.length ? h("ul", { class: "remarks" }, summary.map((line) => h("li", null, line))) : null,
    h("section", null, h("h2", null, "Findings"), info.findings.length ? h("ul", { class: "findings wide" }, info.findings.map(findingRow)) : h("p", { class: "muted" }, info.masked ? "Nothing is wrong with what was looked at." : "There is nothing to check before the first mask."),
      info.findings.some((each) => each.repair) && bar),
    info.judges.length ? labelsToCheck(info, signal) : null,
  ];
}

/** Masks that a run surely disagrees with, as its report shows them. @param {api.DataInfo} info @param {AbortSignal} signal @returns {HTMLElement} */
function labelsToCheck(info, signal) {
  const found = h("div", { role: "status" });
  const judge = select("Run that judges", info.judges.map((each) => /** @type {[string, string]} */ ([each.id, each.name])), info.judges[0].id);
  const look = h("button", { onclick: async () => {
    look.disabled = true;
    fillWith(found, h("p", { class: "waiting" }, "Predicting the images with most wrong pixels again …"));
    try {
      const answer = /** @type {api.Suspects} */ (await api.get(`/api/data/suspects${api.query({ model: judge.value })}`, signal));
      fillWith(found, answer.lines.map((line) => h("p", { class: "lead" }, line)), answer.rows.length ? h("ul", { class: "findings suspects" }, answer.rows.map((each) => h("li", null,
        h("div", null, h("h3", null, each.title), h("p", null, each.text), h("p", null, each.image === null ? each.name : h("a", { href: `#/label/${encodeURIComponent(each.image)}` }, `Correct ${each.name}`))),
        h("div", { class: "crops" }, each.pictures.map((picture) => h("img", { src: picture.url, alt: picture.alt })))))) : null);
    } catch (error) {
      if (!left(error)) fillWith(found, h("p", { class: "problem" }, messageOf(error)));
    } finally {
      look.disabled = false;
    }
  } }, "Look for them");
  return h("section", null, h("h2", null, "Labels to check"), h("p", { class: "lead" }, "Regions where a run is sure of another class than the mask says."), h("div", { class: "actions across" }, judge, look), found);
}
