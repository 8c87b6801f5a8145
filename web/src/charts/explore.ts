// Any axis against any outcome: one mark per run, means over seeds joined by lines.
import * as Plot from "@observablehq/plot";
import { choose, figure, h, responsive, table } from "../dom";
import { least, lrText, most, mostMarks, num, short, sparse } from "../format";
import type { Palette } from "../palette";
import type { Cell, Report } from "../types";

interface Axis {
  name: string;
  log: boolean;
  of: (c: Cell) => number;
  text?: (v: number) => string;
  /** A line to compare with, such as the optimiser's epsilon. */
  reference?: (cells: Cell[]) => { y: number; text: string } | null;
}

interface Mark {
  x: number;
  y: number;
  arm: string;
  line: string;
}

const outcome = (name: string, log: boolean, of: (c: Cell) => number | null | undefined): Axis => ({ name, log, of: (c) => num(of(c) ?? null) });

const outcomes: Axis[] = [
  outcome("final loss (nat)", false, (c) => c.loss),
  outcome("largest attention logit", true, (c) => c.logit_peak),
  outcome("smallest layer entropy (nat)", false, (c) => c.entropy_low),
  outcome("share of collapsed heads at the end", false, (c) => c.collapsed_share),
  {
    ...outcome("smallest gradient RMS of a tensor at the end", true, (c) => c.grad_rms_low),
    reference: (cells) => {
      const eps = [...new Set(cells.map((c) => c.eps).filter((e): e is number => typeof e === "number" && e > 0))];
      return eps.length === 1 ? { y: eps[0]!, text: `eps ${lrText(eps[0]!)}` } : null;
    },
  },
  outcome("mean log Z of the output at the end (nat)", false, (c) => c.logz_end),
  outcome("mean output logit at the end", false, (c) => c.logit_mean_end),
  outcome("effective LR", true, (c) => c.effective_lr),
  outcome("validation less training loss (nat)", false, (c) => c.gap),
  outcome("loss spikes", false, (c) => c.spikes),
  outcome("median step (ms)", true, (c) => c.step_ms),
];

export function explore(report: Report, palette: Palette): HTMLElement | null {
  const cells = report.cells.filter((c) => c.label !== "missing" && c.lr > 0);
  const varied = (axis: Axis, list: Cell[]): boolean => new Set(list.map(axis.of).filter(Number.isFinite)).size > 1;
  const settings = [...new Set(cells.flatMap((c) => Object.keys(c.settings ?? {})))];
  const axes: Axis[] = [
    { name: "learning rate", log: true, of: (c: Cell) => c.lr, text: lrText },
    { name: "parameters N", log: true, of: (c: Cell) => c.params ?? NaN },
    { name: "effective LR", log: true, of: (c: Cell) => num(c.effective_lr) },
    ...settings.map((path): Axis => {
      const values = cells.map((c) => num(c.settings?.[path] ?? null)).filter(Number.isFinite);
      return { name: path, log: least(values) > 0 && most(values) >= 8 * least(values), of: (c) => num(c.settings?.[path] ?? null) };
    }),
  ].filter((axis) => varied(axis, cells));
  const shown = outcomes.filter((o) => cells.some((c) => Number.isFinite(o.of(c))));
  if (axes.length === 0 || shown.length === 0) return null;
  const state = { x: (axes.find((a) => a.name === "parameters N") ?? axes[0]!).name, y: shown.find((o) => o.name === "largest attention logit")?.name ?? shown[0]!.name };
  const holder = h("div");
  const chooser = (label: string, options: Axis[], now: string, set: (name: string) => void): HTMLElement =>
    choose(label, options.map((o) => ({ value: o.name, text: o.name })), now, (name) => {
      set(name);
      show();
    });
  const show = (): void => {
    const x = axes.find((a) => a.name === state.x)!, y = shown.find((o) => o.name === state.y)!;
    holder.replaceChildren(drawn(cells, x, y, report, palette));
  };
  show();
  return h("div", {}, h("div", { class: "controls" }, chooser("Outcome", shown, state.y, (v) => (state.y = v)), chooser("against", axes, state.x, (v) => (state.x = v))), holder);
}

