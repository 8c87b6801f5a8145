// One quantity over steps, one panel per learning rate on common axes, arms as colours and seeds as lines.
import * as Plot from "@observablehq/plot";
import { figure, h, responsive, table } from "../dom";
import { least, lrText, most, num, short } from "../format";
import type { Palette } from "../palette";
import type { Cell, Report, Series } from "../types";

export interface Quantity {
  name: string;
  axis: string;
  pick: (cell: Cell) => Series | undefined;
  log: boolean;
  reference?: { y: number; text: string };
  /** The number per cell for the table. */
  summary: { name: string; of: (cell: Cell) => number };
}

interface Point {
  step: number;
  value: number;
  arm: string;
  seed: number;
}

export function smallMultiples(report: Report, palette: Palette, size: string, quantity: Quantity): HTMLElement | null {
  const cells = report.cells.filter((c) => c.size === size && !c.refined && (quantity.pick(c)?.steps.length ?? 0) > 0);
  if (cells.length === 0) return null;
  const usable = (v: number): boolean => Number.isFinite(v) && (!quantity.log || v > 0);
  const values = cells.flatMap((c) => quantity.pick(c)!.values.map(num).filter(usable));
  if (quantity.reference && most(values) > quantity.reference.y / 30) values.push(quantity.reference.y);
  const low = least(values), high = most(values);
  const domain: [number, number] = quantity.log ? [low / 1.3, high * 1.6] : [Math.min(0, low), Math.max(0, high) + 0.05 * (Math.max(0, high) - Math.min(0, low))];
  const lastStep = most(cells.map((c) => c.steps));
  const lrs = [...new Set(cells.map((c) => c.lr))].sort((a, b) => a - b);

  const panels = h("div", { class: "panels small" });
  for (const lr of lrs) {
    const here = cells.filter((c) => c.lr === lr);
    const points: Point[] = here.flatMap((c) => {
      const s = quantity.pick(c)!;
      return s.steps.map((step, i) => {
        const value = num(s.values[i]);
        return { step, value: usable(value) ? value : NaN, arm: c.arm, seed: c.seed };
      });
    });
    const lost = here.filter((c) => c.nonfinite_step !== null).map((c) => ({ step: c.nonfinite_step!, arm: c.arm }));
    const draw = (width: number): Element =>
      Plot.plot({
        width,
        height: 190,
        marginLeft: 44,
        marginRight: 20,
        marginTop: 24,
        marginBottom: 38,
        style: { background: "none", fontSize: "11px" },
        x: { domain: [0, lastStep], label: "optimiser step →", labelOffset: 32, ticks: 4 },
        y: { type: quantity.log ? "log" : "linear", domain, label: quantity.axis, grid: true, ticks: 4, tickFormat: (v: number) => (quantity.log && Math.abs(Math.log10(v) % 1) > 1e-9 ? "" : short(v, 2)) },
        marks: [
          ...(quantity.reference && domain[1] > quantity.reference.y
            ? [Plot.ruleY([quantity.reference.y], { stroke: "var(--muted)", strokeDasharray: "4 4" }),
               Plot.text([quantity.reference], { x: lastStep, y: "y", text: "text", textAnchor: "end", dx: -2, dy: -6, fill: "var(--muted)", stroke: "var(--page)", strokeWidth: 3 })]
            : []),
          ...report.analysis.arms.map((arm) =>
            Plot.line(points.filter((p) => p.arm === arm), {
              x: "step", y: "value", z: "seed", stroke: palette.color(arm), strokeWidth: 1.5, strokeDasharray: palette.dash(arm),
            }),
          ),
          Plot.dot(lost, { x: "step", y: domain[1], symbol: "times", r: 5, stroke: (d: { arm: string }) => palette.color(d.arm), strokeWidth: 2 }),
        ],
      });
    panels.append(h("div", { class: "panel" }, h("h4", {}, `LR ${lrText(lr)}`), responsive(draw)));
  }
  const data = table(
    `${quantity.name}, size ${size}`,
    [
      { name: "arm", text: (c) => c.arm },
      { name: "LR", text: (c) => lrText(c.lr), value: (c) => c.lr },
      { name: "seed", text: (c) => String(c.seed), value: (c) => c.seed },
      { name: quantity.summary.name, text: (c) => short(quantity.summary.of(c)), value: (c) => quantity.summary.of(c) },
    ],
    cells,
    true,
  );
  const caption = `${quantity.name} over training${report.analysis.sizes.length > 1 ? `, size ${size}` : ""}. One line per seed${report.cells.some((c) => c.refined) ? " of the grid" : ""}; × marks where a run stopped being finite.`;
  return figure(`${quantity.name} over steps, one panel for each of ${lrs.length} learning rates.`, caption, panels, data);
}
