// Every cell of the sweep, sortable.
import { table } from "../dom";
import { finite, loss, lrText, num, short } from "../format";
import type { Cell, Report } from "../types";

const optional = (v: number | null | undefined): string => (v === null || v === undefined ? "–" : short(v));

function outcome(c: Cell): string {
  const relapse = c.relapse_step !== null ? `, relapsed at step ${c.relapse_step}` : c.relapsed ? ", relapsed" : "";
  return c.label.replace("_", " ") + (c.nonfinite_step !== null ? ` at step ${c.nonfinite_step}` : "") + relapse;
}

export function cellTable(report: Report): HTMLElement {
  return table<Cell>(
    "All cells; click a heading to sort",
    [
      { name: "arm", text: (c) => c.arm },
      { name: "size", text: (c) => c.size },
      { name: "LR", text: (c) => lrText(c.lr), value: (c) => c.lr },
      { name: "seed", text: (c) => String(c.seed), value: (c) => c.seed },
      { name: "outcome", text: outcome, mark: (c) => (c.unstable ? "bad" : c.label === "missing" ? "absent" : "") },
      { name: "unstable", text: (c) => (c.unstable === null ? "–" : c.unstable ? "yes" : "no") },
      { name: "run to", text: (c) => (c.refined ? "narrow a bracket" : "fill the grid") },
      { name: "final loss", text: (c) => (c.loss === null ? "–" : finite(c.loss) ? loss(num(c.loss)) : "NaN"), value: (c) => num(c.loss) },
      { name: "effective LR", text: (c) => optional(c.effective_lr), value: (c) => num(c.effective_lr) },
      { name: "largest logit", text: (c) => optional(c.logit_peak), value: (c) => num(c.logit_peak) },
      { name: "smallest entropy", text: (c) => optional(c.entropy_low), value: (c) => num(c.entropy_low) },
      { name: "spikes", text: (c) => optional(c.spikes), value: (c) => num(c.spikes) },
      { name: "step (ms, wall clock)", text: (c) => optional(c.step_ms), value: (c) => num(c.step_ms) },
      { name: "config", text: (c) => c.hash },
    ],
    report.cells,
    true,
  );
}
