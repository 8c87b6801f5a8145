// Loss over steps on a canvas that can be zoomed by dragging.
import uPlot from "uplot";
import { choose, figure, h } from "../dom";
import { loss, lrText, num } from "../format";
import type { Palette } from "../palette";
import type { Cell, Report, Series } from "../types";

const value = (v: number | null): string => (v === null ? "–" : loss(v));

/** All series on one sorted axis of steps; null where a series has no point. */
function align(all: Series[]): (number | null)[][] {
  const steps = [...new Set(all.flatMap((s) => s.steps))].sort((a, b) => a - b);
  const index = new Map(steps.map((s, i) => [s, i]));
  const columns = all.map((s) => {
    const column = new Array<number | null>(steps.length).fill(null);
    s.steps.forEach((step, i) => {
      const v = num(s.values[i]);
      column[index.get(step)!] = Number.isFinite(v) ? v : null;
    });
    return column;
  });
  return [steps, ...columns];
}

export function lossOverSteps(report: Report, palette: Palette): HTMLElement | null {
  const cells = report.cells.filter((c) => (c.train?.steps.length ?? 0) > 0);
  if (cells.length === 0) return null;
  const { sizes } = report.analysis;
  const sorted = (of: Cell[]): number[] => [...new Set(of.map((c) => c.lr))].sort((a, b) => a - b);
  const lrs = sorted(cells.filter((c) => !c.refined)), narrowing = sorted(cells.filter((c) => !lrs.includes(c.lr)));
  const baseline = report.analysis.curves.find((c) => c.arm === report.analysis.baseline);
  // Begin where the arms part: at the first LR at which the baseline is unstable.
  const parting = baseline?.means.find((m) => m.unstable > 0)?.lr ?? lrs.at(-1)!;
  const state = { lr: lrs.includes(parting) ? parting : (lrs[0] ?? narrowing[0]!), size: sizes[0]! };
  const box = h("div", { class: "chart zoom" });
  let plot: uPlot | null = null;

  const draw = (): void => {
    const width = Math.floor(box.clientWidth);
    if (width < 50) return;
    plot?.destroy();
    const chosen = cells.filter((c) => c.lr === state.lr && c.size === state.size);
    const style = getComputedStyle(document.documentElement);
    const ink = style.getPropertyValue("--ink").trim(), line = style.getPropertyValue("--line").trim();
    const axis = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { stroke: line }, font: "12px system-ui, sans-serif", labelFont: "12px system-ui, sans-serif", labelSize: 18 };
    const training = (c: Cell): uPlot.Series => ({ label: `${c.arm}, seed ${c.seed}`, stroke: palette.computed(c.arm), width: 1.4, dash: palette.dashNumbers(c.arm), spanGaps: true, points: { show: false }, value: (_, v) => value(v) });
    const validation = (c: Cell): uPlot.Series => ({ label: `${c.arm}, seed ${c.seed}, validation`, class: "quiet", stroke: palette.computed(c.arm), width: 0, paths: () => null, points: { show: true, size: 7, fill: palette.computed(c.arm) }, value: (_, v) => value(v) });
    const data = align([...chosen.map((c) => c.train!), ...chosen.map((c) => c.valid ?? { steps: [], values: [], recorded: 0 })]);
    plot = new uPlot(
      {
        width,
        height: Math.round(Math.min(400, Math.max(260, width * 0.5))),
        scales: { x: { time: false } },
        axes: [{ ...axis, label: "optimiser step" }, { ...axis, label: "loss (nat/token)", size: 48 }],
        series: [{ label: "step" }, ...chosen.map(training), ...chosen.map(validation)],
        // The legend lists training curves only; validation dots come and go with their curve.
        hooks: { setSeries: [(u, i, options) => { if (i && i <= chosen.length && options.show !== undefined) u.setSeries(i + chosen.length, { show: options.show }); }] },
        cursor: { drag: { x: true, y: true, uni: 30 } },
      },
      data as uPlot.AlignedData,
      box,
    );
  };
  new ResizeObserver(draw).observe(box);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);

  const reset = h("button", { type: "button", class: "plain" }, "Whole range");
  reset.addEventListener("click", draw);
  const controls = h(
    "div",
    { class: "controls" },
    choose("Learning rate", [...lrs.map((lr) => ({ value: String(lr), text: lrText(lr) })), ...narrowing.map((lr) => ({ value: String(lr), text: `${lrText(lr)}, narrowing a bracket` }))], String(state.lr), (v) => ((state.lr = Number(v)), draw())),
    sizes.length > 1 ? choose("Size", sizes.map((s) => ({ value: s, text: s })), state.size, (v) => ((state.size = v), draw())) : null,
    reset,
  );
  return h(
    "div",
    {},
    controls,
    figure("Training and validation loss over optimiser steps at one learning rate; final losses are in the table of cells.",
      "Lines: training loss of each batch. Dots: validation loss. Drag to zoom, double-click for the whole range; click a name to hide its line. Long runs are thinned so that every peak stays.",
      box, null),
  );
}
