// What this report cannot tell, from the facts of the sweep itself.
import { h } from "../dom";
import { count, least, most, short } from "../format";
import type { Probes, Report } from "../types";

function range(values: number[]): string {
  const [low, high] = [least(values), most(values)].map((v) => v.toFixed(2));
  return low === high ? low! : `${low} to ${high}`;
}

export function limits(report: Report): HTMLElement {
  const { curves, sizes } = report.analysis;
  const seeds = new Set(report.cells.map((c) => c.seed)).size;
  const largest = Math.max(...curves.map((c) => c.params ?? 0));
  const steps = Math.max(...curves.map((c) => c.steps ?? 0));
  const missing = report.cells.filter((c) => c.label === "missing").length;
  const { facts } = report;
  const items: string[] = [];
  if (missing > 0) items.push(`${missing} of ${report.cells.length} cells have not ended. Numbers that need them are left out; nothing is filled in.`);
  items.push(
    largest > 0
      ? `What happens at scale. The largest model here has ${count(largest)} parameters in its blocks${sizes.length === 1 ? ", and only one size was run, so not even a trend with size can be seen" : ""}. Boundary learning rates fall as models grow.`
      : "What happens at scale: the sizes of these models are not known.",
  );
  items.push(`How much of this is chance. ${seeds === 1 ? "One seed was run, so there are no intervals." : `${seeds} seeds were run; intervals from so few are wide, and they cover seeds only, not the choice of data, model or schedule.`}`);
  if (steps > 0) items.push(`What long training does. Runs of ${count(steps)} steps cannot show instabilities that build up slowly, and learning rates that are best here are larger than those of long runs.`);
  if (facts.data?.startsWith("synthetic")) items.push("How real text behaves. The data is a synthetic language with known statistics; it has no rare words, no documents and no meaning.");
  const seen = steps * (facts.tokens_per_step ?? 0);
  if (facts.train_tokens && seen > facts.train_tokens) items.push(`What fresh data would do. Each token was seen up to ${short(seen / facts.train_tokens, 2)} times; a verdict should rest on runs that see each token at most once.`);
  const gaps = report.cells.filter((c) => (c.gap ?? 0) > 0.1).length;
  if (gaps > 0) items.push(`How much is memory. In ${gaps} of ${report.cells.length} cells the validation loss is more than 0.1 nat above the training loss.`);
  const widths = curves.map((c) => c.boundary_lr.width_decades).filter((w): w is number => w !== null);
  items.push(`Where exactly a seed breaks. ${widths.length ? `Brackets are ${range(widths)} decades wide on average per arm, and` : "Where the seeds' brackets are known,"} nothing is said about where within them; more runs between (--refine) narrow them. A boundary said to be at least some LR may lie anywhere above it.`);
  if (curves.some((c) => c.boundary_lr.reentrant_seeds > 0)) items.push("One threshold per seed. Some seeds are stable again above their first unstable cell, so a single boundary describes them only in part.");
  items.push("The loss at the best LR. Each arm's best LR was chosen on the runs that it is judged by, which flatters; a number that counts needs fresh seeds at that LR.");
  items.push(`The price of a treatment in time. Step times are wall-clock medians on a machine that may have been shared${facts.processor ? ` (${facts.processor})` : ""}; no verdict here rests on them, and evenkeel bench measures them properly.`);
  items.push("Other definitions of instability. Loss spikes that recover, or a worse model that still trains, count only as far as the final loss or a lasting relapse shows them.");
  if (report.config.same.some((s) => s.path === "train.precision" && s.values.includes("bf16"))) {
    items.push("Rounding: matrix products ran in bf16, which rounds large logits by whole units. Confirm a boundary that matters once in fp32.");
  }
  return h("ul", {}, ...items.map((text) => {
    const end = text.search(/[.:,]/);
    return h("li", {}, h("strong", {}, text.slice(0, end)), text.slice(end));
  }));
}

const footer = (evenkeel: string, from: string): HTMLElement =>
  h("footer", {}, `Written by evenkeel ${evenkeel} from ${from}. This file holds everything it shows and loads nothing. Charts: Observable Plot and uPlot (licences in the page source).`);

export function colophon(report: Report): HTMLElement {
  const largest = Math.max(...report.cells.map((c) => c.steps));
  return footer(report.evenkeel, `${report.cells.length} cells of up to ${short(largest, 6)} steps`);
}

/** The same for a page of probes alone. */
export function origin(page: Probes): HTMLElement {
  return footer(page.evenkeel, `${page.probes.length} answer${page.probes.length === 1 ? "" : "s"} of probes`);
}
