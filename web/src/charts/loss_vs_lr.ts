// Final loss against learning rate: every seed a mark, the mean over the grid a line, runs that are not finite at the top
// edge, and along the bottom the boundary LR of each arm as a band with its interval. Each size is drawn twice: whole, and
// the runs close up.
import * as Plot from "@observablehq/plot";
import { figure, h, responsive, table } from "../dom";
import { boundaryText, count, finite, intervalText, least, loss, lrText, most, mostMarks, num, roundTicks } from "../format";
import { armByLr } from "./arm_lr";
import type { Palette } from "../palette";
import type { Curve, Report } from "../types";

interface Dot {
  arm: string;
  lr: number;
  loss: number;
  seed: number;
  label: string;
  refined: boolean;
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
  const sizes = report.analysis.sizes.flatMap((size) => [oneSize(report, palette, size), armByLr(report, size)]);
  return h("div", {}, palette.legend(["×", "not finite"], ...(report.cells.some((c) => c.refined) ? [["○", "run to narrow a bracket"] as [string, string]] : []), ["━", "boundary LR with interval"]), ...sizes);
}

function oneSize(report: Report, palette: Palette, size: string): HTMLElement {
  const curves = report.analysis.curves.filter((c) => c.size === size);
  const all = report.cells.filter((c) => c.size === size && c.label !== "missing");
  const few = all.length <= mostMarks;
  const dots: Dot[] = all
    .filter((c) => few || c.train)
    .map((c) => ({ arm: c.arm, lr: c.lr, loss: num(c.loss), seed: c.seed, label: c.label, refined: c.refined }));
  const losses = all.map((c) => num(c.loss));
  const l0 = curves.find((c) => c.l0 !== null)?.l0 ?? null;
  const lines = [
    { y: l0, text: "l₀, at initialisation" },
    { y: report.facts.h1 ?? null, text: "H₁, unigram entropy" },
    { y: report.facts.bigram ?? null, text: "bigram entropy" },
    { y: report.facts.floor ?? null, text: "floor of the source" },
  ].filter((line): line is Line => line.y !== null);

  // A finite loss far above l0 would flatten everything else: the top edge stands for it.
  const cap = l0 === null ? Infinity : l0;
  const seen = losses.filter((y) => Number.isFinite(y) && y <= cap);
  const [low, high] = seen.length ? [least(seen), most(seen)] : [0, 1];
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
  const caption = `Size ${size}${params ? ` (N = ${count(params)})` : ""}. ${few ? "Each mark is one seed" : `${count(dots.length)} of ${count(all.length)} runs have a mark`}; lines join means over seeds, of the grid alone, and a thin line leads to a learning rate where runs were lost. ` +
    "Bars along the bottom: the boundary LR of each arm lies in the band; whiskers are its interval, an arrow leads beyond the tried learning rates.";
  const told = curves.map((c) => `${c.arm}: boundary LR ${boundaryText(c.boundary_lr)}, best loss ${finite(c.best_loss) ? loss(num(c.best_loss)) : "unknown"}`);
  return figure(`Final loss against learning rate at size ${size}. ${told.join("; ")}.`, caption, drawings, data);
}

/** The boundary of each arm, in rows of `step` below `base`. */
function boundaryBars(curves: Curve[], domain: [number, number], base: number, step: number) {
  const within = (x: number): number => Math.min(domain[1], Math.max(domain[0], x));
  return curves
    .filter((c) => c.boundary_lr.kind !== "none")
    .map((c, i) => {
      const b = c.boundary_lr;
      const [low, high] = [b.low ?? 0, b.high ?? Infinity];
      const [from, to] = b.interval ? [num(b.interval[0]), num(b.interval[1])] : [low, high];
      // The text stands on the side where there is more room.
      const left = Math.log10(within(from) / domain[0]), right = Math.log10(domain[1] / within(to));
      return {
        arm: c.arm, y: base - (i + 1) * step, low: within(low), high: within(high), from: within(from), to: within(to), text: boundaryText(b),
        side: right >= left ? "right" : "left", ends: [from, to].filter((x) => b.interval && x === within(x)), open: [from !== within(from), to !== within(to)],
      };
    });
}

