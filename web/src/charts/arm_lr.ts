// Mean final loss of every arm at every learning rate, as a map: for sweeps with more arms than lines can tell apart.
import * as Plot from "@observablehq/plot";
import { figure, responsive } from "../dom";
import { least, loss, lrText, most, num } from "../format";
import type { Report } from "../types";

interface Square {
  arm: string;
  lr: string;
  loss: number;
  unstable: number;
  cells: number;
}

/** Arms from which on the map is drawn. */
const manyArms = 5;

export function armByLr(report: Report, size: string): HTMLElement | null {
  const curves = report.analysis.curves.filter((c) => c.size === size);
  if (curves.length < manyArms) return null;
  const rates = [...new Set(curves.flatMap((c) => c.means.map((m) => m.lr)))].sort((a, b) => a - b).map(lrText);
  const squares: Square[] = curves.flatMap((c) => c.means.map((m) => ({ arm: c.arm, lr: lrText(m.lr), loss: num(m.value), unstable: m.unstable, cells: m.cells })));
  const known = squares.filter((s) => Number.isFinite(s.loss));
  if (known.length === 0) return null;
  const low = least(known.map((s) => s.loss)), high = most(known.map((s) => s.loss));
  const longest = most(curves.map((c) => c.arm.length));
  const draw = (width: number): Element => {
    const marginLeft = Math.min(0.4 * width, 16 + 6.6 * longest), column = (width - marginLeft - 8) / rates.length;
    return Plot.plot({
      width,
      height: 66 + 24 * curves.length,
      marginLeft,
      marginRight: 8,
      marginBottom: 42,
      style: { background: "none", fontSize: "12px" },
      x: { domain: rates, label: "peak learning rate →", labelOffset: 38, type: "band", ticks: rates.filter((_, i) => i % Math.ceil(46 / column) === 0) },
      y: { domain: curves.map((c) => c.arm), label: null, type: "band", tickFormat: (arm: string) => (6.6 * arm.length > marginLeft - 16 ? `${arm.slice(0, Math.floor((marginLeft - 24) / 6.6))}…` : arm) },
      color: { type: "linear", scheme: "viridis", domain: [low, high], reverse: true },
      marks: [
        Plot.cell(squares, { x: "lr", y: "arm", fill: "var(--line)" }),
        Plot.cell(known, { x: "lr", y: "arm", fill: "loss", inset: 0.5, title: (s: Square) => `${s.arm}\nLR ${s.lr}\nloss ${loss(s.loss)}\n${s.unstable} of ${s.cells} unstable`, tip: true }),
        ...(column > 40 ? [Plot.text(known, { x: "lr", y: "arm", text: (s: Square) => loss(s.loss), fill: (s: Square) => ((high - s.loss) / (high - low || 1) > 0.55 ? "#111" : "#fff") })] : []),
        Plot.dot(squares.filter((s) => s.unstable > s.cells / 2), { x: "lr", y: "arm", symbol: "times", r: 3.5, dx: column > 40 ? column / 2 - 8 : 0, stroke: "var(--bad)", strokeWidth: 1.8 }),
      ],
    });
  };
  return figure(`Mean final loss of ${curves.length} arms at ${rates.length} learning rates, size ${size}.`,
    `Mean final loss over seeds (nat), size ${size}; brighter is lower. × where most seeds are unstable, grey where no mean is finite. The numbers stand in the table under the chart above.`, responsive(draw), null);
}
