// Final loss against learning rate, one panel per size: every seed a mark, the mean a line, non-finite runs at the top
// edge, and below the axis of zero the boundary LR of each arm with its interval.
import * as Plot from "@observablehq/plot";
import { figure, h, responsive, table } from "../dom";
import { boundaryText, finite, intervalText, loss, lrText, num, short } from "../format";
import type { Palette } from "../palette";
import type { Report } from "../types";

interface Dot {
  arm: string;
  lr: number;
  loss: number;
  seed: number;
  label: string;
}

export function lossVsLr(report: Report, palette: Palette): HTMLElement {
  const panels = h("div", { class: "panels wide" });
  for (const size of report.analysis.sizes) panels.append(panel(report, palette, size));
  return h("div", {}, palette.legend(["×", "not finite"], ["━", "boundary LR with interval"]), panels);
}

function panel(report: Report, palette: Palette, size: string): HTMLElement {
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
  ].filter((line): line is { y: number; text: string } => line.y !== null);

  const seen = dots.filter((d) => Number.isFinite(d.loss)).map((d) => d.loss);
  const all = [...seen, ...lines.map((l) => l.y)];
  const [low, high] = all.length ? [Math.min(...all), Math.max(...all)] : [0, 1];
  const pad = 0.06 * (high - low || 1);
  const top = high + 1.6 * pad;
  const bottom = low - (1 + curves.length) * pad;
  const lrs = [...new Set(dots.map((d) => d.lr))].sort((a, b) => a - b);
  const [first, last] = [lrs[0] ?? 0.1, lrs.at(-1) ?? 1];
  const domain: [number, number] = [first / 1.5, last * 1.5];
  const nudge = (d: { arm: string; lr: number }): number =>
    d.lr * 10 ** (0.012 * (report.analysis.arms.indexOf(d.arm) - (report.analysis.arms.length - 1) / 2));

  const means = curves.flatMap((c) =>
    c.means.map((m) => ({ arm: c.arm, lr: m.lr, loss: m.value === null ? NaN : num(m.value) })),
  );
  const boundaries = curves
    .filter((c) => c.boundary_lr.kind !== "none")
    .map((c, i) => {
      const b = c.boundary_lr;
      const at = b.kind === "fitted" ? num(b.value) : num(b.bound);
      const reach = (x: number): number => Math.min(domain[1], Math.max(domain[0], x));
      const [from, to] = b.interval ? [num(b.interval[0]), num(b.interval[1])] : b.kind === "above_range" ? [at, Infinity] : [0, at];
      return { arm: c.arm, y: low - (i + 1) * pad, at, from: reach(from), to: reach(to), fitted: b.kind === "fitted", text: boundaryText(b) };
    });

  const draw = (width: number): Element =>
    Plot.plot({
      width,
      height: Math.round(Math.min(440, Math.max(300, width * 0.6))),
      marginLeft: 46,
      marginRight: 12,
      marginBottom: 42,
      style: { background: "none", fontSize: "12px" },
      x: { type: "log", domain, ticks: lrs, tickFormat: (v: number) => lrText(v), label: "peak learning rate (log axis) →", labelAnchor: "right" },
      y: { domain: [bottom, top], label: "↑ final validation loss (nat/token)", grid: true, nice: false },
      marks: [
        ...lines.map((line) => Plot.ruleY([line.y], { stroke: "var(--line)", strokeDasharray: "4 4" })),
        Plot.text(lines, { x: domain[0], y: "y", text: "text", textAnchor: "start", dx: 4, dy: -6, fill: "var(--muted)" }),
        ...curves.map((c) =>
          Plot.line(
            means.filter((m) => m.arm === c.arm),
            { x: "lr", y: "loss", stroke: palette.color(c.arm), strokeWidth: 2, strokeDasharray: palette.dash(c.arm) },
          ),
        ),
        ...curves.map((c) =>
          Plot.dot(
            dots.filter((d) => d.arm === c.arm && Number.isFinite(d.loss)),
            {
              x: nudge, y: "loss", r: 4, symbol: palette.symbol(c.arm), fill: palette.color(c.arm), fillOpacity: 0.75,
              stroke: "var(--page)", strokeWidth: 0.7, tip: true,
              title: (d: Dot) => `${d.arm}\nLR ${lrText(d.lr)}, seed ${d.seed}\nloss ${loss(d.loss)} (${d.label})`,
            },
          ),
        ),
        Plot.dot(
          dots.filter((d) => !Number.isFinite(d.loss)),
          {
            x: nudge, y: top - 0.5 * pad, r: 5, symbol: "times", stroke: (d: Dot) => palette.color(d.arm), strokeWidth: 2.2, tip: true,
            title: (d: Dot) => `${d.arm}\nLR ${lrText(d.lr)}, seed ${d.seed}\nnot finite`,
          },
        ),
        ...boundaries.flatMap((b) => [
          Plot.ruleY([b], { y: "y", x1: "from", x2: "to", stroke: palette.color(b.arm), strokeWidth: 3, strokeOpacity: b.fitted ? 0.5 : 0.25 }),
          Plot.dot([b], { x: "at", y: "y", r: 5, symbol: b.fitted ? palette.symbol(b.arm) : "circle", fill: b.fitted ? palette.color(b.arm) : "var(--page)", stroke: palette.color(b.arm), strokeWidth: 1.8 }),
          Plot.text([b], { x: "at", y: "y", text: "text", dy: -11, fill: palette.color(b.arm), fontWeight: 600, stroke: "var(--page)", strokeWidth: 3 }),
        ]),
      ],
    });

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
  const caption = `Size ${size}${params ? ` (N = ${short(params)})` : ""}: each mark is one seed, lines join means over seeds. ` +
    "Bars at the bottom: boundary LR of each arm with its interval; an open circle means that it lies beyond the swept range.";
  const told = curves.map((c) => `${c.arm}: boundary LR ${boundaryText(c.boundary_lr)}, best loss ${finite(c.best_loss) ? loss(num(c.best_loss)) : "unknown"}`);
  return figure(`Final loss against learning rate at size ${size}. ${told.join("; ")}.`, caption, responsive(draw), data);
}
