// Final loss against learning rate: every seed a mark, the mean a line, runs that are not finite at the top edge, and
// along the bottom the boundary LR of each arm with its interval. Each size is drawn twice: whole, and the runs close up.
import * as Plot from "@observablehq/plot";
import { figure, h, responsive, table } from "../dom";
import { boundaryText, count, finite, intervalText, loss, lrText, num } from "../format";
import type { Palette } from "../palette";
import type { Curve, Report } from "../types";

interface Dot {
  arm: string;
  lr: number;
  loss: number;
  seed: number;
  label: string;
}
interface Line {
  y: number;
  text: string;
}
interface View {
  low: number;
  high: number;
  lines: Line[];
  boundaries: boolean;
}

export function lossVsLr(report: Report, palette: Palette): HTMLElement {
  const sizes = report.analysis.sizes.map((size) => oneSize(report, palette, size));
  return h("div", {}, palette.legend(["×", "not finite"], ["━", "boundary LR with interval"]), ...sizes);
}

function oneSize(report: Report, palette: Palette, size: string): HTMLElement {
  const curves = report.analysis.curves.filter((c) => c.size === size);
  const dots: Dot[] = report.cells
    .filter((c) => c.size === size && c.label !== "missing")
    .map((c) => ({ arm: c.arm, lr: c.lr, loss: num(c.loss), seed: c.seed, label: c.label }));
  const l0 = curves.find((c) => c.l0 !== null)?.l0 ?? null;
  const lines = [
    { y: l0, text: "l₀, at initialisation" },
    { y: report.facts.h1 ?? null, text: "H₁, unigram entropy" },
    { y: report.facts.bigram ?? null, text: "bigram entropy" },
    { y: report.facts.floor ?? null, text: "floor of the source" },
  ].filter((line): line is Line => line.y !== null);

  // A finite loss far above l0 would flatten everything else: the top edge stands for it.
  const cap = l0 === null ? Infinity : l0;
  const seen = dots.map((d) => d.loss).filter((y) => Number.isFinite(y) && y <= cap);
  const [low, high] = seen.length ? [Math.min(...seen), Math.max(...seen)] : [0, 1];
  const whole: View = { low: Math.min(low, ...lines.map((l) => l.y)), high: Math.max(high, ...lines.map((l) => l.y)), lines, boundaries: true };
  const near: View = { low, high, lines: lines.filter((l) => l.y >= low && l.y <= high), boundaries: false };
  const views = lines.length > 0 && seen.length > 0 && high - low < 0.6 * (whole.high - whole.low) ? [whole, near] : [whole];
  const drawings = h("div", { class: "panels wide" },
    ...views.map((view, i) => h("div", { class: "panel" }, views.length > 1 ? h("h4", {}, i === 0 ? "With reference lines" : "The runs, close up") : null,
      responsive((width) => draw(report, palette, curves, dots, view, width)))));

  const data = table(
    `Mean final loss over seeds, size ${size} (nat per token)`,
    [
      { name: "arm", text: (m) => m.arm },
      { name: "LR", text: (m) => lrText(m.lr), value: (m) => m.lr },
      { name: "mean loss", text: (m) => (m.value === null ? (m.why ?? "–") : loss(num(m.value))), value: (m) => num(m.value) },
      { name: "interval", text: (m) => intervalText(m.interval, loss), value: () => 0 },
      { name: "cells", text: (m) => String(m.cells), value: (m) => m.cells },
      { name: "unstable", text: (m) => String(m.unstable), value: (m) => m.unstable },
    ],
    curves.flatMap((c) => c.means.map((m) => ({ ...m, arm: c.arm }))),
  );
  const params = curves.find((c) => c.params !== null)?.params;
  const caption = `Size ${size}${params ? ` (N = ${count(params)})` : ""}. Each mark is one seed; lines join means over seeds, and a thin line leads to a learning rate where runs were lost. ` +
    "Bars along the bottom: boundary LR of each arm with its interval; an open circle means that it lies beyond the swept range.";
  const told = curves.map((c) => `${c.arm}: boundary LR ${boundaryText(c.boundary_lr)}, best loss ${finite(c.best_loss) ? loss(num(c.best_loss)) : "unknown"}`);
  return figure(`Final loss against learning rate at size ${size}. ${told.join("; ")}.`, caption, drawings, data);
}

/** The boundary of each arm as a bar at the bottom of the chart. */
function boundaryBars(curves: Curve[], domain: [number, number], base: number, step: number) {
  const within = (x: number): number => Math.min(domain[1], Math.max(domain[0], x));
  return curves
    .filter((c) => c.boundary_lr.kind !== "none")
    .map((c, i) => {
      const b = c.boundary_lr;
      const at = b.kind === "fitted" ? num(b.value) : num(b.bound);
      const [from, to] = b.interval ? [num(b.interval[0]), num(b.interval[1])] : [at, at];
      return {
        arm: c.arm, y: base - (i + 1.6) * step, at: within(at), from: within(from), to: within(to),
        inside: b.kind === "fitted" && at === within(at), text: boundaryText(b) + (at > domain[1] ? " →" : ""),
      };
    });
}

