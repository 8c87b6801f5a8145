// Small helpers around the DOM. Text always goes in as text nodes, so nothing in the data can become markup.

type Child = Node | string | null | undefined;

export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Record<string, string> = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  for (const child of children) if (child !== null && child !== undefined) element.append(child);
  return element;
}

/** Text that may break after a comma: names of arms are long and have no spaces. */
export function prose(text: string): DocumentFragment {
  const fragment = document.createDocumentFragment();
  for (const part of text.split(/(?<=,)(?=\S)/)) fragment.append(...(fragment.childNodes.length ? [document.createElement("wbr"), part] : [part]));
  return fragment;
}

export function section(id: string, title: string, lead: string | null, ...children: Child[]): HTMLElement {
  return h("section", { id }, h("h2", {}, title), lead ? h("p", { class: "lead" }, lead) : null, ...children);
}

export interface Column<T> {
  name: string;
  text: (row: T) => string;
  /** Sort key; columns with one are right-aligned numbers. */
  value?: (row: T) => number;
  /** A class for one cell. */
  mark?: (row: T) => string;
}

/** Rows of a table that stand in the page at once: more make it slow to open and nobody reads them. */
const pageRows = 200;

/** A table that scrolls inside its own box; a long one in pages. */
export function table<T>(caption: string, columns: Column<T>[], rows: T[], sortable = false): HTMLElement {
  const body = h("tbody");
  const pages = Math.ceil(rows.length / pageRows);
  const state = { sorted: rows, page: 0 };
  const place = h("span", { "aria-live": "polite" });
  const fill = (): void => {
    const from = state.page * pageRows, shown = state.sorted.slice(from, from + pageRows);
    place.textContent = `rows ${from + 1} to ${from + shown.length} of ${rows.length}`;
    body.replaceChildren(
      ...shown.map((row) =>
        h("tr", {}, ...columns.map((c) => h("td", { class: `${c.value ? "number" : ""} ${c.mark?.(row) ?? ""}`.trim() }, c.text(row)))),
      ),
    );
  };
  const heads = columns.map((column) => {
    const head = h("th", { scope: "col", class: column.value ? "number" : "" });
    if (!sortable) {
      head.append(column.name);
      return head;
    }
    const button = h("button", { type: "button" }, column.name);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      state.sorted = [...rows].sort((a, b) => (up ? 1 : -1) * compareBy(column, a, b));
      state.page = 0;
      fill();
    });
    head.append(button);
    return head;
  });
  fill();
  const scroll = h(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    h("table", {}, h("caption", {}, caption), h("thead", {}, h("tr", {}, ...heads)), body),
  );
  if (pages <= 1) return scroll;
  const turn = (text: string, by: number): HTMLElement => {
    const button = h("button", { type: "button", class: "plain" }, text);
    button.addEventListener("click", () => {
      state.page = (state.page + by + pages) % pages;
      fill();
    });
    return button;
  };
  return h("div", {}, scroll, h("div", { class: "controls" }, turn("Earlier rows", -1), turn("Later rows", 1), place));
}

function compareBy<T>(column: Column<T>, a: T, b: T): number {
  if (!column.value) return column.text(a).localeCompare(column.text(b), "en", { numeric: true });
  const [x, y] = [column.value(a), column.value(b)];
  // What is not a number goes last, whichever way the column is sorted first.
  if (Number.isNaN(x) || Number.isNaN(y)) return Number(Number.isNaN(x)) - Number(Number.isNaN(y));
  return x < y ? -1 : x > y ? 1 : 0;
}

/** A figure with its name for screen readers, a caption and the drawn numbers as a table. */
export function figure(label: string, caption: string, drawing: Node, data: HTMLElement | null): HTMLElement {
  const holder = h("div", { class: "drawing", role: "img", "aria-label": label }, drawing);
  return h(
    "figure",
    {},
    holder,
    h("figcaption", {}, caption),
    data ? h("details", { class: "data" }, h("summary", {}, "The numbers as a table"), data) : null,
  );
}

/** Draws for the width there is, and again when that changes. */
export function responsive(draw: (width: number) => Element): HTMLElement {
  const box = h("div", { class: "chart" });
  let drawn = 0;
  new ResizeObserver(() => {
    const width = Math.floor(box.clientWidth);
    if (width < 50 || width === drawn) return;
    drawn = width;
    box.replaceChildren(draw(width));
  }).observe(box);
  return box;
}

export function choose(label: string, options: { value: string; text: string }[], chosen: string, changed: (value: string) => void): HTMLElement {
  const select = h("select");
  for (const option of options) {
    const item = h("option", { value: option.value }, option.text);
    item.selected = option.value === chosen;
    select.append(item);
  }
  select.addEventListener("change", () => changed(select.value));
  return h("label", { class: "choose" }, `${label} `, select);
}