function drawn(cells: Cell[], x: Axis, y: Axis, report: Report, palette: Palette): HTMLElement {
  const sizes = report.analysis.sizes.length > 1;
  const lineOf = (c: Cell): string => (x.name === "learning rate" ? (sizes ? c.size : "") : `LR ${lrText(c.lr)}${x.name !== "parameters N" && sizes ? `, ${c.size}` : ""}`);
  const usable = (v: number, log: boolean): boolean => Number.isFinite(v) && (!log || v > 0);
  const marks: Mark[] = cells.filter((c) => !c.refined).map((c) => ({ x: x.of(c), y: y.of(c), arm: c.arm, line: lineOf(c) })).filter((m) => usable(m.x, x.log) && usable(m.y, y.log));
  const groups = new Map<string, Mark[]>();
  for (const m of marks) {
    const key = JSON.stringify([m.arm, m.line, m.x]), group = groups.get(key);
    if (group) group.push(m);
    else groups.set(key, [m]);
  }
  const mean = (values: number[]): number =>
    y.log ? Math.exp(values.reduce((s, v) => s + Math.log(v), 0) / values.length) : values.reduce((s, v) => s + v, 0) / values.length;
  const few = marks.length <= mostMarks;
  const shown = few ? marks : cells.filter((c) => c.train && !c.refined).map((c) => ({ x: x.of(c), y: y.of(c), arm: c.arm, line: lineOf(c) })).filter((m) => usable(m.x, x.log) && usable(m.y, y.log));
  const means: Mark[] = [...groups.values()].map((g) => ({ ...g[0]!, y: mean(g.map((m) => m.y)) })).sort((a, b) => a.x - b.x);
  const ends = [...new Set(means.map((m) => JSON.stringify([m.arm, m.line])))].map((key) => means.filter((m) => JSON.stringify([m.arm, m.line]) === key).at(-1)!);
  const reference = y.reference?.(cells) ?? null;
  const near = reference !== null && marks.some((m) => m.y < 300 * reference.y);
  const format = x.text ?? ((v: number): string => short(v, 2));
  const draw = (width: number): Element =>
    Plot.plot({
      width,
      height: 340,
      marginLeft: 58,
      marginRight: width > 500 ? 84 : 60,
      marginTop: 26,
      marginBottom: 42,
      style: { background: "none", fontSize: "12px" },
      x: { type: x.log ? "log" : "linear", label: `${x.name}${x.log ? " (log axis)" : ""} →`, labelOffset: 36, ticks: sparse([...new Set(marks.map((m) => m.x))], width) ?? (width > 500 ? 6 : 3), tickFormat: format },
      y: { type: y.log ? "log" : "linear", label: `↑ ${y.name}${y.log ? " (log axis)" : ""}`, grid: true, ticks: 6, tickFormat: (v: number) => short(v, 2) },
      marks: [
        ...(near ? [Plot.ruleY([reference.y], { stroke: "var(--muted)", strokeDasharray: "4 4" }), Plot.text([reference], { y: "y", frameAnchor: "left", text: "text", dx: 4, dy: -7, textAnchor: "start", fill: "var(--muted)" })] : []),
        ...report.analysis.arms.flatMap((arm) => [
          Plot.line(means.filter((m) => m.arm === arm), { x: "x", y: "y", z: "line", stroke: palette.color(arm), strokeWidth: 1.6, strokeDasharray: palette.dash(arm) }),
          Plot.dot(shown.filter((m) => m.arm === arm), { x: "x", y: "y", stroke: palette.color(arm), strokeOpacity: 0.75, symbol: palette.symbol(arm), r: 3, title: (m: Mark) => `${m.arm}${m.line ? `, ${m.line}` : ""}: ${short(m.y)}`, tip: true }),
        ]),
        Plot.text(ends.filter((m) => m.line !== ""), { x: "x", y: "y", text: "line", textAnchor: "start", dx: 7, fill: (m: Mark) => palette.color(m.arm), stroke: "var(--page)", strokeWidth: 3 }),
      ],
    });
  const data = table(
    `${y.name} against ${x.name}`,
    [
      { name: "arm", text: (m) => m.arm },
      { name: "of", text: (m) => m.line || "–" },
      { name: x.name, text: (m) => format(m.x), value: (m) => m.x },
      { name: `${y.name}, mean over seeds`, text: (m) => short(m.y), value: (m) => m.y },
    ],
    means,
    true,
  );
  return figure(`${y.name} against ${x.name}, one mark per run.`, `${few ? "One mark per run of the grid" : `${shown.length} of ${marks.length} runs of the grid have a mark`}; lines join ${y.log ? "geometric " : ""}means over seeds${ends.some((m) => m.line) ? ", one per arm and what stands at its end" : ""}.`, h("div", {}, palette.legend(), responsive(draw)), data);
}