function draw(report: Report, palette: Palette, curves: Curve[], dots: Dot[], view: View, width: number): Element {
  const { arms } = report.analysis;
  const height = Math.round(Math.min(440, Math.max(320, width * 0.72)));
  const pad = (view.high - view.low || 0.1) / 13;
  const edge = view.high + pad;
  const bottom = view.low - pad * (view.boundaries ? 2 + 1.5 * curves.length : 1);
  const lrs = [...new Set(dots.map((d) => d.lr))].sort((a, b) => a - b);
  const domain: [number, number] = [(lrs[0] ?? 0.1) / 1.6, (lrs.at(-1) ?? 1) * 1.6];
  // Arms stand a little apart, or their marks would hide each other.
  const nudge = (d: { arm: string; lr: number }): number => d.lr * 10 ** (0.016 * (arms.indexOf(d.arm) - (arms.length - 1) / 2));
  const inside = (d: Dot): boolean => Number.isFinite(d.loss) && d.loss <= view.high;
  const title = (d: Dot): string => `${d.arm}\nLR ${lrText(d.lr)}, seed ${d.seed}\nloss ${Number.isFinite(d.loss) ? loss(d.loss) : "not finite"} (${d.label.replace("_", " ")})`;
  const bars = view.boundaries ? boundaryBars(curves, domain, view.low, 1.5 * pad) : [];
  const ticks = width < 420 && lrs.length > 6 ? lrs.filter((_, i) => i % 2 === 0) : lrs;

  return Plot.plot({
    width,
    height,
    marginLeft: 44,
    marginRight: 12,
    marginTop: 26,
    marginBottom: 44,
    style: { background: "none", fontSize: "12px" },
    x: { type: "log", domain, ticks, tickFormat: (v: number) => lrText(v), label: "peak learning rate (log axis) →", labelOffset: 38 },
    y: { domain: [bottom, edge + 0.4 * pad], label: "↑ final validation loss (nat/token)", grid: true, nice: false, ticks: 6 },
    marks: [
      Plot.ruleY(view.lines, { y: "y", stroke: "var(--muted)", strokeDasharray: "5 4" }),
      Plot.text(view.lines, { x: domain[0], y: "y", text: "text", textAnchor: "start", dx: 3, dy: 8, fill: "var(--muted)", stroke: "var(--page)", strokeWidth: 4 }),
      ...curves.flatMap((c) => {
        const path = c.means.map((m) => ({ lr: m.lr, y: m.value === null ? NaN : Math.min(num(m.value), edge), lost: m.nonfinite_runs > 0 }));
        const toEdge = path.flatMap((p, i) => (p.lost && i > 0 && !path[i - 1]!.lost ? [path[i - 1]!, { ...p, y: edge }] : []));
        return [
          Plot.line(toEdge, { x: "lr", y: "y", stroke: palette.color(c.arm), strokeWidth: 1, strokeDasharray: "1 3" }),
          Plot.line(path, { x: "lr", y: "y", stroke: palette.color(c.arm), strokeWidth: 2, strokeDasharray: palette.dash(c.arm) }),
        ];
      }),
      ...curves.map((c) =>
        Plot.dot(dots.filter((d) => d.arm === c.arm && inside(d)), {
          x: nudge, y: "loss", r: 4.5, symbol: palette.symbol(c.arm), fill: palette.color(c.arm), fillOpacity: 0.8, stroke: "var(--page)", strokeWidth: 0.8, title, tip: true,
        }),
      ),
      Plot.dot(dots.filter((d) => !inside(d)), {
        x: nudge, y: edge, r: 5, symbol: (d: Dot) => (Number.isFinite(d.loss) ? "plus" : "times"), stroke: (d: Dot) => palette.color(d.arm), strokeWidth: 2.4, title, tip: true,
      }),
      Plot.link(bars, { x1: "from", x2: "to", y1: "y", y2: "y", stroke: (b: { arm: string }) => palette.color(b.arm), strokeWidth: 4, strokeOpacity: 0.4 }),
      Plot.dot(bars, { x: "at", y: "y", r: 5, fill: (b: (typeof bars)[number]) => (b.inside ? palette.color(b.arm) : "var(--page)"), stroke: (b: { arm: string }) => palette.color(b.arm), strokeWidth: 2 }),
      ...(["middle", "end"] as const).map((textAnchor) =>
        Plot.text(bars.filter((b) => (b.at >= domain[1]) === (textAnchor === "end")), {
          x: "at", y: "y", text: "text", dy: -13, textAnchor, fill: (b: { arm: string }) => palette.color(b.arm), fontWeight: 650, stroke: "var(--page)", strokeWidth: 4,
        }),
      ),
    ],
    color: { type: "identity" },
    symbol: { type: "identity" },
  });
}
