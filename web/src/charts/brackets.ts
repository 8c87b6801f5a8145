// The boundary learning rate, seed by seed: each seed's bracket a bar; above them, per arm, the mean of the brackets as a
// band with its interval as whiskers. Bars that leave the tried learning rates end in an arrow.
import * as Plot from "@observablehq/plot";
import { figure, h, responsive, table } from "../dom";
import { boundaryInterval, boundaryText, lrText, num, percent } from "../format";
import type { Palette } from "../palette";
import type { Bracket, Curve, Report } from "../types";

interface Bar {
  arm: string;
  y: number;
  low: number;
  high: number;
  title: string;
}
interface Row extends Bar {
  seed: number;
  again: boolean;
}

export function brackets(report: Report, palette: Palette): HTMLElement | null {
  const sizes = report.analysis.sizes.filter((size) => known(report, size).length > 0);
  if (sizes.length === 0) return null;
  return h("div", {}, ...sizes.map((size) => oneSize(report, palette, size)));
}

const known = (report: Report, size: string): Curve[] => report.analysis.curves.filter((c) => c.size === size && c.boundary_lr.kind !== "none");

const ends = (low: number | null, high: number | null): string =>
  low === null ? `unstable from ${lrText(num(high))} or less` : high === null ? `stable up to ${lrText(low)}, the largest tried` : `breaks after ${lrText(low)}, by ${lrText(high)}`;

function oneSize(report: Report, palette: Palette, size: string): HTMLElement {
  const curves = known(report, size);
  const level = percent(report.analysis.constants.interval_level);
  const again = curves.some((c) => c.boundary_lr.reentrant_seeds > 0);
  const data = table(
    `Bracket of each seed, size ${size}`,
    [
      { name: "arm", text: (b) => b.arm },
      { name: "seed", text: (b) => String(b.seed), value: (b) => b.seed },
      { name: "stable up to LR", text: (b) => (b.low === null ? "none" : lrText(b.low)), value: (b) => b.low ?? 0 },
      { name: "unstable at LR", text: (b) => (b.high === null ? "none" : lrText(b.high)), value: (b) => b.high ?? Infinity },
      { name: "decades", text: (b) => (b.low === null || b.high === null ? "open" : Math.log10(b.high / b.low).toFixed(2)), value: (b) => Math.log10((b.high ?? Infinity) / (b.low ?? 0)) },
      { name: "stable cells above", text: (b) => String(b.stable_above), value: (b) => b.stable_above },
    ],
    curves.flatMap((c) => c.boundary_lr.brackets.map((b): Bracket & { arm: string } => ({ ...b, arm: c.arm }))),
    true,
  );
  const caption = `${report.analysis.sizes.length > 1 ? `Size ${size}. ` : ""}Thin bars: one seed each (its number on the left where there is room), from the largest learning rate below its first unstable cell to that cell. Thick band: means of both ends; whiskers: ${level} interval. ` +
    "Vertical lines: the grid. An arrow: beyond the learning rates that were tried." + (again ? " Open circle: the seed is stable again above its bracket." : "");
  const told = curves.map((c) => `${c.arm}: boundary LR ${boundaryText(c.boundary_lr)} ${boundaryInterval(c.boundary_lr)}, ${c.boundary_lr.brackets.length} seeds`);
  return figure(`Bracket of the boundary LR of each seed at size ${size}. ${told.join("; ")}.`, caption, responsive((width) => draw(curves, palette, width)), data);
}

