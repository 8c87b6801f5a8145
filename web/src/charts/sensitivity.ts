// LR sensitivity per arm: bars split into the parts from below and above the best learning rate.
import * as Plot from "@observablehq/plot";
import { figure, h, responsive, table } from "../dom";
import { intervalText, lrText, num } from "../format";
import type { Palette } from "../palette";
import type { Curve, Report, Window } from "../types";

const windows: [keyof Curve["sensitivity"]["windows"], string][] = [
  ["paper", "the paper's window"],
  ["run_length", "the window for this run length"],
  ["swept", "the swept LRs themselves"],
];

interface Bar {
  name: string;
  arm: string;
  part: "below" | "above";
  value: number;
}

export function sensitivity(report: Report, palette: Palette): HTMLElement {
  const { curves, sizes } = report.analysis;
  const name = (c: Curve): string => (sizes.length > 1 ? `${c.size} ${c.arm}` : c.arm);
  const panels = h("div", { class: "panels" });
  const absent: HTMLElement[] = [];
  for (const [key, title] of windows) {
    const known = curves.filter((c) => c.sensitivity.windows[key].value !== null);
    if (known.length === 0) {
      const why = curves[0]?.sensitivity.windows[key].why ?? "not computed";
      absent.push(h("li", {}, h("strong", {}, `Over ${title}: `), `not computed, because ${why}.`));
      continue;
    }
    panels.append(panel(known, (c) => c.sensitivity.windows[key], title, name, palette));
  }
  const rows = windows.flatMap(([key, title]) => curves.map((c) => ({ name: name(c), title, w: c.sensitivity.windows[key] })));
  const show = (v: number): string => v.toFixed(3);
  const data = table(
    "LR sensitivity (nat)",
    [
      { name: "window", text: (r) => r.title },
      { name: "arm", text: (r) => r.name },
      { name: "S", text: (r) => (r.w.value === null ? "–" : show(r.w.value)), value: (r) => num(r.w.value) },
      { name: "interval", text: (r) => intervalText(r.w.interval, show), value: () => 0 },
      { name: "below best", text: (r) => (r.w.below === null ? "–" : show(r.w.below)), value: (r) => num(r.w.below) },
      { name: "above best", text: (r) => (r.w.above === null ? "–" : show(r.w.above)), value: (r) => num(r.w.above) },
      { name: "remark", text: (r) => (r.w.undertrained ? "undertrained window: no verdict rests on it" : (r.w.why ?? "")) },
    ],
    rows,
  );
  return h("div", {}, panels, absent.length ? h("ul", { class: "notes" }, ...absent) : null,
    h("details", { class: "data" }, h("summary", {}, "The numbers as a table"), data));
}

function panel(curves: Curve[], pick: (c: Curve) => Window, title: string, name: (c: Curve) => string, palette: Palette): HTMLElement {
  const bars: Bar[] = curves.flatMap((c) => {
    const w = pick(c);
    return [
      { name: name(c), arm: c.arm, part: "below" as const, value: w.below ?? 0 },
      { name: name(c), arm: c.arm, part: "above" as const, value: w.above ?? 0 },
    ];
  });
  const whiskers = curves.flatMap((c) => {
    const i = pick(c).interval;
    return i ? [{ name: name(c), low: num(i[0]), high: num(i[1]) }] : [];
  });
  const largest = Math.max(0.01, ...curves.map((c) => pick(c).value ?? 0));
  // With two seeds an interval can be ten times the value; the bars stay readable and the table has the numbers.
  const reach = Math.min(Math.max(largest, ...whiskers.map((w) => w.high)), 2.2 * largest);
  const draw = (width: number): Element =>
    Plot.plot({
      width,
      height: 62 + 46 * curves.length,
      marginLeft: 10,
      marginRight: 20,
      marginBottom: 38,
      style: { background: "none", fontSize: "12px" },
      x: { domain: [0, reach * 1.05], label: "LR sensitivity (nat) →", labelOffset: 32, grid: true, ticks: 5 },
      y: { axis: null, domain: curves.map(name), padding: 0.5 },
      marks: [
        Plot.barX(bars, Plot.stackX({ y: "name", x: "value", fill: (d: Bar) => palette.color(d.arm), fillOpacity: (d: Bar) => (d.part === "below" ? 0.35 : 0.85), title: (d: Bar) => `${d.name}: ${d.value.toFixed(3)} nat from LRs ${d.part} the best`, tip: true })),
        Plot.ruleY(whiskers, { y: "name", x1: "low", x2: (d: { high: number }) => Math.min(d.high, reach * 1.05), stroke: "var(--ink)", strokeWidth: 1.4 }),
        Plot.text(curves, { x: 0, y: name, text: (c: Curve) => `${name(c)}: ${(pick(c).value ?? 0).toFixed(3)}${pick(c).undertrained ? " (undertrained window)" : ""}`, textAnchor: "start", dy: -18, fill: "var(--ink)" }),
        Plot.ruleX([0], { stroke: "var(--muted)" }),
      ],
    });
  const lrs = pick(curves[0]!).lrs.map(lrText).join(", ");
  const told = curves.map((c) => `${name(c)} ${(pick(c).value ?? 0).toFixed(3)}`).join(", ");
  return figure(`LR sensitivity over ${title}: ${told} nat.`,
    `Over ${title}: LR ${lrs}. Pale: from LRs below the best one; full: from above. The thin line is the interval (cut where it leaves the chart).`,
    responsive(draw), null);
}
