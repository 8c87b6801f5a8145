// The key numbers of every arm at every size.
import { h, table } from "../dom";
import { boundaryInterval, boundaryText, intervalText, least, loss, lrText, most, num, percent, sameLr, short, signed } from "../format";
import type { Curve, Estimate, Report } from "../types";

const optional = (v: number | null, show: (x: number) => string): string => (v === null ? "–" : show(v));

const hundredths = (v: number): string => v.toFixed(2).replace("-", "−");
/** "0.53 [0.41, 0.66]" */
const estimate = (e: Estimate): string => (e.value === null ? "–" : `${hundredths(num(e.value))} ${intervalText(e.interval, hundredths)}`.trim());

export function keyNumbers(report: Report): HTMLElement {
  const { curves, constants } = report.analysis;
  const level = percent(constants.interval_level);
  const effective = (c: Curve): number | null => c.means.find((m) => sameLr(m.lr, c.best_lr))?.effective_lr ?? null;
  const extreme = (c: Curve, pick: "logit_peak" | "entropy_low", at: number | null): string => {
    const values = report.cells.filter((x) => x.arm === c.arm && x.size === c.size && sameLr(x.lr, at)).map((x) => x[pick] ?? NaN).filter(Number.isFinite);
    if (values.length === 0) return "–";
    return short(pick === "logit_peak" ? most(values) : least(values));
  };
  const main = table(
    "Key numbers per arm",
    [
      { name: "arm", text: (c) => c.arm },
      { name: "size", text: (c) => c.size },
      { name: "boundary LR", text: (c) => boundaryText(c.boundary_lr), value: (c) => num(c.boundary_lr.middle) },
      { name: `${level} interval`, text: (c) => boundaryInterval(c.boundary_lr) || "–", value: () => 0 },
      { name: "seeds", text: (c) => String(c.boundary_lr.brackets.length || c.seeds), value: (c) => c.seeds },
      { name: "runs to narrow it", text: (c) => String(c.refined_cells), value: (c) => c.refined_cells },
      { name: "bracket (decades)", text: (c) => optional(c.boundary_lr.width_decades, hundredths), value: (c) => num(c.boundary_lr.width_decades) },
      { name: "headroom over best LR (decades)", text: (c) => estimate(c.headroom_decades), value: (c) => num(c.headroom_decades.value) },
      { name: "well trained from LR", text: (c) => optional(c.stable_lr_min, lrText), value: (c) => num(c.stable_lr_min) },
      { name: "stable up to LR", text: (c) => optional(c.stable_lr_max, lrText), value: (c) => num(c.stable_lr_max) },
      { name: "best LR", text: (c) => optional(c.best_lr, lrText), value: (c) => num(c.best_lr) },
      { name: "effective LR there", text: (c) => optional(effective(c), (x) => short(x, 2)), value: (c) => num(effective(c)) },
      { name: "loss there (nat)", text: (c) => `${optional(c.best_loss, loss)} ${intervalText(c.best_loss_interval, loss)}`.trim(), value: (c) => num(c.best_loss) },
      { name: "seed spread (nat)", text: (c) => optional(c.seed_spread, loss), value: (c) => num(c.seed_spread) },
      { name: "largest logit at best LR", text: (c) => extreme(c, "logit_peak", c.best_lr), value: () => 0 },
      { name: "smallest entropy there (nat)", text: (c) => extreme(c, "entropy_low", c.best_lr), value: () => 0 },
      { name: "step (ms, wall clock)", text: (c) => optional(c.step_ms, (x) => short(x)), value: (c) => num(c.step_ms) },
    ],
    curves,
  );
  const remarks = curves.flatMap((c) => {
    const lrs = c.means.map((m) => m.lr);
    const edge = c.best_lr !== null && lrs.length > 1 && (sameLr(c.best_lr, least(lrs)) || sameLr(c.best_lr, most(lrs)));
    const b = c.boundary_lr;
    const n = (count: number): string => `${count} seed${count === 1 ? "" : "s"}`;
    return [
      b.why ? `${b.kind === "none" ? "no boundary LR" : "the boundary LR has no interval"}: ${b.why}` : null,
      b.blocked_seeds > 0 ? `${n(b.blocked_seeds)} left out of the boundary LR, since cells are missing` : null,
      b.reentrant_seeds > 0 ? `${n(b.reentrant_seeds)} became stable again above the bracket${b.interval_if_last ? `; counted as stable until then, the boundary is ${intervalText(b.interval_if_last, lrText)}` : ""}` : null,
      edge ? `the best LR, ${lrText(c.best_lr!)}, is at the edge of the sweep; a better one may lie beyond` : null,
    ].flatMap((text) => (text ? [`${c.arm}, size ${c.size}: ${text}.`] : []));
  });
  const reasons = remarks.map((text) => h("li", {}, text));
  return h("div", {}, main, reasons.length ? h("ul", { class: "notes" }, ...reasons) : null);
}

/** What the treatment costs or gains at every learning rate both arms ran. */
export function lossChanges(report: Report): HTMLElement | null {
  const rows = report.analysis.comparisons.flatMap((c) => c.loss_change.map((row) => ({ ...row, arm: c.arm, size: c.size })));
  if (rows.length === 0) return null;
  const all = table(
    `Loss minus that of ${report.analysis.baseline} at the same LR, paired by seed (nat)`,
    [
      { name: "arm", text: (r) => r.arm },
      { name: "size", text: (r) => r.size },
      { name: "LR", text: (r) => lrText(r.lr), value: (r) => r.lr },
      { name: "change", text: (r) => (r.value === null ? (r.why ?? "–") : signed(num(r.value))), value: (r) => num(r.value) },
      { name: "interval", text: (r) => intervalText(r.interval, loss), value: () => 0 },
      { name: "pairs", text: (r) => String(r.n), value: (r) => r.n },
    ],
    rows,
  );
  return rows.length > 12 ? h("details", {}, h("summary", {}, `The change of the loss at every LR, for all ${report.analysis.comparisons.length} comparisons`), all) : all;
}
