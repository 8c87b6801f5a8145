// What the sweep says, first in words, then as a few large numbers.
import { h, prose, table } from "../dom";
import { boundaryInterval, boundaryText, change, num, percent, shiftText, short } from "../format";
import type { Comparison, Curve, Report } from "../types";

/** More comparisons than these fill pages: their words and numbers fold away below a table of all. */
const atLength = 3;

/** Lines break between the words of `value` that are joined by a space, nowhere else. */
function tile(value: string, name: string, note = ""): HTMLElement {
  const words = value.split(" ").flatMap((word) => [h("span", { class: "whole" }, word), " "]);
  return h("div", { class: "tile" }, h("dd", {}, ...words), h("dt", {}, name), note ? h("dd", { class: "small" }, note) : null);
}

const find = (report: Report, arm: string, size: string): Curve => report.analysis.curves.find((x) => x.arm === arm && x.size === size)!;

function tiles(report: Report, c: Comparison): HTMLElement {
  const { shift: s } = c;
  const level = percent(report.analysis.constants.interval_level);
  const [base, arm] = [c.baseline, c.arm].map((name) => find(report, name, c.size).boundary_lr) as [Curve["boundary_lr"], Curve["boundary_lr"]];
  const intervals = [base, arm].map(boundaryInterval);
  const lowest = c.loss_change[0];
  const down = s.earlier > s.later;
  const together = report.analysis.comparisons.length > 1 && s.holm_p !== null ? `, for all comparisons ${short(s.holm_p, 2)}` : "";
  return h(
    "dl",
    { class: "tiles", "aria-label": `${c.arm} against ${c.baseline}, size ${c.size}` },
    tile(`${boundaryText(base)} → ${boundaryText(arm)}`, "boundary LR",
      intervals.some(Boolean) ? `${level}: ${intervals.map((i, k) => i || boundaryText([base, arm][k]!)).join(" → ")}` : ""),
    tile(shiftText(s), "shift of the boundary (decades)", s.direction === "unknown" ? "" : s.interval ? `${level} interval, ${s.paired ? "paired by seed" : "no common seeds"}` : `no interval: ${s.why ?? "unknown"}`),
    s.paired && s.direction !== "unknown"
      ? tile(`${down ? s.earlier : s.later} of ${s.seeds}`, `seeds surely ${down ? "earlier" : "later"}`,
          `${down ? s.later : s.earlier} surely ${down ? "later" : "earlier"}, ${s.undecided} undecided; p = ${short(num(s.p), 2)}${together}`)
      : tile("–", "seeds surely later", s.paired ? "" : "no common seeds"),
    tile(change(c.best_loss_change), "loss at each best LR (nat)", `best of the grid, same seeds: flattering${lowest ? `; at the lowest LR ${change(lowest)}` : ""}`),
  );
}

/** Every comparison, a line each. */
function overview(report: Report): HTMLElement {
  const { comparisons, baseline, sizes } = report.analysis;
  const moves = { up: "up", down: "down", none: "less than the margin", unresolved: "not resolved", unknown: "unknown" };
  return table(
    `Every arm against ${baseline}: shift of the boundary LR`,
    [
      { name: "arm", text: (c) => c.arm },
      ...(sizes.length > 1 ? [{ name: "size", text: (c: Comparison) => c.size }] : []),
      { name: "boundary LR", text: (c) => `${boundaryText(find(report, c.arm, c.size).boundary_lr)} ${boundaryInterval(find(report, c.arm, c.size).boundary_lr)}`.trim() },
      { name: "moves", text: (c) => moves[c.shift.direction], mark: (c) => (c.shift.direction === "unknown" ? "absent" : "") },
      { name: "by decades", text: (c) => shiftText(c.shift) + (c.shift.interval || c.shift.direction === "unknown" ? "" : " (no interval)") },
      { name: "seeds later, earlier, undecided", text: (c) => (c.shift.seeds ? `${c.shift.later}, ${c.shift.earlier}, ${c.shift.undecided}` : "–"), value: (c) => c.shift.later },
      { name: "p", text: (c) => (c.shift.p === null ? "–" : short(c.shift.p, 2)), value: (c) => num(c.shift.p) },
      { name: "p for all (Holm)", text: (c) => (c.shift.holm_p === null ? "–" : `${short(c.shift.holm_p, 2)}${c.shift.stands ? ", stands" : ""}`), value: (c) => num(c.shift.holm_p) },
    ],
    comparisons,
  );
}

export function verdict(report: Report): HTMLElement {
  const { verdict: sentences, comparisons, multiplicity } = report.analysis;
  const box = h("section", { id: "verdict", class: "verdict" }, h("h2", { class: "hidden" }, "Verdict"));
  if (comparisons.length === 0) {
    sentences.forEach((s, i) => box.append(h("p", i === 0 || sentences.length <= atLength ? { class: "headline" } : {}, prose(s))));
  }
  const many = comparisons.length > atLength;
  if (many) box.append(h("p", { class: multiplicity.length < 160 ? "headline" : "all" }, prose(multiplicity)), overview(report));
  for (const c of comparisons) {
    const words = h("p", {}, prose(c.details));
    box.append(...(many ? [h("details", {}, h("summary", {}, prose(c.headline)), words, tiles(report, c))] : [h("p", { class: "headline" }, prose(c.headline)), words, tiles(report, c)]));
  }
  if (multiplicity && !many) box.append(h("p", { class: "all" }, prose(multiplicity)));
  for (const note of report.notes) box.append(h("p", { class: "note" }, note));
  return box;
}