function draw(curves: Curve[], palette: Palette, width: number): Element {
  // Rows are laid out in pixels: the name of the arm (on two lines where there is little room), the band, the seeds, a gap.
  const seeds = curves.reduce((sum, c) => sum + c.boundary_lr.brackets.length, 0);
  const lines = width < 560 ? 2 : 1, text = 6 + 16 * lines;
  const [band, gap] = [14, 12], seed = seeds > 60 ? 5 : 11;
  const grid = [...new Set(curves.flatMap((c) => c.means.map((m) => m.lr)))].sort((a, b) => a - b);
  // Only where something breaks, with a learning rate of the grid on either side.
  const shown = curves.flatMap(({ boundary_lr: b }) => [...b.brackets.flatMap((s) => [s.low, s.high]), ...(b.interval ?? [])])
    .filter((x): x is number => x !== null && x > 0 && Number.isFinite(x) && x >= grid[0]! / 10 && x <= grid.at(-1)! * 10);
  const [least, most] = [Math.min(...shown), Math.max(...shown)];
  const domain: [number, number] = [Math.min(least, grid.filter((x) => x < least * 0.99).at(-1) ?? least) / 1.25, Math.max(most, grid.find((x) => x > most * 1.01) ?? most) * 1.25];
  const within = (x: number): number => Math.min(domain[1], Math.max(domain[0], x));

  const names: { arm: string; y: number; text: string }[] = [];
  const bands: Bar[] = [], whiskers: Bar[] = [], rows: Row[] = [];
  let y = 0;
  for (const c of curves) {
    const b = c.boundary_lr;
    const told = `boundary LR ${boundaryText(b)} ${boundaryInterval(b)}`.trim();
    if (lines === 1) names.push({ arm: c.arm, y: y + text / 2, text: `${c.arm}: ${told}` });
    else names.push({ arm: c.arm, y: y + 10, text: c.arm }, { arm: c.arm, y: y + 26, text: told });
    y += text;
    const bar = { arm: c.arm, y: y + band / 2, title: `${c.arm}\n${told}` };
    bands.push({ ...bar, low: b.low ?? 0, high: b.high ?? Infinity });
    if (b.interval) whiskers.push({ ...bar, low: num(b.interval[0]), high: num(b.interval[1]) });
    y += band + 3;
    for (const s of b.brackets) {
      rows.push({ arm: c.arm, y: y + seed / 2, low: s.low ?? 0, high: s.high ?? Infinity, seed: s.seed, again: s.stable_above > 0,
        title: `${c.arm}, seed ${s.seed}\n${ends(s.low, s.high)}${s.stable_above > 0 ? `\n${s.stable_above} stable cell${s.stable_above > 1 ? "s" : ""} above` : ""}` });
      y += seed;
    }
    y += gap;
  }

  const color = (b: { arm: string }): string => palette.color(b.arm);
  const line = (bars: Bar[], strokeWidth: number, strokeOpacity: number) =>
    Plot.link(bars, { x1: (b: Bar) => within(b.low), x2: (b: Bar) => within(b.high), y1: "y", y2: "y", stroke: color, strokeWidth, strokeOpacity, strokeLinecap: "butt" });
  const inside = grid.filter((x) => x === within(x));
  const ticks = inside.filter((_, i) => i % Math.ceil((34 * inside.length) / width) === 0);
  const whiskerEnds = whiskers.flatMap((b) => [b.low, b.high].filter((x) => x === within(x)).map((x) => ({ arm: b.arm, x, y: b.y })));
  const open = (bars: Bar[], side: "low" | "high"): Bar[] => bars.filter((b) => b[side] !== within(b[side]));
  const arrow = (bars: Bar[], side: "low" | "high", fontSize: number) =>
    Plot.text(open(bars, side), { x: domain[side === "high" ? 1 : 0], y: "y", text: () => (side === "high" ? "▶" : "◀"), fontSize, fill: color, textAnchor: side === "high" ? "end" : "start", dx: side === "high" ? 4 : -4 });
  const [top, bottom, left, right] = [30, 38, 34, 14];

  return Plot.plot({
    width,
    height: y + top + bottom,
    marginTop: top,
    marginBottom: bottom,
    marginLeft: left,
    marginRight: right,
    style: { background: "none", fontSize: "12px" },
    x: { type: "log", domain, axis: null },
    y: { type: "linear", domain: [y, 0], axis: null },
    marks: [
      Plot.ruleX(inside, { stroke: "var(--line)" }),
      Plot.axisX(ticks, { anchor: "top", text: (v: number) => lrText(v), label: null, tickSize: 4 }),
      Plot.axisX(ticks, { text: (v: number) => lrText(v), label: "peak learning rate (log axis) →", labelOffset: 34, tickSize: 4 }),
      line(rows, Math.max(2, seed - 7), 0.75),
      line(bands, band - 4, 0.4),
      line(whiskers, 1.6, 1),
      Plot.ruleX(whiskerEnds, { x: "x", y1: (e: { y: number }) => e.y - band / 2, y2: (e: { y: number }) => e.y + band / 2, stroke: color, strokeWidth: 1.6 }),
      ...(["low", "high"] as const).flatMap((side) => [arrow(rows, side, seed > 8 ? 8 : 5), arrow(bands.map((b) => whiskers.find((w) => w.arm === b.arm) ?? b), side, 11)]),
      Plot.dot(rows.filter((r) => r.again), { x: (r: Row) => within(r.high), y: "y", dx: 7, r: seed > 8 ? 3 : 2, stroke: color, fill: "var(--page)", strokeWidth: 1.5 }),
      ...(seed > 8 ? [Plot.text(rows, { x: domain[0], y: "y", dx: -6, text: (r: Row) => String(r.seed), textAnchor: "end", fontSize: 10, fill: "var(--muted)" })] : []),
      Plot.text(names, { x: domain[0], y: "y", text: "text", textAnchor: "start", fill: color, fontWeight: 650, stroke: "var(--page)", strokeWidth: 4, lineWidth: (width - left - right) / 13, textOverflow: "ellipsis-middle" }),
      Plot.tip([...rows, ...bands], Plot.pointer({ x: (b: Bar) => Math.sqrt(within(b.low) * within(b.high)), y: "y", title: "title", fill: "var(--page)", stroke: "var(--line)" })),
    ],
    color: { type: "identity" },
  });
}
