// Layers by heads at the end of one run: attention entropy, or the largest logit.
import * as Plot from "@observablehq/plot";
import { choose, figure, h, responsive, table } from "../dom";
import { lrText, num, short } from "../format";
import type { Cell, Report } from "../types";

interface Square {
  layer: string;
  head: number;
  value: number;
}

const quantities = {
  entropy: { name: "entropy H / ln n", legend: "Attention entropy H / ln n (0: one key, 1: uniform)" },
  logit: { name: "largest logit", legend: "Largest attention logit (log scale)" },
};

export function heatMap(report: Report): HTMLElement | null {
  const cells = report.cells.filter((c) => (c.attention?.length ?? 0) > 0);
  if (cells.length === 0) return null;
  const name = (c: Cell): string => `${report.analysis.sizes.length > 1 ? `${c.size}, ` : ""}${c.arm}, LR ${lrText(c.lr)}, seed ${c.seed}${c.label === "finished" ? "" : ` (${c.label})`}`;
  const parting = cells.findIndex((c) => c.unstable === true && c.label !== "nonfinite");
  const state = { cell: Math.max(0, parting), quantity: "entropy" as keyof typeof quantities };
  const place = h("div");

  const show = (): void => {
    const cell = cells[state.cell]!;
    const rows = cell.attention!.flatMap((a) => (state.quantity === "entropy" ? a.end_entropy : a.end_logit).map((heads, layer) => ({ layer: `${a.kind} ${layer}`.trim(), heads })));
    const q = quantities[state.quantity];
    if (rows.length === 0) {
      place.replaceChildren(h("p", { class: "note" }, `${name(cell)} recorded no ${q.name}.`));
      return;
    }
    const heads = Math.max(...rows.map((row) => row.heads.length));
    const squares: Square[] = rows.flatMap(({ layer, heads }) => heads.map((v, head) => ({ layer, head, value: num(v) })));
    const log = state.quantity === "logit";
    const shown = squares.filter((s) => Number.isFinite(s.value) && (!log || s.value > 0));
    const top = Math.max(...shown.map((s) => s.value), 1), bottom = log ? Math.min(...shown.map((s) => s.value), 1) : 0;
    const bright = (s: Square): boolean => (log ? Math.log(s.value / bottom) / Math.log(top / bottom || Math.E) : s.value) > 0.55;
    const draw = (width: number): Element =>
      Plot.plot({
        width: Math.min(width, 90 + 110 * heads),
        height: 70 + 44 * rows.length,
        marginLeft: rows.some((row) => row.layer.length > 3) ? 82 : 58,
        marginBottom: 38,
        style: { background: "none", fontSize: "12px" },
        x: { label: "head", labelOffset: 32, tickFormat: String, type: "band" },
        y: { label: "layer", domain: rows.map((row) => row.layer), type: "band" },
        color: log ? { type: "log", scheme: "viridis", domain: [bottom, top] } : { type: "linear", scheme: "viridis", domain: [0, 1] },
        marks: [
          Plot.cell(squares, { x: "head", y: "layer", fill: "var(--line)" }),
          Plot.cell(shown, { x: "head", y: "layer", fill: "value", inset: 1, title: (s: Square) => `layer ${s.layer}, head ${s.head}: ${short(s.value)}` }),
          Plot.text(squares, { x: "head", y: "layer", text: (s: Square) => short(s.value, 2), fill: (s: Square) => (!shown.includes(s) ? "var(--ink)" : bright(s) ? "#111" : "#fff") }),
        ],
      });
    const data = table(
      `${q.name} per layer and head at step ${cell.heads_step}: ${name(cell)}`,
      [
        { name: "layer", text: (s) => s.layer },
        { name: "head", text: (s) => String(s.head), value: (s) => s.head },
        { name: q.name, text: (s) => short(s.value, 4), value: (s) => s.value },
      ],
      squares,
    );
    place.replaceChildren(
      figure(`Heat map of ${q.name}, ${rows.length} layers by ${heads} heads, of ${name(cell)}.`,
        `${q.legend}, at step ${cell.heads_step}. Low entropy alone is no failure: a good run may have sharp heads.`, responsive(draw), data),
    );
  };
  show();
  const controls = h(
    "div",
    { class: "controls" },
    choose("Run", cells.map((c, i) => ({ value: String(i), text: name(c) })), String(state.cell), (v) => ((state.cell = Number(v)), show())),
    choose("Quantity", Object.entries(quantities).map(([value, q]) => ({ value, text: q.name })), state.quantity, (v) => ((state.quantity = v as keyof typeof quantities), show())),
  );
  return h("div", {}, controls, place);
}
