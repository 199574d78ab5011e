/** A grid of any length that holds only what can be seen: rows come and go while scrolling, and are fetched in pages. */
import { h, left, messageOf } from "./dom.js";

const PAGE = 60;

/**
 * @template T
 * @param {HTMLElement} host the element that scrolls
 * @param {{cell: (item: T, index: number) => HTMLElement, load: (offset: number, limit: number) => Promise<{total: number, items: T[]}>,
 *   cellWidth: number, cellHeight: (width: number) => number, empty: () => HTMLElement, label: string, found?: (total: number) => void}} options
 * @returns {{reload: () => Promise<void>, destroy: () => void}}
 */
export function windowedGrid(host, { cell, load, cellWidth, cellHeight, empty, label, found }) {
  const list = h("div", { class: "window", role: "list", "aria-label": label });
  host.replaceChildren(list);
  let total = 0;
  /** @type {Map<number, T>} */
  let items = new Map();
  /** @type {Set<number>} */
  let asked = new Set();
  /** @type {Map<number, HTMLElement>} */
  const shown = new Map();
  let round = 0;

  function draw() {
    const width = list.clientWidth;
    if (!width || !total) return;
    const gap = 12;
    const columns = Math.max(2, Math.floor((width + gap) / (cellWidth + gap)));
    const each = (width - gap * (columns - 1)) / columns;
    const height = cellHeight(each) + gap;
    list.style.height = `${Math.ceil(total / columns) * height}px`;
    const above = Math.max(0, host.scrollTop - list.offsetTop);
    const first = Math.max(0, Math.floor(above / height) - 1) * columns;
    const last = Math.min(total, (Math.ceil((above + host.clientHeight) / height) + 1) * columns);
    for (const [index, element] of shown) {
      if ((index < first || index >= last) && !element.contains(document.activeElement)) {
        element.remove();
        shown.delete(index);
      }
    }
    for (let index = first; index < last; index++) {
      const item = items.get(index);
      if (!item) {
        fetchPage(Math.floor(index / PAGE));
        continue;
      }
      let element = shown.get(index);
      if (!element) {
        element = h("div", { role: "listitem", "aria-setsize": total, "aria-posinset": index + 1 }, cell(item, index));
        element.dataset.index = String(index);
        shown.set(index, element);
        const after = [...list.children].find((other) => Number(/** @type {HTMLElement} */ (other).dataset.index) > index);
        list.insertBefore(element, after ?? null); // in the order they are read in
      }
      element.style.width = `${each}px`;
      element.style.height = `${height - gap}px`;
      element.style.transform = `translate(${(index % columns) * (each + gap)}px, ${Math.floor(index / columns) * height}px)`;
    }
  }

  /** @param {number} page */
  async function fetchPage(page) {
    if (asked.has(page)) return;
    asked.add(page);
    const mine = round;
    try {
      const answer = await load(page * PAGE, PAGE);
      if (mine !== round) return;
      total = answer.total;
      answer.items.forEach((item, index) => items.set(page * PAGE + index, item));
      if (page === 0) found?.(total);
      if (!total) {
        list.style.height = "";
        list.removeAttribute("role");
        list.replaceChildren(empty());
      } else draw();
    } catch (error) {
      if (mine !== round || left(error)) return;
      list.removeAttribute("role");
      list.style.height = "";
      list.replaceChildren(h("div", { class: "state is-error", role: "alert" }, h("p", null, messageOf(error)), h("button", { onclick: reload }, "Try again")));
    }
  }

  async function reload() {
    round++;
    total = 0;
    items = new Map();
    asked = new Set();
    shown.clear();
    list.replaceChildren();
    list.setAttribute("role", "list");
    await fetchPage(0);
  }

  let frame = 0;
  const later = () => { cancelAnimationFrame(frame); frame = requestAnimationFrame(draw); };
  const observer = new ResizeObserver(later);
  observer.observe(host);
  host.addEventListener("scroll", later, { passive: true });
  void reload();
  return { reload, destroy: () => { observer.disconnect(); host.removeEventListener("scroll", later); round++; } };
}
