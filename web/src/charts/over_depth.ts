// One quantity over the sub-layers of a stack, one line per model or stack.
import * as Plot from "@observablehq/plot";
import { choose, figure, h, responsive, table } from "../dom";
import { short } from "../format";
import type { Palette } from "../palette";

export interface Curve {
  name: string;
  points: { n: number; site: string; value: number; spread: number }[];
}

export interface OverDepth {
  name: string;
  axis: string;
  value: string;
  /** Whether the depth axis starts logarithmic. */
  logX: boolean;
  caption: string;
}

export function overDepth(curves: Curve[], palette: Palette, about: OverDepth): HTMLElement {
  const usable = (v: number): boolean => Number.isFinite(v) && v > 0;
  const points = curves.flatMap((c) => c.points.map((p) => ({ ...p, curve: c.name })));
  const shown = points.filter((p) => usable(p.value)), lost = points.filter((p) => !usable(p.value));
  const depth = Math.max(...points.map((p) => p.n));
  const low = Math.min(...shown.map((p) => p.value)), high = Math.max(...shown.map((p) => p.value + (p.spread || 0)));
  const place = h("div");
  const state = { axes: about.logX && depth > 10 ? "log" : "linear" };

  const show = (): void => {
    const logX = state.axes === "log", logY = state.axes !== "straight";
    const whole = shown.length > 0 ? (logY ? [low / 1.3, high * 1.4] : [0, high * 1.05]) : [0.1, 1];
    const draw = (width: number): Element =>
      Plot.plot({
        width: Math.min(width, 760),
        height: 340,
        marginLeft: 56,
        marginBottom: 40,
        marginTop: 26,
        style: { background: "none", fontSize: "12px" },
        x: { type: logX ? "log" : "linear", domain: [logX ? 1 : 0, Math.max(depth, 2)], label: "sub-layers N →", labelOffset: 34, ticks: logX ? [1, 2, 5, 10, 20, 50, 100, 200, 500].filter((t) => t <= depth) : 6, tickFormat: String },
        y: { type: logY ? "log" : "linear", domain: whole as [number, number], label: logY ? about.axis : about.axis.replace(" (log axis)", ""), grid: true, ticks: 5, tickFormat: (v: number) => (logY && Math.log10(whole[1]! / whole[0]!) > 2 && Math.abs(Math.log10(v) - Math.round(Math.log10(v))) > 1e-9 ? "" : short(v, 2)) },
        marks: [
          ...curves.flatMap((c) => {
            const line = shown.filter((p) => p.curve === c.name), stroke = palette.color(c.name);
            const bottom = (v: number): number => Math.max(v, whole[0]!);
            return [
              Plot.areaY(line.filter((p) => p.spread > 0), { x: "n", y1: (p) => bottom(p.value - p.spread), y2: (p) => p.value + p.spread, fill: stroke, fillOpacity: 0.16 }),
              Plot.line(line, { x: "n", y: "value", stroke, strokeWidth: 1.8, strokeDasharray: palette.dash(c.name) }),
              ...(line.length <= 60 ? [Plot.dot(line, { x: "n", y: "value", symbol: palette.symbol(c.name), r: 3, stroke, fill: "var(--page)", strokeWidth: 1.4 })] : []),
            ];
          }),
          Plot.dot(lost, { x: "n", y: whole[1]!, symbol: "times", r: 5, stroke: (p: { curve: string }) => palette.color(p.curve), strokeWidth: 2 }),
          Plot.tip(shown, Plot.pointer({ x: "n", y: "value", title: (p) => `${p.curve}, after ${p.site}: ${short(p.value)}${p.spread > 0 ? ` ± ${short(p.spread)}` : ""}`, fill: "var(--page)", stroke: "var(--line)" })),
        ],
      });
    const data = table(
      about.name,
      [
        { name: "model", text: (p) => p.curve },
        { name: "N", text: (p) => String(p.n), value: (p) => p.n },
        { name: "sub-layer", text: (p) => p.site },
        { name: about.value, text: (p) => short(p.value, 4), value: (p) => p.value },
        ...(shown.some((p) => p.spread > 0) ? [{ name: "std", text: (p: (typeof points)[number]) => (p.spread > 0 ? short(p.spread) : "–"), value: (p: (typeof points)[number]) => p.spread }] : []),
      ],
      points,
      true,
    );
    place.replaceChildren(figure(`${about.name} over depth, of ${curves.map((c) => c.name).join("; ")}.`, about.caption, responsive(draw), data));
  };
  show();
  return h("div", {},
    h("div", { class: "controls" }, choose("Axes", [
      { value: "log", text: "both logarithmic" },
      { value: "linear", text: "depth linear, value logarithmic" },
      { value: "straight", text: "both linear" },
    ], state.axes, (v) => ((state.axes = v), show()))),
    palette.legend(), place);
}
