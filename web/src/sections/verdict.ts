// What the sweep says, first in words, then as a few large numbers.
import { h } from "../dom";
import { boundaryText, change, num } from "../format";
import type { Comparison, Report } from "../types";

function tile(value: string, name: string, note = ""): HTMLElement {
  return h("div", { class: "tile" }, h("dd", {}, value), h("dt", {}, name), note ? h("dd", { class: "small" }, note) : null);
}

function tiles(report: Report, c: Comparison): HTMLElement {
  const find = (arm: string) => report.analysis.curves.find((x) => x.arm === arm && x.size === c.size)!;
  const decades = c.boundary_decades;
  const moved = decades.value === null ? "not known" : `${decades.at_least ? "≥ " : ""}${Math.abs(num(decades.value)).toFixed(1)} decades ${num(decades.value) >= 0 ? "up" : "down"}`;
  const lowest = c.loss_change[0];
  return h(
    "dl",
    { class: "tiles", "aria-label": `${c.arm} against ${c.baseline}, size ${c.size}` },
    tile(`${boundaryText(find(c.baseline).boundary_lr)} → ${boundaryText(find(c.arm).boundary_lr)}`, "boundary LR", moved),
    tile(c.seeds_agree.n ? `${c.seeds_agree.k} of ${c.seeds_agree.n}` : "–", "seeds agree", "each seed judged alone"),
    tile(change(c.best_loss_change), "loss at the best LR (nat)", lowest ? `at the lowest LR ${change(lowest)}` : ""),
    tile(c.step_time_ratio.value === null ? "–" : `× ${num(c.step_time_ratio.value).toFixed(2)}`, "time of a step", "wall clock, not reproducible"),
  );
}

export function verdict(report: Report): HTMLElement {
  const { verdict: sentences, comparisons } = report.analysis;
  const box = h("section", { id: "verdict", class: "verdict" }, h("h2", { class: "hidden" }, "Verdict"));
  if (comparisons.length === 0) {
    for (const s of sentences) box.append(h("p", { class: "headline" }, s));
  }
  for (const c of comparisons) box.append(h("p", { class: "headline" }, c.headline), h("p", {}, c.details), tiles(report, c));
  for (const note of report.notes) box.append(h("p", { class: "note" }, note));
  return box;
}