function draw(report: Report, palette: Palette, curves: Curve[], dots: Dot[], view: View, width: number): Element {
  const { arms } = report.analysis;
  const pad = (view.high - view.low || 0.1) / 13;
  const edge = view.high + pad;
  // Rows of boundaries add to the height, so that many arms leave the losses their room.
  const lossHeight = Math.round(Math.min(400, Math.max(290, width * 0.66))), row = 17;
  const [above, below] = [26, 44];
  const perPixel = (edge + 0.4 * pad - (view.low - pad)) / (lossHeight - above - below);
  const rows = view.boundaries ? curves.filter((c) => c.boundary_lr.kind !== "none").length : 0;
  const bottom = view.low - pad - perPixel * row * (rows > 0 ? rows + 0.5 : 0);
  const sorted = (of: number[]): number[] => [...new Set(of)].sort((a, b) => a - b);
  const all = sorted(dots.map((d) => d.lr)), lrs = sorted(curves.flatMap((c) => c.means.map((m) => m.lr)));
  const domain: [number, number] = [(all[0] ?? 0.1) / 1.6, (all.at(-1) ?? 1) * 1.6];
  // Arms stand a little apart, or their marks would hide each other.
  const apart = Math.min(0.016, 0.12 / Math.max(1, arms.length - 1));
  const nudge = (d: { arm: string; lr: number }): number => d.lr * 10 ** (apart * (arms.indexOf(d.arm) - (arms.length - 1) / 2));
  const inside = (d: Dot): boolean => Number.isFinite(d.loss) && d.loss <= view.high;
  const title = (d: Dot): string => `${d.arm}\nLR ${lrText(d.lr)}, seed ${d.seed}\nloss ${Number.isFinite(d.loss) ? loss(d.loss) : "not finite"} (${d.label.replace("_", " ")})${d.refined ? "\nrun to narrow a bracket" : ""}`;
  const bars = rows > 0 ? boundaryBars(curves, domain, view.low - pad + 0.3 * row * perPixel, row * perPixel) : [];
  const color = (b: { arm: string }): string => palette.color(b.arm);
  const ticks = lrs.filter((_, i) => i % Math.ceil((46 * lrs.length) / (width - 56)) === 0);

  return Plot.plot({
    width,
    height: Math.round(lossHeight + row * (rows > 0 ? rows + 0.5 : 0)),
    marginLeft: 44,
    marginRight: 12,
    marginTop: above,
    marginBottom: below,
    style: { background: "none", fontSize: "12px" },
    x: { type: "log", domain, axis: null },
    y: { domain: [bottom, edge + 0.4 * pad], label: "↑ final validation loss (nat/token)", grid: true, nice: false, ticks: roundTicks(view.low - pad, edge, 6) },
    marks: [
      Plot.axisX(ticks, { text: (v: number) => lrText(v), label: "peak learning rate (log axis) →", labelOffset: 38 }),
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
        Plot.dot(dots.filter((d) => d.arm === c.arm && inside(d) && !d.refined), {
          x: nudge, y: "loss", r: 4.5, symbol: palette.symbol(c.arm), fill: palette.color(c.arm), fillOpacity: 0.8, stroke: "var(--page)", strokeWidth: 0.8, title, tip: true,
        }),
      ),
      Plot.dot(dots.filter((d) => inside(d) && d.refined), {
        x: nudge, y: "loss", r: 2.6, symbol: (d: Dot) => palette.symbol(d.arm), fill: "var(--page)", stroke: color, strokeWidth: 1.3, title, tip: true,
      }),
      Plot.dot(dots.filter((d) => !inside(d)), {
        x: nudge, y: edge, r: (d: Dot) => (d.refined ? 3.5 : 5), symbol: (d: Dot) => (Number.isFinite(d.loss) ? "plus" : "times"), stroke: (d: Dot) => palette.color(d.arm), strokeWidth: 2.4, title, tip: true,
      }),
      Plot.link(bars, { x1: "low", x2: "high", y1: "y", y2: "y", stroke: color, strokeWidth: 8, strokeOpacity: 0.4 }),
      Plot.link(bars, { x1: "from", x2: "to", y1: "y", y2: "y", stroke: color, strokeWidth: 1.5 }),
      Plot.link(bars.flatMap((b) => b.ends.map((x) => ({ ...b, x }))), { x1: "x", x2: "x", y1: (b) => b.y - 5 * perPixel, y2: (b) => b.y + 5 * perPixel, stroke: color, strokeWidth: 1.5 }),
      ...([0, 1] as const).map((end) =>
        Plot.text(bars.filter((b) => b.open[end]), { x: domain[end], y: "y", text: () => "◀▶"[end]!, textAnchor: end === 0 ? "start" : "end", fontSize: 10, dx: end === 0 ? -4 : 4, fill: color }),
      ),
      ...(["left", "right"] as const).map((side) =>
        Plot.text(bars.filter((b) => b.side === side), {
          x: side === "left" ? "from" : "to", y: "y", text: "text", dx: side === "left" ? -6 : 6, textAnchor: side === "left" ? "end" : "start", fill: color, fontWeight: 650, stroke: "var(--page)", strokeWidth: 4,
        }),
      ),
    ],
    color: { type: "identity" },
    symbol: { type: "identity" },
    r: { type: "identity" },
  });
}
