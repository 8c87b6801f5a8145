// What changes with model size, one line per arm: LR sensitivity, and where training breaks, against the parameters N.
import * as Plot from "@observablehq/plot";
import { figure, h, responsive, table } from "../dom";
import { intervalText, lrText, num, short, sparse } from "../format";
import type { Palette } from "../palette";
import type { Curve, Report, Window } from "../types";

interface Point {
  arm: string;
  n: number;
  value: number;
  low: number;
  high: number;
}

/** The widest of the windows that every curve has, the paper's first. */
function window(curves: Curve[]): { title: string; of: (c: Curve) => Window } | null {
  const titles = { paper: "the paper's window", run_length: "the window for this run length", swept: "the swept LRs" } as const;
  for (const key of ["paper", "run_length", "swept"] as const)
    if (curves.every((c) => c.sensitivity.windows[key].value !== null)) return { title: titles[key], of: (c) => c.sensitivity.windows[key] };
  return null;
}

export function againstSize(report: Report, palette: Palette): HTMLElement | null {
  const curves = report.analysis.curves.filter((c) => (c.params ?? 0) > 0);
  if (new Set(curves.map((c) => c.params)).size < 2) return null;
  const sensitivities: Point[] = [];
  const chosen = window(curves);
  if (chosen)
    for (const c of curves) {
      const w = chosen.of(c), value = num(w.value);
      sensitivities.push({ arm: c.arm, n: c.params!, value, low: w.interval ? num(w.interval[0]) : value, high: w.interval ? num(w.interval[1]) : value });
    }
  const boundaries: Point[] = curves.flatMap((c) => {
    const b = c.boundary_lr;
    return b.kind === "bracketed" && b.middle !== null
      ? [{ arm: c.arm, n: c.params!, value: b.middle, low: b.interval && num(b.interval[0]) > 0 ? num(b.interval[0]) : b.low!, high: b.interval && Number.isFinite(num(b.interval[1])) ? num(b.interval[1]) : b.high! }]
      : [];
  });
  const panels = h("div", { class: "panels" });
  if (chosen) panels.append(panel(sensitivities, `LR sensitivity over ${chosen.title}`, "↑ nat", false, palette));
  if (boundaries.length > 0) panels.append(panel(boundaries, "Boundary LR", "↑ learning rate (log axis)", true, palette));
  const data = table(
    "Against size",
    [
      { name: "arm", text: (c) => c.arm },
      { name: "size", text: (c) => c.size },
      { name: "N", text: (c) => short(c.params!), value: (c) => c.params! },
      { name: "LR sensitivity (nat)", text: (c) => (chosen ? short(num(chosen.of(c).value)) : "–"), value: (c) => (chosen ? num(chosen.of(c).value) : NaN) },
      { name: "its interval", text: (c) => (chosen ? intervalText(chosen.of(c).interval, (v) => short(v)) : "–") },
      { name: "boundary LR", text: (c) => (c.boundary_lr.low !== null && c.boundary_lr.high !== null ? `${lrText(c.boundary_lr.low)} to ${lrText(c.boundary_lr.high)}` : "–"), value: (c) => num(c.boundary_lr.middle) },
      { name: "best LR", text: (c) => (c.best_lr === null ? "–" : lrText(c.best_lr)), value: (c) => num(c.best_lr) },
      { name: "best loss (nat)", text: (c) => short(num(c.best_loss)), value: (c) => num(c.best_loss) },
    ],
    curves,
    true,
  );
  const label = panels.childElementCount > 0 ? "LR sensitivity and boundary learning rate against the number of parameters, one line per arm." : "";
  const drawing = h("div", {}, palette.legend(), panels);
  return figure(label, "N counts the matrices of the blocks. Thin lines are intervals; an arm that breaks at no swept rate, or below all of them, has no boundary point.", drawing, data);
}

function panel(points: Point[], title: string, axis: string, log: boolean, palette: Palette): HTMLElement {
  const arms = [...new Set(points.map((p) => p.arm))];
  const draw = (width: number): Element =>
    Plot.plot({
      width,
      height: 260,
      marginLeft: 52,
      marginRight: 20,
      marginTop: 26,
      marginBottom: 40,
      style: { background: "none", fontSize: "12px" },
      x: { type: "log", label: "parameters N (log axis) →", labelOffset: 34, ticks: sparse([...new Set(points.map((p) => p.n))], width), tickFormat: (v: number) => short(v, 2) },
      y: { type: log ? "log" : "linear", ...(log ? {} : { domain: [0, Math.max(0.01, ...points.map((p) => Math.min(p.high, 2.2 * Math.max(...points.map((q) => q.value)))))] }), label: axis, grid: true, ticks: 5, tickFormat: (v: number) => short(v, 2) },
      marks: [
        ...arms.flatMap((arm) => {
          const own = points.filter((p) => p.arm === arm).sort((a, b) => a.n - b.n);
          return [
            Plot.link(own, { x1: "n", x2: "n", y1: "low", y2: "high", stroke: palette.color(arm), strokeOpacity: 0.6 }),
            Plot.line(own, { x: "n", y: "value", stroke: palette.color(arm), strokeWidth: 2, strokeDasharray: palette.dash(arm) }),
            Plot.dot(own, { x: "n", y: "value", fill: palette.color(arm), symbol: palette.symbol(arm), r: 4, title: (p: Point) => `${p.arm}, N ${short(p.n)}: ${short(p.value)}`, tip: true }),
          ];
        }),
      ],
    });
  return h("div", { class: "panel" }, h("h4", {}, title), responsive(draw));
}
